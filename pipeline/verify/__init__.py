"""Verifiers: what decides whether an answer is correct, wrong or cannot be judged.

How to add one: write a class with `name`, `version` and `verify` (`winnow.pipeline.contracts`) in a
module of this folder, a line in `VERIFIERS`, and labelled pairs for its self-test in
`pairs/<name>.jsonl` (`self_test.Pair`). Another package adds its own through the entry
point group `winnow.verifiers` (name = "module:Class"); built-in names cannot be taken over.

A verifier is made without arguments, in the main process for its version and in every worker to
judge, so heavy imports belong inside `verify`. Where they take long, a method `warm()` makes them
when a worker starts, so that no row's time limit pays for them.
"""

import difflib
from collections.abc import Collection, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from winnow.pipeline.contracts import Verifier
from winnow.pipeline.errors import UsageError

GROUP = "winnow.verifiers"

# name: module and class, imported when first asked for.
VERIFIERS: dict[str, str] = {
    "choice": "winnow.pipeline.verify.choice:Choice",
    "ensemble": "winnow.pipeline.verify.ensemble:Ensemble",
    "exact": "winnow.pipeline.verify.exact:Exact",
    "format": "winnow.pipeline.verify.text_format:TextFormat",
    "iou": "winnow.pipeline.verify.iou:IoU",
    "judge": "winnow.pipeline.verify.judge:ModelJudge",
    "length": "winnow.pipeline.verify.length:Length",
    "math": "winnow.pipeline.verify.math_answer:MathAnswer",
    "none": "winnow.pipeline.verify.unverified:Unverified",
    "patch": "winnow.pipeline.verify.patch:Patch",
    "python": "winnow.pipeline.verify.python_code:PythonCode",
    "ranked_list": "winnow.pipeline.verify.ranked_list:RankedList",
    "reasoning_gym": "winnow.pipeline.verify.reasoning_gym_score:ReasoningGymScore",
    "regex": "winnow.pipeline.verify.regex:Regex",
    "sql": "winnow.pipeline.verify.sql:SQLQuery",
    "tool_call": "winnow.pipeline.verify.tool_call:ToolCall",
}


def verifier_names() -> list[str]:
    """Every name that `get_verifier` knows, sorted."""
    return sorted({*VERIFIERS, *(point.name for point in entry_points(group=GROUP))})


@cache
def get_verifier(name: str) -> Verifier:
    """The verifier `name`, one instance per process. Raises UsageError for an unknown name."""
    if name in VERIFIERS:
        module, _, attribute = VERIFIERS[name].partition(":")
        return cast(Verifier, getattr(import_module(module), attribute)())
    points = entry_points(group=GROUP, name=name)
    if not points:
        known = ", ".join(verifier_names())
        raise UsageError(f"verifier {name!r} is not known; known here: {known}")
    return _load(next(iter(points)))


def unknown_verifier(name: str, known: Collection[str]) -> str:
    """That there is no verifier `name`, with the one that was probably meant."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no verifier {name!r}; {hint}known: {', '.join(sorted(known))}"


def verifier_label(name: str, args: Mapping[str, Any] | None = None) -> str:
    """`name@version`, as it stands in the `verifier` column; a verifier that is made of others is
    named by theirs too (`version_of`). Raises UsageError."""
    verifier = get_verifier(name)
    version_of = getattr(verifier, "version_of", None)
    version = verifier.version if version_of is None else version_of(args or {})
    return f"{name}@{version}"


def members(name: str, args: Mapping[str, Any]) -> set[str]:
    """The verifier `name`, or those that it is made of: what workers should be ready for."""
    inner = getattr(get_verifier(name), "members", None)
    return {name} if inner is None else {name, *inner(args)}


def needs_answer(name: str) -> bool:
    """Whether the verifier `name` compares with a reference. Raises UsageError."""
    return bool(getattr(get_verifier(name), "needs_answer", True))


def _load(point: EntryPoint) -> Verifier:
    try:
        return cast(Verifier, point.load()())
    except Exception as error:  # another package's code can raise whatever it likes
        package = point.dist.name if point.dist else point.value
        raise UsageError(
            f"verifier {point.name!r} of package {package} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
