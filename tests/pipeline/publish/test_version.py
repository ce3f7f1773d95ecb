import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.publish.version import (
    Version,
    latest,
    list_versions,
    open_version,
    resolve,
    verify_version,
    version_id,
)

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Rows = Mapping[str, Callable[..., pa.Table]]


@pytest.fixture
def three(tmp_path: Path, rows: Rows, published: Publish) -> list[Version]:
    return [
        published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(n))}}) for n in (1, 2, 3)
    ]


def test_list_is_oldest_first_and_ignores_what_is_no_version(
    tmp_path: Path, three: list[Version]
) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(three[0].path, folder / ".tmp-0123456789abcdef")
    (folder / "notes").mkdir()
    (folder / "0123456789abcdef").write_text("a file")
    assert list_versions(folder) == three
    assert [version.rows for version in three] == [{"rl": {"train": n}} for n in (1, 2, 3)]
    assert [version.parent for version in three] == [None, three[0].id, three[1].id]
    assert list_versions(tmp_path / "nothing") == []


def test_a_damaged_version_hides_no_other(tmp_path: Path, three: list[Version]) -> None:
    for version, text in zip(three[:2], ("{", '{"dataset": "demo"}'), strict=True):
        path = version.path / "manifest.json"
        path.chmod(0o644)
        path.write_text(text)
    found = {version.id: version for version in list_versions(tmp_path / "demo")}
    assert set(found) == {version.id for version in three}
    assert "manifest.json: cannot be read" in (found[three[0].id].problem or "")
    assert "no manifest of winnow" in (found[three[1].id].problem or "")
    assert found[three[2].id].problem is None
    with pytest.raises(WinnowError, match=r"manifest\.json: cannot be read"):
        resolve(f"demo@{three[0].id}", tmp_path)


def test_resolve(tmp_path: Path, three: list[Version], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = three
    monkeypatch.chdir(tmp_path)
    shutil.copytree(first.path, tmp_path / "copy")
    for ref, expected in [
        ("demo", third),
        ("demo@latest", third),
        (f"demo@{first.id}", first),
        (f"demo@{second.id[:12]}", second),
        (third.ref, third),
        (str(second.path), second),
        (f"demo/{first.id}", first),
        (str(tmp_path / "demo"), third),
    ]:
        assert resolve(ref, tmp_path) == expected, ref
    copy = resolve("copy", tmp_path / "elsewhere")
    assert (copy.id, copy.dataset, copy.path) == (first.id, "demo", tmp_path / "copy")


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("demo@ffff", "demo@ffff: no such version; demo has: {ids}"),
        ("demo@x", "demo@x: no such version; demo has: {ids}"),
        ("domo", "domo: no version and no dataset; datasets in {home}: demo"),
        ("domo@latest", "domo@latest: no version and no dataset; datasets in {home}: demo"),
        ("empty", "empty: the dataset has no version; datasets in {home}: demo"),
        ("../demo@latest", "../demo@latest: no version and no dataset; datasets in {home}: demo"),
        ("", ".: no version and no dataset; datasets in {home}: demo"),
    ],
)
def test_what_resolve_refuses(
    tmp_path: Path, three: list[Version], monkeypatch: pytest.MonkeyPatch, ref: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    ids = ", ".join(version.id for version in three)
    with pytest.raises(UsageError) as caught:
        resolve(ref, tmp_path)
    assert str(caught.value) == message.format(ids=ids, home=tmp_path)


def test_a_prefix_that_fits_several(tmp_path: Path, rows: Rows, published: Publish) -> None:
    first: dict[str, Version] = {}
    for n in range(1, 18):  # 17 names over 16 digits: two begin alike
        version = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(n))}})
        if other := first.get(version.id[0]):
            break
        first[version.id[0]] = version
    with pytest.raises(UsageError, match="fits 2 versions") as caught:
        resolve(f"demo@{version.id[0]}", tmp_path)
    assert other is not None
    assert version.id in str(caught.value)
    assert other.id in str(caught.value)


def test_latest_without_a_usable_pointer_is_the_newest(
    tmp_path: Path, three: list[Version]
) -> None:
    pointer = tmp_path / "demo" / "latest"
    assert pointer.read_text() == f"{three[2].id}\n"
    pointer.unlink()
    assert latest(tmp_path / "demo") == three[2]
    for text in (b"ffffffffffffffff", b"..", b"/etc", b"", b"\xff\xfe", b"x" * 10_000):
        pointer.write_bytes(text)
        assert latest(tmp_path / "demo") == three[2]
    pointer.write_text(three[0].id)
    assert latest(tmp_path / "demo") == three[0]
    assert latest(tmp_path / "nothing") is None


def test_verify_finds_each_damage(tmp_path: Path, sets: Sets, published: Publish) -> None:
    version = published(tmp_path / "demo", sets)
    names = [p.relative_to(version.path) for p in version.path.rglob("*") if p.is_file()]
    for name in names:
        copy = tmp_path / "copies" / name.as_posix().replace("/", "-") / version.id
        shutil.copytree(version.path, copy)
        assert verify_version(copy) == []
        path = copy / name
        path.chmod(0o644)
        data = path.read_bytes()
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        problems = verify_version(copy)
        path.unlink()
        missing = verify_version(copy)
        if name.name == "run.json":
            assert problems == missing == []
        else:
            assert [p.split(": ")[0] for p in problems][:1] == [str(path)]
            assert [p.split(": ")[0] for p in missing] == [str(path)]


def test_a_forged_list_of_sums_is_found(tmp_path: Path, sets: Sets, published: Publish) -> None:
    version = published(tmp_path / "demo", sets)
    path = version.path / "SHA256SUMS"
    path.chmod(0o644)
    path.write_text("".join(sorted(path.read_text().splitlines(keepends=True))[1:]))
    assert verify_version(version.path) == [f"{path}: does not belong to the version {version.id}"]


def test_version_id_does_not_depend_on_the_order_of_files() -> None:
    sums = {"b": "1" * 64, "a": "2" * 64}
    assert version_id(sums) == version_id(dict(reversed(sums.items())))
    assert version_id(sums) != version_id({"b": "2" * 64, "a": "1" * 64})


def test_open_version_without_run(tmp_path: Path, sets: Sets, published: Publish) -> None:
    version = published(tmp_path / "demo", sets)
    (version.path / "run.json").unlink()
    found = open_version(version.path)
    assert (found.created, found.parent, found.problem) == (None, None, None)
    assert found.rows == version.rows
    assert json.loads((version.path / "manifest.json").read_bytes()) == found.manifest()
