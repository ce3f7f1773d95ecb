"""`winnow mcts` and `winnow tree`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from winnow.cli.common import DEFAULT_HOME, Home, Limit, RecipePath, plain


def register(app: typer.Typer) -> None:
    app.command()(mcts)
    app.command()(tree)


def mcts(
    recipe: RecipePath,
    home: Home = DEFAULT_HOME,
    limit: Limit = None,
    iterations: Annotated[
        int, typer.Option(min=1, help="Iterations before a tree is given up.")
    ] = 50,
    branch: Annotated[int, typer.Option(min=1, help="Steps that a node is expanded by.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Most steps of a solution.")] = 10,
    c: Annotated[float, typer.Option(min=0.0, help="Weight of the exploration.")] = 1.0,
    rule: Annotated[
        Literal["code", "paper"], typer.Option(help="Bound of the released code, or of the paper.")
    ] = "code",
    step_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Longest step.", show_default="the recipe's sampling.max_tokens"),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="Temperature of a step.")] = 0.5,
    judge: Annotated[
        Literal["verifier", "critic"],
        typer.Option(help="The task's verifier, or a model that is shown the reference."),
    ] = "verifier",
    needs_final: Annotated[
        bool,
        typer.Option(
            help="A solution that ends without a final answer, at the limit of its steps, is wrong; "
            "otherwise a verifier may take its last number for one.",
        ),
    ] = True,
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge sibling steps that say the same (FETCH).")
    ] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask anew for steps whose failure was final.")
    ] = False,
) -> None:
    """Measure how hard prompts are by tree search (ThinkLite-VL): iterations until one is solved.

    Searches one tree per task of the recipe, many at once. Steps and judgements are stored as they are
    made, so that a run that was stopped goes on, and one with other limits uses what is there. Writes
    the table `trees`; `winnow select mcts` chooses by it, `winnow tree` draws a tree.

        winnow mcts data/recipes/quickstart.yaml --iterations 20 --step-tokens 64
    """
    from dataclasses import replace

    from winnow.cli.progress import TerminalProgress
    from winnow.stages import prompts, trees
    from winnow.stages.base import Context
    from winnow.synth.tree.mcts import MctsOptions

    published = trees.TreeOptions()
    options = trees.TreeOptions(
        MctsOptions(iterations, branch, steps, c=c, rule=rule),
        replace(published.sampling, temperature=temperature),
        step_tokens=step_tokens,
        judge=judge,
        needs_final=needs_final,
        merge=merge,
    )
    with TerminalProgress() as progress:
        ctx = replace(Context.of(recipe, home, limit, progress), retry_errors=retry_errors)
        prompts.run(ctx)
        trees.note(ctx, recipe.read_text(), options)
        done = trees.run(ctx, options)
    for name, count in done.counts.items():
        typer.echo(f"{name.replace('_', ' ')}: {count:,}")
    for name, value in done.cost.items():
        typer.echo(f"{name.replace('_', ' ')}: {value:.4g}")
    typer.echo(str(ctx.workspace.table_path("trees")))


def tree(
    prompt_id: Annotated[
        str, typer.Argument(help="Name of a prompt, or its beginning.", show_default=False)
    ],
    home: Home = DEFAULT_HOME,
    html: Annotated[
        Path | None, typer.Option(help="Write a page instead, one per task.", show_default=False)
    ] = None,
    width: Annotated[int, typer.Option(min=40, help="Columns of the text.")] = 100,
) -> None:
    """Draw the search tree of a prompt, as far as `winnow mcts` has got with it.

    winnow tree 3fa2 --html tree.html
    """
    from winnow.pipeline.errors import UsageError
    from winnow.stages.trees import drawn_trees
    from winnow.synth.tree.draw import as_html, as_text

    found = list(drawn_trees(home, prompt_id))
    if not found:
        raise UsageError(f"{prompt_id}: no tree was searched for such a prompt in {home}")
    for at, (title, question, search) in enumerate(found):
        if html is None:
            typer.echo(as_text(search.tree, title=title, width=width))
            continue
        path = html if at == 0 else html.with_stem(f"{html.stem}-{at + 1}")
        path.write_text(as_html(search.tree, title=title, question=question), encoding="utf-8")
        typer.echo(plain(str(path)))
