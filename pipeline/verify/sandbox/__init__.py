"""Runs code that nobody trusts, on an ordinary Linux machine, with what the kernel itself offers.

    from winnow.pipeline.verify.sandbox import Limits, Sandbox

    with Sandbox(workers=[Path(__file__).with_name("my_worker.py")], preload=["sqlite3"]) as box:
        path = box.put(Path("database.sqlite"))  # its read-only path inside
        outcome = box.run("my_worker", payload, Limits(cpu_seconds=2))
        if outcome.status == "finished":
            outcome.result  # the bytes that my_worker.main(payload) returned

A *worker* is a module with `main(payload: bytes) -> bytes`, in a file of its own. The file is
imported inside, by the name of the file, before the doors close: it may import the standard
library, what `preload` names, and other workers of the same `Sandbox`, but nothing of winnow. Each
`run` is a fork of that state: nothing that one run does is seen by the next.

What holds for every run (`protections` tries each of these on this machine):

- its own PID namespace, in which it can start threads but no process; whatever it leaves is killed,
- no network, no System V or POSIX IPC, no signal to anything else,
- a root of its own: Python's files, read-only, and one scratch folder of limited size in memory,
  where it starts (also called /tmp, unless Python itself lives below that). `Sandbox.put` is the
  only way in for a file,
- an empty environment, no descriptor but its own,
- an unprivileged user, no capability, no way to get one, a filter over system calls, Landlock,
- limits on CPU time, wall time, memory, output, open files, threads and scratch (`Limits`).

The process that starts all this (the *zygote*) is one per `Sandbox`, is started at the first run and
dies with the process that made it. A `Sandbox` serves one run at a time (a lock sees to that); for
more at once, make more. Nothing here needs root, Docker or a control group.
"""

from winnow.pipeline.verify.sandbox.client import Sandbox
from winnow.pipeline.verify.sandbox.limits import Limits, Outcome, Status
from winnow.pipeline.verify.sandbox.protections import Protections, protections
from winnow.pipeline.verify.sandbox.runs import Job, SandboxUnavailable

__all__ = [
    "Job",
    "Limits",
    "Outcome",
    "Protections",
    "Sandbox",
    "SandboxUnavailable",
    "Status",
    "protections",
]
