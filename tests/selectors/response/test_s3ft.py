"""S3FT against a literal reading of its definition."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.response.answers import Row, choose, column, selected, table
from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Silent
from winnow.selectors.registry import get_selector
from winnow.selectors.rows import TableRows
from winnow.selectors.run import select_rows


def row(origin: str, verdict: str | None = None, text: str = "text", **more: Any) -> Row:
    return {"origin": origin, "verdict": verdict, "completion": text} | more


ROWS = st.builds(
    row,
    st.sampled_from(["model", "paraphrase", "gold"]),
    st.sampled_from(["correct", "wrong", "unjudged", None]),
    st.sampled_from(["one  text", "one text", "other", " "]),
    prompt_id=st.sampled_from("pqr"),
    logprob_mean=st.sampled_from([-1.0, -2.0, None]),
)


def literal(rows: list[Row]) -> dict[str, tuple[str, str] | None]:
    """Target and its origin, for each prompt."""
    named = list(zip(table(rows)["row_id"].to_pylist(), rows, strict=True))
    targets: dict[str, tuple[str, str] | None] = {}
    for prompt in {r["prompt_id"] for r in rows}:
        mine = [(n, r) for n, r in named if r["prompt_id"] == prompt and r["completion"].strip()]
        gold = {" ".join(r["completion"].split()) for _, r in mine if r["origin"] == "gold"}
        own = [(n, r) for n, r in mine if r["origin"] == "model" and r["verdict"] == "correct"]
        # max takes the first of equals
        best = max(own, key=lambda one: one[1]["logprob_mean"] or -9.0, default=None)
        restated = [
            n
            for n, r in mine
            if r["origin"] == "paraphrase"
            and r["verdict"] == "correct"
            and " ".join(r["completion"].split()) not in gold
        ]
        references = [n for n, r in mine if r["origin"] == "gold"]
        if best is not None:
            targets[prompt] = (best[0], "model")
        elif restated:
            targets[prompt] = (restated[0], "paraphrase")
        else:
            targets[prompt] = (references[0], "gold") if references else None
    return targets


@given(st.lists(ROWS, min_size=1, max_size=20), st.integers(0, 9))
@settings(deadline=None, max_examples=300)
def test_the_definition(rows: list[Row], seed: int) -> None:
    found = choose("s3ft", rows, seed=seed)
    wanted = literal(rows)
    targets = {t[0]: t[1] for t in wanted.values() if t is not None}
    assert {name: found[name]["target_origin"] for name in selected(found)} == targets
    assert {name for name in found if found[name]["target_origin"]} == set(targets)
    for row_, one in zip(rows, found.values(), strict=True):
        if row_["origin"] != "gold" and row_["completion"].strip() and not one["selected"]:
            wrong = {"correct": None, None: "no_verdict"}.get(row_["verdict"], row_["verdict"])
            assert wrong is None or one["reason"] in (wrong, "copies_gold")


def test_first_success_in_order() -> None:
    own = [row("model", "correct"), row("paraphrase", "correct", "b"), row("gold", text="c")]
    restated = [row("model", "wrong"), row("paraphrase", "correct", "b"), row("gold", text="c")]
    gold = [row("model", "wrong"), row("paraphrase", "unjudged", "b"), row("gold", text="c")]
    for rows, name, origin in (
        (own, "a", "model"),
        (restated, "b", "paraphrase"),
        (gold, "c", "gold"),
    ):
        found = choose("s3ft", rows)
        assert selected(found) == [name]
        assert found[name]["target_origin"] == found[name]["reason"] == origin
    assert column(choose("s3ft", own), "reason") == ["model", "not_needed", "not_needed"]
    assert column(choose("s3ft", gold), "reason") == ["wrong", "unjudged", "gold"]
    assert column(choose("s3ft", own), "score") == [2.0, 1.0, 0.0]


def test_a_copy_of_the_reference_is_no_paraphrase() -> None:
    rows = [
        row("paraphrase", "correct", " The answer\n is  4 "),
        row("gold", text="The answer is 4"),
    ]
    found = choose("s3ft", rows)
    assert selected(found) == ["b"]
    assert found["b"]["target_origin"] == "gold" and found["a"]["reason"] == "copies_gold"
    rows[0]["completion"] = "The Answer is 4"
    assert selected(choose("s3ft", rows)) == ["a"]
    # Another prompt's reference is another text.
    rows = [row("paraphrase", "correct", "4", prompt_id="q"), row("gold", text="4")]
    assert sorted(selected(choose("s3ft", rows))) == ["a", "b"]


def test_the_likeliest_of_several_right_answers() -> None:
    rows = [
        row("model", "correct", logprob_mean=None),
        row("model", "correct", logprob_mean=-2.0),
        row("model", "correct", logprob_mean=-1.0),
        row("model", "wrong", logprob_mean=-0.1),
    ]
    found = choose("s3ft", rows)
    assert column(found, "reason") == ["not_best", "not_best", "model", "wrong"]
    without = [{k: v for k, v in r.items() if k != "logprob_mean"} for r in rows]
    assert selected(choose("s3ft", without)) == ["a"]


def test_without_reference_and_success_there_is_no_target() -> None:
    rows = [row("model", "wrong"), row("paraphrase", "unjudged", "b"), row("model", None, "c")]
    found = choose("s3ft", rows)
    assert column(found, "reason") == ["wrong", "unjudged", "no_verdict"]
    assert column(found, "target_origin") == [None] * 3


def test_the_note_counts_prompts_without_a_target() -> None:
    told: list[str] = []

    class Notes(Silent):
        def note(self, text: str) -> None:
            told.append(text)

    rows = [row("model", "wrong"), row("model", "wrong", prompt_id="q"), row("gold", prompt_id="r")]
    select_rows(
        get_selector("s3ft"), TableRows(table(rows)), parameters={}, budget=None, seed=0, columns={},
        progress=Notes(),
    )  # fmt: skip
    assert told == [
        "s3ft: 1 targets: model 0.0%, paraphrase 0.0%, gold 100.0%",
        "s3ft: 2 prompts have no target: no success and no reference",
    ]


def test_the_verdict_on_the_reference_does_not_matter() -> None:
    assert selected(choose("s3ft", [row("gold", "wrong")])) == ["a"]


def test_blank_text_is_no_target() -> None:
    found = choose("s3ft", [row("model", "correct", " \n"), row("gold", text="4")])
    assert selected(found) == ["b"] and found["a"]["reason"] == "empty"


def test_a_budget_takes_prompts_in_a_seeded_order() -> None:
    rows = [row("gold", text=f"t{i}", prompt_id=f"p{i:02}") for i in range(20)]
    picks = {tuple(selected(choose("s3ft", rows, budget=5, seed=seed))) for seed in range(5)}
    assert len(picks) == 5 and all(len(pick) == 5 for pick in picks)


def test_an_unknown_origin_is_refused() -> None:
    with pytest.raises(
        UsageError, match="row a: origin is 'human', not one of model, paraphrase, gold"
    ):
        choose("s3ft", [row("human")])
