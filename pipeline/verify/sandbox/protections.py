"""What this machine's sandbox gives, found out by trying each protection in a child made for it."""

import json
import os
import tempfile
from dataclasses import dataclass
from functools import cache

from winnow.pipeline.verify.sandbox.client import INSIDE, Sandbox
from winnow.pipeline.verify.sandbox.limits import Limits, Outcome
from winnow.pipeline.verify.sandbox.runs import SandboxUnavailable

LAYERS = {
    "user_namespace": "a user namespace, in which nothing of the host is ours",
    "namespaces": "mount, network, IPC and PID namespaces with a root of their own",
    "seccomp": "a filter over system calls",
    "own_user": "an unprivileged user to run as",
    "landlock": "Landlock, as a second layer over files and signals",
}
# The first layer holds without it.
OPTIONAL = {"landlock", "starvation"}
ATTEMPTS = {
    "reading": "files outside cannot be read",
    "writing": "files outside cannot be written",
    "scratch": "the scratch folder works and is limited",
    "environment": "no environment variable gets in",
    "descriptors": "no descriptor gets in",
    "network": "no socket can be made",
    "processes": "no process can be started",
    "programs": "no program can be started",
    "threads": "threads are limited",
    "others": "no other process can be signalled or traced",
    "privileges": "no privilege is left and none can be had",
    "kernel": "namespaces, mounts, shared memory and keys are out of reach",
    "memory": "memory is limited",
    "files": "open files are limited",
}
LIMITS = {
    "cpu_limit": "an endless loop is ended",
    "wall_limit": "a sleeping program is ended",
    "output_limit": "a flood of output is ended",
    "starvation": "a starved machine can be told from a slow program",
}


@dataclass(frozen=True)
class Protection:
    """One protection. `problem` is None where it holds; without a `needed` one, nothing is run."""

    name: str
    meaning: str
    needed: bool
    problem: str | None

    @property
    def row(self) -> tuple[str, str, str]:
        """Name, what it means, and "yes" or what is wrong: for people."""
        if self.problem is None:
            return self.name, self.meaning, "yes"
        return (
            self.name,
            self.meaning,
            f"NO: {self.problem}" if self.needed else f"no: {self.problem}",
        )


@dataclass(frozen=True)
class Protections:
    """All of them, in the order of LAYERS, ATTEMPTS and LIMITS."""

    each: tuple[Protection, ...]

    @property
    def missing(self) -> tuple[Protection, ...]:
        """Needed protections that this machine does not give."""
        return tuple(one for one in self.each if one.needed and one.problem is not None)

    @property
    def runs_untrusted_code(self) -> bool:
        """Whether untrusted code is run here without being told to (`client.ALLOW_WEAK`)."""
        return not self.missing

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """For people: name, meaning, "yes" or what is wrong."""
        return [one.row for one in self.each]


@cache
def protections(*, limits: bool = True) -> Protections:
    """Try every protection, once per process; those of LIMITS, which take about two seconds, only
    with `limits`. Never raises: where nothing can be started at all, every protection is missing,
    with the reason."""
    try:
        with Sandbox([INSIDE / "misbehave.py"], weak=True) as box:
            box.start()
            tried = [*_layers(box), *attempts(box)]
            return Protections((*tried, *(_limits(box) if limits else ())))
    except SandboxUnavailable as error:
        names = {**LAYERS, **ATTEMPTS, **(LIMITS if limits else {})}
        return Protections(
            tuple(Protection(n, text, n not in OPTIONAL, str(error)) for n, text in names.items())
        )


def missing(box: Sandbox) -> str:
    """What keeps `box` from running untrusted code, in a few words; "" where nothing does."""
    problems = [one for one in (*_layers(box), *attempts(box)) if one.needed and one.problem]
    return "; ".join(f"{one.name}: {one.problem}" for one in problems)


def attempts(box: Sandbox) -> list[Protection]:
    """The protections that one child can try."""
    limits = Limits(threads=4, memory_bytes=256 * 2**20)
    with tempfile.NamedTemporaryFile(prefix="winnow-canary-") as canary:
        given = {
            "canary": canary.name,
            "pid": os.getpid(),
            "threads": limits.threads,
            "memory_bytes": limits.memory_bytes,
        }
        outcome = box.run("probes", json.dumps(given).encode(), limits)
    if outcome.status != "finished":
        raise SandboxUnavailable(f"its own check ended with {outcome.status}: {outcome.error}")
    found = json.loads(outcome.result)
    return [Protection(name, text, True, found[name]) for name, text in ATTEMPTS.items()]


def _layers(box: Sandbox) -> list[Protection]:
    return [
        Protection(
            name,
            text,
            name not in OPTIONAL,
            None if box.layers.get(name) else "not on this machine",
        )
        for name, text in LAYERS.items()
    ]


def _limits(box: Sandbox) -> list[Protection]:
    def tried(name: str, expected: str, action: str, limits: Limits) -> Protection:
        outcome = box.run("misbehave", action.encode(), limits)
        ended = None if outcome.status == expected else _ending(outcome)
        return Protection(name, LIMITS[name], True, ended)

    return [
        tried("cpu_limit", "time_limit", "loop", Limits(cpu_seconds=1, wall_seconds=15)),
        tried("wall_limit", "time_limit", "sleep", Limits(wall_seconds=0.2)),
        tried("output_limit", "output_limit", "flood", Limits(output_bytes=2**16)),
        _starvation(box),
    ]


def _starvation(box: Sandbox) -> Protection:
    """Two threads on one processor wait for each other, as on a machine that has none to give."""
    outcome = box.run("misbehave", b"crowd", Limits(cpu_seconds=4, wall_seconds=0.4))
    problem = None if outcome.status == "starved" else _ending(outcome)
    return Protection("starvation", LIMITS["starvation"], False, problem)


def _ending(outcome: Outcome) -> str:
    return f"it ended with {outcome.status} after {outcome.wall_seconds:.1f} s"
