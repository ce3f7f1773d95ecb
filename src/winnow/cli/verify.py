"""`winnow verify`, `winnow verifiers` and `winnow audit`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.cli.common import (
    DEFAULT_HOME,
    Home,
    InputFile,
    OutputFile,
    RecipePath,
    assignments,
    console,
    plain,
    short,
)

if TYPE_CHECKING:
    from winnow.pipeline.contracts import Engine
    from winnow.pipeline.verify.row_verdicts import Tally
    from winnow.pipeline.verify.self_test import Score


def register(app: typer.Typer) -> None:
    app.command()(verify)
    app.command()(verifiers)
    app.command()(audit)


_Timeout = Annotated[
    float, typer.Option(min=0.01, help="Seconds that one row may take before it is unjudged.")
]


def verify(
    verifier: Annotated[
        str | None,
        typer.Option(help="Who judges; `winnow verifiers` lists them.", show_default=False),
    ] = None,
    input: InputFile = None,
    output: OutputFile = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            help="An argument of the verifier for every row, key=value; the value is JSON or text.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Where an input stands in the file, such as completion=my_column.",
            metavar="INPUT=COLUMN",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="A second verifier: show where the two disagree.", show_default=False),
    ] = None,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test",
            help="Run the labelled pairs that ship with winnow and print what each verifier gets "
            "wrong (all verifiers, or the one named).",
        ),
    ] = False,
    timeout: _Timeout = 10.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that judge.", show_default="one per core")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model that the verifier `judge` asks.", show_default=False),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible server of that model; without it vLLM starts here. The key "
            "comes from the environment (OPENAI_API_KEY).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Judge the answers in a file.

    The file (Parquet or JSON Lines) has a column `completion`, mostly `answer` (the reference), and
    optionally `verifier_args` (JSON), `prompt` and `finish_reason`. The output has the same rows in
    the same order, and `verdict` (correct, wrong, unjudged), `reward`, `parts` (JSON), `extracted`
    and `detail`.

        winnow verify --verifier math --input answers.parquet --output judged.parquet
        winnow verify --verifier sql --set database=shop.sqlite --input a.jsonl --output b.jsonl
        winnow verify --self-test
    """
    from winnow.pipeline.errors import UsageError

    workers = workers or min(len(os.sched_getaffinity(0)), 8)
    if self_test:
        _self_test(verifier, workers, timeout)
        return
    for option, value in (("--verifier", verifier), ("--input", input), ("--output", output)):
        if value is None:
            raise UsageError(f"{option} is missing (winnow verify --help)")
    assert verifier is not None and input is not None and output is not None
    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.row_files import RowFile
    from winnow.pipeline.verify.row_verdicts import verify_file
    from winnow.stages.base import run_async

    source = RowFile(input)
    settings, columns = assignments(set, "--set"), assignments(column, "--column", as_text=True)

    async def judge(name: str, to: Path, progress: Any) -> "Tally":
        engine = await _engine(model, base_url)
        try:
            return await verify_file(
                name,
                source,
                to,
                columns=columns,
                settings=settings,
                workers=workers,
                timeout_seconds=timeout,
                engine=engine,
                progress=progress,
            )
        finally:
            if engine is not None:
                await engine.close()

    with TerminalProgress() as progress:
        tally = run_async(judge(verifier, output, progress))
    _print_tally(verifier, tally)
    if compare is not None:
        beside = output.with_name(f".{output.stem}.{compare}{output.suffix}")
        try:
            with TerminalProgress() as progress:
                other = run_async(judge(compare, beside, progress))
            _print_tally(compare, other)
            _print_disagreement(verifier, output, compare, beside)
        finally:
            beside.unlink(missing_ok=True)


def verifiers(
    name: Annotated[
        str | None,
        typer.Argument(help="A verifier, for its arguments.", show_default=False),
    ] = None,
) -> None:
    """List the verifiers, or say what one of them judges and which arguments it takes."""
    from rich.table import Table

    from winnow.pipeline.verify import get_verifier, verifier_names
    from winnow.pipeline.verify.documentation import document

    if name is None:
        table = Table("verifier", "judges", title_justify="left")
        for each in verifier_names():
            table.add_row(each, document(get_verifier(each)).summary)
        console().print(table)
        typer.echo("winnow verifiers NAME documents one.")
        return
    found = document(get_verifier(name))
    typer.echo(f"{name} (version {found.version})\n\n{found.text}\n")
    if found.arguments:
        table = Table("argument", "type", "default", "meaning", title_justify="left")
        for row in found.arguments:
            table.add_row(*row)
        console().print(table)
    else:
        typer.echo("It takes no arguments.")
    if not found.needs_answer:
        typer.echo("It needs no reference answer.")
    for line in found.notes:
        typer.echo(line)


