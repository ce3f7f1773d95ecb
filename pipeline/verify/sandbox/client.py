"""Our side of the sandbox: starts the zygote, hands it descriptors, watches what comes back."""

import json
import os
import select
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from winnow.pipeline.verify.sandbox.inside import root, zygote
from winnow.pipeline.verify.sandbox.limits import Limits, Outcome
from winnow.pipeline.verify.sandbox.runs import Job, Runs, SandboxUnavailable

ALLOW_WEAK = "WINNOW_ALLOW_WEAK_SANDBOX"
INSIDE = Path(zygote.__file__).parent
START_SECONDS = 60.0
GRACE_SECONDS = 10.0  # beyond the wall limits, until the zygote itself counts as hung
_BOOT = "import sys, json; sys.path.insert(0, sys.argv[1]); from inside import zygote; " \
    "zygote.main(int(sys.argv[2]), json.loads(sys.argv[3]))"  # fmt: skip
# All that a program finds in its environment.
_ENVIRONMENT = {
    "HOME": root.SCRATCH, "TMPDIR": root.SCRATCH, "PATH": "", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip


class Sandbox:
    """One zygote and the runs that are forked from it. See the package for what holds inside.

    `workers` are the files of the modules that can be run, `preload` modules to import before the
    doors close. Where a needed protection is missing, the first run raises SandboxUnavailable,
    unless `weak` (by default: the environment variable WINNOW_ALLOW_WEAK_SANDBOX=1) says that what
    there is will do.
    """

    def __init__(
        self, workers: Sequence[Path], preload: Sequence[str] = (), *, weak: bool | None = None
    ) -> None:
        self._workers = [str(path) for path in workers]
        self._preload = list(preload)
        self._weak = os.environ.get(ALLOW_WEAK) == "1" if weak is None else weak
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0
        self._end: weakref.finalize[..., Any] = weakref.finalize(self, _nothing)
        self._ids = 0
        self._refusal = ""  # why this machine cannot run it, once that is known
        self._paths: dict[tuple[int, int, int, int], str] = {}
        self.layers: dict[str, bool] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self,
        worker: str,
        payload: bytes,
        limits: Limits | None = None,
        *,
        stdin: bytes = b"",
        scratch: bool = True,
    ) -> Outcome:
        """Run `worker.main(payload)`. Whatever it does is in the outcome. Raises SandboxUnavailable
        where it could not be run at all."""
        return self._run([Job(worker, payload, limits or Limits(), stdin, scratch)])[0]

    def run_linked(self, untrusted: Job, trusted: Job) -> tuple[Outcome, Outcome]:
        """Run two workers at once, joined by a socket (descriptor `inside.child.LINK` of both).

        They share nothing else: not a descriptor, a file or a process table. When `trusted` ends,
        `untrusted` is killed. Raises as `run` does.
        """
        first, second = self._run([untrusted, trusted])
        return first, second

    def put(self, path: Path) -> str:
        """The path inside, read-only, of a copy of the file at `path`; the same one as long as the
        file is the same. Copies stay in memory until the sandbox is closed. Raises OSError, and
        SandboxUnavailable."""
        with self._lock, path.open("rb") as file:
            control = self._started()
            found = os.fstat(file.fileno())
            key = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
            if key not in self._paths:
                name = "".join(c if c.isalnum() or c in "._-" else "_" for c in path.name)[-100:]
                _send(control, {"put": name}, [file.fileno()])
                try:
                    answer = self._answer(control, START_SECONDS)
                except SandboxUnavailable:
                    self.close()
                    raise
                if answer.get("put") is None:
                    raise SandboxUnavailable(f"{path.name} does not go in: {answer.get('why')}")
                self._paths[key] = answer["put"]
            return self._paths[key]

    def start(self) -> None:
        """Start now, so that no run pays for it. Raises SandboxUnavailable."""
        with self._lock:
            self._started()

    def close(self) -> None:
        """End the zygote and all that runs in it. A later run starts a new one."""
        self._end()
        self._process = self._control = None
        self._paths = {}

    def _started(self) -> socket.socket:
        if self._owner != os.getpid():  # this process was forked from the one that started it
            self._end.detach()
            self._process = self._control = None
            self._paths = {}
        if self._refusal:
            raise SandboxUnavailable(self._refusal)
        if self._control is None:
            try:
                return self._start()
            except BaseException:
                self.close()
                raise
        return self._control

    def _start(self) -> socket.socket:
        from winnow.pipeline.verify.sandbox.protections import missing

        self._owner = os.getpid()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        options = {
            "workers": [*self._workers, str(INSIDE / "probes.py")],
            "preload": self._preload,
            "path": _site_packages(),
            "shown": _python_paths(),
            "weak": self._weak,
            # The signal comes with the end of the thread that starts it: only the first one stays.
            "dies_with_parent": threading.current_thread() is threading.main_thread(),
        }
        with theirs:
            command = [sys.executable, "-S", "-s", "-P", "-X", "utf8", "-c", _BOOT]
            self._process = subprocess.Popen(
                [*command, str(INSIDE.parent), str(theirs.fileno()), json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_ENVIRONMENT,
                start_new_session=True,
                cwd="/",
            )
        # Also where nobody closes it, and when the interpreter ends.
        self._end = weakref.finalize(self, _end, self._process, ours, os.getpid())
        while "ready" not in (answer := self._answer(ours, START_SECONDS)):
            if "map" in answer:
                _send(ours, {"mapped": _map_user(answer["map"])})
            elif "missing" in answer:
                self._refusal = answer["missing"]
                raise SandboxUnavailable(self._refusal)
        self.layers = answer["ready"]
        if not self._weak and (what := missing(self)):
            self._refusal = what
            raise SandboxUnavailable(what)
        return ours

    def _answer(self, control: socket.socket, seconds: float) -> dict[str, Any]:
        control.settimeout(seconds)
        try:
            data = control.recv(zygote.MAX_PACKET)
        except TimeoutError:
            raise SandboxUnavailable(f"no answer within {seconds:.0f} s") from None
        except OSError as error:
            raise SandboxUnavailable(f"its first process is gone: {error}") from None
        return self._message(data)

    def _message(self, data: bytes) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(data) if data else {"failed": "it ended"}
        if "failed" in message:
            raise SandboxUnavailable(str(message["failed"]))
        return message

    def _run(self, jobs: Sequence[Job]) -> list[Outcome]:
        with self._lock:
            control = self._started()
            try:
                with Runs(jobs, self._ids) as runs:
                    self._ids += len(jobs)
                    _send(control, {"spawn": runs.messages()}, runs.descriptors())
                    runs.close_theirs()
                    self._watch(control, runs)
                    return runs.outcomes()
            except (SandboxUnavailable, OSError) as error:
                self.close()
                raise SandboxUnavailable(str(error)) from None

    def _watch(self, control: socket.socket, runs: Runs) -> None:
        """Until all have ended: take in what they write, and end those that write too much."""
        poll = select.poll()
        poll.register(control, select.POLLIN)
        for descriptor in runs.pipes:
            poll.register(descriptor, select.POLLIN)
        last = time.monotonic() + max(run.job.limits.wall for run in runs.all) + GRACE_SECONDS
        while not runs.ended:
            left = last - time.monotonic()
            if left <= 0:
                raise SandboxUnavailable("it did not end a program at its limit")
            for descriptor, _ in poll.poll(left * 1000):
                if descriptor != control.fileno():
                    run, closed = runs.take(descriptor)
                    if closed:
                        poll.unregister(descriptor)
                    if run.overflows and not run.told:
                        run.told = True
                        _send(control, {"kill": run.id})
                    continue
                message = self._message(control.recv(zygote.MAX_PACKET))
                runs.by_id[message["exit"]].exit = message


def _nothing() -> None:
    """What ends a sandbox that has not started."""


def _end(process: subprocess.Popen[bytes], control: socket.socket, owner: int) -> None:
    control.close()
    if os.getpid() == owner:
        process.kill()
        process.wait()


def _send(control: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    control.setblocking(True)
    socket.send_fds(control, [json.dumps(message).encode()], list(descriptors))


def _site_packages() -> list[str]:
    """Where installed packages are. The far side starts without `site`, whose .pth files run code."""
    found = dict.fromkeys(sysconfig.get_path(scheme) for scheme in ("purelib", "platlib"))
    return [path for path in found if Path(path).exists()]


def _python_paths() -> list[str]:
    """Folders (and archives) that programs import from."""
    bases = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    found = {sysconfig.get_path(scheme, vars=bases) for scheme in ("stdlib", "platstdlib")}
    found.update(path for path in sys.path if path.startswith(sys.base_prefix + "/"))
    return sorted({path for path in found if Path(path).exists()} | set(_site_packages()))


def _map_user(pid: int) -> bool | str:
    """Say who the users of the process's new user namespace are out here; True, or what failed."""
    folder = Path(f"/proc/{pid}")
    try:
        if os.geteuid() == 0:
            # Root keeps itself, to reach Python's files, and gets somebody to be when programs run.
            table = f"0 0 1\n{zygote.USER} {zygote.USER} 1"
            (folder / "uid_map").write_text(table)
            (folder / "gid_map").write_text(table)
        else:
            (folder / "setgroups").write_text("deny")
            (folder / "uid_map").write_text(f"{zygote.USER} {os.geteuid()} 1")
            (folder / "gid_map").write_text(f"{zygote.USER} {os.getegid()} 1")
    except OSError as error:
        return str(error.strerror)
    return True
