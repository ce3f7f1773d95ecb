"""`winnow train-proxy`."""

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.common import InputFile


def register(app: typer.Typer) -> None:
    app.command("train-proxy")(train_proxy)


def train_proxy(
    input: InputFile = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Where the losses go, a .parquet file.", show_default=False),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Small causal model: a folder, or a Hugging Face id.")
    ] = "smollm2-135m-instruct",
    steps: Annotated[int, typer.Option(min=1, help="Steps of the training.")] = 300,
    checkpoints: Annotated[
        int,
        typer.Option(min=1, help="How often the losses of all rows are taken, evenly spaced."),
    ] = 12,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a step.")] = 16,
    learning_rate: Annotated[
        float, typer.Option(help="Of AdamW, at the end of the warm-up; cosine from there.")
    ] = 2e-5,
    warmup: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the steps that warm up.")
    ] = 0.03,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Train on a random sample of so many rows.", show_default="all"),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=2, help="Tokens of a row that the model reads.")
    ] = 512,
) -> None:
    """Fine-tune a small model on rows and record every row's loss on the way, for `select s2l`.

    A row has `messages`, or `prompt`, `instruction` (with `input`), `question` or `problem`; and
    `completion`, `response`, `output`, `solution` or `answer`. The output has `row_id` and `losses`:
    the mean loss of the response's tokens at each checkpoint, nats, null where none of them is within
    the limit. Runs on a GPU where torch has one. What a stopped run has finished stays in
    OUTPUT.work, from which the same command goes on.

        winnow train-proxy --input sft.parquet --output losses.parquet --steps 300
        winnow select s2l --input sft.parquet --features losses.parquet --output chosen.parquet --budget 0.1
    """
    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.row_files import RowFile
    from winnow.stages.trajectories import train_proxy as train

    if input is None or output is None:
        raise UsageError("--input and --output are both needed")
    settings = {
        "steps": steps,
        "checkpoints": checkpoints,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "warmup": warmup,
        "seed": seed,
        "rows": rows,
        "max_tokens": max_tokens,
    }
    with TerminalProgress() as progress:
        found = train(RowFile(input), output, model=model, settings=settings, progress=progress)
    if found.known:
        typer.echo(f"{output} was there already, made from just this")
    at = ", ".join(map(str, found.times))
    typer.echo(f"{found.rows} rows: losses after steps {at}")
    if found.without:
        typer.echo(f"  {found.without} without a response within {max_tokens} tokens")
