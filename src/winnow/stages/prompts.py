"""Stage 1: every source row becomes a prompt or a ledger row with its reason."""

from winnow.pipeline import recipe as recipes
from winnow.pipeline import sources
from winnow.pipeline.models import resolve_model
from winnow.pipeline.recipe import VLLMEngine
from winnow.pipeline.sources.ingest import check_sources, ingest
from winnow.pipeline.tokens import counter
from winnow.pipeline.verify import verifier_names
from winnow.stages.base import Context, StageResult, fingerprint, timed

VERSION = "1"


def run(ctx: Context) -> StageResult:
    """Write `prompts` and `prompts_ledger`."""
    recipe = ctx.recipe
    check_sources(recipe, verifier_names())
    count_tokens, longest, tokenizer_of = None, None, "unknown"
    if isinstance(recipe.engine, VLLMEngine):
        folder = resolve_model(recipe.engine.model, recipe.engine.revision)
        count_tokens = counter(folder)
        longest = recipe.engine.max_model_len - recipe.sampling.max_tokens
        tokenizer_of = f"{folder.identity}/{folder.template_hash()}"
    mark = fingerprint(
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
    with timed() as clock:
        skipped = ctx.workspace.holds("prompts", mark) and ctx.workspace.holds(
            "prompts_ledger", mark
        )
        if not skipped:
            found = ingest(
                recipe, count_tokens=count_tokens, max_prompt_tokens=longest, limit=ctx.limit
            )
            ctx.workspace.write("prompts_ledger", found.ledger.sort_by("row_id"), mark)
            ctx.workspace.write("prompts", found.prompts.sort_by("task_id"), mark)
    rows_in = ctx.workspace.num_rows("prompts_ledger")
    kept = ctx.workspace.num_rows("prompts")
    return StageResult(
        "prompts",
        ctx.workspace.data_version("prompts"),
        skipped,
        {"rows_in": rows_in, "kept": kept, "dropped": rows_in - kept},
        {"seconds": clock.seconds},
    )
