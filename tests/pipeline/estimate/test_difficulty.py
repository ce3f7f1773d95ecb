"""Pass rates and their posterior, against counting by hand and scipy's Beta distribution."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from winnow.pipeline import schema
from winnow.pipeline.estimate.difficulty import difficulty

OUTCOMES = st.lists(
    st.tuples(
        st.sampled_from(["t1", "t2", "t3"]),
        st.sampled_from(["correct", "wrong", "unjudged", "truncated"]),
    ),
    max_size=30,
)


def _tables(outcomes: list[tuple[str, str]]) -> tuple[pa.Table, pa.Table]:
    rollouts, verdicts = [], []
    for at, (task, outcome) in enumerate(outcomes):
        cut = outcome == "truncated"
        rollouts.append({
            "rollout_id": str(at), "prompt_id": task, "policy": "m", "template": "t", "sampler": "s",
            "recipe_seed": 0, "index": at, "attempt": 0, "completion": "", "token_ids": None,
            "logprob_sum": None, "n_tokens": 1, "finish_reason": "length" if cut else "stop",
            "max_tokens": 1, "seed": 0, "error": None,
        })  # fmt: skip
        verdict = "unjudged" if cut else outcome
        verdicts.append({
            "verdict_id": str(at), "rollout_id": str(at), "task_id": task, "verifier": "v@1",
            "verdict": verdict, "reward": {"correct": 1.0, "wrong": 0.0}.get(verdict),
            "parts": "{}", "extracted": None, "detail": None, "seconds": 0.0,
        })  # fmt: skip
    return (
        pa.Table.from_pylist(rollouts, schema.ROLLOUTS),
        pa.Table.from_pylist(verdicts, schema.VERDICTS),
    )


@settings(deadline=None)
@given(OUTCOMES)
def test_counts_and_rates_are_those_counted_by_hand(outcomes: list[tuple[str, str]]) -> None:
    found = difficulty(*_tables(outcomes), prior=(0.5, 2.0))
    assert found.schema == schema.DIFFICULTY
    rows = {row["task_id"]: row for row in found.to_pylist()}
    assert set(rows) == {task for task, _ in outcomes}
    for task, row in rows.items():
        seen = Counter(outcome for name, outcome in outcomes if name == task)
        c, w, cut = seen["correct"], seen["wrong"], seen["truncated"]
        assert (row["n"], row["n_correct"], row["n_wrong"]) == (sum(seen.values()), c, w)
        assert (row["n_unjudged"], row["n_truncated"]) == (seen["unjudged"] + cut, cut)
        assert row["pass_rate"] == (c / (c + w) if c + w else None)
        assert row["pass_rate_low"] == (c / (c + w + cut) if c + w + cut else None)
        assert row["reward_mean"] == (c / (c + w) if c + w else None)
        assert (row["alpha"], row["beta"]) == (0.5 + c, 2.0 + w)
        low, high = beta(0.5 + c, 2.0 + w).ppf([0.05, 0.95])
        assert row["interval_low"] == pytest.approx(low, abs=1e-9)
        assert row["interval_high"] == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_prior_that_is_none(bad: float) -> None:
    """Whatever the counts are: both kinds of answer here."""
    for prior in ((bad, 1.0), (1.0, bad)):
        with pytest.raises(ValueError, match="prior"):
            difficulty(*_tables([("t1", "correct"), ("t1", "wrong")]), prior=prior)


def test_a_rate_belongs_to_policy_template_and_sampler() -> None:
    rollouts, verdicts = _tables([("t", "correct"), ("t", "wrong")])
    names: Any = pa.array(["a", "b"])
    at = rollouts.schema.get_field_index("sampler")
    rollouts = rollouts.set_column(at, rollouts.schema.field("sampler"), names)
    found = difficulty(rollouts, verdicts).to_pylist()
    assert [(row["sampler"], row["pass_rate"]) for row in found] == [("a", 1.0), ("b", 0.0)]
