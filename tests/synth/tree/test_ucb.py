"""The published bounds, by hand."""

import math

import pytest

from winnow.synth.tree import ucb


def test_thinklite_code_is_ucb1() -> None:
    # 1/2 + 1 * sqrt(ln 4 / 2)
    assert ucb.thinklite_code(1.0, 2, 4) == pytest.approx(0.5 + math.sqrt(math.log(4) / 2))
    assert ucb.thinklite_code(0.0, 1, 1) == 0.0  # ln 1 = 0
    assert ucb.thinklite_code(0.0, 2, 4, c=3.0) == pytest.approx(3 * 0.832554611)


def test_a_child_that_was_never_visited_comes_first_by_the_code() -> None:
    assert ucb.thinklite_code(0.0, 0, 1) == math.inf
    assert ucb.thinklite_code(0.0, 0, 0) == math.inf  # and the parent's visits are not looked at


def test_thinklite_paper_counts_visits_alone() -> None:
    assert ucb.thinklite_paper(0, 9) == 3.0
    assert ucb.thinklite_paper(2, 9, c=0.5) == 0.5


def test_rest_mcts() -> None:
    assert ucb.rest_mcts(0.4, 2, 4) == pytest.approx(0.4 + 0.7 * math.sqrt(2 * math.log(4) / 2))
    assert ucb.rest_mcts(0.4, 0, 4) == 1.4
    assert ucb.rest_mcts(0.4, 0, 4, unvisited=0.9) == 1.3


def test_the_two_thinklite_rules_order_visits_differently() -> None:
    """Under the code's rule an unvisited child always wins; under the paper's it wins as well, but
    between visited ones the distances differ: only the order is shared."""
    visits = [3, 0, 1]
    code = [ucb.thinklite_code(0.0, n, 5) for n in visits]
    paper = [ucb.thinklite_paper(n, 5) for n in visits]
    assert ucb.first_best(["a", "b", "c"], code) == ucb.first_best(["a", "b", "c"], paper) == "b"
    assert paper[1] / paper[2] == 2.0
    assert code[1] == math.inf


def test_of_equal_scores_the_first_wins() -> None:
    assert ucb.first_best(["a", "b", "c"], [1.0, 2.0, 2.0]) == "b"
    assert ucb.first_best(["a", "b"], [math.inf, math.inf]) == "a"
    assert ucb.all_best(["a", "b", "c"], [2.0, 1.0, 2.0]) == ["a", "c"]
