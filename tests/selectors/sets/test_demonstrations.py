"""Verified answers for the hardest tasks, and to begin answers with."""

from typing import Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.selectors.sets.made_up import by_task, hinted, ledger, recorded, signals, solutions
from winnow.pipeline.recipe import DemonstrationsSet, HardestSet
from winnow.pipeline.recipe_sections.set_base import Form
from winnow.selectors.sets.demonstrations import demonstrations, hardest, highest

TASKS = {"a": "www", "b": "wcw", "d": "wfw", "e": "wtw", "f": "wuw", "g": "www", "h": ""}
TEACHER = recorded(*({"task_id": task} for task in "abdef"))


def test_the_hardest_are_those_whose_answers_all_fail_by_what_they_say() -> None:
    found = hardest(HardestSet(), signals(TASKS, recorded=TEACHER))
    assert ledger(found) == {
        "a": ("kept", "selected"),
        "b": ("dropped", "solved"),
        "d": ("dropped", "format_failure"),
        "e": ("dropped", "truncated"),
        "f": ("dropped", "unjudged"),
        "g": ("pending", "no_demonstration"),
        "h": ("pending", "not_sampled"),
    }
    row = by_task(found)["a"]
    assert row["demonstration"] == [{"role": "assistant", "content": "recorded r0"}]
    assert (row["demonstration_from"], row["demonstration_policy"]) == ("recorded", "teacher@1")
    assert (row["demonstration_rollout_id"], row["demonstration_tokens"]) == ("r0", 3)
    assert (row["n"], row["n_fail"], row["n_format_fail"], row["n_truncated"]) == (3, 3, 0, 0)
    assert (row["policy"], row["verifier"], row["answer"]) == ("m@1", "math@1", "1")


def test_failures_of_form_and_length_can_count_as_failures() -> None:
    found = hardest(HardestSet(format_failures="fail"), signals(TASKS, recorded=TEACHER))
    assert ledger(found)["d"] == ledger(found)["e"] == ("kept", "selected")
    assert ledger(found)["f"] == ("dropped", "unjudged")
    rows = by_task(found)
    assert (rows["d"]["n_fail"], rows["d"]["n_format_fail"]) == (2, 1)
    assert (rows["e"]["n_fail"], rows["e"]["n_truncated"]) == (2, 1)


def test_form_is_what_the_set_says() -> None:
    config = HardestSet(form=Form(format={"tags": ["answer"], "around": True}))
    texts = {"a0": "<answer>2</answer>", "a1": "so <answer>3</answer>", "b0": "<answer>2</answer>"}
    given_ = signals({"a": "ww", "b": "ww"}, texts=texts, recorded=TEACHER)
    assert ledger(hardest(config, given_)) == {
        "a": ("kept", "selected"),
        "b": ("dropped", "format_failure"),
    }


def test_min_judged_counts_failed_answers() -> None:
    found = hardest(HardestSet(min_judged=4), signals({"a": "www"}, recorded=TEACHER))
    assert ledger(found) == {"a": ("dropped", "min_judged")}


def test_a_wrong_answer_of_another_policy_demonstrates_nothing() -> None:
    answers = recorded(
        {"task_id": "a", "verdict": "wrong"}, {"task_id": "a", "verdict": "unjudged"}
    )
    found = hardest(HardestSet(), signals({"a": "w"}, recorded=answers))
    assert ledger(found) == {"a": ("pending", "no_demonstration")}


