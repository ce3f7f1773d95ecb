"""The descriptors of processes that run together, what comes out of them, and how they ended."""

import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.verify.sandbox.limits import Limits, Outcome, Status

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK


class SandboxUnavailable(WinnowError):
    """The sandbox cannot be had here, or broke. The message says what is missing."""


@dataclass(frozen=True)
class Job:
    """What one process is to do: `worker` with `payload`, under `limits`."""

    worker: str
    payload: bytes
    limits: Limits = field(default_factory=Limits)
    stdin: bytes = b""
    scratch: bool = True


@dataclass
class Run:
    id: int
    job: Job
    output: bytearray = field(default_factory=bytearray)
    result: bytearray = field(default_factory=bytearray)
    exit: dict[str, Any] = field(default_factory=dict)
    told: bool = False

    @property
    def overflows(self) -> bool:
        return max(len(self.output), len(self.result)) > self.job.limits.output_bytes

    def outcome(self) -> Outcome:
        """Raises SandboxUnavailable where it never came to run the worker."""
        code, killed, limits = self.exit["code"], self.exit["killed"], self.job.limits
        started = self.result.startswith(b".")
        reports, answer = _reports(bytes(self.result[1:]))
        late = killed == "wall"
        waited = self.exit["delay"] > max(limits.wall - limits.cpu_seconds, limits.wall / 4)
        error = f"signal {-code}" if code < 0 else f"exit code {code}"
        status: Status = "exited"
        if not started and not killed:
            why = self.result.decode(errors="replace") or error
            raise SandboxUnavailable(f"a process could not be confined: {why}")
        if self.overflows:
            status = "output_limit"
        elif late:
            status = "starved" if waited else "time_limit"
        elif code == -9 and self.exit["cpu"] > limits.cpu_seconds / 2:
            # The kernel counts ticks for the limit and time for us; they differ by some tenths.
            status = "time_limit"
        elif code == -9 and killed == "leader":  # otherwise it was ending by itself
            error = "ended with its leader"
        elif code == -9:
            status = "starved"  # nothing inside can send this signal: a machine out of memory
        elif answer.startswith(b"R"):
            status, error = "finished", ""
        elif answer.startswith(b"E"):
            error = answer[1:].decode(errors="replace")
            status = "memory_limit" if error.startswith("MemoryError") else "failed"
        return Outcome(
            status,
            answer[1:] if status == "finished" else b"",
            bytes(self.output[: limits.output_bytes]),
            error or None,
            reports,
            self.exit["cpu"],
            self.exit["wall"],
        )


def _reports(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """What was reported, as far as it came whole, and the rest."""
    found = []
    while data.startswith(b"P") and len(data) >= 5:
        (size,) = struct.unpack_from("<I", data, 1)
        if len(data) < 5 + size:
            break
        found.append(data[5 : 5 + size])
        data = data[5 + size :]
    return tuple(found), data


class Runs:
    """The descriptors of jobs that run together. Ours are closed at the end of the block."""

    def __init__(self, jobs: Sequence[Job], first_id: int) -> None:
        self.all = [Run(first_id + at, job) for at, job in enumerate(jobs)]
        self.by_id = {run.id: run for run in self.all}
        self.pipes: dict[int, tuple[Run, bytearray]] = {}
        self._theirs: list[list[int]] = []

    def __enter__(self) -> Self:
        links = socket.socketpair() if len(self.all) == 2 else ()
        for at, run in enumerate(self.all):
            theirs = [_in_memory(run.job.stdin)]
            self._theirs.append(theirs)
            theirs.append(self._pipe(run, run.output))
            theirs.append(_in_memory(run.job.payload))
            theirs.append(self._pipe(run, run.result))
            if links:
                theirs.append(links[at].detach())
        return self

    def __exit__(self, *_: object) -> None:
        self.close_theirs()
        for descriptor in self.pipes:
            os.close(descriptor)

    def messages(self) -> list[dict[str, Any]]:
        trusted = self.all[-1]
        return [
            {
                "id": run.id,
                "worker": run.job.worker,
                "wall": run.job.limits.wall,
                "limits": {
                    name: getattr(run.job.limits, name)
                    for name in (
                        "cpu_seconds",
                        "memory_bytes",
                        "open_files",
                        "threads",
                        "file_bytes",
                    )
                },
                "scratch": run.job.scratch,
                "leader": run is trusted,
                "descriptors": len(theirs),
            }
            for run, theirs in zip(self.all, self._theirs, strict=True)
        ]

    def descriptors(self) -> list[int]:
        return [descriptor for theirs in self._theirs for descriptor in theirs]

    def close_theirs(self) -> None:
        for descriptor in self.descriptors():
            os.close(descriptor)
        self._theirs = []

    @property
    def ended(self) -> bool:
        return not self.pipes and all(run.exit for run in self.all)

    def take(self, descriptor: int) -> tuple[Run, bool]:
        """Read what has come; whether that pipe has come to its end (or to its limit)."""
        run, into = self.pipes[descriptor]
        data = os.read(descriptor, 1 << 16)
        into += data
        closed = not data or run.overflows
        if closed:
            os.close(descriptor)
            del self.pipes[descriptor]
        return run, closed

    def outcomes(self) -> list[Outcome]:
        return [run.outcome() for run in self.all]

    def _pipe(self, run: Run, into: bytearray) -> int:
        ours, theirs = os.pipe()
        self.pipes[ours] = (run, into)
        return theirs


def _in_memory(data: bytes) -> int:
    """A descriptor of a file that holds `data`, which nobody can change."""
    descriptor = os.memfd_create("winnow", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor
