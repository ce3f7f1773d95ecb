"""Stage 1: every source row becomes a prompt or a ledger row with its reason."""

from collections.abc import Callable, Sequence

from winnow.pipeline import recipe as recipes
from winnow.pipeline import sources
from winnow.pipeline.models import resolve_model
from winnow.pipeline.names import Message
from winnow.pipeline.recipe import VLLMEngine
from winnow.pipeline.sources.ingest import check_sources, ingest
from winnow.pipeline.tokens import counter
from winnow.pipeline.verify import verifier_names
from winnow.stages.base import Context, StageResult, fingerprint, timed

VERSION = "1"


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
        },
    )


def run(ctx: Context) -> StageResult:
    """Write `prompts` and `prompts_ledger`."""
    recipe = ctx.recipe
    check_sources(recipe, verifier_names())
    count_tokens, longest, _ = _tokens(ctx)
    mark_now = mark(ctx)
    with timed() as clock:
        skipped = ctx.workspace.holds("prompts", mark_now) and ctx.workspace.holds(
            "prompts_ledger", mark_now
        )
        if not skipped:
            found = ingest(
                recipe, count_tokens=count_tokens, max_prompt_tokens=longest, limit=ctx.limit
            )
            ctx.workspace.write("prompts_ledger", found.ledger.sort_by("row_id"), mark_now)
            ctx.workspace.write("prompts", found.prompts.sort_by("task_id"), mark_now)
    rows_in = ctx.workspace.num_rows("prompts_ledger")
    kept = ctx.workspace.num_rows("prompts")
    return StageResult(
        "prompts",
        ctx.workspace.data_version("prompts"),
        skipped,
        {"rows_in": rows_in, "kept": kept, "dropped": rows_in - kept},
        {"seconds": clock.seconds},
    )
