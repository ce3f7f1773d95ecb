"""What single kinds of sets ask of their rows, besides what all do."""

from collections.abc import Collection

import polars as pl

from winnow.pipeline.recipe_sections.sets import MCTSRule
from winnow.pipeline.verify.rules import UNFINISHED
from winnow.selectors.sieve import Sieve

# A search that solved nothing is harder than any that did; then the most iterations first.
BY_SEARCH = [pl.col("mcts_solved"), -pl.col("mcts_iterations"), pl.col("task_id")]


def accepted(verdicts: Collection[str]) -> pl.Expr:
    """Whether an answer (columns `verdict`, `detail`) has one of `verdicts` and came to its end: one
    that was cut off is unjudged, too, and no target."""
    cut = (pl.col("verdict") == "unjudged") & pl.col("detail").is_in(UNFINISHED).fill_null(False)
    return pl.col("verdict").is_in(list(verdicts)) & ~cut


def right_majority(sieve: Sieve) -> None:
    """The commonest answer is the right one; on a tie it is (AceReason-Nemotron, arXiv 2505.16400).
    Reads the audit's `n_majority` and `n_agree_reference`."""
    right, leading = pl.col("n_agree_reference"), pl.col("n_majority")
    sieve.require(
        "majority",
        (right > 0) & (right == leading),
        value=pl.format("{} right, {} say {}", right, leading, pl.col("majority_answer")),
        threshold="the commonest answer is right",
    )


def long_answers(sieve: Sieve, least: int) -> None:
    """The mean length of the finished answers (`answer_tokens`) is at least so many tokens."""
    length = pl.col("answer_tokens")
    sieve.require("min_answer_tokens", length >= least, value=length, threshold=f">= {least}")


def searched(sieve: Sieve, rule: MCTSRule) -> None:
    """The tree search solved the task late, or never (ThinkLite-VL, arXiv 2504.07934). Reads
    `mcts_iterations`, counted from 1, and `mcts_solved`."""
    sieve.require(
        "not_searched",
        pl.col("mcts_solved").is_not_null(),
        detail=pl.lit("`winnow mcts` has not measured this task"),
        otherwise="pending",
    )
    solved, taken = pl.col("mcts_solved"), pl.col("mcts_iterations")
    late = solved & (taken >= rule.min_iterations)
    wanted = f">= {rule.min_iterations} iterations" + ", or unsolved" * rule.keep_unsolved
    sieve.require(
        "mcts",
        late | ~solved if rule.keep_unsolved else late,
        value=pl.when(solved).then(pl.format("solved in {}", taken)).otherwise(pl.lit("unsolved")),
        threshold=wanted,
    )
