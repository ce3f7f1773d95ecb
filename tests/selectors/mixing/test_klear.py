"""The conditional filter at its boundary and against the rule written out."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.difficulty.outcome import outcome
from winnow.pipeline.errors import UsageError

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["correct", "wrong", "unjudged"]),
        st.integers(0, 8).map(lambda c: c / 8),
    ),
    min_size=1,
    max_size=25,
)


@given(ROWS, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
@settings(deadline=None)
def test_against_the_rule(rows: list[tuple[str, float]], t: float) -> None:
    wanted, reasons = [], []
    for at, (verdict, rate) in enumerate(rows):
        if verdict == "correct":
            wanted.append((-1.0, at))
            reasons.append("correct")
        elif verdict == "wrong" and rate < t:
            wanted.append((rate, at))
            reasons.append("wrong_hard_prompt")
        else:
            reasons.append("unjudged" if verdict == "unjudged" else "wrong_easy_prompt")
    columns = {"verdict": [v for v, _ in rows], "pass_rate": [r for _, r in rows]}
    found = outcome("klear", columns, t=t)
    assert found.order == found.selected == [at for _, at in sorted(wanted)]
    assert found.column("reason") == reasons


def test_the_edge_is_not_below() -> None:
    for kind in (pa.float64(), pa.float32()):
        columns = {"verdict": ["wrong"] * 3, "pass_rate": pa.array([0.7, 0.6875, 0.75], kind)}
        assert outcome("klear", columns, t=0.7).selected == [1]


def test_what_is_not_known() -> None:
    columns = {"verdict": ["correct", "wrong", None], "pass_rate": [None, None, 0.0]}
    found = outcome("klear", columns)
    assert found.selected == [0], "a right answer needs no pass rate"
    assert found.column("reason") == ["correct", "no_pass_rate", "no_verdict"]


def test_what_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="row r000: verdict"):
        outcome("klear", {"verdict": ["true"], "pass_rate": [0.1]})
    with pytest.raises(UsageError, match="row r000: pass_rate"):
        outcome("klear", {"verdict": ["wrong"], "pass_rate": [1.5]})
