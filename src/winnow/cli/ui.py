"""`winnow ui`: the Dagster UI on this machine."""

import typer


def register(app: typer.Typer) -> None:
    del app
