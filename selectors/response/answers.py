"""Answers that compete within their prompt: what the selectors of this family share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.clean.normalise import is_blank
from winnow.pipeline.errors import UsageError
from winnow.selectors.base import Column
from winnow.selectors.columns import ORIGIN, VERDICT
from winnow.selectors.pool import Pool

CORRECT, WRONG, UNJUDGED = 1, 0, -1
_VERDICTS = {"correct": CORRECT, "wrong": WRONG, "unjudged": UNJUDGED, None: UNJUDGED}

ORIGINS = ("model", "paraphrase", "gold")
MODEL, PARAPHRASE, GOLD = range(len(ORIGINS))


def verdicts(pool: Pool) -> NDArray[np.int8]:
    """(n,) CORRECT, WRONG or UNJUDGED; a row without a verdict is unjudged. Raises UsageError."""
    return _coded(pool, VERDICT, _VERDICTS).astype(np.int8)


def verdict_reasons(pool: Pool) -> NDArray[np.object_]:
    """(n,) wrong, unjudged or no_verdict; None for a row judged correct. Raises UsageError."""
    verdict = verdicts(pool)
    reason = np.full(len(pool), None, dtype=object)
    reason[verdict == WRONG] = "wrong"
    reason[verdict == UNJUDGED] = "unjudged"
    reason[[given is None for given in pool[VERDICT.name]]] = "no_verdict"
    return reason


def origins(pool: Pool) -> NDArray[np.int64]:
    """(n,) places in `ORIGINS`, -1 where a row has none. Raises UsageError."""
    return _coded(pool, ORIGIN, {**{name: at for at, name in enumerate(ORIGINS)}, None: -1})


def _coded(pool: Pool, column: Column, codes: dict[Any, int]) -> NDArray[np.int64]:
    values = pool[column.name]
    try:
        return np.array([codes[v] for v in values], dtype=np.int64)
    except KeyError:
        at = next(i for i, v in enumerate(values) if v not in codes)
        known = ", ".join(name for name in codes if name is not None)
        raise UsageError(
            f"row {pool.ids[at]}: {column.name} is {values[at]!r}, not one of {known}"
        ) from None


def blank(pool: Pool) -> NDArray[np.bool_]:
    """(n,) whether the completion shows nothing; False throughout where there is no such column."""
    if not pool.has("completion"):
        return np.zeros(len(pool), dtype=bool)
    # Most texts begin with something visible, which is found much faster.
    return np.array([not t[:1].isalnum() and is_blank(t) for t in pool["completion"]], dtype=bool)


def places(prompts: NDArray[np.int64], *keys: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) place of each row within its prompt, from 0, by ascending keys, the first one first; rows
    that are equal in all stay in their order."""
    if not len(prompts):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((*reversed(keys), prompts))
    by_prompt = prompts[order]
    number = np.arange(len(prompts))
    starts = np.append(True, by_prompt[1:] != by_prompt[:-1])
    place = np.empty(len(prompts), dtype=np.int64)
    place[order] = number - np.maximum.accumulate(np.where(starts, number, 0))
    return place


def sizes(prompts: NDArray[np.int64], among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,) how many rows of `among` the prompt of each row has."""
    count = np.bincount(prompts[among], minlength=int(prompts.max()) + 1)
    return np.asarray(count[prompts], dtype=np.int64)


def by_turns(
    pool: Pool, prompts: NDArray[np.int64], rows: NDArray[np.int64], place: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`rows` by their place within the prompt: first each prompt's first, then each one's second, the
    prompts in a seeded order. So no prompt is preferred for what its answers score.

    `place` (len(rows),): one number for each row of a prompt.
    """
    turn = pool.rng("prompts").permutation(int(prompts.max()) + 1)
    order: NDArray[np.int64] = np.lexsort((turn[prompts[rows]], place))
    return rows[order]


def unset(reason: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Where no reason stands yet."""
    return np.fromiter((r is None for r in reason), bool, len(reason))


def add_reason(reason: NDArray[np.object_], where: NDArray[np.bool_], code: str) -> None:
    """Say `code` of these rows, but for those of which something is said: what is wrong with a row
    itself goes before what is wrong with its prompt."""
    reason[where & unset(reason)] = code
