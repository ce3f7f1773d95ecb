"""The report on, and `load_dataset` of, a version with 1,000,000 rows.

    python benchmarks/report.py [--rows 1000000] [--home FOLDER]

Makes a version from made-up stage tables: as many prompts of about 40 words from 8 sources, two answers
to each, verdicts, pass rates, clusters, and a ledger; `sft` holds a row per prompt, `rl` one per prompt
of medium difficulty. Then, each in a process of its own: the report with all signals, the report from
the version alone, and `load_dataset` of `sft`, whole and streamed. Prints seconds, peak memory, and the
size of each file. With --home the folder is kept, and what it holds already is not made again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SOURCES = tuple(f"source-{at}" for at in range(8))
STEPS = ("report", "report from the version alone", "load_dataset", "load_dataset, streamed")
WORDS = np.array([f"word{at}" for at in range(5_000)])
NAME = "bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--step", choices=STEPS, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        print(json.dumps(step(chosen.step, chosen.home)))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = chosen.home or Path(folder)
        if not (home / NAME).is_dir():
            start = time.perf_counter()
            make(home, chosen.rows)
            print(f"made the version in {time.perf_counter() - start:.1f} s")
        for name in STEPS:
            command = [sys.executable, __file__, "--step", name, "--home", str(home)]
            environment = {**os.environ, "HF_DATASETS_CACHE": str(Path(folder) / "cache")}
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
            print(f"{name}: {json.loads(run.stdout.splitlines()[-1])}")


def step(name: str, home: Path) -> dict[str, Any]:
    """Do one thing and tell what it took."""
    from winnow.pipeline.publish.version import resolve

    version = resolve(NAME, home)
    start = time.perf_counter()
    told: dict[str, Any] = {}
    if name.startswith("report"):
        from winnow.pipeline.publish.report import workspace_of, write

        work = workspace_of(version, home) if name == "report" else None
        told["bytes"] = write(version, work, home / f"{name}.html").stat().st_size
    else:
        import datasets

        streaming = name.endswith("streamed")
        rows = datasets.load_dataset(str(version.path), "sft", split="train", streaming=streaming)
        told["rows"] = sum(1 for _ in rows) if streaming else len(rows)
    # Not getrusage: what it gives begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
    return {"seconds": round(time.perf_counter() - start, 1), "peak_GiB": round(peak, 2), **told}


def make(home: Path, n: int) -> None:
    """Write the stage tables and publish the version."""
    from winnow.pipeline import recipe, schema
    from winnow.pipeline.publish import manifest as manifests
    from winnow.pipeline.publish.set_schemas import RL, SFT
    from winnow.pipeline.publish.writer import publish
    from winnow.pipeline.workspace import Workspace

    rng = np.random.default_rng(0)
    work = Workspace(home, NAME)
    rates = np.round(rng.beta(0.6, 0.6, n) * 2) / 2  # of two answers
    cluster = rng.integers(0, 300, n)
    prompts = prompts_table(rng, n)
    right = np.stack([rates > 0, rates == 1], axis=1).ravel()
    rollouts, verdicts = answers(rng, prompts, right)
    judged = np.full(n, 2)
    tables = {
        "prompts": prompts,
        "rollouts": rollouts,
        "verdicts": verdicts,
        "difficulty": table(
            schema.DIFFICULTY, n, task_id=prompts["task_id"], n=judged, n_correct=(rates * 2).astype(int),
            n_wrong=((1 - rates) * 2).astype(int), n_unjudged=judged * 0, n_truncated=judged * 0,
            pass_rate=rates, pass_rate_low=rates, reward_mean=rates, alpha=1 + rates * 2,
            beta=3 - rates * 2, interval_low=rates * 0.5, interval_high=0.5 + rates * 0.5,
        ),
        "clusters": table(
            schema.CLUSTERS, n, prompt_id=prompts["prompt_id"], cluster=cluster,
            centroid_distance=rng.random(n), x=cluster % 17 + rng.normal(size=n),
            y=cluster % 13 + rng.normal(size=n),
        ),
        "audit": table(
            schema.AUDIT, n, task_id=prompts["task_id"], verifier="math@1", n_majority=judged,
            n_agree_reference=judged, n_judged=judged, n_answers=judged, suspect=np.zeros(n, bool),
        ),
        "scores": schema.SCORES.empty_table(),
    }  # fmt: skip
    inputs = {name: work.write(name, each, "made up") for name, each in tables.items()}
    medium = rates == 0.5
    first = rollouts.filter(pa.array(np.arange(2 * n) % 2 == 0))
    text = (
        f"dataset: {NAME}\nsources: [{{type: dataset, name: s, path: rows.jsonl}}]\n"
        "sets: {sft: {}, rl: {}}\n"
    )
    manifest = manifests.build(
        recipe.dump(recipe.parse(text)),
        code_version="0", models={"policy": "m@1"}, verifiers=["math@1"], inputs=inputs,
        counts={"source rows": n, "prompts": n, "answers": 2 * n, "judged correct": int(right.sum())},
        prompts_by_source=dict.fromkeys(SOURCES, n // len(SOURCES)), pass_rates=rates.tolist(),
    )  # fmt: skip
    origin = {
        name: prompts[name] for name in ("prompt_id", "task_id", "source", "licence", "template_id")
    }
    facts = {**origin, "pass_rate": rates, "cluster": cluster, "policy": "m@1", "template": "t",
             "sampler": "{}", "verifier": "math@1"}  # fmt: skip
    sft = table(SFT, n, **facts, id=first["rollout_id"], messages=prompts["messages"], weight=1.0,
                rollout_id=first["rollout_id"], verdict="correct")  # fmt: skip
    rl = table(RL, n, **facts, id=prompts["task_id"], prompt=prompts["messages"], answer="42",
               verifier_args="{}", n_judged=judged)  # fmt: skip
    publish(
        home / NAME,
        {"sft": {"train": sft}, "rl": {"train": rl.filter(pa.array(medium))}},
        manifest=manifest,
        ledger=ledger(prompts, rollouts, medium),
        run={"recipe_name": NAME, "costs": {"rollouts": {"seconds": 1.0, "tokens_drawn": 2 * n}}},
    )


def prompts_table(rng: np.random.Generator, n: int) -> pa.Table:
    from winnow.pipeline import schema

    texts = [" ".join(words) for words in WORDS[rng.integers(0, len(WORDS), (n, 40))]]
    messages = pa.ListArray.from_arrays(
        pa.array(np.arange(n + 1, dtype=np.int32)),
        pa.StructArray.from_arrays(
            [pa.array(["user"] * n), pa.array(texts)], fields=list(schema.MESSAGES.value_type)
        ),
    )
    return table(
        schema.PROMPTS, n, task_id=names("task", n), prompt_id=names("prompt", n), messages=messages,
        answer="42", verifier="math", verifier_args="{}", licence="mit", domain="words",
        source=np.array(SOURCES)[rng.integers(0, len(SOURCES), n)], source_index=np.arange(n),
        template_id=names("template", n), n_tokens=rng.integers(20, 400, n), meta="{}",
    )  # fmt: skip


def answers(
    rng: np.random.Generator, prompts: pa.Table, right: np.ndarray[Any, Any]
) -> tuple[pa.Table, pa.Table]:
    """Two answers per prompt, in order, and their verdicts."""
    from winnow.pipeline import schema

    twice = pa.array(np.arange(prompts.num_rows).repeat(2))
    n = len(twice)
    texts = [" ".join(words) for words in WORDS[rng.integers(0, len(WORDS), (n, 30))]]
    rollouts = table(
        schema.ROLLOUTS, n, rollout_id=names("rollout", n), prompt_id=prompts["prompt_id"].take(twice),
        policy="m@1", template="t", sampler="{}", recipe_seed=0, index=np.arange(n) % 2, attempt=0,
        completion=texts, n_tokens=rng.integers(10, 500, n), finish_reason="stop", max_tokens=512, seed=0,
    )  # fmt: skip
    verdicts = table(
        schema.VERDICTS, n, verdict_id=names("verdict", n), rollout_id=rollouts["rollout_id"],
        task_id=prompts["task_id"].take(twice), verifier="math@1", parts="{}", seconds=0.0,
        verdict=np.where(right, "correct", "wrong"), reward=right.astype(float), extracted="42",
    )  # fmt: skip
    return rollouts, verdicts


def ledger(prompts: pa.Table, rollouts: pa.Table, medium: np.ndarray[Any, Any]) -> pa.Table:
    from winnow.pipeline.schema import LEDGER

    n = prompts.num_rows
    kept = np.array(["dropped", "kept"])
    first = np.arange(2 * n) % 2 == 0
    parts = [
        table(LEDGER, n, row_id=prompts["task_id"], stage="prompts", decision="kept", rule="ingested"),
        table(LEDGER, n, row_id=prompts["task_id"], stage="training_set/rl", decision=kept[medium * 1],
              rule=np.where(medium, "selected", "pass_rate"), value="1.0", threshold="0.1 to 0.9"),
        table(LEDGER, 2 * n, row_id=rollouts["rollout_id"], stage="training_set/sft",
              decision=kept[first * 1], rule=np.where(first, "selected", "per_prompt"), value="2",
              threshold="<= 1"),
    ]  # fmt: skip
    return pa.concat_tables(parts)


def names(kind: str, n: int) -> pa.Array:
    """n names that look like digests."""
    numbers = pa.array(np.random.default_rng(len(kind)).permutation(n)).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_lpad(numbers, 24, "0"), kind, "-")


def table(schema: pa.Schema, n: int, /, **columns: Any) -> pa.Table:
    """n rows; a column that is one value is the same throughout. One that is not given is null, or empty
    where it must not be."""
    arrays = []
    for field in schema:
        value = columns.get(field.name)
        if value is None and not field.nullable:
            value = "" if pa.types.is_string(field.type) else 0
        if value is None or isinstance(value, str | int | float):
            arrays.append(pa.repeat(pa.scalar(value, field.type), n))
        else:
            column = value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.array(value)
            arrays.append(column.cast(field.type))
    return pa.table(arrays, schema=schema)


if __name__ == "__main__":
    main()
