"""Stage 5b: faiss k-means over the embeddings, and a plane to plot them on."""

import numpy as np
import pyarrow as pa

from winnow.pipeline import recipe as recipes
from winnow.pipeline import schema
from winnow.stages.base import Context, StageResult, fingerprint, timed

VERSION = "2"


def mark(ctx: Context) -> str:
    """Fingerprint of what this stage's table is made from, as the recipe and its inputs are now."""
    work, config = ctx.workspace, ctx.recipe.clusters
    return fingerprint(
        ctx,
        "clusters",
        VERSION,
        {
            "embeddings": work.data_version("embeddings"),
            "config": recipes.dump(config),
            "seed": ctx.recipe.seed,
        },
    )


def run(ctx: Context) -> StageResult:
    """Write `clusters`."""
    work, config = ctx.workspace, ctx.recipe.clusters
    mark_now = mark(ctx)
    skipped = work.holds("clusters", mark_now)
    with timed() as clock:
        if not skipped:
            from winnow.pipeline.features.clusters import kmeans, project_2d

            table = work.read("embeddings")
            column = table["embedding"].combine_chunks()
            if len(column):
                vectors = np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)
                found = kmeans(
                    vectors,
                    config.k,
                    seed=ctx.recipe.seed,
                    starts=config.starts,
                    iterations=config.iterations,
                )
                plane = project_2d(vectors)
                columns = [found.assignment, found.distance, plane[:, 0], plane[:, 1]]
            else:
                columns = [[], [], [], []]
            arrays = [
                pa.array(c, f.type) for c, f in zip(columns, list(schema.CLUSTERS)[1:], strict=True)
            ]
            work.write(
                "clusters",
                pa.table([table["prompt_id"].combine_chunks(), *arrays], schema=schema.CLUSTERS),
                mark_now,
            )
    clusters = set(work.read("clusters", ["cluster"])["cluster"].to_pylist())
    return StageResult(
        "clusters",
        work.data_version("clusters"),
        skipped,
        {"prompts": work.num_rows("clusters"), "clusters": len(clusters)},
        {"seconds": clock.seconds},
    )
