"""`winnow ui`: the Dagster UI on this machine."""

import importlib.util
from typing import Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home, console

_NEEDED = ("dagster", "dagster_webserver")


def register(app: typer.Typer) -> None:
    app.command()(ui)


def ui(
    home: Home = DEFAULT_HOME,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Show the recipes as asset graphs in Dagster's UI: make, check, compare, see what is stale.

    Serves this machine only. What is made there and what `winnow run` makes are the same results.
    Dagster's history is kept in `.dagster` inside the home folder.
    """
    from winnow.pipeline.errors import UsageError

    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise UsageError("winnow ui needs Dagster (pip install 'winnow-data[dagster]')")
    from winnow.assets.server import serve

    out = console()
    out.print("starting Dagster ...")
    try:
        serve(home, port, lambda url: out.print(f"Dagster UI: {url}  (Ctrl-C stops it)"))
    except KeyboardInterrupt:
        out.print("stopped")
