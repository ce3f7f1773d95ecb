import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.publish.diff import KeyChange, Reason, Unseen, diff
from winnow.pipeline.publish.version import Version

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Rows = Mapping[str, Callable[..., pa.Table]]
Manifest = Callable[..., dict[str, Any]]


def test_rows_that_came_went_and_changed_and_why(
    tmp_path: Path, rows: Rows, published: Publish
) -> None:
    sft, ledger = rows["sft"], rows["ledger"]
    before = published(
        tmp_path / "demo",
        {"sft": {"train": sft(range(6)), "holdout": sft(range(6, 8))}},
        ledger=ledger(
            ("rollout-9", "training_set/sft", "dropped", "uds", "0.2", "0.5"),
            ("task-9", "training_set/rl", "dropped", "pass_rate", "1.0", "0.9"),
        ),
    )
    after_train = pa.concat_tables(
        [sft(range(2, 4)), sft(range(4, 5), "another answer"), sft(range(6, 7)), sft(range(8, 10))]
    )
    after = published(
        tmp_path / "demo",
        {"sft": {"train": after_train, "holdout": sft(range(7, 8))}},
        ledger=ledger(
            ("task-0", "training_set/sft", "dropped", "pass_rate", "1.0", "0.9"),
            ("task-0", "training_set/rl", "dropped", "budget", "7", "5"),
            ("prompt-1", "prompts", "dropped", "duplicate", None, None),
            ("task-1", "training_set/rl", "dropped", "budget", "8", "5"),
            ("rollout-1", "training_set/sft", "kept", "all", None, None),
            ("sft-000004", "training_set/sft", "kept", "uds", "0.7", "0.5"),
            ("rollout-5", "verdicts", "pending", "not judged", None, None),
            ("task-5", "training_set/sft", "dropped", "min_judged", "0", "1"),
        ),
    )
    (found,) = diff(before, after).sets
    assert (found.rows_before, found.rows_after, found.same) == (8, 7, False)

    assert [(r.id, r.before, r.after) for r in found.removed.rows] == [
        (f"sft-00000{n}", "train", None) for n in (0, 1, 5)
    ]
    assert [r.reason for r in found.removed.rows] == [
        Reason("training_set/sft", "dropped", "pass_rate", "1.0", "0.9", None),
        Reason("prompts", "dropped", "duplicate", None, None, None),
        # The set's own decision, not the earlier stage's.
        Reason("training_set/sft", "dropped", "min_judged", "0", "1", None),
    ]
    assert found.removed.why == {
        ("training_set/sft", "pass_rate"): 1,
        ("prompts", "duplicate"): 1,
        ("training_set/sft", "min_judged"): 1,
    }

    assert [(r.id, r.before, r.after) for r in found.added.rows] == [
        ("sft-000008", None, "train"),
        ("sft-000009", None, "train"),
    ]
    assert [r.reason for r in found.added.rows] == [
        Unseen.NEW,  # the earlier version never saw it
        Reason("training_set/sft", "dropped", "uds", "0.2", "0.5", None),
    ]
    assert found.added.why == {Unseen.NEW: 1, ("training_set/sft", "uds"): 1}

    assert [(r.id, r.before, r.after, r.columns) for r in found.changed.rows] == [
        ("sft-000004", "train", "train", ("messages",)),
        ("sft-000006", "holdout", "train", ()),
    ]
    assert [
        r.reason.rule if isinstance(r.reason, Reason) else None for r in found.changed.rows
    ] == ["uds", None]


def test_the_way_back_swaps_added_and_removed(
    tmp_path: Path, rows: Rows, published: Publish
) -> None:
    a = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(4))}})
    b = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(3, 9))}})
    (there,), (back,) = diff(a, b).sets, diff(b, a).sets
    assert [r.id for r in there.added.rows] == [r.id for r in back.removed.rows]
    assert [r.id for r in there.removed.rows] == [r.id for r in back.added.rows]
    assert (there.added.count, there.removed.count, there.changed.count) == (5, 3, 0)


