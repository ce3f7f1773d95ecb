r"""Reads the final answer out of a model's text.

One form decides, the first that is present, and no other is tried: a verifier that took the
luckiest of several readings would reward answers that say several things. The order:

1. `<answer>...</answer>` (only where the caller asks for tags),
2. the last `\boxed{...}` or `\fbox{...}`, together with boxes that only commas, "and" or "or"
   separate from it,
3. the last `#### x`,
4. the last "answer is x", "answer: x" or "answer = x".

What a text without any of them says is the caller's to decide. Text inside `<think>...</think>` is
not looked at, unless nothing follows it. All functions are linear in the text's length, up to the
number of marks in it.
"""

import re
from dataclasses import dataclass
from typing import Literal

Form = Literal["tag", "boxed", "hashes", "phrase"]

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BETWEEN_BOXES = re.compile(
    r"(?:[\s$,;.]|\\[()\[\]]|\\text|[{}]|\b(?:and|or)\b){0,20}", re.IGNORECASE
)
_HASHES = re.compile(r"####[ \t]*([^\n]+)")
_PHRASE = re.compile(
    # "answer", perhaps "(in dollars)", perhaps "to the question", then "is", ":" or "="
    r"\banswers?\b[*_\s]{0,4}(?:\([^()\n]{1,40}\)[*_\s]{0,4})?"
    r"(?:to\b[^.:\n=]{1,120}?\b(?=is\b|are\b))?"
    r"(?:(?:is|are)\b(?!\s+(?:in)?correct\b)(?:\s+(?:therefore|thus|then|simply|just))?\s*:?|:|=)"
    # or a heading of its own
    r"|^[#*_ \t]*(?:the[ ])?(?:final[ ])?answer[*_ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(r"```[^\n]*\n(.*?)\n?```", re.DOTALL)
_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A final answer: `text` is what follows the mark (for a phrase, all of it to the end)."""

    form: Form
    text: str


def find(text: str, *, tags: bool = False) -> Found | None:
    """The final answer of `text` by the order above, or None where no form is present."""
    text = after_thinking(text)
    if tags and (tagged := last_tagged(text)) is not None:
        return Found("tag", tagged)
    if (boxed := last_boxed(text)) is not None:
        return Found("boxed", boxed)
    if matches := _HASHES.findall(text):
        return Found("hashes", matches[-1].strip())
    if phrases := list(_PHRASE.finditer(text)):
        rest = text[phrases[-1].end() :].strip().lstrip("*: \n")
        if fence := _FENCE.match(rest):
            rest = fence.group(1).strip("\n")
        if rest:
            return Found("phrase", rest)
    return None


def after_thinking(text: str) -> str:
    """What follows the last `</think>`; the whole text where nothing does."""
    _, mark, rest = text.rpartition("</think>")
    return rest if mark and rest.strip() else text


def last_boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{...}` with balanced braces, joined by commas with the boxes
    directly before it; None where there is no complete box."""
    marks = list(_BOX.finditer(text))
    closing = closing_braces(text) if marks else {}
    boxes: list[tuple[int, int, str]] = []  # (start, end, content)
    for mark in marks:
        inside_another = boxes and mark.start() < boxes[-1][1]
        if mark.end() in closing and not inside_another:
            end = closing[mark.end()]
            boxes.append((mark.start(), end + 1, text[mark.end() + 1 : end].strip()))
    if not boxes:
        return None
    start, _, content = boxes[-1]
    contents = [content]
    for before_start, before_end, before in reversed(boxes[:-1]):
        gap = text[before_end:start]
        if len(gap) > 40 or not gap.strip() or not _BETWEEN_BOXES.fullmatch(gap):
            break
        if before not in contents:
            contents.append(before)
        start = before_start
    return ", ".join(reversed(contents))


def closing_braces(text: str) -> dict[int, int]:
    """Index of every opening brace that is closed: the index of its closing brace."""
    opened: list[int] = []
    closing = {}
    for match in _BRACE.finditer(text):
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
    return re.split(r"(?<=[^\s.])[.!?][\"'*_)]*\s+(?=[A-Z*_(\"'\\])", line.strip(), maxsplit=1)[0]


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
