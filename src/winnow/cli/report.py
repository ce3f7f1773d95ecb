"""`winnow report`."""

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home, plain


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    version: Annotated[
        str,
        typer.Argument(
            help="A folder, dataset@id (or the id's beginning), dataset@latest.", show_default=False
        ),
    ],
    home: Home = DEFAULT_HOME,
    output: Annotated[
        Path | None,
        typer.Option(help="Where the page goes.", show_default="HOME/reports/DATASET-VERSION.html"),
    ] = None,
) -> None:
    """Write one HTML file that shows a version: the funnel, pass rates, a map to search, what every
    rule dropped, what it cost.

    The file opens without a network. Signals of the run are shown as long as the recipe has not run
    again; after that the page shows what the version alone can tell.
    """
    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.publish.report import default_path, workspace_of, write
    from winnow.pipeline.publish.version import resolve

    found = resolve(version, home)
    path = output or default_path(found, home)
    with TerminalProgress() as progress:
        write(found, workspace_of(found, home), path, progress=progress)
    typer.echo(plain(path))
