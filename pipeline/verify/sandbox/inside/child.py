"""The last steps of a process before it runs a worker: nothing of ours left open, no way back.

Descriptors of a worker: 0 stdin, 1 stdout, 2 (nothing), 3 the payload, 4 the result, and, where two
processes talk, 5 the link between them.
"""

import contextlib
import gc
import os
import random
import resource
import signal
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from . import kernel, landlock, root, system_calls

PAYLOAD, RESULT, LINK = 3, 4, 5
_STACK_BYTES = 64 * 2**20
_SPARE = 64  # descriptors are moved above this while they are sorted; Landlock's are above all
_PR_SET_DUMPABLE = 4
# Processes of the same user that the limit counts too: launcher, zygote, the other of two, itself.
_OTHERS = 4


Worker = Callable[[bytes], bytes]
Workers = dict[str, Worker]


class Confinement(NamedTuple):
    """What the zygote has prepared for all its children. None where this machine has no such layer
    (and the caller has said that it may be missing)."""

    user: int | None  # to change to
    limits_threads: bool
    base_bytes: int  # address space before the program takes anything
    filter: bytes | None  # over system calls; empty: one that names the process is to be built
    read_only: int | None  # Landlock rules
    with_scratch: int | None
    has_scratch: bool


def run(
    worker: Worker,
    limits: Mapping[str, int],
    scratch: bool,
    descriptors: Sequence[int],
    confinement: Confinement,
) -> NoReturn:
    """Confine this process, run `worker` and end. Never returns, never raises.

    The result descriptor gets one "." when the doors are closed, then what `report` sends, then "R"
    and the result, or "E" and the exception. Whatever else comes on it is no result.
    """
    code = 120
    try:
        _arrange(descriptors)
        _confine(limits, scratch, confinement)
        os.closerange(PAYLOAD + len(descriptors) - 2, 65_536)
        os.write(RESULT, b".")
        _refresh()
        code = _work(worker)
    except BaseException as error:  # noqa: BLE001 - the process ends here
        _write(RESULT, f"!{type(error).__name__}: {error}".encode(errors="replace"))
    finally:
        os._exit(code)


def report(data: bytes) -> None:
    """Send a part of the result at once, so that it is known whatever comes later."""
    _write(RESULT, b"P" + struct.pack("<I", len(data)) + data)


def _work(worker: Worker) -> int:
    try:
        answer = b"R" + worker(_read(PAYLOAD))
    except BaseException as error:  # noqa: BLE001 - reported, whatever it is
        answer = f"E{type(error).__name__}: {_text(error)}".encode(errors="replace")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    _write(RESULT, answer)
    return 0 if answer.startswith(b"R") else 1


def _text(error: BaseException) -> str:
    try:
        return str(error)[:1000]
    except Exception:  # noqa: BLE001 - its __str__ is not ours
        return ""


def _arrange(descriptors: Sequence[int]) -> None:
    """Put stdin, stdout, payload, result (and link) in their places."""
    import fcntl

    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, _SPARE) for descriptor in descriptors]
    silent = fcntl.fcntl(os.open("/dev/null", os.O_WRONLY), fcntl.F_DUPFD, _SPARE)
    for place, descriptor in zip((0, 1, PAYLOAD, RESULT, LINK), high, strict=False):
        os.dup2(descriptor, place)
    os.dup2(silent, 2)


def _confine(limits: Mapping[str, int], scratch: bool, confinement: Confinement) -> None:
    os.setsid()  # a process group is reached across namespaces
    os.chdir(root.SCRATCH if confinement.has_scratch else "/")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kernel.prctl(_PR_SET_DUMPABLE, 0)
    if confinement.user is not None:
        os.setgroups([])
        os.setresgid(confinement.user, confinement.user, confinement.user)
        os.setresuid(confinement.user, confinement.user, confinement.user)
    kernel.drop_capabilities()
    kernel.give_up_new_privileges()
    kernel.die_with_parent()
    _limit(resource.RLIMIT_AS, confinement.base_bytes + limits["memory_bytes"])
    _limit(resource.RLIMIT_CPU, limits["cpu_seconds"])
    _limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _limit(resource.RLIMIT_NOFILE, limits["open_files"])
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0)
    _limit(resource.RLIMIT_STACK, _STACK_BYTES)
    if confinement.limits_threads:
        _limit(resource.RLIMIT_NPROC, limits["threads"] + _OTHERS)
    writes = scratch and confinement.has_scratch
    rules = confinement.with_scratch if writes else confinement.read_only
    if rules is not None:
        landlock.restrict(rules)
    if confinement.filter is not None:
        own_filter = confinement.filter or system_calls.build(os.getpid())
        system_calls.install(own_filter)


def _limit(kind: int, value: int) -> None:
    """Both limits, so that it cannot be raised; never above what this process was given."""
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _refresh() -> None:
    """Streams that know nothing of the zygote's; the same random numbers in every run, so that a
    verdict on the same answer is the same."""
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    random.seed(0)
    gc.enable()


def _read(descriptor: int) -> bytes:
    """All of a file in memory."""
    parts = []
    offset = 0
    while part := os.pread(descriptor, 2**20, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        pass  # nobody reads it any more


def call_depth() -> int:
    """How many calls stand below the caller's: what a program must not miss of its recursion."""
    depth, frame = 0, sys._getframe().f_back
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth
