"""What a run may take, and how it ended."""

from dataclasses import dataclass
from typing import Literal

MEBIBYTE = 2**20

Status = Literal[
    "finished",  # main returned; for a program: it came to its end
    "failed",  # an exception: `error` names it
    "exited",  # the process ended before main returned; `error` says how
    "time_limit",
    "memory_limit",
    "output_limit",
    "starved",  # the wall limit came, but the machine had not let it run: nobody's verdict
]


@dataclass(frozen=True)
class Limits:
    """Limits of one process in the sandbox. Each is the kernel's, so that nothing inside can lift it.

    `cpu_seconds`: processor time over all threads. `wall_seconds`: after that it is killed;
    2 * cpu_seconds + 1 where None. `memory_bytes`: address space beyond what the interpreter holds
    before it starts. `output_bytes`: what it writes to stdout, and, apart from that, what it
    returns (stderr goes nowhere). `open_files`: descriptors, its own three and the channels to us included.
    `threads`: beside the first. `file_bytes`: size of one file in the scratch folder, which holds
    `SCRATCH_BYTES` in all.
    """

    cpu_seconds: int = 4
    wall_seconds: float | None = None
    memory_bytes: int = 1024 * MEBIBYTE
    output_bytes: int = 8 * MEBIBYTE
    open_files: int = 64
    threads: int = 32
    file_bytes: int = 32 * MEBIBYTE

    @property
    def wall(self) -> float:
        """Wall limit in seconds."""
        return 2.0 * self.cpu_seconds + 1 if self.wall_seconds is None else self.wall_seconds


@dataclass(frozen=True)
class Outcome:
    """How one process ended.

    `result` is what main returned (b"" unless `status` is "finished"), `reports` what it sent before
    with `inside.child.report`, `output` what was written to
    stdout (cut at the limit), `error` the exception as "Class: message" or the way it
    ended ("exit code 1", "signal 11"). CPU and wall time are in seconds, as the kernel counted them.
    """

    status: Status
    result: bytes = b""
    output: bytes = b""
    error: str | None = None
    reports: tuple[bytes, ...] = ()
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
