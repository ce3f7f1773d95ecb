"""Which verdicts are missing, and that one is made once."""

import asyncio
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline import schema
from winnow.pipeline.names import prompt_id, task_id
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify.judging import Judge, Tasks, judge_missing, missing_verdicts
from winnow.pipeline.verify.worker_pool import VerifierPool

MESSAGES = [{"role": "user", "content": "1 + 1?"}]
PROMPT = prompt_id(MESSAGES)
ANSWERS = {"r0": "The answer is 2.", "r1": "The answer is 3.", "r2": ""}


def _prompts(*answers: str) -> pa.Table:
    rows = [
        {
            "task_id": task_id(PROMPT, answer, "math", {}), "prompt_id": PROMPT,
            "messages": MESSAGES, "answer": answer, "verifier": "math", "verifier_args": "{}",
            "source": "s", "source_index": 0, "licence": None, "domain": None, "template_id": "t",
            "n_tokens": None, "meta": "{}",
        }
        for answer in answers
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema.PROMPTS)


ROLLOUTS = pa.table({"rollout_id": list(ANSWERS), "prompt_id": [PROMPT] * len(ANSWERS)})
ROWS = [
    {"rollout_id": name, "prompt_id": PROMPT, "completion": text,
     "finish_reason": "length" if name == "r2" else "stop"}
    for name, text in ANSWERS.items()
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "v", schema.VERDICTS, "verdict_id", write=True) as opened:
        yield opened


def _judge(store: Store, tasks: Tasks) -> list[str]:
    """Judge what is missing; gives the rollouts that were judged."""
    known, lacking = missing_verdicts(ROLLOUTS, tasks, store, 10.0)
    made: list[str] = []

    async def main() -> None:
        async with VerifierPool(1, 10.0, verifiers=["math"]) as pool, AsyncWriter(store) as writer:
            judge = Judge(tasks, pool, writer, known, lambda row: made.append(row["rollout_id"]))
            await judge_missing(
                [r for r in ROWS if r["rollout_id"] in lacking], judge, concurrency=2
            )

    if lacking:
        asyncio.run(main())
    return sorted(made)


def test_every_answer_is_judged_once_for_every_reference(store: Store) -> None:
    one = Tasks(_prompts("2"))
    assert _judge(store, one) == ["r0", "r1", "r2"]
    assert _judge(store, one) == []
    found = {row["rollout_id"]: row for row in store.all().to_pylist()}
    assert [found[r]["verdict"] for r in ANSWERS] == ["correct", "wrong", "unjudged"]
    assert found["r2"]["detail"] == "truncated"
    # A further reference is a further task: only its verdicts are missing.
    assert _judge(store, Tasks(_prompts("2", "3"))) == ["r0", "r1", "r2"]
    assert store.count() == 6


def test_a_timeout_is_judged_again_under_a_longer_limit_only(store: Store) -> None:
    tasks = Tasks(_prompts("2"))
    _judge(store, tasks)
    (row,) = (r for r in store.all().to_pylist() if r["rollout_id"] == "r0")
    store.delete([row["verdict_id"]])
    store.put(
        [{**row, "verdict": "unjudged", "reward": None, "detail": "timeout", "seconds": 10.0}]
    )
    assert missing_verdicts(ROLLOUTS, tasks, store, 10.0)[1] == []
    assert missing_verdicts(ROLLOUTS, tasks, store, 60.0)[1] == ["r0"]
