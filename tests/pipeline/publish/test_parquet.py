import hashlib
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from winnow.pipeline.publish import parquet
from winnow.pipeline.publish.formats.images import IMAGE
from winnow.pipeline.publish.parquet import write_table
from winnow.pipeline.schema import LEDGER, MESSAGES, column, describe

SCHEMA = pa.schema(
    [
        column("id", pa.string(), "Name."),
        column("messages", MESSAGES, "Conversation."),
        column("score", pa.float64(), "Score.", null="not scored"),
        column("tokens", pa.list_(pa.int32()), "Tokens.", null="unknown"),
        column("flag", pa.bool_(), "Flag."),
        column("text", pa.string(), "Text.", null="none"),
    ]
)
ROW = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from("ua"), "content": st.text(max_size=9)}),
            max_size=3,
        ),
        "score": st.none() | st.floats(allow_nan=False),
        "tokens": st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=4),
        "flag": st.booleans(),
        "text": st.none() | st.text(max_size=20),
    }
)
ROWS = st.dictionaries(st.text(max_size=6), ROW, max_size=30).map(
    lambda rows: [{"id": name, **row} for name, row in rows.items()]
)


def rechunked(rows: list[dict[str, Any]], cuts: list[int]) -> pa.Table:
    places = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    parts = [rows[a:b] for a, b in itertools.pairwise(places)]
    tables = [pa.Table.from_pylist(part, SCHEMA) for part in parts]
    return pa.concat_tables([SCHEMA.empty_table(), *tables])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.lists(st.integers(0, 30), max_size=4))
def test_bytes_follow_from_the_rows_alone(
    tmp_path: Path, rows: list[dict[str, Any]], random: Any, cuts: list[int]
) -> None:
    first = write_table(rechunked(rows, []), tmp_path / "a.parquet")
    shuffled = random.sample(rows, len(rows))
    # A slice keeps its parent's buffers and offsets, which must not reach the file.
    sliced = rechunked([{**rows[0], "id": "?"}, *shuffled], cuts).slice(1) if rows else None
    other = rechunked(shuffled, cuts) if sliced is None else sliced
    assert write_table(other, tmp_path / "b.parquet") == first
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()

    back = pq.read_table(tmp_path / "b.parquet")
    assert back.to_pylist() == sorted(rows, key=lambda row: row["id"].encode())
    assert back.schema.equals(SCHEMA)
    assert write_table(back, tmp_path / "c.parquet") == first


def big_table(n: int, order: list[int], chunk: int) -> pa.Table:
    rows = [
        {
            "id": f"{k:06d}",
            "messages": [{"role": "user", "content": f"{k} " * (k % 40)}],
            "score": k / 7,
            "tokens": list(range(k % 11)),
            "flag": k % 3 == 0,
            "text": None if k % 5 == 0 else f"text {k % 100}",
        }
        for k in order
    ]
    return pa.concat_tables(
        pa.Table.from_pylist(rows[at : at + chunk], SCHEMA) for at in range(0, n, chunk)
    )


def test_bytes_over_several_groups_and_thread_counts(tmp_path: Path) -> None:
    n = 2 * parquet.ROW_GROUP_ROWS + 500
    threads = pa.cpu_count()
    written = []
    try:
        for at, (count, step, chunk) in enumerate([(1, 1, n), (4, 1009, 77), (8, 7919, 1000)]):
            pa.set_cpu_count(count)
            table = big_table(n, [k * step % n for k in range(n)], chunk)
            written.append(write_table(table, tmp_path / f"{at}.parquet"))
    finally:
        pa.set_cpu_count(threads)
    assert written[0] == written[1] == written[2]
    assert written[0].rows == n
    meta = pq.read_metadata(tmp_path / "0.parquet")
    assert [meta.row_group(k).num_rows for k in range(meta.num_row_groups)] == [2048, 2048, 500]


