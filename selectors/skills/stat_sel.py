"""STAT-Sel: training questions for the skills that a student lacks.

One table holds both sides: a row with `missing_skills` is a validation question that the student
finds difficult, with the skills whose lack explains its failure; a row without is a training question,
with the `skills` that it needs. For each difficult question and each of its missing skills, `draws`
training questions of that skill are drawn. Multiplicity is kept: a skill missing in 40 questions
is drawn for 40 times, and a training question weighs as much as it was drawn.

Where validation questions bring `step_scores` (a process reward model's), only the difficult ones
count: the last step at most tau1, or the mean at most tau1, or an earlier step at most tau2. Where
they bring a `pass_rate`, which takes a reference, it stands in for the scores as those of a single
step would (our reading): difficult if at most tau1. One without either counts.

The paper's text says 5 draws, its algorithm box 3; the text's is the default. Not stated, our
choice: the draws for one question and skill are distinct training questions, all there are where
there are fewer; a skill that a question names twice counts once; a label outside the catalogue is
ignored, and how many were is told.

The paper cuts the drawn pairs by a random subset; here the budget is in training questions: all
draws are shuffled, and questions come in the order of their first draw, so that one drawn often is
rarely cut. Its weight stays the number of all its draws. What each skill gets in all is told.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import MISSING_SKILLS, PASS_RATE, SKILLS, STEP_SCORES, but
from winnow.selectors.difficulty.checks import SLACK, rates
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool, Ragged

_TOLD = 20  # skills named in a note


class StatSelParameters(Parameters):
    """Parameters of `stat_sel`."""

    draws: int = Field(
        5, ge=1, description="Training questions drawn for each difficult question and missing skill. "
        "The paper's text; its algorithm box has 3.",
    )  # fmt: skip
    tau1: float = Field(
        0.85, description="A question is difficult if its last or mean step score (or pass rate) is "
        "at most this. Paper.",
    )  # fmt: skip
    tau2: float = Field(0.7, description="Or if an earlier step's score is at most this. Paper.")
    max_per_skill: int | None = Field(
        None, ge=1, description="Most draws for one skill; a seeded subset of them stays. Ours."
    )
    catalogue: list[str] | None = Field(
        None, description="The skills that there are; other labels are ignored. None: all labels."
    )


class StatSel(Selector[StatSelParameters]):
    """Training questions of the skills that a student's failures show to be missing.

    `weight` and `score` are the number of draws. Validation rows are never selected. The cost is
    linear in the labels and the draws.
    """

    name = "stat_sel"
    paper = "STAT, arXiv 2510.10023"
    parameters = StatSelParameters
    own = pa.schema(
        [
            column("draws", pa.int64(), "How often the training question was drawn.",
                   null="a validation question"),
            column("drawn_for", pa.list_(pa.string()), "The missing skill of each of these draws.",
                   null="not drawn"),
            column("from_question_id", pa.list_(pa.string()), "row_id of the validation question of "
                   "each of them.", null="not drawn"),
            column("draw_index", pa.list_(pa.int64()), "Which draw each of them was for its question "
                   "and skill, from 0.", null="not drawn"),
            column("difficult", pa.bool_(), "Whether the validation question is difficult.",
                   null="a training question"),
            column("uncovered", pa.list_(pa.string()), "Missing skills of this difficult question "
                   "that no training question has.", null="not a difficult question"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: StatSelParameters) -> Sequence[Column]:
        return (
            but(SKILLS, nulls=True),
            but(MISSING_SKILLS, nulls=True),
            but(STEP_SCORES, optional=True, nulls=True),
            but(PASS_RATE, optional=True, nulls=True),
        )

    def choose(self, pool: Pool, room: int | None, parameters: StatSelParameters) -> Choice:
        n = len(pool)
        missing, skills = (_labels(pool, c, parameters) for c in (MISSING_SKILLS, SKILLS))
        asks = np.array([labels is not None for labels in missing], dtype=bool)
        hard = asks & _hard(pool, parameters)
        trained = _rows_by_skill(skills, ~asks)
        wanted = _rows_by_skill(missing, hard)
        drawn = draw(pool, wanted, trained, parameters.draws, parameters.max_per_skill)
        times = np.bincount(drawn.row, minlength=n)
        order = _order_of_first_draw(pool, drawn.row)
        _tell(pool, drawn, {s: len(q) for s, q in wanted.items() if s not in trained})
        if not hard.any():
            pool.progress.note("stat_sel: no difficult validation question, so nothing is drawn")
        reason = [
            ("question" if h else "not_difficult") if a
            else None if t
            else "no_skills" if not s
            else "not_drawn" if any(skill in wanted for skill in s)
            else "skill_not_missing"
            for a, h, t, s in zip(asks.tolist(), hard.tolist(), times.tolist(), skills, strict=True)
        ]  # fmt: skip
        return Choice(
            order,
            np.where(asks, np.nan, times),
            reason=reason,
            weight=times.astype(np.float64),
            columns={
                "draws": pa.array(times, pa.int64(), mask=asks),
                **_each_draw(pool, drawn, times),
                "difficult": pa.array(hard, pa.bool_(), mask=~asks),
                "uncovered": [
                    [s for s in labels or () if s not in trained] if h else None
                    for labels, h in zip(missing, hard.tolist(), strict=True)
                ],
            },
        )


def is_difficult(step_scores: Ragged, tau1: float = 0.85, tau2: float = 0.7) -> NDArray[np.bool_]:
    """STAT's test of each response (n,) by the scores of its steps; False where it has none.

    Difficult if the last step is at most tau1, or the mean is, or any step before the last is at most
    tau2.
    """
    found = np.zeros(len(step_scores), dtype=bool)
    filled = step_scores.lengths > 0
    last = step_scores.offsets[1:][filled] - 1
    low = step_scores.values <= tau2
    low[last] = False
    earlier = Ragged(low.astype(np.float64), step_scores.offsets).sums()[filled] > 0
    found[filled] = (
        (step_scores.values[last] <= tau1) | (step_scores.means()[filled] <= tau1) | earlier
    )
    return found


@dataclass(frozen=True, eq=False)
class Draws:
    """One entry per draw: the training `row`, the difficult `question`, the number of the skill in
    `skills`, and which draw for this question and skill it was (`index`, from 0)."""

    row: NDArray[np.int64]
    question: NDArray[np.int64]
    skill: NDArray[np.int64]
    index: NDArray[np.int64]
    skills: list[str]

    def per_skill(self) -> dict[str, int]:
        """Draws of each skill: its effective weight in the training set."""
        counts = np.bincount(self.skill, minlength=len(self.skills))
        return dict(zip(self.skills, counts.tolist(), strict=True))


def draw(
    pool: Pool,
    wanted: dict[str, NDArray[np.int64]],
    trained: dict[str, NDArray[np.int64]],
    draws: int,
    most: int | None = None,
) -> Draws:
    """For each question that wants a skill, `draws` distinct rows of those trained on it.

    `wanted`, `trained`: rows by skill. `most`: draws that one skill may have, a seeded subset. Each
    skill has random numbers of its own, so that one more skill changes no draw of another.
    """
    skills = sorted(set(wanted) & set(trained))
    found = [np.zeros((4, 0), np.int64)]
    for number, skill in enumerate(skills):
        rng = pool.rng("stat_sel", skill)
        asked, there = wanted[skill], trained[skill]
        picks = _distinct(rng, len(asked), len(there), draws)
        place, index = np.indices(picks.shape)
        drawn = np.stack([there[picks], asked[place], np.full_like(picks, number), index])
        drawn = drawn.reshape(4, -1)
        if most is not None and drawn.shape[1] > most:
            drawn = drawn[:, np.sort(rng.permutation(drawn.shape[1])[:most])]
        found.append(drawn)
    rows, questions, numbers, indices = np.concatenate(found, axis=1)
    return Draws(rows, questions, numbers, indices, skills)


def _distinct(rng: np.random.Generator, times: int, of: int, k: int) -> NDArray[np.int64]:
    """(times, min(k, of)): in each row distinct numbers below `of`, every set equally likely (Floyd)."""
    k = min(k, of)
    picks = np.empty((times, k), dtype=np.int64)
    for at in range(k):
        top = of - k + at
        pick = rng.integers(0, top + 1, times)
        taken = (picks[:, :at] == pick[:, None]).any(axis=1)
        picks[:, at] = np.where(taken, top, pick)
    return picks


def _hard(pool: Pool, parameters: StatSelParameters) -> NDArray[np.bool_]:
    """Which questions are difficult, those of which nothing is known too."""
    hard = np.ones(len(pool), dtype=bool)
    if pool.has(STEP_SCORES.name):
        scores = _step_scores(pool)
        found = is_difficult(scores, parameters.tau1, parameters.tau2)
        hard = found | (scores.lengths == 0)
    if pool.has(PASS_RATE.name):
        rate = rates(pool, PASS_RATE.name)
        hard = np.where(np.isnan(rate), hard, rate <= parameters.tau1 + SLACK)
    return hard


def _step_scores(pool: Pool) -> Ragged:
    scores: Ragged = pool[STEP_SCORES.name]
    odd = np.flatnonzero(~((scores.values >= -SLACK) & (scores.values <= 1 + SLACK)))  # NaN too
    if len(odd):
        row = int(np.searchsorted(scores.offsets, odd[0], "right")) - 1
        raise UsageError(
            f"row {pool.ids[row]!r}: {STEP_SCORES.name}: holds {scores.values[odd[0]]:.6g}, but the "
            "score of a step lies between 0 and 1"
        )
    return scores


def _labels(pool: Pool, of: Column, parameters: StatSelParameters) -> list[list[str] | None]:
    """Each row's labels in the catalogue, once each, in order."""
    known = None if parameters.catalogue is None else set(parameters.catalogue)
    outside: Counter[str] = Counter()
    found: list[list[str] | None] = []
    for row, labels in enumerate(pool[of.name]):
        if labels is None:
            found.append(None)
            continue
        distinct = dict.fromkeys(labels)
        if not all(isinstance(label, str) for label in distinct):
            raise UsageError(f"row {pool.ids[row]!r}: {of.name}: holds something that is no text")
        if known is not None:
            outside.update(label for label in distinct if label not in known)
            distinct = {label: None for label in distinct if label in known}
        found.append(list(distinct))
    if outside:
        worst = ", ".join(f"{label!r} ({count})" for label, count in _largest(outside))
        pool.progress.note(f"stat_sel: {of.name}: labels outside the catalogue, ignored: {worst}")
    return found


