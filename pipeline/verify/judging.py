"""From stored answers to stored verdicts: which are missing, and how one is made."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

from winnow.pipeline.contracts import Engine, Task, Verdict
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import canonical_json, verdict_id
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify import members, verifier_label
from winnow.pipeline.verify.asking import asked, asks, members_by
from winnow.pipeline.verify.rules import prejudge
from winnow.pipeline.verify.worker_pool import TimedVerdict, VerifierPool

Row = Mapping[str, Any]
_R = TypeVar("_R")

OUT_OF_TIME = ("timeout", "worker_died")  # details that a longer limit may mend


class Tasks:
    """The tasks of each prompt, as verifiers take them; one prompt may have several references.

    `judge` names the model that verifiers which ask one will ask (model @ revision): it is part of
    their verdicts' names.
    """

    def __init__(self, prompts: pa.Table, judge: str | None = None) -> None:
        self._judge = judge
        self.by_prompt: dict[str, list[tuple[str, str, Task]]] = defaultdict(list)
        columns = ["task_id", "prompt_id", "messages", "answer", "verifier", "verifier_args"]
        for row in prompts.select(columns).to_pylist():
            task = Task(row["messages"], row["answer"], json.loads(row["verifier_args"]))
            self.by_prompt[row["prompt_id"]].append((row["task_id"], row["verifier"], task))

    @property
    def verifiers(self) -> list[str]:
        """Every verifier that judges here, members of ensembles included."""
        return sorted(
            set().union(
                *(
                    members(verifier, task.args)
                    for tasks in self.by_prompt.values()
                    for _, verifier, task in tasks
                )
            )
        )

    def verdict_ids(self, rollout: str, prompt: str) -> list[str]:
        """Names of the verdicts that this rollout should have."""
        return [self.verdict_name(rollout, *task) for task in self.by_prompt[prompt]]

    def verdict_name(self, rollout: str, task_id: str, verifier: str, task: Task) -> str:
        name, _, version = self.label(verifier, task).partition("@")
        return verdict_id(rollout, task_id, name, version, task.args)

    def label(self, verifier: str, task: Task) -> str:
        """Who judges: name@version, and the model where one is asked."""
        if asks(verifier, task.args):
            return f"{verifier_label(verifier, task.args)}+{self._judge}"
        return verifier_label(verifier, task.args)

    @property
    def labels(self) -> list[str]:
        """Every judge's label, sorted."""
        return sorted(
            {
                self.label(verifier, task)
                for tasks in self.by_prompt.values()
                for _, verifier, task in tasks
            }
        )

    @property
    def ask_a_model(self) -> bool:
        """Whether some verdict needs a model."""
        return any(
            asks(verifier, task.args)
            for tasks in self.by_prompt.values()
            for _, verifier, task in tasks
        )


class Judge:
    """Judges a rollout for each task of its prompt and stores the verdicts.

    Called for every rollout while sampling goes on; verdicts that exist are not made again.
    `engine` is for verifiers that ask a model.
    """

    def __init__(
        self,
        tasks: Tasks,
        pool: VerifierPool,
        writer: AsyncWriter,
        known: set[str],
        on_verdict: Callable[[Row], None] = lambda row: None,
        engine: Engine | None = None,
    ) -> None:
        self._tasks, self._pool, self._writer = tasks, pool, writer
        self._engine = engine
        self._known = known
        self._on_verdict = on_verdict

    async def __call__(self, rollout: Row) -> None:
        for task_id, verifier, task in self._tasks.by_prompt[rollout["prompt_id"]]:
            name = self._tasks.verdict_name(rollout["rollout_id"], task_id, verifier, task)
            if name in self._known:
                continue
            verdict, seconds = prejudge(rollout["finish_reason"]), 0.0
            if verdict is None:
                timed = await judge_text(
                    verifier, rollout["completion"], task, self._pool, self._engine
                )
                verdict, seconds = timed.verdict, timed.seconds
            label = self._tasks.label(verifier, task)
            row = verdict_row(name, rollout["rollout_id"], task_id, label, verdict, seconds)
            await self._writer.put(row)
            self._known.add(name)
            self._on_verdict(row)


async def judge_text(
    verifier: str, completion: str, task: Task, pool: VerifierPool, engine: Engine | None
) -> TimedVerdict:
    """The verdict on one text, by a worker of `pool`, or by `engine` where the verifier asks a model.

    Raises UsageError where it asks one and `engine` is None.
    """
    if not asks(verifier, task.args):
        return await pool.judge(verifier, completion, task)
    if engine is None:
        raise UsageError(f"verifier {verifier!r} asks a model, and none is given")
    started = time.perf_counter()
    with members_by(pool.judge):
        verdict = await asked(verifier, completion, task, engine)
    return TimedVerdict(verdict, time.perf_counter() - started)


async def judge_missing(
    rows: Iterable[_R], judge: Callable[[_R], Awaitable[None]], *, concurrency: int
) -> None:
    """Judge rows (of stored rollouts, where `judge` is a `Judge`), `concurrency` at a time."""
    free = asyncio.Semaphore(concurrency)

    async def one(row: _R) -> None:
        try:
            await judge(row)
        finally:
            free.release()

    async with asyncio.TaskGroup() as group:
        for row in rows:
            await free.acquire()
            group.create_task(one(row))


def missing_verdicts(
    rollouts: pa.Table, tasks: Tasks, store: Store, timeout_seconds: float
) -> tuple[set[str], list[str]]:
    """(names that exist, rollouts that lack a verdict) for `rollouts` (rollout_id, prompt_id).

    Judgements that ran into a lower time limit than the present one are forgotten, and lacking.
    """
    wanted: dict[str, list[str]] = {}
    ids, prompts = rollouts["rollout_id"].to_pylist(), rollouts["prompt_id"].to_pylist()
    for rollout, prompt in zip(ids, prompts, strict=True):
        wanted[rollout] = tasks.verdict_ids(rollout, prompt)
    names = [name for each in wanted.values() for name in each]
    judged = store.get(names, columns=["verdict", "detail", "seconds"])
    again = [
        row["verdict_id"]
        for row in judged.to_pylist()
        if row["verdict"] == "unjudged"
        and row["detail"] in OUT_OF_TIME
        and row["seconds"] + 1 < timeout_seconds
    ]
    store.delete(again)
    known = set(judged["verdict_id"].to_pylist()) - set(again)
    lacking = [rollout for rollout, each in wanted.items() if not known.issuperset(each)]
    return known, lacking


def verdict_row(
    name: str, rollout: str, task_id: str, verifier: str, verdict: Verdict, seconds: float
) -> dict[str, Any]:
    """A row of the verdicts table; `verifier` is the judge's label."""
    return {
        "verdict_id": name,
        "rollout_id": rollout,
        "task_id": task_id,
        "verifier": verifier,
        "verdict": verdict.verdict,
        "reward": verdict.reward,
        "parts": canonical_json(dict(verdict.parts)),
        "extracted": verdict.extracted,
        "detail": verdict.detail,
        "seconds": seconds,
    }
