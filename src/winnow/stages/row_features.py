"""Signals of any table's rows that need a model, stored by content and joined back to the rows.

A signal is named by the texts that the model saw, the model, and the form, so rows with equal texts
are computed once, a second run computes nothing, and a killed run goes on where it was. A row that
has nothing to compute from is no error: its columns are null and `unscored` says why.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features import stored
from winnow.pipeline.features.answer_tags import Tags
from winnow.pipeline.features.feature_table import FeatureTable, Source
from winnow.pipeline.features.pieces import Pieces, Reader, ReferenceOptions, Role, pieces_of
from winnow.pipeline.features.row_text import MESSAGES, RESPONSES, RowColumns
from winnow.pipeline.features.sketch import Projection
from winnow.pipeline.models import MINILM, ModelFolder, resolve_embedder, resolve_model
from winnow.pipeline.names import canonical_json
from winnow.pipeline.progress import Progress, Silent
from winnow.pipeline.store.store import Store
from winnow.pipeline.workspace import open_store
from winnow.selectors.rows import Rows, TableRows, numbered, read, row_ids

if TYPE_CHECKING:
    from winnow.pipeline.features.row_signals import Signal
    from winnow.pipeline.features.scorer import Want

_STORE = "row_features"

Need = Literal["logprob", "uds", "embedding", "ifd", "reference"]
NEEDS: tuple[Need, ...] = ("logprob", "uds", "embedding", "ifd", "reference")

# The columns that each need brings; `reference` brings `answer_tokens` and `format_ok` as well.
COLUMNS: Mapping[Need, tuple[str, ...]] = {
    "logprob": ("logprob_mean", "token_logprobs", "token_entropies", "n_response_tokens"),
    "uds": ("nuclear_norm", "sketch"),
    "embedding": ("embedding",),
    "ifd": ("logprob_mean_alone",),
    "reference": ("reference_logprobs", "reference_ranks", "reference_logprobs_alone"),
}


@dataclass(frozen=True)
class Options:
    """How rows become texts and texts become signals; the defaults are those of `winnow features`.

    prompt_column, response_column: where the texts stand (`RowColumns`). template: how they become
    one text (`PairTokenizer`; auto: the model's chat template, plain where it has none). end: score
    the token that ends an answer with it. max_length: longer rows (tokens) have no log-probabilities
    (None: what the model can read). uds_*: as `UdsOptions`. embed: which text is embedded.
    reference_column: the reference, scored in place of the answer between `tags` (`answer_tags`);
    reference_blank: behind the blank that the answer began with; reference_alone: how it stands
    directly after the prompt, bare or in answer tags.
    """

    prompt_column: str | None = None
    response_column: str | None = None
    template: Literal["auto", "chat", "plain", "grape"] = "auto"
    end: bool = True
    max_length: int | None = None
    uds_max_tokens: int = 512
    uds_rows: Literal["all", "response"] = "all"
    projection: Projection = "official"
    seed: int = 0
    embed: Literal["prompt", "response", "both"] = "both"
    reference_column: str = "answer"
    reference_blank: bool = True
    reference_alone: Literal["bare", "tagged"] = "bare"
    tags: str = "<think> </think> <answer> </answer>"


@dataclass(frozen=True)
class Computed:
    """A run's features, all of them stored in `home`, and how many pieces it computed by what."""

    home: Path
    table: FeatureTable
    made: Counter[str]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The features, some rows at a time."""
        with open_store(self.home, _STORE) as store:
            yield from self.table.batches(store)


def compute(
    home: Path,
    rows: Rows | pa.Table,
    needs: Collection[Need],
    *,
    model: str | None = None,
    embedder: str = MINILM,
    options: Options | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """One row per row of `rows`, in its order: row_id, n_tokens (with a model), the needed columns
    (`COLUMNS`), and `unscored`. What the store in `home` holds is not computed again.

    `row_id` is the table's own, or made from the row's texts as `winnow select` makes it. `model`
    is a causal model (a folder, a Hugging Face id, an alias), which all needs but embedding ask
    for. Raises UsageError for wrong use, WinnowError where a model cannot be had or scored.
    """
    done = fill(
        home, rows, needs, model=model, embedder=embedder, options=options, progress=progress
    )
    return pa.Table.from_batches(done.batches(), schema=done.table.schema)


def fill(
    home: Path,
    rows: Rows | pa.Table,
    needs: Collection[Need],
    *,
    model: str | None = None,
    embedder: str = MINILM,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Computed:
    """As `compute`, for a table of features that need not fit in memory."""
    unknown = sorted(set(needs) - set(NEEDS))
    if unknown or not needs:
        what = f"{unknown[0]!r} is no such need" if unknown else "nothing is needed"
        raise UsageError(f"{what}; there are: {', '.join(NEEDS)}")
    asked = [need for need in NEEDS if need in needs]
    if model is None and asked != ["embedding"]:
        raise UsageError(f"{next(n for n in asked if n != 'embedding')} needs a model (--model)")
    given, told = options or Options(), progress or Silent()
    source = TableRows(rows) if isinstance(rows, pa.Table) else rows
    columns, inputs = _inputs(source, asked, given)
    table = {name: read(source, name) for name in inputs}
    made: Counter[str] = Counter()
    scoring = _Scoring(resolve_model(model), asked, given) if model else None
    reader = Reader(
        table,
        columns,
        scoring.tokenizer if scoring else None,
        end=given.end,
        embed=given.embed,
        reference=ReferenceOptions(
            given.reference_column,
            Tags.parse(given.tags),
            given.reference_blank,
            given.reference_alone == "tagged",
        ),
    )
    roles: list[Role] = list(scoring.roles) if scoring else []
    if "embedding" in asked:
        roles.append("embedded")
    pieces = pieces_of(reader, roles, told)
    names = _names(source, pieces)
    sources: list[Source] = []
    with open_store(home, _STORE, write=True, on_wait=lambda holder: _waits(told, holder)) as store:
        if scoring:
            sources += scoring.fill(store, reader, pieces, columns, told, made)
        if "embedding" in asked:
            folder = resolve_embedder(embedder)
            sources.append(_embed(store, folder, reader, pieces, given, told, made))
    flags = {"format_ok": pieces.well_formed} if "reference" in asked else {}
    return Computed(home, FeatureTable(names, sources, flags), made)


class _Scoring:
    """What one causal model says of the rows, and the names it is stored by."""

    def __init__(self, folder: ModelFolder, needs: Sequence[Need], options: Options) -> None:
        from winnow.pipeline.features.pair_tokens import PairTokenizer
        from winnow.pipeline.features.scorer import CausalScorer
        from winnow.pipeline.features.uds_signals import UdsOptions

        try:
            uds = UdsOptions(
                seed=options.seed,
                projection=options.projection,
                rows=options.uds_rows,
                max_tokens=options.uds_max_tokens,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        self._folder, self._needs, self._options = folder, needs, options
        self.tokenizer: PairTokenizer = PairTokenizer(folder, options.template)
        self._scorer: CausalScorer = CausalScorer(folder, uds)
        context = self._scorer.context
        if "uds" in needs and context is not None and uds.max_tokens > context:
            raise UsageError(
                f"{folder.name} reads {context} tokens, fewer than the {uds.max_tokens} of uds"
            )
        limits = [n for n in (context, options.max_length) if n is not None]
        self._limit = min(limits) if limits else None

    @property
    def roles(self) -> list[Role]:
        roles: list[Role] = ["row"]
        if "ifd" in self._needs:
            roles.append("alone")
        if "reference" in self._needs:
            roles += ["reference", "reference_alone", "own_answer"]
        return roles

    def fill(
        self,
        store: Store,
        reader: Reader,
        pieces: Pieces,
        columns: RowColumns,
        progress: Progress,
        made: Counter[str],
    ) -> list[Source]:
        """Compute what is missing; returns where the columns come from."""
        from winnow.pipeline.features.row_signals import measure, score

        lengths: dict[Role, dict[str, int]] = {}
        for role in self.roles:
            kind = self._kind(role, ("n_tokens",))
            lengths[role] = measure(store, kind, role, reader, pieces, self.tokenizer, progress)
        rows = pieces.reasons["row"]
        length = self._kind("row", ("n_tokens",))
        sources = [Source(None, ("n_tokens",), length, pieces.names["row"], rows)]
        if "reference" in self._needs:
            sources.append(
                Source(
                    None,
                    ("answer_tokens",),
                    self._kind("own_answer", ("n_tokens",)),
                    pieces.names["own_answer"],
                    pieces.reasons["own_answer"],
                )
            )
        usable: dict[Signal, dict[str, int]] = {}
        for need, signal, brought in self._signals(store):
            names = pieces.names[signal.role]
            problems = list(self._problems(signal, pieces, lengths[signal.role], columns))
            usable[signal] = {
                name: lengths[signal.role][name]
                for name, problem in zip(names, problems, strict=True)
                if problem is None and name is not None
            }
            sources.append(Source(need, brought, signal.kind, names, problems))
        try:
            made["scored"] += score(
                store, usable, reader, pieces, self.tokenizer, self._scorer, progress
            )
        finally:
            self._scorer.close()
        return sources

    def _signals(self, store: Store) -> "Iterator[tuple[Need, Signal, tuple[str, ...]]]":
        """Need, signal, and the columns that it gives."""
        from winnow.pipeline.features.row_signals import Signal

        def signal(role: Role, features: tuple[str, ...], *wants: "Want") -> Signal:
            return Signal(role, self._kind(role, features, store), frozenset(wants))

        if "logprob" in self._needs:
            features = ("token_logprobs", "token_entropies")
            yield "logprob", signal("row", features, "logprobs", "entropies"), COLUMNS["logprob"]
        if "uds" in self._needs:
            yield "uds", signal("row", ("nuclear_norm", "sketch"), "uds"), COLUMNS["uds"]
        if "ifd" in self._needs:
            yield "ifd", signal("alone", ("token_logprobs",), "logprobs"), COLUMNS["ifd"]
        if "reference" in self._needs:
            both, alone = COLUMNS["reference"][:2], COLUMNS["reference"][2:]
            features = ("token_logprobs", "token_ranks")
            yield "reference", signal("reference", features, "logprobs", "ranks"), both
            found = signal("reference_alone", ("token_logprobs",), "logprobs")
            yield "reference", found, alone

    def _kind(
        self, role: Role, features: tuple[str, ...], store: Store | None = None
    ) -> stored.Kind:
        from winnow.pipeline.features.known_head import head_of

        template: str = self.tokenizer.template
        if template == "chat":
            template = f"chat {self._folder.template_hash()}"
        end = self._options.end and role in ("row", "alone")
        form = {"template": template, **self.tokenizer.form(end=end)}
        if role == "own_answer":
            form["counted"] = "response"
        if "sketch" in features:
            assert store is not None
            form |= self._scorer.uds.form(head_of(store, self._scorer))
        elif "n_tokens" not in features:
            form["dtype"] = "float32"
        return stored.Kind(features, self._folder.identity, canonical_json(form))

    def _problems(
        self,
        signal: "Signal",
        pieces: Pieces,
        lengths: Mapping[str, int],
        columns: RowColumns,
    ) -> Iterator[str | None]:
        """Why a signal has no value, row by row."""
        names, reasons = pieces.names[signal.role], pieces.reasons[signal.role]
        tokens = bool(signal.wants - {"uds"})
        for at, (name, reason) in enumerate(zip(names, reasons, strict=True)):
            if name is None:
                yield reason
            elif tokens and not pieces.answered[at] and signal.role == "row":
                yield "no_response"
            elif tokens and not pieces.prompted[at] and signal.role != "alone" and columns.prompt:
                yield "no_prompt"
            elif tokens and self._limit is not None and lengths[name] > self._limit:
                yield "too_long"
            else:
                yield None


def _embed(
    store: Store,
    folder: ModelFolder,
    reader: Reader,
    pieces: Pieces,
    options: Options,
    progress: Progress,
    made: Counter[str],
) -> Source:
    from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
    from winnow.pipeline.features.row_signals import embed

    kind = stored.Kind(("embedding",), folder.identity, canonical_json({"text": options.embed}))
    embedder = SentenceTransformerEmbedder(folder)
    try:
        made["embedded"] += embed(store, kind, reader, pieces, embedder, progress)
    finally:
        embedder.close()
    names, reasons = pieces.names["embedded"], pieces.reasons["embedded"]
    return Source("embedding", COLUMNS["embedding"], kind, names, reasons)


def _inputs(source: Rows, needs: Sequence[Need], options: Options) -> tuple[RowColumns, list[str]]:
    """Where prompt and response stand, and the columns to read. Raises UsageError where one that is
    needed is not there."""
    reference = options.reference_column if "reference" in needs else None
    try:
        columns = RowColumns.of(
            source.columns,
            prompt=options.prompt_column,
            response=options.response_column,
            reference=reference,
        )
    except UsageError as error:
        raise UsageError(f"{source.label}: {error}") from None
    names = columns.needed(source.columns)
    answering = [need for need in needs if need in ("logprob", "ifd", "reference")]
    if answering and columns.response is None and columns.prompt != MESSAGES:
        there = ", ".join(name for name in RESPONSES if name != reference)
        raise UsageError(
            f"{source.label}: {answering[0]} needs a response, and there is no column {there} "
            "(--response-column)"
        )
    if reference is not None:
        if reference not in source.columns:
            raise UsageError(f"{source.label}: no column {reference!r} (--reference-column)")
        if reference == columns.response:
            raise UsageError(
                f"{source.label}: {reference!r} is both the response and the reference"
            )
        names.append(reference)
    return columns, list(dict.fromkeys(names))


def _names(source: Rows, pieces: Pieces) -> list[str]:
    """Names of the rows, as `winnow select` gives them.

    Rows that share a made name are numbered by their order, which `select` need not do: that is no
    matter where they have the same texts here too, and an error where they have not.
    """
    ids = row_ids(source)
    if ids is None:
        raise UsageError(
            f"{source.label}: no column row_id, nor one of those that a name is made from; add row_id"
        )
    seen: dict[str, tuple[str | None, ...]] = {}
    for at, (row, *texts) in enumerate(zip(ids, *pieces.names.values(), strict=True)):
        if seen.setdefault(row, tuple(texts)) != tuple(texts):
            raise UsageError(
                f"{source.label}, row {at}: rows that have one made name differ in a column that is "
                "scored; add a column row_id"
            )
    return numbered(ids)


def _waits(progress: Progress, holder: str) -> None:
    progress.note(f"waiting for process {holder}, which is writing features here")
