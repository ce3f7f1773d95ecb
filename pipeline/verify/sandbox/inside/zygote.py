"""The process that every program is forked from: it builds the walls once, then forks and watches.

Three processes: the *launcher* (started by `client`) enters the namespaces and waits; the *zygote*
is the first process of a PID namespace, so that its end is the end of all that it started; each
*program* is the first process of a PID namespace of its own.

No payload passes through here. Payloads, input and output are descriptors that the client made, so
that a program finds nothing of another one, or of its own tests, in the memory that it was forked
with.

Messages are JSON, one a packet. In: `{"spawn": [program, ...]}` with the descriptors of each,
`{"kill": id}`, `{"put": name}` with the descriptor of a file. Out: `{"map": pid}`, `{"ready":
layers}`, `{"missing": layer}`, `{"failed": why}`, `{"put": path}`, and for each program `{"exit": id, ...}`. A program is
`{"id", "worker", "limits", "wall", "scratch", "leader", "descriptors"}`; when a leader ends, the
programs spawned with it are killed.
"""

import _sitebuiltins
import builtins
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from . import child, kernel, landlock, root, system_calls

USER = 65_534  # "nobody": who programs run as, inside and (where root starts them) outside
# What programs import most: imported here, it costs them nothing. No more, because every program
# pays for the memory that it is forked with.
COMMON = (
    "abc", "bisect", "collections", "collections.abc", "contextlib", "copy", "datetime", "decimal",
    "enum", "fractions", "functools", "heapq", "io", "itertools", "json", "math", "operator",
    "random", "re", "string", "time", "types", "typing",
)  # fmt: skip
MAX_PACKET = 1 << 16
_MAX_DESCRIPTORS = 16


class _Program:
    """One that runs. `group` is shared by those spawned together; times are monotonic."""

    def __init__(self, spec: dict[str, Any], group: int, pid: int) -> None:
        self.id: int = spec["id"]
        self.leader: bool = spec["leader"]
        self.group = group
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.started = time.monotonic()
        self.deadline: float = self.started + spec["wall"]
        self.killed: str | None = None
        self.delay = 0.0  # seconds that its group stood ready to run and was not let


def main(descriptor: int, options: dict[str, Any]) -> None:
    """The launcher. `options`: `workers` (paths of modules), `preload` (names), `path` (folders to
    import from), `shown` (files and folders that programs see), `weak` (go on where a layer is
    missing), `dies_with_parent`."""
    control = socket.socket(fileno=descriptor)
    try:
        if options["dies_with_parent"]:
            kernel.die_with_parent()
        with contextlib.suppress(OSError):  # where memory runs out, programs go first
            _write("/proc/self/oom_score_adj", "500")
        workers = _imported(options)
        layers, missing = _enter_namespaces(control)
        if missing and not options["weak"]:
            _send(control, {"missing": missing})
            return
        pid = os.fork()
        if pid == 0:
            _become_zygote(control, workers, layers, options)
        control.close()
        os.waitpid(pid, 0)
    except BaseException as error:  # noqa: BLE001 - told to the client, which alone can act on it
        with contextlib.suppress(OSError):
            _send(control, {"failed": f"{type(error).__name__}: {error}"})


def _imported(options: dict[str, Any]) -> child.Workers:
    sys.path.extend(options["path"])
    for name in ("exit", "quit"):  # `site` would have put them there
        setattr(builtins, name, _sitebuiltins.Quitter(name, ""))
    for name in (*COMMON, *options["preload"]):
        importlib.import_module(name)
    workers = {}
    for path in options["workers"]:
        folder, _, file = path.rpartition("/")
        name = file.removesuffix(".py")
        # Ours are parts of this package, which they import from; others stand alone.
        inside = folder == __file__.rpartition("/")[0]
        if not inside and folder not in sys.path:
            sys.path.append(folder)
        module = importlib.import_module(f"{__package__}.{name}" if inside else name)
        workers[name] = module.main
    return workers


