"""`winnow dedup` and `winnow decontaminate`."""

import os
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.cli.common import InputFile, OutputFile, console, short

if TYPE_CHECKING:
    from winnow.pipeline.contracts import Embedder

_EMBEDDER = "all-minilm-l6-v2"


class Method(StrEnum):
    exact = "exact"
    minhash = "minhash"
    semantic = "semantic"


class Rule(StrEnum):
    coverage = "coverage"
    ngram = "ngram"
    exact = "exact"
    semantic = "semantic"
    all = "all"


_Column = Annotated[str, typer.Option(help="Column that holds the text.")]
_Embedder = Annotated[str, typer.Option(help="Model of the embeddings, for `semantic`.")]


def register(app: typer.Typer) -> None:
    app.command()(dedup)
    app.command()(decontaminate)


def dedup(
    method: Annotated[
        Method,
        typer.Option(
            help="exact: the same text (case and white space aside); minhash: the same words, to a "
            "Jaccard similarity; semantic: near embeddings.",
        ),
    ] = Method.minhash,
    input: InputFile = None,
    output: OutputFile = None,
    column: _Column = "text",
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Similarity of duplicates (Jaccard, or cosine).",
            show_default="0.7 for minhash, 0.9 for semantic",
        ),
    ] = None,
    per_template: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Keep so many prompts that differ only by numbers, names of variables or the order "
            "of options.",
            show_default="all",
        ),
    ] = None,
    prefer: Annotated[
        str | None,
        typer.Option(
            help="Column that ranks a group's rows: the largest number or longest text survives.",
            show_default="the longest text",
        ),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(
            help="Column of ready vectors for `semantic` (lists of floats).", show_default=False
        ),
    ] = None,
    embedder: _Embedder = _EMBEDDER,
) -> None:
    """Find duplicates. Two prompts that differ by a number are never duplicates: they are one template.

    The output has the same rows in the same order, and `group_id` (equal for duplicates),
    `template_id` (equal for prompts that differ only by numbers, names of variables or the order of
    options), `keep`, and `reason` (why not). Which row of a group survives is a rule, not an accident
    of the order: the one that `--prefer` ranks first, else the longest.

        winnow dedup --method minhash --input prompts.parquet --output marked.parquet --column prompt
    """
    import pyarrow as pa

    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.clean.dedup import deduplicate
    from winnow.pipeline.errors import UsageError

    source, output = _files(input, output)
    given = vectors
    field = source.schema.field(column).type if _has(source, column) and source.schema else None
    if field is not None and (pa.types.is_list(field) or pa.types.is_fixed_size_list(field)):
        given = given or column  # `--column` names vectors
        if method is not Method.semantic:
            raise UsageError(f"{source.path}: {column}: holds vectors; they need --method semantic")
    source.require(column, "--column")
    texts = None if given == column else source.texts(column)
    found_vectors = None
    with TerminalProgress() as progress:
        if method is Method.semantic:
            if given is not None:
                source.require(given, "--vectors")
                found_vectors = _vectors(source, given)
            else:
                assert texts is not None
                progress.note(f"embedding {len(texts)} texts with {embedder}")
                found_vectors = _embedded(_open_embedder(embedder), texts, progress)
        names = _names(found_vectors) if texts is None else texts.to_pylist()
        result = deduplicate(
            names,
            method.value,
            vectors=found_vectors,
            threshold=threshold,
            per_template=per_template,
            prefer=None if prefer is None else [_ranks(source, prefer)],
            tiebreak=_whole_rows(source),
            workers=len(os.sched_getaffinity(0)),
            progress=progress,
        )
    _write(source, output, result)
    dropped = Counter(
        (reason or "").partition(" ")[0]
        for reason, keep in zip(
            result["reason"].to_pylist(), result["keep"].to_pylist(), strict=True
        )
        if not keep
    )
    kept = result.num_rows - dropped.total()
    reasons = "".join(f"; {n} {why}" for why, n in dropped.most_common())
    typer.echo(f"{result.num_rows} rows: {kept} kept{reasons}")
    typer.echo(f"{len(set(result['template_id'].to_pylist()))} templates")


