"""The filter over system calls, run step by step as the kernel would (man 2 seccomp)."""

import errno
import os
import platform
import re
import struct
from pathlib import Path

import pytest

from winnow.pipeline.verify.sandbox.inside import system_calls

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSE, ABSENT = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
HEADER = Path("/usr/include/asm-generic/unistd.h")
HEADER_X86 = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


@pytest.fixture(params=sorted(ARCHITECTURES))
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name = str(request.param)
    uname = platform.uname()._replace(machine=name)
    monkeypatch.setattr(os, "uname", lambda: uname)
    return name


def answer(program: bytes, number: int, *, argument: int = 0, architecture: int) -> int:
    """What the filter says to a call; the seven operations that it uses."""
    data = {0: number, 4: architecture, 16: argument}
    steps = list(struct.iter_unpack("<HBBI", program))
    at = loaded = 0
    while True:
        operation, yes, no, value = steps[at]
        at += 1
        match operation:
            case 0x20:
                loaded = data[value]
            case 0x06:
                return int(value)
            case 0x15:
                at += yes if loaded == value else no
            case 0x25:
                at += yes if loaded > value else no
            case 0x35:
                at += yes if loaded >= value else no
            case 0x45:
                at += yes if loaded & value else no
            case _:
                raise AssertionError(f"operation {operation:#x}")


def test_every_number_is_answered_as_the_table_says(machine: str) -> None:
    column = sorted(ARCHITECTURES).index(machine) ^ 1  # the table's first column is x86-64
    program = system_calls.build()
    denied = {numbers[column] for numbers in system_calls._DENIED.values()}
    by_argument = {system_calls._CLONE[column], system_calls._SOCKETPAIR[column]}
    for number in range(700):
        expected = ALLOW
        if number > system_calls._LAST_KNOWN or number == system_calls._CLONE3:
            expected = ABSENT
        elif number in denied or number in by_argument:
            expected = REFUSE
        found = answer(program, number, architecture=ARCHITECTURES[machine])
        assert found == expected, number


def test_threads_and_local_pairs_are_allowed(machine: str) -> None:
    column = sorted(ARCHITECTURES).index(machine) ^ 1
    program, architecture = system_calls.build(), ARCHITECTURES[machine]
    clone, pair = system_calls._CLONE[column], system_calls._SOCKETPAIR[column]
    # What glibc passes for a thread, for fork and for vfork.
    assert answer(program, clone, argument=0x3D0F00, architecture=architecture) == ALLOW
    assert answer(program, clone, argument=0x1200011, architecture=architecture) == REFUSE
    assert answer(program, clone, argument=0x4111, architecture=architecture) == REFUSE
    assert answer(program, pair, argument=1, architecture=architecture) == ALLOW
    assert answer(program, pair, argument=2, architecture=architecture) == REFUSE


def test_the_tables_of_other_architectures_are_no_way_round(machine: str) -> None:
    program, architecture = system_calls.build(), ARCHITECTURES[machine]
    assert answer(program, 0, architecture=0x40000003) == KILL  # i386, for int 0x80
    assert answer(program, 0x40000000 + 57, architecture=architecture) == KILL  # x32


def test_without_a_pid_namespace_only_own_threads_can_be_signalled(machine: str) -> None:
    column = sorted(ARCHITECTURES).index(machine) ^ 1
    program, architecture = system_calls.build(own_pid=4242), ARCHITECTURES[machine]
    for numbers in system_calls._SIGNALS.values():
        assert answer(program, numbers[column], argument=4242, architecture=architecture) == REFUSE
    for numbers in system_calls._SIGNALS_TO_OWN_THREADS.values():
        number = numbers[column]
        assert answer(program, number, argument=4242, architecture=architecture) == ALLOW
        assert answer(program, number, argument=1, architecture=architecture) == REFUSE


@pytest.mark.parametrize(("header", "column"), [(HEADER_X86, 0), (HEADER, 1)])
def test_numbers_are_the_kernels(header: Path, column: int) -> None:
    if not header.exists():
        pytest.skip(f"needs {header.name} of the kernel's headers")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    numbers = {name: int(number) for name, number in found}
    table = {
        **system_calls._DENIED,
        **system_calls._SIGNALS,
        **system_calls._SIGNALS_TO_OWN_THREADS,
        "clone": system_calls._CLONE,
        "socketpair": system_calls._SOCKETPAIR,
        "clone3": (435, 435),
    }
    for name, known in table.items():
        if name in numbers or known[column] is None:
            assert numbers.get(name) == known[column], name
