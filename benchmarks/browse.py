"""How long the pages of `winnow browse` take over a large version: 100,000 rows, 400,000 answers.

    python benchmarks/browse.py [--rows 100000]

Everything is made here from a vocabulary with Zipf's frequencies: a published set, and the tables of
the run behind it. Printed are the milliseconds of each kind of page (median and slowest of several,
each with other parameters), and the seconds until the first page and until the index of words.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.pipeline import recipe as recipes
from winnow.pipeline import schema
from winnow.pipeline.names import digest
from winnow.pipeline.publish import manifest as manifests
from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.set_schemas import SETS
from winnow.pipeline.publish.writer import publish
from winnow.pipeline.workspace import Workspace

RECIPE = """
dataset: large
sources: [{type: dataset, path: rows.jsonl, name: file}]
engine: {type: replay, policy: teacher}
sampling: {n: 4, max_tokens: 500}
sets: {sft: {uds: false}}
"""
ANSWERS = 4
REPEATS = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        version = make(home, rows)
        start = time.perf_counter()
        browser = Browser(catalogue(version, home))
        print(f"first page possible after {time.perf_counter() - start:.2f} s")
        try:
            measure(browser, version)
        finally:
            browser.close()


def make(home: Path, rows: int) -> Any:
    """A version with so many rows of one set, and the run's tables."""
    rng = np.random.default_rng(0)
    words = np.array([digest("word", int(n))[: 3 + n % 7] for n in range(50_000)])
    weights = 1.0 / np.arange(1, len(words) + 1)
    weights /= weights.sum()

    def texts(count: int, length: int) -> list[str]:
        drawn = rng.choice(words, size=(count, length), p=weights)
        return [" ".join(line) for line in drawn]

    prompts = [digest("prompt", n) for n in range(rows)]
    questions, answers = texts(rows, 60), texts(rows * ANSWERS, 120)
    rates = rng.integers(0, ANSWERS + 1, rows) / ANSWERS
    origin: dict[str, Any] = {
        "prompt_id": prompts,
        "task_id": [digest("task", n) for n in range(rows)],
        "source": [f"source {n % 5}" for n in range(rows)],
        "licence": ["mit"] * rows,
        "template_id": [digest("template", n // 3) for n in range(rows)],
        "policy": ["teacher"] * rows,
        "template": ["none"] * rows,
        "sampler": ["{}"] * rows,
        "pass_rate": rates,
        "cluster": rng.integers(0, 200, rows),
    }
    asked = [[{"role": "user", "content": text}] for text in questions]
    table = {
        **origin,
        "id": [digest("sft/1", n) for n in range(rows)],
        "messages": [
            [*question, {"role": "assistant", "content": answers[n * ANSWERS]}]
            for n, question in enumerate(asked)
        ],
        "weight": [1.0] * rows,
        "rollout_id": [digest("rollout", n * ANSWERS) for n in range(rows)],
        "verifier": ["math@1"] * rows,
        "verdict": ["correct"] * rows,
        "score": rng.normal(size=rows),
    }
    drawn = rows * ANSWERS
    rollouts = {
        "rollout_id": [digest("rollout", n) for n in range(drawn)],
        "prompt_id": [prompts[n // ANSWERS] for n in range(drawn)],
        "policy": ["teacher"] * drawn,
        "template": ["none"] * drawn,
        "sampler": ["{}"] * drawn,
        "recipe_seed": [0] * drawn,
        "index": [n % ANSWERS for n in range(drawn)],
        "attempt": [0] * drawn,
        "completion": answers,
        "token_ids": [None] * drawn,
        "logprob_sum": -np.abs(rng.normal(size=drawn)),
        "n_tokens": [200] * drawn,
        "finish_reason": ["stop"] * drawn,
        "max_tokens": [500] * drawn,
        "seed": list(range(drawn)),
        "error": [None] * drawn,
    }
    right = rng.random(drawn) < 0.5
    verdicts = {
        "verdict_id": [digest("verdict", n) for n in range(drawn)],
        "rollout_id": rollouts["rollout_id"],
        "task_id": [origin["task_id"][n // ANSWERS] for n in range(drawn)],
        "verifier": ["math@1"] * drawn,
        "verdict": ["correct" if each else "wrong" for each in right],
        "reward": right.astype(float),
        "parts": ["{}"] * drawn,
        "extracted": [str(n) for n in range(drawn)],
        "detail": [None] * drawn,
    }
    ledger = {
        "row_id": rollouts["rollout_id"],
        "stage": ["training_set/sft"] * drawn,
        "decision": ["kept" if n % ANSWERS == 0 else "dropped" for n in range(drawn)],
        "rule": ["selected" if n % ANSWERS == 0 else "per_prompt" for n in range(drawn)],
        "value": [str(n % ANSWERS + 1) for n in range(drawn)],
        "threshold": ["<= 1"] * drawn,
        "detail": [None] * drawn,
    }
    work = Workspace(home, "large")
    for name, columns in {"rollouts": rollouts, "verdicts": verdicts}.items():
        fields = [f for f in schema.TABLES[name] if f.name in columns]
        made = pa.table([pa.array(columns[f.name], f.type) for f in fields], pa.schema(fields))
        work.write(name, made.sort_by(fields[0].name), "made")
    text = recipes.dump(recipes.parse(RECIPE))
    return publish(
        home / "large",
        {"sft": {"train": pa.table([pa.array(table.get(f.name, [None] * rows), f.type) for f in SETS["sft"]], SETS["sft"])}},
        manifest=manifests.build(
            text, code_version="0", models={}, verifiers=[], inputs={}, counts={},
            prompts_by_source={}, pass_rates=rates.tolist(),
        ),
        ledger=pa.table([pa.array(ledger[f.name], f.type) for f in schema.LEDGER], schema.LEDGER),
        run={"recipe_name": "large"},
    )  # fmt: skip


def measure(browser: Browser, version: Any) -> None:
    from starlette.testclient import TestClient

    client = TestClient(browser.app(), base_url="http://localhost")
    table = version.table("sft").select(["id", "rollout_id", "cluster"])
    at = np.linspace(0, table.num_rows - 1, REPEATS).astype(int).tolist()
    ids, rollouts = (table[name].take(at).to_pylist() for name in ("id", "rollout_id"))
    pages = table.num_rows // 50
    # Before the index of words is built beside them.
    kinds: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "overview": [("/", {})] * REPEATS,
        "first page of rows": [("/sets/sft/train", {})] * REPEATS,
        "a page of rows": [("/sets/sft/train", {"page": 1 + n * pages // REPEATS}) for n in range(REPEATS)],
        "filtered": [("/sets/sft/train", {"is.source": f"source {n % 5}", "min.score": n / 20}) for n in range(REPEATS)],
        "sorted": [("/sets/sft/train", {"sort": "score", "page": 1 + n}) for n in range(REPEATS)],
        "a row": [("/row", {"set": "sft", "id": name}) for name in ids],
        "a row among chosen ones": [("/row", {"set": "sft", "id": name, "min.score": -9, "sort": "score"}) for name in ids],
        "an answer's life": [("/life", {"id": name}) for name in rollouts],
        "ledger": [("/ledger", {"rule": "per_prompt", "page": 1 + n * 100}) for n in range(REPEATS)],
    }  # fmt: skip
    for name, asked in kinds.items():
        _report(client, name, asked)
    start = time.perf_counter()
    browser.start()
    browser.words.ready.wait()
    print(f"index of words: {time.perf_counter() - start:.1f} s")
    words = [digest("word", n)[: 3 + n % 7] for n in (0, 3, 40, 500, 5000, 17, 90, 900, 9000)]
    _report(client, "words", [("/search", {"q": f"{word} {words[0]}"}) for word in words])
    _report(client, "exact text", [("/search", {"q": word, "mode": "text"}) for word in words])


def _report(client: Any, name: str, asked: list[tuple[str, dict[str, Any]]]) -> None:
    took = []
    for path, parameters in asked:
        start = time.perf_counter()
        answer = client.get(path, params=parameters)
        took.append(1000 * (time.perf_counter() - start))
        assert answer.status_code == 200, (path, parameters, answer.status_code)
    print(f"{name}: {statistics.median(took):.0f} ms, slowest {max(took):.0f} ms")


if __name__ == "__main__":
    main()
