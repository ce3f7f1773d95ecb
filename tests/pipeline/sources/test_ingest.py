import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import SourceRow
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import Message, prompt_id, task_id
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.schema import LEDGER, PROMPTS
from winnow.pipeline.sources import ingest as ingest_module
from winnow.pipeline.sources.growing import Growing
from winnow.pipeline.sources.ingest import Ingested, check_sources, ingest
from winnow.pipeline.sources.rows import Drop, answer

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
VERIFIERS = ("math", "reasoning_gym")


def recipe(*sources: dict[str, Any], **more: Any) -> Recipe:
    named = [{"type": "dataset", "name": f"s{at}", **s} for at, s in enumerate(sources)]
    return Recipe.model_validate({"dataset": "d", "sources": named, "sets": {"rl": {}}, **more})


def read(of: Recipe, **more: Any) -> Ingested:
    taken = ingest(of, **{"count_tokens": None, "max_prompt_tokens": None, **more})
    taken.prompts.validate(full=True)
    taken.ledger.validate(full=True)
    assert taken.prompts.schema == PROMPTS
    assert taken.ledger.schema == LEDGER
    for table in (taken.prompts, taken.ledger):
        for field in table.schema:
            assert field.nullable or table.column(field.name).null_count == 0, field.name
    return taken


def write(path: Path, *rows: Any) -> dict[str, Any]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"path": str(path)}


def rules(taken: Ingested) -> Counter[str]:
    return Counter(taken.ledger.column("rule").to_pylist())


def words(messages: list[Message]) -> int:
    return sum(len(m["content"].split()) for m in messages)


# One row.


def test_a_row_in_full(tmp_path: Path) -> None:
    row = {"q": "What is {x}? {prompt}", "a": "4", "topic": "sums", "id": 7, "more": [1, None]}
    source = write(tmp_path / "a.jsonl", row)
    columns = {"prompt": "q", "answer": "a", "domain": "topic", "keep": ["more", "id"]}
    taken = read(
        recipe(
            {**source, "columns": columns, "licence": "mit", "verifier_args": {"b": 1, "a": [2]}},
            prompting={"system": "Be brief.", "template": "{prompt}\nAnswer {briefly}."},
        ),
        count_tokens=words,
        max_prompt_tokens=100,
    )
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is {x}? {prompt}\nAnswer {briefly}."},
    ]
    (prompt,) = taken.prompts.to_pylist()
    name = prompt_id(messages)
    assert prompt == {
        "task_id": task_id(name, "4", "math", {"b": 1, "a": [2]}),
        "prompt_id": name,
        "messages": messages,
        "images": None,
        "answer": "4",
        "verifier": "math",
        "verifier_args": '{"a":[2],"b":1}',
        "source": "s0",
        "source_index": 0,
        "licence": "mit",
        "domain": "sums",
        "template_id": prompt["template_id"],
        "n_tokens": 8,
        "meta": '{"id":7,"more":[1,null]}',
    }
    (entry,) = taken.ledger.to_pylist()
    assert entry == {
        "row_id": prompt["task_id"],
        "stage": "prompts",
        "decision": "kept",
        "rule": "ingested",
        "value": "8",
        "threshold": "100",
        "detail": "s0[0]",
    }


def test_a_conversation_keeps_its_own_system_message(tmp_path: Path) -> None:
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    last = {"role": "user", "content": "c", "name": None}
    own = {"role": "system", "content": "own"}
    source = write(
        tmp_path / "a.jsonl",
        {"prompt": [own, *turn, last], "answer": 1},
        {"prompt": [*turn, last], "answer": 1},
    )
    taken = read(recipe(source, prompting={"system": "recipe's", "template": "<{prompt}>"}))
    for row, system in zip(taken.prompts.to_pylist(), ("own", "recipe's"), strict=True):
        contents = [m["content"] for m in row["messages"]]
        assert contents == [system, "a", "b", "<c>"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "5"),
        (-(10**30), "-1000000000000000000000000000000"),
        (5.0, "5.0"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (Decimal("1.50"), "1.50"),
        (" 5 ", " 5 "),
    ],
)
def test_numbers_are_written_out_without_loss(value: Any, expected: str) -> None:
    text = answer(value, needed=True)
    assert text is not None and text == expected
    assert Decimal(text) == Decimal(str(value).strip())


