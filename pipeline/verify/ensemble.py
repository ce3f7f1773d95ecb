"""The verifier `ensemble`: several verifiers, one verdict.

`all`, `any` and `majority` are rules over three values: an unjudged member never decides by itself
(Kleene's strong logic of indeterminacy, Introduction to Metamathematics, 1952, section 64, with
unjudged in the place of undefined). `weighted` adds weighted rewards, clips the sum and compares it
with a threshold; where a member is unjudged, the sum is an interval, and there is a verdict only
where the whole interval lies on one side.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Engine, Task, Verdict, VerdictName
from winnow.pipeline.verify import get_verifier, verifier_label
from winnow.pipeline.verify.asking import asked, asks, judged_locally
from winnow.pipeline.verify.ensemble_arguments import NAME, EnsembleArguments, Member, read
from winnow.pipeline.verify.worker_pool import judged

MAX_DETAIL = 100  # characters of one member's detail
MAX_RAW = 3_000  # characters of what members recorded that is no answer, together
TOLERANCE = 1e-9  # of a sum beside its threshold: 0.1 + 0.2 reaches 0.3


class Ensemble:
    """`parts` are the members' rewards, `<name>`, and their parts, `<name>.<part>`. The reward is 1.0
    or 0.0, with the rule `weighted` the clipped sum (its lowest possible value where a member is
    unjudged). `extracted` is what the first member that reads an answer has read."""

    name = NAME
    version = "1"
    needs_answer = False  # members that need a reference say so themselves
    Arguments = EnsembleArguments

    def version_of(self, args: Mapping[str, Any]) -> str:
        """Our version with those of the members of `args`, which decide as well."""
        try:
            members = read(args).verifiers
        except BadArguments:
            return self.version
        return "+".join([self.version, *(_label(member) for member in members)])

    def members(self, args: Mapping[str, Any]) -> set[str]:
        """Names of the verifiers that judge with `args`, also within ensembles: what workers should
        warm up."""
        try:
            found = read(args).verifiers
        except BadArguments:
            return set()
        nested = (self.members(member.args) for member in found if member.name == NAME)
        return set().union({member.name for member in found} - {NAME}, *nested)

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge with every member in this process. Raises BadArguments."""
        args = read(task.args)
        if self.needs_engine(task.args):
            return Verdict.unjudged("needs_engine")
        return combined(args, [judged(m.name, completion, _task(task, m)) for m in args.verifiers])

    def needs_engine(self, args: Mapping[str, Any]) -> bool:
        """Whether one of the members asks a model."""
        try:
            return any(asks(member.name, member.args) for member in read(args).verifiers)
        except BadArguments:
            return False  # a worker will say so

    async def ask(self, completion: str, task: Task, engine: Engine) -> Verdict:
        """Judge with every member at once, those that ask no model in workers. Raises BadArguments."""
        args = read(task.args)
        calls = [_member(member, completion, task, engine) for member in args.verifiers]
        # Not a task group: its failures would come wrapped.
        found = await asyncio.gather(*calls, return_exceptions=True)
        for outcome in found:
            if isinstance(outcome, BaseException):
                raise outcome
        return combined(args, [outcome for outcome in found if isinstance(outcome, Verdict)])


async def _member(member: Member, completion: str, task: Task, engine: Engine) -> Verdict:
    if asks(member.name, member.args):
        return await asked(member.name, completion, _task(task, member), engine)
    return await judged_locally(member.name, completion, _task(task, member))


def _task(task: Task, member: Member) -> Task:
    return Task(task.messages, task.answer, member.args)


def _label(member: Member) -> str:
    if member.name != NAME:
        return verifier_label(member.name)
    return f"{NAME}({Ensemble().version_of(member.args)})"


