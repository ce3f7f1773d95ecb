"""Verdicts of the verifier `python`: each kind of test, values and objects in both directions,
references that are none. Programs that attack are in `sandbox/hostile.py`."""

import asyncio
from typing import Any

import pytest

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import python_code, self_test
from winnow.pipeline.verify.documentation import document
from winnow.pipeline.verify.python_code import PythonCode
from winnow.pipeline.verify.sandbox import SandboxUnavailable
from winnow.pipeline.verify.worker_pool import VerifierPool

VERIFIER = PythonCode()


def judge(code: str, **args: Any) -> Verdict:
    return VERIFIER.verify(f"```python\n{code}\n```", Task([], None, args))


def asserts(code: str, *tests: str, **more: Any) -> Verdict:
    return judge(code, kind="asserts", tests=list(tests), **more)


def test_parts_say_which_tests_passed() -> None:
    found = asserts(
        "def f(x): return abs(x)", "assert f(1) == 1", "assert f(-1) == -1", "assert f(0) == 0"
    )
    assert found.verdict == "wrong" and found.reward == 0.0
    assert found.parts == {"test_0": 1.0, "test_1": 0.0, "test_2": 1.0, "passed_share": 2 / 3}
    assert found.detail == "wrong_value: test_1"
    assert found.extracted == "def f(x): return abs(x)"


def test_all_right_is_correct() -> None:
    found = asserts("def f(x): return x", "assert f(1) == 1", "assert f('a') == 'a'")
    assert (found.verdict, found.reward, found.detail) == ("correct", 1.0, None)
    assert found.parts == {"test_0": 1.0, "test_1": 1.0, "passed_share": 1.0}


