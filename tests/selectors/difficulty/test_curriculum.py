"""Stages and the hardest pool at their boundaries, and against the rules written out."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.difficulty.outcome import outcome
from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Silent
from winnow.selectors.registry import get_selector
from winnow.selectors.rows import TableRows
from winnow.selectors.run import select_rows

SHARES = st.integers(0, 8).map(lambda c: c / 8)
EIGHT: dict[str, Any] = {"pool": "hardest"}


@given(
    st.lists(st.tuples(SHARES, SHARES, SHARES), min_size=1, max_size=20),
    SHARES,
    st.sampled_from(["stage_1", "stage_2"]),
)
@settings(deadline=None)
def test_stages(rows: list[tuple[float, float, float]], cut: float, pool: str) -> None:
    columns = {
        "pass_rate_weak": [w for w, _, _ in rows],
        "r1": [a for _, a, _ in rows],
        "distilled": [b for _, _, b in rows],
    }
    found = outcome("curriculum", columns, pool=pool, cut=cut, strong=["r1", "distilled"])
    wanted = []
    for at, (weak, a, b) in enumerate(rows):
        first = weak < cut
        second = first and a != 1 and b != 1
        row = found.rows[at]
        assert row["stage"] == (2 if second else 1 if first else None)
        if not first:
            assert row["reason"] == "solved_by_weak"
        elif not second and pool == "stage_2":
            assert row["reason"] == "solved_by_strong"
        if second or (first and pool == "stage_1"):
            wanted.append((weak if pool == "stage_1" else max(a, b), at))
        assert row["score"] == 1 - (weak if pool == "stage_1" else max(a, b))
    assert found.order == [at for _, at in sorted(wanted)]


def test_the_edges() -> None:
    for kind in (pa.float64(), pa.float32()):
        columns = {
            "pass_rate_weak": pa.array([0.7, 0.6875, 0.0, 0.0], kind),
            "pass_rate_strong": pa.array([0.0, 0.0, 1.0, 0.9375], kind),
        }
        assert sorted(outcome("curriculum", columns, cut=0.7).selected) == [1, 2, 3]
        assert sorted(outcome("curriculum", columns, cut=0.7, pool="stage_2").selected) == [1, 3]
    assert outcome("curriculum", {"pass_rate_weak": [0.5, 0.4]}).selected == [1], (
        "half is not below"
    )


def test_stage_1_needs_no_strong_grader() -> None:
    found = outcome("curriculum", {"pass_rate_weak": [0.1, 0.2]})
    assert found.column("stage") == [1, 1]
    some = {"pass_rate_weak": [0.1, 0.2], "pass_rate_strong": [None, 0.5]}
    found = outcome("curriculum", some)
    assert (found.selected, found.column("stage")) == ([0, 1], [1, 2])
    found = outcome("curriculum", some, pool="stage_2")
    assert found.column("reason") == ["no_pass_rate_strong", "selected"]
    with pytest.raises(UsageError, match="no column 'pass_rate_strong'"):
        outcome("curriculum", {"pass_rate_weak": [0.1]}, pool="stage_2")


def test_hardest_is_all_wrong() -> None:
    columns = {"n": [8, 8, 8, 0, 16], "n_wrong": [8, 7, 0, 0, 16]}
    found = outcome("curriculum", columns, **EIGHT)
    assert found.order == [4, 0], "16 of 16 is surer than 8 of 8"
    assert found.column("score") == [8, 8, 8, 0, 16]
    assert found.column("reason") == [
        "selected", "not_all_wrong", "not_all_wrong", "no_answers", "selected",
    ]  # fmt: skip
    assert found.column("stage") == [None] * 5


def test_format_failures_are_counted_apart() -> None:
    """All failed by form, a mixture, seven wrong and one unjudged: none is buffered."""
    columns = {"n": [8, 8, 8, 8], "n_wrong": [0, 7, 7, 8], "n_format_fail": [8, 1, 0, 0]}
    found = outcome("curriculum", columns, **EIGHT)
    assert found.selected == [3]
    assert found.column("reason")[:3] == ["format_failure", "format_failure", "not_all_wrong"]


def test_format_failures_and_truncation_as_failures() -> None:
    columns = {
        "n": [8, 8, 8, 8],
        "n_wrong": [0, 4, 4, 7],
        "n_format_fail": [8, 2, 2, 0],
        "n_truncated": [0, 2, 1, 0],
    }
    found = outcome("curriculum", columns, format_failures="fail", **EIGHT)
    assert found.selected == [0, 1]
    assert outcome("curriculum", columns, **EIGHT).selected == []
    without = {name: columns[name] for name in ("n", "n_wrong")}
    assert outcome("curriculum", without, format_failures="fail", **EIGHT).selected == []


def test_demonstrations_are_verified_and_fit() -> None:
    columns = {
        "n": [8] * 6,
        "n_wrong": [8] * 6,
        "demonstration_verdict": ["correct", "correct", "wrong", "unjudged", None, "correct"],
        "demonstration_tokens": [8192, 8193, 10, 10, 10, None],
    }
    found = outcome("curriculum", columns, **EIGHT)
    assert found.column("reason") == [
        "selected", "demonstration_too_long", "demonstration_not_verified",
        "demonstration_not_verified", "demonstration_not_verified", "no_demonstration_tokens",
    ]  # fmt: skip
    assert outcome("curriculum", columns, max_demonstration_tokens=8193, **EIGHT).selected == [0, 1]


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("judged", [True, False])
def test_demonstrations_that_nobody_verified_are_noted(judged: bool) -> None:
    columns: dict[str, Any] = {"row_id": ["a"], "n": [8], "n_wrong": [8]}
    columns |= {"demonstration_verdict": ["correct"]} if judged else {}
    heard = Notes()
    found = select_rows(
        get_selector("curriculum"), TableRows(pa.table(columns)), parameters=EIGHT, budget=None,
        seed=0, columns={}, progress=heard,
    )  # fmt: skip
    assert found.selected == 1
    assert [note.partition(":")[0] for note in heard.notes] == (
        [] if judged else ["no demonstration_verdict"]
    )


@pytest.mark.parametrize(
    ("columns", "parameters", "message"),
    [
        ({"pass_rate_weak": [0.1, 1.1]}, {}, "row r001: pass_rate_weak"),
        ({"pass_rate_weak": [0.1], "pass_rate_strong": [-1.0]}, {}, "row r000: pass_rate_strong"),
        ({"n": [8, 8], "n_wrong": [8, 9]}, EIGHT, "row r001: n_wrong 9: is above n"),
        ({"n": [8, 8], "n_wrong": [8, -9]}, EIGHT, "row r001: n_wrong"),
        ({"n": [8], "n_wrong": [8], "n_format_fail": [1]}, EIGHT, "row r000: n_format_fail"),
        (
            {"n": [8], "n_wrong": [8], "n_truncated": [1]},
            {"format_failures": "fail", **EIGHT},
            "row r000: n_truncated.*format_failures=apart",
        ),
        ({"n": [8], "n_wrong": [8]}, {"cut": 0.1, **EIGHT}, "cut is no parameter"),
        ({"pass_rate_weak": [0.1]}, {"format_failures": "fail"}, "format_failures is no parameter"),
    ],
)
def test_what_makes_no_sense(
    columns: dict[str, Any], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        outcome("curriculum", columns, **parameters)
