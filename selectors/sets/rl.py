"""Prompts to learn on by reinforcement, at once or in stages."""

import polars as pl

from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import digest
from winnow.pipeline.publish.method_schemas import CURRICULUM
from winnow.pipeline.publish.set_schemas import RL
from winnow.pipeline.recipe import CurriculumSet, RLSet
from winnow.pipeline.verify.rules import UNFINISHED
from winnow.selectors.sets import kind_rules, rules
from winnow.selectors.sets.signals import Chosen, Signals, answers, frame, table, tasks
from winnow.selectors.sieve import Sieve


def rl(config: RLSet, signals: Signals, stage: str = "training_set/rl") -> Chosen:
    """Prompts worth rolling out; the ledger's rows are tasks.

    Where there are too many, those with a pass rate nearest 0.5 come first: p (1 - p), the variance
    of the reward, is largest there.
    """
    sieve = Sieve(_searched_tasks(signals, config), "task_id", stage)
    rules.sampled(sieve)
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    if config.majority == "correct":
        kind_rules.right_majority(sieve)
    if config.min_answer_tokens:
        kind_rules.long_answers(sieve, config.min_answer_tokens)
    if config.mcts is not None:
        kind_rules.searched(sieve, config.mcts)
    rules.cap(sieve, config, rules.BY_RATE if config.mcts is None else kind_rules.BY_SEARCH)
    rows = _prompts(sieve.rows).to_dicts()
    for row in rows:
        row["id"] = digest("rl/1", [row["task_id"]])
    return Chosen(table(rows, RL), sieve.finish())


def curriculum(
    config: CurriculumSet, signals: Signals, stage: str = "training_set/curriculum"
) -> Chosen:
    """Prompts in stages of growing difficulty; the ledger's rows are tasks.

    `stage` is the number of cuts that the pass rate is below. With strong policies there is one stage
    more: prompts of the last that none of them always solves; where one of their pass rates is not
    known, a prompt is not in it. Where there are too many, the hardest come first: by stage, then by
    pass rate.
    """
    cuts = sorted(config.cuts, reverse=True)
    below = [(pl.col("pass_rate") < cut).cast(pl.Int32) for cut in cuts]
    found = tasks(signals).with_columns(stage=pl.sum_horizontal(below))
    if config.strong:
        found = found.join(_strong(config, signals), on="task_id", how="left").with_columns(
            stage=pl.col("stage") + _unsolved(len(cuts), len(config.strong)).cast(pl.Int32)
        )
    else:
        found = found.with_columns(strong=None)
    sieve = Sieve(found, "task_id", stage)
    rules.sampled(sieve)
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    sieve.require(
        "too_easy",
        pl.col("stage") > 0,
        value=pl.col("pass_rate"),
        threshold=f"below {cuts[0]}",
    )
    rules.cap(sieve, config, [-pl.col("stage"), pl.col("pass_rate"), pl.col("task_id")])
    rows = _prompts(sieve.rows).to_dicts()
    for row in rows:
        row["id"] = digest("curriculum/1", [row["task_id"]])
    return Chosen(table(rows, CURRICULUM), sieve.finish())


def _searched_tasks(signals: Signals, config: RLSet) -> pl.DataFrame:
    """Every task with what the rules of a set of type rl read besides."""
    found = tasks(signals)
    if config.min_answer_tokens:
        finished = ~pl.col("detail").is_in(UNFINISHED).fill_null(False)
        lengths = answers(signals).filter(finished).group_by("task_id")
        mean = lengths.agg(answer_tokens=pl.col("n_tokens").mean())
        found = found.join(mean, on="task_id", how="left")
    if config.mcts is not None:
        assert signals.trees is not None  # whoever reads the signals asks the sets
        trees = frame(signals.trees, ["task_id", "mcts_iterations", "mcts_solved"])
        found = found.join(trees, on="task_id", how="left")
    return found


def _prompts(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        prompt=pl.col("messages"), n_judged=pl.col("n_correct") + pl.col("n_wrong")
    )


def _unsolved(last: int, policies: int) -> pl.Expr:
    """Whether a prompt of the last cut is known to be always solved by none of the strong policies."""
    known = pl.col("known") == policies
    return ((pl.col("stage") == last) & known & ~pl.col("solved")).fill_null(False)


def _strong(config: CurriculumSet, signals: Signals) -> pl.DataFrame:
    """By task: the strong policies' pass rates, how many of the policies have one, and whether one of
    them always solves it. A policy that was drawn from in several ways counts by its best."""
    assert signals.recorded is not None
    judged = frame(signals.recorded).filter(pl.col("verdict") != "unjudged")
    there = judged["policy"].unique().sort().to_list()
    for policy in config.strong:
        if policy not in there:
            raise UsageError(
                f"strong: the store has no judged answer of {policy} to these prompts; it has some of: "
                f"{', '.join(there) or 'nobody else'}"
            )
    rates = (
        judged.filter(pl.col("policy").is_in(list(config.strong)))
        .group_by("task_id", "policy", "sampler")
        .agg(
            n_judged=pl.len().cast(pl.Int32),
            pass_rate=(pl.col("verdict") == "correct").mean(),
        )
        .sort("task_id", "policy", "sampler")
    )
    return rates.group_by("task_id", maintain_order=True).agg(
        strong=pl.struct("policy", "sampler", "n_judged", "pass_rate"),
        known=pl.col("policy").n_unique(),
        solved=(pl.col("pass_rate") == 1).any(),
    )
