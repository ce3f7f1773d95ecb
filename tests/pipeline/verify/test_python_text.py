"""Finding the program in an answer."""

import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.verify import python_text
from winnow.pipeline.verify.python_text import continued, program

CODE = "def f(x):\n    return x + 1"
OTHER = "def f(x):\n    return x - 1"
USE = "print(f(1))"


def fence(code: str, language: str = "python", mark: str = "```") -> str:
    return f"{mark}{language}\n{code}\n{mark}"


@pytest.mark.parametrize(
    "text",
    [
        CODE,
        f"\n\n{CODE}\n\n",
        CODE.replace("\n", "\r\n"),
        f"\ufeff{CODE}",
        textwrap.indent(CODE, "    "),
        fence(CODE),
        fence(CODE, ""),
        fence(CODE, "py"),
        fence(CODE, "Python3"),
        fence(CODE, "python title=solution.py"),
        fence(CODE, "python", "````"),
        fence(CODE, "python", "~~~"),
        fence(CODE, "text"),
        f"Before.\n{fence(CODE)}\nAfter.",
        f"```python\n{CODE}",
        f"Text with `f = 1` and ```inline```.\n\n{fence(CODE)}",
        textwrap.indent(f"- a list\n{fence(CODE)}", "  "),
        textwrap.indent(fence(CODE), "> "),
        f"{fence('pip install x', 'bash')}\n{fence(CODE)}\n{fence('2', 'text')}",
        f"{fence(CODE)}\nFor example:\n{fence(USE)}",
        f"{fence(CODE)}\nwhich prints\n{fence('3', '')}",
        f"{fence(OTHER)}\nNo:\n{fence(CODE)}",
        f"<think>{fence(OTHER)}</think>{fence(CODE)}",
        f"[BEGIN]\n{CODE}\n[DONE]",
        f"[PYTHON]\n{CODE}\n[/PYTHON] and more",
        f"Here it is:\n\n{CODE}\n\nIt adds one.",
        f"I think that x = 1 works.\n\n{CODE}",
        f"Sure\n{CODE}\n\nThat is all",
    ],
)
def test_the_program_is_found(text: str) -> None:
    found = program(text, ["f"])
    assert found is not None
    assert ast.dump(ast.parse(found)) == ast.dump(ast.parse(CODE))


@pytest.mark.parametrize(
    "text", ["", "   \n", "I cannot do that.", "f(x)", fence("", ""), fence("fn f() {}", "rust")]
)
def test_where_there_is_no_program(text: str) -> None:
    assert program(text, ["f"]) in (None, "f(x)")


def test_a_session_is_what_was_typed() -> None:
    found = program(fence(">>> def f(x):\n...     return x + 1\n>>> f(1)\n2"), ["f"])
    assert found is not None and "2" not in found.split("\n")
    assert python_text.defined(python_text.parsed(found)) == {"f"}


def test_earlier_fences_are_used_where_they_are_needed() -> None:
    text = "\n".join(
        fence(code) for code in ("import math", "y = 5", "def f(x):\n    return math.pi")
    )
    assert program(text, ["f"]) == "import math\n\ndef f(x):\n    return math.pi"


def test_a_fence_within_a_docstring_does_not_end_the_program() -> None:
    code = f'def f(x):\n    """Like this:\n\n{fence(USE)}\n    """\n    return x + 1'
    assert program(f"So:\n{fence(code)}\nDone.", ["f"]) == code


def test_code_that_does_not_parse_is_still_the_program() -> None:
    broken = "def f(x)\n    return x"
    assert program(f"Text.\n{fence(broken)}\nThen:\n{fence(USE)}", ["f"]) == broken


PROMPT = (
    "import math\n\n\ndef helper(x):\n    return x\n\n\ndef f(x):\n    '''Adds one.\n    >>> f(1)\n    2\n"
    "    '''\n"
)
BODY = "    y = helper(x)\n    return y + 1\n"


def result(completion: str, prompt: str = PROMPT) -> object:
    """f(1) of the program that continues the prompt."""
    code, before = continued(completion, prompt, "f")
    assert code is not None
    namespace: dict[str, object] = {}
    exec(before, namespace)  # noqa: S102 - written here
    exec(code, namespace)  # noqa: S102
    function = namespace["f"]
    assert callable(function)
    return function(1)


@pytest.mark.parametrize(
    "completion",
    [
        BODY,
        textwrap.dedent(BODY),
        BODY.lstrip(),
        "\n" + BODY,
        fence(BODY),
        fence(textwrap.dedent(BODY)),
        f"The body is:\n{fence(BODY)}",
        PROMPT + BODY,
        fence(PROMPT + BODY),
        "def f(x):\n" + BODY,
        fence("def f(x):\n" + BODY),
        f"Sure.\n\ndef f(x):\n{BODY}\nThat is all.",
        BODY + "\n\ndef main():\n    print(f(1))\n",
        BODY + "\n\nif __name__ == 'no':\n    main()",
        BODY + "\nThis adds one to the number, as it's asked.",
        BODY + "\n\nThat is all",
        BODY + "\n\ndef cut(off):\n    if",
        "    return math.floor(x) + 1",
        "    return x + 1  # no newline",
    ],
)
def test_a_completion_continues_the_prompt_or_brings_the_function(completion: str) -> None:
    assert result(completion) == 2


def test_a_prompt_may_end_in_other_ways() -> None:
    assert result("    return x + 1", "def f(x):") == 2
    assert result("    return x + 1", "def f(x):\r\n    '''Adds.'''\r\n") == 2


@pytest.mark.parametrize("completion", ["", "\n\n", "I do not know."])
def test_no_continuation(completion: str) -> None:
    assert continued(completion, PROMPT, "f")[0] is None


def test_a_prompt_as_a_program() -> None:
    assert python_text.parsed(python_text.whole(PROMPT)) is not None
    assert python_text.whole("def f(x):").endswith("pass\n")
    assert python_text.whole("Write a function.") == ""


@given(st.text(alphabet="`~ \n>pydef(x):#='\"[]BEGIN", max_size=300))
def test_no_text_is_too_strange(text: str) -> None:
    found = program(text, ["f"])
    assert found is None or isinstance(found, str)
    code, before = continued(text, PROMPT, "f")
    assert code is None or isinstance(code, str)
    assert before in ("", PROMPT[: PROMPT.index("def f")])


@pytest.mark.parametrize(
    "text",
    ["```python\n" * 50_000, "[BEGIN]\n" * 50_000, "-" * 300_000, "def f():\n" * 40_000, "x = 1\n" * 60_000 + "?",
     "(" * 300_000, "    " * 90_000, "> " * 150_000 + "```\n"],
    ids=lambda text: text[:10],
)  # fmt: skip
def test_no_text_is_too_long(text: str) -> None:
    """Each would take minutes if the work grew with the square of the length."""
    program(text, ["f"])
    continued(text, PROMPT, "f")
