"""Images of source rows: where they may come from, what is none, and where they stand in the text."""

import base64
import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from winnow.pipeline.sources import row_images
from winnow.pipeline.sources.row_images import RowImage
from winnow.pipeline.sources.rows import Drop


def png(colour: tuple[int, int, int] = (255, 0, 0), kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (3, 2), colour).save(data, kind)
    return data.getvalue()


def data_of(found: list[RowImage]) -> list[bytes]:
    return [each.data for each in found]


def test_all_the_ways_in_which_a_row_can_hold_an_image(tmp_path: Path) -> None:
    red = png()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.png").write_bytes(red)
    address = "data:image/png;base64," + base64.b64encode(red).decode()
    absolute = str(tmp_path / "deep" / "a.png")
    for value in (red, bytearray(red), {"bytes": red, "path": "x"}, {"bytes": None, "path": "deep/a.png"},
                  "deep/a.png", absolute, address):  # fmt: skip
        assert data_of(row_images.read(value, "image", tmp_path)) == [red]
        assert data_of(row_images.read([value, value], "image", tmp_path)) == [red, red]
    nothing: list[Any] = [None, [], ""]  # CSV has no null
    assert [row_images.read(each, "image", tmp_path) for each in nothing] == [[]] * 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_kinds_of_files(kind: str) -> None:
    (found,) = row_images.read(png(kind=kind), "image", None)
    assert len(found.image_id) == 64


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "no bytes and no path"),
        ({"bytes": None, "path": None}, "no bytes and no path"),
        (b"", "none of PNG"),
        (b"<svg onload=alert(1)>", "none of PNG"),
        (b"\x89PNG\r\n\x1a\n and no more", "image"),
        (png()[:-20], "image"),
        ("data:image/png,abc", "not in base64"),
        ("data:image/png;base64,!!", "image"),
        ("none.png", "No such file"),
        ("../outside.png", "leads out"),
        ("link.png", "leads out"),
        ("/etc/passwd", "leads out"),
        ("a\0b", "image"),
        ("x" * 5000, "too long"),
        (".", "directory|no file"),
        ("pipe", "no file"),
        (png(kind="JPEG")[:-20], "image"),
        (png(kind="BMP")[:-5], "image"),
        ([png(), None], r"image\[1\]"),
    ],
)
def test_what_is_no_image_says_why(tmp_path: Path, value: Any, said: str) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    (tmp_path / "outside.png").write_bytes(png())
    (folder / "link.png").symlink_to("../outside.png")
    os.mkfifo(folder / "pipe")
    with pytest.raises(Drop, match="bad_image") as error:
        row_images.read(value, "image", folder)
    assert re.search(said, error.value.detail)
    assert len(error.value.detail) < 300


def test_a_bomb_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    with pytest.raises(Drop) as error:
        row_images.read(png(), "image", None)
    assert "decompression bomb" in error.value.detail


def test_a_picture_that_every_reader_puts_up_with_is_one() -> None:
    """Some cameras write the index of a second picture so that Pillow warns of it."""
    data, image = io.BytesIO(), Image.new("RGB", (3, 2))
    image.save(data, "MPO", save_all=True, append_images=[image])
    whole = data.getvalue()
    at = whole.index(b"MPF\0") + 4
    broken = whole[:at] + b"X" * 8 + whole[at + 8 :]
    with pytest.warns(UserWarning, match="malformed MPO"):
        Image.open(io.BytesIO(broken)).close()
    assert data_of(row_images.read(broken, "image", None)) == [broken]


def test_a_path_needs_a_folder() -> None:
    with pytest.raises(Drop) as error:
        row_images.read("a.png", "image", None)
    assert "no folder" in error.value.detail


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.binary(),
                    lambda deep: st.lists(deep) | st.dictionaries(st.text(), deep)))  # fmt: skip
def test_nothing_else_is_ever_raised(value: Any) -> None:
    try:
        row_images.read(value, "image", Path(__file__).parent)
    except Drop as drop:
        assert drop.rule == "bad_image"


def test_marks() -> None:
    def after(*texts: str, count: int) -> list[str]:
        messages = [{"role": "user", "content": text} for text in texts]
        row_images.place(messages, count)
        return [message["content"] for message in messages]

    assert after("a", "b", count=2) == ["a", "<image>\n<image>\nb"]
    assert after("a <image>", "<image> b", count=2) == ["a <image>", "<image> b"]
    assert after("a", count=0) == ["a"]
    with pytest.raises(Drop, match="bad_image"):
        after("the tag <image>", count=0)
    with pytest.raises(Drop) as error:
        after("<image>", count=2)
    assert error.value.detail == "1 times <image> in the prompt for 2 pictures"


def test_the_state_tells_a_changed_file(tmp_path: Path) -> None:
    def now() -> str:
        values = ["a.png", {"bytes": None, "path": "b.png"}, [b"c", "a\0b", None, 7]]
        return row_images.state(values, tmp_path)

    (tmp_path / "a.png").write_bytes(png())
    before = now()
    (tmp_path / "other.png").write_bytes(png())
    assert now() == before
    (tmp_path / "b.png").write_bytes(png())
    came = now()
    assert came != before
    (tmp_path / "a.png").write_bytes(png((0, 0, 255), "BMP"))
    assert now() not in (came, before)


def test_the_state_is_that_of_nothing_else(tmp_path: Path) -> None:
    """A missing picture of a CSV file would be the folder itself, which changes with each new file."""
    source = tmp_path / "source"
    source.mkdir()

    def now() -> str:
        return row_images.state(["", "deep", "../outside.png", str(tmp_path)], source)

    before = now()
    (source / "deep").mkdir()
    (source / "deep" / "new.txt").write_text("new")
    (tmp_path / "outside.png").write_bytes(png())
    assert now() == before