def audit(
    recipe: RecipePath,
    home: Home = DEFAULT_HOME,
    limit: Annotated[int, typer.Option(min=1, help="List at most so many suspects.")] = 50,
    output: Annotated[
        Path | None,
        typer.Option(help="Write every audited task to this Parquet file.", show_default=False),
    ] = None,
) -> None:
    """List prompts whose answers agree with each other and not with the reference.

    Such a reference is suspect: the key may be wrong, or not be the question's. It reads what the
    recipe's last run recorded and samples nothing. `suspects: drop` in a set leaves them out.
    """
    import pyarrow.parquet as pq
    from rich.table import Table

    from winnow.stages import audit as stage
    from winnow.stages.base import Context

    ctx = Context.of(recipe, home)
    counts = stage.run(ctx).counts
    found = ctx.workspace.read("audit")
    suspects = found.filter(found["suspect"])
    suspects = suspects.sort_by([("majority_share", "descending"), ("task_id", "ascending")])
    table = Table(
        "task", "reference", "answers agree on", "votes", "for the reference", "judged", "why",
        title=f"{suspects.num_rows} suspect references of {found.num_rows} audited tasks",
        title_justify="left",
    )  # fmt: skip
    for row in suspects.slice(0, limit).to_pylist():
        table.add_row(
            row["task_id"][:12],
            short(row["reference"], 40),
            short(row["majority_answer"], 40),
            str(row["n_majority"]),
            str(row["n_agree_reference"]),
            str(row["n_judged"]),
            short(row["reason"] or "", 60),
        )
    console().print(table)
    if suspects.num_rows > limit:
        typer.echo(f"... and {suspects.num_rows - limit} more (--limit, --output)")
    if output is not None:
        pq.write_table(found, output, compression="zstd")
    typer.echo(
        f"{counts['agreed']} tasks have answers that credibly agree, {counts['agreed_with_reference']} "
        "of them with the reference: where that is a small share, the policy mostly agrees on "
        "mistakes, and suspects say little"
    )
    doubts = found.num_rows - found["doubt"].null_count
    if doubts:
        typer.echo(
            f"{doubts} tasks agree on the reference in another reading: there the verifier, not the "
            "reference, is in doubt (--output lists them)"
        )


async def _engine(model: str | None, base_url: str | None) -> "Engine | None":
    if model is None:
        return None
    from winnow.pipeline.recipe import OpenAIEngine, VLLMEngine
    from winnow.synth.engines import registry

    if base_url is not None:
        return await registry.start(OpenAIEngine(type="openai", model=model, base_url=base_url))
    return await registry.start(VLLMEngine(model=model))


def _print_tally(name: str, tally: "Tally") -> None:
    total = sum(tally.verdicts.values())
    counts = ", ".join(f"{tally.verdicts[v]} {v}" for v in ("correct", "wrong", "unjudged"))
    typer.echo(f"{name}: {total} rows: {counts}")
    for (verdict, detail), count in tally.details.most_common(10):
        typer.echo(f"  {count} {verdict}: {plain(detail)}")


def _print_disagreement(first: str, a: Path, second: str, b: Path) -> None:
    from winnow.pipeline.row_files import RowFile
    from winnow.pipeline.verify import disagreement
    from winnow.pipeline.verify.row_verdicts import COLUMNS

    tables = [_verdicts(RowFile(path), COLUMNS) for path in (a, b)]
    report = disagreement.compare(*tables, names=(first, second))
    for line in disagreement.lines(report):
        typer.echo(plain(line))


def _verdicts(file: Any, columns: tuple[str, ...]) -> Any:
    import pyarrow as pa

    from winnow.pipeline.verify.row_verdicts import ADDED

    batches = [
        pa.RecordBatch.from_arrays(
            [batch.array(name).cast(ADDED.field(name).type) for name in columns], schema=ADDED
        )
        for batch in file.batches()
    ]
    return pa.Table.from_batches(batches, schema=ADDED)


def _self_test(verifier: str | None, workers: int, timeout: float) -> None:
    from rich.table import Table

    from winnow.pipeline.verify import get_verifier
    from winnow.pipeline.verify.self_test import run_all, tested
    from winnow.stages.base import run_async

    if verifier is not None:
        get_verifier(verifier)
    names = tested() if verifier is None else [verifier]
    table = Table(
        "verifier", "to accept", "to reject", "false accepts", "false rejects",
        "mutations", "accepted mutations", title_justify="left",
    )  # fmt: skip
    results = run_async(run_all(names, workers=workers, timeout_seconds=timeout))
    for pairs, mutations in results:
        table.add_row(
            pairs.verifier, str(pairs.accept), str(pairs.reject),
            str(len(pairs.false_accepts)), str(len(pairs.false_rejects)),
            str(mutations.reject), str(len(mutations.false_accepts)),
        )  # fmt: skip
    console().print(table)
    failed = [score for both in results for score in both if not score.passed]
    for score in failed:
        _print_misses(score)
    if failed:
        raise typer.Exit(1)


def _print_misses(score: "Score") -> None:
    for miss in (*score.false_accepts, *score.false_rejects):
        pair, verdict = miss.pair, miss.verdict
        typer.echo(
            f"{score.verifier}, {pair.rule}: {short(pair.completion)!r} against "
            f"{short(pair.answer)!r} came out {verdict.verdict} "
            f"(reward {verdict.reward}, {short(verdict.detail)}), not {pair.expected}"
        )
