"""JSON and Python literals in a model's text, read without surprises and never evaluated.

A key that stands twice in one object is refused: readers disagree on which of the two counts, so
that such an object says two things.
"""

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

MAX_TEXT = 200_000  # characters of a text that are looked at
MAX_SEGMENT = 50_000  # characters of one bracketed segment
MAX_SCANNED = 2_000_000  # characters that are looked at for closing brackets, over all segments

_FENCE = re.compile(r"\s*(`{3,}|~{3,})[^\n`]*\n(.*?)\n?[ \t]*\1\s*", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<string>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')|(?P<open>[\[{(])|(?P<close>[\]})])",
    re.DOTALL,
)
_PAIRS = {"]": "[", "}": "{", ")": "("}


class NoLiteral(ValueError):
    """The text is not one literal."""


def strict_json(text: str) -> Any:
    """The value that `text` writes as JSON. Raises NoLiteral, for NaN and repeated keys too."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NoLiteral(str(error)[:200]) from None


def json_values(text: str) -> list[Any]:
    """The JSON values that `text` consists of, with white space or commas between them.

    Raises NoLiteral where anything else stands in it; an empty text has no values.
    """
    values, at = [], 0
    while rest := re.compile(r"[\s,]*").match(text, at):
        at = rest.end()
        if at == len(text):
            break
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise NoLiteral(str(error)[:200]) from None
        values.append(value)
    return values


def literal(text: str) -> Any:
    """The value that `text` writes as JSON, or else as a Python literal (single quotes, tuples).

    Tuples come out as lists. Raises NoLiteral.
    """
    try:
        return strict_json(text)
    except NoLiteral:
        pass
    node = python_tree(text.strip(), "eval").body  # type: ignore[attr-defined]
    try:
        return _plain(ast.literal_eval(node))
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise NoLiteral(str(error)[:200]) from None


def python_tree(text: str, mode: str) -> ast.AST:
    """The syntax tree of `text` (`mode` as in `ast.parse`). Raises NoLiteral."""
    if len(text) > MAX_SEGMENT:
        raise NoLiteral("too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on escapes such as "\d" in a model's strings
            return ast.parse(text, mode=mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoLiteral(str(error)[:200]) from None


def segment_end(text: str, start: int) -> int | None:
    """Where the bracket that opens at `start` is closed (index after it); None where it is not.

    Brackets inside of quoted strings do not count.
    """
    opened: list[str] = []
    for token in _TOKEN.finditer(text, start, start + MAX_SEGMENT):
        if token["open"]:
            opened.append(token["open"])
        elif token["close"]:
            if not opened or opened.pop() != _PAIRS[token["close"]]:
                return None
            if not opened:
                return token.end()
    return None


def segments(text: str, start: re.Pattern[str]) -> Iterator[tuple[re.Match[str], str | None]]:
    """Each match of `start`, which must end before an opening bracket, outside of the segments
    before it: with the text from the match to where that bracket closes, or None.

    Raises NoLiteral where brackets that nothing closes would make this take too long.
    """
    at, scanned = 0, 0
    while found := start.search(text, at):
        end = segment_end(text, found.end())
        yield found, None if end is None else text[found.start() : end]
        scanned += (end or min(len(text), found.end() + MAX_SEGMENT)) - found.start()
        if scanned > MAX_SCANNED:
            raise NoLiteral("too many open brackets")
        at = max(end or found.end(), found.start() + 1)


def unfenced(text: str) -> str:
    """`text` without the Markdown fence or code marks that it wholly stands in."""
    text = text.strip()
    if fence := _FENCE.fullmatch(text):
        return fence.group(2).strip()
    if len(text) > 2 and text[0] == text[-1] == "`" and "`" not in text[1:-1]:
        return text[1:-1].strip()
    return text


def tag_blocks(text: str, tag: str) -> list[tuple[str, bool]]:
    """What stands behind every `<tag>`: up to its `</tag>` (True), or up to the next `<tag>` or the
    end, where nothing closes it before (False)."""
    found = []
    for piece in text.split(f"<{tag}>")[1:]:
        content, mark, _ = piece.partition(f"</{tag}>")
        found.append((content, bool(mark)))
    return found


def spoken(text: str) -> str:
    """What a completion says: without its thoughts, even where nothing else is left.

    Thoughts are what stands before the last `</think>`, and behind a `<think>` that is never
    closed. The end of a text longer than `MAX_TEXT` is looked at.
    """
    return text[-MAX_TEXT:].rpartition("</think>")[2].partition("<think>")[0].strip()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
