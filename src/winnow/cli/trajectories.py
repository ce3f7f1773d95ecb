"""`winnow trajectories`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.common import InputFile, assignments


class Kind(StrEnum):
    losses = "losses"
    accuracies = "accuracies"


def register(app: typer.Typer) -> None:
    app.command()(trajectories)


def trajectories(
    kind: Annotated[
        Kind,
        typer.Option(
            help="losses: of each row at each step, for `select s2l`; accuracies: share of answers "
            "with reward 1 in each epoch, for `select limr`.",
            show_default=False,
        ),
    ],
    input: InputFile = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Where the lists go, a .parquet file.", show_default=False),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(
            help="Make one list for each row of this file (.parquet or .jsonl), named as `select` "
            "names them.",
            show_default="one for each row that the log names",
        ),
    ] = None,
    steps_per_epoch: Annotated[
        int,
        typer.Option(min=1, help="Where answers have a step and no epoch: steps of an epoch."),
    ] = 8,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Where something stands under another name, such as reward=score.",
            metavar="NAME=COLUMN",
        ),
    ] = None,
) -> None:
    """Turn a training log into one list of losses or accuracies per row.

    An entry of the log names its row (`row_id`, `prompt_id`, or the `prompt` itself). For losses it
    has `loss` and `step` (or `checkpoint`, or `epoch`); for accuracies it is one answer, with its
    `reward` and `epoch` (or `step`). An answer without a reward does not count, and an epoch without
    answers is null.

        winnow trajectories --kind accuracies --input rollouts.jsonl --output acc.parquet --rows prompts.parquet
        winnow select limr --input prompts.parquet --features acc.parquet --output chosen.parquet
    """
    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.row_files import RowFile
    from winnow.stages.trajectories import import_trajectories

    if input is None or output is None:
        raise UsageError("--input and --output are both needed")
    found = import_trajectories(
        RowFile(input),
        output,
        kind.value,
        steps_per_epoch=steps_per_epoch,
        rows=None if rows is None else RowFile(rows),
        columns=assignments(column, "--column", as_text=True),
    )
    what = "steps" if kind is Kind.losses else "epochs"
    typer.echo(f"{found.rows} rows: {kind.value} of {len(found.times)} {what}")
    if found.without:
        typer.echo(f"  {found.without} without any")