LIST = "class L:\n    def __init__(self, v, n=None):\n        self.v = v\n        self.n = n"
# What it shows: code and a test that it passes.
PASSES = {
    "a list is sorted in place": (
        "def f(l): l.sort()", "x = [3, 1, 2]\nf(x)\nassert x == [1, 2, 3]"),
    "nested and shared arguments change": (
        "def f(d):\n    d['a'].append(1)\n    d['n'] = d['a']",
        "a = []\nd = {'a': a}\nf(d)\nassert a == [1] and d['n'] is a"),
    "a cycle comes back": (
        "def f(l):\n    l.append(l)\n    return l", "x = [3]\ny = f(x)\nassert y is x and x[1] is x"),
    "arguments change before an exception": (
        "def f(l):\n    l.append(1)\n    raise KeyError",
        "l = []\ntry:\n    f(l)\nexcept KeyError:\n    pass\nassert l == [1]"),
    "a bytearray and a deque change": (
        "def f(b, d):\n    b[0] = 65\n    d.rotate(1)",
        ("from collections import deque\nb, d = bytearray(b'x'), deque([1, 2])\nf(b, d)\n"
        "assert b == b'A' and list(d) == [2, 1]")),
    "an endless generator is taken from": (
        "def f():\n    n = 0\n    while True:\n        yield n\n        n += 1",
        "g = f()\nassert [next(g) for _ in range(500)] == list(range(500))"),
    "a generator that hangs after its third item is taken three times": (
        "def f():\n    yield from (6, 28, 496)\n    while True: pass",
        "g = f()\nassert [next(g), next(g), next(g)] == [6, 28, 496]"),
    "a generator ends": ("def f(): yield from range(300)", "assert list(f()) == list(range(300))"),
    "map and zip are iterators": (
        "def f(x): return map(str, x), zip(x, x)",
        "a, b = f([1, 2])\nassert list(a) == ['1', '2'] and list(b) == [(1, 1), (2, 2)]"),
    "an iterator of the tests is taken from": (
        "def f(i): return [next(i), next(i)]", "assert f(iter([1, 2, 3])) == [1, 2]"),
    "keyword arguments": ("def f(a, *, b=2, **c): return a, b, c", "assert f(1, b=3, d=4) == (1, 3, {'d': 4})"),
    "a closure": ("def f(n): return lambda x: x + n", "assert f(3)(4) == 7"),
    "a callback": ("def f(g, x): return g(g(x))", "assert f(lambda a: a + 1, 3) == 5"),
    "a callback raises through": (
        "def f(g):\n    try: g()\n    except ValueError as e: return str(e)",
        "def g(): raise ValueError('mine')\nassert f(g) == 'mine'"),
    "a built-in function as an argument": ("def f(g, x): return g(x)", "assert f(abs, -3) == 3 and f(str.upper, 'a') == 'A'"),
    "a type as an argument": ("def f(l, t): return [x for x in l if type(x) is t]", "assert f([1, 'a'], int) == [1]"),
    "a decorator": (
        ("import functools\ndef f(g):\n    seen = {}\n    @functools.wraps(g)\n    def h(x):\n"
        "        if x not in seen: seen[x] = g(x)\n        return seen[x]\n    return h"),
        "calls = []\n@f\ndef g(x):\n    calls.append(x)\n    return x * x\nassert g(3) == g(3) == 9 and calls == [3]"),
    "a class": (
        ("class S:\n    size = 0\n    def __init__(self, *items): self.items = list(items)\n"
        "    def push(self, x): self.items.append(x)\n    def __len__(self): return len(self.items)\n"
        "    def __getitem__(self, i): return self.items[i]\n    def __contains__(self, x): return x in self.items\n"
        "    def __eq__(self, o): return self.items == o.items\n    def __repr__(self): return f'S{self.items}'"),
        ("s = S(1)\ns.push(2)\nassert len(s) == 2 and s[1] == 2 and 2 in s and 3 not in s and list(s) == [1, 2]\n"
        "assert s == S(1, 2) and s != S(1) and repr(s) == 'S[1, 2]' and isinstance(s, S) and S.size == 0\n"
        "s.items = [5]\nassert s.items == [5] and not isinstance(1, S)")),
    "operators between its objects": (
        ("class V:\n    def __init__(self, x): self.x = x\n    def __add__(self, o): return V(self.x + o.x)\n"
        "    def __mul__(self, k): return V(self.x * k)\n    __rmul__ = __mul__\n"
        "    def __neg__(self): return V(-self.x)\n    def __eq__(self, o): return self.x == o.x\n"
        "    def __lt__(self, o): return self.x < o.x"),
        ("assert V(1) + V(2) == V(3) and V(2) * 3 == V(6) and 3 * V(2) == V(6) and -V(1) == V(-1)\n"
        "assert V(1) < V(2) and sorted([V(2), V(1)])[0] == V(1) and max(V(1), V(3)).x == 3")),
    "an enumeration": (
        "from enum import Enum\nclass C(Enum):\n    R = 1\n    G = 2\ndef f(): return C.R",
        "assert f() == C.R and f() is C.R and f() != C.G and f().value == 1"),
    "a named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)",
        "assert f() == (1, 2) and f().x == 1 and f() == P(1, 2)"),
    "a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int = 2\ndef f(): return P(1)",
        "assert f() == P(1, 2) and f().y == 2"),
    "a context manager": (
        ("class C:\n    def __enter__(self):\n        self.open = True\n        return self\n"
        "    def __exit__(self, *e): self.open = False"),
        "with C() as c:\n    assert c.open\nassert not c.open"),
    "a coroutine": ("async def f(x): return x + 1", "import asyncio\nassert asyncio.run(f(2)) == 3"),
    "an exception of its own, by name and by base": (
        "class E(ValueError): pass\ndef f(): raise E('bad', 1)",
        ("for kind in (E, ValueError):\n    try:\n        f()\n        assert False\n"
        "    except kind as e:\n        assert e.args == ('bad', 1)")),
    "an exception's attributes": (
        ("class E(Exception):\n    def __init__(self, code):\n        super().__init__(f'code {code}')\n"
        "        self.code = code\ndef f(): raise E(7)"),
        "try:\n    f()\nexcept Exception as e:\n    assert e.code == 7 and str(e) == 'code 7' and type(e).__name__ == 'E'"),
    "KeyError and OSError": (
        "def f(n):\n    if n: raise KeyError('k')\n    open('/nowhere')",
        ("try: f(1)\nexcept LookupError as e: assert e.args[0] == 'k'\ntry: f(0)\n"
        "except FileNotFoundError as e: assert e.errno == 2")),
    "what is printed": (
        "def f(n): print('hi', n)",
        "import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b):\n    f(2)\nassert b.getvalue() == 'hi 2\\n'"),
    "numpy": (
        "import numpy as np\ndef f(x): return np.array(x) * 2",
        "import numpy as np\nassert np.array_equal(f([1, 2]), [2, 4]) and f([1]).sum() == 2 and (f(np.ones(2)) == 2).all()"),
    "a value of the module": ("LIMIT = 5\ndef f():\n    global LIMIT\n    LIMIT += 1", "f()\nassert LIMIT == 5"),
    "the whole depth of recursion": ("def f(n): return 0 if n == 0 else 1 + f(n - 1)", "assert f(985) == 985"),
    "a raised limit of recursion": (
        "import sys\nsys.setrecursionlimit(10000)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)",
        "assert f(9000) == 9000"),
    "a deep value": (
        "def f(n):\n    v = []\n    for _ in range(n): v = [v]\n    return v",
        "v = f(900)\nn = 0\nwhile v:\n    v, n = v[0], n + 1\nassert n == 900"),
    "no main block is run": ("def f(): return 1\nif __name__ == '__main__':\n    f = input('?')", "assert f() == 1"),
    "a method of Solution": ("class Solution:\n    def f(self, a): return a + 1", "assert f(1) == 2 and Solution().f(1) == 2"),
    "a test function is called": ("def f(): return 1", "def test_f():\n    assert f() == 1"),
    "the names of the tests are their own": ("x = 1\ndef f(y): return y", "x = 5\nassert f(x) == 5"),
}  # fmt: skip


