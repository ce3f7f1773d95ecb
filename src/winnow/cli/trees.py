"""`winnow mcts`, `winnow tree`, `winnow rest-mcts` and `winnow hint-infer`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from winnow.cli.common import DEFAULT_HOME, Home, Limit, RecipePath, plain

if TYPE_CHECKING:
    import pyarrow as pa

    from winnow.stages.base import Context, StageResult


def register(app: typer.Typer) -> None:
    app.command()(mcts)
    app.command()(tree)
    app.command("rest-mcts")(rest_mcts)
    app.command("hint-infer")(hint_infer)


Merge = Annotated[
    bool, typer.Option("--merge", help="Merge sibling steps that say the same (FETCH).")
]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="Ask anew for steps whose failure was final.")
]
StepTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Longest step.", show_default="the recipe's sampling.max_tokens"),
]


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
    step_tokens: StepTokens = None,
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
    merge: Merge = False,
    retry_errors: RetryErrors = False,
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
    _tell(ctx, done)


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


def rest_mcts(
    recipe: RecipePath,
    home: Home = DEFAULT_HOME,
    limit: Limit = None,
    script: Annotated[
        bool,
        typer.Option(
            "--script",
            help="Settings of the authors' generation script, not of their class: c 0.5, end gate "
            "0.8, one roll-out step, unvisited 0.9.",
        ),
    ] = False,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations of each search.")] = 50,
    branch: Annotated[int, typer.Option(min=1, help="Steps that a node is expanded by.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Most steps of a solution.")] = 10,
    c: Annotated[
        float | None,
        typer.Option(min=0.0, help="Weight of the exploration.", show_default="0.7"),
    ] = None,
    end_gate: Annotated[
        float | None,
        typer.Option(min=0.0, help="A node of this value is an end.", show_default="0.9"),
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Weight of the roll-out's best value.")
    ] = 0.5,
    rollout_steps: Annotated[
        int | None, typer.Option(min=0, help="Steps of the greedy roll-out.", show_default="3")
    ] = None,
    unvisited: Annotated[
        float | None,
        typer.Option(help="Bonus of a node that was never visited.", show_default="1.0"),
    ] = None,
    form: Annotated[
        Literal["full", "simple"],
        typer.Option(help="Values from every judged end, or from one solved path."),
    ] = "full",
    step_tokens: StepTokens = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="Temperature of a step.")] = 0.7,
    merge: Merge = False,
    retry_errors: RetryErrors = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write TRL's stepwise supervision (prompt, completions, labels): .parquet or "
            ".jsonl.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Label the steps of solutions by value-guided tree search (ReST-MCTS*).

    Searches one tree per task of the recipe, many at once. Partial solutions are valued by the model
    that judges in the recipe, where it names one, else by the policy itself; ends are judged by the
    task's verifier. Steps, values and judgements are stored as they are made, so that a run that was
    stopped goes on. Writes the table `stepwise`: each judged path, with a label and a value per step.

        winnow rest-mcts data/recipes/quickstart.yaml --iterations 10 --step-tokens 64
    """
    from dataclasses import replace

    from winnow.cli.progress import TerminalProgress
    from winnow.stages import prompts, rest_trees
    from winnow.stages.base import Context
    from winnow.synth.tree.rest import RestOptions

    if output is not None:
        _check_output(output)
    given: dict[str, Any] = {
        "c": c, "end_gate": end_gate, "rollout_steps": rollout_steps, "unvisited": unvisited,
    }  # fmt: skip
    search = replace(
        RestOptions.script() if script else RestOptions(),
        max_iterations=iterations,
        branch=branch,
        max_steps=steps,
        alpha=alpha,
        **{name: value for name, value in given.items() if value is not None},
    )
    published = rest_trees.RestTreeOptions()
    options = rest_trees.RestTreeOptions(
        search,
        replace(published.sampling, temperature=temperature),
        step_tokens=step_tokens,
        form=form,
        merge=merge,
    )
    with TerminalProgress() as progress:
        ctx = replace(Context.of(recipe, home, limit, progress), retry_errors=retry_errors)
        prompts.run(ctx)
        done = rest_trees.run(ctx, options)
    _tell(ctx, done)
    if output is not None:
        _write(ctx.workspace.read("stepwise", ["prompt", "completions", "labels"]), output)
        typer.echo(plain(str(output)))


def hint_infer(
    recipe: RecipePath,
    home: Home = DEFAULT_HOME,
    answers: Annotated[
        int, typer.Option(min=1, help="Wrong answers of a task that are hinted, from its first.")
    ] = 1,
    tries: Annotated[int, typer.Option(min=1, help="Hints that an answer gets at most.")] = 3,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Longest continuation; what is longer with its prompt and the answer before the "
            "hint than the model's context is not drawn.",
            show_default="the recipe's sampling.max_tokens",
        ),
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Ask anew for answers whose failure was final.")
    ] = False,
) -> None:
    """Find the tasks that the policy solves only with a hint (START).

    Takes the wrong answers of the recipe's last run, cuts each after a conjunction or at its end, puts
    a hint there and lets the model go on. Hinted answers and verdicts are stored as they are made, so
    that a run that was stopped goes on. Writes the table `hinted`; `kept` are those that failed plain
    and passed hinted.

        winnow hint-infer data/recipes/quickstart.yaml
    """
    from dataclasses import replace

    from winnow.cli.progress import TerminalProgress
    from winnow.stages import hinted
    from winnow.stages.base import Context

    with TerminalProgress() as progress:
        ctx = replace(Context.of(recipe, home, None, progress), retry_errors=retry_errors)
        done = hinted.run(ctx, hinted.HintOptions(answers, tries, max_tokens))
    _tell(ctx, done)


def _tell(ctx: "Context", done: "StageResult") -> None:
    """What a stage counted and spent, and where its table is."""
    for name, count in done.counts.items():
        typer.echo(f"{name.replace('_', ' ')}: {count:,}")
    for name, value in done.cost.items():
        typer.echo(f"{name.replace('_', ' ')}: {value:.4g}")
    typer.echo(str(ctx.workspace.table_path(done.stage)))


def _check_output(path: Path) -> None:
    """Raises UsageError where no rows can be written there, before anything is spent on them."""
    from winnow.pipeline.errors import UsageError

    if path.suffix.lower() not in (".parquet", ".jsonl"):
        raise UsageError(f"{path}: the name must end in .parquet, or .jsonl for JSON Lines")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")


def _write(table: "pa.Table", path: Path) -> None:
    """The table as a file, whole or not at all."""
    import os

    import polars as pl

    rows = pl.DataFrame(pl.from_arrow(table))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.suffix.lower() == ".parquet":
            rows.write_parquet(temporary)
        else:
            rows.write_ndjson(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
