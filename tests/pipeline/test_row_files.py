"""Rows come out as they went in, with further columns."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline import row_files
from winnow.pipeline.errors import UsageError
from winnow.pipeline.row_files import RowFile, RowWriter

ADDED = pa.schema([("length", pa.int64()), ("note", pa.string())])


def rewrite(source: Path, output: Path) -> None:
    """Copy with the length of `text`, and a note on rows without one."""
    file = RowFile(source)
    with RowWriter(output, file, ADDED) as writer:
        for batch in file.batches():
            texts = batch.column("text")
            writer.write(
                batch,
                {
                    "length": [None if text is None else len(text) for text in texts],
                    "note": ["none" if text is None else None for text in texts],
                },
            )


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_parquet_keeps_its_schema(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["a", None, "ccc"]).dictionary_encode(),
            "deep": pa.array([[{"x": 1}], [], None], pa.list_(pa.struct([("x", pa.int8())]))),
            "note": [1, 2, 3],  # replaced
        }
    ).replace_schema_metadata({"who": "me"})
    pq.write_table(table, tmp_path / "in.parquet")
    rewrite(tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column_names == ["text", "deep", "length", "note"]
    assert found.schema.field("deep").type == table.schema.field("deep").type
    assert found.schema.metadata[b"who"] == b"me"
    assert found["deep"].to_pylist() == table["deep"].to_pylist()
    assert found["note"].to_pylist() == [None, "none", None]


@settings(deadline=None, max_examples=30)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"text": st.none() | st.text(st.characters(exclude_categories=["Cs"]))},
            optional={"x": st.integers() | st.lists(st.booleans()) | st.text(max_size=3)},
        ),
        max_size=20,
    )
)
def test_json_lines_stay_what_they_are(tmp_path_factory: Any, rows: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    source = folder / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    rewrite(source, folder / "out.jsonl")
    found = [json.loads(line) for line in (folder / "out.jsonl").open(encoding="utf-8")]
    assert [{k: v for k, v in row.items() if k not in ADDED.names} for row in found] == rows
    assert [row["length"] for row in found] == [
        None if row["text"] is None else len(row["text"]) for row in rows
    ]


def test_many_batches_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_files, "BATCH", 7)
    table = pa.table({"text": [str(n) for n in range(100)]})
    pq.write_table(table, tmp_path / "in.parquet")
    rewrite(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    rewrite(tmp_path / "out.jsonl", tmp_path / "back.parquet")
    assert pq.read_table(tmp_path / "back.parquet")["text"].to_pylist() == table["text"].to_pylist()


def test_an_empty_file_has_the_added_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "in.parquet")
    rewrite(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").column_names == ["text", "length", "note"]
    (tmp_path / "in.jsonl").write_text("")
    rewrite(tmp_path / "in.jsonl", tmp_path / "out2.parquet")
    assert pq.read_table(tmp_path / "out2.parquet").column_names == ["length", "note"]


def test_a_broken_line_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "a"}\n\n{"text": \n')
    with pytest.raises(UsageError, match=r"in\.jsonl, line 3: not JSON"):
        RowFile(source)
    source.write_text('{"text": "a"}\n[1]\n')
    with pytest.raises(UsageError, match=r"line 2: list, not an object"):
        RowFile(source)
    source.write_text('{"text": 5}\n')
    with pytest.raises(TypeError):
        rewrite(source, tmp_path / "out.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]


@pytest.mark.parametrize(
    ("input_name", "output_name", "message"),
    [
        ("missing.jsonl", "out.jsonl", "no such file"),
        ("in.csv", "out.jsonl", "must end in .parquet"),
        ("in.jsonl", "out.txt", "must end in .parquet"),
        ("in.jsonl", "in.jsonl", "is the input itself"),
        ("in.jsonl", "nowhere/out.jsonl", "there is no folder"),
        ("in.parquet", "out.jsonl", "cannot be read as Parquet"),
        ("twice.parquet", "out.parquet", "two columns are called text"),
    ],
)
def test_wrong_files_say_what_is_wrong(
    tmp_path: Path, input_name: str, output_name: str, message: str
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "in.parquet").write_text("no parquet")
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(UsageError, match=message):
        rewrite(tmp_path / input_name, tmp_path / output_name)


def test_texts_are_text(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "a"}\n{"text": null}\n{"text": 7}\n')
    with pytest.raises(UsageError, match=r"row 2: text: int, not text"):
        RowFile(source).texts("text")
    source.write_text('{"text": "a"}\n{}\n')
    assert RowFile(source).texts("text").to_pylist() == ["a", None]
    with pytest.raises(UsageError, match=r"no column 'txt' \(--column\); there are: text"):
        RowFile(source).require("txt", "--column")


def test_a_column_of_two_types_has_no_parquet_form(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a", "x": 1}\n{"text": "b", "x": "1"}\n')
    with pytest.raises(UsageError, match="does not keep one type.*write JSON Lines"):
        rewrite(tmp_path / "in.jsonl", tmp_path / "out.parquet")
    rewrite(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert [row["x"] for row in lines(tmp_path / "out.jsonl")] == [1, "1"]
