"""ToolRL's graded reward (arXiv 2504.13958): how much of the right calls an answer has.

With N the multiset Jaccard index of the names of functions, and for each call of the reference in
turn, among the answer's unused calls of that name, the best of (multiset Jaccard index of the names
of parameters + number of parameters with exactly the right value):

    S = N + sum of these,  S_max = 1 + sum over the reference of (1 + number of parameters)
    correctness = 6 S / S_max - 3, in [-3, 3];  reward = format + correctness

Where the reference has no calls, correctness is 0; where calls cannot be read, or none is there,
-3. For references with lists of accepted values (which ToolRL does not have), a parameter that may
be left out counts only where its value is not accepted: as a parameter too many.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from winnow.pipeline.verify.tool_calls.calls import Call
from winnow.pipeline.verify.tool_calls.functions import Functions
from winnow.pipeline.verify.tool_calls.matching import value_matches
from winnow.pipeline.verify.tool_calls.reference import WantedCall

WORST, BEST = -3.0, 3.0


@dataclass(frozen=True)
class Grade:
    """`names` and `parameters` are shares in [0, 1]: N, and the calls' sum over its maximum."""

    correctness: float
    names: float
    parameters: float

    @classmethod
    def worst(cls) -> "Grade":
        return cls(WORST, 0.0, 0.0)


def grade(calls: Sequence[Call], wanted: Sequence[WantedCall], functions: Functions) -> Grade:
    """The grade of `calls` against a reference that has at least one call."""
    if not calls:
        return Grade.worst()
    names = _jaccard(
        Counter(functions.known(one.name) for one in wanted), Counter(call.name for call in calls)
    )
    unused, total, largest = list(calls), 0.0, 0.0
    for one in wanted:
        largest += 1 + len(_due(one))
        same_name = [call for call in unused if call.name == functions.known(one.name)]
        if not same_name:
            continue
        best = _best(same_name, one, functions)
        total += _score(best, one, functions)
        # By identity: two equal calls are two calls.
        unused = [call for call in unused if call is not best]
    correctness = (BEST - WORST) * (names + total) / (1 + largest) + WORST
    return Grade(correctness, names, total / largest)


def _best(calls: Sequence[Call], wanted: WantedCall, functions: Functions) -> Call:
    return max(calls, key=lambda call: _score(call, wanted, functions))


def _score(call: Call, wanted: WantedCall, functions: Functions) -> float:
    right = {
        argument
        for argument in call.arguments.keys() & wanted.options.keys()
        if value_matches(call, wanted, argument, functions)
    }
    due = _due(wanted)
    given = [argument for argument in call.arguments if argument in due or argument not in right]
    return _jaccard(Counter(due), Counter(given)) + len(right & due)


def _due(wanted: WantedCall) -> set[str]:
    """The parameters that must be given."""
    return {argument for argument in wanted.options if not wanted.may_omit(argument)}


def _jaccard(a: Counter[str], b: Counter[str]) -> float:
    """Multiset Jaccard index; 1 where both are empty."""
    union = (a | b).total()
    return (a & b).total() / union if union else 1.0
