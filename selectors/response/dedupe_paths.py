"""One answer of each reasoning path: what rejection-sampling fine-tuning keeps of many right answers.

Answers to one prompt with the same key are one path:

- exact       the text without white space at its ends (offline self-training of ReFT, arXiv 2401.08967;
              code),
- folded      the text with every run of white space as one space, in one Unicode form,
- equations   the list of its equations in order (RFT, Yuan et al. 2023, arXiv 2308.01825): arithmetic
              with an equals sign, such as 48/2 = 24, and GSM8K's annotations, <<48/2=24>>,
- ast         the syntax tree of the Python program in it: comments, blank lines and layout make no
              difference, names and docstrings do.

An answer without an equation, or without a program that parses, is compared by `folded` (ours): its key
says so, and so does its reason where it is kept (`by_text`).

Where the table has verdicts only correct answers count (`correct_only`). Of each path the first answer
is kept, and of each prompt the first `keep` paths, both in canonical order; the papers' number of paths
is not known to us, so all are kept by default. A row of `origin` gold is the reference: as in ReFT it is
added after the others, whatever `keep` and the verdicts say, where its path is not among those kept.

Under a budget the prompts come in a seeded order: first one path of each, then a second one of each.
`score` is how many answers of the prompt took the path. An answer that shows nothing is out (`empty`).

Keys cost about 0.1 ms an answer for equations and 1 ms for a program; equal texts are read once.
"""

import ast
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.clean.normalise import canonical
from winnow.pipeline.names import digest
from winnow.pipeline.progress import Step
from winnow.pipeline.schema import column
from winnow.pipeline.verify.python_text import parsed, program
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import COMPLETION, ORIGIN, PROMPT_ID, VERDICT, but
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.response.answers import (
    GOLD,
    UNJUDGED,
    WRONG,
    blank,
    by_turns,
    origins,
    places,
    sizes,
    unset,
    verdicts,
)
from winnow.selectors.response.equations import equations

_FOLDED = "folded:"  # how a key begins that fell back on the text
_REPORT = 10_000  # answers between two reports


class DedupePathsParameters(Parameters):
    key: Literal["exact", "folded", "equations", "ast"] = Field(
        "exact", description="What makes two answers one path (exact: ReFT's; equations: RFT's)."
    )
    keep: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Paths kept of a prompt, beside the reference; null: all."
    )
    correct_only: bool = Field(
        True, description="Whether, in a table with verdicts, only correct answers count."
    )


class DedupePaths(Selector[DedupePathsParameters]):
    """Of each prompt's right answers, the first of each distinct reasoning path."""

    name = "dedupe_paths"
    paper = "ReFT, arXiv 2401.08967; RFT (Yuan et al. 2023), arXiv 2308.01825"
    parameters = DedupePathsParameters
    own = pa.schema(
        [
            column("path_key", pa.string(), "Kind and hash of the key: equal for answers of one path.",
                   null="the answer was not compared"),
            column("duplicate_of", pa.string(), "row_id of the first answer of the same path.",
                   null="it is the first, or was not compared"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: DedupePathsParameters) -> Sequence[Column]:
        judged = [but(VERDICT, optional=True, nulls=True)] if parameters.correct_only else []
        return (PROMPT_ID, COMPLETION, *judged, but(ORIGIN, optional=True, nulls=True))

    def choose(self, pool: Pool, room: int | None, parameters: DedupePathsParameters) -> Choice:
        n = len(pool)
        prompts = pool.groups(PROMPT_ID.name)
        gold = origins(pool) == GOLD if pool.has(ORIGIN.name) else np.zeros(n, dtype=bool)
        reason = np.full(n, None, dtype=object)
        if pool.has(VERDICT.name):
            verdict = verdicts(pool)
            reason[(verdict == WRONG) & ~gold] = "wrong"
            reason[(verdict == UNJUDGED) & ~gold] = "unjudged"
        reason[blank(pool)] = "empty"
        compared = unset(reason)
        rows = np.flatnonzero(compared)
        keys = _keys(pool, rows, parameters.key)
        path = np.full(n, -1, dtype=np.int64)
        path[rows] = _numbers(prompts[rows], keys)

        place = np.full(n, -1, dtype=np.int64)  # of what is kept, in its prompt
        answers = np.flatnonzero(compared & ~gold)
        firsts = answers[places(path[answers]) == 0]
        place[firsts] = places(prompts[firsts])
        if parameters.keep is not None:
            beyond = place >= parameters.keep
            reason[beyond], place[beyond] = "beyond_keep", -1
        taken = np.isin(path, path[place >= 0])
        added = np.flatnonzero(compared & gold & ~taken)
        added = added[places(path[added]) == 0]
        place[added] = sizes(prompts, place >= 0)[added] + places(prompts[added])

        head = np.full(int(path.max()) + 1, -1, dtype=np.int64)  # first row of each path
        head[path[added]] = added
        head[path[firsts]] = firsts
        again = np.flatnonzero(unset(reason) & (place < 0))
        reason[again] = "duplicate"
        duplicate_of = np.full(n, None, dtype=object)
        duplicate_of[again] = [pool.ids[i] for i in head[path[again]].tolist()]
        path_key = np.full(n, None, dtype=object)
        path_key[rows] = keys
        if parameters.key in ("equations", "ast"):
            by_text = [
                row for row, key in zip(rows.tolist(), keys, strict=True) if key.startswith(_FOLDED)
            ]
            reason[[row for row in by_text if place[row] >= 0]] = "by_text"
        reason[added] = "gold"
        score = np.full(n, np.nan)
        score[rows] = np.bincount(path[rows], minlength=len(head))[path[rows]]
        kept = np.flatnonzero(place >= 0)
        return Choice(
            by_turns(pool, prompts, kept, place[kept]),
            score,
            reason=reason.tolist(),
            columns={"path_key": path_key.tolist(), "duplicate_of": duplicate_of.tolist()},
        )


def _numbers(prompts: NDArray[np.int64], keys: list[str]) -> NDArray[np.int64]:
    """(len(keys),) number of each prompt's each key, from 0."""
    seen: dict[tuple[int, str], int] = {}
    pairs = zip(prompts.tolist(), keys, strict=True)
    return np.array([seen.setdefault(pair, len(seen)) for pair in pairs], dtype=np.int64)


def _keys(pool: Pool, rows: NDArray[np.int64], kind: str) -> list[str]:
    """Kind and hash of the key of each of `rows`."""
    read = _READERS[kind]
    known: dict[str, str] = {}
    keys = []
    texts = pool[COMPLETION.name]
    for done, row in enumerate(rows.tolist()):
        text = texts[row].strip()
        if text not in known:
            found = read(text)
            used, value = ("folded", canonical(text)) if found is None else (kind, found)
            known[text] = f"{used}:{digest('path/1', value)}"
        keys.append(known[text])
        if done % _REPORT == 0:
            pool.progress.step(Step("dedupe_paths", done, len(rows), "answers"))
    return keys


def _syntax(text: str) -> str | None:
    """The program in an answer as a tree; None where none parses."""
    found = program(text)
    tree = parsed(found) if found is not None else None
    if tree is None:
        return None
    try:
        return ast.dump(tree)
    except RecursionError:
        return None


_READERS: dict[str, Callable[[str], "str | list[str] | None"]] = {
    "exact": str,
    "folded": canonical,
    "equations": lambda text: equations(text) or None,
    "ast": _syntax,
}
