"""Band decisions of real answers: the stop rule `interval` against a fixed number of answers.

    python benchmarks/band_decisions.py [--prompts 64] [--answers 64]

A 135M model (vLLM) answers word problems and short arithmetic, so many times each; its pass rate in
these answers is taken as the truth. The rule (`calibrated`, for the error that a fixed n = 16 has under
the prior Beta(0.5, 0.5)) then decides whether a prompt lies in the band

    recorded    from these answers, imported and replayed in their order (`engine.type: replay`), and in
                200 random orders, which says more than one order can;
    live        from answers of its own, drawn with another seed: the run itself stops.

Beside it fixed n = 16 decides by the posterior of the first 16. Counted are the answers per prompt and
the decisions that differ from the truth, over the prompts of which at least half of the answers were
judged. A prompt whose rate lies near an edge of the band is decided wrongly by any rule now and then.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from winnow.stages import prompts as ingestion
from winnow.stages import rollouts, verdicts
from winnow.stages.base import Context
from winnow.synth.engines.replay import import_rollouts
from winnow.synth.stopping.base import Answer, Tally, stopped
from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.figures import under_prior
from winnow.synth.stopping.interval import Interval
from winnow.synth.stopping.posterior import band_masses

BANDS = ((0.1, 0.9), (0.2, 0.8))
PRIOR = (0.5, 0.5)
FEW = 16
ORDERS = 200
SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
FAMILIES: tuple[dict[str, Any], ...] = (
    {"family": "gsm_symbolic"},
    {"family": "products", "config": SMALL},
    {"family": "chain_sum", "config": SMALL},
    {"family": "basic_arithmetic", "config": SMALL},
)
LIVE = {"type": "vllm", "max_model_len": 1024, "args": {"enforce_eager": True}}
Outcomes = dict[str, list[Answer]]  # of each prompt, in order


def outcomes(
    folder: Path, prompts: int, sampling: Mapping[str, Any], engine: Mapping[str, Any], seed: int
) -> tuple[Context, Outcomes]:
    """The judged answers that a recipe ends up with."""
    size = -(-prompts // len(FAMILIES))
    recipe = {
        "dataset": "benchmark",
        "seed": seed,
        "sources": [
            {"type": "reasoning_gym", "size": size, "seed": 7, **family} for family in FAMILIES
        ],
        "engine": engine,
        "sampling": {"max_tokens": 160, "temperature": 0.7, **sampling},
        "sets": {"rl": {}},
    }
    folder.mkdir()
    path = folder / "benchmark.yaml"
    path.write_text(json.dumps(recipe))  # JSON is YAML
    ctx = Context.of(path, folder / "home")
    ingestion.run(ctx)
    if engine["type"] == "replay":
        with ctx.workspace.rollouts(write=True) as store:
            import_rollouts(engine_rows(folder.parent), store, policy=engine["policy"])
    rollouts.run(ctx)
    verdicts.run(ctx)
    judged = ctx.workspace.read("verdicts").to_pylist()
    said = {row["rollout_id"]: row["verdict"] for row in judged}
    found: Outcomes = {}
    drawn = ctx.workspace.read("rollouts").to_pylist()
    for row in sorted(drawn, key=lambda row: (row["prompt_id"], row["index"])):
        cut = row["finish_reason"] == "length"
        answer = Answer(said[row["rollout_id"]], row["n_tokens"], cut)
        found.setdefault(row["prompt_id"], []).append(answer)
    return ctx, found


def engine_rows(folder: Path) -> list[dict[str, Any]]:
    """The recorded answers as a user would bring them."""
    rows: list[dict[str, Any]] = json.loads((folder / "recorded.json").read_text())
    return rows


def record(ctx: Context, folder: Path) -> None:
    prompts = ctx.workspace.read("prompts").to_pylist()
    messages = {row["prompt_id"]: row["messages"] for row in prompts}
    rows = [
        {
            "messages": [dict(m) for m in messages[row["prompt_id"]]],
            **{key: row[key] for key in ("completion", "index", "finish_reason", "n_tokens")},
        }
        for row in ctx.workspace.read("rollouts").to_pylist()
    ]
    (folder / "recorded.json").write_text(json.dumps(rows))


def fixed(band: tuple[float, float]) -> Interval:
    """So few answers, and then the likelier side."""
    inside = band_masses(FEW, PRIOR, band)[1] >= 0.5
    return Interval.where(FEW, {}, {"in_band": inside, "below_band": ~inside})


def tally(answers: Sequence[Answer]) -> Tally:
    found = Tally()
    for answer in answers:
        found = found.add(answer)
    return found


def line(name: str, answers: float, wrong: float, prompts: int) -> None:
    print(
        f"  {name:34}{answers:8.2f} answers{answers / FEW:8.3f} of n = {FEW}"
        f"{wrong:8.2f} wrong decisions{wrong / prompts:8.3f}",
        flush=True,
    )


def against(truth: Mapping[str, bool], found: Outcomes, rule: Interval) -> tuple[float, int]:
    """Answers per prompt and wrong decisions, of answers on which the rule stopped."""
    ends = {prompt: stopped(rule, found[prompt]) for prompt in truth}
    wrong = sum((rule.decision(ends[p]) == "in_band") != inside for p, inside in truth.items())
    return sum(end.drawn for end in ends.values()) / len(truth), wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--answers", type=int, default=64)
    a = parser.parse_args()
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ctx, known = outcomes(folder / "all", a.prompts, {"n": a.answers}, LIVE, 0)
        record(ctx, folder)
        for band in BANDS:
            tallies = {prompt: tally(answers) for prompt, answers in known.items()}
            truth = {
                prompt: band[0] <= each.correct / each.judged <= band[1]
                for prompt, each in tallies.items()
                if 2 * each.judged >= each.drawn
            }
            baseline = fixed(band)
            error = under_prior(baseline, PRIOR, band).error
            rule = calibrated(a.answers, prior=PRIOR, band=band, error=error)
            print(f"band {list(band)}: {sum(truth.values())} of {len(truth)} prompts lie in it")
            few = {prompt: known[prompt][:FEW] for prompt in truth}
            line(f"recorded, fixed n = {FEW}", *against(truth, few, baseline), len(truth))
            stop = {"type": "interval", "band": list(band), "error": error, "prior": list(PRIOR)}
            sampling = {"n": a.answers, "stop": [stop]}
            replay = {"type": "replay", "policy": "recorded"}
            side = f"{band[0]:g}"
            _, found = outcomes(folder / f"replay-{side}", a.prompts, sampling, replay, 0)
            line("recorded, interval", *against(truth, found, rule), len(truth))
            sums = np.zeros((2, 2))
            for _ in range(ORDERS):
                mixed = {p: [known[p][at] for at in draw.permutation(len(known[p]))] for p in truth}
                cut = {prompt: answers[:FEW] for prompt, answers in mixed.items()}
                sums += against(truth, cut, baseline), against(truth, mixed, rule)
            for words, (drawn, wrong) in zip(
                (f"{ORDERS} orders, fixed n = {FEW}", f"{ORDERS} orders, interval"),
                sums / ORDERS, strict=True,
            ):  # fmt: skip
                line(words, drawn, wrong, len(truth))
            _, found = outcomes(folder / f"live-{side}", a.prompts, sampling, LIVE, 1)
            line("live, interval", *against(truth, found, rule), len(truth))


if __name__ == "__main__":
    main()
