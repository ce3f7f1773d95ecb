"""The sandbox as others use it: what goes in, what comes out, how runs end and how it ends itself."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from winnow.pipeline.verify.sandbox import (
    Job,
    Limits,
    Sandbox,
    SandboxUnavailable,
    protections,
)
from winnow.pipeline.verify.sandbox import client as sandbox_client
from winnow.pipeline.verify.sandbox.inside import child

HERE = Path(__file__).parent
WORKER = """
import os, sys, time, json, random

def main(payload):
    return globals()[payload.split(b" ")[0].decode()](payload)

def reverse(payload): return payload[::-1]
def talk(payload): print("hello"); return b"x"
def read(payload): return sys.stdin.buffer.read()
def by_tmp(payload):
    open("kept", "w").write("1")
    return open("/tmp/kept", "rb").read()
def fail(payload): raise ValueError("no luck")
def leave(payload): os._exit(7)
def loop(payload):
    while True: pass
def sleep_well(payload): os.read(5, 1); return b""
def sleep(payload): time.sleep(60)
def hoard(payload): return bytes(10 * 2**30)
def flood(payload):
    while True: os.write(1, b"x" * 65536)
def much(payload): return b"x" * 10**6
def write(payload): open("kept", "w").write("1"); return b"".join(sorted(map(os.fsencode, os.listdir("."))))
def listing(payload): return json.dumps([os.getcwd(), os.listdir("."), os.getpid()]).encode()
def show(payload): return open(payload.split(b" ")[1], "rb").read()
def change(payload): open(payload.split(b" ")[1], "r+b").write(b"changed")
def luck(payload): return json.dumps([random.random(), hash("text")]).encode()
def big_file(payload): open("big", "wb").write(b"x" * 2**20)
def open_files(payload): return str(len([os.open("/dev/null", 0) for _ in range(5)])).encode()
def search(payload):
    # Whether memory near Python's objects holds a text, given by its beginning and a hash of the rest.
    import ctypes, gc, hashlib
    _, start, digest, *_ = payload.split(b" ")
    libc, (out, into) = ctypes.CDLL(None), os.pipe()
    pages = {id(one) & ~0xfffff for one in gc.get_objects()} | {id(b"%d" % n) & ~0xfffff for n in range(99)}
    for region in pages:
        for page in range(region - 2**20, region + 2**21, 4096):
            if libc.write(into, ctypes.c_void_p(page), 4096) == 4096:  # the kernel knows what can be read
                data = os.read(out, 4096)
                at = data.find(start)
                while at >= 0:
                    rest = data[at + len(start):at + len(start) + 20]
                    if hashlib.sha256(rest).hexdigest().encode() == digest: return b"found"
                    at = data.find(start, at + 1)
    return b"nothing"
def linked(payload):
    os.write(5, payload)
    heard = os.read(5, 100)
    # the other one is killed when the trusted one ends, so that one waits for the end of the link
    if payload.endswith(b"trusted"): os.read(5, 1)
    return heard
def wait(payload): return os.read(5, 100)
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("worker") / "worker.py"
    path.write_text(WORKER)
    return path


@pytest.fixture(scope="module")
def box(worker: Path) -> Iterator[Sandbox]:
    with Sandbox([worker], preload=["sqlite3"]) as made:
        yield made


def test_a_result_comes_back(box: Sandbox) -> None:
    outcome = box.run("worker", b"reverse me")
    assert (outcome.status, outcome.result, outcome.error) == ("finished", b"em esrever", None)
    assert outcome.cpu_seconds > 0 and outcome.wall_seconds > 0


def test_output_and_input_are_its_own(box: Sandbox) -> None:
    assert box.run("worker", b"talk").output == b"hello\n"
    assert box.run("worker", b"read", stdin=b"line\n\xff").result == b"line\n\xff"


@pytest.mark.parametrize(
    ("what", "limits", "status", "error"),
    [
        ("fail", Limits(), "failed", "ValueError: no luck"),
        ("leave", Limits(), "exited", "exit code 7"),
        ("loop", Limits(cpu_seconds=1, wall_seconds=60), "time_limit", "signal 9"),
        ("sleep", Limits(wall_seconds=0.3), "time_limit", "signal 9"),
        ("hoard", Limits(), "memory_limit", "MemoryError"),
        ("flood", Limits(output_bytes=10**5), "output_limit", None),
        ("much", Limits(output_bytes=10**5), "output_limit", None),
        ("big_file", Limits(file_bytes=2**16), "failed", "OSError: [Errno 27] File too large"),
        ("open_files", Limits(open_files=8), "failed", "OSError: [Errno 24]"),
        ("nothing_of_that_name", Limits(), "failed", "KeyError"),
    ],
)
def test_how_a_run_ends(
    box: Sandbox, what: str, limits: Limits, status: str, error: str | None
) -> None:
    outcome = box.run("worker", what.encode(), limits)
    assert outcome.status == status
    assert outcome.result == b""
    assert error is None or (outcome.error or "").startswith(error)
    assert len(outcome.output) <= limits.output_bytes


