"""Code versions: what the UI compares to tell whether a table is still what its recipe asks for.

A stage's code version names the code (winnow's version and the stage's own) and the part of the
recipe that the stage reads. What a stage gets from other stages is in their data versions.
"""

from collections.abc import Mapping
from typing import Any

import winnow
from winnow.pipeline import recipe as recipes
from winnow.pipeline.names import digest
from winnow.pipeline.recipe import Recipe, SourceEngine, VLLMEngine
from winnow.pipeline.verify import verifier_label
from winnow.stages import (
    audit,
    clusters,
    difficulty,
    embeddings,
    prompts,
    rollouts,
    scores,
    training_set,
    verdicts,
)

# How an engine is run, as against what its answers are drawn from.
_OPERATION = {"args", "key_env", "max_retries", "timeout_seconds", "max_model_len", "base_url"}
_LOOKED = "/limit="


def code_versions(recipe: Recipe, limit: int | None = None) -> dict[str, str]:
    """Code version of every stage; raises UsageError for a verifier that is not known."""
    parts: Mapping[str, tuple[str, Any]] = {
        "prompts": (prompts.VERSION, _prompts(recipe)),
        "rollouts": (rollouts.VERSION, _rollouts(recipe)),
        "verdicts": (verdicts.VERSION, _verifiers(recipe)),
        "audit": (audit.VERSION, recipes.dump(recipe.audit)),
        "difficulty": (difficulty.VERSION, recipes.dump(recipe.difficulty)),
        "embeddings": (embeddings.VERSION, recipe.embedding.model),
        "clusters": (clusters.VERSION, [recipes.dump(recipe.clusters), recipe.seed]),
        "scores": (scores.VERSION, _scores(recipe)),
        "training_set": (training_set.VERSION, recipes.dump(recipe)),
    }
    # A first look at a few rows is not what the recipe asks for.
    looked = f"{_LOOKED}{limit}" if limit is not None else ""
    return {
        stage: f"{winnow.__version__}/{version}/{digest(f'code/{stage}', part)[:12]}{looked}"
        for stage, (version, part) in parts.items()
    }


def set_code_version(settings: Mapping[str, Any], recipe: Mapping[str, Any], version: str) -> str:
    """Code version of one set with these settings, of a recipe (as `recipe.dump` gives it) whose
    version has the code version `version`."""
    part = [settings, recipe["seed"], recipe["holdout"]]
    code, _, looked = version.partition(_LOOKED)
    made_by = "/".join(code.split("/")[:2])
    return f"{made_by}/{digest('code/set', part)[:12]}{_LOOKED + looked if looked else ''}"


def _prompts(recipe: Recipe) -> Any:
    reader: list[Any] | None = None  # whose tokens a prompt's length is counted in
    if isinstance(recipe.engine, VLLMEngine):
        longest = recipe.engine.max_model_len - recipe.sampling.max_tokens
        reader = [recipe.engine.model, recipe.engine.revision, longest]
    elif isinstance(recipe.engine, SourceEngine):
        reader = ["source"]  # the rows' own answers are read, too
    return [[recipes.dump(s) for s in recipe.sources], recipes.dump(recipe.prompting), reader,
            recipes.dump(recipe.clean)]  # fmt: skip


def _rollouts(recipe: Recipe) -> Any:
    engine = recipes.dump(recipe.engine)
    if engine["type"] != "plugin":  # a plugin's arguments are all that names it
        engine = {key: value for key, value in engine.items() if key not in _OPERATION}
    sampling = recipes.dump(recipe.sampling)
    del sampling["concurrency"]
    return [engine, sampling, recipe.seed]


def _verifiers(recipe: Recipe) -> Any:
    labels = {
        verifier_label(
            getattr(source, "verifier", "reasoning_gym"), getattr(source, "verifier_args", {})
        )
        for source in recipe.sources
    }
    return [sorted(labels), recipes.dump(recipe.judge) if recipe.judge else None]


def _scores(recipe: Recipe) -> Any:
    verdicts = scores.asked_verdicts(recipe)
    if not verdicts:
        return None
    model = recipe.uds.model
    if model is None and isinstance(recipe.engine, VLLMEngine):
        model = f"{recipe.engine.model}@{recipe.engine.revision}"
    return [recipes.dump(recipe.uds), model, recipe.seed, list(verdicts)]