def test_equal_versions_and_equal_rows(tmp_path: Path, sets: Sets, published: Publish) -> None:
    a = published(tmp_path / "demo", sets)
    same = diff(a, a)
    assert all(part.same for part in same.sets)
    assert (same.recipe, same.made_with) == ((), ())
    # Other files (the holdout's rows stand in train), the same rows.
    moved = {**sets, "sft": {"train": pa.concat_tables(list(sets["sft"].values()))}}
    found = next(p for p in diff(a, published(tmp_path / "demo", moved)).sets if p.name == "sft")
    assert (found.added.count, found.removed.count, found.changed.count) == (0, 0, 10)
    assert {(r.before, r.after, r.columns) for r in found.changed.rows} == {
        ("holdout", "train", ())
    }


def test_limit_bounds_the_rows_and_not_the_counts(
    tmp_path: Path, rows: Rows, published: Publish
) -> None:
    a = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(100))}})
    b = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(90, 300))}})
    (found,) = diff(a, b, limit=3).sets
    assert [r.id for r in found.removed.rows] == ["rl-000000", "rl-000001", "rl-000002"]
    assert (found.removed.count, found.added.count) == (90, 200)
    assert found.added.why == {Unseen.NEW: 200}
    (none,) = diff(a, b, limit=0).sets
    assert (none.removed.rows, none.removed.count) == ((), 90)


def test_sets_and_columns_that_came_and_went(
    tmp_path: Path, rows: Rows, published: Publish
) -> None:
    table = rows["rl"](range(3))
    a = published(
        tmp_path / "demo",
        {"old": {"train": table}, "rl": {"train": table}},
        ledger=rows["ledger"](
            *((f"task-{n}", "prompts", "kept", "ingested") for n in range(3)),
            ("rl-000001", "training_set/new", "dropped", "budget", "9", "5"),
        ),
    )
    retyped = table.drop_columns(["cluster"]).append_column("extra", pa.array([1, 2, 3]))
    at = table.schema.get_field_index("n_judged")
    retyped = retyped.set_column(at, "n_judged", pa.array([4, 4, 4], pa.int64()))
    b = published(tmp_path / "demo", {"new": {"train": table}, "rl": {"train": retyped}})
    new, old, rl = diff(a, b).sets
    assert (new.name, new.added.count, new.removed.count, new.columns) == ("new", 3, 0, ())
    assert new.added.why == {None: 2, ("training_set/new", "budget"): 1}
    assert (old.name, old.added.count, old.removed.count, old.columns) == ("old", 0, 3, ())
    assert old.removed.why == {Unseen.GONE: 3}
    assert rl.columns == (
        KeyChange("cluster", "int32", None),
        KeyChange("extra", None, "int64"),
        KeyChange("n_judged", "int32", "int64"),
    )
    assert (rl.added.count, rl.removed.count, rl.changed.count, rl.same) == (0, 0, 0, False)


def test_recipe_and_what_it_was_made_with(
    tmp_path: Path, sets: Sets, published: Publish, manifest: Manifest, recipe_text: str
) -> None:
    a = published(tmp_path / "demo", sets)
    text = recipe_text.replace("0.9]", "0.8]").replace("size: 20", "size: 30")
    text = text.replace("name: file", "name: other-file")
    b = published(
        tmp_path / "demo",
        {"rl": sets["rl"], "preference": sets["preference"]},
        reuse={"sft": a},
        manifest=manifest(
            text.replace("per_prompt: 2", "per_prompt: 3"),
            code_version="0.2.0",
            models={"policy": "model@2", "embedder": "mini@2"},
            inputs={"prompts": "aa", "rollouts": "cc"},
            verifiers=["math@2"],
        ),
    )
    found = diff(a, b)
    assert all(part.same for part in found.sets)
    keys = {change.key: (change.before, change.after) for change in found.recipe}
    assert keys["sets.rl.pass_rate[1]"] == (0.9, 0.8)
    assert keys["sources[leg_counting].size"] == (20, 30)
    assert keys["sources[file].path"] == ("rows.jsonl", None)
    assert keys["sources[other-file].path"] == (None, "rows.jsonl")
    # The linked set was built with the old setting.
    assert not [key for key in keys if key.startswith("sets.sft")]
    assert found.made_with == (
        KeyChange("code_version", "0.1.0", "0.2.0"),
        KeyChange("inputs.rollouts", "bb", "cc"),
        KeyChange("models.policy", "model@1", "model@2"),
        KeyChange("verifiers", "math@1, reasoning_gym@1", "math@2"),
    )


