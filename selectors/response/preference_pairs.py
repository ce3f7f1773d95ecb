"""Preference pairs out of scored answers, as RLHF Workflow (arXiv 2405.07863; code) makes them for DPO.

Each prompt gives a pair, a chosen answer and a rejected one, by their rewards r:

- max_min      the best against the worst (what the authors used),
- max_max      the best against the second best,
- max_random   the best against one of the others, drawn,
- max_min_p    max_min with r - length_penalty * characters in place of r.

Answers with equal rewards make no pair, prompts with fewer than min_answers answers none. The margin,
r of the chosen less r of the rejected, is kept. The score is r.

Faults of the original that are not here. Its max_random takes the first answer of the prompt (the
second where the first is the best): ours is drawn. Its max_min_p puts the two sides in the order of
the raw rewards in the end, which can turn the pair round: here the penalised ones decide everywhere,
and the margin is theirs.

Not in the original, our additions: `min_margin`; `different_text`, on unless it is switched off (two
answers that are one text but for white space and Unicode form make no pair, whatever a noisy reward
says); `correctness`: the chosen
answer is the best by reward of those judged correct, and the rejected one is picked (worst, best or
drawn, as the mode says) among those judged wrong. Verdicts then stand above rewards: the margin may be
0 or less unless min_margin says otherwise. And `pairs`: a prompt's second pair is made in the same
way of the answers that the first left, and so on; an answer stands in one pair at most, and a prompt
that gave no pair gives no further one.

A budget counts rows, two to a pair, and takes both sides of a pair or none. The pairs come in a
seeded order of the prompts, first pairs first, or with the largest margin first (`prefer`).
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from winnow.pipeline.clean.normalise import canonical
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import COMPLETION, PROMPT_ID, REWARD, VERDICT, but
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.response.answers import (
    add_reason,
    by_turns,
    places,
    sizes,
    unset,
    verdict_reasons,
)


class PreferencePairsParameters(Parameters):
    mode: Literal["max_min", "max_max", "max_random", "max_min_p"] = Field(
        "max_min", description="Which answer the best one is held against (the authors' max_min)."
    )
    length_penalty: float = Field(
        0.0, ge=0, description="Reward taken off per character, with max_min_p only."
    )
    min_margin: float = Field(
        0.0, ge=0, description="Least difference of the two rewards; 0: any above 0. Ours."
    )
    min_answers: int = Field(
        4,
        ge=2,
        description="Answers with a reward that a prompt needs. The authors: all K that were drawn, 4 "
        "in their script (the default here), 8 by default in their code.",
    )
    pairs: int = Field(1, ge=1, description="Pairs of a prompt (the authors' 1).")
    different_text: bool = Field(
        True,
        description="Make no pair of two answers with the same text. Ours; the authors do not look.",
    )
    correctness: bool = Field(
        False, description="Chosen answers must be judged correct and rejected ones wrong. Ours."
    )
    prefer: Literal["seeded", "margin"] = Field(
        "seeded", description="Order of the pairs under a budget: seeded, or largest margin first."
    )

    @model_validator(mode="after")
    def _penalty_is_used(self) -> Self:
        if (self.mode == "max_min_p") != (self.length_penalty > 0):
            raise ValueError(
                "length_penalty: must be above 0 with the mode max_min_p, and 0 with any other"
            )
        return self


class PreferencePairs(Selector[PreferencePairsParameters]):
    """Pairs of a chosen and a rejected answer to one prompt, by reward, with their margin."""

    name = "preference_pairs"
    paper = "RLHF Workflow, arXiv 2405.07863"
    parameters = PreferencePairsParameters
    own = pa.schema(
        [
            column("pair_id", pa.string(), "row_id of the pair's chosen answer.",
                   null="the row is in no pair"),
            column("role", pa.string(), "chosen or rejected.", null="the row is in no pair"),
            column("margin", pa.float64(), "Reward of the chosen answer less that of the rejected one.",
                   null="the row is in no pair"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: PreferencePairsParameters) -> Sequence[Column]:
        # An answer without a verdict still counts among its prompt's answers.
        judged = [but(VERDICT, nulls=True)] if parameters.correctness else []
        texts = parameters.different_text or parameters.mode == "max_min_p"
        return (PROMPT_ID, REWARD, *([COMPLETION] if texts else []), *judged)

    def choose(self, pool: Pool, room: int | None, parameters: PreferencePairsParameters) -> Choice:
        prompts = pool.groups(PROMPT_ID.name)
        reward = _rewards(pool, parameters)
        n = len(pool)
        can_win, can_lose = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
        reason = np.full(n, None, dtype=object)
        if parameters.correctness:
            reason = verdict_reasons(pool)
            can_win, can_lose = unset(reason), reason == "wrong"
            reason[can_lose] = None  # what a rejected answer must be
        enough = sizes(prompts, np.ones(n, dtype=bool)) >= parameters.min_answers
        add_reason(reason, ~enough, "few_answers")
        add_reason(reason, sizes(prompts, can_lose) == 0, "no_wrong")
        add_reason(reason, sizes(prompts, can_win) == 0, "no_correct")
        free = enough  # rows that may still be paired
        partner = np.full(n, -1, dtype=np.int64)  # the rejected row of each chosen one
        turn = np.zeros(n, dtype=np.int64)
        for number in range(parameters.pairs):
            chosen, rejected = _pairs(
                pool, prompts, reward, free & can_win, free & can_lose, parameters.mode, number
            )
            fault = _faults(pool, reward, chosen, rejected, parameters)
            if number == 0:
                at = np.full(int(prompts.max()) + 1, -1)
                at[prompts[chosen]] = np.where(unset(fault), -1, np.arange(len(fault)))
                told = (at[prompts] >= 0) & unset(reason)
                reason[told] = fault[at[prompts][told]]
            chosen, rejected = chosen[unset(fault)], rejected[unset(fault)]
            partner[chosen] = rejected
            turn[chosen] = number
            free &= np.isin(prompts, prompts[chosen])
            free[chosen] = free[rejected] = False
        add_reason(reason, np.ones(n, dtype=bool), "not_paired")
        chosen = np.flatnonzero(partner >= 0)
        return _choice(pool, prompts, reward, chosen, partner[chosen], turn, reason, parameters)


def _rewards(pool: Pool, parameters: PreferencePairsParameters) -> NDArray[np.float64]:
    reward: NDArray[np.float64] = pool[REWARD.name]
    if parameters.mode == "max_min_p":
        lengths = np.array([len(text) for text in pool[COMPLETION.name]], dtype=np.float64)
        reward = reward - parameters.length_penalty * lengths
    return reward


def _pairs(
    pool: Pool,
    prompts: NDArray[np.int64],
    reward: NDArray[np.float64],
    can_win: NDArray[np.bool_],
    can_lose: NDArray[np.bool_],
    mode: str,
    number: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The chosen row of each prompt that has both sides, and the rejected one."""
    winners = np.flatnonzero(can_win)
    winners = winners[places(prompts[winners], -reward[winners]) == 0]
    losing = can_lose.copy()
    losing[winners] = False
    losers = np.flatnonzero(losing)
    match mode:
        case "max_max":
            key = -reward[losers]
        case "max_random":
            key = pool.rng("rejected", str(number)).random(len(pool))[losers]
        case _:
            key = reward[losers]
    losers = losers[places(prompts[losers], key) == 0]
    # One row of each prompt on either side, by prompt.
    _, one, other = np.intersect1d(
        prompts[winners], prompts[losers], assume_unique=True, return_indices=True
    )
    return winners[one], losers[other]