@pytest.mark.parametrize(
    "value",
    [
        True,
        [5],
        {"a": 5},
        b"5",
        float("inf"),
        Decimal("-Infinity"),
        Decimal("1E+999999999"),
        10**5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_answers_that_are_neither_text_nor_number(value: Any) -> None:
    with pytest.raises(Drop) as caught:
        answer(value, needed=True)
    assert caught.value.rule == "wrong_type"


def test_domains_that_are_no_text(tmp_path: Path) -> None:
    domains = ["a", 3, None, ["x", "y"], float("nan")]
    rows = [{"prompt": str(at), "answer": 1, "d": d} for at, d in enumerate(domains)]
    taken = read(recipe({**write(tmp_path / "a.jsonl", *rows), "columns": {"domain": "d"}}))
    assert taken.prompts.column("domain").to_pylist() == ["a", "3", None, '["x","y"]', None]


def test_too_long_and_refused_by_the_template(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        *({"prompt": text, "answer": 1} for text in ("a b", "a b c d", "refused", "a b c d")),
    )

    def count(messages: list[Message]) -> int:
        if messages[0]["content"] == "refused":
            raise ValueError("no\nsuch role")
        return words(messages)

    taken = read(recipe(source), count_tokens=count, max_prompt_tokens=3)
    assert taken.prompts.column("n_tokens").to_pylist() == [2]
    _, long, refused, again = taken.ledger.to_pylist()
    assert (long["rule"], long["value"], long["threshold"]) == ("too_long", "4", "3")
    messages = [{"role": "user", "content": "a b c d"}]
    assert long["row_id"] == task_id(prompt_id(messages), "1", "math", {})
    assert (refused["rule"], refused["detail"]) == ("unrenderable", "s0[2]: no such role")
    assert (again["rule"], again["value"]) == ("duplicate", long["row_id"])
    assert again["row_id"] != long["row_id"]


def test_duplicates_are_found_across_sources(tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", {"prompt": "a", "answer": "1"})
    two = write(tmp_path / "b.jsonl", {"prompt": "a", "answer": 1}, {"prompt": "a", "answer": "2"})
    taken = read(recipe(one, two))
    assert taken.prompts.column("answer").to_pylist() == ["1", "2"]
    (entry,) = [e for e in taken.ledger.to_pylist() if e["decision"] == "dropped"]
    assert entry["detail"] == "s1[0]: the same as s0[0]"


# All rows.

TEXT = st.one_of(st.text(), st.text(st.characters(categories=["Cs", "Cc", "L"])))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.decimals(), st.dates(),
    st.datetimes(), st.timedeltas(), TEXT,
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ROLES = st.sampled_from(["system", "user", "assistant", "tool"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": TEXT}), max_size=3)
FEW = st.sampled_from(["a", "b c", "d e f g", "\ud800"])  # kept, repeated, too long, invalid
GOOD = st.fixed_dictionaries({"prompt": FEW, "answer": st.sampled_from([1, "1", "2"])})
ANY = st.fixed_dictionaries(
    {},
    optional={
        "prompt": FEW | TEXT | MESSAGES | VALUES,
        "answer": FEW | VALUES,
        "domain": VALUES,
        "other": VALUES,
    },
)
UNREADABLE = TEXT.map(lambda reason: SourceRow(0, {}, reason))
READABLE = st.builds(
    lambda values: SourceRow(0, values), GOOD | ANY | st.builds(dict.__or__, ANY, GOOD)
)
ROWS = st.lists(st.integers(0, 9).flatmap(lambda n: READABLE if n else UNREADABLE), max_size=12)


class Given:
    """A source that holds what the test puts into it."""

    def __init__(self, rows: list[SourceRow]) -> None:
        self._rows = rows

    def rows(self, limit: int | None = None) -> Any:
        for at, row in enumerate(self._rows[:limit]):
            yield SourceRow(at, row.values, row.error)


@given(sources=st.lists(ROWS, min_size=1, max_size=3), limit=st.none() | st.integers(0, 12))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_row_vanishes(
    sources: list[list[SourceRow]], limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in = kept + dropped, whatever stands in them."""
    columns = {"domain": "domain", "keep": ["other"]}
    # A column that is in no row at all is the recipe's mistake, so each source begins with a row
    # that has them all.
    first = SourceRow(0, dict.fromkeys(("prompt", "answer", "domain", "other")))
    sources = [[first, *rows] for rows in sources]
    opened = {f"s{at}": Given(rows) for at, rows in enumerate(sources)}
    monkeypatch.setattr(ingest_module, "open_source", lambda config: opened[config.name])
    of = recipe(*({"path": "x", "columns": columns} for _ in sources))
    taken = read(of, count_tokens=words, max_prompt_tokens=3, limit=limit)
    total = sum(map(len, sources))
    expected = total if limit is None else min(limit, total)
    assert taken.ledger.num_rows == expected
    kept = [e["row_id"] for e in taken.ledger.to_pylist() if e["decision"] == "kept"]
    assert kept == taken.prompts.column("task_id").to_pylist()
    ids = taken.ledger.column("row_id").to_pylist()
    assert len(set(ids)) == len(ids)
    assert sum(rules(taken).values()) == expected


def test_a_limit_is_dealt_over_the_sources(tmp_path: Path) -> None:
    sizes = (1, 5, 3)
    sources = [
        write(tmp_path / f"{at}.jsonl", *({"prompt": f"{at} {i}", "answer": i} for i in range(n)))
        for at, n in enumerate(sizes)
    ]
    shares = {
        0: (0, 0, 0), 1: (1, 0, 0), 2: (1, 1, 0), 4: (1, 2, 1), 6: (1, 3, 2), 8: (1, 4, 3),
        9: (1, 5, 3), 50: (1, 5, 3),
    }  # fmt: skip
    everything = read(recipe(*sources)).prompts.column("task_id").to_pylist()
    for limit, share in shares.items():
        prompts = read(recipe(*sources), limit=limit).prompts
        count = Counter(prompts.column("source").to_pylist())
        assert tuple(count[f"s{at}"] for at in range(3)) == share
        chosen = prompts.column("task_id").to_pylist()
        assert chosen == [task for task in everything if task in set(chosen)]


def test_a_source_that_grows_renames_nothing(tmp_path: Path) -> None:
    rows = [{"prompt": f"{i} + {i}?", "answer": 2 * i} for i in range(50)]
    path = tmp_path / "a.jsonl"
    before = read(recipe(write(path, *rows))).prompts
    with path.open("a") as file:
        file.write('{"prompt": ["new"], "answer": null}\n{"prompt": "new", "answer": "1"}\n')
    after = read(recipe({"path": str(path)}))
    assert after.prompts.slice(0, 50).equals(before)
    assert after.prompts.num_rows == 51
    assert rules(after) == {"ingested": 51, "wrong_type": 1}


def test_reasoning_gym_grows_too() -> None:
    def sized(size: int) -> Recipe:
        source = {"type": "reasoning_gym", "family": "leg_counting", "size": size}
        return recipe({**source, "name": "legs"})

    few, many = read(sized(4)), read(sized(20))
    assert many.prompts.slice(0, 4).equals(few.prompts)
    row = few.prompts.to_pylist()[3]
    assert row["verifier"] == "reasoning_gym"
    args = {"family": "leg_counting", "config": {}, "seed": 0, "index": 3}
    assert json.loads(row["verifier_args"]) == args
    assert row["domain"] == "arithmetic/leg_counting"
    assert row["licence"] == "apache-2.0"


def test_reasoning_gym_without_reference() -> None:
    source = {"type": "reasoning_gym", "family": "graph_color", "size": 3}
    taken = read(recipe({**source, "name": "graphs"}))
    assert taken.prompts.column("answer").to_pylist() == [None] * 3


# Before anything is read.


def test_check_sources(tmp_path: Path) -> None:
    good = write(tmp_path / "a.jsonl", {"prompt": "a", "answer": 1})
    gym = {"type": "reasoning_gym", "family": "leg_counting", "size": 1, "name": "g"}
    check_sources(recipe(good, gym), VERIFIERS)
    for source, message in (
        (
            {**good, "verifier": "maths"},
            "verifier: no verifier 'maths'; did you mean 'math'? known",
        ),
        ({**good, "columns": {"answer": None}}, "columns.answer: the verifier math compares"),
        ({"path": str(tmp_path / "b.jsonl")}, "path: no such file"),
        ({**good, "verifier_args": {"a": {1, 2}}}, "verifier_args: is no plain JSON"),
    ):
        with pytest.raises(UsageError) as caught:
            check_sources(recipe(source), VERIFIERS)
        assert str(caught.value).startswith("source 's0': ")
        assert message in str(caught.value)


def test_a_verifier_of_ones_own_may_need_no_answer(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", {"prompt": "a"})
    of = recipe({**source, "verifier": "own", "columns": {"answer": None}})
    check_sources(of, (*VERIFIERS, "own"))
    assert read(of).prompts.column("answer").to_pylist() == [None]


def test_a_prompt_made_of_several_columns(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        {"body": "Two apples.", "question": "How many?", "answer": "2"},
        {"body": "", "question": "One and one?", "answer": "2"},
        {"body": None, "question": " ", "answer": "2"},
        {"body": 7, "question": "What?", "answer": "2"},
    )
    source["columns"] = {"prompt": ["body", "question"]}
    taken = read(recipe(source))
    texts = [m[0]["content"] for m in taken.prompts["messages"].to_pylist()]
    assert texts == ["Two apples.\n\nHow many?", "One and one?"]
    assert rules(taken) == {"ingested": 2, "missing_prompt": 1, "wrong_type": 1}
    source["columns"] = {"prompt": ["body", "qestion"]}
    with pytest.raises(UsageError, match="did you mean 'question'"):
        read(recipe(source))


# Real data.


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
@pytest.mark.parametrize(
    ("file", "columns", "expected"),
    [
        ("gsm8k_test.parquet", {"prompt": "question", "keep": ["id"]}, {"ingested": 1319}),
        ("gsm8k_train.parquet", {"prompt": "question"}, {"ingested": 7473}),
        ("math500_test.parquet", {"prompt": "problem", "domain": "type", "keep": ["level"]},
         {"ingested": 500}),
        ("math_train_answers.parquet", {"prompt": "problem"},
         {"ingested": 7472, "empty_answer": 2}),
        ("svamp.parquet", {"prompt": "question"}, {"ingested": 955, "duplicate": 45}),
        ("mbpp.parquet", {"prompt": "text", "answer": "code", "keep": ["test_list"]},
         {"ingested": 974}),
        ("alpaca_9k.parquet", {"prompt": "instruction", "answer": "output"},
         {"ingested": 9225, "empty_answer": 4}),
        ("bfcl_v4_public.parquet", {"prompt": "question", "answer": "ground_truth"},
         {"ingested": 1202, "missing_answer": 240, "duplicate": 56}),
    ],
)  # fmt: skip
def test_real_data(file: str, columns: dict[str, Any], expected: dict[str, int]) -> None:
    rows = pq.read_table(DATA / file)
    taken = read(recipe({"path": str(DATA / file), "columns": columns}))
    assert rules(taken) == expected
    assert sum(expected.values()) == rows.num_rows
    source = rows.take(taken.prompts.column("source_index"))
    texts = [messages[0]["content"] for messages in taken.prompts.column("messages").to_pylist()]
    assert texts == source.column(columns["prompt"]).to_pylist()


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_the_same_rows_in_any_format_have_the_same_names(tmp_path: Path) -> None:
    columns = {"prompt": "question"}
    rows = pq.read_table(DATA / "gsm8k_test.parquet").select(["question", "answer"])
    write(tmp_path / "a.jsonl", *rows.to_pylist())
    (tmp_path / "a.json").write_text(json.dumps(rows.to_pylist(), indent=1))
    import csv

    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer"])
        writer.writeheader()
        writer.writerows(rows.to_pylist())
    expected = read(
        recipe({"path": str(DATA / "gsm8k_test.parquet"), "columns": columns})
    ).prompts.column("task_id")
    for name in ("a.jsonl", "a.json", "a.csv"):
        prompts = read(recipe({"path": str(tmp_path / name), "columns": columns})).prompts
        assert prompts.column("task_id").equals(expected), name


def test_tables_that_grow_over_many_batches() -> None:
    growing = Growing(pa.schema([("n", pa.int64())]))
    for n in range(20_000):
        growing.add({"n": n})
    assert growing.table().column("n").to_pylist() == list(range(20_000))
