"""What a materialisation shows to people: counts, costs, previews, pictures, columns, links."""

import base64
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from winnow.assets import previews
from winnow.pipeline import schema
from winnow.pipeline.publish.markdown import fenced
from winnow.pipeline.publish.version import Version, open_version
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.workspace import Workspace
from winnow.stages.base import StageResult

Metadata = dict[str, dg.MetadataValue[Any]]

# Keys of StageResult.cost: stored as floats, so that the UI draws their trend over runs.
COSTS = ("seconds", "answers_reused", "answers_drawn", "tokens_drawn", "tokens_read", "cost",
         "sampling_seconds", "tokens_per_second", "judged_here", "computed_here")  # fmt: skip
UP_TO_DATE = "up_to_date"


def describe(recipe: Recipe, work: Workspace, result: StageResult) -> Metadata:
    """Metadata of one stage's result. What finding nothing to do took is no point on a trend."""
    costs = {} if result.skipped else result.cost
    found: Metadata = {
        **{name: dg.MetadataValue.int(count) for name, count in result.counts.items()},
        **{name: dg.MetadataValue.float(round(float(cost), 6)) for name, cost in costs.items()},
        UP_TO_DATE: dg.MetadataValue.bool(result.skipped),
    }
    if result.stage == "training_set":
        return {**found, **_training_set(recipe, work, result)}
    table = work.table_path(result.stage).absolute()
    found["dagster/row_count"] = dg.MetadataValue.int(work.num_rows(result.stage))
    found["dagster/column_schema"] = columns(_schema_of(work, result.stage))
    found["table"] = dg.MetadataValue.path(str(table))
    return {**found, **_MORE[result.stage](work)}


def of_set(recipe: Recipe, version: Version, name: str) -> Metadata:
    """Metadata of one set of a version: rows by split, first rows, decisions, columns, how to load."""
    import pyarrow.parquet as pq

    manifest = version.manifest()
    table = pq.read_schema(version.table_path(name, "train"))
    return {
        **{split: dg.MetadataValue.int(rows) for split, rows in version.rows[name].items()},
        "dagster/row_count": dg.MetadataValue.int(sum(version.rows[name].values())),
        "dagster/column_schema": columns(table),
        "version": dg.MetadataValue.text(version.ref),
        "load": dg.MetadataValue.md(load_lines(version, [name])),
        "preview": dg.MetadataValue.md(previews.published(recipe, version, [name])),
        "decisions": dg.MetadataValue.md(previews.decisions(manifest, name)),
    }


def of_report(version: Version, path: Path) -> Metadata:
    """Metadata of the report on a version: the page and its size, when the version was published,
    rows by set and split."""
    published = {}
    if version.created:  # in run.json, which a copy of a version may lack
        published["published"] = dg.MetadataValue.timestamp(datetime.fromisoformat(version.created))
    return {
        "page": dg.MetadataValue.path(str(path)),
        "bytes": dg.MetadataValue.int(path.stat().st_size),
        "version": dg.MetadataValue.text(version.ref),
        **published,
        **{
            f"{name}/{split}": dg.MetadataValue.int(rows)
            for name, splits in sorted(version.rows.items())
            for split, rows in sorted(splits.items())
        },
    }


def documented(stage: str) -> Metadata:
    """The columns that a stage's table is going to have, where it has one table."""
    table = schema.TABLES.get(stage)
    return {"dagster/column_schema": columns(table)} if table is not None else {}


def columns(table: Any) -> dg.TableSchemaMetadataValue:
    """The columns of an Arrow schema with their meanings."""
    return dg.MetadataValue.table_schema(
        dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name,
                    type=kind,
                    description=meaning,
                    constraints=dg.TableColumnConstraints(nullable=table.field(name).nullable),
                )
                for name, kind, meaning in schema.describe(table)
            ]
        )
    )


def picture(png: bytes, alt: str) -> dg.MarkdownMetadataValue:
    """A PNG inside markdown."""
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")


def load_lines(version: Version, names: Collection[str] | None = None) -> str:
    """The Python that loads the version's sets, or those in `names`."""
    lines = ["from datasets import load_dataset", ""]
    for name, splits in sorted(version.rows.items()):
        if names is not None and name not in names:
            continue
        lines += [
            f"{_variable(name)}_{split} = load_dataset({str(version.path)!r}, {name!r}, split={split!r})"
            for split, rows in sorted(splits.items(), reverse=True)
            if rows
        ]
    return fenced("\n".join(lines), "python")


