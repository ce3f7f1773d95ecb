"""The gold audit: references that the answers agree against.

A prompt whose answers strongly agree with each other, and not with the reference, has a reference
that deserves a look. `audit` is a pure function of recorded verdicts; nothing is sampled or judged
again. A task is a *suspect* where

1. at least `min_votes` judged answers give one and the same answer, and it was judged wrong;
2. they are at least `min_share` of all judged answers, those included that could not be read;
3. the policy gives this answer more often than all others together, credibly: with k of n judged
   answers and a uniform prior, the (1 - `credible`) quantile of Beta(1 + k, 1 + n - k), the
   posterior of its share (Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.1), lies above
   one half. Four of four pass at 0.95, four of five and six of eight do not, twelve of sixteen do.

An answer that could not be read (`no_answer`, `unreadable_answer`, ...) never votes. Where the agreed
answer is the reference under another reading (50 % and 0.5, 16.67 and 17, another bracket), or the
same answer was judged correct elsewhere in the task, the task is no suspect but carries the reason
`verifier_doubt`, and the reading in `doubt`.

A suspect is a question, not a verdict: a policy can agree on a mistake.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from winnow.pipeline import schema
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe_sections.part import Part
from winnow.pipeline.verify import get_verifier
from winnow.pipeline.verify.audit_readings import doubt, identity, is_open, key, shown_reference

MAX_DISTINCT = 24  # different answers of one task that are compared with each other
MAX_COMPARED = 300  # characters of an answer that a verifier is asked about
MATH = "math"
UNREAD = ("no_answer", "unreadable")  # how details begin of answers that could not be read

# (reference, answer): is the second the first, says the verifier `math`.
Question = tuple[str, str]


class AuditConfig(Part):
    """When answers that agree with each other make a reference suspect."""

    min_votes: Annotated[int, Field(ge=2)] = 4
    min_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    credible: Annotated[float, Field(ge=0.5, lt=1)] = 0.95


@dataclass(frozen=True)
class Vote:
    """One verdict, as far as the audit looks at it."""

    verdict: str
    extracted: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class AuditTask:
    """A task with the verdicts on its answers, in any order. `verifier` may carry its version."""

    task_id: str
    reference: str | None
    verifier: str
    votes: Sequence[Vote] = ()


@dataclass
class _Answer:
    """Answers to one task that are the same. `spellings` counts them by text."""

    spellings: Counter[str] = field(default_factory=Counter)

    @property
    def votes(self) -> int:
        return sum(self.spellings.values())

    @property
    def text(self) -> str:
        """The commonest spelling, of several the first by alphabet."""
        return min(self.spellings, key=lambda text: (-self.spellings[text], text))


@dataclass(frozen=True)
class _Counts:
    """A task's judged answers: `wrong` are the distinct ones that were judged wrong and could be read,
    the commonest first."""

    n_judged: int
    n_correct: int
    right: Counter[str]
    wrong: Sequence[_Answer]


def tasks_of(prompts: pa.Table, verdicts: pa.Table) -> list[AuditTask]:
    """Every task of the table `prompts` (task_id, answer, verifier) with its verdicts (task_id,
    verdict, extracted, detail), sorted by task."""
    votes: dict[str, list[Vote]] = defaultdict(list)
    columns = ["task_id", "verdict", "extracted", "detail"]
    for row in verdicts.select(columns).to_pylist():
        votes[row["task_id"]].append(Vote(row["verdict"], row["extracted"], row["detail"]))
    found = {
        row["task_id"]: AuditTask(
            row["task_id"], row["answer"], row["verifier"], votes.get(row["task_id"], ())
        )
        for row in prompts.select(["task_id", "answer", "verifier"]).to_pylist()
    }
    return [found[task_id] for task_id in sorted(found)]


def questions(tasks: Iterable[AuditTask], config: AuditConfig) -> set[Question]:
    """What the verifier `math` must be asked before `audit`, both ways round: only about tasks that
    could be suspects, and answers that are not told apart without it."""
    asked: set[Question] = set()
    for task in tasks:
        counts = _count(task, equal=())
        readable = sum(answer.votes for answer in counts.wrong)
        if task.reference is None or _support(readable, counts.n_judged, config) is None:
            continue
        texts = [answer.text for answer in counts.wrong][:MAX_DISTINCT]
        pairs = [(one, other) for one in texts for other in texts if one < other]
        if _name(task) != MATH:
            # Not how this verifier compares, but whether it should have accepted the answer.
            pairs = [(shown_reference(task.reference), text) for text in texts]
        for one, other in pairs:
            if (
                is_open(_key(task, one), _key(task, other))
                and max(len(one), len(other)) <= MAX_COMPARED
            ):
                asked |= {(one, other), (other, one)}
    return asked


def audit(
    tasks: Iterable[AuditTask], config: AuditConfig, equal: Collection[Question] = ()
) -> pa.Table:
    """The table `audit` (schema `AUDIT`), one row per task, sorted by task.

    `equal` are those of `questions` that were answered with yes. Neither the order of the tasks nor
    that of the votes matters.
    """
    equal = set(equal)
    rows = [_row(task, config, equal) for task in sorted(tasks, key=lambda task: task.task_id)]
    return pa.Table.from_pylist(rows, schema.AUDIT)


def _row(task: AuditTask, config: AuditConfig, equal: Collection[Question]) -> dict[str, object]:
    counts = _count(task, equal)
    top = counts.wrong[0] if counts.wrong else None
    reference_leads = counts.n_correct > 0 and (top is None or counts.n_correct >= top.votes)
    if reference_leads:
        k = counts.n_correct
        answer = _Answer(counts.right).text if counts.right else task.reference
    else:
        k, answer = (top.votes, top.text) if top else (0, None)
    low = None if counts.n_judged == 0 else share_low(k, counts.n_judged, config.credible)
    supported = top is not None and not reference_leads and task.reference is not None
    supported = supported and _support(k, counts.n_judged, config) is not None
    reading = _doubt(task, top, counts, equal) if supported and top is not None else None
    suspect = supported and reading is None
    reason = None
    if suspect:
        reason = (
            f"{k} of {counts.n_judged} answers agree, {counts.n_correct} with the reference; "
            f"share at least {low:.2f}"
        )
    elif reading is not None:
        reason = "verifier_doubt"
    return {
        "task_id": task.task_id,
        "reference": task.reference,
        "verifier": task.verifier,
        "majority_answer": answer,
        "n_majority": k,
        "n_agree_reference": counts.n_correct,
        "n_judged": counts.n_judged,
        "n_answers": len(counts.wrong) + (counts.n_correct > 0),
        "majority_share": k / counts.n_judged if counts.n_judged else None,
        "share_low": low,
        "suspect": suspect,
        "reason": reason,
        "doubt": reading,
    }


def share_low(k: int, n: int, credible: float) -> float:
    """The (1 - credible) quantile of Beta(1 + k, 1 + n - k)."""
    from scipy.special import betaincinv

    return float(betaincinv(1 + k, 1 + n - k, 1 - credible))


def _support(k: int, n: int, config: AuditConfig) -> float | None:
    """The lower bound of an answer's share where k of n judged answers are enough, else None."""
    if k < config.min_votes or k < config.min_share * n - 1e-9:
        return None
    low = share_low(k, n, config.credible)
    return low if low > 0.5 else None