@pytest.mark.parametrize("what", PASSES)
def test_what_crosses_between_code_and_tests(what: str) -> None:
    code, test = PASSES[what]
    found = asserts(code, test)
    assert found.verdict == "correct", found
    assert asserts(code, f"{test}\nassert False").verdict == "wrong"  # so it was run to its end


@pytest.mark.parametrize(
    ("code", "test"),
    [
        ("def f(r):\n    if r: r.v, r.n = r.n and r.n.v, r.n\n    return r",
         "a = L(1, L(2))\nb = f(a)\nassert b is a and a.v == 2"),
        ("def f(n):\n    h = None\n    for i in range(n, 0, -1): h = L(i, h)\n    return h",
         "h = f(2000)\nassert type(h) is L and h.n.v == 2\nn = 0\nwhile h:\n    h, n = h.n, n + 1\nassert n == 2000"),
        (LIST + "\ndef f(h): return L(0, h)", "h = L(1)\nassert f(h).n is h and type(f(h)) is L"),
        ("def f(h):\n    h.n = h\n    return h.n.n.v", "h = L(3)\nassert f(h) == 3 and h.n is h"),
    ],
)  # fmt: skip
def test_classes_of_the_setup_are_the_same_on_both_sides(code: str, test: str) -> None:
    found = asserts(code, test, setup=LIST)
    assert found.verdict == "correct", found


def test_a_function_may_be_called_like_pythons_beside_a_class_of_the_setup() -> None:
    code = "def chain(n): return L(n, chain(n - 1)) if n else None"
    found = asserts(code, "assert isinstance(chain(3), L) and chain(3).n.n.v == 1", setup=LIST)
    assert found.verdict == "correct", found


def test_the_setup_comes_before_the_answer() -> None:
    """As the MBPP rows whose setup needs a class that only the answer has show: no verdict."""
    found = asserts(
        "class Node: pass\ndef f(x): return 1", "assert f(root) == 1", setup="root = Node()"
    )
    assert found.verdict == "unjudged" and "NameError" in (found.detail or "")


CHECK = "def check(candidate):\n    for n in range(3):\n        assert candidate(n) == n\n    x = 5\n    assert candidate(x) == x\n"


@pytest.mark.parametrize(
    ("body", "parts"),
    [("return n", [1, 1]), ("return min(n, 4)", [1, 0]), ("return max(n, 1)", [0, 1]), ("return 9", [0, 0])],
)  # fmt: skip
def test_each_statement_of_check_is_a_test(body: str, parts: list[int]) -> None:
    found = judge(f"def f(n): {body}", kind="check", entry_point="f", test=CHECK)
    assert [found.parts["test_0"], found.parts["test_1"]] == parts
    assert found.verdict == ("correct" if parts == [1, 1] else "wrong")


def test_check_may_return_early_and_use_globals() -> None:
    test = "LIMIT = 3\n\ndef check(candidate):\n    assert candidate(LIMIT) == 3\n    if LIMIT:\n        return\n    assert candidate(1) == 2"
    assert (
        judge("def f(n): return n", kind="check", entry_point="f", test=test).verdict == "correct"
    )


