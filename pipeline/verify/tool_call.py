"""The verifier `tool_call`: the function calls of an answer against those of a reference.

Every call in the answer counts, in any order and each once; text around them does not. A call
matches where its function and every argument do: `tool_calls.values` says when values are equal,
`tool_calls.reference` in which forms `answer` gives the right calls. Where the reference has no
calls, calling anything is wrong and an answer in words is right, whatever it says.

An answer without calls where some are wanted is wrong with detail `no_answer`; one whose calls
cannot be read (JSON or Python that does not parse, a key given twice) with `unreadable_answer`. A
reference that cannot be read leaves every answer unjudged (`bad_reference`); those of BFCL's multi-turn
categories are such, since they compare states and not calls. Rows of its relevance category, where
any call is right, have no reference and would be read as "no call is right": leave them out.

In mode `graded` the reward is ToolRL's, format + correctness in [-3, 4] (`tool_calls.graded`); the
verdict is the one of mode `exact`.
"""

from typing import Any, Literal

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.literals import spoken
from winnow.pipeline.verify.tool_calls import graded, json_calls, python_calls, reference, tagged
from winnow.pipeline.verify.tool_calls.calls import Call, Reading, UnreadableCall
from winnow.pipeline.verify.tool_calls.functions import Functions
from winnow.pipeline.verify.tool_calls.matching import all_match
from winnow.pipeline.verify.tool_calls.reference import BadReference, Reference

Syntax = Literal["json", "python", "toolrl"]

_READERS = {"json": json_calls.read, "python": python_calls.read, "toolrl": tagged.read}


class ToolCall:
    """Judges function calls written as JSON, as Python or in ToolRL's tagged blocks."""

    name = "tool_call"
    version = "1"

    class Arguments(arguments.Arguments):
        functions: list[dict[str, Any]] = Field(
            default=[],
            description="The functions that the prompt offers, as JSON schemas in BFCL's, OpenAI's "
            "or ToolRL's form: they give arguments without a name their names, and tell integers "
            "from floats.",
        )
        syntax: Syntax = Field(
            default="json",
            description="How calls are written: json (objects with name and arguments, in tags, "
            "fences or bare), python ([f(a=1), g()]) or toolrl (<think>, <tool_call>, <response>).",
        )
        mode: Literal["exact", "graded"] = Field(
            default="exact",
            description="exact: reward 1 or 0; graded: ToolRL's format (0 or 1) + correctness "
            "(-3 to 3).",
        )

    def warm(self) -> None:
        import scipy.sparse.csgraph  # noqa: F401

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge the calls of `completion` against `task.answer`."""
        args = self.Arguments.read(task.args)
        try:
            wanted = reference.read(task.answer)
            functions = Functions.read(args.functions, [call.name for call in wanted.calls])
            reference.check(wanted, functions)
        except BadReference as error:
            return Verdict.unjudged(f"bad_reference: {error}")
        try:
            found = read(completion, functions, args.syntax, irrelevance=not wanted.calls)
        except UnreadableCall:
            return self._verdict(None, "unreadable_answer", completion, wanted, functions, args)
        detail = _objection(found, wanted, functions)
        return self._verdict(found, detail, completion, wanted, functions, args)

    def _verdict(
        self,
        found: Reading | None,
        detail: str | None,
        completion: str,
        wanted: Reference,
        functions: Functions,
        args: Arguments,
    ) -> Verdict:
        parts: dict[str, float] = {}
        reward = float(detail is None)
        if args.mode == "graded":
            parts = _graded(found, completion, wanted, functions, args.syntax)
            reward = parts["format"] + parts["correctness"]
        extracted = found.text if found is not None and found.answered else None
        return Verdict("wrong" if detail else "correct", reward, parts, extracted, detail)


def read(
    completion: str, functions: Functions, syntax: Syntax, *, irrelevance: bool = False
) -> Reading:
    """What `completion` calls behind its thoughts. Raises UnreadableCall.

    With `irrelevance`, calls of known functions in the other syntaxes are calls, too: no answer
    gets around "call nothing" by its notation.
    """
    text = spoken(completion)
    calls = _named(_READERS[syntax](text, functions), functions)
    if irrelevance and not calls:
        for other in ("json", "python"):
            calls += [c for c in _in_passing(other, text, functions) if c.name in functions]
    return Reading(tuple(calls), answered=bool(text))


def _named(calls: list[Call], functions: Functions) -> list[Call]:
    return [functions.named(call) for call in calls]


def _in_passing(syntax: str, text: str, functions: Functions) -> list[Call]:
    try:
        return _READERS[syntax](text, functions)
    except UnreadableCall:
        return []


def _objection(found: Reading, wanted: Reference, functions: Functions) -> str | None:
    """Why the calls are wrong; None where they are right."""
    if not wanted.calls:
        if found.calls:
            return "call_not_wanted"
        return None if found.answered else "no_answer"
    if not found.calls:
        return "no_answer"
    if len(found.calls) != len(wanted.calls):
        return "number_of_calls"
    return None if all_match(found.calls, wanted.calls, functions) else "calls_differ"


def _graded(
    found: Reading | None,
    completion: str,
    wanted: Reference,
    functions: Functions,
    syntax: Syntax,
) -> dict[str, float]:
    if syntax == "toolrl":
        well_formed = tagged.is_well_formed(completion, wanted.blocks)
    else:  # ToolRL's blocks are no part of the other syntaxes
        well_formed = found is not None and found.answered and bool(found.calls or not wanted.calls)
    if not wanted.calls:
        return {"format": float(well_formed), "correctness": 0.0}
    grade = (
        graded.Grade.worst()
        if found is None
        else graded.grade(found.calls, wanted.calls, functions)
    )
    return {
        "format": float(well_formed),
        "correctness": grade.correctness,
        "names": grade.names,
        "parameters": grade.parameters,
    }
