"""Landlock: what a process may do with files, whatever the mounts say (`man 7 landlock`).

The second layer over files: the first is that nothing else is mounted.
"""

# pathlib would be in the memory of every program.
# ruff: noqa: PTH110, PTH112

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Sequence

from . import kernel

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE, _READ, _READ_FOLDER = 1, 2, 4, 8
_REMOVE = 1 << 4 | 1 << 5
_MAKE_SPECIAL = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11  # devices, sockets, pipes
_MAKE = 1 << 7 | 1 << 8 | 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_TCP = 1 | 2
_SCOPED = 1 | 2  # abstract sockets, signals
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


def version() -> int:
    """The kernel's version of Landlock; 0 where it has none."""
    try:
        return kernel.system_call(_CREATE, None, 0, 1)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def build(readable: Sequence[str], writable: Sequence[str]) -> int:
    """A descriptor of the rules: read below `readable`, read and write below `writable`, write to
    the harmless devices, nothing else; no TCP, no signal out of the domain where the kernel can."""
    known = version()
    rights = _EXECUTE | _WRITE | _READ | _READ_FOLDER | _REMOVE | _MAKE_SPECIAL | _MAKE
    rights |= (_REFER if known >= 2 else 0) | (_TRUNCATE if known >= 3 else 0)
    rights |= _IOCTL_DEVICE if known >= 5 else 0
    attributes = struct.pack("<Q", rights)
    attributes += struct.pack("<Q", _TCP) if known >= 4 else b""
    attributes += struct.pack("<Q", _SCOPED) if known >= 6 else b""
    low = kernel.system_call(_CREATE, ctypes.c_char_p(attributes), len(attributes), 0)
    # A child puts other descriptors in low places before it comes to use this one.
    rules = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 128)
    os.close(low)
    for path in readable:
        _allow(rules, path, _READ | _READ_FOLDER if os.path.isdir(path) else _READ)
    for path in writable:
        _allow(rules, path, rights & ~(_EXECUTE | _MAKE_SPECIAL | _IOCTL_DEVICE))
    for path in _DEVICES:
        if os.path.exists(path):
            _allow(rules, path, _READ | _WRITE | (rights & _TRUNCATE))
    return rules


def restrict(rules: int) -> None:
    """Bind this thread and all that it starts to `rules`, for good."""
    kernel.system_call(_RESTRICT, rules, 0)


def _allow(rules: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = struct.pack("<Qi", rights, descriptor)
        kernel.system_call(_ADD_RULE, rules, 1, ctypes.c_char_p(beneath), 0)
    finally:
        os.close(descriptor)
