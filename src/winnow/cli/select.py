"""`winnow select` and `winnow selectors`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.common import InputFile, OutputFile, assignments, console, plain

if TYPE_CHECKING:
    from winnow.selectors.base import Column


def register(app: typer.Typer) -> None:
    app.command()(select)
    app.command()(selectors)


FeatureFiles = Annotated[
    list[Path] | None,
    typer.Option(
        help="Features of the rows, joined on row_id: .parquet or .jsonl; may stand several times.",
        show_default=False,
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        help="A parameter of the selector, key=value; the value is JSON or text.",
        metavar="KEY=VALUE",
    ),
]
InputColumns = Annotated[
    list[str] | None,
    typer.Option(
        help="Where an input stands in the file, such as pass_rate=my_column.",
        metavar="INPUT=COLUMN",
    ),
]


def select(
    name: Annotated[
        str, typer.Argument(help="Who chooses; `winnow selectors` lists them.", show_default=False)
    ],
    input: InputFile = None,
    output: OutputFile = None,
    features: FeatureFiles = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="How much to select: rows (1000), a share with a decimal point (0.1; 1.0 is all), "
            "or tokens (50000tok, by the column n_tokens).",
            show_default="what the selector's rule gives",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    set: Parameters = None,
    column: InputColumns = None,
) -> None:
    """Choose rows of a file.

    The output has the same rows in the same order, and `score`, `selected`, `rank` (from 0, the best
    first), `weight`, `reason`, and columns of the selector's own. The same rows, parameters and seed
    give the same choice, whatever the order of the rows and whatever other columns there are. Rows
    are named by `row_id`; where the file has none, it is made from the row's texts (prompt, response
    and the like), which then decide ties and draws.

        winnow select pass_rate --input tasks.parquet --output chosen.parquet --set low=0.25
        winnow select kmeans --input rows.parquet --features emb.parquet --output out.parquet --budget 0.1
    """
    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.row_files import RowFile
    from winnow.selectors.budget import Budget
    from winnow.selectors.registry import get_selector
    from winnow.selectors.select_file import select_file

    selector = get_selector(name)
    for option, value in (("--input", input), ("--output", output)):
        if value is None:
            raise UsageError(f"{option} is missing (winnow select --help)")
    assert input is not None and output is not None
    with TerminalProgress() as progress:
        found = select_file(
            selector,
            RowFile(input),
            output,
            features=[RowFile(path) for path in features or []],
            parameters=assignments(set, "--set"),
            budget=None if budget is None else Budget.parse(budget),
            seed=seed,
            columns=assignments(column, "--column", as_text=True),
            progress=progress,
        )
    rows = found.table.num_rows
    typer.echo(f"{name}: {found.selected} of {rows} rows selected")
    for reason, count in found.reasons.most_common(12):
        typer.echo(f"  {count} {plain(reason)}")
    if found.budget_rows is not None and found.selected < found.budget_rows:
        typer.echo(f"(the budget allows {found.budget_rows}; no more rows qualify)")


def selectors(
    name: Annotated[
        str | None,
        typer.Argument(help="A selector, for its inputs and parameters.", show_default=False),
    ] = None,
) -> None:
    """List the selectors, or say what one of them does, reads and takes."""
    from rich.table import Table

    from winnow.selectors.documentation import document
    from winnow.selectors.registry import family, get_selector, selector_names

    if name is None:
        table = Table("family", "selector", "chooses", "paper", "reads", title_justify="left")
        shown = ""
        for each in selector_names():
            found, group = document(get_selector(each)), family(each)
            reads = "see its parameters" if found.inputs is None else _reads(found.inputs)
            table.add_row(group if group != shown else "", each, found.summary, found.paper, reads)
            shown = group
        console().print(table)
        typer.echo("winnow selectors NAME documents one.")
        return
    selector = get_selector(name)
    found = document(selector)
    typer.echo(f"{name} (version {selector.version}; {found.paper})\n\n{found.text}\n")
    if found.inputs is None:
        typer.echo("What it reads depends on its parameters.")
    elif found.inputs:
        table = Table("reads", "kind", "", "meaning", title_justify="left")
        for column in found.inputs:
            table.add_row(
                column.name, column.kind, "optional" if column.optional else "", column.meaning
            )
        console().print(table)
    else:
        typer.echo("It reads no column.")
    if found.parameters:
        table = Table("parameter", "type", "default", "meaning", title_justify="left")
        for row in found.parameters:
            table.add_row(*row)
        console().print(table)
    else:
        typer.echo("It has no parameters.")
    if found.own:
        table = Table("adds", "type", "meaning", title_justify="left")
        for own in found.own:
            table.add_row(*own)
        console().print(table)
    if found.needs_budget:
        typer.echo("It needs a budget.")


def _reads(inputs: "Sequence[Column]") -> str:
    return ", ".join(c.name + ("?" if c.optional else "") for c in inputs) or "nothing"
