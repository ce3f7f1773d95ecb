"""Finds the program in a model's answer.

One reading decides, and no other is tried: running several candidates and taking the luckiest would
reward answers that say several things. The order:

1. text up to the first `[DONE]` or `[/PYTHON]` and from the `[BEGIN]` or `[PYTHON]` before it, as
   some prompts ask for (what follows is then a next task that the model made up),
2. Markdown fences: of those that are Python (or say nothing and parse as Python), the last that
   defines what is wanted; without one, the last. What it needs and an earlier fence defines comes
   before it. A fence that is never closed ends with the text,
3. the whole text where it is Python; else its lines from the first that can only be code.

Where the answer is to continue a prompt (HumanEval), `continued` decides whether the text is the
body of the function, or brings the function itself. Nothing here runs anything.
"""

import ast
import builtins
import re
import textwrap
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from winnow.pipeline.verify.extract import after_thinking

MAX_TEXT = 200_000  # characters of an answer that are looked at, from its end
_MAX_FENCES = 200
_MAX_CUTS = 200
_MAX_PARSED = 600_000  # characters, over all the ends that are tried

_FENCE = re.compile(r"^([ \t]*(?:>[ \t]?)*)(`{3,}|~{3,})[ \t]*([^\n`]*)$", re.MULTILINE)
_SAYS_NOTHING = {"", "code", "text", "txt", "plaintext", "plain"}
_BEGIN, _DONE = re.compile(r"\[(?:BEGIN|PYTHON)\]\n"), re.compile(r"\[(?:DONE|/PYTHON)\]")
_CODE_LINE = re.compile(
    r"(?:def|class|async def)\s+\w+\s*[(:\[]|(?:import\s+\w[\w.]*(?:\s+as\s+\w+)?(?:\s*,.*)?$)"
    r"|from\s+[\w.]+\s+import\s|@\w+|#!|if __name__\s*==|\w+(?:\s*,\s*\w+)*\s*=\s*\S|print\(|for\s.+:\s*$"
)


@dataclass(frozen=True)
class _Fence:
    language: str
    text: str
    tree: ast.Module | None

    @property
    def is_python(self) -> bool:
        return _is_python(self.language)


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of `text`, or None where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes and the like
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def program(completion: str, wanted: Collection[str] = ()) -> str | None:
    """The program in `completion` that defines one of the names `wanted` (any, where there is none).
    None where there is nothing that could be a program. It need not be valid Python."""
    text = _plain(completion)
    text = _marked(text)
    fences = list(_fences(text))
    if fences:
        return _chosen(fences, wanted)
    return _unfenced(text)


def continued(completion: str, prompt: str, entry_point: str) -> tuple[str | None, str]:
    """For a prompt that ends inside the function `entry_point`: the program (None where there is
    none), and what of the prompt comes before that function (imports and helpers)."""
    prompt = prompt.replace("\r\n", "\n")
    before = _before(prompt, entry_point)
    name = entry_point.split(".")[0].removesuffix("()")
    fenced = program(completion, [name])
    if fenced is not None and _defines(parsed(fenced), name):
        return fenced, before
    text = _plain(completion).strip("\n")
    if list(_fences(text)):
        text = (fenced or "").strip("\n")
    if not text.strip():
        return None, before
    for body in _bodies(text):
        whole = f"{prompt.rstrip()}\n{body}\n"
        tree = parsed(whole)
        if tree is not None and _has_body(tree, name) and not any(map(_is_words, tree.body)):
            return whole, ""
    if fenced is not None and parsed(fenced) is not None:
        return fenced, before
    return (f"{prompt.rstrip()}\n{text}\n", "") if _looks_like_code(text) else (None, before)


def defined(tree: ast.Module | None) -> set[str]:
    """Names that a program defines at its top level."""
    found: set[str] = set()
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            if isinstance(node, ast.ClassDef) and node.name == "Solution":
                found.update(m.name for m in node.body if isinstance(m, ast.FunctionDef))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update((name.asname or name.name).partition(".")[0] for name in node.names)
        else:
            found.update(
                inner.id
                for inner in ast.walk(node)
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            )
    return found


def _plain(completion: str) -> str:
    text = after_thinking(completion[-MAX_TEXT:])
    return text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")


