r"""Reads the final answer out of a model's text.

One form decides, the first that is present, and no other is tried: a verifier that took the
luckiest of several readings would reward answers that say several things. The order:

1. `<answer>...</answer>` (only where the caller asks for tags),
2. the last `\boxed{...}` or `\fbox{...}`, together with boxes before it that it does not replace:
   those that only commas, "and", "or" or a name ("and $y =$") separate from it, and those
   after which nothing was worked out or taken back,
3. the last `#### x`,
4. the last "answer is x", "answer: x" or "answer = x" or, in Chinese, 答案是 x.

What a text without any of them says is the caller's to decide. Text inside `<think>...</think>` is
not looked at, unless nothing follows it; nor are end-of-text tokens, nor what a base model goes on
with after its answer ("Question: ..."). All functions are linear in the text's length, up to the
number of marks in it.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

Form = Literal["tag", "boxed", "hashes", "phrase"]

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_PERCENT = re.compile(r"\s*\\?%")
_HASHES = re.compile(r"####[ \t]*([^\n]+)")
_FENCE = re.compile(r"```[^\n]*\n(.*?)\n?```", re.DOTALL)
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_END_TOKEN = re.compile(r"(?:<\|[a-z_]{1,30}\|>|</s>|<eos>|<end_of_turn>)\Z")

# "The answer is correct" says something about an answer, and announces none.
COMMENTS = (
    "correct", "incorrect", "right", "wrong", "in", "based on", "expressed", "rounded",
    "reasonable", "valid", "consistent", "verified",
)  # fmt: skip
# "We check our answer: 3 + 4 = 7"
_CHECKING = re.compile(
    r"\b(?:check|verif|confirm|test)\w*\s+(?:(?:our|the|this|my|your)\s+)?\Z", re.IGNORECASE
)

# What follows the word "answer" where an answer is announced: perhaps "(in dollars)", perhaps "to
# the question", then "is", ":" or "=".
_ANNOUNCED = (
    r"answers?\b[*_\s]{0,4}(?:\([^()\n]{1,40}\)[*_\s]{0,4})?"
    r"(?:(?:to|for)\b[^.:\n=]{1,120}?\b(?=is\b|are\b))?"
    r"(?:(?:is|are|would be|will be|should be|must be)\b(?!\s+(?:%s)\b)"
    r"(?:\s+(?:therefore|thus|then|simply|just|indeed|given by|equal to))?\s*:?|:|=)"
)
HEADING = re.compile(r"answer[*_ \t]*$", re.IGNORECASE | re.MULTILINE)
_BEFORE_HEADING = re.compile(r"[#*_ \t]*(?:the[ ])?(?:final[ ])?", re.IGNORECASE)
HAN = re.compile(r"答案?\s*(?:是|为|應為|应为)?\s*[:：]|答案(?:是|为|等于)|故选[:：]?|选(?=[A-D])")

# Between two boxes that belong together.
_BETWEEN_BOXES = re.compile(
    r"(?:[\s$,;]|\\[()\[\],;]|\\text|\\quad|[{}]|\b(?:and|or|either)\b|[a-zA-Z]\s*=){0,20}",
    re.IGNORECASE,
)
# After one of these a box replaces the box before it.
_REPLACES = re.compile(
    r"[0-9=+]|\\[a-zA-Z]|\b(?:wait|actually|no|not|but|correct(?:ed|ion)?|mistake|wrong|error|instead|sorry|"
    r"rather|recheck|recalculat\w*|so|therefore|thus|hence|now|then|next|finally|in conclusion)\b",
    re.IGNORECASE,
)
_HEDGES = re.compile(r"\b(?:alternatively|possibly|or|maybe|perhaps)\b", re.IGNORECASE)
_NEXT_QUESTION = re.compile(
    r"\n\s*(?:\*\*|#+ )?(?:Question|Problem|Exercise|Q|User|Human|Instruction|问题|题目)"
    r"\s*[0-9.]*\s*[:：]|<\|im_start\|>"
)


@dataclass(frozen=True)
class Found:
    """A final answer: `text` is what follows the mark (for a phrase, all of it to the end); `end` is
    where the mark and its content end in the text that was looked at."""

    form: Form
    text: str
    end: int = field(default=-1, compare=False)


def find(text: str, *, tags: bool = False) -> Found | None:
    """The final answer of `text` by the order above, or None where no form is present."""
    return find_in(said(text), tags=tags)


def find_in(text: str, *, tags: bool = False) -> Found | None:
    """`find` for a text that `said` returned."""
    if tags and (tagged := last_tagged(text)) is not None:
        return Found("tag", tagged)
    if (box := _last_box(text)) is not None:
        return Found("boxed", *box)
    if "####" in text and (marks := list(_HASHES.finditer(text))):
        return Found("hashes", marks[-1][1].strip(), marks[-1].end())
    return last_phrase(text)


def said(text: str) -> str:
    """The part of a completion in which its answer stands."""
    text = after_thinking(text).rstrip()
    while text.endswith(">") and (token := _END_TOKEN.search(text, max(len(text) - 40, 0))):
        text = text[: token.start()].rstrip()
    question = _NEXT_QUESTION.search(text)
    if question and _announces(text[: question.start()]):
        return text[: question.start()]
    return text


def _announces(text: str) -> bool:
    return "boxed" in text or "####" in text or last_phrase(text) is not None


def after_thinking(text: str) -> str:
    """What follows the last `</think>`; the whole text where nothing does."""
    _, mark, rest = text.rpartition("</think>")
    return rest if mark and rest.strip() else text


def last_phrase(text: str, start: int = 0) -> Found | None:
    """The last announcement behind `start` that something follows."""
    mark = _last_mark(text, start)
    if mark < 0:
        return None
    rest = text[mark:].strip().lstrip("*: \n：")
    if fence := _FENCE.match(rest):
        rest = fence.group(1).strip("\n")
    return Found("phrase", rest, mark) if rest else None


def _last_mark(text: str, start: int) -> int:
    """Where the last announcement behind `start` ends, or -1."""
    best = -1
    if "答" in text or "选" in text:
        for match in HAN.finditer(text, start):
            best = match.end()
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters have a lower case of two characters
        lowered = text
    at = lowered.rfind("answer", start)
    while at >= 0 and at > best:
        if not (at and text[at - 1].isalnum()) and not _CHECKING.search(text, max(at - 30, 0), at):
            announced = _announced(COMMENTS).match(text, at) or _heading(text, at)
            if announced:
                return max(best, announced.end())
        at = lowered.rfind("answer", start, at)
    return best


@lru_cache(maxsize=4)
def _announced(comments: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(_ANNOUNCED % "|".join(comments), re.IGNORECASE)


def _heading(text: str, at: int) -> re.Match[str] | None:
    line = text.rfind("\n", 0, at) + 1
    if at - line > 40 or not _BEFORE_HEADING.fullmatch(text, line, at):
        return None
    return HEADING.match(text, at)


def last_boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{...}` with balanced braces, joined by commas with the boxes
    before it that it does not replace; None where there is no complete box."""
    found = _last_box(text)
    return None if found is None else found[0]