def test_demonstrations_come_from_the_first_offer_that_has_one() -> None:
    given_ = signals(
        {"a": "ww", "b": "ww", "d": "ww"},
        recorded=recorded({"task_id": "a"}),
        hinted=hinted(
            {"task_id": "a", "rollout_id": "a0"},
            {"task_id": "b", "rollout_id": "b0"},
            {"task_id": "d", "rollout_id": "d0", "kept": False, "hinted_verdict": "wrong"},
        ),
        solutions=solutions({"task_id": "d"}, {"task_id": "a"}),
    )
    found = by_task(
        hardest(HardestSet(offers=("recorded", "hinted", "solution"), solution="worked"), given_)
    )
    assert {task: row["demonstration_from"] for task, row in found.items()} == {
        "a": "recorded", "b": "hinted", "d": "solution",
    }  # fmt: skip
    assert (found["b"]["demonstration_rollout_id"], found["b"]["demonstration_policy"]) == (
        "b0", "m@1",
    )  # fmt: skip
    assert (found["d"]["verifier"], found["d"]["verdict"]) == ("math@1", "correct")
    assert found["d"]["demonstration_policy"] is None
    assert found["b"]["demonstration_tokens"] is None, "nobody counted it"


def test_a_solution_that_is_wrong_demonstrates_nothing() -> None:
    given_ = signals(
        {"a": "ww", "b": "ww", "d": "ww", "e": "ww"},
        recorded=recorded({"task_id": "b"}, {"task_id": "d"}),
        solutions=solutions(
            {"task_id": "a", "verdict": "wrong", "extracted": "60"},
            {"task_id": "b", "verdict": "wrong", "extracted": "60"},
            {"task_id": "d", "verdict": "unjudged"},
            {"task_id": "e", "verdict": "unjudged"},
            {"task_id": "e", "column": "another"},
        ),
    )
    offers: tuple[Literal["recorded", "hinted", "solution"], ...] = ("solution", "recorded")
    for found in (
        hardest(HardestSet(offers=offers, solution="worked"), given_),
        demonstrations(
            DemonstrationsSet(offers=offers, solution="worked", share=(0.0, 1.0)),
            signals({"a": "ww"}, solutions=given_.solutions, recorded=given_.recorded),
        ),
    ):
        entry = next(r for r in found.ledger.to_pylist() if r["row_id"] == "a")
        assert (entry["decision"], entry["rule"]) == ("dropped", "demonstration_wrong")
        assert entry["value"] == "60"
    rows = by_task(hardest(HardestSet(offers=offers, solution="worked"), given_))
    shown = {task: (row["demonstration_from"], row["verdict"]) for task, row in rows.items()}
    assert shown == {
        "b": ("recorded", "correct"),
        "d": ("recorded", "correct"),  # what is verified goes before what nobody could judge
        "e": ("solution", "unjudged"),
    }


def test_a_demonstration_must_fit() -> None:
    answers = recorded(
        {"task_id": "a", "n_tokens": 9, "logprob_sum": -1.0},
        {"task_id": "a", "n_tokens": 4, "logprob_sum": -8.0},
        {"task_id": "b", "n_tokens": 9},
    )
    given_ = signals({"a": "w", "b": "w"}, recorded=answers)
    found = hardest(HardestSet(max_demonstration_tokens=5), given_)
    assert by_task(found)["a"]["demonstration_rollout_id"] == "r1"
    assert ledger(found)["b"] == ("dropped", "demonstration_too_long")
    entry = next(r for r in found.ledger.to_pylist() if r["row_id"] == "b")
    assert (entry["value"], entry["threshold"]) == ("9", "<= 5 tokens")
    # Of two that fit, the likelier per token.
    both = by_task(hardest(HardestSet(), given_))["a"]
    assert both["demonstration_rollout_id"] == "r0"


def test_bytes_stand_in_where_nothing_counts_tokens_and_the_tokenizer_where_it_is_known() -> None:
    config = HardestSet(offers=("solution",), solution="worked", max_demonstration_tokens=6)
    kept = solutions({"task_id": "a", "solution": "ääää"}, {"task_id": "b", "solution": "aaaaaa"})
    found = hardest(config, signals({"a": "w", "b": "w"}, solutions=kept))
    assert ledger(found) == {
        "a": ("dropped", "demonstration_too_long"),  # 8 bytes
        "b": ("kept", "selected"),
    }
    given_ = signals(
        {"a": "w", "b": "w"}, solutions=kept, token_spans=lambda text: [(0, len(text))]
    )
    rows = by_task(hardest(config, given_))
    assert {task: row["demonstration_tokens"] for task, row in rows.items()} == {"a": 1, "b": 1}


