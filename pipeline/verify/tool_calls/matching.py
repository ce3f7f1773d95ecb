"""Whether the calls of an answer are those of a reference."""

from collections.abc import Sequence
from typing import Any

from winnow.pipeline.verify.tool_calls import values
from winnow.pipeline.verify.tool_calls.calls import Call
from winnow.pipeline.verify.tool_calls.functions import Functions
from winnow.pipeline.verify.tool_calls.reference import WantedCall


def all_match(calls: Sequence[Call], wanted: Sequence[WantedCall], functions: Functions) -> bool:
    """Whether every call is one of the reference's and the other way round, in any order.

    A call can match two of the reference, so that the pairs are a maximum matching: taking the
    first that fits can take away the only one that another one fits.
    """
    if len(calls) != len(wanted):
        return False
    fits = [[matches(call, one, functions) for one in wanted] for call in calls]
    return _has_perfect_matching(fits)


def matches(call: Call, wanted: WantedCall, functions: Functions) -> bool:
    """Whether `call` has the name of `wanted` and for every argument an accepted value.

    An argument that the reference does not know is wrong, and one is missing unless the reference
    says that it may be. (Where a schema requires what the reference allows to leave out, the
    reference holds: it was made for this very question.)
    """
    return (
        _same_function(call, wanted, functions)
        and not _has_unknown(call, wanted)
        and all(
            value_matches(call, wanted, argument, functions)
            if argument in call.arguments
            else wanted.may_omit(argument)
            for argument in wanted.options
        )
    )


def _same_function(call: Call, wanted: WantedCall, functions: Functions) -> bool:
    return call.name == functions.known(wanted.name)


def _has_unknown(call: Call, wanted: WantedCall) -> bool:
    return not call.arguments.keys() <= wanted.options.keys()


def value_matches(call: Call, wanted: WantedCall, argument: str, functions: Functions) -> bool:
    """Whether the value that `call` gives `argument` is one that `wanted` accepts."""
    value: Any = call.arguments[argument]
    options = wanted.options[argument]
    schema = functions.get(wanted.name).parameters.get(argument, {})
    if wanted.exact:
        return values.equal(value, options[0], schema)
    return values.accepted(value, options, schema)


def _has_perfect_matching(fits: list[list[bool]]) -> bool:
    if len(fits) <= 1:
        return all(all(row) for row in fits)
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    partners = maximum_bipartite_matching(csr_matrix(fits), perm_type="column")
    return bool((partners >= 0).all())
