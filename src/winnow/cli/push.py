"""`winnow push`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home, plain

if TYPE_CHECKING:
    from winnow.pipeline.publish.push import Pushed
    from winnow.pipeline.publish.version import Version


_LINES = 6  # that show how to load something, at most


def register(app: typer.Typer) -> None:
    app.command()(push)


def push(
    version: Annotated[
        str,
        typer.Argument(
            help="A folder, dataset@id (or the id's beginning), dataset@latest.", show_default=False
        ),
    ],
    repo: Annotated[
        str,
        typer.Argument(help="Dataset repository on the Hub, user/name.", show_default=False),
    ],
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private where it is made.")
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(help="Branch to push to, made where there is none.", show_default="main"),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Address of the Hub.", show_default="HF_ENDPOINT, or the public one"),
    ] = None,
    with_run: Annotated[
        bool, typer.Option("--with-run", help="Send run.json, the times and costs, too.")
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Upload a version to a dataset repository of the Hugging Face Hub, and check what arrived.

    What is there already is not sent again, and a push that was stopped goes on where it was. The
    token comes from HF_TOKEN or `hf auth login`.
    """
    from huggingface_hub.utils import disable_progress_bars

    from winnow.pipeline.publish.push import push as send
    from winnow.pipeline.publish.version import resolve

    if not sys.stderr.isatty():
        disable_progress_bars()
    found = resolve(version, home)
    done = send(
        found, repo, private=private, revision=revision, endpoint=endpoint, with_run=with_run
    )
    _print(found, done)


def _print(version: "Version", done: "Pushed") -> None:
    if done.sent or done.removed:
        typer.echo(
            f"{version.ref} is at {plain(done.url)}, commit {done.commit}: {len(done.sent)} files "
            f"({done.size:,} bytes) sent, {len(done.kept)} there already, {len(done.removed)} removed; "
            "the hash of each was checked"
        )
    else:
        typer.echo(f"{plain(done.url)} holds {version.ref} already, commit {done.commit}")
    parts = {**version.rows, **version.views}
    filled = [(name, split) for name, splits in sorted(parts.items())
              for split, rows in sorted(splits.items(), reverse=True) if rows]  # fmt: skip
    if not filled:
        return
    typer.echo("\nfrom datasets import load_dataset\n")
    shown = filled
    if len(filled) > _LINES:  # one split each of the first names
        firsts: dict[str, str] = {}
        for name, split in filled:
            firsts.setdefault(name, split)
        shown = list(firsts.items())[:3]
    for name, split in shown:
        typer.echo(
            f'load_dataset("{done.repo}", "{name}", split="{split}", revision="{done.commit}")'
        )
    more: dict[str, list[str]] = {}
    for name, split in filled:
        if (name, split) not in shown:
            more.setdefault(name, []).append(split)
    if more:
        rest = "; ".join(f"{name} {', '.join(splits)}" for name, splits in more.items())
        typer.echo(f"and {len(filled) - len(shown)} more the same way: {rest}")