def _rows_by_skill(
    labels: list[list[str] | None], among: NDArray[np.bool_]
) -> dict[str, NDArray[np.int64]]:
    found: dict[str, list[int]] = {}
    for row in np.flatnonzero(among).tolist():
        for label in labels[row] or ():
            found.setdefault(label, []).append(row)
    return {label: np.array(rows, dtype=np.int64) for label, rows in found.items()}


def _order_of_first_draw(pool: Pool, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct rows drawn, in the order in which a seeded shuffle of all draws meets them."""
    shuffled = pool.rng("stat_sel order").permutation(drawn)
    rows, first = np.unique(shuffled, return_index=True)
    order: NDArray[np.int64] = rows[np.argsort(first)]
    return order


def _each_draw(pool: Pool, drawn: Draws, times: NDArray[np.int64]) -> dict[str, pa.Array]:
    """Skill, question and index of the draws of each row, in this order; null where it has none."""
    order = np.lexsort((drawn.index, drawn.question, drawn.skill, drawn.row))
    offsets = pa.array(np.concatenate([[0], np.cumsum(times)]), pa.int32())
    values = {
        "drawn_for": pa.array(drawn.skills, pa.string()).take(pa.array(drawn.skill[order])),
        "from_question_id": pa.array(pool.ids, pa.string()).take(pa.array(drawn.question[order])),
        "draw_index": pa.array(drawn.index[order]),
    }
    mask = pa.array(times == 0)
    return {
        name: pa.ListArray.from_arrays(offsets, each, mask=mask) for name, each in values.items()
    }


def _tell(pool: Pool, drawn: Draws, uncovered: dict[str, int]) -> None:
    note = pool.progress.note
    if uncovered:
        worst = ", ".join(f"{skill!r} ({count})" for skill, count in _largest(Counter(uncovered)))
        note(
            f"stat_sel: {len(uncovered)} missing skills have no training question (questions that miss "
            f"them): {worst}"
        )
    if len(drawn.row):
        shares = ", ".join(
            f"{skill!r} {count} ({100 * count / len(drawn.row):.1f} %)"
            for skill, count in _largest(Counter(drawn.per_skill()))
        )
        note(f"stat_sel: {len(drawn.row)} draws; of each skill: {shares}")


def _largest(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOLD]
