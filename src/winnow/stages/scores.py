"""Stage 6: UDS over the answers that the sets can take, from stored signals of one forward pass each."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.pipeline import recipe as recipes
from winnow.pipeline import schema
from winnow.pipeline.features import stored
from winnow.pipeline.models import ModelFolder, resolve_model
from winnow.pipeline.names import canonical_json
from winnow.pipeline.progress import Step
from winnow.pipeline.recipe import SFTSet, VLLMEngine
from winnow.pipeline.store.store import Store
from winnow.stages.base import Context, StageResult, fingerprint, timed

if TYPE_CHECKING:
    from winnow.pipeline.features.scorer import CausalScorer

VERSION = "1"
_CHUNK = 16  # sequences between two commits


def mark(ctx: Context) -> str:
    """Fingerprint of what this stage's table is made from, as the recipe and its inputs are now."""
    work, folder = ctx.workspace, scoring_model(ctx)
    return fingerprint(
        ctx,
        "scores",
        VERSION,
        {
            "prompts": work.data_version("prompts"),
            "rollouts": work.data_version("rollouts"),
            "verdicts": work.data_version("verdicts"),
            "model": folder.identity if folder else "none",
            "uds": recipes.dump(ctx.recipe.uds),
            "seed": ctx.recipe.seed,
            "scored": list(asked_verdicts(ctx.recipe)),
        },
    )


def run(ctx: Context) -> StageResult:
    """Write `scores`: one row per answer that a set with `uds` can take. Empty where none asks."""
    work = ctx.workspace
    folder = scoring_model(ctx)
    mark_now = mark(ctx)
    skipped, made = work.holds("scores", mark_now), 0
    with timed() as clock:
        if not skipped:
            table = schema.SCORES.empty_table()
            if folder:
                table, made = _score(ctx, folder)
            work.write("scores", table, mark_now)
    chosen = work.read("scores", ["selected"])["selected"].to_pylist()
    return StageResult(
        "scores",
        work.data_version("scores"),
        skipped,
        {"scored": len(chosen), "selected": sum(chosen)},
        {"seconds": clock.seconds, "computed_here": made},
    )


def asked_verdicts(recipe: recipes.Recipe) -> tuple[str, ...]:
    """The verdicts of the answers that are scored: all that some set with `uds` takes."""
    sets = [each for each in recipe.sets.values() if isinstance(each, SFTSet) and each.uds]
    return tuple(sorted({verdict for each in sets for verdict in each.accepted}))


def scoring_model(ctx: Context) -> ModelFolder | None:
    """The model whose logits UDS reads; None where no set asks for UDS."""
    if not asked_verdicts(ctx.recipe):
        return None
    engine = ctx.recipe.engine
    if ctx.recipe.uds.model is None and isinstance(engine, VLLMEngine):
        return resolve_model(engine.model, engine.revision)
    assert ctx.recipe.uds.model is not None  # the recipe's validation asks for it
    return resolve_model(ctx.recipe.uds.model)


def scorer_of(
    ctx: Context, folder: ModelFolder, store: Store
) -> tuple["CausalScorer", stored.Kind | None]:
    """The recipe's scorer, and how its features are stored.

    The weights are read where the store does not know the model yet; where it is open for reading,
    nothing of the model can stand in it, and there is no kind.
    """
    from winnow.pipeline.features.known_head import head_of, known_head
    from winnow.pipeline.features.scorer import CausalScorer
    from winnow.pipeline.features.uds_signals import UdsOptions

    config = ctx.recipe.uds
    options = UdsOptions(
        seed=ctx.recipe.seed,
        projection=config.projection,
        rows=config.rows,
        max_tokens=config.max_tokens,
    )
    scorer = CausalScorer(folder, options)
    head = head_of(store, scorer) if store.writes else known_head(store, folder.identity)
    if head is None:
        return scorer, None
    form = canonical_json({**options.form(head), "chat": folder.template_hash()})
    return scorer, stored.Kind(("nuclear_norm", "n_tokens", "sketch"), folder.identity, form)


