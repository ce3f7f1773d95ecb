"""Correct code beside the most similar wrong code (FAIT, arXiv 2503.16913)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from winnow.pipeline.names import digest
from winnow.pipeline.publish.method_schemas import FAIT
from winnow.pipeline.recipe import FaitSet
from winnow.pipeline.verify.python_code import PythonCode
from winnow.pipeline.verify.python_text import program
from winnow.pipeline.verify.worker_pool import MAX_TEXT
from winnow.selectors.sets import rules
from winnow.selectors.sets.code_diff import Difference, difference, edit_ratio, same_code
from winnow.selectors.sets.signals import (
    LIKELIEST,
    Chosen,
    Signals,
    answers,
    assistant,
    table,
    tasks,
)
from winnow.selectors.sieve import Sieve

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class _Pair:
    """The answers with their code, and where it differs; without `wrong` there is none, and `fault`
    says why not."""

    correct: Answer
    wrong: Answer | None
    found: Difference | None
    fault: str | None
    ratio: float | None


def fait(config: FaitSet, signals: Signals, stage: str = "training_set/fait") -> Chosen:
    """One pair per task; the ledger's rows are tasks.

    The correct answer is the likeliest one that holds code; of the wrong ones that with the least share
    of different lines, whose code is not the same but for comments and white space.
    """
    sides = _sides(answers(signals))
    sieve = Sieve(tasks(signals).join(sides, on="task_id", how="left"), "task_id", stage)
    rules.sampled(sieve)
    right, wrong = pl.col("right").list.len(), pl.col("wrong").list.len()
    sieve.require(
        "one_sided",
        (right > 0) & (wrong > 0),
        value=pl.format("{} right, {} wrong with code", right.fill_null(0), wrong.fill_null(0)),
        threshold="at least one of each",
    )
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    pairs = {
        row["task_id"]: _pair(row["right"][0], row["wrong"], config.max_edit_ratio)
        for row in sieve.rows.select("task_id", "right", "wrong").to_dicts()
    }
    ids = sieve.rows["task_id"].to_list()
    sieve.rows = sieve.rows.with_columns(
        fault=pl.Series([pairs[task].fault for task in ids], dtype=pl.String),
        ratio=pl.Series([pairs[task].ratio for task in ids], dtype=pl.Float64),
    )
    for rule, threshold in (
        ("same_code", "more than comments and white space"),
        ("nothing_changed", "a line of the correct code"),
        ("too_different", f"<= {config.max_edit_ratio}"),
    ):
        passes = pl.col("fault").is_null() | (pl.col("fault") != rule)
        sieve.require(rule, passes, value=pl.col("ratio"), threshold=threshold)
    rules.cap(sieve, config)
    rows = [{**row, **_row(row, pairs[row["task_id"]])} for row in sieve.rows.to_dicts()]
    return Chosen(table(rows, FAIT), sieve.finish())


def _row(row: Answer, pair: _Pair) -> dict[str, Any]:
    correct, wrong, found = pair.correct, pair.wrong, pair.found
    assert wrong is not None and found is not None
    names = [correct["rollout_id"], wrong["rollout_id"]]
    at = correct["completion"].rfind(correct["code"])
    return {
        "id": digest("fait/1", [row["task_id"], *names]),
        "prompt": row["messages"],
        "completion": [assistant(correct["completion"])],
        "correct": correct["code"],
        "wrong": wrong["code"],
        "line_spans": [{"start": a, "end": b} for a, b in found.lines],
        "char_spans": [{"start": a, "end": b} for a, b in found.characters],
        "code_at": at if at >= 0 else None,
        "edit_ratio": found.ratio,
        "correct_rollout_id": names[0],
        "wrong_rollout_id": names[1],
        "verifier": correct["judge"],
    }


def _pair(correct: Answer, wrong: list[Answer], most: float) -> _Pair:
    """The nearest wrong answer; where none will do, what is wrong with the nearest."""
    nearest = sorted(
        (edit_ratio(correct["code"], each["code"]), at) for at, each in enumerate(wrong)
    )
    first: str | None = None
    for ratio, at in nearest:
        if ratio > most:
            return _Pair(correct, None, None, first or "too_different", nearest[0][0])
        if same_code(correct["code"], wrong[at]["code"]):
            first = first or "same_code"
            continue
        found = difference(correct["code"], wrong[at]["code"])
        if found.lines:
            return _Pair(correct, wrong[at], found, None, ratio)
        first = first or "nothing_changed"
    return _Pair(correct, None, None, first, nearest[0][0])


def _sides(found: pl.DataFrame) -> pl.DataFrame:
    """By task: right and wrong answers with distinct code, the likeliest first."""
    found = found.filter(pl.col("verdict") != "unjudged")
    codes = [_code(row) for row in found.select("verifier", "extracted", "completion").to_dicts()]
    ordered = (
        found.with_columns(code=pl.Series(codes, dtype=pl.String))
        .drop_nulls("code")
        .sort(LIKELIEST, nulls_last=True)
        .unique(["task_id", "code", "verdict"], keep="first", maintain_order=True)
    )
    answer = pl.struct("rollout_id", "completion", "code", judge="verifier")
    return ordered.group_by("task_id", maintain_order=True).agg(
        right=answer.filter(pl.col("verdict") == "correct"),
        wrong=answer.filter(pl.col("verdict") == "wrong"),
    )


def _code(row: Answer) -> str | None:
    """The program that was judged, or the one that stands in the answer."""
    read = row["extracted"]
    if read and row["verifier"].startswith(f"{PythonCode.name}@") and len(read) < MAX_TEXT:
        return str(read)
    return program(row["completion"]) or None