def _doubt(
    task: AuditTask, top: _Answer, counts: _Counts, equal: Collection[Question]
) -> str | None:
    assert task.reference is not None
    right = {_key(task, text) for text in counts.right}
    if any(_key(task, text) in right for text in top.spellings):
        return "inconsistent"
    for text in sorted(top.spellings):
        if (reading := doubt(task.reference, text)) is not None:
            return reading
        if _name(task) != MATH and (shown_reference(task.reference), text) in equal:
            return "mathematics"
    return None


def _count(task: AuditTask, equal: Collection[Question]) -> _Counts:
    votes = [vote for vote in task.votes if vote.verdict in ("correct", "wrong")]
    correct = [vote for vote in votes if vote.verdict == "correct"]
    reads = _reads_an_answer(task)
    right = Counter(v.extracted for v in correct if v.extracted is not None and reads)
    wrong = Counter(v.extracted for v in votes if v.verdict == "wrong" and reads and _is_read(v)
                    and v.extracted is not None)  # fmt: skip
    return _Counts(len(votes), len(correct), right, _distinct(task, wrong, equal))


def _distinct(
    task: AuditTask, spellings: Counter[str], equal: Collection[Question]
) -> list[_Answer]:
    """The spellings in groups of the same answer, the largest group first.

    Groups are the connected components of "is the same", so that no order of comparing matters.
    """
    cheap: dict[object, _Answer] = defaultdict(_Answer)
    for text, count in spellings.items():
        cheap[identity(_key(task, text))].spellings[text] += count
    groups = sorted(cheap.values(), key=_rank)
    if not equal or _name(task) != MATH:
        return groups
    by_text = {answer.text: answer for answer in groups[:MAX_DISTINCT]}
    merged: list[dict[str, _Answer]] = []
    for text, answer in by_text.items():
        linked = [group for group in merged
                  if any((text, o) in equal or (o, text) in equal for o in group)]  # fmt: skip
        merged = [group for group in merged if all(group is not other for other in linked)]
        merged.append({text: answer} | {t: a for group in linked for t, a in group.items()})
    joined = [_Answer(sum((a.spellings for a in group.values()), Counter())) for group in merged]
    return sorted([*joined, *groups[MAX_DISTINCT:]], key=_rank)


def _rank(answer: _Answer) -> tuple[int, str]:
    return -answer.votes, answer.text


def _key(task: AuditTask, text: str) -> str:
    return key(text, fold=_name(task) != MATH)


def _name(task: AuditTask) -> str:
    return task.verifier.partition("@")[0]


def _reads_an_answer(task: AuditTask) -> bool:
    """Whether `extracted` is an answer, and not, say, what a judging model said."""
    try:
        return bool(getattr(get_verifier(_name(task)), "extracts_answer", True))
    except UsageError:  # judged by a package that is no longer here
        return True


def _is_read(vote: Vote) -> bool:
    return not (vote.detail or "").startswith(UNREAD)


def credible_majorities(table: pa.Table) -> tuple[int, int]:
    """(tasks of a table `audit` with a credible majority, those where it is the reference).

    The second over the first says how far a policy's agreement can be trusted: one that is often at
    one with itself and at odds with the references has habits, not better references. In
    simulations (benchmarks/gold_audit.py) hardly a suspect of such a policy is a wrong reference.
    """
    rows = table.select(["share_low", "n_majority", "n_agree_reference"]).to_pylist()
    found = [row for row in rows if row["share_low"] is not None and row["share_low"] > 0.5]
    return len(found), sum(row["n_majority"] == row["n_agree_reference"] for row in found)


def suspects(table: pa.Table) -> Iterator[dict[str, object]]:
    """The suspects of a table `audit`, the best supported first."""
    rows = table.filter(table["suspect"]).to_pylist()
    yield from sorted(rows, key=lambda row: (-row["share_low"], row["task_id"]))
