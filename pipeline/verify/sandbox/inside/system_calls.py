"""The filter over system calls (seccomp): what a program in the sandbox cannot ask the kernel for.

A list of what is denied, not of what is allowed, because Python and the libraries that programs
import use much of the rest; calls newer than the tables are answered as if the kernel had none.
Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""

import ctypes
import errno
import os
import struct

from . import kernel

# name: (x86-64, aarch64); None where the machine has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # no other process, no other program
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # nothing of another process
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    # no network and no channel between processes
    "socket": (41, 198), "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183), "mq_notify": (244, 184), "mq_getsetattr": (245, 185),
    # no other view of the file system
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "swapon": (167, 224), "swapoff": (168, 225),
    "mknod": (133, None), "mknodat": (259, 33), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "acct": (163, 89),
    # no namespace
    "unshare": (272, 97), "setns": (308, 268),
    # no part of the kernel that programs do not need and that has often had holes
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "bpf": (321, 280),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_setup": (206, 0), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "reboot": (169, 142), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "vmsplice": (278, 75), "move_pages": (279, 239), "migrate_pages": (256, 238),
    "seccomp": (317, 277), "personality": (135, 92), "syslog": (103, 116),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "uselib": (134, None),
    "sethostname": (170, 161), "setdomainname": (171, 162), "vhangup": (153, 58),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    # memory that no limit counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
}  # fmt: skip
# Without a PID namespace, signals could reach others.
_SIGNALS = {
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
}  # fmt: skip
_SIGNALS_TO_OWN_THREADS = {"tgkill": (234, 131), "rt_tgsigqueueinfo": (297, 240)}
_CLONE, _SOCKETPAIR = (56, 220), (53, 199)
_CLONE3 = 435  # its flags are behind a pointer, where a filter cannot look; libraries fall back
_LAST_KNOWN = 450

_MACHINES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}
_CLONE_THREAD = 0x0001_0000
_AF_UNIX = 1
_X32 = 0x4000_0000  # x86-64 has a second table behind this bit

_LOAD, _EQUAL, _GREATER, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF_0000, 0x0005_0000, 0x8000_0000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def supported() -> bool:
    """Whether there is a table for this machine."""
    return os.uname().machine in _MACHINES


def build(own_pid: int | None = None) -> bytes:
    """The filter as a BPF program (struct sock_filter, 8 bytes each).

    With `own_pid`, signals are denied too, but for those to threads of that process: for a process
    that has no PID namespace of its own.
    """
    column, architecture = _MACHINES[os.uname().machine]
    refuse = _ERROR | errno.EPERM
    absent = _ERROR | errno.ENOSYS
    # Steps: operation, value, steps to jump over if true, if false.
    steps = [
        (_LOAD, _ARCHITECTURE, 0, 0), (_EQUAL, architecture, 1, 0), (_RETURN, _KILL, 0, 0),
        (_LOAD, _NUMBER, 0, 0), (_GREATER_EQUAL, _X32, 0, 1), (_RETURN, _KILL, 0, 0),
        (_GREATER, _LAST_KNOWN, 0, 1), (_RETURN, absent, 0, 0),
        (_EQUAL, _CLONE3, 0, 1), (_RETURN, absent, 0, 0),
        (_EQUAL, _CLONE[column], 0, 4), (_LOAD, _FIRST_ARGUMENT, 0, 0),
        (_ANY_BIT, _CLONE_THREAD, 0, 1), (_RETURN, _ALLOW, 0, 0), (_RETURN, refuse, 0, 0),
        # asyncio wakes itself through a pair of local sockets
        (_EQUAL, _SOCKETPAIR[column], 0, 4), (_LOAD, _FIRST_ARGUMENT, 0, 0),
        (_EQUAL, _AF_UNIX, 0, 1), (_RETURN, _ALLOW, 0, 0), (_RETURN, refuse, 0, 0),
    ]  # fmt: skip
    denied = {numbers[column] for numbers in _DENIED.values()}
    if own_pid is not None:
        denied |= {numbers[column] for numbers in _SIGNALS.values()}
        for numbers in _SIGNALS_TO_OWN_THREADS.values():
            steps += [
                (_EQUAL, numbers[column], 0, 4), (_LOAD, _FIRST_ARGUMENT, 0, 0),
                (_EQUAL, own_pid, 0, 1), (_RETURN, _ALLOW, 0, 0), (_RETURN, refuse, 0, 0),
            ]  # fmt: skip
    # Where the answer changes, in the order of the numbers.
    bounds = [0]
    for number in range(_LAST_KNOWN + 1):
        if (number in denied) != (number - 1 in denied):
            bounds.append(number)
    steps += _searched(bounds, denied, refuse)
    return b"".join(
        struct.pack("<HBBI", operation, yes, no, value) for operation, value, yes, no in steps
    )


def _searched(
    bounds: list[int], denied: set[int | None], refuse: int
) -> list[tuple[int, int, int, int]]:
    """Steps that find the range of a number by halves. The kernel runs a filter for every call that
    it knows when it takes the filter in, so its length is what a program's start costs."""
    if len(bounds) == 1:
        return [(_RETURN, refuse if bounds[0] in denied else _ALLOW, 0, 0)]
    middle = len(bounds) // 2
    below = _searched(bounds[:middle], denied, refuse)
    above = _searched(bounds[middle:], denied, refuse)
    return [(_GREATER_EQUAL, bounds[middle], len(below), 0), *below, *above]


def install(program: bytes) -> None:
    """Put the filter over this thread and all that it starts, for good. It needs no privilege once
    new privileges are given up."""
    passed = _Program(len(program) // 8, program)
    kernel.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(passed))
