"""Programs that try to get out, to cheat or to take everything, each with the verdict it deserves.

Run as a script it judges them all and prints one JSON object a line; so the same programs can be
judged as root and as an ordinary user:

    python hostile.py FOLDER      FOLDER holds canary.txt, and is nothing but that afterwards
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

# What the tests of most programs expect, and no program can know.
EXPECTED = "what only the tests know"  # 24 characters, as one program below has it
SECRET = "a secret of the host"
CANARY = "nobody may touch this\n"


@dataclass(frozen=True)
class Program:
    """`code` defines f, which the test calls as `call`. `details` are what the verdict's detail may
    begin with. Where `args` is given, it replaces the usual test."""

    name: str
    code: str
    details: tuple[str, ...]
    verdict: str = "wrong"
    call: str = "f()"
    args: dict[str, Any] = field(default_factory=dict)


def wrong(name: str, code: str, *details: str, **more: Any) -> Program:
    return Program(name, code, details, **more)


TIME, MEMORY, OUTPUT = "time_limit", "memory_limit", "output_limit"
WRONG, EARLY = "wrong_value", "ended_early"
SHORT = {"wall_seconds": 1.0}
# With a setup, tests are run by the checker; without, they are read and the values compared.
RUN = {"setup": "import math"}

PROGRAMS = [
    # taking everything
    wrong("endless loop", "while True: pass", TIME),
    wrong("endless loop in a call", "def f():\n    while True: pass", TIME),
    wrong(
        "catches everything and loops",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        TIME,
    ),
    wrong(
        "ignores every signal",
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        TIME,
    ),
    wrong(
        "handles SIGXCPU and SIGTERM",
        "import signal\nfor s in (signal.SIGXCPU, signal.SIGTERM):\n"
        "    signal.signal(s, lambda *a: None)\nwhile True: pass",
        TIME,
    ),
    wrong("raises its own limits",
        "import resource\nfor kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS):\n"
        "    try: resource.setrlimit(kind, (-1, -1))\n    except (OSError, ValueError): pass\n"
        "while True: pass",
        TIME,
    ),
    wrong("sleeps for ever", "import time\ndef f(): time.sleep(10**6)", TIME, args=SHORT),
    wrong("waits for input that never comes",
        "import threading\ndef f(): threading.Event().wait()", TIME, args=SHORT),
    wrong("catastrophic regular expression",
        "import re\ndef f(): return re.match('(a+)+$', 'a' * 40 + 'b')", TIME),
    wrong("fork bomb", "import os\nwhile True: os.fork()", "error: PermissionError"),
    wrong("fork bomb that does not give up",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", TIME),
    wrong("thread bomb",
        "import threading, time\ndef f():\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()",
        "error: RuntimeError"),
    wrong("10 GB at once", "def f(): return bytearray(10 * 10**9)", MEMORY),
    wrong("10 GB by and by",
        "kept = []\ndef f():\n    while True: kept.append(bytearray(10**7))", MEMORY, TIME),
    wrong("raises MemoryError", "def f(): raise MemoryError", MEMORY),
    wrong("deep recursion", "def f(): return f()", "error: RecursionError"),
    wrong("deep recursion without a limit",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return [f()]",
        MEMORY, TIME, EARLY, "error: "),
    wrong("output flood", "while True: print('x' * 1000)", OUTPUT),
    wrong("output flood past Python", "import os\ndef f():\n    while True: os.write(1, b'x' * 65536)",
        OUTPUT),
    wrong("stderr flood", "import os\nwhile True: os.write(2, b'x' * 65536)", TIME),
    wrong("fills the disk",
        "def f():\n    for n in range(10**6):\n        open(f'{n}', 'wb').write(b'x' * 10**6)",
        "error: OSError: [Errno 28]"),
    wrong("one file too large",
        "def f():\n    with open('big', 'wb') as file:\n        while True: file.write(b'x' * 10**6)",
        "error: OSError", EARLY),
    wrong("very many files", "def f():\n    for n in range(10**6): open(str(n), 'w').close()",
        "error: OSError: [Errno 28]"),
    wrong("very many open files",
        "kept = []\ndef f():\n    while True: kept.append(open('/dev/null'))",
        "error: OSError: [Errno 24]"),
    wrong("memory that is a file",
        "import os\ndef f(): return os.memfd_create('x')", "error: PermissionError"),
    wrong("shared memory",
        "from multiprocessing import shared_memory\n"
        "def f(): return shared_memory.SharedMemory(create=True, size=10**6)", "error: "),
    wrong("huge return value", "def f(): return 'x' * 10**8", OUTPUT),
    wrong("huge integer", "def f(): return 1 << 10**8", OUTPUT),
    wrong("endless generator",
        "def f():\n    while True: yield 'x'", TIME, MEMORY, call="list(f())"),
    wrong("return value of endless depth",
        "def f():\n    deep = []\n    for _ in range(10**5): deep = [deep]\n    return deep",
        "error: RecursionError", "bad_reply"),
    wrong("return value that holds itself",
        "def f():\n    loop = []\n    loop.append(loop)\n    return loop", WRONG, "error: RecursionError",
        call="f() == [[[1]]] or f()"),
    # leaving early, breaking the machinery
    wrong("os._exit before the tests", "import os\nos._exit(0)", f"{EARLY}: exit code 0"),
    wrong("os._exit in a call", "import os\ndef f(): os._exit(0)", f"{EARLY}: exit code 0"),
    wrong("sys.exit before the tests", "import sys\nsys.exit(0)", f"{EARLY}: SystemExit"),
    wrong("sys.exit in a call", "import sys\ndef f(): sys.exit(0)", f"{EARLY}: SystemExit"),
    wrong("closes all descriptors", "import os\nos.closerange(0, 1000)\ndef f(): return 1", EARLY),
    wrong("segmentation fault", "import ctypes\ndef f(): ctypes.string_at(1)", f"{EARLY}: signal 11"),
    wrong("abort", "import os\ndef f(): os.abort()", f"{EARLY}: signal"),
    wrong("exit handlers that never end",
        "import atexit\n@atexit.register\ndef g():\n    while True: pass\ndef f(): return 1", WRONG),
    wrong("empties sys.modules", "import sys\nsys.modules.clear()\ndef f(): return 1",
        WRONG, EARLY, "error: "),
    wrong("raises what is no Exception",
        "class Strange(BaseException): pass\ndef f(): raise Strange", "error: Strange"),
    wrong("an exception whose text never ends",
        "class Strange(Exception):\n    def __str__(self):\n        while True: pass\nraise Strange",
        TIME),
    wrong("StopIteration, to end a loop of the tests early",
        "def f(): raise StopIteration", "error: RuntimeError",
        args={"tests": ["assert all(map(lambda one: f() == one, [1, 2]))"]}),
    wrong("dies where the tests expect an exception", "import os\ndef f(): os._exit(0)", EARLY,
        args={"tests": ["try:\n    f()\n    assert False\nexcept BaseException:\n    pass"]}),
    # cheating
    wrong("an object that is equal to everything",
        "class Same:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
        "def f(): return Same()", WRONG),
    wrong("a text that is equal to everything",
        "class Same(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\n"
        "def f(): return Same('x')", WRONG),
    wrong("a list of a class of its own that is equal to everything",
        "class Same(list):\n    def __eq__(self, other): return True\ndef f(): return Same([1])", WRONG),
    wrong("an object that calculates as it likes",
        "class Near:\n    def __sub__(self, other): return 0.0\n    def __abs__(self): return 0.0\n"
        "def f(): return Near()", "error: TypeError",
        args={"tests": ["assert abs(f() - 5) < 1e-6"]}),
    wrong("an object that is smaller than everything",
        "class Small:\n    def __lt__(self, other): return True\ndef f(): return Small()",
        "error: TypeError", args={"tests": ["assert f() < 1e-6"]}),
    wrong("an object that contains everything",
        "class All:\n    def __contains__(self, item): return True\ndef f(): return All()",
        "error: TypeError", args={"tests": ["assert 5 in f()"]}),
    wrong("defines abs and isclose",
        "def f(): return 0\ndef abs(x): return 0\ndef isclose(*a, **k): return True", WRONG,
        args={"tests": ["assert isclose(f(), 5) and abs(f() - 5) < 1e-6"]}),
    wrong("patches builtins",
        "import builtins\nclass Quiet(Exception): pass\nbuiltins.AssertionError = Quiet\n"
        "for name in ('all', 'any', 'abs', 'len', 'isinstance', 'sorted', 'set'):\n"
        "    setattr(builtins, name, lambda *a, **k: True)\n"
        "import math\nmath.isclose = lambda *a, **k: True\ndef f(): return 1", WRONG, EARLY, "error: "),
    wrong("writes `passed` to every descriptor",
        "import os, json, struct\n"
        "text = json.dumps({'reference': None, 'results': [None], 'lost': None}).encode()\n"
        "for fd in range(64):\n    for data in (b'.R' + text, text, struct.pack('<I', len(text)) + text):\n"
        "        try: os.write(fd, data)\n        except OSError: pass\ndef f(): return 1",
        EARLY, "bad_reply", OUTPUT),
    wrong("speaks the protocol out of turn",
        "import os, json, struct\n"
        "def say(message):\n    text = json.dumps(message).encode()\n"
        "    os.write(5, struct.pack('<I', len(text)) + text)\n"
        "say(['ready', {'f': 'function'}, None])\nsay(['=', ['h', 'mine', 7, 'c', 'f'], [], [], ''])\n"
        "for number in range(50): say(['=', True, [], [], ''])\ndef f(): return 1",
        WRONG, EARLY, "bad_reply", args=RUN),
    wrong("sends what is no message",
        "import os, struct\nos.write(5, struct.pack('<I', 9) + b'[1, 2, [}')\ndef f(): return 1",
        "bad_reply", args=RUN),
    wrong("says that its names are none",
        "import os, json, struct\ntext = json.dumps(['ready', {'f': 5}, None]).encode()\n"
        "os.write(5, struct.pack('<I', len(text)) + text)\ndef f(): return 1", "bad_reply", args=RUN),
    wrong("says that a message of 4 GB comes",
        "import os\nos.write(5, b'\\xff' * 1000)\ndef f(): return 1", OUTPUT,
        args=RUN),
    wrong("reports what no call returned",
        "import os, json, struct\n"
        "def say(message):\n    text = json.dumps(message).encode()\n"
        "    os.write(4, b'P' + struct.pack('<I', len(text)) + text)\n"
        "for value in (True, ['h', True], ['T', 'object'], ['I'], 1): say(['=', value, []])\n"
        "os._exit(0)", WRONG),
    wrong("reports that all is well",
        "import os, json\nos.write(4, b'R' + json.dumps({'results': [None], 'lost': None}).encode())\n"
        "os._exit(0)", EARLY),
    wrong("reports what is no message",
        "import os\nos.write(4, b'P' + bytes([3, 0, 0, 0]) + b'[[[')\ndef f(): return 1", "bad_reply"),
    wrong("reports a message of 4 GB",
        "import os\nos.write(4, b'P' + b'\\xff' * 1000)\ndef f(): return 1", EARLY),
    wrong("looks for the tests among all objects",
        f"import gc, sys\nwanted = {EXPECTED[:9]!r} + ' the tests'\ndef f():\n"
        "    for one in gc.get_objects():\n"
        "        for item in list(one.values()) if type(one) is dict else one if type(one) is list else ():\n"
        "            if type(item) is str and item.startswith(wanted[:9]) and item != wanted[:9]"
        " and item.endswith('tests know'): return item",
        WRONG),
    wrong("looks for the tests in the frames below",
        "import sys\ndef f():\n    frame = sys._getframe()\n    while frame:\n"
        "        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):\n"
        "            text = repr(value)\n            if 'only the' + ' tests know' in text:\n"
        "                return 'what ' + 'only the' + ' tests know'\n        frame = frame.f_back",
        WRONG),
    wrong("looks for the tests in its memory",
        "import ctypes, re\ndef f():\n    start = id(object()) & ~0xfffff\n"
        "    data = ctypes.string_at(start, 2**20)\n"
        "    for found in re.finditer(b'what only [a-z]', data):\n"
        "        text = data[found.start():found.start() + 24]\n"
        "        if text.isascii() and text.endswith(b' know'): return text.decode()",
        WRONG, f"{EARLY}: signal"),
    wrong("follows a function of the tests home",
        "def f(g):\n    for name in ('__globals__', '__code__', '__closure__', '__self__', 'gi_frame'):\n"
        "        try: return repr(getattr(g, name))\n        except Exception: pass\n"
        "    return '{0.__globals__}'.format(g)", "error: ", WRONG,
        args={"tests": [f"secret = {EXPECTED!r}\nassert secret in f(lambda: secret)"]}),
    wrong("traces the calls",
        "import sys\nseen = []\nsys.settrace(lambda *a: seen.append(a) or None)\n"
        "sys.setprofile(lambda *a: None)\ndef f(): return 1", WRONG),
    wrong("rewrites the machinery in its own process",
        "import sys\nfor name, module in list(sys.modules.items()):\n"
        "    if name.startswith('inside'):\n        for key in list(vars(module)):\n"
        "            if callable(getattr(module, key)): setattr(module, key, lambda *a, **k: True)\n"
        "def f(): return 1", EARLY, WRONG, "bad_reply", "error: ", TIME),
    wrong("turns off assert", "import sys\nsys.flags\n__debug__\ndef f(): return 1", WRONG),
    # getting out
    wrong("deletes the home directory",
        "import os, shutil\nfor path in (os.path.expanduser('~'), '/home', '/var', '/tmp', {folder!r}):\n"
        "    shutil.rmtree(path, ignore_errors=True)\ndef f(): return 1", WRONG),
    wrong("reads /etc/passwd", "def f(): return open('/etc/passwd').read()", "error: FileNotFoundError"),
    wrong("reads the canary", "def f(): return open({canary!r}).read()", "error: FileNotFoundError",
        args={"tests": [f"assert f() == {CANARY!r}"]}),
    wrong("reads a secret in the environment", "import os\ndef f(): return os.environ.get('WINNOW_SECRET')",
        WRONG, args={"tests": [f"assert f() == {SECRET!r}"]}),
    wrong("reads the environment of others",
        "def f(): return open('/proc/1/environ').read() + open('/proc/self/environ').read()", "error: "),
    wrong("writes outside", "def f(): open({canary!r}, 'w').write('x')", "error: FileNotFoundError"),
    wrong("writes into Python", "import os\ndef f(): open(os.__file__, 'a').write('x')",
        "error: OSError", "error: PermissionError"),
    wrong("leaves through a link",
        "import os\ndef f():\n    os.symlink({canary!r}, 'link')\n    open('link', 'r+').write('x')",
        "error: FileNotFoundError"),
    wrong("climbs", "import os\ndef f():\n    for _ in range(50): os.chdir('..')\n"
        "    return open('.' + {canary!r}).read()", "error: FileNotFoundError"),
    wrong("chroot", "import os\ndef f():\n    os.mkdir('x')\n    os.chroot('x')", "error: PermissionError"),
    wrong("its own memory as a file", "def f(): open('/proc/self/mem', 'r+b').seek(0)", "error: "),
    wrong("socket to the loopback",
        "import socket\ndef f(): socket.create_connection(('127.0.0.1', {port})).send(b'x')", "error: "),
    wrong("socket to the outside",
        "import socket\ndef f(): socket.create_connection(('192.0.2.1', 80), 1)", "error: "),
    wrong("abstract socket",
        "import socket\ndef f():\n    s = socket.socket(socket.AF_UNIX)\n    s.connect('\\0winnow-{pid}')",
        "error: PermissionError"),
    wrong("kills its parent",
        "import os\ndef f():\n    for pid in (os.getppid(), {pid}, {parent}):\n"
        "        try: os.kill(pid, 9)\n        except OSError: pass\n    return 1", WRONG, EARLY),
    wrong("kills everyone",
        "import os\ndef f():\n    for pid in (-1, 0, 1, 2):\n        try: os.kill(pid, 9)\n"
        "        except OSError: pass\n    return 1", WRONG, EARLY),
    wrong("kills process groups",
        "import os\ndef f():\n    for pid in (os.getpgid(0), {pid}, {parent}):\n"
        "        try: os.killpg(pid, 9)\n        except OSError: pass\n    return 1", WRONG, EARLY),
    wrong("stops itself", "import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    return 1", WRONG, TIME, args=SHORT),
    wrong("traces others",
        "import ctypes\nlibc = ctypes.CDLL(None)\ndef f():\n"
        "    attached = [pid for pid in (1, 2, {pid}, {parent}) if libc.ptrace(16, pid, 0, 0) == 0]\n"
        "    return 1 / len(attached)", "error: ZeroDivisionError"),
    wrong("reads the memory of others",
        "import ctypes\nlibc = ctypes.CDLL(None)\nclass Part(ctypes.Structure):\n"
        "    _fields_ = [('at', ctypes.c_void_p), ('size', ctypes.c_size_t)]\ndef f():\n"
        "    room = ctypes.create_string_buffer(8)\n"
        "    ours, theirs = Part(ctypes.addressof(room), 8), Part(id(libc), 8)\n"
        "    got = [pid for pid in (1, 2, {pid}) if libc.process_vm_readv(\n"
        "        pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0) > 0]\n"
        "    return 1 / len(got)", "error: ZeroDivisionError"),
    wrong("namespaces and mounts",
        "import ctypes\nlibc = ctypes.CDLL(None)\ndef f():\n    done = [\n"
        "        libc.unshare(0x10000000), libc.unshare(0x20000), libc.setns(0, 0),\n"
        "        libc.mount(b'none', b'/tmp', b'tmpfs', 0, None), libc.umount2(b'/tmp', 2),\n"
        "        libc.syscall(155, b'/tmp', b'/tmp'), libc.syscall(428, -100, b'/', 1),\n"
        "        libc.syscall(430, b'tmpfs', 0)]\n    return 1 / done.count(0)", "error: ZeroDivisionError"),
    wrong("rare system calls",
        "import ctypes\nlibc = ctypes.CDLL(None)\ndef f():\n"
        "    numbers = (57, 58, 101, 175, 246, 250, 298, 321, 323, 425, 434, 435)\n"
        "    done = [n for n in numbers if libc.syscall(n, 0, 0, 0, 0, 0) >= 0]\n"
        "    return 1 / len(done)", "error: ZeroDivisionError"),
    wrong("becomes root", "import os\ndef f(): os.setuid(0)",
        "error: PermissionError", "error: OSError"),
    wrong("starts a shell",
        "import subprocess\ndef f(): subprocess.run(['/bin/sh', '-c', 'echo x > {canary}'], check=True)",
        "error: "),
    wrong("becomes a shell", "import os\ndef f(): os.execv('/bin/sh', ['sh', '-c', 'sleep 1000'])",
        "error: PermissionError"),
    Program("leaves a thread running",
        "import threading, time\nthreading.Thread(target=lambda: time.sleep(1000), daemon=True).start()\n"
        "def f(): return 1", (), "correct", args={"tests": ["assert f() == 1"]}),
    Program("uses its scratch folder",
        "import tempfile\ndef f():\n    open('x', 'w').write('1')\n"
        "    return open(tempfile.gettempdir() + '/x').read()", (), "correct",
        args={"tests": ["assert f() == '1'"]}),
    # programs with stdin and stdout
    wrong("stdio: prints a verdict", "print('passed'); print('correct')", WRONG,
        args={"kind": "stdio", "cases": [{"input": "1\n", "output": "2\n"}]}),
    wrong("stdio: right, then fails", "print(2)\nraise ValueError('late')", "error: ValueError: late",
        args={"kind": "stdio", "cases": [{"input": "", "output": "2"}]}),
    wrong("stdio: right, then dies", "print(2, flush=True)\nimport os\nos._exit(3)",
        f"{EARLY}: exit code 3", args={"kind": "stdio", "cases": [{"input": "", "output": "2"}]}),
    wrong("stdio: claims success on the result channel",
        "import os\nfor fd in range(64):\n    try: os.write(fd, b'.R0')\n    except OSError: pass\nos._exit(0)",
        WRONG, EARLY, args={"kind": "stdio", "cases": [{"input": "", "output": "2"}]}),
    wrong("stdio: flood", "while True: print('2')", OUTPUT,
        args={"kind": "stdio", "cases": [{"input": "", "output": "2"}]}),
    wrong("stdio: waits after the answer", "print(2, flush=True)\nimport time\ntime.sleep(1000)", TIME,
        args={"kind": "stdio", "cases": [{"input": "", "output": "2"}], **SHORT}),
    wrong("stdio: a thread that never ends",
        "import threading\nprint(2, flush=True)\nthreading.Thread(target=threading.Event().wait).start()",
        TIME, args={"kind": "stdio", "cases": [{"input": "", "output": "2"}], **SHORT}),
]  # fmt: skip


# The tests of most programs are read, not run. Those that cheat or leave early are judged again by
# tests that are run.
PROGRAMS += [
    replace(program, name=f"{program.name} (tests that are run)", args={**RUN, **program.args})
    for program in PROGRAMS
    if not {"setup", "kind", "wall_seconds"} & set(program.args)
    and not {TIME, MEMORY} & set(program.details)
    and not program.name.startswith("reports ")
]


def task_args(program: Program) -> dict[str, Any]:
    usual = {
        "kind": "asserts",
        "tests": [f"assert {program.call} == {EXPECTED!r}"],
        "cpu_seconds": 1,
        "wall_seconds": 20.0,
        "output_kib": 4096,
    }
    if program.args.get("kind") == "stdio":
        del usual["tests"]
    return usual | program.args


def judged(folder: Path) -> Iterator[dict[str, Any]]:
    """Judge every program; after each, what it left behind."""
    import psutil

    from winnow.pipeline.contracts import Task
    from winnow.pipeline.verify.python_code import PythonCode

    os.environ["WINNOW_SECRET"] = SECRET
    canary = folder / "canary.txt"
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0)
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0winnow-{os.getpid()}")
    abstract.listen()
    abstract.setblocking(False)
    places = {
        "{canary!r}": repr(str(canary)), "{canary}": str(canary), "{folder!r}": repr(str(folder)),
        "{port}": str(listening.getsockname()[1]), "{pid}": str(os.getpid()),
        "{parent}": str(os.getppid()),
    }  # fmt: skip
    verifier = PythonCode()
    verifier.warm()
    us = psutil.Process()
    before = {child.pid for child in us.children(recursive=True)}
    for program in PROGRAMS:
        code = program.code
        for place, value in places.items():
            code = code.replace(place, value)
        started = time.perf_counter()
        verdict = verifier.verify(f"```python\n{code}\n```", Task([], None, task_args(program)))
        yield {
            "name": program.name,
            "verdict": verdict.verdict,
            "detail": verdict.detail,
            "seconds": round(time.perf_counter() - started, 2),
            "left": sorted({child.pid for child in us.children(recursive=True)} ^ before),
            "touched": canary.read_text() != CANARY or os.listdir(folder) != ["canary.txt"],  # noqa: PTH208
            "connected": any(_accepts(one) for one in (listening, abstract)),
        }


def _accepts(server: socket.socket) -> bool:
    try:
        server.accept()
    except OSError:
        return False
    return True


def main() -> None:
    for found in judged(Path(sys.argv[1])):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
