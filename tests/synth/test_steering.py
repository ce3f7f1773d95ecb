"""Runs whose next prompt depends on all the others: the same however answers arrive, and resumed."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.synth.test_adaptive import TARGET, Dead, Script, Scripted, verdicts
from winnow.pipeline import schema
from winnow.pipeline.estimate.dart import prop2diff_targets
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.synth.adaptive import Decision, Desk
from winnow.synth.sampling import PLAN_COLUMNS, Row, Shelf, Spending
from winnow.synth.steering import BandFiller, Director, Prop2Diff, Thompson, draw_steered, replay
from winnow.synth.stopping.any_of import AnyOf
from winnow.synth.stopping.band_fill import BandFill
from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.cap import Cap
from winnow.synth.stopping.mopps import Mopps

CAP = 8
PRIOR = (0.5, 0.5)
INTERVAL = calibrated(CAP, prior=PRIOR, band=(0.2, 0.8), error=0.2)
COLUMNS = [*PLAN_COLUMNS, "completion"]
Make = Callable[[Script], Director]


def filler(script: Script) -> Director:
    rule = AnyOf((INTERVAL, Cap(CAP)))
    return BandFiller(script, rule, BandFill.of(3, INTERVAL, PRIOR), 10.0)


def thompson(script: Script) -> Director:
    rule = Mopps(2, candidates=3)
    return Thompson(script, rule, Cap(CAP), answers=2, rounds=6, seed=1, prior=(1.0, 1.0))


def prop2diff(script: Script) -> Director:
    return Prop2Diff(script, Cap(CAP), k=4, pilot=2, cover=True)


MAKES: dict[str, Make] = {"band_fill": filler, "mopps": thompson, "prop2diff": prop2diff}


def script_of(seed: int, prompts: int = 12) -> Script:
    rng = np.random.default_rng(seed)
    return {
        str(p): "".join("rw"[int(v)] for v in rng.random(CAP) > rate)
        for p, rate in enumerate(rng.beta(*PRIOR, prompts))
    }


def run(
    folder: Path,
    script: Script,
    make: Make,
    *,
    window: int = 4,
    concurrency: int = 3,
    lives: int | None = None,
    noise: int = 0,
    spending: Spending | None = None,
) -> tuple[Scripted, bool]:
    """Go on over what the folder holds; (the engine, whether it lived to the end)."""
    engine = Scripted(script, lives)
    whims = random.Random(noise)

    async def judge(row: Row) -> list[dict[str, object]]:
        for _ in range(whims.randint(0, 6)):
            await asyncio.sleep(0)
        return verdicts(row)

    async def work(store: Store) -> None:
        async with AsyncWriter(store) as writer:
            desk = Desk(
                Shelf(store.get(script, "prompt_id", columns=COLUMNS).to_pylist(), TARGET),
                {prompt: [{"role": "user", "content": prompt}] for prompt in script},
                engine,
                TARGET,
                writer,
                concurrency=concurrency,
                judge=judge,
                spending=spending,
            )
            await draw_steered(make(script), window, desk)

    alive = True
    with Store(folder / "rollouts.sqlite", schema.ROLLOUTS, "rollout_id", write=True) as store:
        try:
            asyncio.run(work(store))
        except* Dead:
            alive = False
    return engine, alive


def final(folder: Path, script: Script, make: Make, window: int = 4) -> tuple[list[Decision], bool]:
    with Store(folder / "rollouts.sqlite", schema.ROLLOUTS, "rollout_id") as store:
        shelf = Shelf(store.all(COLUMNS).to_pylist(), TARGET)
    director = make(script)
    whole = replay(director, window, shelf, verdicts)
    return director.decisions(), whole


@pytest.mark.parametrize("kind", MAKES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), concurrency=st.integers(1, 9))
def test_the_order_of_arrival_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int, concurrency: int
) -> None:
    script, make = script_of(seed), MAKES[kind]
    folders = [tmp_path_factory.mktemp("store") for _ in range(2)]
    first, _ = run(folders[0], script, make)
    other, _ = run(folders[1], script, make, noise=seed + 1, concurrency=concurrency)
    assert Counter(first.asked) == Counter(other.asked)
    ended = final(folders[0], script, make)
    assert ended == final(folders[1], script, make)
    assert ended[1]


@pytest.mark.parametrize("kind", MAKES)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_run_that_dies_at_any_answer_ends_as_one_that_does_not(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
) -> None:
    script, make, chance = script_of(seed), MAKES[kind], random.Random(seed)
    calm, killed = tmp_path_factory.mktemp("calm"), tmp_path_factory.mktemp("killed")
    wanted, _ = run(calm, script, make)
    seen: set[tuple[str, int]] = set()
    alive, lives = False, 0
    while not alive:
        limit = chance.randint(0, 6) if lives < 15 else None
        engine, alive = run(killed, script, make, lives=limit, noise=lives)
        assert not seen & set(engine.asked), "a stored answer was drawn again"
        with Store(killed / "rollouts.sqlite", schema.ROLLOUTS, "rollout_id") as store:
            seen = {(row["prompt_id"], row["seed"]) for row in store.all().to_pylist()}
        lives += 1
    assert seen == set(wanted.asked)
    assert final(killed, script, make) == final(calm, script, make)


def test_band_fill_stops_when_enough_prompts_are_in_the_band(tmp_path: Path) -> None:
    script = {str(p): ("rwrwrwrw" if p % 3 == 0 else "wwwwwwww") for p in range(30)}
    engine, _ = run(tmp_path, script, filler, window=1)
    decided = Counter(d.reason for d in filler_decisions(tmp_path, script, 1))
    assert decided["in_band"] == 3
    everything, _ = run(tmp_path.with_name("all"), script, lambda s: BandFiller(
        s, AnyOf((INTERVAL, Cap(CAP))), BandFill.of(30, INTERVAL, PRIOR), 10.0))  # fmt: skip
    assert len(engine.asked) < len(everything.asked) / 2


def filler_decisions(folder: Path, script: Script, window: int) -> list[Decision]:
    decisions, whole = final(folder, script, filler, window)
    assert whole
    return decisions


def test_a_window_goes_past_the_end_by_itself_at_most(tmp_path: Path) -> None:
    script = {str(p): "rwrwrwrw" for p in range(30)}
    narrow, _ = run(tmp_path / "1", script, filler, window=1)
    wide, _ = run(tmp_path / "8", script, filler, window=8, concurrency=8)
    assert len(narrow.asked) <= len(wide.asked) <= len(narrow.asked) * 8
    assert narrow.most == 1
    assert wide.most > 4


def test_mopps_samples_near_the_target(tmp_path: Path) -> None:
    """Prompts that are sometimes solved get more answers than those that never or always are."""
    rng = np.random.default_rng(0)
    script = {}
    for p in range(30):
        kinds = ("rwrwrwrw", "wwwwwwww", "rrrrrrrr")[p % 3]
        script[str(p)] = "".join(rng.permutation(list(kinds)))
    make = lambda s: Thompson(
        s, Mopps(3, candidates=4), Cap(CAP), answers=2, rounds=30, seed=0, prior=(1.0, 1.0)
    )
    engine, _ = run(tmp_path, script, make, window=3)
    counts = Counter(int(prompt) % 3 for prompt, _ in engine.asked)
    assert counts[0] > max(counts[1], counts[2])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), window=st.sampled_from([1, 4, 40]))
def test_prop2diff_gives_each_prompt_its_target(
    tmp_path_factory: pytest.TempPathFactory, seed: int, window: int
) -> None:
    script, folder = script_of(seed), tmp_path_factory.mktemp("store")
    run(folder, script, prop2diff, window=window)
    decisions, whole = final(folder, script, prop2diff, window)
    assert whole
    failed = [1 - kinds[:2].count("r") / 2 for kinds in script.values()]
    targets = prop2diff_targets(failed, 4, cover=True).tolist()
    for decision, kinds, target in zip(decisions, script.values(), targets, strict=True):
        drawn = next((n for n in range(2, CAP + 1) if kinds[:n].count("r") >= target), CAP)
        assert decision.answers == drawn, (kinds, target)
        enough = kinds[:drawn].count("r") >= target
        assert decision.reason == ("enough_correct" if enough else "max_answers")


def test_a_budget_ends_a_steered_run(tmp_path: Path) -> None:
    script = script_of(3)
    engine, _ = run(tmp_path, script, filler, spending=Spending(answers=5))
    assert len(engine.asked) == 5
    assert not final(tmp_path, script, filler)[1]
    run(tmp_path, script, filler)
    assert final(tmp_path, script, filler)[1]
