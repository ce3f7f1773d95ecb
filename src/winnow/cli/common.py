"""What several commands share: their common options, the console, progress with time left."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from winnow.pipeline.page import visible

RecipePath = Annotated[
    Path, typer.Argument(help="The recipe, a YAML file.", show_default=False, metavar="RECIPE")
]
Home = Annotated[
    Path,
    typer.Option(
        help="Folder that holds the store and the versions.",
        envvar="WINNOW_HOME",
        show_default="data",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Look only at so many source rows, dealt over the sources: for a first look.",
        show_default=False,
    ),
]
DEFAULT_HOME = Path("data")
InputFile = Annotated[
    Path | None, typer.Option(help="Rows to read: .parquet or .jsonl.", show_default=False)
]
OutputFile = Annotated[
    Path | None,
    typer.Option(help="Where the rows go, with the new columns: .parquet or .jsonl.",
                 show_default=False),
]  # fmt: skip


def assignments(given: list[str] | None, option: str, *, as_text: bool = False) -> dict[str, Any]:
    """`key=value` options; a value is JSON where it reads as JSON, text otherwise.

    Raises UsageError where there is no `=`.
    """
    import json

    from winnow.pipeline.errors import UsageError

    found: dict[str, Any] = {}
    for each in given or []:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise UsageError(f"{option} {each}: is not key=value")
        found[key] = value
        if not as_text:
            with contextlib.suppress(ValueError):
                found[key] = json.loads(value)
    return found


def console() -> Any:
    """A rich console for tables on standard output; what it prints is never read as markup.

    Lines go through `typer.echo`, which does not wrap them: people copy them.
    """
    from rich.console import Console

    out = Console(markup=False, highlight=False, emoji=False)
    if not out.is_terminal:
        out.width = 160  # a file or a pipe has no width of its own
    return out


def plain(text: object) -> str:
    """Text that cannot move the cursor or change colours: control characters are made visible."""
    return visible(str(text))


def short(text: object, width: int = 100) -> str:
    """One line of at most `width` characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"
