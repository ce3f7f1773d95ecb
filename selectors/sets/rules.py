"""Rules that several sets apply to their candidates."""

import polars as pl

from winnow.pipeline.recipe_sections.set_base import AnySet, BandedSet
from winnow.selectors.sets.signals import LIKELIEST
from winnow.selectors.sieve import Sieve

# p (1 - p), the variance of the reward, is largest at one half.
BY_RATE = [(pl.col("pass_rate") - 0.5).abs(), pl.col("task_id")]


def sampled(sieve: Sieve) -> None:
    """Only tasks with answers; the others can still get some."""
    sieve.require(
        "not_sampled",
        pl.col("n").is_not_null(),
        detail=pl.lit("no answer to this prompt is stored"),
        otherwise="pending",
    )


def judged(sieve: Sieve) -> None:
    """Only answers that were judged correct or wrong."""
    sieve.require(
        "verdict",
        pl.col("verdict") != "unjudged",
        value=pl.col("verdict"),
        threshold="correct or wrong",
        detail=pl.col("detail"),
    )


def trusted(sieve: Sieve, config: AnySet) -> None:
    """No reference that the answers agree against, where the set asks for that."""
    if config.suspects == "keep":
        return
    sieve.require(
        "suspect_reference",
        ~pl.col("suspect").fill_null(False),
        value=pl.format("{} answers say {}", pl.col("n_majority"), pl.col("majority_answer")),
        threshold="the reference",
        detail=pl.col("answer"),
    )


def band(sieve: Sieve, config: BandedSet) -> None:
    """Enough judged answers, and a pass rate inside the set's band."""
    number = pl.col("n_correct") + pl.col("n_wrong")
    sieve.require(
        "min_judged", number >= config.min_judged, value=number, threshold=f">= {config.min_judged}"
    )
    if config.pass_rate:
        low, high = config.pass_rate
        rate = pl.col(config.pass_rate_column)
        sieve.require(
            "pass_rate", rate.is_between(low, high), value=rate, threshold=f"{low} to {high}"
        )


def distinct(sieve: Sieve) -> None:
    """Of equal answers to one prompt the first by name stays."""
    sieve.rows = sieve.rows.sort("rollout_id")
    sieve.require(
        "duplicate_answer",
        pl.struct("prompt_id", "completion").is_first_distinct(),
        detail=pl.lit("same text as another answer to this prompt"),
    )


def cap(sieve: Sieve, config: AnySet, order: list[pl.Expr] = BY_RATE) -> None:
    """At most so many rows of a cluster, and in all."""
    if config.per_cluster:
        sieve.top("per_cluster", config.per_cluster, order, within="cluster")
    if config.budget:
        sieve.top("budget", config.budget, order)


def cap_answers(sieve: Sieve, config: AnySet) -> None:
    """The same of answers: those to prompts of a pass rate near one half first, the likeliest first."""
    cap(sieve, config, [*BY_RATE, *LIKELIEST])
