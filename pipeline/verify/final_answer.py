r"""What a completion states as its final mathematical answer.

`extract` finds the marks (boxes, `####`, "the answer is"). This module reads what follows a phrase,
and, where there is no mark at all, the last formula, emphasised number or number of the text. An
answer that names several values ("3 or 4", "$x=3$ or $x=-1$") is returned whole: which of them was
meant is not for a verifier to guess.
"""

import re
from dataclasses import dataclass

from winnow.pipeline.verify import extract
from winnow.pipeline.verify.expression import CannotParse, parse
from winnow.pipeline.verify.notation import normalise
from winnow.pipeline.verify.plain_number import plain_number

MAX_TEXT = 200_000  # characters; the end of a longer text is looked at

_SEGMENT = re.compile(
    r"\$\$(?P<a>[^$]+)\$\$|(?<![\\$])\$(?P<b>(?:\\\$|[^$\n])+)(?<!\\)\$|\\\((?P<c>.+?)\\\)|\\\[(?P<d>.+?)\\\]"
    r"|(?<![\\$])\$(?P<e>\s*\\begin\{[^$]+)\$",
    re.DOTALL,
)
NUMBER = re.compile(
    r"(?:(?<![0-9A-Za-z)\]}.])-|(?<![0-9)\]}] )(?<=[\s=:(])-)?(?:\\?[$€£])?"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:\s?/\s?[0-9]+|\s?\\?%)?"
    r"|(?<![0-9])-?\.[0-9]+"
)
_JOIN = re.compile(r"\s*(?:,\s*(?:and|or)?|and|or)\s*")
_WORD = re.compile(r"(?<!\\)\b(?!sqrt|pi\b|sin|cos|tan|log|and\b)[A-Za-z]{3,}")
_REASONS = re.compile(r"[,;]?\s+(?:because|since|as|which|so|where|when|for|if)\b.*", re.DOTALL)
_UNIT_AFTER = re.compile(r"\s*(?:\\?%|percent\b)")
_ANOTHER = re.compile(r"(?:\b(?:and|or)\b|[,;/&])[^.]*?[0-9]")
_BOLD = re.compile(r"\*\*([^*\n]{1,60})\*\*")
_LABEL = re.compile(
    r"\\text\s*\{\s*(?:the |final |so )*answer(?: is)?\s*:?\s*\}\s*:?\s*", re.IGNORECASE
)
_LINE_LABEL = re.compile(r"(?:[A-Za-z]+ ){0,3}[A-Za-z]+\s*:\s*(?=[^\s])")
# What turns the one number of a sentence into something else.
_NOT_THAT = re.compile(
    r"\b(?:not|less|more|fewer|greater|least|most|between|below|above|under|except|or|than|no)\b"
    r"|n't|不|至少|最多|大于|小于|超过|或"
)
_TAIL = re.compile(r".*\b(?:is|are|was|were|equals|becomes)\s+(\S.*)")
_SHORT_WORDS = re.compile(
    r"\b(?:it|is|so|we|to|of|in|at|by|as|he|be|if|the|she|and)\b", re.IGNORECASE
)
_HASHES = re.compile(r"####[ \t]*([^\n]+)")
_COMMAND = re.compile(r"\\[A-Za-z]+(?:\s*\{[A-Za-z., ]*\})?")
_HAN_SENTENCE = re.compile(r"[一-鿿]{2,}[^0-9]*[0-9]|[一-鿿]，")
_END_OF_PROOF = re.compile(r"\$?\\(?:blacksquare|square|qed)\b\$?|\bQ\.?E\.?D\.?")
# Lines that say nothing: what closes a display, an environment or a fence.
_CLOSING = re.compile(r"\s*(?:\\end\{[a-z]+\*?\}|\\\]|\$\$|```)[.,]?\s*")
_ONLY_TEXT = re.compile(r"\\(?:text|mbox|textbf)\s*\{[^{}]*\}")
_ALTERNATIVES = re.compile(
    r"(?:[a-zA-Z]\s*=\s*)?[-+]?[$]?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?(?:\s+[a-z]+)?"
    r"(?:\s*,?\s*(?:or|and)\s*(?:[a-zA-Z]\s*=\s*)?[-+]?[$]?[0-9][0-9,]*(?:\.[0-9]+)?(?:/[0-9]+)?)+"
)


@dataclass(frozen=True)
class FinalAnswer:
    """`text`, None where there is nothing; `later` is what a phrase behind the box or the `####`
    that decides announces, where it is a value: an answer that says two different things is none."""

    text: str | None
    later: str | None = None


def final_answer(completion: str) -> FinalAnswer:
    """The final answer of a completion by the forms of `extract`; without any of them, the last
    formula or number of the text."""
    text = extract.said(completion[-MAX_TEXT:])
    found = extract.find_in(text)
    if found is None:
        return FinalAnswer(_last_expression(text))
    if found.form == "phrase":
        return FinalAnswer(stated(found.text) or None)
    said = found.text if found.text[:5] != "\\text" else _LABEL.sub("", found.text)
    return FinalAnswer(said or None, _later(text, found.end))


def _later(text: str, start: int) -> str | None:
    if hashes := _HASHES.search(text, start):
        return hashes[1].strip()
    phrase = extract.last_phrase(text, start)
    if phrase is None:
        return None
    value = stated(phrase.text)
    return value if plain_number(normalise(value)) or "\\frac" in value else None


