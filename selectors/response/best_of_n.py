"""Best of n: of the answers drawn for a prompt, the one that scorers like most.

`rule` says how, in each prompt:

- argmax: the top_k answers with the highest `reward` (rejection sampling with one reward model).
- vote: each of several scorers (`scores`, one number from each) votes for the answer that it likes
  most, its first one where several are equal; the answer with most votes wins. Of answers with equally
  many votes the one wins that the scorers, in their order, name first (`ties = first_seen`, as the
  authors' code does) or a drawn one (`seeded`). Where several scorers all disagree one of their votes
  is drawn, in either case. A score of `missing_score` is none: it gets no vote from that scorer.
- weighted_majority: where there is no reference: answers whose final answer (`extracted`) is the same
  stand together, the group with the largest sum of rewards wins, and of it the top_k answers by reward
  are kept. The same are answers that differ by white space, invisible characters, closing marks or the
  form of a plain number (1,000.0 and 1000), and single letters of either case, with or without
  brackets (choices). Where that leaves nothing, there is no answer (reason `no_answer`).
- correct_top_k: where there are verdicts: the top_k answers by reward of those judged correct.

Argmax and vote are the rejection sampling of open-instruct (Tulu 3, arXiv 2411.15124; code). There
`prefer = lowest` gives the other side of its output, the rejected answer. weighted_majority and
correct_top_k are the choice of training answers in Qwen2.5-Math (arXiv 2409.12122), which states
neither k (top_k = 1 is ours) nor how a vote is weighted: `vote_weight = reward` adds rewards up, which
makes no sense of negative ones; for a reward model that gives logits, `sigmoid` adds up
1 / (1 + exp(-reward)). Equal sums: the final answer whose group holds the highest reward.

A row with `origin` gold is the reference, which open-instruct enters as the first candidate of its
prompt, so that it wins a tie: `reference` switches that.

Faults of the originals that are not here: a prompt is dropped for answers that are all the same text
(reason `identical`) only if it has two or more, since one answer agrees with itself; the draw among
votes has a seed; a scorer's choices do not depend on how many scorers went before. The drop, done
before the reference enters, belongs to argmax and vote, as in open-instruct.

Under a budget the prompts come in a seeded order, first the best of each, then the second: never the
prompts that score high. The score is the number of votes with vote, else the reward.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from winnow.pipeline.clean.normalise import canonical, is_blank
from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.pipeline.verify.audit_readings import MAX_LENGTH, identity, key
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import (
    COMPLETION,
    EXTRACTED,
    ORIGIN,
    PROMPT_ID,
    REWARD,
    SCORES,
    VERDICT,
    but,
)
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool, Ragged
from winnow.selectors.response.answers import (
    GOLD,
    add_reason,
    by_turns,
    origins,
    places,
    sizes,
    unset,
    verdict_reasons,
)


class BestOfNParameters(Parameters):
    rule: Literal["argmax", "vote", "weighted_majority", "correct_top_k"] = Field(
        "argmax", description="How the best answers of a prompt are found; see the text."
    )
    top_k: int = Field(1, ge=1, description="Answers kept of a prompt; 1 where the rule is vote.")
    prefer: Literal["highest", "lowest"] = Field(
        "highest",
        description="lowest: the answers that argmax or vote would put last, by least reward.",
    )
    ties: Literal["first_seen", "seeded"] = Field(
        "first_seen",
        description="Vote: which of the answers with equally many votes (first_seen: open-instruct's).",
    )
    missing_score: float | None = Field(
        None,
        description="Vote: the score that stands for none; -1 with open-instruct's judge. null, the "
        "default: every score counts, since a reward model may well give -1.",
    )
    vote_weight: Literal["reward", "sigmoid"] = Field(
        "reward", description="weighted_majority: what an answer's vote weighs."
    )
    min_candidates: int = Field(
        1, ge=1, description="Answers that a prompt needs, the reference not counted."
    )
    drop_identical: bool | None = Field(
        None,
        description="Drop prompts whose two or more answers are all one text; null: where the rule "
        "is argmax or vote, as open-instruct does.",
    )
    reference: Literal["candidate", "excluded"] = Field(
        "candidate", description="Whether rows of origin gold compete (open-instruct's default)."
    )

    @model_validator(mode="after")
    def _fits_the_rule(self) -> Self:
        if self.rule == "vote" and self.top_k != 1:
            raise ValueError("top_k: a vote has one winner; top_k must be 1")
        if self.prefer == "lowest" and self.rule not in ("argmax", "vote"):
            raise ValueError(f"prefer: lowest makes no sense with the rule {self.rule}")
        return self

    @property
    def drops_identical(self) -> bool:
        if self.drop_identical is None:
            return self.rule in ("argmax", "vote")
        return self.drop_identical


class BestOfN(Selector[BestOfNParameters]):
    """Of each prompt's answers the best: by reward, by a vote of scorers, or of the majority's answers."""

    name = "best_of_n"
    paper = "rejection sampling of Tulu 3, arXiv 2411.15124 (open-instruct); Qwen2.5-Math, arXiv 2409.12122"
    parameters = BestOfNParameters
    own = pa.schema(
        [
            column("n_candidates", pa.int64(), "Answers of the prompt that were compared."),
            column("place", pa.int64(), "Place among them, from 0; of a vote, the winner has 0 and the "
                   "others follow by votes.", null="it was not compared"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: BestOfNParameters) -> Sequence[Column]:
        columns = [PROMPT_ID, SCORES if parameters.rule == "vote" else REWARD]
        if parameters.rule == "weighted_majority":
            columns.append(but(EXTRACTED, nulls=True))
        if parameters.rule == "correct_top_k":
            columns.append(VERDICT)
        if parameters.drops_identical:
            columns.append(COMPLETION)
        return (*columns, but(ORIGIN, optional=True, nulls=True))

    def choose(self, pool: Pool, room: int | None, parameters: BestOfNParameters) -> Choice:
        prompts = pool.groups(PROMPT_ID.name)
        gold = origins(pool) == GOLD if pool.has(ORIGIN.name) else np.zeros(len(pool), dtype=bool)
        reason = _set_aside(pool, prompts, gold, parameters)
        rows = np.flatnonzero(unset(reason))
        # The reference is its prompt's first candidate.
        rows = rows[np.lexsort((~gold[rows],))]
        group = prompts[rows]
        match parameters.rule:
            case "vote":
                score, keys = _votes(pool, group, rows, parameters)
            case "weighted_majority":
                score, keys = _majority(pool, group, rows, parameters)
            case _:
                score = pool[REWARD.name]
                sign = -1.0 if parameters.prefer == "highest" else 1.0
                keys = (sign * score[rows],)
        place = np.full(len(pool), -1, dtype=np.int64)
        place[rows] = places(group, *keys)
        wins = place[rows] < parameters.top_k
        if parameters.rule == "weighted_majority":
            majority = keys[0] == 0
            reason[rows] = np.where(majority, "not_best", "minority")
            wins &= majority
        else:
            reason[rows] = "not_best"
        best = np.sort(rows[wins])
        reason[best] = None
        return Choice(
            by_turns(pool, prompts, best, place[best]),
            score,
            reason=reason.tolist(),
            columns={
                "n_candidates": sizes(prompts, place >= 0),
                "place": pa.array(place, mask=place < 0),
            },
        )


def _set_aside(
    pool: Pool,
    prompts: NDArray[np.int64],
    gold: NDArray[np.bool_],
    parameters: BestOfNParameters,
) -> NDArray[np.object_]:
    """(n,) why a row does not compete, None where it does."""
    reason = np.full(len(pool), None, dtype=object)
    if parameters.reference == "excluded":
        reason[gold] = "reference"
    match parameters.rule:
        case "correct_top_k":
            reason = np.where(unset(reason), verdict_reasons(pool), reason)
        case "weighted_majority":
            nothing = [text is None or final_answer(text) is None for text in pool[EXTRACTED.name]]
            add_reason(reason, np.array(nothing, dtype=bool), "no_answer")
        case "vote":
            missing = _matrix(pool, pool[SCORES.name]) == _missing(parameters)
            add_reason(reason, missing.all(axis=1), "no_score")
    drawn = sizes(prompts, ~gold)
    alike = np.zeros(len(pool), dtype=bool)
    if parameters.drops_identical:
        first = np.full(int(prompts.max()) + 1, -1, dtype=np.int64)
        order = np.flatnonzero(~gold)[::-1]
        first[prompts[order]] = order  # the last write stays: the first answer
        texts = pool[COMPLETION.name]
        same = np.fromiter(
            (f >= 0 and texts[i] == texts[f] for i, f in enumerate(first[prompts].tolist())),
            bool, len(pool),
        )  # fmt: skip
        alike = (sizes(prompts, same & ~gold) == drawn) & (drawn >= 2)
    add_reason(reason, drawn < parameters.min_candidates, "few_candidates")
    add_reason(reason, alike, "identical")
    return reason


def _votes(
    pool: Pool, group: NDArray[np.int64], rows: NDArray[np.int64], parameters: BestOfNParameters
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], ...]]:
    """Votes of each row of the pool, NaN where it did not compete; and the keys of `rows`: the winner
    first, then by votes."""
    scores: Ragged = pool[SCORES.name]
    matrix = _matrix(pool, scores)[rows]
    missing = matrix == _missing(parameters)
    if parameters.prefer == "highest":
        matrix = -matrix
    matrix = np.where(missing, np.inf, matrix)
    prompts, number = np.unique(group, return_inverse=True)
    ballots = np.full((len(prompts), matrix.shape[1]), -1)  # entries of `rows`, -1: no vote
    for scorer in range(matrix.shape[1]):
        favourite = np.flatnonzero((places(number, matrix[:, scorer]) == 0) & ~missing[:, scorer])
        ballots[number[favourite], scorer] = favourite
    agreeing = (ballots[:, :, None] == ballots[:, None, :]).sum(axis=2)  # votes for a ballot's row
    agreeing[ballots < 0] = 0
    most = agreeing.max(axis=1, keepdims=True)
    # Each of several answers with most votes stands on equally many ballots, so a draw among those
    # ballots is a draw among the answers.
    drawn = np.where(agreeing == most, pool.rng("votes").random(ballots.shape), -1.0).argmax(axis=1)
    first = (agreeing == most).argmax(axis=1)
    disagree = most[:, 0] == 1
    at = np.where(disagree | (parameters.ties == "seeded"), drawn, first)
    winner = ballots[np.arange(len(prompts)), at]
    votes = np.bincount(ballots[ballots >= 0], minlength=len(rows)).astype(np.float64)
    lost = np.ones(len(rows))
    lost[winner] = 0.0
    score = np.full(len(pool), np.nan)
    score[rows] = votes
    return score, (lost, -votes)


def _missing(parameters: BestOfNParameters) -> float:
    """The score that stands for none; NaN, which equals nothing, where there is no such."""
    return np.nan if parameters.missing_score is None else parameters.missing_score


def _matrix(pool: Pool, scores: Ragged) -> NDArray[np.float64]:
    lengths = scores.lengths
    odd = np.flatnonzero((lengths != lengths[0]) | (lengths == 0))
    if len(odd):
        raise UsageError(
            f"row {pool.ids[int(odd[0])]}: {SCORES.name} holds {lengths[odd[0]]} numbers; it must hold "
            f"one from each scorer, in all rows (row {pool.ids[0]}: {lengths[0]})"
        )
    return scores.values.reshape(len(scores), -1)


def final_answer(text: str) -> Fraction | str | None:
    """Equal for texts that give the same answer; None where they show none."""
    text = canonical(text)
    if is_blank(text):
        return None
    if len(text) > MAX_LENGTH:  # `key` reads no further
        return text
    found = key(text, fold=False)
    return identity(found) if found else None


def _majority(
    pool: Pool, group: NDArray[np.int64], rows: NDArray[np.int64], parameters: BestOfNParameters
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], ...]]:
    """Rewards of the pool, and the keys of `rows`: place of the final answer, then the reward."""
    reward: NDArray[np.float64] = pool[REWARD.name]
    mine = reward[rows]
    if parameters.vote_weight == "sigmoid":
        from scipy.special import expit

        weight = expit(mine)
    elif (mine < 0).any():
        at = rows[np.flatnonzero(mine < 0)[0]]
        raise UsageError(
            f"row {pool.ids[int(at)]}: {REWARD.name} is {reward[at]:.6g}; a vote cannot weigh less than "
            "nothing: set vote_weight=sigmoid for rewards that are logits"
        )
    else:
        weight = mine
    texts = pool[EXTRACTED.name]
    numbers: dict[tuple[int, object], int] = {}
    answer = np.array(
        [
            numbers.setdefault((g, final_answer(texts[i])), len(numbers))
            for g, i in zip(group.tolist(), rows.tolist(), strict=True)
        ],
        dtype=np.int64,
    )
    up = np.argsort(mine)  # so that equal rewards in another order have equal sums
    total = np.bincount(answer[up], weight[up], minlength=len(numbers))
    top = np.full(len(numbers), -np.inf)
    np.maximum.at(top, answer, mine)
    first = np.unique(answer, return_index=True)[1]
    # one entry per final answer: its place in its prompt
    place = places(group[first], -total, -top) if len(first) else np.zeros(0, dtype=np.int64)
    return reward, (place[answer].astype(np.float64), -mine)
