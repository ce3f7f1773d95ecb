r"""Whether an answer means what the reference means.

Layers, the first that can decide does: exact text; plain numbers as exact fractions; multiple
choice and words; lists, tuples, intervals, sets, unions and matrices, part by part; equations;
expressions (`symbolic`). Nothing in here takes a number out of a text that it cannot read.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from winnow.pipeline.verify import symbolic
from winnow.pipeline.verify.extract import closing_braces
from winnow.pipeline.verify.notation import key, normalise, to_latex, words
from winnow.pipeline.verify.plain_number import plain_number, same_number

MAX_LENGTH = 2_000  # characters of an answer that are looked at as mathematics
MAX_EXPRESSION = 600  # characters of one expression that are parsed
MAX_NESTING = 30
MAX_ITEMS = 64
MAX_DEPTH = 6
_COMMA = ",|;"
_AND = r"(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])"
_SET_NOTATION = re.compile(
    r"[<>|]|\\(?:le|ge|ne|lt|gt|mathbb|emptyset|varnothing|setminus|cap)(?![a-zA-Z])|^\\?\{"
)
# Functions that the parser evaluates at once, of numbers that would take for ever.
_HUGE = re.compile(r"\\(?:binom|dbinom|tbinom|gamma|Gamma)[^0-9]*[0-9^{}, ]*[0-9]{6}")
_GROUPED = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")


class BadReference(Exception):
    """The reference cannot be read, so that nothing can be said about any answer."""


class UnreadableAnswer(Exception):
    """The answer is no mathematics, where the reference is."""


@dataclass(frozen=True)
class Parts:
    """A structured answer. `kind`: the two delimiters of a tuple or interval ("(]"), "list" (no
    delimiters), "set", "union" or "matrix" (`columns` wide)."""

    kind: str
    items: tuple[str, ...]
    columns: int = 1


def equivalent(reference: str, answer: str) -> bool:
    """Whether `answer` means `reference`. Raises BadReference, UnreadableAnswer."""
    gold = normalise(reference)
    if not re.search(r"[0-9A-Za-z]", key(gold)) or not _balanced(gold):
        raise BadReference(reference[:100])
    if len(answer) > MAX_LENGTH or len(gold) > MAX_LENGTH:
        return key(gold) == key(normalise(answer))
    return _same(gold, normalise(answer), 0)


def _same(gold: str, answer: str, depth: int) -> bool:
    if key(gold) == key(answer):
        return True
    if not answer:
        raise UnreadableAnswer("empty")
    for layer in (_same_number, _same_base, _same_words):
        decided = layer(gold, answer)
        if decided is not None:
            return decided
    if depth > MAX_DEPTH:
        raise UnreadableAnswer("nested too deeply")
    gold_name, gold_value = _assignment(gold)
    name, answer_value = _assignment(answer)
    one_is_an_equation = "=" in gold_value or "=" in answer_value
    if (gold_name or name) and not one_is_an_equation:
        both_named = gold_name and name and key(gold_name).lower() != key(name).lower()
        if both_named and not re.search(r"[a-zA-Z]", gold_value):
            return False
        return _same(gold_value, answer_value, depth + 1)
    gold_parts, parts = _split(gold), _split(answer)
    if gold_parts or parts:
        decided = _same_parts(gold, gold_parts, answer, parts, depth)
        if decided is not None:
            return decided
    return _same_expression(gold, answer)


def _same_number(gold: str, answer: str) -> bool | None:
    gold_number, number = plain_number(gold), plain_number(answer)
    if gold_number and number:
        return same_number(gold_number, number)
    return None


def _same_base(gold: str, answer: str) -> bool | None:
    """`2516_8`: digits with their base; the base may be left out."""
    based = re.compile(r"(-?[0-9][0-9A-Za-z.]*)_\{?(?:\\text\{)?([0-9]+|[a-z]+)\}*")
    gold_match, match = (based.fullmatch(key(text).replace(",", "")) for text in (gold, answer))
    if gold_match and match:
        return gold_match.groups() == match.groups()
    if gold_match:
        return gold_match[1] == key(answer).replace(",", "")
    if match and (number := plain_number(gold)) and match[2].isdigit():
        base = int(match[2])
        try:
            return 2 <= base <= 36 and int(match[1], base) == number.value
        except ValueError:  # a digit that the base does not have
            return False
    return None


def _same_words(gold: str, answer: str) -> bool | None:
    """Choices (B), times (5:30), ratios and words; None where the reference is mathematics."""
    plain = words(gold)
    choice = re.fullmatch(r"[a-j]", plain)
    if choice and (re.search(r"\\text|\(", gold) or plain.upper() == gold):
        said = re.sub(r"^(?:option|choice|answer)\s+", "", words(answer))
        if re.match(rf"\(?{plain}(?:\)|[.:,)\s]|$)", said):
            return True
        return None if plain.upper() == gold and "\\" in answer else False
    if re.fullmatch(r"[0-9]+(?:\s*:\s*[0-9]+)+(?:\s*[ap]\.?m\.?)?", plain):
        return re.sub(r"[\s.]", "", plain) == re.sub(r"[\s.]", "", words(answer))
    without = re.sub(r"\\text\s*\{[^{}]*\}", "", gold)
    is_text = not re.search(r"[0-9\\+*/^=<>_|()\[\]-]", without) and (
        without != gold or bool(re.search(r"[A-Za-z]{3}", gold))
    )
    if is_text and not re.search(r"[,;]| and | or ", gold):
        return _letters(plain) == _letters(words(answer))
    return None


def _letters(text: str) -> str:
    return re.sub(r"[\s\-'\"`.]+", "", text)


def _assignment(text: str) -> tuple[str | None, str]:
    r"""(name, value) of `x = 5`, `f(x) = x^2`, `(x, y) = (1, 2)`, `x \in [1, 2]`, `2 + 3 = 5`;
    (None, text) of everything else, such as an equation between variables."""
    if re.search(r"[<>]|\\(?:le|ge|ne|lt|gt)(?![a-zA-Z])|!=", text) or _is_list(text):
        return None, text
    parts = [part.strip() for part in re.split(r"=|\\in(?![a-zA-Z])", text)]
    left, right = parts[0], parts[-1]
    name = r"\\?[a-zA-Z][a-zA-Z ]*'*(?:_(?:[0-9a-zA-Z]|\{[^{}]*\}))?"
    named = rf"{name}(?:\s*\([a-zA-Z0-9, ]{{1,20}}\))?|\(\s*[a-zA-Z](?:\s*,\s*[a-zA-Z])*\s*\)"
    is_name = re.fullmatch(named, left) or not re.search(r"[a-zA-Z]", left)
    # A chain (a^2 + b^2 = 9 + 16 = 25) ends in its value.
    if len(parts) > 1 and left and right and (is_name or len(parts) > 2):
        return left, right
    return None, text


def _is_list(text: str) -> bool:
    return len(_top_level(text, f"{_COMMA}|{_AND}")) > 1


def _split(text: str) -> Parts | None:
    """The parts of a structured answer; None for a single expression."""
    matrix = re.fullmatch(
        r"\\begin\{[pbBs]?(?:small)?(?:matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{[a-zA-Z]*\}",
        text.strip("[]() "),
    )
    if matrix:
        rows = [row for row in re.split(r"\\\\", matrix[1]) if row.strip()]
        cells = [row.split("&") for row in rows]
        if len({len(row) for row in cells}) == 1:
            return Parts("matrix", tuple(c.strip() for row in cells for c in row), len(cells[0]))
        return None
    if listed := re.fullmatch(r"\\text\s*\{([^{}]*[,;][^{}]*)\}", text):
        return Parts("list", tuple(_top_level(listed[1], f"{_COMMA}|{_AND}")))
    union = _top_level(text, r"\\cup(?![a-zA-Z])")
    if len(union) > 1:
        return Parts("union", tuple(union))
    items = _top_level(text, f"{_COMMA}|{_AND}")
    if len(items) > 1:
        return Parts("list", tuple(items))
    if both := re.fullmatch(r"([^±]*)\\pm(?![a-zA-Z])(.*)", text):
        if r"\pm" not in both[1]:
            return Parts("list", (f"{both[1]}+{both[2]}", f"{both[1] or ''}-{both[2]}"))
        return None
    if re.match(r"\\\{", text) and re.search(r"\\\}$", text):
        return Parts("set", tuple(_top_level(text[2:-2], _COMMA, numbers=False)))
    if text[:1] in "([" and text[-1:] in ")]" and _wraps(text):
        items = _top_level(text[1:-1], _COMMA, numbers=False)
        if len(items) > 1:
            return Parts(text[0] + text[-1], tuple(items))
    return None


def _same_parts(
    gold: str, gold_parts: Parts | None, answer: str, parts: Parts | None, depth: int
) -> bool | None:
    if gold_parts is None or parts is None:
        # "114,200" is a number on one side, and "114, 200" may be meant as one list on the other.
        if "," in gold and plain_number(gold) and parts and parts.kind == "list":
            gold_parts = Parts("list", tuple(gold.split(",")))
        elif "," in answer and plain_number(answer) and gold_parts and gold_parts.kind == "list":
            parts = Parts("list", tuple(answer.split(",")))
    if gold_parts is None and parts is not None and parts.kind == "list":
        # One value in several notations: "1/2 or 0.5".
        return len(parts.items) <= MAX_ITEMS and all(
            _same(gold, item, depth + 1) for item in parts.items
        )
    if gold_parts is None or parts is None:
        # A set or an interval may stand as an inequality; otherwise one thing is not several.
        if plain_number(gold if gold_parts is None else answer) is not None:
            return False
        single = gold if gold_parts is None else answer
        return None if _SET_NOTATION.search(single) else False
    if len(gold_parts.items) != len(parts.items) or len(parts.items) > MAX_ITEMS:
        return False
    order = _order(gold_parts, parts)
    if order is None:
        return False

    def same(a: str, b: str) -> bool:
        try:
            return _same(a, b, depth + 1)
        except UnreadableAnswer:
            return False

    pairs = list(zip(gold_parts.items, parts.items, strict=True))
    if order == "ordered" or all(key(a) == key(b) for a, b in pairs):
        return all(same(a, b) for a, b in pairs)
    return _match(gold_parts.items, parts.items, same)


def _order(gold: Parts, answer: Parts) -> Literal["ordered", "any"] | None:
    """How the items of the two compare; None where the two kinds differ."""
    kinds = {gold.kind, answer.kind}
    intervals = {"()", "[]", "(]", "[)"}
    if kinds <= {"list", "set"} or kinds == {"union"}:
        return "any"
    if kinds == {"matrix"}:
        return "ordered" if gold.columns == answer.columns else None
    if "matrix" in kinds:  # a vector may stand as a tuple
        matrix = gold if gold.kind == "matrix" else answer
        is_vector = matrix.columns in (1, len(matrix.items))
        return "ordered" if is_vector and kinds & {"()", "[]", "list"} else None
    if len(kinds) == 1 or (kinds <= {"()", "[]"} and len(gold.items) > 2):
        return "ordered"
    if "list" in kinds and kinds & intervals:  # left out delimiters; [a, b] could be an interval
        return "ordered" if "()" in kinds or len(gold.items) > 2 else None
    return None


def _match(
    gold: tuple[str, ...], answer: tuple[str, ...], same: Callable[[str, str], bool]
) -> bool:
    """Whether the items pair up in some order. Equality is transitive, so greedy is enough."""
    left = list(answer)
    for item in gold:
        at = next((k for k, other in enumerate(left) if same(item, other)), None)
        if at is None:
            return False
        del left[at]
    return True


def _same_expression(gold: str, answer: str) -> bool:
    gold_parsed = _parse(gold)
    if gold_parsed is None:
        raise BadReference(gold[:100])
    parsed = _parse(answer)
    if parsed is None:
        raise UnreadableAnswer(answer[:100])
    decided: symbolic.Answer = "unknown"
    kinds = {type(gold_parsed).__name__, type(parsed).__name__}
    if kinds == {"Equality"}:
        decided = symbolic.proportional(gold_parsed.lhs - gold_parsed.rhs, parsed.lhs - parsed.rhs)
    elif "Equality" in kinds:
        return False
    else:
        decided = symbolic.equal(gold_parsed, parsed)
    if decided is False:
        return _rounded(gold, gold_parsed, answer, parsed)
    return decided is True or symbolic.verify(gold_parsed, parsed)


def _rounded(gold: str, gold_parsed: Any, answer: str, parsed: Any) -> bool:
    """A decimal of at least six significant digits stands for the value that it rounds."""
    gold_number, number = plain_number(gold), plain_number(answer)
    if number is not None and number.is_long_decimal:
        return symbolic.rounds_to(number.value, number.places or 0, gold_parsed)
    if gold_number is not None and gold_number.is_long_decimal:
        return symbolic.rounds_to(gold_number.value, gold_number.places or 0, parsed)
    return False


def _parse(text: str) -> Any:
    if number := plain_number(text):
        return symbolic.rational(number.value)
    text = re.sub(r"(?<=\S)\s*\\text\s*\{[^{}]*\}(?:\s*\^\s*\{?[0-9]\}?)?$", "", text).strip("$ ")
    # The parser adds numbers that stand side by side, and reads a colon as a division.
    if re.search(r"(?<![_0-9])[0-9]+\s+[0-9]|:|\\ldots|\\dots|\.\.", text):
        return None
    if len(text) > MAX_EXPRESSION or _depth(text) > MAX_NESTING or _HUGE.search(text):
        return None
    latex = to_latex(text)
    if re.search(r"[A-Za-z]{6}", re.sub(r"\\[A-Za-z]+", " ", latex)):  # words, not a product
        return None
    try:
        return symbolic.parse(latex)
    except symbolic.CannotParse:
        return None


def _depth(text: str) -> int:
    deepest = depth = 0
    for mark in re.findall(r"[(\[{)\]}]", text):
        depth += 1 if mark in "([{" else -1
        deepest = max(deepest, depth)
    return deepest


def _balanced(text: str) -> bool:
    braces = re.findall(r"\\.|[{}]", text)
    return braces.count("{") == braces.count("}") == len(closing_braces(text))


def _wraps(text: str) -> bool:
    """Whether the first delimiter is closed by the last one."""
    depth = 0
    for at, mark in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(mark, 0)
        if depth == 0:
            return at == len(text) - 1
    return False


def _top_level(text: str, separator: str, *, numbers: bool = True) -> list[str]:
    """`text` split where `separator` stands outside all brackets; with `numbers`, commas that group
    the digits of one number do not separate."""
    marks = re.compile(rf"(?P<cut>{separator})|\\[{{}}]|\\[a-zA-Z]+|[(\[{{)\]}}]")
    grouped = {at for number in _GROUPED.finditer(text) for at in range(*number.span()) if numbers}
    depth, start, items = 0, 0, []
    for match in marks.finditer(text):
        mark = match.group()
        if match["cut"] is not None:
            if depth == 0 and match.start() not in grouped:
                items.append(text[start : match.start()].strip())
                start = match.end()
        elif mark in ("(", "[", "{", r"\{"):
            depth += 1
        elif mark in (")", "]", "}", r"\}"):
            depth -= 1
    items.append(text[start:].strip())
    return [item for item in items if item]