def _faults(
    pool: Pool,
    reward: NDArray[np.float64],
    chosen: NDArray[np.int64],
    rejected: NDArray[np.int64],
    parameters: PreferencePairsParameters,
) -> NDArray[np.object_]:
    """Why each pair is none; None where it is one."""
    fault = np.full(len(chosen), None, dtype=object)
    margin = reward[chosen] - reward[rejected]
    if parameters.min_margin > 0:
        fault[margin < parameters.min_margin] = "small_margin"
    if not parameters.correctness:
        fault[margin <= 0] = "equal_rewards"
    if parameters.different_text:
        texts = pool[COMPLETION.name]
        for at, (one, other) in enumerate(zip(chosen.tolist(), rejected.tolist(), strict=True)):
            if canonical(texts[one]) == canonical(texts[other]):
                fault[at] = "same_text"
    return fault


def _choice(
    pool: Pool,
    prompts: NDArray[np.int64],
    reward: NDArray[np.float64],
    chosen: NDArray[np.int64],
    rejected: NDArray[np.int64],
    turn: NDArray[np.int64],
    reason: NDArray[np.object_],
    parameters: PreferencePairsParameters,
) -> Choice:
    n = len(pool)
    loser = np.full(n, -1, dtype=np.int64)
    loser[chosen] = rejected
    margin = np.full(n, np.nan)
    margin[chosen] = margin[rejected] = reward[chosen] - reward[rejected]
    role = np.full(n, None, dtype=object)
    role[chosen], role[rejected] = "chosen", "rejected"
    pair = np.full(n, None, dtype=object)
    pair[chosen] = pair[rejected] = [pool.ids[i] for i in chosen.tolist()]
    reason[chosen] = reason[rejected] = None
    if parameters.prefer == "margin":
        ordered = chosen[np.argsort(-margin[chosen], kind="stable")]
    else:
        ordered = by_turns(pool, prompts, chosen, turn[chosen])
    order = np.column_stack([ordered, loser[ordered]]).ravel()
    return Choice(
        order,
        reward,
        reason=reason.tolist(),
        columns={"pair_id": pair.tolist(), "role": role.tolist(), "margin": margin},
        unit=np.repeat(np.arange(len(ordered)), 2),
    )
