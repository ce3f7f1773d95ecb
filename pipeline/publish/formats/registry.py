"""The formats by name.

How to add one: a module of this folder with a `Format` (`base.py` says what each part means), and a
line in `FORMATS`. What a format needs of a set is said by columns, so it also reads sets of kinds that
come later.
"""

import difflib
from collections.abc import Mapping

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.formats import (
    adp,
    alpaca,
    open_instruct,
    openai_chat,
    openchat,
    sharegpt,
    trl,
    verl,
)
from winnow.pipeline.publish.formats.base import Format, rank, unfit, view_of
from winnow.pipeline.publish.set_schemas import SETS

FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        trl.LANGUAGE_MODELING,
        trl.PROMPT_ONLY,
        trl.PROMPT_COMPLETION,
        trl.PREFERENCE,
        trl.UNPAIRED_PREFERENCE,
        trl.STEPWISE_SUPERVISION,
        verl.FORMAT,
        open_instruct.FORMAT,
        openai_chat.FORMAT,
        openchat.FORMAT,
        sharegpt.FORMAT,
        alpaca.FORMAT,
        adp.FORMAT,
    )
}


def get_format(name: str) -> Format:
    """The format `name`; UsageError, which names the nearest ones, where there is none."""
    if name in FORMATS:
        return FORMATS[name]
    close = difflib.get_close_matches(name, FORMATS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(FORMATS)}"
    raise UsageError(f"no format is called {name!r}; {hint}")


def columns_of(format: Format) -> list[str]:
    """The columns that the format makes of the first kind of set that it reads, without provenance."""
    schema = next(each for each in SETS.values() if not unfit(format, each))
    return view_of(format, schema, provenance=False).schema.names


def fitting(format: Format, sets: Mapping[str, pa.Schema]) -> list[str]:
    """The sets that `format` reads best: all that have the first of its groups of columns that any
    has. `sets` maps a set's name to its columns.
    """
    ranks = {name: at for name, schema in sets.items() if (at := rank(format, schema)) is not None}
    return [name for name, at in ranks.items() if at == min(ranks.values())]


def the_set(format: Format, sets: Mapping[str, pa.Schema], said_by: str = "set") -> str:
    """The one set that `format` reads best; UsageError, which says what there is, otherwise. `said_by`
    is what names a set where this is called: a key, or an option.
    """
    found = fitting(format, sets)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{format.name}: reads {' and '.join(found)}; say which as `{said_by}`")
    reasons = {name: unfit(format, schema) or "" for name, schema in sets.items()}
    beyond = [f"{name} {why}" for name, why in reasons.items() if not why.startswith("lacks")]
    if beyond:  # they have the columns
        raise UsageError(f"{format.name}: no set fits: {'; '.join(beyond)}")
    needs = " or ".join(", ".join(f"{n} ({k})" for n, k in group.items()) for group in format.reads)
    names = ", ".join(sets) or "none"
    raise UsageError(f"{format.name}: no set has {needs}; the sets are: {names}")