def combined(args: EnsembleArguments, verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of an ensemble from those of its members, in their order."""
    names = [verdict.verdict for verdict in verdicts]
    reason: str | None = None
    reward: float | None = None
    if args.rule == "weighted":
        verdict, reward, reason = weighted(args, verdicts)
    elif args.rule == "majority":
        verdict, reason = majority(names, args.needed)
    else:
        verdict = every(names) if args.rule == "all" else some(names)
        reason = "undecided" if verdict == "unjudged" else None
    if reward is None and verdict != "unjudged":
        reward = float(verdict == "correct")
    return Verdict(
        verdict,
        reward,
        _parts(args.labels, verdicts),
        _extracted(args, verdicts),
        _detail(args, verdicts, reason),
    )


def every(verdicts: Sequence[VerdictName]) -> VerdictName:
    """Kleene's conjunction: wrong where one is wrong, correct where all are correct."""
    if "wrong" in verdicts:
        return "wrong"
    return "unjudged" if "unjudged" in verdicts else "correct"


def some(verdicts: Sequence[VerdictName]) -> VerdictName:
    """Kleene's disjunction: correct where one is correct, wrong where all are wrong."""
    if "correct" in verdicts:
        return "correct"
    return "unjudged" if "unjudged" in verdicts else "wrong"


def majority(verdicts: Sequence[VerdictName], needed: int) -> tuple[VerdictName, str | None]:
    """(verdict, why there is none): what more of the judged members say, if `needed` have judged."""
    correct, wrong = verdicts.count("correct"), verdicts.count("wrong")
    if correct + wrong < needed:
        return "unjudged", "no_quorum"
    if correct == wrong:
        return "unjudged", "tie"
    return ("correct" if correct > wrong else "wrong"), None


def weighted(
    args: EnsembleArguments, verdicts: Sequence[Verdict]
) -> tuple[VerdictName, float | None, str | None]:
    """(verdict, reward, why there is none) by the clipped sum of weighted rewards."""
    bounds = []
    for member, verdict in zip(args.verifiers, verdicts, strict=True):
        reward = verdict.reward if verdict.verdict != "unjudged" else None
        if reward is not None and member.range is not None:
            low, high = member.range
            if not low - TOLERANCE <= reward <= high + TOLERANCE:
                return "unjudged", None, "reward_out_of_range"
        bounds.append(_bounds(member, reward))
    low, high = (math.fsum(ends) for ends in zip(*bounds, strict=True))
    if args.clip is not None:
        low, high = (min(max(end, args.clip[0]), args.clip[1]) for end in (low, high))
    assert args.threshold is not None
    reached = args.threshold - TOLERANCE * max(1.0, abs(args.threshold))
    if low >= reached:
        return "correct", low, None
    if high < reached:
        return "wrong", low, None
    return "unjudged", None, "undecided"


def _bounds(member: Member, reward: float | None) -> tuple[float, float]:
    """Lowest and highest share of the sum that a member can have."""
    if member.weight == 0:
        return 0.0, 0.0
    if reward is not None:
        return member.weight * reward, member.weight * reward
    if member.range is None:
        return -math.inf, math.inf
    one, other = (member.weight * end for end in member.range)
    return min(one, other), max(one, other)


def _parts(labels: Sequence[str], verdicts: Sequence[Verdict]) -> dict[str, float]:
    parts = {}
    for label, verdict in zip(labels, verdicts, strict=True):
        if verdict.reward is not None:
            parts[label] = verdict.reward
        parts.update({f"{label}.{name}": value for name, value in verdict.parts.items()})
    return parts


def _extracted(args: EnsembleArguments, verdicts: Sequence[Verdict]) -> str | None:
    found = (
        verdict.extracted
        for member, verdict in zip(args.verifiers, verdicts, strict=True)
        if verdict.extracted is not None and _reads_an_answer(member)
    )
    return next(found, None)


def _detail(args: EnsembleArguments, verdicts: Sequence[Verdict], reason: str | None) -> str | None:
    """What every member says, in a few words; after it what judges recorded."""
    details = {verdict.detail for verdict in verdicts}
    if reason is None and len(details) == 1 and (only := next(iter(details))) is not None:
        return only  # all say `no_answer`
    said = ", ".join(
        f"{label}={verdict.verdict}" + (f" ({short})" if (short := _short(verdict)) else "")
        for label, verdict in zip(args.labels, verdicts, strict=True)
    )
    raw = [
        record
        for member, verdict in zip(args.verifiers, verdicts, strict=True)
        for record in _records(member, verdict)
    ]
    texts = [f"{reason}: {said}" if reason else said]
    return "\n".join([*texts, *(record[: MAX_RAW // len(raw)] for record in raw)])


def _short(verdict: Verdict) -> str:
    return (verdict.detail or "").partition("\n")[0][:MAX_DETAIL]


def _records(member: Member, verdict: Verdict) -> list[str]:
    """What a member recorded that is no answer: a judge's raw judgement, or an ensemble's, of which
    its detail holds one a line after the first."""
    if member.name == NAME:
        return (verdict.detail or "").split("\n")[1:]
    return [] if _reads_an_answer(member) or verdict.extracted is None else [verdict.extracted]


def _reads_an_answer(member: Member) -> bool:
    return bool(getattr(get_verifier(member.name), "extracts_answer", True))