def _score(ctx: Context, folder: ModelFolder) -> tuple[pa.Table, int]:
    from winnow.selectors.utility.uds import uds

    config = ctx.recipe.uds
    candidates = _candidates(ctx)
    ids = sorted(candidates)
    if not ids:
        return schema.SCORES.empty_table(), 0
    made = 0
    with ctx.workspace.features(write=True, on_wait=ctx.waits) as store:
        scorer, kind = scorer_of(ctx, folder, store)
        assert kind is not None  # the store is open for writing
        todo = stored.missing(store, kind, ids)
        if todo:
            ctx.progress.note(f"loading the scorer ({kind.model})")
            made = _fill(ctx, folder, scorer, kind, candidates, todo, store)
        norms = stored.scalars(store, kind, "nuclear_norm", ids)
        lengths = stored.scalars(store, kind, "n_tokens", ids)
        sketches = stored.vectors(store, kind, "sketch", ids)
    # An answer on which the model overflows has no score; the set's `uds` rule drops it.
    usable = np.isfinite(norms) & np.isfinite(sketches).all(axis=1)
    ids = [row for row, good in zip(ids, usable, strict=True) if good]
    norms, lengths, sketches = norms[usable], lengths[usable], sketches[usable]
    found = uds(
        ids,
        norms,
        sketches,
        alpha=config.alpha,
        buffer=config.buffer,
        batch=config.batch,
        keep=config.keep,
        seed=ctx.recipe.seed,
        projection=config.projection,
        vocab=scorer.vocab if config.projection == "orthonormal" else None,
        T=scorer.uds.T,
    )
    columns: dict[str, Any] = {
        "rollout_id": ids,
        "task_id": [candidates[row]["task_id"] for row in ids],
        "n_tokens_scored": lengths.astype("int32"),
        "nuclear_norm": norms,
        "step": found.step,
        "utility": found.utility,
        "diversity": found.diversity,
        "score": found.score,
        "selected": found.selected,
        "rank": found.rank,
    }
    arrays = [pa.array(columns[f.name], f.type) for f in schema.SCORES]
    return pa.table(arrays, schema=schema.SCORES), made


def _candidates(ctx: Context) -> dict[str, dict[str, Any]]:
    """The answers to score by rollout id, with their prompt's messages. An answer that is judged for
    several tasks stands for one that it is right for, if there is one."""
    from winnow.selectors.sets.kind_rules import accepted

    work = ctx.workspace
    verdicts = _frame(work.read("verdicts", ["rollout_id", "task_id", "verdict", "detail"]))
    rollouts = _frame(work.read("rollouts", ["rollout_id", "prompt_id", "completion", "token_ids"]))
    prompts = _frame(work.read("prompts", ["prompt_id", "messages"])).unique("prompt_id")
    wanted = (
        verdicts.filter(accepted(asked_verdicts(ctx.recipe)))
        .sort(pl.col("verdict") != "correct", "task_id")
        .unique("rollout_id", keep="first", maintain_order=True)
        .select("rollout_id", "task_id")
    )
    rows = wanted.join(rollouts, on="rollout_id").join(prompts, on="prompt_id")
    return {row["rollout_id"]: row for row in rows.iter_rows(named=True)}


def _fill(
    ctx: Context,
    folder: ModelFolder,
    scorer: Any,
    kind: stored.Kind,
    candidates: Mapping[str, Mapping[str, Any]],
    todo: Sequence[str],
    store: Store,
) -> int:
    """Score and store the candidates of `todo`; returns how many."""
    from winnow.pipeline.features.scorer import TokenRow
    from winnow.pipeline.tokens import render, tokenizer

    words = tokenizer(folder)
    # Token ids of the engine are this model's own only where both are the same weights.
    same = ctx.workspace.read("rollouts", ["policy"])["policy"].to_pylist()[:1] == [folder.identity]

    def tokens(row: str) -> TokenRow:
        candidate = candidates[row]
        answer = candidate["token_ids"] if same else None
        if answer is None:
            answer = words.encode(candidate["completion"], add_special_tokens=False)
        return TokenRow.of(render(words, candidate["messages"]), answer)

    def compute(rows: Sequence[str]) -> list[stored.Signals]:
        read = [tokens(row) for row in rows]
        return [
            {
                "nuclear_norm": found.uds.nuclear_norm,
                "n_tokens": min(len(row.tokens), scorer.uds.max_tokens),
                "sketch": found.uds.sketch,
            }
            for row, found in zip(read, scorer.score(read), strict=True)
        ]

    # Neighbours of like length share a batch without padding.
    by_length = sorted(todo, key=lambda row: (len(candidates[row]["completion"]), row))
    try:
        for done in stored.fill(store, kind, by_length, compute, chunk=_CHUNK):
            ctx.progress.step(Step("scores", done, len(todo), "answers"))
    finally:
        scorer.close()
    return len(todo)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
