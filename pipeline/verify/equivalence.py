r"""Whether an answer means what the reference means.

Layers, the first that can decide does: exact text; plain numbers as exact fractions; multiple
choice and words; lists, tuples, intervals, sets, unions and matrices, part by part; equations;
expressions (`symbolic`). Nothing in here takes a number out of a text that it cannot read.
"""

import re
from collections.abc import Callable
from typing import Any

from winnow.pipeline.verify import symbolic
from winnow.pipeline.verify.extract import closing_braces
from winnow.pipeline.verify.notation import key, normalise, to_latex, words
from winnow.pipeline.verify.plain_number import plain_number, same_number
from winnow.pipeline.verify.structure import Parts, assignment, order, split

MAX_LENGTH = 2_000  # characters of an answer that are looked at as mathematics
MAX_EXPRESSION = 600  # characters of one expression that are parsed
MAX_NESTING = 30
MAX_ITEMS = 64
MAX_DEPTH = 6
_SET_NOTATION = re.compile(
    r"[<>|]|\\(?:le|ge|ne|lt|gt|mathbb|emptyset|varnothing|setminus|cap)(?![a-zA-Z])|^\\?\{"
)
# Functions that the parser evaluates at once, of numbers that would take for ever.
_HUGE = re.compile(r"\\(?:binom|dbinom|tbinom|gamma|Gamma)[^0-9]*[0-9^{}, ]*[0-9]{6}")


class BadReference(Exception):
    """The reference cannot be read, so that nothing can be said about any answer."""


class UnreadableAnswer(Exception):
    """The answer is no mathematics, where the reference is."""


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
    gold_name, gold_value = assignment(gold)
    name, answer_value = assignment(answer)
    one_is_an_equation = "=" in gold_value or "=" in answer_value
    if (gold_name is not None or name is not None) and not one_is_an_equation:
        named_apart = gold_name and name and key(gold_name).lower() != key(name).lower()
        if named_apart and not re.search(r"[a-zA-Z]", gold_value):
            return False
        return _same(gold_value, answer_value, depth + 1)
    gold_parts, parts = split(gold), split(answer)
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
    how = order(gold_parts, parts)
    if how is None:
        return False

    def same(a: str, b: str) -> bool:
        try:
            return _same(a, b, depth + 1)
        except UnreadableAnswer:
            return False

    pairs = list(zip(gold_parts.items, parts.items, strict=True))
    if how == "ordered" or all(key(a) == key(b) for a, b in pairs):
        return all(same(a, b) for a, b in pairs)
    return _match(gold_parts.items, parts.items, same)


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
