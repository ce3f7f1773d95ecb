"""`winnow browse`: the pages of one version on this machine."""

from typing import Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home


def register(app: typer.Typer) -> None:
    app.command()(browse)


def browse(
    version: Annotated[
        str,
        typer.Argument(
            help="A folder, dataset@id (or the id's beginning), dataset@latest.",
            show_default=False,
        ),
    ],
    home: Home = DEFAULT_HOME,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 0,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the first page in the browser.")
    ] = False,
) -> None:
    """Look at a version in the browser: filter and search its rows, page through its views, read all
    answers to a prompt side by side with their verdicts, and follow why a row was kept or dropped.

    Serves this machine only, and only reads. Answers and verdicts come from the tables of the run in
    the home folder; without them the pages show what the version itself holds.
    """
    from winnow.pipeline.publish.browse.serve import serve
    from winnow.pipeline.publish.version import resolve

    def ready(url: str) -> None:
        typer.echo(f"{found.ref}: {url}  (Ctrl-C stops it)")
        if open_page:
            import webbrowser

            webbrowser.open(url)

    found = resolve(version, home)
    try:
        serve(found, home, port, ready)
    except KeyboardInterrupt:
        typer.echo("stopped")