def test_facts_of_the_file(tmp_path: Path) -> None:
    done = write_table(big_table(10, list(range(10)), 10), tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    assert (done.sha256, done.size, done.rows) == (
        hashlib.sha256(data).hexdigest(), len(data), 10
    )  # fmt: skip


def test_one_changed_value_changes_the_bytes(tmp_path: Path) -> None:
    table = big_table(10, list(range(10)), 10)
    changed = table.set_column(4, SCHEMA.field("flag"), pa.array([True] * 10))
    a, b = (write_table(t, tmp_path / "t.parquet").sha256 for t in (table, changed))
    assert a != b


def test_only_the_columns_metadata_stays(tmp_path: Path) -> None:
    table = SCHEMA.empty_table().replace_schema_metadata({"pandas": "{}", "huggingface": "{}"})
    write_table(table, tmp_path / "t.parquet")
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.metadata is None
    assert [row[2] for row in describe(schema)] == [row[2] for row in describe(SCHEMA)]
    assert [field.nullable for field in schema] == [field.nullable for field in SCHEMA]


def test_a_table_without_rows_has_no_row_group(tmp_path: Path) -> None:
    assert write_table(SCHEMA.empty_table(), tmp_path / "t.parquet").rows == 0
    assert pq.read_metadata(tmp_path / "t.parquet").num_row_groups == 0
    assert pq.read_table(tmp_path / "t.parquet").schema.equals(SCHEMA)


def test_bad_keys(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(ValueError, match="1 rows have the same id"):
        write_table(pa.table({"id": ["a", "b", "a"]}), path)
    with pytest.raises(ValueError, match="1 rows have no id"):
        write_table(pa.table({"id": ["a", None]}), path)


def test_rows_with_equal_keys_keep_no_order_of_their_own(tmp_path: Path) -> None:
    rows = [
        {"row_id": f"r{k % 3}", "stage": f"s{k % 2}", "decision": "kept", "rule": "x",
         "value": None if k % 4 else str(k)}
        for k in range(24)
    ]  # fmt: skip
    paths = []
    for at, order in enumerate((rows, rows[::-1])):
        table = pa.Table.from_pylist(order, LEDGER)
        paths.append(tmp_path / f"{at}.parquet")
        write_table(table, paths[-1], sort_by=LEDGER.names, unique=False)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_text_beyond_a_column_chunk_halves_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than 2 GiB in one group does not fit a test, so narrowing refuses from 4 rows on."""
    real = pa.Table.cast
    table = big_table(10, list(range(10)), 3)

    class Narrow:
        def __init__(self, inner: pa.Table) -> None:
            self.inner = inner

        def take(self, at: pa.Array) -> "Narrow":
            return Narrow(self.inner.take(at).combine_chunks())

        def cast(self, schema: pa.Schema) -> pa.Table:
            if self.inner.num_rows >= 4:
                raise pa.ArrowInvalid("too large")
            return real(self.inner, schema)

    groups = list(parquet._narrow(Narrow(table), table.schema, pa.array(range(10))))
    assert [group.num_rows for group in groups] == [2, 3, 2, 3]
    assert pa.concat_tables(groups).equals(table)


def test_rows_with_images_stand_in_small_groups(tmp_path: Path) -> None:
    n = 2 * parquet.IMAGE_GROUP_ROWS + 5
    images = pa.array(
        [[{"bytes": bytes([at % 256]) * 1000, "path": None}] for at in range(n)], pa.list_(IMAGE)
    )
    table = pa.table({"id": [f"{at:05}" for at in range(n)], "images": images})
    parquet.write_table(table, tmp_path / "rows.parquet")
    found = pq.ParquetFile(tmp_path / "rows.parquet")
    assert [found.metadata.row_group(at).num_rows for at in range(found.num_row_groups)] == [
        100,
        100,
        5,
    ]
    assert found.read()["images"].to_pylist() == images.to_pylist()
