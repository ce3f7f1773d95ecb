"""`winnow import-rollouts`."""

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home, Limit


def register(app: typer.Typer) -> None:
    app.command("import-rollouts")(import_rollouts)


def import_rollouts(
    file: Annotated[
        Path,
        typer.Argument(help="Parquet, JSONL, JSON or CSV.", metavar="FILE", show_default=False),
    ],
    policy: Annotated[
        str, typer.Option(help="Name of the model that wrote the answers.", show_default=False)
    ],
    sampler: Annotated[
        str, typer.Option(help="How they were drawn, in your words; recipes ask for it by name.")
    ] = "imported",
    home: Home = DEFAULT_HOME,
    limit: Limit = None,
) -> None:
    """Put answers that you already have into the store.

    A row has `prompt` (text) or `messages` (list of role and content), and `completion`; optionally
    `index`, `finish_reason` (stop, length), `n_tokens`, `token_ids`, `logprob_sum`. A recipe with
    `engine: {type: replay, policy: NAME}` then judges and selects them, without a model. The prompt
    must be what the recipe makes of its source, its `prompting` included. Importing a file twice
    adds nothing.
    """
    from itertools import islice

    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.workspace import open_store
    from winnow.synth.engines.replay import import_rollouts as put
    from winnow.synth.engines.replay import read_file

    rows = islice(read_file(file), limit)
    with open_store(
        home,
        "rollouts",
        write=True,
        on_wait=lambda who: typer.echo(f"waiting for process {who}, which is writing here"),
    ) as store:
        found = put(rows, store, policy=policy, sampler=sampler)
    typer.echo(
        f"{found.added} added, {found.known} were there already, {len(found.refused)} refused"
    )
    for number, reason in found.refused[:10]:
        typer.echo(f"{file}: row {number}: {reason}")
    if len(found.refused) > 10:
        typer.echo(f"... and {len(found.refused) - 10} more")
    if not found.added and not found.known:
        raise UsageError(f"{file}: holds no row that can be imported")
