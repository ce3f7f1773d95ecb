"""What the card tells beyond the sets: counts behind its known limits, languages, pictures."""

from collections import Counter
from typing import Any

import pyarrow as pa

from winnow.pipeline.publish import pictures
from winnow.pipeline.publish.card.languages import languages
from winnow.pipeline.sources import dataset_of
from winnow.pipeline.sources.hf_dataset import hub_id
from winnow.stages.base import Context


def describe(ctx: Context, prompts: pa.Table, difficulty: pa.Table) -> dict[str, Any]:
    """The arguments of `manifest.build` that only the card reads."""
    return {
        "hub_ids": _hub_ids(ctx),
        "languages": languages(prompts),
        "clusters": _cluster_sizes(ctx),
        "facts": _facts(ctx, prompts, difficulty),
    }


def draw(ctx: Context, difficulty: pa.Table) -> dict[str, bytes]:
    """The card's pictures, by the names in `card.PICTURES`, as far as there is something to show."""
    drawn, rates = {}, difficulty["pass_rate"].to_pylist()
    if any(rate is not None for rate in rates):
        drawn["pass-rates.png"] = pictures.pass_rate_histogram(rates)
    table = ctx.workspace.read("clusters", ["x", "y", "cluster"])
    if table.num_rows:
        x, y, cluster = (table[name].to_numpy() for name in ("x", "y", "cluster"))
        drawn["clusters.png"] = pictures.cluster_scatter(x, y, cluster)
    return drawn


def _hub_ids(ctx: Context) -> dict[str, str]:
    found = {
        source.name: hub_id(dataset)
        for source in ctx.recipe.sources
        if (dataset := dataset_of(source)) is not None
    }
    return {name: each for name, each in found.items() if each is not None}


def _cluster_sizes(ctx: Context) -> list[int]:
    found = Counter(ctx.workspace.read("clusters", ["cluster"])["cluster"].to_pylist())
    return [size for _, size in sorted(found.items())]


def _facts(ctx: Context, prompts: pa.Table, difficulty: pa.Table) -> dict[str, int]:
    work = ctx.workspace
    ended = work.read("rollouts", ["finish_reason"])["finish_reason"].to_pylist()
    verdicts = work.read("verdicts", ["verdict"])["verdict"].to_pylist()
    suspects = work.read("audit", ["suspect"])["suspect"].to_pylist()
    templates = Counter(prompts["template_id"].to_pylist())
    sampled = set(difficulty["task_id"].to_pylist())
    return {
        "answers": len(ended),
        "truncated": ended.count("length"),
        "verdicts": len(verdicts),
        "unjudged": verdicts.count("unjudged"),
        "tasks": prompts.num_rows,
        "unsampled": sum(task not in sampled for task in prompts["task_id"].to_pylist()),
        "suspects": suspects.count(True),
        "templates": len(templates),
        "largest_template": max(templates.values(), default=0),
    }