def test_nothing_is_left_for_the_next_run(box: Sandbox) -> None:
    assert box.run("worker", b"write").result == b"kept"
    assert box.run("worker", b"listing").result == b'["/scratch", [], 1]'


def test_nothing_of_another_run_is_in_memory(box: Sandbox) -> None:
    """A program that reads its memory finds its own payload, and neither an earlier one's nor that of
    the process beside it."""
    start, rest = b"marker-of-the-", b"one-that-is-searched"
    question = b"search %s %s" % (start, hashlib.sha256(rest).hexdigest().encode())
    limits = Limits(cpu_seconds=20)
    assert box.run("worker", question + b" " + start + rest, limits).result == b"found"
    box.run("worker", b"reverse " + start + rest, stdin=start + rest)
    assert box.run("worker", question, limits).result == b"nothing"
    searching, _ = box.run_linked(
        Job("worker", question, limits), Job("worker", b"sleep_well " + start + rest, limits)
    )
    assert searching.result == b"nothing"


def test_runs_are_the_same_each_time(box: Sandbox, worker: Path) -> None:
    first = box.run("worker", b"luck").result
    assert box.run("worker", b"luck").result == first
    with Sandbox([worker]) as other:
        assert other.run("worker", b"luck").result == first


def test_files_go_in_read_only(box: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a database.sqlite"
    path.write_bytes(b"content" * 1000)
    inside = box.put(path)
    assert box.put(path) == inside
    assert box.run("worker", f"show {inside}".encode()).result == b"content" * 1000
    changed = box.run("worker", f"change {inside}".encode())
    assert (changed.status, path.read_bytes()[:7]) == ("failed", b"content")
    assert box.run("worker", f"show {inside}".encode()).result[:7] == b"content"
    path.write_bytes(b"another")
    assert box.run("worker", f"show {box.put(path)}".encode()).result == b"another"


def test_two_processes_talk_over_their_link(box: Sandbox) -> None:
    first, second = box.run_linked(Job("worker", b"linked a"), Job("worker", b"linked trusted"))
    assert (first.result, second.result) == (b"linked trusted", b"linked a")


def test_the_untrusted_one_ends_with_the_trusted_one(box: Sandbox) -> None:
    started = time.monotonic()
    first, second = box.run_linked(Job("worker", b"sleep"), Job("worker", b"reverse"))
    assert (first.status, second.status) == ("exited", "finished")
    assert time.monotonic() - started < 8  # and not after a minute


def test_a_preloaded_module_is_there(box: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "preloads.py"
    path.write_text("import sys\ndef main(payload): return repr('sqlite3' in sys.modules).encode()")
    with Sandbox([path], preload=["sqlite3"]) as with_it, Sandbox([path]) as without:
        assert with_it.run("preloads", b"").result == b"True"
        assert without.run("preloads", b"").result == b"False"


def test_threads_wait_for_each_other(box: Sandbox) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda n=n: found.append(box.run("worker", f"reverse {n}".encode()).result)
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"reverse {n}".encode()[::-1] for n in range(8))


def test_no_descriptor_is_kept(box: Sandbox) -> None:
    box.run("worker", b"reverse")
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    for what in (b"reverse", b"flood", b"leave"):
        box.run("worker", what, Limits(output_bytes=1000))
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


def test_a_sandbox_that_was_killed_is_started_again(worker: Path) -> None:
    with Sandbox([worker]) as box:
        box.start()
        assert box._process is not None
        box._process.kill()
        box._process.wait()
        with pytest.raises(SandboxUnavailable):
            box.run("worker", b"reverse")
        assert box.run("worker", b"reverse").result == b"esrever"


def test_closing_leaves_no_process(worker: Path) -> None:
    box = Sandbox([worker])
    box.start()
    children = psutil.Process(box._process.pid if box._process else 0).children(recursive=True)
    assert children
    box.close()
    psutil.wait_procs(children, timeout=20)
    assert not any(one.is_running() for one in children)


def test_a_worker_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import no_such_module")
    with Sandbox([path]) as box, pytest.raises(SandboxUnavailable, match="no_such_module"):
        box.start()


PARENT = """
import sys, time
from pathlib import Path
from winnow.pipeline.verify.sandbox import Limits, Sandbox

if __name__ == "__main__":
    box = Sandbox([Path(sys.argv[1])])
    box.start()
    print(box._process.pid, flush=True)
    box.run("worker", b"sleep", Limits(wall_seconds=600))
"""


def test_all_of_it_ends_with_its_parent(worker: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), str(worker)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        launcher = psutil.Process(int(parent.stdout.readline()))
        deadline = time.monotonic() + 60
        while len(family := [launcher, *launcher.children(recursive=True)]) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=30)
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)


