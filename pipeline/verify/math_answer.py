"""The verifier `math`: final answers against a reference answer, in layers.

A finished answer with nothing to extract is wrong (`no_answer`); a reference that cannot be read
leaves every answer unjudged (`bad_reference`). The reference may be a bare answer, or a solution
that ends in a box or in `#### x`. No argument is used.
"""

import re
from importlib.metadata import version

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import extract
from winnow.pipeline.verify.equivalence import BadReference, UnreadableAnswer, equivalent

MAX_TEXT = 200_000  # characters; the end of a longer text is looked at

_SEGMENT = re.compile(
    r"\$\$(?P<a>[^$]+)\$\$|(?<![\\$])\$(?P<b>(?:\\\$|[^$\n])+)(?<!\\)\$|\\\((?P<c>.+?)\\\)|\\\[(?P<d>.+?)\\\]",
    re.DOTALL,
)
_NUMBER = re.compile(
    r"(?:(?<![0-9A-Za-z)\]}.])-|(?<![0-9)\]}] )(?<=[\s=:(])-)?[$€£]?"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:\s?/\s?[0-9]+|\s?\\?%)?"
    r"|(?<![0-9])-?\.[0-9]+"
)
_JOIN = re.compile(r"\s*(?:,|and|or|,\s*and|,\s*or)\s*")
_WORD = re.compile(r"(?<!\\)\b(?!sqrt|pi\b|sin|cos|tan|log|and\b)[A-Za-z]{3,}")
_REASONS = re.compile(r"[,;]?\s+(?:because|since|as|which|so|where|when|for|if)\b.*", re.DOTALL)


class MathAnswer:
    """Judges mathematical final answers; reward 1.0 for correct, 0.0 for wrong."""

    name = "math"

    def __init__(self) -> None:
        # The library decides some of the verdicts, so its version is part of ours.
        self.version = f"1+math-verify{version('math-verify')}"

    def warm(self) -> None:
        equivalent(r"\frac{x}{2}", "x/2")
        equivalent("x < 2", r"(-\infty, 2)")

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge `completion` against `task.answer`."""
        if task.answer is None or not (reference := reference_answer(task.answer)):
            return Verdict.unjudged("bad_reference")
        answer = final_answer(completion)
        if answer is None:
            return Verdict("wrong", 0.0, detail="no_answer")
        try:
            correct = equivalent(reference, answer)
        except BadReference:
            return Verdict.unjudged("bad_reference", answer)
        except (UnreadableAnswer, RecursionError):
            return Verdict("wrong", 0.0, extracted=answer, detail="unreadable_answer")
        return Verdict("correct" if correct else "wrong", float(correct), extracted=answer)


def reference_answer(text: str) -> str:
    """The answer that a reference column holds: itself, or the marked end of a solution."""
    found = extract.find(text)
    return found.text if found and found.form in ("boxed", "hashes") else text.strip()


def final_answer(completion: str) -> str | None:
    """The final answer of a completion by the forms of `extract`; without any of them, the last
    formula or number of the text. None where there is nothing."""
    completion = completion[-MAX_TEXT:]
    found = extract.find(completion)
    if found is None:
        return _last_expression(extract.after_thinking(completion))
    if found.form == "phrase":
        return _stated(found.text) or None
    return found.text or None


def _stated(text: str) -> str:
    """What a sentence that begins with the answer states."""
    text = extract.unwrapped(text)
    segment = _SEGMENT.search(text)
    if segment and segment.start() < 40 and not re.search(r"[0-9\n]", text[: segment.start()]):
        return _joined(text, segment)
    sentence = extract.first_sentence(text).strip(" *_")
    sentence = _REASONS.sub("", sentence)
    number = _NUMBER.match(sentence)
    if number and re.match(r"\s+[A-Za-z]{3,}(?:\s|\W*$)", sentence[number.end() :]):
        return sentence if len(sentence.split()) <= 4 else number.group()
    return sentence.strip(" *_`").rstrip(".")


def _joined(text: str, first: re.Match[str]) -> str:
    """The formula `first` with those that only commas, "and" or "or" separate from it."""
    contents, end = [_content(first)], first.end()
    while (join := _JOIN.match(text, end)) and (next_ := _SEGMENT.match(text, join.end())):
        contents.append(_content(next_))
        end = next_.end()
    unit = re.match(r"\s*(?:\\?%|percent\b)", text[end:])
    return ", ".join(contents) + (unit.group() if unit else "")


def _last_expression(text: str) -> str | None:
    """The last formula or number; a last line that is nothing else as a whole."""
    line = extract.unwrapped(extract.last_line(text))
    if _says_only(line, alone="\n" not in text.strip()):
        return line.rstrip(".") or None
    segments = [m for m in _SEGMENT.finditer(text) if _is_formula(_content(m), text[m.end() :])]
    numbers = list(_NUMBER.finditer(text))
    segment = segments[-1] if segments else None
    number = numbers[-1] if numbers else None
    if segment and (number is None or number.end() <= segment.end()):
        return _right_side(_content(segment))
    if "=" in line and not _SEGMENT.search(line):
        right = line.rpartition("=")[2].strip(" *_`.")
        if right and not _WORD.search(right):
            return right
    return number.group() if number else None


def _says_only(line: str, *, alone: bool) -> bool:
    """A formula without a sentence around it, or a few words that are the whole text."""
    if _SEGMENT.search(line) and not _SEGMENT.fullmatch(line.rstrip(".")):
        return False
    words = _WORD.findall(re.sub(r"\\[A-Za-z]+(?:\{[A-Za-z. ]*\})?", " ", line))
    if re.search(r"[0-9\\]", line):
        return not words
    return alone and 0 < len(line.split()) <= 3


def _right_side(content: str) -> str | None:
    """What an equation ends in, unless it is one that only says what is zero."""
    right = content.rpartition("=")[2].strip()
    return content if right == "0" else right or None


def _content(segment: re.Match[str]) -> str:
    return next(part for part in segment.groups() if part is not None).strip()


def _is_formula(content: str, after: str) -> bool:
    """Not a name in passing, and not the words between two amounts of money."""
    if len(re.findall(r"(?<![\\a-zA-Z{])[A-Za-z]{2,}(?:\s|$)", content)) > 1:
        return False
    is_last = not after.strip(" .\n*_")
    return is_last or bool(re.search(r"[0-9]|\\[a-zA-Z]+|[A-Za-z].*[-+*/^]", content))
