"""`winnow compare`."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from winnow.cli.common import DEFAULT_HOME, Home, assignments, console, plain, short
from winnow.cli.select import FeatureFiles, InputColumns

if TYPE_CHECKING:
    from winnow.pipeline.progress import Progress
    from winnow.pipeline.row_files import RowFile
    from winnow.selectors.comparison.runs import Contender
    from winnow.selectors.comparison.tables import Comparison
    from winnow.stages.missing_features import Models

_WIDTH = 100
_ACROSS = 8  # overlaps side by side
_PAIRS = 12  # overlaps that are listed where there are more
_WORDS = ("and", "prefers")  # columns of words
_RECIPES = (".yaml", ".yml")


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    pool: Annotated[
        Path,
        typer.Argument(
            help="A recipe (.yaml) that has run in the home, or a table of rows (.parquet, .jsonl).",
            metavar="RECIPE",
            show_default=False,
        ),
    ],
    selectors: Annotated[
        str,
        typer.Option(
            help="Who chooses, with commas between; LABEL=NAME names a run, so that a selector can "
            "stand twice.",
            metavar="A,B,...",
            show_default=False,
        ),
    ],
    budget: Annotated[
        str,
        typer.Option(
            help="How much each selects: rows (1000), a share with a decimal point (0.1), or tokens "
            "(50000tok, by the column n_tokens).",
            show_default=False,
        ),
    ],
    home: Home = DEFAULT_HOME,
    rows: Annotated[
        Literal["answers", "tasks"],
        typer.Option(help="What a row of a recipe's pool is: each judged answer, or each task."),
    ] = "answers",
    features: FeatureFiles = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the picture and the tables; files of an earlier comparison are replaced.",
            show_default="`comparison` beside the table, or in the recipe's dataset folder",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random draw.")] = 0,
    set: Annotated[
        list[str] | None,
        typer.Option(
            help="A parameter of one selector, NAME.key=value; the value is JSON or text.",
            metavar="NAME.KEY=VALUE",
        ),
    ] = None,
    column: InputColumns = None,
    baseline: Annotated[
        bool, typer.Option("--baseline/--no-baseline", help="Add the selector `random`.")
    ] = True,
    clusters: Annotated[
        int,
        typer.Option(
            min=1,
            help="Clusters to make of the embeddings where the pool has no column `cluster`; at most "
            "one for every ten rows.",
        ),
    ] = 100,
    model: Annotated[
        str | None,
        typer.Option(
            help="Model for features that a selector needs and the pool lacks.",
            show_default="the recipe's scoring model; none for a table",
        ),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(
            help="The same for embeddings.",
            show_default="the recipe's embedder; none for a table",
        ),
    ] = None,
    picture: Annotated[
        bool, typer.Option("--picture/--no-picture", help="Draw comparison.png and comparison.svg.")
    ] = True,
) -> None:
    """Run several selectors over one pool at one budget, and show what each of them prefers.

    Prints and draws the overlap of the choices (Jaccard), their difficulty, length, clusters and
    sources beside the pool's, and the time and memory that each selector took. Writes summary.parquet,
    jaccard.parquet, selections.parquet (every row under every selector), comparison.png and
    comparison.svg. A selector whose columns the pool lacks is left out, with the reason.

    Each selector runs in a process of its own, one after another. Time is the wall time of choosing,
    libraries loaded and columns read; memory is what its columns hold and the resident memory that
    choosing took on top.

        winnow compare data/recipes/quickstart.yaml --selectors pass_rate,kmeans,uds --budget 0.1
        winnow compare rows.parquet --features emb.parquet --selectors k8=kmeans,k64=kmeans --set k8.clusters=8 --set k64.clusters=64 --budget 500
    """
    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.row_files import RowFile
    from winnow.selectors.budget import Budget
    from winnow.selectors.comparison.compare import compare_files, write
    from winnow.selectors.comparison.picture import check_matplotlib
    from winnow.selectors.comparison.runs import contenders
    from winnow.stages.missing_features import Models

    # Whatever can be wrong is found before anything is spent.
    Budget.parse(budget)
    names = [each for each in selectors.split(",") if each.strip()]
    chosen = contenders(names, assignments(set, "--set"), baseline="random" if baseline else None)
    if picture:
        check_matplotlib()
    extra = [RowFile(path) for path in features or []]
    is_recipe = pool.suffix.lower() in _RECIPES
    with (
        tempfile.TemporaryDirectory(prefix="winnow-pool-") as scratch,
        TerminalProgress() as progress,
    ):
        if is_recipe:
            source, folder, models = _recipe_pool(pool, home, rows, Path(scratch), progress)
        else:
            source, folder, models = _table(pool), pool.parent / "comparison", Models()
        models = replace(models, model=model or models.model, embedder=embedder or models.embedder)
        folder = output or folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot be made ({error.strerror}); --output names another"
            ) from None
        extra += _computed(source, extra, chosen, models, home, Path(scratch), is_recipe, progress)
        found = compare_files(
            chosen,
            source,
            extra,
            budget=budget,
            seed=seed,
            columns=assignments(column, "--column", as_text=True),
            clusters=clusters,
            progress=progress,
        )
        what = f"{rows} of {pool.stem}" if is_recipe else f"rows of {pool.name}"
        title = f"{found.traits.rows:,} {what}, budget {budget}"
        progress.note("drawing the picture" if picture else "writing the tables")
        paths = write(found, folder, title, picture=picture)
    _print(found, plain(title))
    for path in paths:
        typer.echo(str(path))


def _table(path: Path) -> "RowFile":
    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.row_files import RowFile

    if path.suffix.lower() not in (".parquet", ".pq", ".jsonl", ".ndjson"):
        raise UsageError(
            f"{path}: is neither a recipe (.yaml) nor a table of rows (.parquet, .jsonl)"
        )
    return RowFile(path)


def _as_file(table: Any, path: Path) -> "RowFile":
    import pyarrow.parquet as pq

    from winnow.pipeline.row_files import RowFile

    pq.write_table(table, path)
    return RowFile(path)


def _recipe_pool(
    recipe: Path, home: Path, rows: Literal["answers", "tasks"], scratch: Path, progress: "Progress"
) -> tuple["RowFile", Path, "Models"]:
    """The pool of a recipe's last run as a file, where its comparison goes, and the recipe's models."""
    from winnow.stages.base import Context
    from winnow.stages.missing_features import recipe_models
    from winnow.stages.selection_pool import pool_table

    ctx = Context.of(recipe, home, progress=progress)
    source = _as_file(pool_table(ctx, rows), scratch / f"{rows}.parquet")
    return source, home / ctx.recipe.dataset / "comparison", recipe_models(ctx)


def _computed(
    source: "RowFile",
    features: Sequence["RowFile"],
    chosen: Sequence["Contender"],
    models: "Models",
    home: Path,
    scratch: Path,
    is_recipe: bool,
    progress: "Progress",
) -> list["RowFile"]:
    """Features that the selectors need and nothing holds, as files."""
    from winnow.selectors.rows import FileRows
    from winnow.stages.missing_features import compute_missing, missing_needs

    rows = FileRows(source)
    needs = missing_needs(
        rows,
        [FileRows(file) for file in features],
        [[c.name for c in each.inputs if not c.optional] for each in chosen],
        partly=is_recipe,
    )
    tables = compute_missing(home, rows, needs, models, progress)
    return [_as_file(table, scratch / f"features{at}.parquet") for at, table in enumerate(tables)]


# What is printed


def _print(found: "Comparison", title: str) -> None:
    from rich import box

    rows = found.summary.to_pylist()
    ran = [row for row in rows if row["status"] == "ran"]
    typer.echo(title)
    _table_of(_choices(found, ran), "what each chose", box.SIMPLE_HEAD)
    _table_of(_costs(ran), "coverage and cost", box.SIMPLE_HEAD)
    cells, title = _overlaps(found)
    if cells:
        _table_of(cells, title, box.SIMPLE_HEAD)
    if found.traits.source is not None:
        _table_of(_sources(ran), "sources, share of the rows", box.SIMPLE_HEAD)
    for line in _notes(found, rows):
        typer.echo(line)


def _table_of(cells: list[list[str]], title: str, box: Any) -> None:
    """A table with the first row as its head; figures are right-aligned."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    out.width = min(out.width, _WIDTH)
    table = Table(title=title, title_justify="left", box=box, padding=(0, 1, 0, 0))
    for at, name in enumerate(cells[0]):
        table.add_column(
            Text(name), justify="left" if at == 0 or name in _WORDS else "right", overflow="fold"
        )
    for row in cells[1:]:
        table.add_row(*map(Text, row))
    out.print(table)