def test_a_fork_of_the_parent_starts_its_own(box: Sandbox) -> None:
    """The child must not talk into the conversation of its parent."""
    box.start()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        theirs.send(box.run("worker", b"reverse").result)
        box.close()
        os._exit(0)
    theirs.close()
    assert ours.recv(100) == b"esrever"
    os.waitpid(pid, 0)
    ours.close()
    assert box.run("worker", b"reverse").result == b"esrever"


def test_every_protection_is_tried_and_told() -> None:
    found = protections()
    assert found.runs_untrusted_code, found.missing
    assert len(found.rows) == len(found.each) >= 20
    assert all(
        row[2] == "yes" or not one.needed for row, one in zip(found.rows, found.each, strict=True)
    )


def test_a_protection_that_does_not_hold_is_found(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Take away the filter over system calls: the check at the start notices."""
    changed = tmp_path / "inside"
    changed.mkdir()
    for path in sandbox_client.INSIDE.glob("*.py"):
        text = path.read_text()
        if path.name == "child.py":
            assert "    if confinement.filter is not None:" in text
            text = text.replace("    if confinement.filter is not None:", "    if False:")
        (changed / path.name).write_text(text)
    monkeypatch.setattr(sandbox_client, "INSIDE", changed)
    with Sandbox([], weak=False) as open_box, pytest.raises(SandboxUnavailable, match="processes"):
        open_box.start()


WITHOUT_NAMESPACES = """
import os, sys
from importlib.util import find_spec

# Before anything of ours is imported: only a process of one thread can do this.
sys.path.append(os.path.dirname(find_spec("winnow").origin) + "/pipeline/verify/sandbox")
from inside import kernel

user, group = os.geteuid(), os.getegid()
kernel.unshare(kernel.NEWUSER)
for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
    open(f"/proc/self/{name}", "w").write(text)
open("/proc/sys/user/max_user_namespaces", "w").write("0")
kernel.drop_capabilities()

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.python_code import PythonCode
from winnow.pipeline.verify.sandbox import protections

def verdict(code):
    args = {"kind": "asserts", "tests": ["assert f() == 1"]}
    found = PythonCode().verify(code, Task([], None, args))
    print(found.verdict, found.detail, sep=": ")

verdict("def f(): return 1")
print([one.name for one in protections(limits=False).missing])
os.environ["WINNOW_ALLOW_WEAK_SANDBOX"] = "1"
verdict("def f(): return 1")
verdict("def f(): return 2")
verdict("import os\\ndef f(): os.fork()")
verdict("def f(): open('/etc/passwd')")
verdict("import socket\\ndef f(): socket.socket()")
verdict("import os\\ndef f(): os.kill(os.getppid(), 9)")
"""


def test_without_namespaces_nothing_runs_unless_told_to(tmp_path: Path) -> None:
    """On a machine that gives no user namespace; made by setting their number to 0 in one."""
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_NAMESPACES)
    command = [sys.executable, str(script)]
    if os.geteuid() == 0:
        home = tmp_path / "home"
        home.mkdir()
        tmp_path.chmod(0o755)
        command = [sys.executable, str(HERE / "as_user.py"), "54321", str(home), str(script)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    lines = run.stdout.splitlines()
    assert len(lines) == 8, run.stderr[-2000:]
    assert lines[0].startswith("unjudged: sandbox_unavailable: user namespace")
    assert "'namespaces'" in lines[1] and "'network'" not in lines[1]
    assert lines[2] == "correct: None"
    assert lines[3] == "wrong: wrong_value: test_0"
    assert all(line.startswith("wrong: error: PermissionError") for line in lines[4:]), lines


def test_the_link_is_where_the_workers_say() -> None:
    assert child.LINK == 5  # hostile programs and the worker above write to it by number


@pytest.mark.skipif(
    any(path.startswith("/tmp/") for path in (sys.prefix, sys.base_prefix)),
    reason="this Python lives below /tmp, which then is no name of the scratch folder",
)
def test_scratch_is_also_called_tmp(box: Sandbox) -> None:
    assert box.run("worker", b"by_tmp").result == b"1"