def decontaminate(
    input: InputFile = None,
    output: OutputFile = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="Evaluation items: .parquet or .jsonl; may stand several times.",
            show_default=False,
        ),
    ] = None,
    column: _Column = "text",
    against_column: Annotated[str, typer.Option(help="Column of the evaluation text.")] = "text",
    rule: Annotated[
        list[Rule] | None,
        typer.Option(
            help="What counts as a hit; may stand several times. coverage: more than half of an "
            "item's words in shared 8-grams (TULU 3); ngram: one shared n-gram (--n); exact: equal "
            "without digits and punctuation; semantic: a near embedding and similar words.",
            show_default="coverage and exact",
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option(min=1, help="Words of the rule ngram.", show_default="13")
    ] = None,
    answer_column: Annotated[
        str | None,
        typer.Option(help="The rows' reference answers, to compare.", show_default=False),
    ] = None,
    against_answer_column: Annotated[
        str | None, typer.Option(help="The evaluation items' answers.", show_default=False)
    ] = None,
    show_boilerplate: Annotated[
        bool,
        typer.Option(
            "--show-boilerplate", help="List n-grams so frequent that they count for less."
        ),
    ] = False,
    embedder: _Embedder = _EMBEDDER,
) -> None:
    """Find evaluation items in training prompts, with the evidence.

    The output has the same rows in the same order, and `contaminated`, `hit_file`, `hit_row` (from
    0), `hit_score` and `evidence` (the rule and the words that are shared).

        winnow decontaminate --input train.parquet --against math500.parquet --output marked.parquet \\
          --column problem --against-column problem --rule all
    """
    from rich.table import Table

    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.clean.decontaminate import (
        RESULT,
        DecontaminateConfig,
        Decontaminator,
        EvaluationSet,
    )
    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.progress import Step
    from winnow.pipeline.row_files import RowFile, RowWriter

    source, output = _files(input, output)
    if not against:
        raise UsageError("--against is missing: name at least one file of evaluation items")
    source.require(column, "--column")
    twice = [str(path) for path, times in Counter(against).items() if times > 1]
    if twice:
        raise UsageError(f"--against {twice[0]}: stands twice")
    sets = []
    for path in against:
        file = RowFile(path)
        file.require(against_column, "--against-column")
        answers = None
        if against_answer_column is not None:
            file.require(against_answer_column, "--against-answer-column")
            answers = _as_text(file, against_answer_column)
        sets.append(EvaluationSet(str(path), file.texts(against_column), answers))
    settings: dict[str, Any] = {"rules": [r.value for r in rule]} if rule else {}
    if n is not None:
        settings["ngram_n"] = n
    config = DecontaminateConfig(**settings)
    asked = _open_embedder(embedder) if "semantic" in config.active else None
    made = Decontaminator(sets, config, asked)
    if answer_column is not None:
        source.require(answer_column, "--answer-column")
    done = 0
    with TerminalProgress() as progress:
        texts = source.texts(column)
        given = _as_text(source, answer_column) if answer_column is not None else None
        result = made.check(texts, answers=given, progress=progress)
        with RowWriter(output, source, RESULT) as writer:
            for batch in source.batches():
                part = result.slice(batch.start, len(batch)).combine_chunks()
                columns = {name: _one(part[name]) for name in RESULT.names}
                writer.write(batch, columns)
                done += len(batch)
                progress.step(Step("write", done, source.num_rows, "rows"))
    hits = sum(result["contaminated"].to_pylist())
    typer.echo(f"{source.num_rows} rows: {hits} contaminated")
    report = made.report()
    table = Table(*report.column_names, title_justify="left")
    for row in report.to_pylist():
        table.add_row(*(short(value, 60) for value in row.values()))
    console().print(table)
    if show_boilerplate:
        for row in made.boilerplate().slice(0, 50).to_pylist():
            typer.echo("  " + "  ".join(short(value, 100) for value in row.values()))


def _files(input: Path | None, output: Path | None) -> Any:
    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.row_files import RowFile

    if input is None or output is None:
        raise UsageError("--input and --output are both needed")
    return RowFile(input), output


def _has(source: Any, column: str) -> bool:
    return column in source.columns


def _one(column: Any) -> Any:
    import pyarrow as pa

    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _write(source: Any, output: Path, result: Any) -> None:
    from winnow.pipeline.row_files import RowWriter

    with RowWriter(output, source, result.schema) as writer:
        for batch in source.batches():
            part = result.slice(batch.start, len(batch))
            writer.write(batch, {name: _one(part[name]) for name in result.column_names})


def _open_embedder(name: str) -> "Embedder":
    from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
    from winnow.pipeline.models import resolve_embedder

    return SentenceTransformerEmbedder(resolve_embedder(name))


def _embedded(embedder: "Embedder", texts: Any, progress: Any) -> Any:
    import numpy as np

    from winnow.pipeline.progress import Step

    parts = []
    for start in range(0, len(texts), 1024):
        part = [text or "" for text in texts.slice(start, 1024).to_pylist()]
        parts.append(embedder.embed(part))
        progress.step(Step("embed", start + len(part), len(texts), "texts"))
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def _vectors(source: Any, column: str) -> Any:
    import numpy as np

    from winnow.pipeline.errors import UsageError

    parts = []
    for batch in source.batches([column]):
        values = batch.column(column)
        sizes = {len(value) if value is not None else None for value in values}
        if len(sizes) != 1 or None in sizes:
            raise UsageError(
                f"{source.path}, rows from {batch.start}: {column}: vectors are missing or differ in "
                "length"
            )
        parts.append(np.asarray(values, np.float32))
    if len({part.shape[1] for part in parts}) > 1:
        raise UsageError(f"{source.path}: {column}: vectors differ in length")
    if not parts:
        return np.zeros((0, 1), np.float32)
    vectors = np.concatenate(parts)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _names(vectors: Any) -> list[str]:
    """A word for every vector that has no text: equal for equal vectors, and without digits, which
    would make two of them different questions."""
    import hashlib

    letters = str.maketrans("0123456789", "ghijklmnop")
    digests = (hashlib.blake2b(vector.tobytes(), digest_size=16) for vector in vectors)
    return ["vector" + each.hexdigest().translate(letters) for each in digests]


def _ranks(source: Any, column: str) -> Any:
    """A number per row: itself, or a text's length. Nulls come last."""
    import numpy as np

    source.require(column, "--prefer")
    found: list[float] = []
    for batch in source.batches([column]):
        for value in batch.column(column):
            if isinstance(value, int | float):
                found.append(float(value))
            else:
                found.append(-1.0 if value is None else float(len(str(value))))
    return np.asarray(found)


def _whole_rows(source: Any) -> list[str]:
    """Each row as text: what tells two rows of one text apart, whatever their order."""
    import json

    return [
        json.dumps(row, sort_keys=True, default=str)
        for batch in source.batches()
        for row in (batch.rows if isinstance(batch.rows, list) else batch.rows.to_pylist())
    ]


def _as_text(source: Any, column: str) -> Any:
    import pyarrow as pa

    values = [v for batch in source.batches([column]) for v in batch.column(column)]
    return pa.array([None if v is None else str(v) for v in values], pa.large_string())
