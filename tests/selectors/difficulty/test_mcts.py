"""The rule at its boundary, both ways to count, and what is unsolved."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.difficulty.outcome import outcome
from winnow.pipeline.errors import UsageError


def test_more_than_five_from_one_or_from_zero() -> None:
    columns = {"mcts_iterations": [1, 5, 6, 7, 50, None]}
    assert sorted(outcome("mcts", columns).selected) == [2, 3, 4, 5]
    assert sorted(outcome("mcts", columns, counting="zero_based").selected) == [3, 4, 5]


def test_unsolved_prompts_come_first_then_the_late_ones() -> None:
    columns = {"mcts_iterations": [6, None, 50, None, 20, 3]}
    found = outcome("mcts", columns)
    assert found.order == [1, 3, 2, 4, 0]
    assert found.column("score") == [6, 51, 50, 51, 20, 3]
    assert found.column("reason") == [
        "solved_late", "unsolved", "solved_late", "unsolved", "solved_late", "solved_early",
    ]  # fmt: skip
    without = outcome("mcts", columns, keep_unsolved=False)
    assert without.order == [2, 4, 0]
    assert without.rows[1]["reason"] == "unsolved"


def test_solved_says_what_null_means() -> None:
    columns = {
        "mcts_iterations": [50, None, None, 9, 2, 2],
        "mcts_solved": [False, False, None, None, True, False],
    }
    found = outcome("mcts", columns)
    assert found.order == [0, 1, 5, 3], "a search that ran out has iterations, but no solution"
    assert found.column("reason") == [
        "unsolved", "unsolved", "not_searched", "solved_late", "solved_early", "unsolved",
    ]  # fmt: skip


@given(
    st.lists(st.none() | st.integers(1, 60), min_size=1, max_size=25),
    st.integers(0, 20),
    st.sampled_from(["one_based", "zero_based"]),
    st.booleans(),
)
@settings(deadline=None)
def test_against_the_rule(
    iterations: list[int | None], least: int, counting: str, keep: bool
) -> None:
    wanted = []
    for at, used in enumerate(iterations):
        if used is None:
            if keep:
                wanted.append((-61, at))
        elif (used if counting == "one_based" else used - 1) > least:
            wanted.append((-used, at))
    found = outcome(
        "mcts", {"mcts_iterations": pa.array(iterations, pa.int32())},
        min_iterations_exclusive=least, counting=counting, keep_unsolved=keep, max_iterations=60,
    )  # fmt: skip
    assert found.order == [at for _, at in sorted(wanted)]


def test_what_makes_no_sense() -> None:
    with pytest.raises(UsageError, match="row r001: mcts_iterations .* count from 1"):
        outcome("mcts", {"mcts_iterations": [1, 0]})
    with pytest.raises(UsageError, match="row r000: mcts_iterations .* max_iterations"):
        outcome("mcts", {"mcts_iterations": [51, 1]})
    with pytest.raises(UsageError, match="row r001: mcts_solved"):
        outcome("mcts", {"mcts_iterations": [1, None], "mcts_solved": [True, True]})
