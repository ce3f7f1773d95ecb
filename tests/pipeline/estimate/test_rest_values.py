"""Step values of search trees, against the published forms and walks written plainly."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.estimate.rest_values import (
    Tree,
    full_values,
    paper_step,
    process_values,
    simple_values,
)


def tree(
    parent: Sequence[int], correct: dict[int, bool | None], value: Sequence[float] | None = None
) -> Tree:
    """A tree whose judged leaves are finished."""
    n = len(parent)
    return Tree(
        parent,
        [node in correct for node in range(n)],
        [0.0] * n if value is None else value,
        [correct.get(node) for node in range(n)],
    )


def chain(length: int, correct: bool | None = True) -> Tree:
    return tree([-1, *range(length)], {length: correct})


class TestFull:
    @pytest.mark.parametrize("length", [1, 2, 3, 7])
    def test_a_correct_chain_rises_evenly(self, length: int) -> None:
        found = full_values(chain(length))
        assert found.value.tolist() == pytest.approx([d / length for d in range(length + 1)])
        assert found.samples == list(range(1, length + 1))

    def test_no_correct_leaf_gives_nothing(self) -> None:
        for none in (chain(3, False), chain(3, None)):
            found = full_values(none)
            assert found.samples == [] and np.isnan(found.value).all()

    def test_a_wrong_branch_takes_over_the_distance_where_it_leaves(self) -> None:
        # 0 - 1 - 2 (correct) and 1 - 3 - 4 (wrong): m of 1, 2 is 2, 1; of 3, 4 that of 1.
        found = full_values(tree([-1, 0, 1, 1, 3], {2: True, 4: False}))
        assert found.value.tolist() == [0, 0.5, 1, 0.5 - 0.5 / 2, 0]
        assert found.samples == [1, 2, 3, 4]

    def test_values_do_not_fall_below_0(self) -> None:
        found = full_values(tree([-1, 0, 0], {1: True, 2: False}))
        assert found.value.tolist() == [0, 1, 0]  # 0 - 1 / 2

    def test_the_nearest_correct_leaf_counts(self) -> None:
        # Correct at depth 1 and at depth 3: the root's distance is 2.
        found = full_values(tree([-1, 0, 0, 2, 3], {1: True, 4: True}))
        assert found.value.tolist() == pytest.approx([0, 1, 1 / 3, 2 / 3, 1])

    def test_a_branch_without_an_end_has_no_value(self) -> None:
        found = full_values(tree([-1, 0, 0, 2], {1: True}))
        assert found.samples == [1]
        assert np.isnan(found.value[2:]).all()

    def test_a_leaf_that_was_not_judged_counts_as_none(self) -> None:
        assert full_values(tree([-1, 0, 0], {1: True, 2: None})).samples == [1]

    @pytest.mark.parametrize("flags", [list(np.array([True, True, False])), [1, 1, 0]])
    def test_flags_of_an_array(self, flags: list[Any]) -> None:
        judged = Tree([-1, 0, 0], [False, True, True], [0, 0, 0], flags)
        assert full_values(judged).samples == [1, 2]
        assert process_values(judged).value.tolist() == [1, 1, 0]
        with pytest.raises(ValueError, match="true, false and None"):
            Tree([-1, 0, 0], [False, True, True], [0, 0, 0], [True, True, math.nan])  # type: ignore[list-item]

    def test_a_long_chain(self) -> None:
        found = full_values(chain(2000))
        assert found.value[1000] == pytest.approx(0.5) and found.value[2000] == pytest.approx(1)

    def test_a_leaf_over_the_gate_is_an_end(self) -> None:
        open_ = Tree([-1, 0, 0], [False, True, False], [0, 0, 0.9], [None, True, False])
        assert full_values(open_).samples == [1, 2]
        assert full_values(open_, end_gate=0.91).samples == [1]
        below = Tree([-1, 0, 0], [False, True, False], [0, 0, 0.85], [None, True, False])
        assert full_values(below).samples == [1]
        assert full_values(below, end_gate=0.8).samples == [1, 2]

    def test_a_finished_node_with_children_is_no_end(self) -> None:
        inner = Tree([-1, 0, 1], [False, True, True], [0, 0, 0], [None, False, True])
        assert full_values(inner).value.tolist() == [0, 0.5, 1]

    @given(st.floats(0, 1), st.integers(1, 30), st.booleans())
    def test_both_forms_agree(self, before: float, m: int, correct: bool) -> None:
        ours = max(0.0, before + (1 - before) * (1 if correct else -1) / m)
        assert ours == pytest.approx(paper_step(before, m, correct))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    n = draw(st.integers(1, 14))
    parent = [-1, *(draw(st.integers(0, node - 1)) for node in range(1, n))]
    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    judged = st.lists(st.sampled_from([True, False, None]), min_size=n, max_size=n)
    values = st.lists(st.sampled_from([0.0, 0.5, 0.89, 0.9, 1.0]), min_size=n, max_size=n)
    return Tree(parent, draw(flags), draw(values), draw(judged))


def ends(of: Tree) -> list[int]:
    inner = set(of.parent)
    return [
        node for node in range(len(of))
        if node not in inner and (of.finished[node] or of.value[node] >= 0.9)
    ]  # fmt: skip


def descends(of: Tree, node: int, above: int) -> int | None:
    """Steps from `above` down to `node`, None where it is not below."""
    steps = 0
    while node != above:
        if node == 0:
            return None
        node, steps = of.parent[node], steps + 1
    return steps


@given(trees())
def test_full_against_definitions(of: Tree) -> None:
    leaves = ends(of)
    right = [leaf for leaf in leaves if of.correct[leaf] is True]
    found = full_values(of)
    near: dict[int, int] = {}
    for node in range(len(of)):
        steps = [s for leaf in right if (s := descends(of, leaf, node)) is not None]
        if steps:
            near[node] = 1 + min(steps)
    expected: dict[int, float] = {0: 0.0} if near else {}
    for node in range(1, len(of)):
        before = expected.get(of.parent[node])
        if before is None:
            continue
        if node in near:
            expected[node] = paper_step(before, near[node], True)
        elif any(
            of.correct[leaf] is False and descends(of, leaf, node) is not None for leaf in leaves
        ):
            above = of.parent[node]
            while above not in near:
                above = of.parent[above]
            expected[node] = paper_step(before, near[above], False)
    assert found.samples == [node for node in sorted(expected) if node]
    for node in range(len(of)):
        if node in expected:
            assert found.value[node] == pytest.approx(expected[node], abs=1e-12)
        else:
            assert math.isnan(found.value[node])


@given(trees())
def test_process_against_definitions(of: Tree) -> None:
    judged = [leaf for leaf in ends(of) if of.correct[leaf] is not None]
    found = process_values(of)
    for node in range(len(of)):
        below = [of.correct[leaf] for leaf in judged if descends(of, leaf, node) is not None]
        if below:
            assert found.value[node] == float(any(below))
        else:
            assert math.isnan(found.value[node])
        assert (node in found.samples) == bool(below and node)


class TestSimple:
    def test_path_and_siblings(self) -> None:
        # Path 0 - 1 - 3 - 5 - 7, siblings 2, 4, 6 and 8 at depths 1 to 4; 9 hangs below a sibling.
        of = tree([-1, 0, 0, 1, 1, 3, 3, 5, 5, 4], {7: True, 8: False, 9: False})
        found = simple_values(of)
        assert [found.value[node] for node in (0, 1, 3, 5, 7)] == [0, 0.25, 0.5, 0.75, 1]
        assert [found.value[node] for node in (2, 4, 6, 8)] == [0, 0, 0.25, 0.5]
        assert math.isnan(found.value[9]) and found.samples == list(range(1, 9))

    def test_which_path(self) -> None:
        of = tree([-1, 0, 0, 2], {1: True, 3: True})
        assert simple_values(of).value.tolist()[:3] == [0, 1, 0]
        assert simple_values(of, solved=3).value.tolist() == [0, 0, 0.5, 1]
        with pytest.raises(ValueError, match="node 2 is no correct end leaf"):
            simple_values(of, solved=2)

    def test_nothing_solved(self) -> None:
        assert simple_values(chain(3, False)).samples == []


@pytest.mark.parametrize("parent", [[], [0], [-1, 1], [-1, -1], [-1, 2, 0]])
def test_what_is_no_tree_is_refused(parent: list[int]) -> None:
    n = len(parent)
    with pytest.raises(ValueError, match="root"):
        Tree(parent, [True] * n, [0.0] * n, [None] * n)
