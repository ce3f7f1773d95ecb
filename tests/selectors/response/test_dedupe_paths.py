"""Distinct reasoning paths against a literal reading of their definition."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.response.answers import Row, choose, column, prompt_turns, selected, table
from winnow.pipeline.errors import UsageError

TEXTS = [
    "1 + 1 = 2",
    "So 1+1 = 2.",
    " 1 + 1 = 2\n",
    "1 + 1  =  2",
    "2 = 1 + 1",
    "words",
    "more",
    " ",
]
ROWS = st.fixed_dictionaries(
    {
        "prompt_id": st.sampled_from("pqr"),
        "completion": st.sampled_from(TEXTS),
        "verdict": st.sampled_from(["correct", "correct", "wrong", "unjudged", None]),
        "origin": st.sampled_from(["model", "model", "model", "gold", None]),
    }
)
KEYS: dict[str, Any] = {
    "exact": str.strip,
    "folded": lambda text: " ".join(text.split()),
    "equations": lambda text: {"1": "1+1=2", "S": "1+1=2", "2": "2=1+1"}.get(
        text.strip()[:1], text
    ),
}


def literal(rows: list[Row], key: str, keep: int | None) -> dict[str, list[str]]:
    """Names kept of each prompt, in order, the reference last."""
    named = list(zip(table(rows)["row_id"].to_pylist(), rows, strict=True))
    found = {}
    for prompt in sorted({r["prompt_id"] for r in rows}):
        mine = [(n, r) for n, r in named if r["prompt_id"] == prompt and r["completion"].strip()]
        paths: dict[Any, str] = {}
        for name, row in mine:
            if row["origin"] != "gold" and row["verdict"] == "correct":
                paths.setdefault(KEYS[key](row["completion"]), name)
        kept = dict(list(paths.items())[:keep])
        for name, row in mine:
            if row["origin"] == "gold":
                kept.setdefault(KEYS[key](row["completion"]), name)
        found[prompt] = list(kept.values())
    return found


@given(
    st.lists(ROWS, min_size=1, max_size=20),
    st.sampled_from(sorted(KEYS)),
    st.none() | st.integers(1, 3),
    st.integers(0, 9),
)
@settings(deadline=None, max_examples=150)
def test_the_definition(rows: list[Row], key: str, keep: int | None, seed: int) -> None:
    found = choose("dedupe_paths", rows, key=key, keep=keep, seed=seed)
    wanted = literal(rows, key, keep)
    turns = prompt_turns(seed, len(wanted))
    order = sorted(
        (place, turns[at], name)
        for at, names in enumerate(wanted.values())
        for place, name in enumerate(names)
    )
    assert selected(found) == [name for _, _, name in order]
    for name, row in found.items():
        if (first := row["duplicate_of"]) is not None:
            assert row["reason"] == "duplicate" and row["path_key"] == found[first]["path_key"]
            assert found[first]["duplicate_of"] is None
        if row["path_key"] is not None:
            prompt = rows[list(found).index(name)]["prompt_id"]
            same = [
                other
                for other, r in zip(found, rows, strict=True)
                if r["prompt_id"] == prompt and found[other]["path_key"] == row["path_key"]
            ]
            assert row["score"] == len(same)


def texts(*completions: str, **more: Any) -> list[Row]:
    return [{"completion": text} | more for text in completions]


def kept(key: str, *completions: str) -> list[str]:
    return sorted(selected(choose("dedupe_paths", texts(*completions), key=key)))


def test_each_key_folds_more() -> None:
    same = ("So 1 + 2 = 3.", " So 1 + 2 = 3.\n", "So 1  + 2 = 3.", "Thus 1+2 = 3", "Thus 2+1 = 3")
    assert kept("exact", *same) == ["a", "c", "d", "e"]
    assert kept("folded", *same) == ["a", "d", "e"]
    assert kept("equations", *same) == ["a", "e"]


def test_equations_are_a_list_in_order() -> None:
    traces = (
        "1+1=2, 2+2=4",
        "2+2=4, 1+1=2",
        "1+1=2",
        "1+1=2 and 1+1=2",
        "first 1 + 1 = 2, 2 + 2 = 4",
    )
    assert kept("equations", *traces) == ["a", "b", "c", "d"]


def test_a_text_without_equations_is_compared_as_text() -> None:
    found = choose("dedupe_paths", texts("yes", "no", "yes ", "1+1=2"), key="equations")
    assert column(found, "reason") == ["by_text", "by_text", "duplicate", "selected"]
    kinds = [key.split(":")[0] for key in column(found, "path_key")]
    assert kinds == ["folded", "folded", "folded", "equations"]
    assert found["c"]["duplicate_of"] == "a"


def test_programs_are_compared_by_their_tree() -> None:
    def fenced(code: str) -> str:
        return f"Here it is:\n```python\n{code}\n```\nDone."

    rows = texts(
        fenced("def f(x):\n    return x + 1"),
        fenced("# adds one\ndef f( x ):\n\n    return (x+1)"),
        fenced("def f(y):\n    return y + 1"),
        fenced("def f(x) return x"),
        "no program at all",
        fenced('def f(x):\n    """Adds one."""\n    return x + 1'),
    )
    found = choose("dedupe_paths", rows, key="ast")
    assert sorted(selected(found)) == ["a", "c", "d", "e", "f"]
    assert found["b"]["duplicate_of"] == "a"
    assert [found[name]["reason"] for name in "cde"] == ["selected", "by_text", "by_text"]


def test_only_correct_answers_count_where_there_are_verdicts() -> None:
    rows = texts("x", "x", "y")
    for row, verdict in zip(rows, ("wrong", "correct", "unjudged"), strict=True):
        row["verdict"] = verdict
    found = choose("dedupe_paths", rows)
    assert column(found, "reason") == ["wrong", "selected", "unjudged"]
    assert column(found, "path_key")[0] is None
    assert sorted(selected(choose("dedupe_paths", rows, correct_only=False))) == ["a", "c"]
    assert sorted(selected(choose("dedupe_paths", texts("x", "x", "y")))) == ["a", "c"]


def test_the_first_paths_and_then_the_reference() -> None:
    rows = [*texts("x", "x", "y", "z"), {"completion": "z", "origin": "gold"}]
    found = choose("dedupe_paths", rows, keep=2)
    assert selected(found) == ["a", "c", "e"]
    assert column(found, "reason") == ["selected", "duplicate", "selected", "beyond_keep", "gold"]
    found = choose("dedupe_paths", rows, keep=3)
    assert selected(found) == ["a", "c", "d"]
    assert found["e"]["reason"] == "duplicate" and found["e"]["duplicate_of"] == "d"
    # A reference that comes first in the table still stands behind the model's own answer.
    rows = [
        {"completion": "x", "origin": "gold", "verdict": "wrong"},
        *texts("x", verdict="correct"),
    ]
    assert selected(choose("dedupe_paths", rows)) == ["b"]


def test_prompts_do_not_share_paths() -> None:
    rows = [*texts("x", "x"), *texts("x", prompt_id="q")]
    assert sorted(selected(choose("dedupe_paths", rows))) == ["a", "c"]
    assert column(choose("dedupe_paths", rows), "score") == [2.0, 2.0, 1.0]


def test_nothing_to_see() -> None:
    found = choose("dedupe_paths", texts(" \n", "x"))
    assert column(found, "reason") == ["empty", "selected"]


def test_a_budget_takes_one_path_of_each_prompt_first() -> None:
    rows = [
        {"prompt_id": f"p{i}", "completion": text} for i in range(6) for text in ("x", "y", "z")
    ]
    names = table(rows)["row_id"].to_pylist()
    found = choose("dedupe_paths", rows, budget=8, seed=1)
    places = [names.index(name) % 3 for name in selected(found)]
    assert places == [0] * 6 + [1] * 2


def test_keep_must_be_positive() -> None:
    with pytest.raises(UsageError, match="keep"):
        choose("dedupe_paths", texts("x"), keep=0)
