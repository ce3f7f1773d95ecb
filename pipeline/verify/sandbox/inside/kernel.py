"""System calls that Python has no function for (`man 2` of each name). Errors are OSErrors."""

import ctypes
import errno
import os

NEWNS = 0x0002_0000
NEWCGROUP = 0x0200_0000
NEWUTS = 0x0400_0000
NEWIPC = 0x0800_0000
NEWUSER = 0x1000_0000
NEWPID = 0x2000_0000
NEWNET = 0x4000_0000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18

# Numbers that are the same on every machine whose tables `system_calls` knows.
_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# NOROOT, KEEP_CAPS off, NO_CAP_AMBIENT_RAISE, each with its lock.
_SECUREBITS = 0x01 | 0x02 | 0x20 | 0x40 | 0x80
_CAPABILITY_VERSION_3 = 0x2008_0522

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """`result`, or the error that the C library left behind."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def system_call(number: int, *args: object) -> int:
    """A system call by its number. Integers are passed as C longs."""
    passed = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    return check(libc.syscall(ctypes.c_long(number), *passed), f"system call {number}")


def prctl(option: int, *args: object) -> int:
    """`args` are integers or pointers; what is not given is 0."""
    passed = [ctypes.c_ulong(arg) if isinstance(arg, int) else arg for arg in args]
    passed += [ctypes.c_ulong(0)] * (4 - len(passed))
    return check(libc.prctl(option, *passed), f"prctl {option}")


def unshare(flags: int) -> None:
    check(libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    check(libc.setns(descriptor, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    result = libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    check(result, f"mount {target}")


def detach(target: str) -> None:
    """Unmount now; what is still open goes when it is closed."""
    check(libc.umount2(target.encode(), 2), f"umount {target}")


def set_attributes(
    target: str, *, read_only: bool, nodev: bool = True, recursive: bool = True
) -> None:
    """Read-only or not, nosuid, nodev, for the mount at `target` and those below it."""
    wanted = _ATTR_NOSUID | (_ATTR_NODEV if nodev else 0) | (_ATTR_RDONLY if read_only else 0)
    cleared = 0 if read_only else _ATTR_RDONLY
    attributes = (ctypes.c_uint64 * 4)(wanted, cleared, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    system_call(
        _MOUNT_SETATTR, -100, target.encode(), flags, ctypes.byref(attributes), 32
    )  # -100: AT_FDCWD


def die_with_parent() -> None:
    """SIGKILL when the thread that started this process ends."""
    prctl(_PR_SET_PDEATHSIG, 9)


def give_up_new_privileges() -> None:
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def has_given_up_new_privileges() -> bool:
    return prctl(_PR_GET_NO_NEW_PRIVS) == 1


def bar_capabilities() -> None:
    """Empty the bounding and the ambient set, and lock what could refill them."""
    prctl(_PR_SET_SECUREBITS, _SECUREBITS)
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(64):
        try:
            prctl(_PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:  # past the last one that this kernel has
                return
            raise


def drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    check(libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())), "capset")


def capabilities() -> int:
    """Effective and permitted capabilities of this process, as one bit mask."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    check(libc.capget(ctypes.byref(header), ctypes.byref(data)), "capget")
    return (data[0] | data[1]) | (data[3] | data[4]) << 32
