"""Solutions with a critique of them (CFT, arXiv 2501.17703), from what the verifier `judge` wrote."""

import json
import re
from typing import Any

import polars as pl

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.names import digest
from winnow.pipeline.publish.method_schemas import CRITIQUE
from winnow.pipeline.recipe import CritiqueSet
from winnow.pipeline.verify.judge import ModelJudge, side_of
from winnow.pipeline.verify.judge_arguments import JudgeArguments
from winnow.pipeline.verify.judge_prompt import conversation
from winnow.selectors.sets import rules
from winnow.selectors.sets.signals import Chosen, Signals, answers_once, assistant, table
from winnow.selectors.sieve import Sieve

_JUDGE = f"{ModelJudge.name}@"
_FAULTS = (
    ("no_critique", "a judgement by the verifier `judge`, with its text"),
    ("compares", "a judgement of the solution alone"),
    ("cut_critique", "the whole text"),
    ("disagrees", "the verifier's verdict"),
)


def critique(config: CritiqueSet, signals: Signals, stage: str = "training_set/critique") -> Chosen:
    """One critique per answer; the ledger's rows are rollouts.

    The judge votes several times: of the votes that say what the verdict says, the first whose text was
    kept whole is the critique. A judgement that compares the answer with the reference is none.
    """
    found = answers_once(signals)
    read = [_read(row) for row in found.select(_READ).to_dicts()]
    found = found.with_columns(
        fault=pl.Series([fault for fault, _, _ in read], dtype=pl.String),
        judge=pl.Series([judge for _, judge, _ in read], dtype=pl.String),
        text=pl.Series([text for _, _, text in read], dtype=pl.String),
    )
    sieve = Sieve(found, "rollout_id", stage)
    rules.judged(sieve)
    for rule, threshold in _FAULTS:
        passes = pl.col("fault").is_null() | (pl.col("fault") != rule)
        sieve.require(rule, passes, value=pl.col("verdict"), threshold=threshold)
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    rules.distinct(sieve)
    _capped(sieve, config)
    rows = sieve.rows.to_dicts()
    for row in rows:
        asked = _filled(config.template, conversation(row["messages"]), row["completion"])
        row["id"] = digest("critique/1", [row["task_id"], row["rollout_id"]])
        row["messages"] = [{"role": "user", "content": asked}, assistant(row["text"])]
        row["label"] = row["verdict"] == "correct"
    return Chosen(table(rows, CRITIQUE), sieve.finish())


_READ = ["verifier", "verdict", "extracted", "verifier_args"]
_PLACE = re.compile(r"\{(question|solution)\}")


def _read(row: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """(what is wrong, who judged, the critique) of an answer."""
    if row["verdict"] == "unjudged" or not row["verifier"].startswith(_JUDGE):
        return "no_critique", None, None
    try:
        record = json.loads(row["extracted"] or "")
        args = JudgeArguments.read(json.loads(row["verifier_args"]))
    except (ValueError, BadArguments):  # an empty answer is wrong without being asked about
        return "no_critique", None, None
    if args.compare:
        return "compares", None, None
    wanted = "for" if row["verdict"] == "correct" else "against"
    said = [r for r in record["replies"] if r.get("verdict") is not None]
    agreed = [r["text"] for r in said if side_of(args, r["verdict"]) == wanted]
    whole = [text for text in agreed if text.strip() and not text.startswith("…")]
    if whole:
        return None, record["judge"], whole[0]
    if agreed:
        return "cut_critique", None, None
    return ("disagrees" if said else "no_critique"), None, None


def _capped(sieve: Sieve, config: CritiqueSet) -> None:
    """As many right as wrong solutions, where that is asked for, also under a budget."""
    order = [*rules.BY_RATE, pl.col("rollout_id")]
    if config.per_cluster:
        sieve.top("per_cluster", config.per_cluster, order, within="cluster")
    if config.balance:
        counts = dict(sieve.rows["verdict"].value_counts().iter_rows())
        fewest = min(counts.get("correct", 0), counts.get("wrong", 0))
        sieve.top("balance", fewest, order, within="verdict")
    if config.budget:
        turn = pl.int_range(pl.len()).over("verdict")
        sieve.rows = sieve.rows.sort(order, nulls_last=True).with_columns(turn=turn)
        sieve.top("budget", config.budget, [pl.col("turn"), pl.col("verdict"), *order])


def _filled(template: str, question: str, solution: str) -> str:
    """Both texts in their places; what they hold themselves is not looked at again."""
    texts = {"question": question, "solution": solution}
    return _PLACE.sub(lambda place: texts[place[1]], template)
