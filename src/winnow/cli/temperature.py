"""`winnow tune-temperature`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home, Limit, RecipePath, console


def register(app: typer.Typer) -> None:
    app.command("tune-temperature")(tune_temperature)


def tune_temperature(
    recipe: RecipePath,
    home: Home = DEFAULT_HOME,
    limit: Limit = None,
    target: Annotated[
        float, typer.Option(min=0.0, help="Wanted entropy of a token, nats (AceReason 1.1: 0.3).")
    ] = 0.3,
    temperatures: Annotated[
        str, typer.Option(help="Temperatures to measure, with commas between.", metavar="T,...")
    ] = "0.2,0.4,0.6,0.8,1.0,1.2",
    prompts: Annotated[int, typer.Option(min=1, help="Prompts to sample, drawn by the seed.")] = 64,
    answers: Annotated[int, typer.Option(min=1, help="Answers per prompt and temperature.")] = 1,
    model: Annotated[
        str | None,
        typer.Option(help="Whose logits are read.", show_default="the engine's model"),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Read no logits; estimate from so many most likely tokens that the engine tells.",
            show_default="20, where the engine's weights are not here",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where the curve goes: .png.",
            show_default="temperature.png in the recipe's dataset folder",
        ),
    ] = None,
) -> None:
    """Find the temperature at which answers have a wanted entropy.

    Draws answers to a sample of the recipe's prompts at several temperatures, and reads in a forward
    pass the entropy (nats, full vocabulary) of softmax(logits / T) at each of their tokens. Prints the
    mean at each temperature and where the line between them reaches the target, and draws the curve.
    The answers are stored: a second call draws none, and a recipe that takes one of these temperatures
    uses them.

    Of a server whose weights are not here, it is estimated from the log-probabilities of the most
    likely tokens, which the server tells as it draws: never above the entropy, and below 1 also with a
    bound of how far below.

        winnow tune-temperature data/recipes/quickstart.yaml --prompts 32
    """
    from importlib.util import find_spec

    from rich.table import Table

    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.errors import UsageError
    from winnow.stages.base import Context
    from winnow.stages.temperature import measure
    from winnow.synth.temperature import mean_outside, picture, temperature_for, way

    try:
        wanted = sorted({float(word) for word in temperatures.split(",") if word.strip()})
    except ValueError:
        raise UsageError(f"--temperatures {temperatures}: numbers with commas between") from None
    with TerminalProgress() as progress:
        ctx = Context.of(recipe, home, limit, progress)
        points = measure(ctx, wanted, prompts=prompts, answers=answers, model=model, top_k=top_k)
    title, estimated = f"entropy of a token, nats: {way(points)}", points[0].top_k is not None
    if estimated:
        title += f"; {100 * mean_outside(points):.2g} % of the probability lies outside them"
    table = Table("temperature", "entropy", "± 2 s.e.", *(["too low by", "outside (T = 1)"] * estimated),
                  "answers", "tokens", title_justify="left", title=title)  # fmt: skip
    for p in points:
        below = f"at most {p.short:.3f}" if math.isfinite(p.short) else "unknown"
        table.add_row(f"{p.temperature:g}", f"{p.entropy:.3f}", f"{2 * p.error:.3f}",
                      *([below, f"{100 * p.outside:.2g} %"] * estimated),
                      f"{p.answers:,}", f"{p.tokens:,}")  # fmt: skip
    console().print(table)
    found = temperature_for(points, target)
    if found is None:
        low, high = min(p.entropy for p in points), max(p.entropy for p in points)
        typer.echo(
            f"no temperature between {wanted[0]:g} and {wanted[-1]:g} has {target:g}: entropies go from "
            f"{low:.3f} to {high:.3f}; name others with --temperatures"
        )
    else:
        kind = "estimated entropy" if estimated else "entropy"
        typer.echo(f"temperature {found:.2f} has an {kind} of {target:g}")
    if find_spec("matplotlib") is None:
        typer.echo("no picture: it needs matplotlib (pip install matplotlib)")
        return
    path = output or home / ctx.recipe.dataset / "temperature.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(points, target, f"{recipe.stem}: entropy by temperature"))
    typer.echo(str(path))