def test_a_missing_file_is_named(tmp_path: Path, rows: Rows, published: Publish) -> None:
    a = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(4))}})
    b = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(5))}})
    (b.path / "rl" / "train.parquet").unlink()
    with pytest.raises(WinnowError, match=r"rl/train\.parquet: is missing"):
        diff(a, b)


def test_hostile_names_and_values(tmp_path: Path, rows: Rows, published: Publish) -> None:
    """Column names, ids and ledger entries reach SQL as names and values, never as code."""
    evil = "x'; DROP TABLE hits; --\"*[a]"

    def table(value: str) -> pa.Table:
        return pa.table({"id": [evil, "b"], evil: [value, "same"]})

    folder = tmp_path / "odd * [name] 'x'" / "demo"
    ledger = rows["ledger"]((evil, "training_set/s", "kept", evil, evil, evil))
    a = published(folder, {"s": {"train": table("1")}}, ledger=ledger)
    b = published(folder, {"s": {"train": table("2")}}, ledger=ledger)
    (found,) = diff(a, b).sets
    (row,) = found.changed.rows
    assert (row.id, row.columns) == (evil, (evil,))
    assert row.reason == Reason("training_set/s", "kept", evil, evil, evil, None)


VALUE = st.none() | st.floats(allow_nan=True) | st.just(-0.0)
SIDE = st.dictionaries(
    st.sampled_from([f"row {k}" for k in range(6)]),
    st.tuples(
        st.sampled_from(["train", "holdout"]),
        VALUE,
        st.none() | st.lists(st.none() | st.text(max_size=2), max_size=2),
    ),
    min_size=1,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(SIDE, SIDE)
def test_counts_against_a_plain_comparison(
    tmp_path: Path, published: Publish, a: dict[str, Any], b: dict[str, Any]
) -> None:
    schema = pa.schema(
        [("id", pa.string()), ("number", pa.float64()), ("texts", pa.list_(pa.string()))]
    )

    def version(side: dict[str, Any]) -> Version:
        splits = {
            split: pa.Table.from_pylist(
                [
                    {"id": name, "number": number, "texts": texts}
                    for name, (at, number, texts) in side.items()
                    if at == split
                ],
                schema,
            )
            for split in ("train", "holdout")
        }
        return published(tmp_path / f"{random.getrandbits(64):x}", {"s": splits})

    def text(value: Any) -> str:
        return "0.0" if value == 0 else repr(value)  # -0.0 equals 0.0, NaN equals NaN

    (found,) = diff(version(a), version(b)).sets
    assert {r.id for r in found.added.rows} == b.keys() - a.keys()
    assert {r.id for r in found.removed.rows} == a.keys() - b.keys()
    assert {r.id: (r.before, r.after, r.columns) for r in found.changed.rows} == {
        name: (
            a[name][0],
            b[name][0],
            ("number",) * (text(a[name][1]) != text(b[name][1]))
            + ("texts",) * (text(a[name][2]) != text(b[name][2])),
        )
        for name in a.keys() & b.keys()
        if [a[name][0], *map(text, a[name][1:])] != [b[name][0], *map(text, b[name][1:])]
    }