def _variable(name: str) -> str:
    plain = "".join(c if c.isalnum() else "_" for c in name)
    return plain if plain[:1].isalpha() else f"set_{plain}"


def _schema_of(work: Workspace, stage: str) -> Any:
    import pyarrow.parquet as pq

    return pq.read_schema(work.table_path(stage))


def _prompts(work: Workspace) -> Metadata:
    return {"preview": dg.MetadataValue.md(previews.prompts(work))}


def _rollouts(work: Workspace) -> Metadata:
    import pyarrow.compute as pc

    table = work.read("rollouts", ["n_tokens", "finish_reason"])
    found: Metadata = {"preview": dg.MetadataValue.md(previews.rollouts(work))}
    answers = table.filter(pc.field("finish_reason") != "error")
    if answers.num_rows:
        mean = float(pc.mean(answers["n_tokens"]).as_py())
        found["tokens_per_answer"] = dg.MetadataValue.float(mean)
        cut = pc.sum(pc.equal(answers["finish_reason"], "length")).as_py()
        found["truncated_share"] = dg.MetadataValue.float(float(cut) / answers.num_rows)
    return found


def _verdicts(work: Workspace) -> Metadata:
    values = work.read("verdicts", ["verdict"])["verdict"].to_pylist()
    found: Metadata = {"preview": dg.MetadataValue.md(previews.verdicts(work))}
    judged = values.count("correct") + values.count("wrong")
    if judged:
        found["pass_rate"] = dg.MetadataValue.float(values.count("correct") / judged)
    if values:
        found["unjudged_share"] = dg.MetadataValue.float(values.count("unjudged") / len(values))
    return found


def _audit(work: Workspace) -> Metadata:
    return {"preview": dg.MetadataValue.md(previews.audit(work))}


def _difficulty(work: Workspace) -> Metadata:
    from winnow.pipeline.publish import pictures

    rates = work.read("difficulty", ["pass_rate"])["pass_rate"].to_pylist()
    known = [rate for rate in rates if rate is not None]
    found: Metadata = {
        "pass_rates": picture(pictures.pass_rate_histogram(rates), "tasks by pass rate"),
        "preview": dg.MetadataValue.md(previews.difficulty(work)),
    }
    if known:
        found["mean_pass_rate"] = dg.MetadataValue.float(sum(known) / len(known))
        between = sum(0 < rate < 1 for rate in known)
        found["between_share"] = dg.MetadataValue.float(between / len(known))
    return found


def _embeddings(work: Workspace) -> Metadata:
    first = previews.head(work.table_path("embeddings"), 1, ["embedding"])
    return {"dimensions": dg.MetadataValue.int(len(first[0]["embedding"]) if first else 0)}


def _clusters(work: Workspace) -> Metadata:
    from winnow.pipeline.publish import pictures

    table = work.read("clusters", ["cluster", "centroid_distance", "x", "y"])
    found: Metadata = {"preview": dg.MetadataValue.md(previews.clusters(work))}
    if table.num_rows:
        x, y, number, distance = (
            table[name].to_numpy() for name in ("x", "y", "cluster", "centroid_distance")
        )
        found["map"] = picture(pictures.cluster_scatter(x, y, number), "prompts by cluster")
        found["mean_centroid_distance"] = dg.MetadataValue.float(float(distance.mean()))
    return found


def _scores(work: Workspace) -> Metadata:
    return {"preview": dg.MetadataValue.md(previews.scores(work))}


_MORE: Mapping[str, Callable[[Workspace], Metadata]] = {
    "prompts": _prompts,
    "rollouts": _rollouts,
    "verdicts": _verdicts,
    "audit": _audit,
    "difficulty": _difficulty,
    "embeddings": _embeddings,
    "clusters": _clusters,
    "scores": _scores,
}


def _training_set(recipe: Recipe, work: Workspace, result: StageResult) -> Metadata:
    import pyarrow.parquet as pq

    version = open_version((work.home / recipe.dataset / result.data_version).absolute())
    schemas = {name: pq.read_schema(version.table_path(name, "train")) for name in version.rows}
    rows = sum(count for splits in version.rows.values() for count in splits.values())
    return {
        "version": dg.MetadataValue.text(version.ref),
        "folder": dg.MetadataValue.path(str(version.path)),
        "load": dg.MetadataValue.md(load_lines(version)),
        "dagster/row_count": dg.MetadataValue.int(rows),
        "preview": dg.MetadataValue.md(previews.published(recipe, version)),
        "decisions": dg.MetadataValue.md(previews.decisions(version.manifest())),
        **{f"columns_{name}": columns(each) for name, each in sorted(schemas.items())},
    }
