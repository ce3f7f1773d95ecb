"""Every rule of `ensemble` is guarded by its labelled pairs: without the rule, one of them fails."""

import math
from typing import Any

import pytest

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import VERIFIERS, ensemble, ensemble_arguments, self_test
from winnow.pipeline.verify.ensemble_arguments import EnsembleArguments, Member

WEIGHTED = ensemble.weighted


def _unjudged_is_wrong(verdicts: Any) -> str:
    return "correct" if set(verdicts) == {"correct"} else "wrong"


def _unjudged_is_left_out(verdicts: Any) -> str:
    return "wrong" if "wrong" in verdicts else "correct"


def _any_left_out(verdicts: Any) -> str:
    return "correct" if "correct" in verdicts else "wrong"


def _unjudged_first(verdicts: Any) -> str:
    if "unjudged" in verdicts:
        return "unjudged"
    return "wrong" if "wrong" in verdicts else "correct"


def _any_unjudged_first(verdicts: Any) -> str:
    if "unjudged" in verdicts:
        return "unjudged"
    return "correct" if "correct" in verdicts else "wrong"


def _majority_of_all(verdicts: Any, needed: int) -> Any:
    return ("correct" if 2 * verdicts.count("correct") > len(verdicts) else "wrong"), None


def _no_tie(verdicts: Any, needed: int) -> Any:
    correct, wrong = verdicts.count("correct"), verdicts.count("wrong")
    if correct + wrong < needed:
        return "unjudged", "no_quorum"
    return ("correct" if correct >= wrong else "wrong"), None


def _no_quorum(verdicts: Any, needed: int) -> Any:
    return ensemble_majority(verdicts, 0)


ensemble_majority = ensemble.majority


def _without_ranges(args: EnsembleArguments, verdicts: Any) -> Any:
    bare = [member.model_copy(update={"range": None}) for member in args.verifiers]
    return WEIGHTED(args.model_copy(update={"verifiers": bare}), verdicts)


def _unclipped(args: EnsembleArguments, verdicts: Any) -> Any:
    return WEIGHTED(args.model_copy(update={"clip": None}), verdicts)


def _unjudged_is_nothing(args: EnsembleArguments, verdicts: Any) -> Any:
    filled = [Verdict("wrong", 0.0) if v.verdict == "unjudged" else v for v in verdicts]
    return WEIGHTED(args, filled)


def _renormalised(args: EnsembleArguments, verdicts: Any) -> Any:
    """The mean of the judged members, by their weights."""
    kept = [(m, v) for m, v in zip(args.verifiers, verdicts, strict=True) if v.reward is not None]
    total = math.fsum(m.weight for m, _ in kept) or 1.0
    reward = math.fsum(m.weight * (v.reward or 0.0) for m, v in kept) / total
    return ("correct" if reward >= (args.threshold or 0.0) else "wrong"), reward, None


def _same_ends(member: Member, reward: float | None) -> tuple[float, float]:
    """Without regard to the sign of the weight."""
    if reward is not None:
        return member.weight * reward, member.weight * reward
    low, high = member.range or (-math.inf, math.inf)
    return member.weight * low, member.weight * high


def _range_of_one(member: Member, reward: float | None) -> tuple[float, float]:
    """Whoever states no range is taken to stay within 0 and 1."""
    known = member.range or [0.0, 1.0]
    return BOUNDS(member.model_copy(update={"range": known}), reward)


def _zero_counts(member: Member, reward: float | None) -> tuple[float, float]:
    if member.weight == 0 and reward is None:
        return -math.inf, math.inf
    return BOUNDS(member, reward)


def _trusting(args: EnsembleArguments, verdicts: Any) -> Any:
    """Rewards outside their range are believed."""
    wide = [
        member.model_copy(update={"range": [-9.0, 9.0]}) if verdict.reward is not None else member
        for member, verdict in zip(args.verifiers, verdicts, strict=True)
    ]
    return WEIGHTED(args.model_copy(update={"verifiers": wide}), verdicts)


def _members_unread(args: Any, depth: int = 1) -> EnsembleArguments:
    """Only the ensemble's own arguments are checked, and who is not known is left out."""
    found = EnsembleArguments.read(args)
    known = [member for member in found.verifiers if member.name in VERIFIERS]
    return found.model_copy(update={"verifiers": known})


BOUNDS = ensemble._bounds

RULES: dict[str, tuple[Any, str, Any]] = {
    "all: unjudged is not wrong": (ensemble, "every", _unjudged_is_wrong),
    "all: unjudged is not correct": (ensemble, "every", _unjudged_is_left_out),
    "all: wrong decides": (ensemble, "every", _unjudged_first),
    "all is not any": (ensemble, "every", ensemble.some),
    "any: unjudged is not wrong": (ensemble, "some", _any_left_out),
    "any: correct decides": (ensemble, "some", _any_unjudged_first),
    "any is not all": (ensemble, "some", ensemble.every),
    "majority of the judged": (ensemble, "majority", _majority_of_all),
    "a tie": (ensemble, "majority", _no_tie),
    "quorum": (ensemble, "majority", _no_quorum),
    "default quorum": (EnsembleArguments, "needed", property(lambda args: args.quorum or 1)),
    "clipping": (ensemble, "weighted", _unclipped),
    "ranges": (ensemble, "weighted", _without_ranges),
    "rewards in their range": (ensemble, "weighted", _trusting),
    "unjudged is not 0": (ensemble, "weighted", _unjudged_is_nothing),
    "no renormalising": (ensemble, "weighted", _renormalised),
    "tolerance": (ensemble, "TOLERANCE", 0.0),
    "negative weights": (ensemble, "_bounds", _same_ends),
    "no range": (ensemble, "_bounds", _range_of_one),
    "weight 0": (ensemble, "_bounds", _zero_counts),
    "members are checked": (ensemble, "read", _members_unread),
    "arguments are checked": (EnsembleArguments, "read", classmethod(
        lambda cls, args: cls.model_construct(
            **{**args, "verifiers": [Member(**member) for member in args["verifiers"]]}))),
    "nesting": (ensemble_arguments, "MAX_DEPTH", 99),
    "members that ask": (ensemble.Ensemble, "needs_engine", lambda self, args: False),
    "a member's own arguments": (ensemble, "_task", lambda task, member: (
        Task(task.messages, task.answer,
             {"judge": {"n": 1}, "math": {}}.get(member.name, member.args)))),
}  # fmt: skip


def test_every_pair_is_judged_as_labelled() -> None:
    found = self_test.run_here("ensemble")
    assert (found.false_accepts, found.false_rejects) == ((), ())
    assert found.accept >= 20
    assert found.reject >= 20


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_is_taken_away_fails_a_pair(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, replacement = RULES[rule]
    monkeypatch.setattr(where, name, replacement)
    assert not self_test.run_here("ensemble").passed
