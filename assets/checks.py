"""Asset checks: what must hold of a stage's table, asked right after it is made.

All are blocking: a table that fails one feeds no later stage, so that nothing is published from it.
"""

from collections.abc import Mapping

import dagster as dg

from winnow.assets import invariants
from winnow.assets.markup import plain
from winnow.pipeline import schema
from winnow.pipeline.publish.version import open_version
from winnow.stages.base import Context, StageResult


def run(key: dg.AssetKey, ctx: Context, result: StageResult) -> list[dg.AssetCheckResult]:
    """Results of all checks of the asset `key`, whose stage gave `result`."""
    version = None
    if result.stage == "training_set":
        folder = ctx.workspace.home / ctx.recipe.dataset / result.data_version
        version = open_version(folder.absolute())
    return [_result(key, name, check(ctx, version)) for name, check in CHECKS[result.stage].items()]


def specs(stage: str, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Declarations of a stage's checks."""
    return [
        dg.AssetCheckSpec(name, asset=key, blocking=True, description=_MEANING[name])
        for name in CHECKS[stage]
    ]


def _result(key: dg.AssetKey, name: str, found: invariants.Found) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=found.passed,
        description=plain("; ".join(found.faults[:5])) or None,
        metadata={name: dg.MetadataValue.int(value) for name, value in found.figures.items()},
    )


CHECKS: Mapping[str, Mapping[str, invariants.Rule]] = {
    "prompts": {
        "columns": invariants.columns_as_documented(
            {"prompts": schema.PROMPTS, "prompts_ledger": schema.LEDGER}
        ),
        "rows_conserved": invariants.prompts_conserved,
    },
    "rollouts": {
        "columns": invariants.columns_as_documented({"rollouts": schema.ROLLOUTS}),
        "none_missing": invariants.answers_drawn,
    },
    "verdicts": {
        "columns": invariants.columns_as_documented({"verdicts": invariants.VERDICTS}),
        "all_judged": invariants.every_answer_judged,
    },
    "audit": {
        "columns": invariants.columns_as_documented({"audit": schema.AUDIT}),
        "every_task": invariants.every_task_audited,
    },
    "difficulty": {
        "columns": invariants.columns_as_documented({"difficulty": schema.DIFFICULTY}),
        "verdicts_counted": invariants.verdicts_counted,
    },
    "embeddings": {
        "columns": invariants.columns_as_documented({"embeddings": schema.EMBEDDINGS}),
        "one_per_prompt": invariants.one_row_per_prompt("embeddings"),
    },
    "clusters": {
        "columns": invariants.columns_as_documented({"clusters": schema.CLUSTERS}),
        "one_per_prompt": invariants.one_row_per_prompt("clusters"),
    },
    "scores": {
        "columns": invariants.columns_as_documented({"scores": schema.SCORES}),
        "correct_answers_scored": invariants.correct_answers_scored,
    },
    "training_set": {
        "columns": invariants.set_columns,
        "rows_conserved": invariants.sets_conserved,
        "reloads": invariants.reloads,
        "undamaged": invariants.undamaged,
    },
}

_MEANING = {
    "columns": "Columns, types and nulls are as documented.",
    "rows_conserved": "Rows in = kept + dropped + pending; what was kept is what is there.",
    "none_missing": "Every prompt has its answers, or they are still to be drawn.",
    "all_judged": "Every answer has one verdict per task of its prompt.",
    "every_task": "Every task is audited once.",
    "verdicts_counted": "Every verdict is counted in one pass rate.",
    "one_per_prompt": "One row per prompt.",
    "correct_answers_scored": "One score per answer that a set with `uds` can take (the correct ones, unless it says otherwise).",
    "reloads": "datasets.load_dataset opens every split, with the rows of the manifest.",
    "undamaged": "Every file has the hash that the version is named by.",
}