def stated(text: str) -> str:
    """What a sentence that begins with the answer states."""
    text = extract.unwrapped(text)
    segment = _SEGMENT.search(text)
    if segment and segment.start() < 40 and not re.search(r"[0-9\n]", text[: segment.start()]):
        return _joined(text, segment)
    sentence = extract.first_sentence(text).strip(" *_")
    sentence = _REASONS.sub("", sentence)
    number = NUMBER.match(sentence)
    if number and re.match(r"\s+[A-Za-z]{3,}(?:\s|\W*$)", sentence[number.end() :]):
        # "42 apples in the basket" says 42, "5 dollars or 6 dollars" says two things.
        if len(sentence.split()) <= 4 or _ANOTHER.search(sentence[number.end() :]):
            return sentence
        return number.group()
    return _only_number(sentence) or sentence.strip(" *_`").rstrip(".")


def _only_number(sentence: str) -> str | None:
    """The number of a sentence that has one: "she sold 72 clips"."""
    if "\\" in sentence or "=" in sentence or _NOT_THAT.search(sentence):
        return None
    if not re.match(r"[A-Za-z]{2,}\s+[A-Za-z]|[一-鿿]{2,}", sentence):
        return None
    numbers = NUMBER.findall(sentence)
    return numbers[0] if len(numbers) == 1 else None


def _joined(text: str, first: re.Match[str]) -> str:
    """The formula `first` with those that only commas, "and" or "or" separate from it."""
    contents, end = [_content(first)], first.end()
    while (join := _JOIN.match(text, end)) and (next_ := _SEGMENT.match(text, join.end())):
        contents.append(_content(next_))
        end = next_.end()
    unit = _UNIT_AFTER.match(text, end)
    return ", ".join(contents) + (unit.group() if unit else "")


def _last_expression(text: str) -> str | None:
    """The last formula or number; a last line that is nothing else as a whole."""
    text = _END_OF_PROOF.sub("", text)
    line = _LINE_LABEL.sub("", extract.unwrapped(_last_line(text)), count=1)
    if _says_only(line, alone="\n" not in text.strip()):
        return line.rstrip(".") or None
    if (bold := _emphasised(text)) is not None:
        return bold
    segments = [m for m in _SEGMENT.finditer(text) if _is_formula(_content(m), text[m.end() :])]
    numbers = list(NUMBER.finditer(text))
    segment = segments[-1] if segments else None
    number = numbers[-1] if numbers else None
    if segment and (number is None or number.end() <= segment.end()):
        return _last_formulas(text, segments)
    several = list(_ALTERNATIVES.finditer(line))
    if several and number and line.endswith(text[number.start() :].strip()):
        if several[-1].end() >= len(line) - len(text[number.end() :].strip()):
            return several[-1].group()
    sentence = re.split(r"(?<=[a-z0-9)])[.!?]\s+(?=[A-Z])", line.rstrip(" .!"))[-1]
    if (tail := _TAIL.search(sentence)) and not _WORD.search(tail[1]) and _is_expression(tail[1]):
        return tail[1]
    if "=" in line and not _SEGMENT.search(line):
        right = line.rpartition("=")[2].strip(" *_`.")
        if right and not _WORD.search(right):
            return right
    if number:
        return number.group()
    # A sentence that says a word: "the series is divergent".
    return tail[1].strip() if tail and len(tail[1].split()) <= 4 else None


def _emphasised(text: str) -> str | None:
    """A value in bold, in the last line that has any number."""
    lines = [line for line in text.splitlines() if re.search(r"[0-9]", line)]
    if not lines:
        return None
    for content in reversed(_BOLD.findall(lines[-1])):
        value = content.strip(" .:")
        inner = _SEGMENT.fullmatch(value)
        if inner:
            return _content(inner)
        if plain_number(normalise(value)) is not None:
            return str(value)
    return None


def _last_formulas(text: str, segments: list[re.Match[str]]) -> str | None:
    """The last formula's right side, with the formulas that only "or" and the like joins to it."""
    last = segments[-1]
    found = [_content(last)]
    for before, after in zip(reversed(segments[:-1]), reversed(segments), strict=False):
        if not _JOIN.fullmatch(text, before.end(), after.start()):
            break
        found.append(_content(before))
    return ", ".join(reversed(found)) or None


def _last_line(text: str) -> str:
    """The last line that says something: no closing delimiter, fence or end of proof."""
    for line in reversed(text.splitlines()):
        if line.strip() and not _CLOSING.fullmatch(line):
            is_row = "&" in line and "\\begin" not in line
            return line.replace("&", "").rstrip("\\ ") if is_row else line.strip()
    return ""


def _says_only(line: str, *, alone: bool) -> bool:
    """A formula without a sentence around it, or a few words that are the whole text."""
    if _SEGMENT.search(line) and not _SEGMENT.fullmatch(line.rstrip(".")):
        return False
    bare = _COMMAND.sub(" ", line)
    if _SHORT_WORDS.search(bare) or _HAN_SENTENCE.search(bare):
        return False
    if alone and (_ONLY_TEXT.fullmatch(line) or _is_expression(line.rstrip("."))):
        return True
    words = _WORD.findall(bare)
    if re.search(r"[0-9\\]", line):
        return not words
    return alone and 0 < len(line.split()) <= 3


def _is_expression(text: str) -> bool:
    try:
        parse(normalise(text))
    except CannotParse:
        return False
    return True


def _content(segment: re.Match[str]) -> str:
    return next(part for part in segment.groups() if part is not None).strip()


def _is_formula(content: str, after: str) -> bool:
    """Not a name in passing, and not the words between two amounts of money."""
    if len(re.findall(r"(?<![\\a-zA-Z{])[A-Za-z]{2,}(?:\s|$)", content)) > 1:
        return _is_expression(content)
    is_last = not after.strip(" .\n*_")
    return is_last or bool(re.search(r"[0-9]|\\[a-zA-Z]+|[A-Za-z].*[-+*/^]", content))
