"""Stage 1: every source row becomes a prompt or a ledger row with its reason.

What the recipe's section `clean` leaves out is decided here, before anything is sampled."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from winnow.pipeline import recipe as recipes
from winnow.pipeline import sources
from winnow.pipeline.clean import cleaning
from winnow.pipeline.contracts import Embedder
from winnow.pipeline.models import resolve_embedder, resolve_model
from winnow.pipeline.names import Message
from winnow.pipeline.recipe import Recipe, SourceEngine, VLLMEngine
from winnow.pipeline.schema import LEDGER
from winnow.pipeline.sources.ingest import STAGE, Ingested, check_sources, ingest
from winnow.pipeline.sources.row_images import RowImage
from winnow.pipeline.store.store import Store
from winnow.pipeline.tokens import counter
from winnow.pipeline.verify import verifier_names
from winnow.stages.base import Context, StageResult, fingerprint, timed

VERSION = "5"
TABLES = ("prompts", "prompts_ledger", "decontamination")
_AT_ONCE = 32 << 20  # bytes of images in one transaction


def tables_of(recipe: Recipe) -> tuple[str, ...]:
    """What is written: with the answers that the sources bring, where the engine takes them."""
    return (*TABLES, "completions") if isinstance(recipe.engine, SourceEngine) else TABLES


def _tokens(
    ctx: Context,
) -> tuple[Callable[[Sequence[Message]], int] | None, int | None, str]:
    """(counts a prompt's tokens, the most that a prompt may have, whose tokenizer it is)."""
    engine = ctx.recipe.engine
    if not isinstance(engine, VLLMEngine):
        return None, None, "unknown"
    folder = resolve_model(engine.model, engine.revision)
    longest = engine.max_model_len - ctx.recipe.sampling.max_tokens
    return counter(folder), longest, f"{folder.identity}/{folder.template_hash()}"


def mark(ctx: Context) -> str:
    """Fingerprint of what this stage's table is made from, as the recipe and its inputs are now."""
    recipe = ctx.recipe
    _, longest, tokenizer_of = _tokens(ctx)
    return fingerprint(
        ctx,
        "prompts",
        VERSION,
        {
            "sources": [recipes.dump(source) for source in recipe.sources],
            "contents": [sources.fingerprint(source) for source in recipe.sources],
            "prompting": recipes.dump(recipe.prompting),
            "tokenizer": tokenizer_of,
            "longest": longest,
            "clean": recipes.dump(recipe.clean),
            "evaluation_files": cleaning.contents(recipe.clean),
            **({"engine": "source"} if isinstance(recipe.engine, SourceEngine) else {}),
        },
    )


def run(ctx: Context) -> StageResult:
    """Write `prompts`, `prompts_ledger`, `decontamination` and, where the sources answer,
    `completions`."""
    recipe = ctx.recipe
    check_sources(recipe, verifier_names())
    count_tokens, longest, _ = _tokens(ctx)
    mark_now = mark(ctx)
    with timed() as clock:
        skipped = all(ctx.workspace.holds(name, mark_now) for name in tables_of(recipe))
        if not skipped:
            with _images(ctx) as images:
                found = ingest(
                    recipe,
                    count_tokens=count_tokens,
                    max_prompt_tokens=longest,
                    limit=ctx.limit,
                    keep_images=images.keep if images else None,
                )
                if images:
                    images.put()
                _write(ctx, found, mark_now)
    rows_in = ctx.workspace.num_rows("prompts_ledger")
    kept = ctx.workspace.num_rows("prompts")
    return StageResult(
        "prompts",
        ctx.workspace.data_version("prompts"),
        skipped,
        {"rows_in": rows_in, "kept": kept, "dropped": rows_in - kept},
        {"seconds": clock.seconds},
    )


def _write(ctx: Context, found: Ingested, mark_now: str) -> None:
    """The stage's tables, of the prompts that the section `clean` leaves."""
    recipe = ctx.recipe
    cleaned = cleaning.clean(
        found.prompts,
        recipe.clean,
        sources=[source.name for source in recipe.sources],
        embedder=lambda: _embedder(ctx),
        progress=ctx.progress,
    )
    ledger = _amended(found.ledger, cleaned.dropped)
    if "completions" in tables_of(recipe):
        ctx.workspace.write("completions", found.completions, mark_now)
    ctx.workspace.write("decontamination", cleaned.hits, mark_now)
    ctx.workspace.write("prompts_ledger", ledger.sort_by("row_id"), mark_now)
    ctx.workspace.write("prompts", cleaned.prompts.sort_by("task_id"), mark_now)


class _Images:
    """Images on their way into the store, a transaction for many; `put` writes those that wait."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: set[str] = set()
        self._waiting: dict[str, bytes] = {}
        self._bytes = 0

    def keep(self, shown: Sequence[RowImage]) -> None:
        for each in shown:
            if each.image_id not in self._known:
                self._known.add(each.image_id)
                self._waiting[each.image_id] = each.data
                self._bytes += len(each.data)
        if self._bytes >= _AT_ONCE:
            self.put()

    def put(self) -> None:
        have = self._store.existing(self._waiting)
        rows = [{"image_id": name, "bytes": data} for name, data in self._waiting.items()]
        self._store.put([row for row in rows if row["image_id"] not in have])
        self._waiting, self._bytes = {}, 0


@contextmanager
def _images(ctx: Context) -> Iterator[_Images | None]:
    """What keeps images in the store; None where no source has any. The store is locked until the block
    ends: before the table of prompts names the images, `winnow gc` would take them for garbage."""
    if not ctx.recipe.shows_images:
        yield None
        return
    with ctx.workspace.images(write=True, on_wait=ctx.waits) as store:
        yield _Images(store)


def _embedder(ctx: Context) -> Embedder:
    from winnow.pipeline.features.embedding import SentenceTransformerEmbedder

    config = ctx.recipe.embedding
    return SentenceTransformerEmbedder(resolve_embedder(config.model), batch_size=config.batch_size)


def _amended(ledger: pa.Table, dropped: Sequence[cleaning.Dropped]) -> pa.Table:
    """The ledger with the decisions about tasks that were ingested and then left out."""
    why = {each.task_id: each for each in dropped}
    rows = ledger.to_pylist()
    for row in rows:
        drop = why.get(row["row_id"])
        if drop is not None and row["stage"] == STAGE:
            place = f"{row['detail']}: {drop.detail}" if drop.detail else row["detail"]
            row |= {"decision": "dropped", "rule": drop.rule, "value": drop.value,
                    "threshold": drop.threshold, "detail": place}  # fmt: skip
    return pa.Table.from_pylist(rows, schema=LEDGER)