def _marked(text: str) -> str:
    if done := _DONE.search(text):
        text = text[: done.start()]
    return _BEGIN.split(text)[-1]


def _fences(text: str) -> Iterator[_Fence]:
    """The fenced blocks of `text`, in order."""
    marks = list(_FENCE.finditer(text))[: 2 * _MAX_FENCES]
    at = 0
    while at < len(marks):
        opening = marks[at]
        language = opening.group(3).strip().lower().strip("{}.").split(" ")[0].split(",")[0]
        closers = [
            number
            for number in range(at + 1, len(marks))
            if marks[number].group(2)[0] == opening.group(2)[0]
            and len(marks[number].group(2)) >= len(opening.group(2))
            and not marks[number].group(3).strip()
        ]
        end, body, tree = _closed(text, opening, [marks[number] for number in closers], language)
        at = closers[end] + 1 if end is not None else len(marks)
        yield _Fence(language, body, tree)


def _closed(
    text: str, opening: re.Match[str], closers: list[re.Match[str]], language: str
) -> tuple[int | None, str, ast.Module | None]:
    """Which closer ends a block: the first, unless the block is Python only up to a later one
    (fences inside a docstring)."""
    first: tuple[int | None, str, ast.Module | None] | None = None
    for number, closer in enumerate(closers[:4]):
        body = _body(text[opening.end() : closer.start()], opening.group(1))
        tree = parsed(body) if language in _SAYS_NOTHING or _is_python(language) else None
        first = first or (number, body, tree)
        if tree is not None:
            return number, body, tree
        if not _is_python(language) or body.count('"""') % 2 == 0 and body.count("'''") % 2 == 0:
            break
    if first is not None:
        return first
    body = _body(text[opening.end() :], opening.group(1))
    return None, body, parsed(body)


def _is_python(language: str) -> bool:
    return language.startswith(("py", "ipython"))


def _body(text: str, margin: str) -> str:
    """The lines of a block without the margin that its fence stands in (a list, a quotation)."""
    lines = text.removeprefix("\n").removesuffix("\n").split("\n")
    if margin:
        lines = [
            line[len(margin) :] if line.startswith(margin) else line.lstrip(" \t>")
            for line in lines
        ]
    body = "\n".join(lines)
    if ">>> " in body and body.lstrip().startswith(">>> "):
        body = _typed(body)
    return textwrap.dedent(body) if body[:1] in (" ", "\t") and parsed(body) is None else body


def _typed(session: str) -> str:
    """What was typed in an interactive session."""
    lines = [line for line in session.split("\n") if line[:4] in (">>> ", "... ", ">>>", "...")]
    return "\n".join(line[4:] for line in lines)


def _chosen(fences: list[_Fence], wanted: Collection[str]) -> str | None:
    python = [one for one in fences if one.is_python and one.text.strip()]
    if not python:
        python = [
            one for one in fences
            if one.language in _SAYS_NOTHING and one.text.strip() and (one.tree is None or _does_something(one.tree))
        ]  # fmt: skip
        python = [one for one in python if one.tree is not None] or python
    if not python:
        return None
    defining = [
        at for at, one in enumerate(python)
        if any(_defines(one.tree, name) or _mentions(one, name) for name in wanted)
    ]  # fmt: skip
    at = defining[-1] if defining else len(python) - 1
    chosen = python[at]
    return "\n\n".join([*_needed(python[:at], chosen), chosen.text])


def _needed(before: list[_Fence], chosen: _Fence) -> list[str]:
    """The earlier blocks that define what `chosen` uses and does not define, in their order."""
    if chosen.tree is None:
        return []
    missing = _free(chosen.tree)
    parts: list[str] = []
    for one in reversed(before):
        provided = defined(one.tree)
        if one.tree is not None and provided & missing:
            parts.insert(0, one.text)
            missing = (missing - provided) | _free(one.tree)
    return parts