def _enter_namespaces(control: socket.socket) -> tuple[dict[str, bool], str]:
    """Which layers there are, and the first needed one that there is not ("" for none)."""
    layers = {"user_namespace": False, "namespaces": False}
    try:
        kernel.unshare(kernel.NEWUSER)
        layers["user_namespace"] = True
    except OSError as error:
        return layers, f"user namespace: {error.strerror}"
    _send(control, {"map": os.getpid()})
    answer = _receive(control)[0]
    if answer.get("mapped") is not True:
        return layers, f"user namespace: {answer.get('mapped')}"
    flags = kernel.NEWNS | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWPID
    try:
        kernel.unshare(flags | kernel.NEWCGROUP)
        layers["namespaces"] = True
    except OSError as error:
        return layers, f"mount, network and PID namespaces: {error.strerror}"
    return layers, ""


def _become_zygote(
    control: socket.socket,
    workers: child.Workers,
    layers: dict[str, bool],
    options: dict[str, Any],
) -> NoReturn:
    code = 1
    try:
        kernel.die_with_parent()
        Zygote(control, workers, layers, options).serve()
        code = 0
    except BaseException as error:  # noqa: BLE001 - told to the client, which alone can act on it
        with contextlib.suppress(OSError):
            _send(control, {"failed": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(code)


class Zygote:
    """Builds the walls when made; `serve` then forks programs until the client is gone."""

    def __init__(
        self,
        control: socket.socket,
        workers: child.Workers,
        layers: dict[str, bool],
        options: dict[str, Any],
    ) -> None:
        self._control = control
        self._workers = workers
        self._running: dict[int, _Program] = {}
        self._groups = 0
        self._files = 0
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        walls = layers["namespaces"]
        shown = sorted({*options["shown"], *root.library_folders()})
        # Its own view of processes, to see how long each had to wait. Where /proc is partly covered,
        # as in some containers, there is none to be had, and a starved machine cannot be told.
        self._sees_waiting = not walls
        if walls:
            with contextlib.suppress(OSError):
                kernel.mount("proc", "/proc", "proc")
                self._sees_waiting = True
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        self._own_pids = self._open_proc("self/ns/pid")
        if walls:
            root.build(shown)
        self._user = USER if os.geteuid() == 0 else None
        self._walls = walls
        readable = ["/"] if walls else shown
        has_landlock = landlock.version() > 0
        self._read_only = landlock.build(readable, []) if has_landlock else None
        self._with_scratch: int | None = None
        if walls:
            root.empty_scratch(USER, first=True)
            self._allow_scratch()
        self._filter = None
        if system_calls.supported():
            self._filter = system_calls.build() if walls else b""
        elif not options["weak"]:
            raise OSError(f"no system call table for {os.uname().machine}")
        layers |= {
            "landlock": has_landlock,
            "seccomp": self._filter is not None,
            "own_user": self._user is not None or os.geteuid() != 0,
        }
        if kernel.capabilities():
            kernel.bar_capabilities()  # what we hold stays; no child can get any again
        self._base_bytes = self._address_space()
        gc.collect()
        gc.freeze()  # programs share these pages with us: nothing may touch them
        gc.disable()
        _send(control, {"ready": layers})

    def serve(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor == self._control.fileno():
                    message, descriptors = _receive(self._control)
                    if not message:
                        return  # the client is gone; our end takes all programs with it
                    self._answer(message, descriptors)
                else:
                    self._finish(descriptor)
            self._end_late()

    def _answer(self, message: dict[str, Any], descriptors: list[int]) -> None:
        try:
            if "spawn" in message:
                self._spawn(message["spawn"], descriptors)
            elif "kill" in message:
                for program in list(self._running.values()):
                    if program.id == message["kill"]:
                        self._kill(program, "client")
            elif "put" in message:
                self._put(message["put"], descriptors[0])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _put(self, name: str, source: int) -> None:
        self._files += 1
        name = f"{self._files}-{name}"
        try:
            root.put(name, source)
        except OSError as error:
            _send(self._control, {"put": None, "why": str(error)})
        else:
            _send(self._control, {"put": f"{root.FILES}/{name}"})

    def _spawn(self, programs: Sequence[dict[str, Any]], descriptors: Sequence[int]) -> None:
        if self._walls and root.empty_scratch(USER):
            self._allow_scratch()
        self._groups += 1
        at = 0
        for program in programs:
            end = at + program["descriptors"]
            pid = self._fork(program, descriptors[at:end])
            at = end
            running = _Program(program, self._groups, pid)
            self._running[running.handle] = running
            self._poll.register(running.handle, select.POLLIN)

    def _fork(self, program: dict[str, Any], descriptors: Sequence[int]) -> int:
        if self._walls:
            # Children go into the namespace last unshared, and only one's own can be unshared from.
            kernel.setns(self._own_pids, kernel.NEWPID)
            kernel.unshare(kernel.NEWPID)
        pid = os.fork()
        if pid == 0:
            confinement = child.Confinement(
                user=self._user,
                limits_threads=self._walls,
                base_bytes=self._base_bytes,
                filter=self._filter,
                read_only=self._read_only,
                with_scratch=self._with_scratch,
                has_scratch=self._walls,
            )
            child.run(
                self._workers[program["worker"]],
                program["limits"],
                program["scratch"],
                descriptors,
                confinement,
            )
        return pid

    def _patience(self) -> float | None:
        """Milliseconds until the next program is late."""
        waiting: list[float] = [p.deadline for p in self._running.values() if p.killed is None]
        if not waiting:
            return None
        return max(0.0, (min(waiting) - time.monotonic()) * 1000 + 1)

    def _end_late(self) -> None:
        now = time.monotonic()
        for program in list(self._running.values()):
            if program.killed is None and program.deadline <= now:
                program.delay = self._delay(program.group)
                self._kill(program, "wall")

    def _kill(self, program: _Program, why: str) -> None:
        if program.killed is None:
            program.killed = why
            with contextlib.suppress(ProcessLookupError):
                os.kill(program.pid, signal.SIGKILL)

    def _finish(self, handle: int) -> None:
        """A program has ended: tell the client, and end those that it led."""
        program = self._running.pop(handle)
        self._poll.unregister(handle)
        os.close(handle)
        _, status, usage = os.wait4(program.pid, 0)
        _send(
            self._control,
            {
                "exit": program.id,
                "code": os.waitstatus_to_exitcode(status),
                "cpu": usage.ru_utime + usage.ru_stime,
                "wall": time.monotonic() - program.started,
                "killed": program.killed,
                "delay": program.delay,
            },
        )
        if program.leader:
            for other in list(self._running.values()):
                if other.group == program.group:
                    self._kill(other, "leader")

    def _delay(self, group: int) -> float:
        """Seconds that the programs of a group stood in the queue of a processor."""
        if not self._sees_waiting:
            return 0.0
        nanoseconds = 0
        for program in self._running.values():
            if program.group != group:
                continue
            # A thread, or all of it, can end between two of these steps.
            with contextlib.suppress(OSError):
                tasks = self._open_proc(f"{program.pid}/task")
                try:
                    for task in os.listdir(tasks):  # noqa: PTH208
                        with contextlib.suppress(OSError):
                            text = self._read_proc(f"{program.pid}/task/{task}/schedstat")
                            nanoseconds += int(text.split()[1])
                finally:
                    os.close(tasks)
        return nanoseconds / 1e9

    def _address_space(self) -> int:
        return int(self._read_proc("self/statm").split()[0]) * os.sysconf("SC_PAGE_SIZE")

    def _read_proc(self, path: str) -> str:
        descriptor = self._open_proc(path)
        try:
            return os.read(descriptor, 4096).decode()
        finally:
            os.close(descriptor)

    def _open_proc(self, path: str) -> int:
        return os.open(path, os.O_RDONLY, dir_fd=self._proc)

    def _allow_scratch(self) -> None:
        if self._read_only is not None:
            if self._with_scratch is not None:
                os.close(self._with_scratch)
            self._with_scratch = landlock.build(["/"], [root.SCRATCH])


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    control.send(json.dumps(message).encode())


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message and its descriptors; an empty one when the client is gone."""
    data, descriptors, _, _ = socket.recv_fds(control, MAX_PACKET, _MAX_DESCRIPTORS)
    return (json.loads(data) if data else {}), descriptors
