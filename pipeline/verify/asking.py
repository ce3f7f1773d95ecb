"""Judging with verifiers that ask a model, in the main process, beside the engine.

`asked` is to `ModelVerifier.ask` what `worker_pool.judged` is to `Verifier.verify`. A verifier that
is made of others (`ensemble`) must also judge with members that ask nobody; these belong into worker
processes, under a time limit, also here. `members_by(pool.judge)` says which workers; without
it, each such row pays for a worker of its own.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Engine, EngineError, ModelVerifier, Task, Verdict
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.verify import get_verifier
from winnow.pipeline.verify.worker_pool import (
    TimedVerdict,
    VerifierPool,
    checked,
    encodable,
    judged,
)

# Judges an answer by a verifier that asks no model: (name, completion, task).
Local = Callable[[str, str, Task], Awaitable[TimedVerdict]]

OWN_TIMEOUT_SECONDS = 10.0

_local: ContextVar[Local | None] = ContextVar("winnow_local_members", default=None)


@contextmanager
def members_by(local: Local) -> Iterator[None]:
    """Inside the block, members that ask no model are judged by `local` (a pool's `judge`). Tasks
    that are created inside keep it."""
    token = _local.set(local)
    try:
        yield
    finally:
        _local.reset(token)


def asks(name: str, args: Mapping[str, Any]) -> bool:
    """Whether the verifier `name` asks a model when it is given `args`. Raises UsageError."""
    verifier = get_verifier(name)
    return isinstance(verifier, ModelVerifier) and verifier.needs_engine(args)


async def asked(name: str, completion: str, task: Task, engine: Engine) -> Verdict:
    """The verdict of a verifier that asks a model; whatever the row does is in the verdict.

    Raises WinnowError where no row could be judged (a server that nobody answers at).
    """
    verifier = get_verifier(name)
    if not isinstance(verifier, ModelVerifier):
        raise TypeError(f"verifier {name!r} asks no model")
    try:
        return checked(await verifier.ask(completion, task, engine))
    except WinnowError:
        raise
    except BadArguments as error:
        return Verdict.unjudged(f"bad_arguments: {encodable(str(error)[:200])}")
    except EngineError as error:
        return Verdict.unjudged(f"judge_error: {encodable(str(error)[:200])}")
    except Exception as error:  # noqa: BLE001 - a verifier's bug costs its row, as in a worker
        return Verdict.unjudged(
            f"verifier_error: {type(error).__name__}: {encodable(str(error)[:200])}"
        )


async def judged_locally(name: str, completion: str, task: Task) -> Verdict:
    """The verdict of a verifier that asks no model, from the workers that `members_by` named."""
    local = _local.get()
    if local is not None:
        return (await local(name, completion, task)).verdict
    async with VerifierPool(1, OWN_TIMEOUT_SECONDS, verifiers=[name]) as pool:
        return (await pool.judge(name, completion, task)).verdict


async def in_process(name: str, completion: str, task: Task) -> TimedVerdict:
    """A `Local` without workers, for tests and self-tests."""
    return TimedVerdict(judged(name, completion, task), 0.0)
