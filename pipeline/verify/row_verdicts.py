"""Verdicts for a file of rows: what `winnow verify` does."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.pipeline.contracts import Engine, Task, Verdict
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import canonical_json
from winnow.pipeline.progress import Progress, Silent, Step
from winnow.pipeline.row_files import Batch, RowFile, RowWriter
from winnow.pipeline.schema import VERDICTS
from winnow.pipeline.sources import rows
from winnow.pipeline.verify import needs_answer
from winnow.pipeline.verify.asking import asked, asks, members_by
from winnow.pipeline.verify.rules import prejudge
from winnow.pipeline.verify.worker_pool import VerifierPool

COLUMNS = ("verdict", "reward", "parts", "extracted", "detail")
ADDED = pa.schema([VERDICTS.field(name) for name in COLUMNS])
INPUTS = ("completion", "answer", "verifier_args", "prompt", "finish_reason")

# What judges one row: the worker pool, or a verifier that asks a model.
_Judge = Callable[[str, Task], Any]


@dataclass
class Tally:
    """How many rows came out how; `details` counts the reasons of each verdict."""

    verdicts: Counter[str] = field(default_factory=Counter)
    details: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        self.verdicts[verdict.verdict] += 1
        if verdict.detail:
            kind = verdict.detail.partition(":")[0][:60]
            self.details[verdict.verdict, kind] += 1


async def verify_file(
    verifier: str,
    source: RowFile,
    output: Path,
    *,
    columns: Mapping[str, str],
    settings: Mapping[str, Any],
    workers: int,
    timeout_seconds: float,
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Tally:
    """Write `source`'s rows with their verdicts by `verifier` to `output`.

    `columns` renames inputs (`INPUTS`) to the file's columns; `settings` are arguments of every row,
    which the row's own `verifier_args` override. A row that cannot be read as a task is unjudged,
    with the reason. Raises UsageError where a column is missing.
    """
    named = {name: columns.get(name, name) for name in INPUTS}
    source.require(named["completion"], f"--column completion={named['completion']}")
    if needs_answer(verifier) or "answer" in columns:
        source.require(named["answer"], f"--column answer={named['answer']}")
    for name in columns:
        if name not in INPUTS:
            raise UsageError(f"--column {name}=...: winnow reads {', '.join(INPUTS)}")
        source.require(columns[name], f"--column {name}={columns[name]}")
    tally, done = Tally(), 0
    progress = progress or Silent()
    pool = VerifierPool(workers, timeout_seconds, verifiers=[verifier])
    async with pool:
        with RowWriter(output, source, ADDED) as writer:
            for batch in source.batches():
                verdicts = await _judge_batch(
                    batch, named, source.columns, settings, _judge_with(verifier, pool, engine)
                )
                for verdict in verdicts:
                    tally.add(verdict)
                writer.write(batch, as_columns(verdicts))
                done += len(batch)
                progress.step(Step("verify", done, source.num_rows, "rows"))
    return tally


def as_columns(verdicts: Sequence[Verdict]) -> dict[str, list[Any]]:
    """The added columns, `parts` as canonical JSON text."""
    return {
        "verdict": [v.verdict for v in verdicts],
        "reward": [v.reward for v in verdicts],
        "parts": [canonical_json(dict(v.parts)) for v in verdicts],
        "extracted": [v.extracted for v in verdicts],
        "detail": [v.detail for v in verdicts],
    }


def _judge_with(name: str, pool: VerifierPool, engine: Engine | None) -> _Judge:
    async def judge(completion: str, task: Task) -> Verdict:
        if not asks(name, task.args):
            return (await pool.judge(name, completion, task)).verdict
        if engine is None:
            raise UsageError(
                f"verifier {name} asks a model: name one with --model (and --base-url for a server)"
            )
        with members_by(pool.judge):
            return await asked(name, completion, task, engine)

    return judge


async def _judge_batch(
    batch: Batch,
    named: Mapping[str, str],
    there: Sequence[str],
    settings: Mapping[str, Any],
    judge: _Judge,
) -> list[Verdict]:
    empty = [None] * len(batch)
    inputs = [batch.column(named[name]) if named[name] in there else empty for name in INPUTS]

    async def one(row: Sequence[Any]) -> Verdict:
        completion, answer, args, prompt, finish_reason = row
        try:
            text = _completion(completion)
            own = rows.own_arguments(args, named["verifier_args"])
            task = Task(_messages(prompt), _answer(answer), {**settings, **own})
        except _NoTask as problem:
            return Verdict.unjudged(str(problem))
        except rows.Drop as drop:
            rule = drop.rule if drop.rule == "bad_arguments" else "bad_reference"
            return Verdict.unjudged(f"{rule}: {drop.detail}")
        decided = prejudge(finish_reason) if isinstance(finish_reason, str) else None
        if decided is not None:
            return decided
        found: Verdict = await judge(text, task)
        return found

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(row)) for row in zip(*inputs, strict=True)]
    return [task.result() for task in tasks]


class _NoTask(Exception):
    """The row is nothing that can be judged; the message is the verdict's detail."""


def _completion(value: Any) -> str:
    """Text, or the last message of a conversation."""
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1].get("content")
    if value is None:
        raise _NoTask("no_completion")
    if not isinstance(value, str):
        raise _NoTask(f"bad_completion: {type(value).__name__}, not text")
    return value


def _messages(value: Any) -> list[dict[str, str]]:
    if isinstance(value, list):
        return value
    return [] if value is None else [{"role": "user", "content": str(value)}]


def _answer(value: Any) -> str | None:
    """References as text: numbers without loss, lists and objects as JSON. Raises rows.Drop."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list | dict):
        return canonical_json(rows.plain(value))
    return rows.answer(value, needed=False)
