"""What the stop rules cost: expected answers per prompt, and the rate of wrong band decisions.

    python benchmarks/stop_rules.py [--prompts 10000] [--picture FILE]

Pass rates are drawn from Beta(0.5, 0.5); the bands are [0.1, 0.9] and [0.2, 0.8], both edges in them.
All figures are exact (forward recursion over right and wrong answers), `worst` among them: the largest
error at any single pass rate. Beside them stand those of a pool of simulated prompts, each of which
asks the rule itself. Fixed n decides by the posterior, which here is
wrong exactly as often as c / n within the band (printed too); every other rule is held to that error:

    calibrated    the rule as winnow has it, up to 4 n answers
    threshold     stops at a constant posterior probability of one side, the best one, up to 4 n answers
    optimum       no rule with this error and at most 512 answers draws fewer (Lagrange bound of the
                  dynamic program)
    guaranteed    an error of at most alpha = 0.1 at every single pass rate, up to 4 n answers; what is
                  still open then is `undecided`, and counts as no error

The picture shows error rate and expected answers at each true pass rate.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.synth.stopping.base import Answer, stopped
from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.counts import next_correct, outcomes
from winnow.synth.stopping.figures import Figures, at_rate, under_prior
from winnow.synth.stopping.guaranteed import guaranteed
from winnow.synth.stopping.interval import Interval
from winnow.synth.stopping.optimal import least_answers
from winnow.synth.stopping.posterior import band_masses

PRIOR = (0.5, 0.5)
BANDS = ((0.1, 0.9), (0.2, 0.8))
ALPHA = 0.1
MOST = 512
RIGHT, WRONG = Answer("correct"), Answer("wrong")


def fixed(n: int, band: tuple[float, float], *, by_rate: bool = False) -> Interval:
    """n answers, then inside if the posterior says so, or if c / n is in the band."""
    if by_rate:
        right, wrong = outcomes(n)
        rate = right / np.maximum(right + wrong, 1)
        inside = (rate >= band[0]) & (rate <= band[1])
    else:
        inside = band_masses(n, PRIOR, band)[1] >= 0.5
    return Interval.where(n, {}, {"in_band": inside, "below_band": ~inside})


def threshold(cap: int, band: tuple[float, float], error: float) -> Interval:
    """The cheapest rule with this error that stops where one side's posterior reaches a constant."""
    _, inside, _ = band_masses(cap, PRIOR, band)
    doubt = np.minimum(inside, 1 - inside)
    found: tuple[float, Interval] | None = None
    for most in np.geomspace(0.001, 0.4, 200):
        stops = doubt <= most
        rule = Interval.where(
            cap,
            {"in_band": stops & (inside >= 0.5), "below_band": stops & (inside < 0.5)},
            {"in_band": inside >= 0.5, "below_band": inside < 0.5},
        )
        figures = under_prior(rule, PRIOR, band)
        if figures.error <= error and (found is None or figures.answers < found[0]):
            found = figures.answers, rule
    assert found is not None
    return found[1]


def simulated(rule: Interval, band: tuple[float, float], prompts: int) -> Figures:
    """The rule asked after every answer that it promised to need, for prompts drawn from the prior."""
    draw = np.random.default_rng(0)
    drawn = errors = undecided = 0
    for rate in draw.beta(*PRIOR, prompts):
        tally = stopped(rule, answers(rate, draw))
        decision = rule.decision(tally)
        drawn += tally.drawn
        undecided += decision is None
        errors += decision is not None and (decision == "in_band") != (band[0] <= rate <= band[1])
    return Figures(drawn / prompts, errors / prompts, undecided / prompts)


def answers(rate: float, draw: np.random.Generator) -> Iterator[Answer]:
    while True:
        yield from (RIGHT if right else WRONG for right in draw.random(8) < rate)


def table(prompts: int) -> None:
    print(f"{'':32}{'exact':>48}{'simulated':>18}")
    names = f"{'answers':>10}{'of n':>8}{'error':>9}{'worst':>9}{'undecided':>12}"
    print(f"{'':32}{names}{'answers':>10}{'error':>8}")
    for band in BANDS:
        for n in (16, 64):
            print(f"\nband {list(band)}, against fixed n = {n}")
            baseline = fixed(n, band)
            error = under_prior(baseline, PRIOR, band).error
            rules = {
                "fixed, by the posterior": baseline,
                "fixed, by c / n": fixed(n, band, by_rate=True),
                "calibrated": calibrated(4 * n, prior=PRIOR, band=band, error=error),
                "threshold": threshold(4 * n, band, error),
                f"guaranteed, alpha {ALPHA}": guaranteed(4 * n, alpha=ALPHA, band=band),
            }
            for name, rule in rules.items():
                line(name, n, rule, band, prompts)
            _, inside, _ = band_masses(MOST, PRIOR, band)
            least = least_answers(np.minimum(inside, 1 - inside), next_correct(MOST, PRIOR), error)
            print(f"  {'optimum':30}{least:10.2f}{least / n:8.3f}{error:9.4f}", flush=True)


