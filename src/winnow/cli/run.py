"""`winnow run` and `winnow check`."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.cli.common import DEFAULT_HOME, Home, Limit, RecipePath, console, plain

if TYPE_CHECKING:
    from winnow.pipeline.publish.version import Version
    from winnow.stages.base import StageResult
    from winnow.stages.chain import Report


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(check)


def run(
    recipe: RecipePath,
    home: Home = DEFAULT_HOME,
    limit: Limit = None,
    retry_errors: Annotated[
        bool,
        typer.Option(
            "--retry-errors", help="Ask anew also for answers whose failure was taken for final."
        ),
    ] = False,
) -> None:
    """Make whatever a recipe's training set still lacks, and publish it.

    Answers, verdicts and features that exist under their names are used as they are; a run that was
    stopped goes on where it was.
    """
    from winnow.assets.report import report_run
    from winnow.cli.progress import TerminalProgress
    from winnow.stages import chain
    from winnow.stages.base import Context

    with TerminalProgress() as progress:
        ctx = replace(Context.of(recipe, home, limit, progress), retry_errors=retry_errors)
        report = chain.run(ctx, lambda result: progress.note(_line(result)))
        report_run(home, ctx, report.stages)
    summary(report)


def check(recipe: RecipePath, home: Home = DEFAULT_HOME, limit: Limit = None) -> None:
    """Validate a recipe and print what a run would do and spend; nothing is sampled.

    The sources are read, so that bad rows show now and not after the sampling.
    """
    from rich.table import Table

    from winnow.stages.base import Context
    from winnow.stages.plan import plan

    found = plan(Context.of(recipe, home, limit))
    out = console()
    table = Table("", "", title=plain(f"Plan of {recipe}"), show_header=False, title_justify="left")
    for name, value in found.lines():
        table.add_row(plain(name), plain(value))
    out.print(table)
    if found.drops:
        drops = Table("dropped at ingestion", "rows", title_justify="left")
        for rule, count in found.drops.items():
            drops.add_row(plain(rule), str(count))
        out.print(drops)
    typer.echo("The recipe is valid.")


def summary(report: "Report") -> None:
    """The table at the end of a run, the version's path, and how to load it."""
    from rich.table import Table

    out = console()
    table = Table("stage", "rows", "kept", "dropped, by reason", "time", title_justify="left")
    for row in _rows(report):
        table.add_row(*map(plain, row))
    out.print(table)
    version = report.version
    for line in _empty(version):
        typer.echo(plain(line))
    name, split = _largest(version)
    typer.echo(f"version {version.ref}")
    typer.echo(plain(_shown(version.path)))
    typer.echo()
    typer.echo("from datasets import load_dataset")
    typer.echo(plain(f'{name} = load_dataset("{_shown(version.path)}", "{name}", split="{split}")'))


def _rows(report: "Report") -> list[tuple[str, str, str, str, str]]:
    by = {result.stage: result for result in report.stages}
    rows: list[tuple[str, str, str, str, str]] = []
    drops = _drops(report.version)
    if "prompts" in by:
        counts = by["prompts"].counts
        rows.append(("rows in", str(counts["rows_in"]), str(counts["kept"]),
                     drops.get("prompts", ""), _time(by["prompts"])))  # fmt: skip
        counts, cost = by["rollouts"].counts, by["rollouts"].cost
        fates = f"{counts['truncated']} truncated, {counts['errors']} errors"
        if beyond := counts.get("beyond_n"):
            fates += f", {beyond} beyond sampling.n"
        rate = "".join(
            f", {cost[name]:{form}} {what}"
            for name, form, what in (
                ("answers_reused", ",.0f", "reused"),
                ("tokens_per_second", ".0f", "tokens/s"),
                ("cost", ".4g", "cost"),
            )
            if cost.get(name)
        )
        rows.append(("answers", str(counts["rollouts"]), str(counts["stopped"]), fates,
                     _time(by["rollouts"]) + rate))  # fmt: skip
        counts = by["verdicts"].counts
        judged = counts["correct"] + counts["wrong"]
        fates = f"{counts['wrong']} wrong, {counts['unjudged']} unjudged"
        rows.append(("judged", str(judged), f"{counts['correct']} correct", fates,
                     _time(by["verdicts"])))  # fmt: skip
        counts = by["audit"].counts
        rows.append(("audited", str(counts["tasks"]), f"{counts['suspects']} suspect references",
                     "", _time(by["audit"])))  # fmt: skip
        counts = by["difficulty"].counts
        fates = f"{counts['solved']} always solved, {counts['hopeless']} never"
        rows.append(("difficulty", str(counts["tasks"]), f"{counts['between']} between", fates,
                     _time(by["difficulty"])))  # fmt: skip
        counts = by["clusters"].counts
        rows.append(("clusters", str(counts["prompts"]), f"{counts['clusters']} clusters", "",
                     _time(by["embeddings"])))  # fmt: skip
        counts = by["scores"].counts
        rows.append(("scores", str(counts["scored"]), f"{counts['selected']} selected", "",
                     _time(by["scores"])))  # fmt: skip
    published = by["training_set"]
    for name, splits in sorted(report.version.rows.items()):
        kept = " + ".join(
            f"{count} {split}" for split, count in sorted(splits.items(), reverse=True)
        )
        total = _candidates(report.version, name)
        rows.append((name, str(total), kept, drops.get(f"training_set/{name}", ""),
                     _time(published)))  # fmt: skip
    return rows


def _drops(version: "Version") -> dict[str, str]:
    """`12 verdict, 3 uds` by stage, from the version's manifest."""
    found: dict[str, Counter[str]] = {}
    for entry in version.manifest()["decisions"]:
        if entry["decision"] != "kept":
            found.setdefault(entry["stage"], Counter())[entry["rule"]] += entry["rows"]
    return {
        stage: ", ".join(f"{count} {rule}" for rule, count in counts.most_common())
        for stage, counts in found.items()
    }


def _candidates(version: "Version", name: str) -> int:
    stage = f"training_set/{name}"
    return sum(e["rows"] for e in version.manifest()["decisions"] if e["stage"] == stage)


def _time(result: "StageResult") -> str:
    return "up to date" if result.skipped else f"{result.cost.get('seconds', 0.0):.1f} s"


def _empty(version: "Version") -> list[str]:
    """A line for each set, and each split, without rows: who loads them would be told nothing useful."""
    why = _drops(version)
    found = []
    for name, splits in sorted(version.rows.items()):
        empty = sorted((split for split, rows in splits.items() if not rows), reverse=True)
        if len(empty) == len(splits):
            reason = why.get(f"training_set/{name}", "nothing came in question")
            found.append(f"{name} is empty ({reason}); `datasets` opens no empty split")
        elif empty:
            found.append(f"{name} has no rows in {empty[0]}; `datasets` opens no empty split")
    return found


def _largest(version: "Version") -> tuple[str, str]:
    """What to open first: a split with rows, where there is one."""
    return max(
        ((name, split) for name, splits in version.rows.items() for split in splits),
        key=lambda key: (
            version.rows[key[0]][key[1]] > 0,
            key[1] == "train",
            key[0] == "sft",
            version.rows[key[0]][key[1]],
        ),
    )


def _shown(path: Path) -> Path:
    """Relative to where the user is, if that is shorter to read."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def _line(result: "StageResult") -> str:
    counts: Any = ", ".join(f"{value} {name}" for name, value in result.counts.items())
    return f"{result.stage}: {counts} ({_time(result)})"