def _choices(found: "Comparison", ran: Sequence[dict[str, Any]]) -> list[list[str]]:
    traits = found.traits
    head = ["selector", "rows"]
    if traits.tokens is not None:
        head.append("tokens")
    if traits.difficulty is not None:
        head += [traits.difficulty_name, "10-90 %"]
    if traits.length is not None:
        head += [traits.length_name, "10-90 %"]
    cells = [head]
    for row in ran:
        line = [short(row["selector"], 20), f"{row['rows']:,}"]
        if traits.tokens is not None:
            line.append(_number(row["tokens"]))
        for name, there in (("difficulty", traits.difficulty), ("length", traits.length)):
            if there is not None:
                line += [_number(row[f"{name}_mean"]), _range(row, name)]
        cells.append(line)
    return cells


def _costs(ran: Sequence[dict[str, Any]]) -> list[list[str]]:
    total = ran[0]["clusters"]
    head = ["selector", *(["clusters", "evenness"] if total else [])]
    cells = [[*head, "qualify", "effective", "time", "memory", "prefers"]]
    for row in ran:
        line = [short(row["selector"], 20)]
        if total:
            line += [f"{row['clusters'] or 0} of {total}", _number(row["cluster_evenness"])]
        line += [f"{row['qualify']:,}", _number(row["effective_rows"])]
        seconds, peak = row["seconds"], row["peak_bytes"]
        line.append("" if seconds is None else f"{seconds:.2f} s")
        line.append("" if peak is None else f"{peak / 2**20:.0f} MiB")
        cells.append([*line, _preference(row, ran[0])])
    return cells


