"""The store keeps what it acknowledged, once, and lets one process write."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.store.store import AsyncWriter, Store, StoreLocked

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("number", pa.int64()),
        pa.field("share", pa.float64()),
        pa.field("ids", pa.list_(pa.int32())),
        pa.field("vector", pa.list_(pa.float32())),
    ]
)


def _row(name: str, **values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    return {**empty, "id": name, **values}


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.text("abc", min_size=1, max_size=3),
            "text": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            "number": st.none() | st.integers(-(2**63), 2**63 - 1),
            "share": st.none() | st.floats(allow_nan=False),
            "ids": st.none() | st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5),
            "vector": st.none() | st.lists(st.floats(width=32, allow_nan=False), max_size=5),
        }
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_what_is_put_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("store") / "s.sqlite"
    with Store(path, SCHEMA, "id", write=True) as store:
        for row in rows:
            store.put([row])
    first = {row["id"]: row for row in reversed(rows)}  # a name is written once
    with Store(path, SCHEMA, "id") as store:
        table = store.all()
        assert table.schema == SCHEMA
        assert table.to_pylist() == [first[name] for name in sorted(first)]
        assert store.existing(["a", "zz"]) == ({"a"} & first.keys())
        assert store.count() == len(first)


def test_a_missing_store_reads_as_empty(tmp_path: Path) -> None:
    with Store(tmp_path / "none.sqlite", SCHEMA, "id") as store:
        assert store.all().num_rows == 0
        assert store.existing(["a"]) == set()
    assert not (tmp_path / "none.sqlite").exists()


def test_more_keys_than_one_query_takes(tmp_path: Path) -> None:
    names = [f"{i:05}" for i in range(2345)]
    with Store(tmp_path / "s", SCHEMA, "id", index=("text",), write=True) as store:
        store.put([_row(name, text=f"t{i % 7}") for i, name in enumerate(names)])
        assert store.existing([*names, "other"]) == set(names)
        assert store.get(names[:1000]).num_rows == 1000
        assert store.get(["t0"], "text", columns=["number"]).column_names == ["id", "number"]
        assert store.delete(names[:10]) == 10
        assert store.count() == 2335


def test_vectors_are_packed_and_exact(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    with Store(tmp_path / "s", SCHEMA, "id", write=True) as store:
        store.put([_row(f"{i:03}", vector=v) for i, v in enumerate(vectors)])
        back = store.all()["vector"].combine_chunks().flatten().to_numpy().reshape(50, 384)
    assert (back == vectors).all()


def test_a_second_writer_is_refused_and_named(tmp_path: Path) -> None:
    with Store(tmp_path / "s", SCHEMA, "id", write=True):
        with pytest.raises(StoreLocked, match=str(os.getpid())):
            Store(tmp_path / "s", SCHEMA, "id", write=True, wait=False)
        with Store(tmp_path / "s", SCHEMA, "id") as reader:  # readers are not
            assert reader.count() == 0
    with Store(tmp_path / "s", SCHEMA, "id", write=True, wait=False):
        pass


def test_a_waiting_writer_gets_the_store_when_the_first_dies(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.path[:0] = []\n"
        "from pathlib import Path\nimport pyarrow as pa\n"
        "from winnow.pipeline.store.store import Store\n"
        f"Store(Path({str(tmp_path / 's')!r}), pa.schema([('id', pa.string())]), 'id', write=True)\n"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    told: list[str] = []

    def on_wait(who: str) -> None:
        told.append(who)
        holder.send_signal(signal.SIGKILL)

    schema = pa.schema([("id", pa.string())])
    with Store(tmp_path / "s", schema, "id", write=True, on_wait=on_wait):
        assert told == [str(holder.pid)]
    holder.wait()


def test_another_layout_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    other = pa.schema([("id", pa.string()), ("else", pa.string())])
    with Store(tmp_path / "s", other, "id", write=True):
        pass
    with pytest.raises(WinnowError, match="another version"):
        Store(tmp_path / "s", SCHEMA, "id")
    with pytest.raises(WinnowError, match="another version"):
        Store(tmp_path / "s", SCHEMA, "id", write=True)
    with Store(tmp_path / "s", other, "id", write=True, wait=False):
        pass  # the failed opening let go of the lock


def test_a_file_whose_writer_died_before_its_table_was_made(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "s").close()
    (tmp_path / "s").touch()
    with Store(tmp_path / "s", SCHEMA, "id") as store:
        assert store.all().num_rows == 0
    with Store(tmp_path / "s", SCHEMA, "id", write=True) as store:
        store.put([_row("a")])
    with Store(tmp_path / "s", SCHEMA, "id") as store:
        assert store.count() == 1


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%41b", "a b"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    with Store(tmp_path / name / "s", SCHEMA, "id", write=True) as store:
        store.put([_row("a")])
    with Store(tmp_path / name / "s", SCHEMA, "id") as store:
        assert store.count() == 1


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    with Store(tmp_path / "s", SCHEMA, "id") as store, pytest.raises(RuntimeError):
        store.put([_row("a")])


def test_many_writers_in_flight_share_transactions(tmp_path: Path) -> None:
    commits = 0

    class Counting(Store):
        def put(self, rows: Any) -> None:
            nonlocal commits
            commits += 1
            super().put(rows)

    async def main(store: Store) -> None:
        async with AsyncWriter(store) as writer:
            await asyncio.gather(*(writer.put(_row(f"{i:04}")) for i in range(1000)))

    with Counting(tmp_path / "s", SCHEMA, "id", write=True) as store:
        asyncio.run(main(store))
        assert store.count() == 1000
    assert commits < 20


def test_a_failed_commit_reaches_every_caller_and_the_writer_lives_on(tmp_path: Path) -> None:
    async def main(store: Store) -> list[BaseException | None]:
        async with AsyncWriter(store) as writer:
            bad = _row("bad", number="x" * 10, ids="not numbers")
            found = await asyncio.gather(
                writer.put(bad), writer.put(_row("a")), return_exceptions=True
            )
            await writer.put(_row("b"))
            return list(found)

    with Store(tmp_path / "s", SCHEMA, "id", write=True) as store:
        failed = asyncio.run(main(store))
        assert all(isinstance(error, TypeError) for error in failed)
        assert store.existing(["a", "b", "bad"]) == {"b"}


def test_a_torn_write_ahead_log_loses_only_its_tail(tmp_path: Path) -> None:
    """What stands in the log after a crash in mid-write is cut at the next opening."""
    path = tmp_path / "s"
    code = (
        "from pathlib import Path\nimport os, pyarrow as pa\n"
        "from winnow.pipeline.store.store import Store\n"
        f"s = Store(Path({str(path)!r}), pa.schema([('id', pa.string())]), 'id', write=True)\n"
        "for i in range(50): s.put([{'id': f'{i:03}'}])\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    log = Path(f"{path}-wal")
    assert log.stat().st_size > 10_000, "the rows were expected in the write-ahead log"
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - 1000)
    schema = pa.schema([("id", pa.string())])
    with Store(path, schema, "id", write=True) as store:
        assert 40 <= store.count() < 50
        names = store.all()["id"].to_pylist()
        assert names == [f"{i:03}" for i in range(len(names))]
        store.put([{"id": "new"}])
        assert store.existing(["new"]) == {"new"}


def test_acknowledged_rows_survive_a_kill(tmp_path: Path) -> None:
    """A writer prints each acknowledged name; after kill -9 every printed name is there."""
    path = tmp_path / "s"
    code = (
        "import asyncio, itertools, sys\nfrom pathlib import Path\nimport pyarrow as pa\n"
        "from winnow.pipeline.store.store import AsyncWriter, Store\n"
        f"s = Store(Path({str(path)!r}), pa.schema([('id', pa.string())]), 'id', write=True)\n"
        "async def one(w, name):\n"
        "    await w.put({'id': name}); print(name, flush=True)\n"
        "async def main():\n"
        "    async with AsyncWriter(s) as w:\n"
        "        for i in itertools.count():\n"
        "            await asyncio.gather(*(one(w, f'{sys.argv[1]}-{i}-{j}') for j in range(8)))\n"
        "asyncio.run(main())"
    )
    schema = pa.schema([("id", pa.string())])
    acknowledged: set[str] = set()
    for life in range(5):
        with (tmp_path / "out").open("w") as out:
            process = subprocess.Popen([sys.executable, "-c", code, str(life)], stdout=out)
            while (tmp_path / "out").stat().st_size < 400 * (life + 1):
                time.sleep(0.005)
            process.kill()
            process.wait()
        lines = (tmp_path / "out").read_text().split("\n")
        acknowledged |= set(lines[:-1])  # the last one may be half a line
        with Store(path, schema, "id") as store:
            assert acknowledged <= set(store.all()["id"].to_pylist())
    assert len(acknowledged) > 100


def test_the_file_is_plain_sqlite(tmp_path: Path) -> None:
    with Store(tmp_path / "s", SCHEMA, "id", write=True) as store:
        store.put([_row("a", text="x", share=0.5)])
    with sqlite3.connect(tmp_path / "s") as db:
        assert db.execute("SELECT id, text, share FROM rows").fetchall() == [("a", "x", 0.5)]