def test_an_error_between_the_tests_of_check_is_a_failure() -> None:
    test = "def check(candidate):\n    value = candidate(1).real_\n    assert value == 1"
    found = judge("def f(n): return n", kind="check", entry_point="f", test=test)
    assert found.verdict == "wrong" and (found.detail or "").startswith("error: AttributeError")


SUM = "print(sum(map(int, input().split())))"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (SUM, "correct"),
        ("import sys\nprint(sum(map(int, sys.stdin.read().split())))", "correct"),
        ("import sys\nfor line in sys.stdin:\n    print(sum(map(int, line.split())))", "correct"),
        ("import os\nprint(sum(map(int, os.read(0, 100).split())))", "correct"),
        ("print(sum(map(int, open(0).read().split())))", "correct"),
        ("import sys\nsys.stdout.write(str(sum(map(int, sys.stdin.buffer.readline().split()))))", "correct"),
        (("import sys\nsys.setrecursionlimit(10**6)\nimport threading\nthreading.stack_size(2**26)\n"
         f"def main():\n    {SUM}\nthread = threading.Thread(target=main)\nthread.start()\nthread.join()"), "correct"),
        (f"def main():\n    {SUM}\nif __name__ == '__main__':\n    main()", "correct"),
        (f"{SUM}\nexit()", "correct"),
        (f"{SUM}\nquit(0)", "correct"),
        (f"import atexit\natexit.register(lambda: print('late'))\n{SUM}", "wrong"),
        (f"{SUM}\nimport sys\nsys.exit('failed')", "wrong"),
        ("print(input())", "wrong"),
        ("", "wrong"),
    ],
)  # fmt: skip
def test_programs_with_stdin_and_stdout(code: str, verdict: str) -> None:
    cases = [{"input": "1 2 3\n", "output": "6\n"}, {"input": "-1 1", "output": "0"}]
    found = judge(code or "pass", kind="stdio", cases=cases)
    assert found.verdict == verdict, found


def test_text_beyond_ascii_goes_in_and_out() -> None:
    cases = [{"input": "äß 漢字 🙂\n", "output": "🙂 字漢 ßä"}]
    assert judge("print(input()[::-1])", kind="stdio", cases=cases).verdict == "correct"


def test_calls() -> None:
    cases = [
        {"args": [1], "expected": [1, [2]]},
        {"args": [], "kwargs": {"a": 2}, "expected": [2, [4]]},
    ]
    code = "def f(a): return a, [2 * a]"
    assert judge(code, kind="calls", entry_point="f", cases=cases).verdict == "correct"
    for entry in ("S().f", "S.f"):
        static = "class S:\n    @staticmethod\n    def f(a): return a, [2 * a]"
        assert judge(static, kind="calls", entry_point=entry, cases=cases).verdict == "correct"
    found = judge("def f(a): yield from (a, [2 * a])", kind="calls", entry_point="f", cases=cases)
    assert found.verdict == "correct"  # JSON has no iterators either
    assert (
        judge("def f(a): return a", kind="calls", entry_point="f", cases=cases).verdict == "wrong"
    )


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"tests": ["assert f( == 1"]}, "bad_reference: test_0: SyntaxError"),
        ({"tests": ["x = 1"]}, "bad_reference: no test asserts anything"),
        ({"tests": ["import nowhere"]}, "bad_reference: no test asserts anything"),
        ({"tests": ["import nowhere\nassert f()"]}, "bad_reference: ModuleNotFoundError"),
        ({"tests": ["assert f() == 1"], "setup": "def ("}, "bad_reference: setup: SyntaxError"),
        (
            {"tests": ["assert f() == 1"], "setup": "1 / 0"},
            "bad_reference: setup: ZeroDivisionError",
        ),
        ({"tests": ["return f()"]}, "bad_reference: test_0: SyntaxError"),
        (
            {"kind": "check", "entry_point": "f", "test": "def check(): pass"},
            "bad_reference: no check",
        ),
        (
            {"kind": "check", "entry_point": "f", "test": "def check(c): pass"},
            "bad_reference: check asserts",
        ),
    ],
)
def test_tests_that_are_none_leave_no_verdict(args: dict[str, Any], reason: str) -> None:
    found = judge("def f(): return 1", **{"kind": "asserts", **args})
    assert found.verdict == "unjudged" and (found.detail or "").startswith(reason), found


