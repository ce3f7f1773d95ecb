"""Which prompts a round takes, and what it learns of them."""

import numpy as np
import pytest

from winnow.pipeline.estimate.mopps import nearest_first
from winnow.synth.stopping.mopps import Mopps

FLAT = (np.ones(100), np.ones(100))


def test_a_round_takes_the_best_of_eight_times_as_many_candidates() -> None:
    rule = Mopps(5)
    alpha, beta = np.linspace(1, 20, 100), np.linspace(20, 1, 100)
    found = rule.choose((alpha, beta), seed=3, round_=2)
    draw = np.random.default_rng([3, 2])
    candidates = np.sort(draw.choice(100, 40, replace=False))
    rates = draw.beta(alpha[candidates], beta[candidates])
    assert found.tolist() == candidates[nearest_first(rates)[:5]].tolist()


def test_prompts_near_the_target_come_first() -> None:
    """Sharp posteriors, so that draws are means: of all candidates those at the target."""
    rates = np.linspace(0.005, 0.995, 100)
    posterior = (rates * 1e9, (1 - rates) * 1e9)
    found = Mopps(5, candidates=20).choose(posterior, seed=0, round_=0)
    assert sorted(found.tolist()) == [47, 48, 49, 50, 51] or sorted(found.tolist()) == [
        48, 49, 50, 51, 52,
    ]  # fmt: skip
    high = Mopps(3, candidates=40, target=1.0).choose(posterior, seed=0, round_=0)
    assert high.tolist() == [99, 98, 97]
    band = Mopps(10, candidates=10, choose_by="threshold", band=(0.2, 0.3))
    chosen = band.choose(posterior, seed=0, round_=0)
    assert ((rates[chosen] >= 0.2) & (rates[chosen] <= 0.3)).all() and len(chosen) == 10


def test_the_same_round_chooses_the_same_and_another_one_others() -> None:
    rule = Mopps(5)
    first = rule.choose(FLAT, seed=1, round_=0).tolist()
    assert rule.choose(FLAT, seed=1, round_=0).tolist() == first
    assert rule.choose(FLAT, seed=1, round_=1).tolist() != first
    assert rule.choose(FLAT, seed=2, round_=0).tolist() != first


def test_only_eligible_prompts_are_taken() -> None:
    eligible = np.zeros(100, np.bool_)
    eligible[[3, 50, 77]] = True
    found = Mopps(5).choose(FLAT, seed=0, round_=0, eligible=eligible)
    assert sorted(found.tolist()) == [3, 50, 77]
    none = Mopps(5).choose(FLAT, seed=0, round_=0, eligible=np.zeros(100, np.bool_))
    assert none.tolist() == []


def test_what_a_round_learns() -> None:
    """Prior (1, 1), discount 0.5, 8 answers: 2 right gives (3, 7), then 4 right (6, 8)."""
    rule = Mopps(1, discount=0.5)
    before = (np.ones(3), np.ones(3))
    once = rule.learn(before, np.array([1]), [2], [6])
    assert [each.tolist() for each in once] == [[1, 3, 1], [1, 7, 1]]
    twice = rule.learn(once, np.array([1]), [4], [4])
    assert [each.tolist() for each in twice] == [[1, 6, 1], [1, 8, 1]]
    assert before[0].tolist() == [1, 1, 1], "the old posterior stays as it was"


def test_it_returns_to_the_prior_of_each_prompt() -> None:
    prior = (np.array([1.0, 4.0]), np.array([1.0, 2.0]))
    found = Mopps(1, discount=0.0).learn(
        (np.full(2, 9.0), np.full(2, 9.0)), np.array([1, 0]), [1, 0], [0, 2], prior=prior
    )
    assert [each.tolist() for each in found] == [[1, 5], [3, 2]]


def test_parameters_without_sense() -> None:
    with pytest.raises(ValueError, match="prompts"):
        Mopps(0)
    with pytest.raises(ValueError, match="candidates"):
        Mopps(1, 0)
    with pytest.raises(ValueError, match="target"):
        Mopps(1, target=1.5)
    with pytest.raises(ValueError, match="band"):
        Mopps(1, band=(0.7, 0.3))
    with pytest.raises(ValueError, match="discount"):
        Mopps(1, discount=1.5)