def _overlaps(found: "Comparison") -> tuple[list[list[str]], str]:
    """The matrix; where it is too wide, the pairs that overlap most."""
    pairs = {(row["a"], row["b"]): row["jaccard"] for row in found.jaccard.to_pylist()}
    labels = list(dict.fromkeys(a for a, _ in pairs))
    if len(labels) < 2:
        return [], ""
    if len(labels) <= _ACROSS:
        cells = [["selector", *(short(label, 9) for label in labels)]]
        for a in labels:
            values = ["." if a == b else _overlap(pairs[a, b]) for b in labels]
            cells.append([short(a, 20), *values])
        return cells, "overlap (Jaccard)"
    place = {label: at for at, label in enumerate(labels)}
    once = [(a, b) for a, b in pairs if place[a] < place[b]]
    once.sort(key=lambda pair: -(pairs[pair] or 0.0))
    cells = [["selector", "and", "overlap"]]
    cells += [[short(a, 20), short(b, 20), _overlap(pairs[a, b])] for a, b in once[:_PAIRS]]
    return cells, f"the {len(cells) - 1} greatest overlaps of {len(once)} (Jaccard)"


def _overlap(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _sources(ran: Sequence[dict[str, Any]]) -> list[list[str]]:
    names = [each["source"] for each in ran[0]["sources"] or []]
    shown = names[:6]
    rest = len(names) - len(shown)
    cells = [["selector", *(short(name, 11) for name in shown)]]
    cells[0] += [f"{rest} more"] if rest else []
    for row in ran:
        shares = {each["source"]: each["share"] for each in row["sources"] or []}
        line = [f"{shares.get(name, 0.0):.2f}" for name in shown]
        if rest:
            line.append(f"{sum(shares.values()) - sum(shares.get(n, 0.0) for n in shown):.2f}")
        cells.append([short(row["selector"], 20), *line])
    return cells


def _preference(row: dict[str, Any], pool: dict[str, Any]) -> str:
    """In words: a mean that is off the pool's by a fifth of its standard deviation and two standard
    errors, an evenness that is off a random draw's by 0.02 and two standard errors, a source with a
    tenth more than its share.
    """
    if row is pool or not row["rows"]:
        return ""
    words = []
    loss = (row["difficulty_measure"] or "").startswith("loss")
    for name, more, less in (
        ("difficulty", *(("harder", "easier") if loss else ("easier", "harder"))),
        ("length", "longer", "shorter"),
    ):
        shift = row[f"{name}_shift"]
        if shift is not None and abs(shift) >= max(0.2, 2 / row["rows"] ** 0.5):
            words.append(more if shift > 0 else less)
    if row["cluster_evenness"] is not None:
        off = row["cluster_evenness"] - row["evenness_by_chance"]
        k = pool["clusters"]
        error = math.sqrt((k - 1) / 2) / row["rows"] / math.log(k)  # of even clusters
        if abs(off) >= max(0.02, 2 * error):
            words.append("spread" if off > 0 else "clustered")
    before = {each["source"]: each["share"] for each in pool["sources"] or []}
    gains = [
        (each["share"] - before[each["source"]], each["source"]) for each in row["sources"] or []
    ]
    if gains and max(gains)[0] >= 0.1:
        words.append(f"+{short(max(gains)[1], 12)}")
    return ", ".join(words)


def _notes(found: "Comparison", rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        name = plain(row["selector"])
        for lack in row["lacking"] or []:
            lines.append(f"{name}: {lack['rows']:,} rows lack {lack['column']} and were set aside")
        if row["status"] == "not_run":
            lines.append(f"{name} not run: {short(row['why'], 300)}")
        elif row["status"] == "failed":
            lines.append(f"{name} FAILED: {short(row['why'], 300)}")
    if hint := _hint(found):
        lines.append(hint)
    chances = [
        row["by_chance"]
        for row in found.jaccard.to_pylist()
        if row["a"] != row["b"] and row["by_chance"] is not None
    ]
    if chances:
        low, high = f"{min(chances):.2f}", f"{max(chances):.2f}"
        span = low if low == high else f"{low} to {high}"
        lines.insert(0, f"overlap of independent random draws of these sizes: {span}")
    return lines


def _hint(found: "Comparison") -> str | None:
    """How to get the features for want of which a selector did not run."""
    from winnow.stages.row_features import COLUMNS

    wanted = {c.name for run in found.runs if run.status == "not_run" for c in run.contender.inputs}
    said = " ".join(run.why or "" for run in found.runs if run.status == "not_run")
    needs = [need for need, columns in COLUMNS.items()
             if any(name in wanted and f" {name}" in said for name in columns)]  # fmt: skip
    if not needs:
        return None
    return (
        f"`winnow features --need {','.join(needs)}` makes what is missing (for --features), or name "
        "a model here: --model, --embedder"
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _range(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_q10"], row[f"{name}_q90"]
    return "" if low is None else f"{_number(low)} to {_number(high)}"
