"""Merging of siblings while a search goes on."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.synth.tree.scripted import ROOT, WRONG, First, Says, Scripted
from winnow.pipeline.estimate.state_merging import continuations
from winnow.synth.tree import mcts
from winnow.synth.tree.mcts import MctsOptions
from winnow.synth.tree.merge import Merger


class Angles:
    """An embedder: a text that holds `@x` points into the direction of x degrees."""

    identity = "angles"

    def __init__(self) -> None:
        self.texts: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts.append(list(texts))
        angles = np.radians([float(text.split("@")[1].split()[0]) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _labels(*texts: str, apart: Any = None, distance: float = 0.15) -> list[int]:
    return asyncio.run(Merger(Angles(), distance=distance).labels(texts, apart=apart))


def test_close_steps_are_one() -> None:
    # 1 - cos 30 = 0.134; 1 - cos 40 = 0.234.
    assert _labels("@0", "@90", "@30") == [0, 1, 0]
    assert _labels("@0", "@90", "@40") == [0, 1, 2]
    assert _labels("@0", "@90", "@30", distance=0.1) == [0, 1, 2]


def test_what_is_kept_apart_never_merges() -> None:
    assert _labels("@0", "@0", "@0", apart=[True, False, True]) == [0, 1, 0]


def test_blank_steps_need_no_embedding() -> None:
    assert _labels("@0", "", "@0", " \n") == [0, 1, 0, 1]
    assert _labels("", "", apart=[True, False]) == [0, 1]
    assert _labels("", "@5") == [0, 1]


def test_what_was_merged_is_counted() -> None:
    merger = Merger(Angles())
    asyncio.run(merger.labels(["@0", "@1", "@90"]))
    asyncio.run(merger.labels(["@0"]))
    assert (merger.seen, merger.merged) == (4, 1)


def test_a_lazy_search_does_not_merge() -> None:
    with pytest.raises(ValueError, match="lazy"):
        asyncio.run(
            mcts.search(ROOT, Scripted(), Says(), First(0), MctsOptions(lazy=True),
                        merger=Merger(Angles()))
        )  # fmt: skip


def _searched(angles: dict[str, int], **options: Any) -> tuple[mcts.Mcts, Scripted, Says, Merger]:
    """Solutions of two steps; the last number of a step's name is its direction's key."""
    policy = Scripted(
        lambda name: ("Final Answer: " if "/" in name else "") + f"@{angles.get(name, 0)} <end>"
    )
    judge, merger = Says(lambda name: WRONG), Merger(Angles())
    found = asyncio.run(
        mcts.search(ROOT, policy, judge, First(2), MctsOptions(**options), merger=merger)
    )
    return found, policy, judge, merger


def test_merged_children_are_one_node_whose_members_take_turns() -> None:
    """0 and 2 say the same. By hand: 1: 2 is chosen, followed by itself (2/0), in the node {0, 2}.
    2: {1} was never visited; its children are all alike and one node {1/0, 1/1, 1/2}, of which the
    third was chosen: judged. 3: equal bounds, so {0, 2}: its three children come from 0, 2, 0 (2 has
    been continued once by the simulation), all alike; the third one, 0/1, is judged."""
    found, policy, judge, merger = _searched({"0": 0, "1": 90, "2": 10}, max_iterations=3)
    assert [name for name, _ in judge.asked] == ["2/0", "1/2", "0/1"]
    members = [[state.name for state in node.states] for node in found.tree.nodes]
    assert members == [["root"], ["0", "2"], ["1"], ["1/0", "1/1", "1/2"], ["0/0", "2/1", "0/1"]]
    assert [node.visits for node in found.tree.nodes] == [3, 2, 1, 1, 1]
    assert [node.parent for node in found.tree.nodes] == [-1, 0, 0, 2, 1]
    drawn = {name: sum(call.startswith(f"{name}/") for call in policy.calls) for name in "02"}
    simulated = 1  # 2/0
    assert [drawn["0"], drawn["2"] - simulated] == continuations(2, 3)
    # {0, 2} was expanded once instead of twice.
    assert found.tree.saved_expansions == 1
    assert (merger.seen, merger.merged) == (9, 1 + 2 + 2)


def test_final_and_other_steps_stay_apart() -> None:
    policy = Scripted(lambda name: ("Final Answer: " if name == "1" else "") + "@0 <end>")
    found = asyncio.run(
        mcts.search(ROOT, policy, Says(), First(0), MctsOptions(max_iterations=1),
                    merger=Merger(Angles()))
    )  # fmt: skip
    members = [[state.name for state in node.states] for node in found.tree.nodes]
    assert members == [["root"], ["0", "2"], ["1"]]


def test_merging_saves_steps_of_an_exhaustive_search() -> None:
    """Three thoughts, each said in three ways: with merging, a search of as many iterations reaches
    as many different thoughts with fewer nodes."""
    text = lambda name: f"@{120 * (int(name.split('/')[-1]) % 3)} <end>"
    found = {}
    for merged in (False, True):
        found[merged] = asyncio.run(
            mcts.search(
                ROOT, Scripted(text), Says(), random.Random(1),
                MctsOptions(branch=9, max_iterations=12, max_steps=3),
                merger=Merger(Angles()) if merged else None,
            )
        )  # fmt: skip
    assert len(found[True].tree.nodes) < len(found[False].tree.nodes) / 2
    assert found[True].tree.saved_expansions > 0 == found[False].tree.saved_expansions


def test_the_same_search_merges_alike_when_it_is_resumed() -> None:
    first, *_ = _searched({"0": 0, "1": 90, "2": 10}, max_iterations=6)
    again, *_ = _searched({"0": 0, "1": 90, "2": 10}, max_iterations=6)
    assert first == again