def line(name: str, n: int, rule: Interval, band: tuple[float, float], prompts: int) -> None:
    exact, drawn = under_prior(rule, PRIOR, band), simulated(rule, band, prompts)
    worst = max(at_rate(rule, float(rate), band).error for rate in grid(band))
    print(
        f"  {name:30}{exact.answers:10.2f}{exact.answers / n:8.3f}{exact.error:9.4f}{worst:9.4f}"
        f"{exact.undecided:12.3f}{drawn.answers:10.2f}{drawn.error:8.4f}",
        flush=True,
    )


def times() -> None:
    print()
    for cap in (64, 256):
        start = time.perf_counter()
        rule = calibrated(cap, band=BANDS[0], error=0.1, hopeless=0.01, solved=0.99, width=0.1)
        middle = time.perf_counter()
        guaranteed(cap, alpha=ALPHA, band=BANDS[0], hopeless=0.01, solved=0.99, width=0.1)
        end = time.perf_counter()
        print(
            f"table for {cap} answers, all reasons to stop: calibrated {middle - start:.3f} s, "
            f"guaranteed {end - middle:.3f} s"
        )
    tally = stopped(rule, [RIGHT])
    looks = 200_000
    start = time.perf_counter()
    for _ in range(looks):
        rule.more(tally)
    print(f"one look-up (more): {(time.perf_counter() - start) / looks * 1e6:.2f} us")


def picture(path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), dpi=120, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, band in enumerate(BANDS):
        rates = grid(band)
        for name, rule, style in shown(band):
            found = [at_rate(rule, float(rate), band) for rate in rates]
            axes[0, column].plot(rates, [each.error for each in found], label=name, **style)
            axes[1, column].plot(rates, [each.answers for each in found], label=name, **style)
        axes[0, column].set_title(f"band {list(band)}")
        for axis in axes[:, column]:
            axis.axvspan(*band, color="#4667d9", alpha=0.06, linewidth=0)
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25)
        axes[0, column].axhline(ALPHA, color="#2a9d5c", linewidth=0.8, linestyle=":")
        axes[1, column].set_xlabel("true pass rate")
    axes[0, 0].set_ylabel("rate of wrong band decisions")
    axes[1, 0].set_ylabel("expected answers")
    axes[1, 0].set_yscale("log", base=2)
    axes[1, 0].yaxis.set_major_formatter("{x:g}")
    axes[0, 0].set_ylim(0, 0.7)
    axes[0, 0].text(0.5, ALPHA, "alpha", color="#2a9d5c", ha="center", va="bottom")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5,
                  frameon=False)  # fmt: skip
    figure.savefig(path)


def grid(band: tuple[float, float]) -> NDArray[np.float64]:
    """Pass rates, with both sides of the edges, where the errors jump."""
    edges = np.array([edge + step for edge in band for step in (-1e-9, 0.0, 1e-9)])
    return np.unique(np.concatenate([np.linspace(0, 1, 201), edges]))


def shown(band: tuple[float, float]) -> Iterator[tuple[str, Interval, dict[str, Any]]]:
    for n, colour in ((16, "#e07b39"), (64, "#4667d9")):
        baseline = fixed(n, band)
        error = under_prior(baseline, PRIOR, band).error
        yield f"fixed {n}", baseline, {"color": colour, "linestyle": "--", "linewidth": 1.1}
        yield (
            f"calibrated, error of fixed {n}",
            calibrated(4 * n, prior=PRIOR, band=band, error=error),
            {"color": colour, "linewidth": 1.8},
        )
    yield (
        f"guaranteed, alpha {ALPHA}, at most 256",
        guaranteed(256, alpha=ALPHA, band=band),
        {"color": "#2a9d5c", "linewidth": 1.8},
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=10_000, help="simulated prompts per rule")
    parser.add_argument("--picture", type=Path, help="write the picture (PNG, SVG or PDF) here")
    asked = parser.parse_args()
    table(asked.prompts)
    times()
    if asked.picture:
        picture(asked.picture)


if __name__ == "__main__":
    main()
