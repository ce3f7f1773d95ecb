"""`winnow features`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from winnow.cli.common import DEFAULT_HOME, Home, InputFile, plain

if TYPE_CHECKING:
    from winnow.stages.row_features import Computed


def register(app: typer.Typer) -> None:
    app.command()(features)


Output = Annotated[
    Path | None, typer.Option(help="Where the features go: .parquet.", show_default=False)
]
Needs = Annotated[
    list[str] | None,
    typer.Option(
        help="What is needed, with commas or several times: logprob, uds, embedding, ifd, "
        "reference.",
        metavar="NEED,...",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Causal model: a Hugging Face id, a folder, or smollm2-135m-instruct. Only embedding "
        "does without.",
        show_default=False,
    ),
]


def features(
    input: InputFile = None,
    output: Output = None,
    need: Needs = None,
    model: Model = None,
    home: Home = DEFAULT_HOME,
    embedder: Annotated[
        str, typer.Option(help="sentence-transformers model: an id, a folder, or the default.")
    ] = "all-minilm-l6-v2",
    embed: Annotated[
        str, typer.Option(help="Text to embed: prompt, response or both.", metavar="TEXT")
    ] = "both",
    template: Annotated[
        str,
        typer.Option(
            help="How prompt and response become one text: chat (the model's template), plain, "
            "grape (Question: ... Answer: ...), or auto (chat where the model has a template).",
            metavar="TEMPLATE",
        ),
    ] = "auto",
    prompt_column: Annotated[
        str | None,
        typer.Option(
            help="The prompt: text, or a list of messages.",
            show_default="messages, prompt, instruction (+ input), question, problem or text",
        ),
    ] = None,
    response_column: Annotated[
        str | None,
        typer.Option(
            help="The response.",
            show_default="completion, response, output, solution or answer; else the last "
            "assistant turn of messages",
        ),
    ] = None,
    end: Annotated[
        bool, typer.Option(help="Score the token that ends an answer as one of the response's.")
    ] = True,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Rows of more tokens have no log-probabilities; no row is cut for them.",
            show_default="what the model can read",
        ),
    ] = None,
    uds_max_tokens: Annotated[
        int, typer.Option(min=1, help="uds reads so many tokens of a row, at most 512.")
    ] = 512,
    uds_rows: Annotated[
        str, typer.Option(help="Logits that uds counts: all, or response.", metavar="ROWS")
    ] = "all",
    projection: Annotated[
        str, typer.Option(help="Scale of uds's sketch: official or orthonormal.", metavar="NAME")
    ] = "official",
    seed: Annotated[int, typer.Option(min=0, help="Seed of uds's projection.")] = 0,
    reference_column: Annotated[str, typer.Option(help="The reference answer.")] = "answer",
    reference_blank: Annotated[
        bool,
        typer.Option(
            help="Keep the blank that the response's answer begins with before the reference, as "
            "RLPR does. DRO wants one tokenisation for all responses to a prompt: switch it off.",
        ),
    ] = True,
    reference_alone: Annotated[
        str,
        typer.Option(
            help="How the reference stands directly after the prompt: bare, or tagged.",
            metavar="FORM",
        ),
    ] = "bare",
    tags: Annotated[
        str,
        typer.Option(help="Tags of reasoning and answer in the response, with blanks between."),
    ] = "<think> </think> <answer> </answer>",
) -> None:
    """Compute signals of a file's rows with a model, for `winnow select --features`.

    The output has one row per row of the input, in its order: `row_id` (the input's, or made from
    the row's texts), `n_tokens`, the columns of what is needed, and `unscored`, which says why a row
    lacks something. Its Parquet metadata name the model, its revision and the form of each column.
    What is computed is stored in the home folder by its content: the same command goes on where it
    was stopped, and texts that were seen before are not computed again.

    - logprob: logprob_mean, token_logprobs, token_entropies, n_response_tokens
    - uds: nuclear_norm, sketch
    - embedding: embedding
    - ifd: logprob_mean_alone
    - reference: reference_logprobs, reference_ranks, reference_logprobs_alone,
      answer_tokens, format_ok

    For instance:

        winnow features --input rows.parquet --model smollm2-135m-instruct --need logprob,uds --output f.parquet
        winnow select max_loss --input rows.parquet --features f.parquet --output chosen.parquet --budget 0.1
    """
    from winnow.cli.progress import TerminalProgress
    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.row_files import RowFile
    from winnow.selectors.rows import FileRows
    from winnow.stages.row_features import NEEDS, Options, fill

    for option, value in (("--input", input), ("--output", output), ("--need", need)):
        if not value:
            raise UsageError(f"{option} is missing (winnow features --help)")
    assert input is not None and output is not None and need is not None
    if output.suffix.lower() not in (".parquet", ".pq"):
        raise UsageError(
            f"{output}: features are written as Parquet; the name must end in .parquet"
        )
    wanted = [name.strip() for each in need for name in each.split(",") if name.strip()]
    options = Options(
        prompt_column=prompt_column,
        response_column=response_column,
        template=_one_of(template, "--template", "auto", "chat", "plain", "grape"),
        end=end,
        max_length=max_length,
        uds_max_tokens=uds_max_tokens,
        uds_rows=_one_of(uds_rows, "--uds-rows", "all", "response"),
        projection=_one_of(projection, "--projection", "official", "orthonormal"),
        seed=seed,
        embed=_one_of(embed, "--embed", "prompt", "response", "both"),
        reference_column=reference_column,
        reference_blank=reference_blank,
        reference_alone=_one_of(reference_alone, "--reference-alone", "bare", "tagged"),
        tags=tags,
    )
    with TerminalProgress() as progress:
        found = fill(
            home,
            FileRows(RowFile(input)),
            [_one_of(name, "--need", *NEEDS) for name in wanted],
            model=model,
            embedder=embedder,
            options=options,
            progress=progress,
        )
    _write(found, output)
    rows = len(found.table.row_ids)
    made = ", ".join(f"{count} {what}" for what, count in found.made.items())
    typer.echo(f"{output}: {rows} rows; computed here: {made}")
    for (name, reason), count in found.table.unscored.most_common(12):
        typer.echo(f"  {count} without {name}: {plain(reason)}")


def _one_of(value: str, option: str, *known: str) -> Any:
    """`value`, as the literal that it is. Raises UsageError where it is none of `known`."""
    from winnow.pipeline.errors import UsageError

    if value not in known:
        raise UsageError(f"{option} {value}: is none of {', '.join(known)}")
    return value


def _write(found: "Computed", output: Path) -> None:
    """The whole file or none."""
    import pyarrow.parquet as pq

    temporary = output.with_name(f".{output.name}.tmp")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pq.ParquetWriter(temporary, found.table.schema, compression="zstd") as writer:
            for batch in found.batches():
                writer.write_batch(batch)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