def _last_box(text: str) -> tuple[str, int] | None:
    if "\\boxed" not in text and "\\fbox" not in text:
        return None
    boxes = _only_box(text) or _boxes(text)
    if not boxes:
        return None
    start, end, content = boxes[-1]
    contents = [content]
    for before_start, before_end, before in reversed(boxes[:-1]):
        if not _belongs(text[before_end:start]):
            break
        if before not in contents:
            contents.append(before)
        start = before_start
    # 50\% and \boxed{50}\% say the same.
    percent = _PERCENT.match(text, end)
    return ", ".join(reversed(contents)) + ("%" if percent and len(contents) == 1 else ""), end


def _only_box(text: str) -> list[tuple[int, int, str]]:
    """The same as `_boxes`, for the usual text with one box; nothing for any other."""
    mark = _BOX.search(text)
    if mark is None or _BOX.search(text, mark.end()) or text[mark.end() : mark.end() + 1] != "{":
        return []
    depth = 0
    for match in _BRACE.finditer(text, mark.end()):
        brace = match.group()
        depth += 1 if brace == "{" else -1 if brace == "}" else 0
        if depth == 0:
            content = text[mark.end() + 1 : match.start()].strip()
            return [(mark.start(), match.end(), content)]
    return []


def _boxes(text: str) -> list[tuple[int, int, str]]:
    """(start, end, content) of the complete boxes that are in no other."""
    marks = list(_BOX.finditer(text))
    boxes: list[tuple[int, int, str]] = []
    closing = closing_braces(text, marks[0].end()) if marks else {}
    for mark in marks:
        inside_another = boxes and mark.start() < boxes[-1][1]
        if mark.end() in closing and not inside_another:
            end = closing[mark.end()]
            boxes.append((mark.start(), end + 1, text[mark.end() + 1 : end].strip()))
    return boxes


def _belongs(gap: str) -> bool:
    """Whether the box behind `gap` adds to the one before it, and does not replace it."""
    if len(gap) <= 40 and _BETWEEN_BOXES.fullmatch(gap):
        return True
    if len(gap) > 160:
        return False
    return bool(_HEDGES.search(gap)) or not _REPLACES.search(gap)


def closing_braces(text: str, start: int = 0) -> dict[int, int]:
    """Index of every opening brace from `start` on that is closed: that of its closing brace."""
    opened: list[int] = []
    closing = {}
    for match in _BRACE.finditer(text, start):
        if match.group() == "{":
            opened.append(match.start())
        elif match.group() == "}" and opened:
            closing[opened.pop()] = match.start()
    return closing


def last_tagged(text: str) -> str | None:
    """Content of the last complete `<answer>...</answer>`."""
    start, found = None, None
    for tag in _TAG.finditer(text):
        if not tag.group(1):
            start = tag.end()
        elif start is not None:
            found = text[start : tag.start()].strip()
            start = None
    return found


def first_sentence(text: str) -> str:
    """`text` up to the end of its first line that says something, or of its first sentence."""
    line = next((line for line in text.splitlines() if line.strip(" \t*_`")), "")
    return re.split(r"(?<=[^\s.])[.!?][\"'*_)]*\s+(?=[A-Z*_(\"'\\])|。", line.strip(), maxsplit=1)[
        0
    ]


def last_line(text: str) -> str:
    """The last line of `text` that is not blank."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def fenced(text: str) -> str | None:
    """Content of the last code block of `text`."""
    blocks = _FENCE.findall(text)
    return str(blocks[-1]).strip("\n") if blocks else None


def unwrapped(text: str) -> str:
    """`text` without Markdown emphasis or code marks around it (underscores can be content)."""
    text = text.strip()
    if (fence := _FENCE.fullmatch(text)) is not None:
        return fence.group(1).strip("\n")
    while len(text) > 2 and text[0] == text[-1] and text[0] in "*`":
        text = text[1:-1].strip()
    return text
