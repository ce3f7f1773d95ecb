"""`winnow init`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home, plain

if TYPE_CHECKING:
    from winnow.pipeline.first_contact.guess import Guess
    from winnow.pipeline.recipe import DatasetSource

_CHECKED = 2_000  # rows
_SECONDS = 30.0  # for one reference, a worker's first imports included


def register(app: typer.Typer) -> None:
    app.command()(init)


def init(
    file: Annotated[
        str,
        typer.Argument(
            help="Your rows: a .parquet, .jsonl, .json, .csv or .tsv file, a folder or pattern of such "
            "files, or the id of a dataset on the hub.",
            metavar="FILE",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="The recipe to write.", metavar="RECIPE", show_default="<home>/recipes/<name>.yaml"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the dataset.", show_default="after the file")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the prompt; several are joined, in this order.", metavar="COLUMN"
        ),
    ] = None,
    answer: Annotated[
        str | None, typer.Option(help="Column of the reference.", metavar="COLUMN")
    ] = None,
    completion: Annotated[
        str | None,
        typer.Option(help="Column of the answers that the rows bring.", metavar="COLUMN"),
    ] = None,
    verifier: Annotated[
        str | None, typer.Option(help="Who judges; `winnow verifiers` lists them.", metavar="NAME")
    ] = None,
    split: Annotated[str, typer.Option(help="Split, of a folder or a hub id.")] = "train",
    config: Annotated[
        str | None, typer.Option(help="Configuration, of a folder or a hub id.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a recipe that is there.")
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a first recipe for your own rows: columns, verifier and sizes are guessed.

    A file of agents' trajectories (the Agent Data Protocol, or messages with calls of tools) is told by
    its rows, unless an option names a column or a verifier. Verifiers are tried on the rows' references, and the recipe says at each guess what it rests on,
    and what could not be guessed. It is checked as `winnow check` does (over the first 2,000 rows);
    nothing is sampled.

        winnow init problems.jsonl
        winnow init table.csv --prompt Frage --answer Loesung --verifier math
    """
    from winnow.cli import run
    from winnow.pipeline.errors import UsageError, WinnowError
    from winnow.pipeline.first_contact import agents
    from winnow.pipeline.first_contact.guess import guessed
    from winnow.pipeline.first_contact.look import look
    from winnow.pipeline.first_contact.recipe_text import render
    from winnow.pipeline.first_contact.roles import Wishes
    from winnow.stages.base import run_async

    source = _source(file, name, split, config)
    target = output or home / "recipes" / f"{source.name}.yaml"
    _refuse(target, overwrite=overwrite)
    seen = look(source)
    wishes = Wishes(tuple(prompt or ()), answer, completion, verifier)
    if wishes == Wishes() and (acts := agents.agents(seen)) is not None:
        text = agents.render(seen, acts, source.name, str(target))
        told = [f"trajectories of agents: {acts.rows:,} of {len(seen.rows):,} rows"]
    else:
        found = run_async(guessed(seen, wishes, workers=2, timeout_seconds=_SECONDS))
        text, told = render(seen, found, source.name, str(target)), _told(found)
    _write(target, text)
    for line in told:
        typer.echo(plain(line))
    typer.echo(f"{plain(str(target))} is written; it says what each guess rests on.\n")
    limit = _CHECKED if seen.n_rows > _CHECKED else None
    try:
        run.check(target, home, limit)
    except WinnowError as error:
        raise UsageError(f"{target} is written, and `winnow check` says: {error}") from None
    if limit is not None:
        typer.echo(f"(Of its first {limit:,} rows; `winnow check` alone looks at all of them.)")


def _source(file: str, name: str | None, split: str, config: str | None) -> "DatasetSource":
    """The file as a source. Raises UsageError for an address with a secret in it."""
    from pydantic import ValidationError

    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.recipe import DatasetSource

    try:
        return DatasetSource(
            type="dataset", path=file, name=_name(file) if name is None else name, split=split,
            config=config,
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        given = "FILE" if first["loc"] == ("path",) else f"--name {name}"
        raise UsageError(f"{given}: {first['msg'].removeprefix('Value error, ')}") from None


def _name(file: str) -> str:
    """A dataset's name after the file's: without endings, and only what names may hold."""
    stem = Path(file.rstrip("/")).name
    while (suffix := Path(stem).suffix) and suffix.lower().lstrip(".") in _ENDINGS:
        stem = Path(stem).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")[:100] or "rows"


_ENDINGS = {"parquet", "jsonl", "ndjson", "json", "csv", "tsv", "gz", "bz2", "zst", "lz4"}


def _refuse(target: Path, *, overwrite: bool) -> None:
    """Raises UsageError where the recipe cannot be written, before anything is read."""
    from winnow.pipeline.errors import UsageError

    if target.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{target}: a recipe's name ends in .yaml")
    if target.exists() and not overwrite:
        raise UsageError(
            f"{target}: is there already; --overwrite replaces it, --output names another"
        )


def _write(target: Path, text: str) -> None:
    """The recipe, whole or not at all."""
    import os

    from winnow.pipeline.errors import UsageError

    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _told(found: "Guess") -> list[str]:
    """The guesses in short."""
    lines = [f"prompt: {', '.join(map(repr, found.prompt))}"]
    for role, column in (
        ("answer", found.judged.answer),
        ("completion", found.roles.completion),
        ("images", found.roles.images),
        ("domain", found.roles.domain),
    ):
        if column is not None:
            lines.append(f"{role}: {column!r}")
    lines.append(f"verifier: {found.judged.verifier} ({found.judged.why})")
    if found.judged.beware:
        lines.append(f"beware: {found.judged.beware}")
    return lines
