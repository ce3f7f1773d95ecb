"""Planted wrong references and simulated answers: what the audit finds of them, judged by the real
verifier. The figures for the public sets: benchmarks/gold_audit.py."""

import random
import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
DATA = ROOT / ".." / "shared" / "data"
SIMULATION: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "gold_audit.py"))
simulate, total, load, near_miss, spelt = (
    SIMULATION[name] for name in ("simulate", "total", "load", "near_miss", "spelt")
)
STRONG = (6.0, 1.0)


def _numbers(count: int) -> dict[str, str]:
    rng = random.Random(1)
    return {f"q{at:03}": str(rng.randint(1, 9999)) for at in range(count)}


def test_most_planted_references_of_solvable_tasks_are_found() -> None:
    found = total(simulate(_numbers(300), STRONG, 16, seed) for seed in range(3))
    assert found.planted >= 15
    assert found.precision >= 0.9
    assert found.solvable_recall >= 0.75


def test_the_same_seed_plants_and_finds_the_same() -> None:
    numbers = _numbers(60)
    assert simulate(numbers, STRONG, 8, 2) == simulate(numbers, STRONG, 8, 2)


def test_where_every_reference_is_right_a_strong_policy_leaves_few_suspects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(simulate.__globals__, "PLANTED", 0.0)
    found = simulate(_numbers(300), STRONG, 16, 5)
    assert (found.planted, found.tasks) == (0, 300)
    assert found.suspects <= 3


def test_near_misses_differ_and_spellings_do_not() -> None:
    rng = random.Random(3)
    for answer in ("7", "1,200", r"\frac{1}{2}", "x"):
        assert near_miss(answer, rng) != answer
    assert {spelt("1200", rng) for _ in range(200)} == {
        "1200", "1,200", "1200.0", "$1200", "1200.",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["gsm8k_test", "math500_test"])
def test_planted_references_among_real_ones(name: str) -> None:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    answers = load(path, 300)
    found = total(simulate(answers, STRONG, 16, seed) for seed in range(3))
    assert found.planted >= 15
    assert found.precision >= 0.9
    assert found.solvable_recall >= 0.75
