"""Bad sources, byte by byte: what is kept, which rules drop the rest, or the one clear error."""

import bz2
import gzip
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.sources.ingest import Ingested, ingest


def recipe(path: Path | str, **source: Any) -> Recipe:
    one = {"type": "dataset", "name": "s", "path": str(path), **source}
    return Recipe.model_validate({"dataset": "d", "sources": [one], "sets": {"rl": {}}})


def read(path: Path | str, **source: Any) -> Ingested:
    return ingest(recipe(path, **source), count_tokens=None, max_prompt_tokens=None)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server of the files of `folder`."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def dropped(taken: Ingested) -> dict[str, int]:
    rows = taken.ledger.to_pylist()
    return dict(Counter(row["rule"] for row in rows if row["decision"] == "dropped"))


@dataclass(frozen=True)
class Case:
    name: str
    file: str
    content: bytes
    kept: int = 0
    rules: dict[str, int] = field(default_factory=dict)
    detail: str = ""  # stands in the detail of a dropped row
    error: str = ""  # stands in the UsageError
    source: dict[str, Any] = field(default_factory=dict)


GOOD = b'{"prompt": "1+1?", "answer": "2"}\n'
LATER = b'{"prompt": "2+2?", "answer": "4"}\n'

CASES = [
    # JSON Lines
    Case("broken line", "a.jsonl", GOOD + b'{"prompt": "x", "ans\n' + LATER, 2,
         {"unreadable": 1}, "s[1]: line 2: not JSON"),
    Case("cut off at the end", "a.jsonl", GOOD + LATER + b'{"prompt": "3+', 2, {"unreadable": 1},
         "line 3"),
    Case("a number for a row", "a.jsonl", GOOD + b"17\n" + b"[1]\n" + b"null\n", 1,
         {"unreadable": 3}, "int, not an object"),
    Case("two objects on one line", "a.jsonl", GOOD + b'{"prompt":"a"}{"prompt":"b"}\n', 1,
         {"unreadable": 1}, "Extra data"),
    Case("empty lines are no rows", "a.jsonl", b"\n" + GOOD + b"\n  \n" + LATER + b"\n\n", 2),
    Case("byte order mark", "a.jsonl", b"\xef\xbb\xbf" + GOOD + LATER, 2),
    Case("CRLF", "a.jsonl", (GOOD + LATER).replace(b"\n", b"\r\n"), 2),
    Case("no newline at the end", "a.jsonl", GOOD + LATER.rstrip(), 2),
    Case("U+2028 inside a text ends no line", "a.jsonl",
         '{"prompt": "a\u2028b", "answer": "1"}\n'.encode() + LATER, 2),
    Case("not UTF-8 in a column in use", "a.jsonl",
         GOOD + b'{"prompt": "caf\xe9", "answer": "1"}\n' + LATER, 2, {"invalid_text": 1},
         "s[1]: prompt"),
    Case("not UTF-8 in another column", "a.jsonl",
         b'{"prompt": "a", "answer": "1", "note": "caf\xe9"}\n', 1),
    Case("lone surrogate", "a.jsonl", GOOD + b'{"prompt": "\\ud800", "answer": "1"}\n', 1,
         {"invalid_text": 1}),
    Case("lone surrogate in a kept column", "a.jsonl",
         GOOD.replace(b"}", b', "id": 1}') + b'{"prompt": "a", "answer": "1", "id": "\\udfff"}\n',
         1, {"invalid_text": 1}, "kept columns", source={"columns": {"keep": ["id"]}}),
    Case("NUL and control characters stay", "a.jsonl",
         b'{"prompt": "a\\u0000\\u0007b", "answer": "1"}\n', 1),
    Case("UTF-16", "a.jsonl", GOOD.decode().encode("utf-16"), error="is UTF-16, not UTF-8"),
    Case("nested too deeply", "a.jsonl", b"[" * 100_000 + b"\n" + GOOD, 1, {"unreadable": 1},
         "nested too deeply"),
    Case("integer of 5,000 digits", "a.jsonl",
         b'{"prompt": "a", "answer": ' + b"9" * 5000 + b"}\n" + GOOD, 1, {"unreadable": 1}, "line 1"),
    Case("nulls first", "a.jsonl",
         b'{"prompt": null, "answer": null, "x": null}\n' * 30_000 + GOOD.replace(b"}", b',"x":{}}'),
         1, {"missing_prompt": 30_000}),
    Case("types that change", "a.jsonl",
         b'{"prompt": 5, "answer": "1"}\n{"prompt": {"a": 1}, "answer": "1"}\n'
         b'{"prompt": true, "answer": "1"}\n{"prompt": "a", "answer": [1]}\n'
         b'{"prompt": "b", "answer": false}\n{"prompt": "c", "answer": 7}\n' + GOOD,
         2, {"wrong_type": 5}),
    Case("keys that come and go", "a.jsonl",
         b'{"answer": "1"}\n{"prompt": "a"}\n{}\n{"prompt": "b", "answer": "1", "c": {"d": []}}\n',
         1, {"missing_prompt": 2, "missing_answer": 1}),
    Case("nothing to see", "a.jsonl",
         b'{"prompt": " \\n\\u200b", "answer": "1"}\n{"prompt": "", "answer": "1"}\n'
         b'{"prompt": "a", "answer": "  "}\n' + GOOD, 1, {"empty_prompt": 2, "empty_answer": 1}),
    Case("not a number", "a.jsonl",
         b'{"prompt": "a", "answer": NaN}\n{"prompt": "b", "answer": Infinity}\n'
         b'{"prompt": NaN, "answer": 1}\n' + GOOD,
         1, {"missing_answer": 1, "wrong_type": 1, "missing_prompt": 1}),
    Case("exact duplicates", "a.jsonl", GOOD + LATER + GOOD + GOOD, 2, {"duplicate": 2},
         "s[2]: the same as s[0]"),
    Case("another reference is another task", "a.jsonl", GOOD + GOOD.replace(b'"2"', b'"two"'), 2),
    Case("no rows at all", "a.jsonl", b"", 0),
    Case("every line is broken", "a.jsonl", b"{\n}\n<html>\n", 0, {"unreadable": 3}),
    Case("a prompt of a million characters", "a.jsonl",
         b'{"prompt": "' + b"ab " * 350_000 + b'", "answer": 1}\n', 1),
    Case("gzip", "a.jsonl.gz", gzip.compress(GOOD + b"{\n" + LATER), 2, {"unreadable": 1}),
    Case("bzip2", "a.jsonl.bz2", bz2.compress(GOOD + LATER), 2),
    Case("zstd", "a.csv.zst", pa.compress(b"prompt,answer\na,1\n", "zstd", asbytes=True), 1),
    Case("cut gzip", "a.jsonl.gz", gzip.compress(GOOD * 1000)[:-20], error="cannot be read"),
    Case("gzip that is none", "a.jsonl.gz", GOOD, error="cannot be read"),
    # conversations
    Case("conversations", "a.jsonl",
         b'{"prompt": [{"role": "user", "content": "hi"}], "answer": "1"}\n'
         b'{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],'
         b' "answer": "1"}\n'
         b'{"prompt": [{"role": "tool", "content": "a"}], "answer": "1"}\n'
         b'{"prompt": [{"from": "human", "value": "a"}], "answer": "1"}\n'
         b'{"prompt": [{"role": "user", "content": ["a"]}], "answer": "1"}\n'
         b'{"prompt": [{"role": "user", "content": " "}], "answer": "1"}\n'
         b'{"prompt": [], "answer": "1"}\n{"prompt": ["hi"], "answer": "1"}\n',
         1, {"wrong_type": 5, "empty_prompt": 2}),
    # JSON
    Case("array", "a.json", b"[" + GOOD + b"," + LATER + b", 5]", 2, {"unreadable": 1}),
    Case("array of nothing", "a.json", b" [ ] \n", 0),
    Case("array that breaks", "a.json", b"[" + GOOD + b', {"prompt": }, ' + LATER + b"]", 1,
         {"unreadable": 1}, "element 2 and all after it"),
    Case("array that does not end", "a.json", b"[" + GOOD, 0, {"unreadable": 1}, "element 1"),
    Case("array with nothing but its beginning", "a.json", b"[", 0, {"unreadable": 1}),
    Case("text after the array", "a.json", b"[" + GOOD + b"][" + LATER + b"]", 1,
         {"unreadable": 1}, "after the array's end"),
    Case("lines in a .json", "a.json", GOOD + b"oops\n" + LATER, 2, {"unreadable": 1}),
    Case("one object over many lines", "a.json", b'{\n"prompt": "a",\n"answer": "b"\n}',
         error="holds one JSON object"),
    # CSV
    Case("all fields are text", "a.csv", b"prompt,answer\na,007\nb,1e5\nc,NA\nd,\n", 3,
         {"empty_answer": 1}),
    Case("ragged lines", "a.csv", b"prompt,answer\na,1\nb\nc,1,2\nd,4\n", 2, {"unreadable": 2},
         "line 4: 3 fields where the header has 2"),
    Case("quoted newlines", "a.csv", b'prompt,answer\n"a\nb",1\n\nc\nd,2\n', 2, {"unreadable": 1},
         "line 5"),
    Case("a quote that nobody closes", "a.csv", b'prompt,answer\na,1\n"b,2\nc,3\nd,4\n', 3,
         {"unreadable": 1}, "line 3"),
    Case("text behind a closed quote", "a.csv", b'prompt,answer\n"a"b,1\nc,2\n', 1,
         {"unreadable": 1}, "line 2"),
    Case("not UTF-8", "a.csv", b"prompt,answer\ncaf\xe9,1\nb,2\n", 1, {"invalid_text": 1}),
    Case("a field of 300,000 characters", "a.csv", b"prompt,answer\n" + b"x" * 300_000 + b",1\n", 1),
    Case("byte order mark, CRLF", "a.csv", b"\xef\xbb\xbfprompt,answer\r\na,1\r\nb,2\r\n", 2),
    Case("tabs", "a.tsv", b"prompt\tanswer\na, b\t1\n", 1),
    Case("a column twice", "a.csv", b"prompt,answer,prompt\na,1,b\n", error="two columns are named"),
    Case("broken header", "a.csv", b'"prompt,answer\na,1\n', error="the header, line 1"),
    Case("semicolons", "a.csv", b"prompt;answer\na;1\n", error="there are: ['prompt;answer']"),
    # the source as a whole
    Case("no prompt column", "a.jsonl", b'{"question": "a", "answer": "1"}\n',
         error="source 's': columns.prompt: no column 'prompt'; there are: ['question', 'answer']"),
    Case("misspelt column", "a.csv", b"prompts,answer\na,1\n", error="did you mean 'prompts'?"),
    Case("no answer column", "a.jsonl", b'{"prompt": "a"}\n', error="columns.answer: no column"),
    Case("no kept column", "a.jsonl", GOOD, error="columns.keep: no column 'id'",
         source={"columns": {"keep": ["id"]}}),
    Case("no domain column", "a.jsonl", GOOD, error="columns.domain: no column 'subject'",
         source={"columns": {"domain": "subject"}}),
    Case("another split", "a.jsonl", GOOD, error="split: no split 'test'; the source has: train",
         source={"split": "test"}),
    Case("split that cannot be read", "a.jsonl", GOOD, error="split: ",
         source={"split": "train[1:"}),
    Case("configuration of a file", "a.jsonl", GOOD, error="config: ", source={"config": "main"}),
    Case("revision of a file", "a.jsonl", GOOD, error="revision: ", source={"revision": "v1"}),
    Case("Parquet that is none", "a.parquet", b"PAR1 nonsense PAR1", error="cannot be read"),
    Case("empty Parquet file", "a.parquet", b"", error="cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file} {case.name}")
def test_bad_source(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.file
    path.write_bytes(case.content)
    if case.error:
        with pytest.raises(UsageError) as caught:
            read(path, **case.source)
        assert case.error in str(caught.value)
        assert str(caught.value).startswith("source 's': ")
        assert "\n" not in str(caught.value)
        return
    taken = read(path, **case.source)
    taken.prompts.validate(full=True)
    taken.ledger.validate(full=True)
    assert dropped(taken) == case.rules
    assert taken.prompts.num_rows == case.kept
    assert taken.ledger.num_rows == case.kept + sum(case.rules.values())
    details = [r["detail"] for r in taken.ledger.to_pylist() if r["decision"] == "dropped"]
    assert not case.detail or any(case.detail in detail for detail in details), details


def test_text_arrives_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('prompt,answer\n" a\nb ""é"" \t",007\n'.encode())
    (row,) = read(path).prompts.to_pylist()
    assert row["messages"] == [{"role": "user", "content": ' a\nb "é" \t'}]
    assert row["answer"] == "007"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{tmp}/nowhere.jsonl", "path: no such file or folder"),
        ("{tmp}/train.jsnl", "did you mean 'train.jsonl'?"),
        ("{tmp}/no/folder/a.csv", "nor a folder"),
        ("{tmp}/*.csv", "path: no file matches"),
        ("{tmp}/empty", "path: "),
        ("http://127.0.0.1:9/a.jsonl", "path: Unable to find 'http://127.0.0.1:9/a.jsonl'"),
        ("{server}/*.jsonl", "path: no file matches"),
        ("nosuch://bucket/a.jsonl", "path: Protocol not known: nosuch"),
        ("nobody/has-this-dataset", "path: Couldn't reach 'nobody/has-this-dataset' on the Hub"),
    ],
)
def test_nothing_there(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(GOOD)
    (tmp_path / "empty").mkdir()
    with serving(tmp_path / "empty") as server, pytest.raises(UsageError) as caught:
        read(path.format(tmp=tmp_path, server=server))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parquet_with_text_that_is_not_utf8(tmp_path: Path) -> None:
    texts = pa.array([b"a", b"caf\xe9", b"b"]).cast(pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, texts.buffers())
    pq.write_table(pa.table({"prompt": broken, "answer": ["1", "2", "3"]}), tmp_path / "a.parquet")
    taken = read(tmp_path / "a.parquet")
    assert taken.prompts.num_rows == 2
    assert dropped(taken) == {"unreadable": 1}


def test_parquet_values_that_are_no_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "prompt": [None, "a", "b", "c"],
            "answer": pa.array([1.0, float("nan"), 0.1, 1e22]),
            "when": pa.array([0, 0, 0, 2**40], pa.timestamp("s")),  # year 36,812
            "raw": pa.array([b"", b"", b"\xff", b""]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    taken = read(tmp_path / "a.parquet", columns={"keep": ["when", "raw"]})
    assert dropped(taken) == {"missing_prompt": 1, "missing_answer": 1, "unreadable": 1}
    (row,) = taken.prompts.to_pylist()
    assert row["answer"] == "0.1"
    assert row["meta"] == '{"raw":"/w==","when":"1970-01-01T00:00:00"}'
