"""What the built-in verifiers say of the arguments that a recipe and its rows give them: told while
the rows are read, so that no answer is sampled that could not be judged."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from winnow.pipeline.arguments import Arguments, BadArguments, NoArguments
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import Columns
from winnow.pipeline.sources.rows import Drop
from winnow.pipeline.verify import VERIFIERS, ensemble_arguments, get_verifier

RULE = "bad_arguments"
_WHOLE = "verifier_args: "  # stands before what is wrong with no single argument


def check_shared(source: str, verifier: str, args: Mapping[str, Any]) -> None:
    """Raises UsageError where the verifier does not take `args`, which every row has."""
    if (reason := _refusal(verifier, args)) is not None:
        raise UsageError(
            f"source {source!r}: {_place(reason, {})}{reason.removeprefix(_WHOLE)} "
            f"({_documented(verifier)})"
        )


class RowArguments:
    """The arguments of one source's rows, as its verifier reads them."""

    def __init__(self, source: str, verifier: str, columns: Columns) -> None:
        self._source, self._verifier, self._columns = source, verifier, columns
        self._taken, self._refused = False, 0
        self._reasons: set[str] = set()

    def check(self, text: str) -> None:
        """Raises Drop where the verifier does not take the arguments that `text` writes (canonical
        JSON)."""
        reason = _reading(self._verifier, text)
        if reason is None:
            self._taken = True
            return
        self._refused += 1
        if len(self._reasons) < 2:  # more tell nothing else
            self._reasons.add(reason)
        raise Drop(RULE, reason[:300])

    def end(self) -> None:
        """Raises UsageError where the verifier took no row's arguments, for one reason: that is no
        fault of the rows."""
        if self._taken or len(self._reasons) != 1:
            return
        (reason,) = self._reasons
        raise UsageError(
            f"source {self._source!r}: {_place(reason, self._columns.arguments)}"
            f"{reason.removeprefix(_WHOLE)[:300]}: so in each of the {self._refused:,} rows that were "
            f"read ({_documented(self._verifier)})"
        )


@lru_cache(maxsize=64)
def _reading(verifier: str, text: str) -> str | None:
    return _refusal(verifier, json.loads(text))


def _refusal(verifier: str, args: Mapping[str, Any]) -> str | None:
    """Why the verifier does not take `args`; None where it does. Another package's verifier checks
    its own."""
    if verifier not in VERIFIERS:
        return None
    model: type[Arguments] = getattr(get_verifier(verifier), "Arguments", NoArguments)
    try:
        if verifier == ensemble_arguments.NAME:
            ensemble_arguments.read(args)  # its members' too
        else:
            model.read(args)
    except BadArguments as error:
        return str(error)
    return None


def _place(reason: str, columns: Mapping[str, str]) -> str:
    """The key of the recipe that stands before a reason."""
    if reason.startswith(_WHOLE):
        return _WHOLE
    name = reason.partition(":")[0].partition(".")[0]
    return "columns.arguments." if name in columns else "verifier_args."


def _documented(verifier: str) -> str:
    return f"`winnow verifiers {verifier}` documents them"
