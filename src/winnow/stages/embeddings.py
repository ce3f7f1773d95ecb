"""Stage 5a: a sentence embedding per prompt."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline import schema
from winnow.pipeline.features import stored
from winnow.pipeline.features.embedding import PROMPT_FORM, SentenceTransformerEmbedder, prompt_text
from winnow.pipeline.models import ModelFolder, resolve_embedder
from winnow.pipeline.progress import Step
from winnow.pipeline.store.store import Store
from winnow.stages.base import Context, StageResult, fingerprint, timed

VERSION = "1"


def _kind(ctx: Context) -> stored.Kind:
    model = resolve_embedder(ctx.recipe.embedding.model).identity
    return stored.Kind(("embedding",), model, PROMPT_FORM)


def mark(ctx: Context) -> str:
    """Fingerprint of what this stage's table is made from, as the recipe and its inputs are now."""
    work, kind = ctx.workspace, _kind(ctx)
    return fingerprint(
        ctx,
        "embeddings",
        VERSION,
        {"prompts": work.data_version("prompts"), "model": kind.model, "form": kind.form},
    )


def run(ctx: Context) -> StageResult:
    """Write `embeddings`."""
    work, config = ctx.workspace, ctx.recipe.embedding
    folder, kind = resolve_embedder(config.model), _kind(ctx)
    mark_now = mark(ctx)
    skipped, made = work.holds("embeddings", mark_now), 0
    with timed() as clock:
        if not skipped:
            prompts = work.read("prompts", ["prompt_id", "messages"])
            texts = dict(
                zip(
                    prompts["prompt_id"].to_pylist(),
                    map(prompt_text, prompts["messages"].to_pylist()),
                    strict=True,
                )
            )
            ids = sorted(texts)
            with work.features(write=True, on_wait=ctx.waits) as store:
                todo = stored.missing(store, kind, ids)
                if todo:
                    ctx.progress.note(f"loading the embedder ({kind.model})")
                    made = _fill(ctx, folder, kind, texts, todo, store)
                values = stored.vectors(store, kind, "embedding", ids)
            work.write("embeddings", _table(ids, values), mark_now)
    return StageResult(
        "embeddings",
        work.data_version("embeddings"),
        skipped,
        {"embeddings": work.num_rows("embeddings")},
        {"seconds": clock.seconds, "computed_here": made},
    )


def _fill(
    ctx: Context,
    folder: ModelFolder,
    kind: stored.Kind,
    texts: Mapping[str, str],
    todo: Sequence[str],
    store: Store,
) -> int:
    """Embed and store the texts of `todo`; returns how many."""
    config = ctx.recipe.embedding
    embedder = SentenceTransformerEmbedder(folder, batch_size=config.batch_size)

    def compute(rows: Sequence[str]) -> list[stored.Signals]:
        return [{"embedding": v} for v in embedder.embed([texts[row] for row in rows])]

    try:
        for done in stored.fill(store, kind, todo, compute, chunk=16 * config.batch_size):
            ctx.progress.step(Step("embeddings", done, len(todo), "prompts"))
    finally:
        embedder.close()
    return len(todo)


def _table(ids: Sequence[str], values: NDArray[np.float32]) -> pa.Table:
    width = values.shape[1]
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * width
    column = pa.ListArray.from_arrays(offsets, values.reshape(-1))
    return pa.table([pa.array(ids, pa.string()), column], schema=schema.EMBEDDINGS)
