"""Draw the answers that are missing, store each before it counts, and have it judged beside.

All requests of all prompts share one limit of requests in flight; nothing waits for the slowest
prompt of a batch, and a verdict is under way while the next answers are still being drawn.
"""

import asyncio
import gc
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from winnow.pipeline.contracts import Completion, Engine, EngineError, Identity, Sampling
from winnow.pipeline.names import Message, canonical_json, rollout_id, rollout_seed
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify.worker_pool import encodable

PERMANENT = "permanent: "  # an error that another try cannot mend starts so

PLAN_COLUMNS = (
    "prompt_id", "index", "attempt", "n_tokens", "finish_reason", "max_tokens", "error",
)  # fmt: skip

Row = dict[str, Any]
AnyRow = TypeVar("AnyRow", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Target:
    """What one prompt should have: answers 0 to n - 1 from one policy and distribution."""

    identity: Identity
    sampling: Sampling
    seed: int
    n: int
    max_tokens: int
    max_attempts: int

    @cached_property
    def sampler(self) -> str:
        """The distribution's name, which every row holds."""
        return self.sampling.name

    @property
    def shared(self) -> dict[str, Any]:
        """The columns that all its rollouts share."""
        return {
            "policy": self.identity.policy,
            "template": self.identity.template,
            "sampler": self.sampler,
            "recipe_seed": self.seed,
        }

    @property
    def name(self) -> str:
        """Canonical JSON of the columns that all its rollouts share."""
        return canonical_json(self.shared)


@dataclass(frozen=True)
class Missing:
    """One answer to draw; `failures` counts the earlier tries that ended in an error."""

    prompt_id: str
    index: int
    attempt: int
    failures: int = 0


@dataclass(frozen=True)
class Plan:
    """`stored`: names of the answers that count already; `missing`: those to draw, by prompt."""

    stored: list[str]
    missing: dict[str, list[Missing]]

    @property
    def n_missing(self) -> int:
        return sum(len(requests) for requests in self.missing.values())


def plan(
    prompt_ids: Iterable[str],
    stored: Iterable[Row],
    target: Target,
    *,
    settle: bool = False,
    retry: bool = False,
) -> Plan:
    """Which answers exist and which must be drawn.

    `stored` holds the target's rollouts of these prompts (`stored_rows`). At each index the first attempt
    that is valid under the target's limit counts; where none is, the next attempt is missing, unless
    the index has failed for good under this limit. With `settle`, an index whose last try failed
    takes that failure as its row instead of being missing; with `retry`, no failure is for good.
    """
    names: list[str] = []
    missing: dict[str, list[Missing]] = {}
    with _without_collection():
        shelf = Shelf(stored, target, settle=settle, retry=retry)
        for prompt in prompt_ids:
            for index in range(target.n):
                found = shelf.at(prompt, index)
                if isinstance(found, Missing):
                    missing.setdefault(prompt, []).append(found)
                else:
                    names.append(found["rollout_id"])
    return Plan(names, missing)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Millions of objects are made and none of them is garbage: to look for it takes a third of the
    time of a large plan."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def stored_rows(store: Store, prompt_ids: Iterable[str], target: Target) -> Iterator[Row]:
    """What is stored for a target, as far as planning reads it."""
    return store.rows(prompt_ids, "prompt_id", columns=PLAN_COLUMNS, where=target.shared)


class Shelf:
    """The stored answers of a target, by prompt and index; the options are those of `plan`."""

    def __init__(
        self, stored: Iterable[Row], target: Target, *, settle: bool = False, retry: bool = False
    ) -> None:
        self._target, self._settle, self._retry = target, settle, retry
        self._tries: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in stored:
            self._tries[row["prompt_id"], row["index"]].append(row)

    def at(self, prompt: str, index: int) -> Row | Missing:
        """The row that counts at an index, or what has to be drawn."""
        tries = self._tries.get((prompt, index))
        if tries is None:
            return Missing(prompt, index, 0)
        if len(tries) == 1 and _valid(tries[0], self._target.max_tokens):
            return tries[0]  # as nearly all are
        tries.sort(key=lambda row: row["attempt"])
        enough = None if self._retry else 1 if self._settle else self._target.max_attempts
        if chosen := counts(tries, self._target.max_tokens, enough):
            return chosen
        failures = sum(row["finish_reason"] == "error" for row in tries)
        return Missing(prompt, index, tries[-1]["attempt"] + 1, failures)


def _valid(row: Mapping[str, Any], max_tokens: int) -> bool:
    """An answer that ended by itself holds under any limit that it fits; a cut one at its own."""
    if row["finish_reason"] == "stop":
        return bool(row["n_tokens"] <= max_tokens)
    return bool(row["finish_reason"] == "length" and row["max_tokens"] == max_tokens)


def counts(tries: Sequence[AnyRow], max_tokens: int, enough: int | None) -> AnyRow | None:
    """The try that stands for an answer (or a step) under a limit: the first one that is valid, else a
    failure that is permanent or the last of `enough`; None where another try is due. `enough` None: no
    failure stands."""
    for row in tries:
        if _valid(row, max_tokens):
            return row
    errors = [
        row for row in tries if row["finish_reason"] == "error" and row["max_tokens"] == max_tokens
    ]
    if errors and enough is not None:
        if len(errors) >= enough or errors[-1]["error"].startswith(PERMANENT):
            return errors[-1]
    return None


class Spending:
    """What a run may still draw, in answers and tokens; None: without limit."""

    def __init__(self, answers: int | None = None, tokens: int | None = None) -> None:
        self._answers, self._tokens = answers, tokens
        self.closed = False

    def allow(self, answers: int) -> bool:
        """Take so many answers from the budget; False where they are not in it."""
        spent = self._answers is not None and self._answers < answers
        if self.closed or spent or (self._tokens is not None and self._tokens <= 0):
            return False
        if self._answers is not None:
            self._answers -= answers
        return True

    def drawn(self, tokens: int) -> None:
        if self._tokens is not None:
            self._tokens -= tokens

    def close(self) -> None:
        """Allow nothing more: what is under way ends, and is kept."""
        self.closed = True


async def draw(
    missing: Mapping[str, Sequence[Missing]],
    messages: Mapping[str, Sequence[Message]],
    engine: Engine,
    target: Target,
    writer: AsyncWriter,
    *,
    concurrency: int,
    judge: Callable[[Row], Awaitable[None]],
    spending: Spending | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
) -> None:
    """Draw every missing answer, as far as `spending` allows.

    `messages` gives each prompt's conversation. A row is stored first, then told to `on_row`, then
    given to `judge`. A request that fails becomes a row with its error. What rises from here is a
    fault of the store or of the code, never of one prompt.
    """
    budget = spending or Spending()
    in_flight = asyncio.Semaphore(concurrency)
    left = (request for requests in missing.values() for request in requests)

    async def worker() -> None:
        for request in left:
            async with in_flight:
                if not budget.allow(1):
                    return
                row = await ask(engine, messages[request.prompt_id], request, target)
            budget.drawn(row["n_tokens"])
            await writer.put(row)
            on_row(row)
            await judge(row)

    async with asyncio.TaskGroup() as group:
        # Answers whose verdicts are still under way must not keep the engine from being full.
        for _ in range(2 * concurrency):
            group.create_task(worker())


async def ask(engine: Engine, messages: Sequence[Message], request: Missing, target: Target) -> Row:
    """Draw one answer: a row of the rollouts table, also where the request failed."""
    seed = rollout_seed(request.prompt_id, target.seed, request.index, request.failures)
    error: str | None = None
    try:
        answer = await engine.complete(
            messages, target.sampling, seed=seed, max_tokens=target.max_tokens
        )
    except EngineError as failure:
        answer = None
        error = f"{PERMANENT if failure.permanent else ''}{failure}"
    return rollout_row(
        request.prompt_id, target, request.index, request.attempt, seed, answer, error
    )


def rollout_row(
    prompt: str,
    target: Target,
    index: int,
    attempt: int,
    seed: int,
    answer: Completion | None,
    error: str | None,
) -> Row:
    """A row of the rollouts table; `answer` is None where `error` says why."""
    identity, sampler = target.identity, target.sampler
    return {
        "rollout_id": rollout_id(
            prompt, identity.policy, identity.template, sampler, target.seed, index, attempt
        ),
        "prompt_id": prompt,
        "policy": identity.policy,
        "template": identity.template,
        "sampler": sampler,
        "recipe_seed": target.seed,
        "index": index,
        "attempt": attempt,
        "max_tokens": target.max_tokens,
        "seed": seed,
        **outcome(answer, error),
    }


def outcome(answer: Completion | None, error: str | None) -> Row:
    """The columns that say what came of a request; `answer` is None where `error` says why."""
    return {
        "completion": encodable(answer.text) if answer else "",
        "token_ids": answer.token_ids if answer else None,
        "logprob_sum": answer.logprob_sum if answer else None,
        "n_tokens": answer.n_tokens if answer else 0,
        "finish_reason": answer.finish_reason if answer else "error",
        "error": encodable(error) if error else None,
    }