def _free(tree: ast.Module) -> set[str]:
    """Names that are read somewhere and bound nowhere in a program."""
    read: set[str] = set()
    bound = {*defined(tree), *dir(builtins)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((name.asname or name.name).partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read - bound


def _does_something(tree: ast.Module) -> bool:
    """Not only values, as in a block that shows what a program prints."""
    return any(
        not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call | ast.Await)
        for node in tree.body
    )


def _defines(tree: ast.Module | None, name: str) -> bool:
    return tree is not None and name in defined(tree)


def _mentions(fence: _Fence, name: str) -> bool:
    """Whether a block that is no valid Python sets out to define `name`."""
    pattern = rf"^\s*(?:async\s+)?(?:def|class)\s+{re.escape(name)}\b"
    return fence.tree is None and re.search(pattern, fence.text, re.MULTILINE) is not None


def _looks_like_code(text: str) -> bool:
    return any(_CODE_LINE.match(line.lstrip()) for line in text.split("\n"))


def _unfenced(text: str) -> str | None:
    if not text.strip():
        return None
    text = text.strip("\n")
    if (tree := parsed(text)) is not None:
        text = _without_words(text, tree)
        return text if _does_something(parsed(text) or tree) else None
    if parsed(dedented := textwrap.dedent(text)) is not None:
        return dedented
    lines = text.split("\n")
    starts = [at for at, line in enumerate(lines) if _CODE_LINE.match(line)]
    if not starts:
        return text if _looks_like_code(text) else None
    # Prose may stand before the code and after it.
    code = lines[starts[0] :]
    ends = [at for at, line in enumerate(code) if at and line.strip() and line[0] not in " \t"]
    tried = 0
    for end in [len(code), *reversed(ends[-_MAX_CUTS:])]:
        part = "\n".join(code[:end])
        tried += len(part)
        if tried > _MAX_PARSED:
            break
        if part.strip() and (tree := parsed(part)) is not None and _does_something(tree):
            return part
    return "\n".join(code)


def _is_words(node: ast.stmt) -> bool:
    """An expression that does nothing: what prose like "That is all" reads as."""
    does_nothing = ast.Name | ast.Compare | ast.BoolOp | ast.UnaryOp | ast.BinOp | ast.Attribute
    return isinstance(node, ast.Expr) and isinstance(node.value, does_nothing)


def _without_words(text: str, tree: ast.Module) -> str:
    """`text` without such lines before its first and after its last statement."""
    body = [*tree.body]
    while body and _is_words(body[-1]):
        body.pop()
    while body and _is_words(body[0]):
        body.pop(0)
    if len(body) in (0, len(tree.body)):
        return text
    decorators = getattr(body[0], "decorator_list", None) or [body[0]]
    lines = text.split("\n")[decorators[0].lineno - 1 : body[-1].end_lineno]
    return "\n".join(lines)


def _before(prompt: str, entry_point: str) -> str:
    """What stands before the definition of `entry_point` in a prompt."""
    name = entry_point.split(".")[0].removesuffix("()")
    pattern = rf"^(?:@[^\n]*\n)*(?:async\s+)?(?:def|class)\s+{re.escape(name)}\b"
    matches = list(re.finditer(pattern, prompt, re.MULTILINE))
    return prompt[: matches[-1].start()] if matches else prompt


def _bodies(text: str) -> Iterator[str]:
    """Readings of a completion as the body of a function, the likeliest first."""
    lines = text.split("\n")
    indented = lines[0][:1] in (" ", "\t")
    whole = textwrap.indent(text, "    ")
    first = "    " + text.lstrip()
    readings = (
        [text] if indented else [first, whole] if _rest_is_indented(lines) else [whole, first]
    )
    yield from readings
    # What follows the body at the margin may be prose, or a program cut off.
    for reading in readings:
        kept = reading.split("\n")
        end = next(
            (at for at, line in enumerate(kept) if at and line.strip() and line[0] not in " \t"),
            len(kept),
        )
        yield "\n".join(kept[:end])


def _rest_is_indented(lines: list[str]) -> bool:
    rest = [line for line in lines[1:] if line.strip()]
    return bool(rest) and all(line[0] in " \t" for line in rest)


def _has_body(tree: ast.Module, name: str) -> bool:
    """Whether the function has more in it than its docstring."""
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name == name:
                return len(node.body) > 1 or not (
                    isinstance(node.body[0], ast.Expr)
                    and isinstance(node.body[0].value, ast.Constant)
                )
    return False


def whole(prompt: str) -> str:
    """A prompt that ends inside a function, as a program: with a body where it has none."""
    prompt = prompt.replace("\r\n", "\n")
    for text in (prompt, f"{prompt.rstrip()}\n    pass\n"):
        if parsed(text) is not None:
            return text
    return ""
