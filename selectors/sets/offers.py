"""Answers from elsewhere, to learn what the policy cannot do alone: those that are verified, and
solutions of the sources that nobody could judge."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from winnow.pipeline.recipe_sections.method_sets import Offer
from winnow.selectors.sets.signals import (
    LIKELIEST,
    Signals,
    TokenSpans,
    answers,
    assistant,
    frame,
    per_token,
)
from winnow.selectors.sieve import Sieve


@dataclass(frozen=True)
class Demonstration:
    """One answer. `counted`: its tokens, as whoever drew it counted; `extracted`: what the verifier read
    from a solution."""

    text: str
    origin: Offer
    policy: str | None
    sampler: str | None
    rollout_id: str | None
    verifier: str
    counted: int | None = None
    verdict: str = "correct"
    extracted: str | None = None

    def tokens(self, spans: TokenSpans | None) -> int | None:
        """Its length, by the policy's own tokenizer where that is known."""
        return self.counted if spans is None else len(spans(self.text))

    def columns(self, spans: TokenSpans | None) -> dict[str, Any]:
        """What the published row says of it."""
        return {
            "demonstration": [assistant(self.text)],
            "demonstration_from": self.origin,
            "demonstration_policy": self.policy,
            "demonstration_sampler": self.sampler,
            "demonstration_rollout_id": self.rollout_id,
            "demonstration_tokens": self.tokens(spans),
            "verifier": self.verifier,
            "verdict": self.verdict,
        }


_ORDER = {"correct": 0, "unjudged": 1, "wrong": 2}

Offered = Mapping[str, Sequence[Demonstration]]


def offered(signals: Signals, offers: Iterable[Offer], solution: str | None) -> Offered:
    """By task its demonstrations, verified ones first, in the order of `offers`; from one place those with
    the highest log-probability per token first, then by name. Solutions that were judged wrong are
    among them, at the end."""
    found: dict[str, list[Demonstration]] = defaultdict(list)
    for offer in offers:
        match offer:
            case "recorded":
                assert signals.recorded is not None
                given = _drawn(frame(signals.recorded).with_columns(per_token=per_token()), offer)
            case "answers":
                given = _drawn(answers(signals), offer)
            case "hinted":
                given = _hinted(signals)
            case "solution":
                assert solution is not None
                given = _solutions(signals, solution)
        for task, demonstration in given:
            found[task].append(demonstration)
    return {task: sorted(each, key=lambda one: _ORDER[one.verdict]) for task, each in found.items()}


def choose_one(
    sieve: Sieve, found: Offered, most: int | None, spans: TokenSpans | None
) -> dict[str, Demonstration]:
    """For each task its first demonstration that is not wrong, of at most `most` tokens; tasks without one
    leave the sieve.

    Where tokens cannot be counted, a text fits that has no more bytes of UTF-8 than that: no tokenizer
    of bytes makes more tokens of it.
    """
    ids = sieve.rows["task_id"].to_list()
    wrong = {task: [one for one in found.get(task, ()) if one.verdict == "wrong"] for task in ids}
    found = {task: [one for one in found.get(task, ()) if one.verdict != "wrong"] for task in ids}
    fitting = {task: _fitting(found[task], most, spans) for task in ids}
    shortest = {
        task: min((_length(each, spans) for each in found[task]), default=None)
        for task in ids
        if fitting[task] is None
    }
    sieve.rows = sieve.rows.with_columns(
        offers=pl.Series([len(found[task]) for task in ids], dtype=pl.Int32),
        refuted=pl.Series([bool(wrong[task]) for task in ids], dtype=pl.Boolean),
        extracted=pl.Series(
            [wrong[task][0].extracted if wrong[task] else None for task in ids], dtype=pl.String
        ),
        fits=pl.Series([fitting[task] is not None for task in ids], dtype=pl.Boolean),
        shortest=pl.Series([shortest.get(task) for task in ids], dtype=pl.Int32),
    )
    sieve.require(
        "demonstration_wrong",
        (pl.col("offers") > 0) | ~pl.col("refuted"),
        value=pl.col("extracted"),
        threshold="not judged wrong",
        detail=pl.lit(
            "the source's own solution ends in this, which the task's verifier calls wrong"
        ),
    )
    sieve.require(
        "no_demonstration",
        pl.col("offers") > 0,
        detail=pl.lit("nothing that the set may take from has a verified answer to this prompt"),
        otherwise="pending",
    )
    sieve.require(
        "demonstration_too_long",
        pl.col("fits"),
        value=pl.col("shortest"),
        threshold=f"<= {most} tokens",
        detail=pl.lit("the shortest one, in tokens, or in bytes where nothing here counts tokens"),
    )
    return {task: each for task, each in fitting.items() if each is not None}


def _fitting(
    found: Sequence[Demonstration], most: int | None, spans: TokenSpans | None
) -> Demonstration | None:
    if most is None:
        return found[0] if found else None
    return next((each for each in found if _length(each, spans) <= most), None)


def _length(each: Demonstration, spans: TokenSpans | None) -> int:
    tokens = each.tokens(spans)
    return len(each.text.encode("utf-8", "replace")) if tokens is None else tokens


def _drawn(found: pl.DataFrame, origin: Offer) -> Iterable[tuple[str, Demonstration]]:
    rows = found.filter(pl.col("verdict") == "correct").sort(LIKELIEST, nulls_last=True)
    for row in rows.to_dicts():
        yield row["task_id"], Demonstration(
            row["completion"], origin, row["policy"], row["sampler"], row["rollout_id"],
            row["verifier"], row["n_tokens"],
        )  # fmt: skip


def _hinted(signals: Signals) -> Iterable[tuple[str, Demonstration]]:
    """Hinted answers that the task's verifier judged correct."""
    assert signals.hinted is not None
    judges = (
        answers(signals).unique("task_id", keep="first").select("task_id", "policy", "verifier")
    )
    rows = frame(signals.hinted).filter(pl.col("kept")).join(judges, on="task_id")
    for row in rows.sort("task_id", "rollout_id").to_dicts():
        yield (
            row["task_id"],
            Demonstration(
                row["completion"], "hinted", row["policy"], None, row["rollout_id"], row["verifier"]
            ),
        )


def _solutions(signals: Signals, column: str) -> Iterable[tuple[str, Demonstration]]:
    """What the source keeps in `column`, as the task's verifier judged it."""
    assert signals.solutions is not None
    for row in (
        frame(signals.solutions).filter(pl.col("column") == column).sort("task_id").to_dicts()
    ):
        yield (
            row["task_id"],
            Demonstration(
                row["solution"], "solution", None, None, None, row["verifier"],
                verdict=row["verdict"], extracted=row["extracted"],
            ),
        )  # fmt: skip
