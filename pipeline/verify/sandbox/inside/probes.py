"""Tries, inside, what must not work; a worker for `protections`."""

# pathlib would be in the memory of every program.
# ruff: noqa: PTH108, PTH110, PTH120, PTH123

import ctypes
import errno
import json
import os
import socket
from collections.abc import Callable
from typing import Any

from . import kernel, root


def main(payload: bytes) -> bytes:
    """Takes `canary` (a file of the host that its owner could write), `pid` (of a process of the
    host), `threads` and `memory_bytes` (the limits) as JSON; returns name of a protection: None where it holds, else
    what got through."""
    given = json.loads(payload)
    found: dict[str, str | None] = {}
    for name, attempt in PROBES.items():
        try:
            found[name] = attempt(given)
        except Exception as error:  # noqa: BLE001 - an attempt that breaks shows nothing
            found[name] = f"the attempt broke: {type(error).__name__}: {error}"
    return json.dumps(found).encode()


def _refused(action: Callable[..., object], *args: object) -> bool:
    try:
        action(*args)
    except OSError:
        return True
    return False


def _reading(given: dict[str, Any]) -> str | None:
    for path in (given["canary"], "/etc/passwd", "/etc/shadow", "/proc/self/environ"):
        if not _refused(os.open, path, os.O_RDONLY):
            return f"{path} can be opened"
    return None


def _writing(given: dict[str, Any]) -> str | None:
    flags = os.O_WRONLY | os.O_CREAT
    for folder in ("/", "/dev", "/usr/lib", root.FILES, os.path.dirname(os.__file__)):
        path = f"{folder}/winnow-probe"
        if not _refused(os.open, path, flags):
            return f"{folder} can be written"
    if not _refused(os.open, given["canary"], os.O_WRONLY):
        return "a file outside can be written"
    return None


def _scratch(_: dict[str, Any]) -> str | None:
    """The scratch folder works, and ends where it should."""
    block = b"x" * 2**20
    written = 0
    names = [f"{root.SCRATCH}/{number}" for number in range(8)]
    try:
        for name in names:
            with open(name, "wb", buffering=0) as file:
                while written <= root.SCRATCH_BYTES:
                    written += file.write(block)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG):
            return f"the scratch folder cannot be written: {error.strerror}"
    finally:
        for name in names:
            if os.path.exists(name):
                os.unlink(name)
    return f"{written} bytes fit in" if written > root.SCRATCH_BYTES else None


def _processes(_: dict[str, Any]) -> str | None:
    try:
        pid = os.fork()
    except OSError:
        return None
    if pid == 0:
        os._exit(0)
    return "a process can be started"


def _programs(_: dict[str, Any]) -> str | None:
    missing = "/bin/no-such-program"
    try:
        os.execv(missing, [missing])
    except PermissionError:
        return None
    except OSError as error:
        return f"the kernel looked for a program: {error.strerror}"
    return None


def _threads(given: dict[str, Any]) -> str | None:
    import threading

    release = threading.Event()
    threads = []
    allowed = given["threads"] + 4  # the limit counts a few processes of ours too
    try:
        for _ in range(allowed + 1):
            thread = threading.Thread(target=release.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        return None
    finally:
        release.set()
        for thread in threads:
            thread.join()
    return f"{allowed + 1} threads can be started"


def _network(_: dict[str, Any]) -> str | None:
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
        if not _refused(socket.socket, family):
            return f"{family.name} sockets can be made"
    return None


def _others(given: dict[str, Any]) -> str | None:
    """Signals and memory of other processes."""
    if os.getpgid(0) != os.getpid():
        return "it is in the process group of others"
    for pid in (given["pid"], os.getppid() or given["pid"], -1):
        if not _refused(os.kill, pid, 0):
            return f"process {pid} can be signalled"
    if kernel.libc.ptrace(16, given["pid"], None, None) == 0:  # PTRACE_ATTACH
        return "a process can be traced"
    return None


def _privileges(_: dict[str, Any]) -> str | None:
    if kernel.capabilities():
        return "capabilities are left"
    if not kernel.has_given_up_new_privileges():
        return "new privileges can be gained"
    if 0 in (*os.getresuid(), *os.getresgid()) or not _refused(os.setuid, 0):
        return "it runs as root"
    return None


def _kernel(_: dict[str, Any]) -> str | None:
    attempts: dict[str, Callable[[], object]] = {
        "unshare": lambda: kernel.unshare(kernel.NEWUSER),
        "mount": lambda: kernel.mount("none", root.SCRATCH, "tmpfs"),
        "memfd_create": lambda: os.memfd_create("probe"),
        "shmget": lambda: kernel.check(kernel.libc.shmget(0, 4096, 0o1600), "shmget"),
        "keyctl": lambda: kernel.system_call(_KEYCTL[os.uname().machine], 0, -3, 1),
    }
    for name, attempt in attempts.items():
        if not _refused(attempt):
            return f"{name} works"
    return None


_KEYCTL = {"x86_64": 250, "aarch64": 219}


def _memory(given: dict[str, Any]) -> str | None:
    import mmap

    try:  # room that is never touched, so that it costs nothing where it is given
        mmap.mmap(-1, 2 * given["memory_bytes"]).close()
    except OSError:
        pass
    else:
        return "twice the memory can be taken"
    if ctypes.CDLL(None).mlockall(2) == 0:
        return "memory can be locked"
    return None


def _files(_: dict[str, Any]) -> str | None:
    opened: list[int] = []
    try:
        while len(opened) < 10_000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return None
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return "10,000 files can be opened"


def _environment(_: dict[str, Any]) -> str | None:
    known = {
        "HOME", "TMPDIR", "PATH", "LANG", "LC_CTYPE", "PYTHONHASHSEED", "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    }  # fmt: skip
    left = sorted(set(os.environ) - known)
    return f"{', '.join(left)} can be read" if left else None


def _descriptors(_: dict[str, Any]) -> str | None:
    left = []
    for descriptor in range(5, 1024):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        left.append(str(descriptor))
    return f"descriptors {', '.join(left)} are open" if left else None


PROBES: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "reading": _reading,
    "writing": _writing,
    "scratch": _scratch,
    "environment": _environment,
    "descriptors": _descriptors,
    "network": _network,
    "processes": _processes,
    "programs": _programs,
    "threads": _threads,
    "others": _others,
    "privileges": _privileges,
    "kernel": _kernel,
    "memory": _memory,
    "files": _files,
}