STEPS = "First, two and two. That is four! Now the rest is easy. So the answer is \\boxed{4}."


def test_a_prefix_ends_at_sentences_before_the_final_answer() -> None:
    config = DemonstrationsSet(offers=("answers",), share=(0.0, 1.0))
    found = by_task(demonstrations(config, signals({"a": "wc"}, texts={"a1": STEPS})))["a"]
    cuts = [STEPS[: cut["character"]] for cut in found["cut_points"]]
    assert cuts == [
        "First, two and two.",
        "First, two and two. That is four!",
        "First, two and two. That is four! Now the rest is easy.",
    ]
    assert [cut["share"] for cut in found["cut_points"]] == [len(c) / len(STEPS) for c in cuts]
    assert all(cut["token"] is None for cut in found["cut_points"])
    assert (found["demonstration_from"], found["entropy_mask"]) == ("answers", None)
    assert found["demonstration_rollout_id"] == "a1"


def test_a_task_whose_demonstration_cannot_be_cut_is_dropped() -> None:
    config = DemonstrationsSet(offers=("answers",))
    found = demonstrations(config, signals({"a": "c", "b": "w"}, texts={"a0": "\\boxed{4}"}))
    assert ledger(found) == {"a": ("dropped", "no_cut_point"), "b": ("pending", "no_demonstration")}


def test_tokens_of_the_highest_entropy_are_marked_where_entropies_are_given() -> None:
    features = pa.table(
        {
            "row_id": ["a0", "b0", "other"],
            "token_entropies": pa.array([[0.1, 3.0, 0.2, 2.0, 3.0], None, [1.0]]),
        }
    )
    config = DemonstrationsSet(
        offers=("answers",), token_features="f.parquet", entropy_share=0.4, share=(0.0, 1.0)
    )
    texts = {"a0": STEPS, "b0": STEPS, "d0": STEPS}
    given_ = signals(
        {"a": "c", "b": "c", "d": "c"}, texts=texts, token_features={"f.parquet": features}
    )
    found = by_task(demonstrations(config, given_))
    assert found["a"]["entropy_mask"] == [False, True, False, False, True]
    assert found["b"]["entropy_mask"] is found["d"]["entropy_mask"] is None


def test_entropies_of_the_plain_answer_say_nothing_of_the_hinted_one() -> None:
    features = pa.table({"row_id": ["a0"], "token_entropies": pa.array([[1.0]])})
    given_ = signals(
        {"a": "w"},
        hinted=hinted({"task_id": "a", "rollout_id": "a0", "completion": STEPS}),
        token_features={"f": features},
    )
    config = DemonstrationsSet(offers=("hinted",), token_features="f")
    assert by_task(demonstrations(config, given_))["a"]["entropy_mask"] is None


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.5]), min_size=1, max_size=12),
    st.sampled_from([0.1, 0.2, 0.5, 1.0]),
)
def test_the_highest_share_is_that_of_plain_sorting(values: list[float], share: float) -> None:
    count = -int(-len(values) * share // 1)
    wanted = sorted(range(len(values)), key=lambda at: (-values[at], at))[:count]
    assert highest(values, share) == [at in wanted for at in range(len(values))]


@pytest.mark.parametrize(
    ("kind", "settings_", "said"),
    [
        (HardestSet, {"offers": ("solution",)}, "go together"),
        (HardestSet, {"solution": "x"}, "go together"),
        (DemonstrationsSet, {"offers": ("answers", "solution")}, "go together"),
        (DemonstrationsSet, {"share": (0.5, 0.5)}, "0.5 is not below 0.5"),
    ],
)
def test_settings_that_do_not_go_together(
    kind: type, settings_: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        kind(**settings_)