def test_an_import_that_only_the_answer_misses_is_wrong() -> None:
    found = asserts("def f():\n    import nowhere", "assert f() == 1")
    assert found.verdict == "wrong" and (found.detail or "").startswith(
        "error: ModuleNotFoundError"
    )


def test_a_starved_machine_is_nobodys_fault() -> None:
    """Two threads on one processor, and a wall limit that comes long before the CPU limit."""
    code = (
        "import hashlib, os, threading\ndef f():\n    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "    for _ in range(3):\n        threading.Thread(target=hashlib.pbkdf2_hmac,\n"
        "            args=('sha256', b'', b'', 10**9), daemon=True).start()\n    threading.Event().wait()"
    )
    found = asserts(code, "assert f() == 1", cpu_seconds=30, wall_seconds=1.0)
    assert (found.verdict, found.detail) == ("unjudged", "timeout")


@pytest.mark.parametrize(
    "args",
    [
        {}, {"kind": "asserts"}, {"kind": "asserts", "tests": []}, {"kind": "other", "tests": ["x"]},
        {"kind": "check", "test": "x"}, {"kind": "check", "entry_point": "f"}, {"kind": "stdio"},
        {"kind": "stdio", "cases": [{"args": [], "expected": 1}]}, {"kind": "calls", "cases": []},
        {"kind": "calls", "entry_point": "f", "cases": [{"input": "", "output": ""}]},
        {"kind": "asserts", "tests": ["assert f()"], "unknown": 1},
        {"kind": "asserts", "tests": ["assert f()"], "cpu_seconds": 0},
        {"kind": "asserts", "tests": "assert f()"},
    ],
    ids=str,
)  # fmt: skip
def test_arguments_are_checked(args: dict[str, Any]) -> None:
    with pytest.raises(BadArguments):
        judge("def f(): return 1", **args)


@pytest.mark.parametrize(
    ("completion", "detail"),
    [("", "no_answer"), ("I do not know.", "no_answer"), ("```python\ndef f(:\n```", "syntax_error"),
     ("def f(x)\n    return 1", "syntax_error"), ("```c\nint f() { return 1; }\n```", "no_answer")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["asserts", "check", "calls", "stdio"])
def test_an_answer_without_a_program(completion: str, detail: str, kind: str) -> None:
    each: dict[str, dict[str, Any]] = {
        "asserts": {"tests": ["assert f() == 1"]},
        "check": {"test": "def check(c):\n    assert c() == 1", "entry_point": "f"},
        "calls": {"entry_point": "f", "cases": [{"args": [], "expected": 1}]},
        "stdio": {"cases": [{"input": "", "output": "1"}]},
    }
    found = VERIFIER.verify(completion, Task([], None, {"kind": kind, **each[kind]}))
    assert (found.verdict, found.detail, found.reward) == ("wrong", detail, 0.0)


def test_without_a_sandbox_there_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    class Broken:
        def run(self, *_: object) -> None:
            calls.append(1)
            raise SandboxUnavailable("user namespace: Operation not permitted")

    verifier = PythonCode()
    monkeypatch.setattr(verifier, "_sandbox", Broken())
    args = {"kind": "asserts", "tests": ["assert f()"]}
    found = verifier.verify("def f(): return 1", Task([], None, args))
    assert found.verdict == "unjudged"
    assert found.detail == "sandbox_unavailable: user namespace: Operation not permitted"
    assert len(calls) == python_code.ATTEMPTS


def test_in_a_pool_of_workers() -> None:
    """Each worker has a sandbox of its own, which starts before the first row."""
    codes = [f"def f(n): return n + {k % 3}" for k in range(30)]
    task = Task([], None, {"kind": "asserts", "tests": ["assert f(1) == 2"]})

    async def run() -> list[str]:
        async with VerifierPool(workers=2, timeout_seconds=60, verifiers=["python"]) as pool:
            timed = await asyncio.gather(*(pool.judge("python", code, task) for code in codes))
        return [one.verdict.verdict for one in timed]

    assert asyncio.run(run()) == ["correct" if k % 3 == 1 else "wrong" for k in range(30)]


def test_it_says_what_the_sandbox_gives() -> None:
    found = document(VERIFIER)
    assert not found.needs_answer
    assert any("no socket can be made: yes" in note for note in found.notes)


def test_the_self_test_passes() -> None:
    score = self_test.run_here("python")
    assert score.accept >= 20 and score.reject >= 20
    assert score.passed, (score.false_accepts, score.false_rejects)
