"""Where a prefix of a demonstration may end: at ends of sentences, never inside the final answer."""

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from winnow.pipeline.verify import extract

# A full stop and the like, perhaps with closing quotes or marks, before white space; the same of
# Chinese and Japanese before anything; and the end of a line.
_SENTENCE = re.compile(r"[.!?…][\"'”’)\]*_]{0,3}(?=\s)|[。！？][”’」』）]{0,2}|(?<=\S)(?=[ \t]*\n)")
# What has a full stop and ends no sentence: an item's number, an initial, common abbreviations.
_NUMBER = re.compile(r"[ \t]*\d{1,3}\.")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\[*_])(?:[A-Za-z]|e\.g|i\.e|etc|vs|cf|resp|approx|figs?|eqs?|nos?|dr|mrs?|ms|st)\.\Z",
    re.IGNORECASE,
)
_LONGEST_ABBREVIATION = 10
_LONGEST_LINE = 100  # characters of a line that are looked at
# Text that is one piece: code, and mathematics that stands by itself.
_PIECE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(?:.*?^[ \t]*\1[`~]*[ \t]*$|.*\Z)|\\\[.{0,1000}?\\\]|\$\$.{0,1000}?\$\$",
    re.DOTALL | re.MULTILINE,
)
_ANSWER_MARKS = {"boxed": re.compile(r"\\(?:boxed|fbox)\b"), "hashes": re.compile("####"),
                 "tag": re.compile("<answer>", re.IGNORECASE)}  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """`character`: length of the prefix; `token`: tokens in it, None where no tokenizer is known;
    `share`: of the whole text's tokens, else characters, 0 to 1."""

    character: int
    token: int | None
    share: float


def cut_points(
    text: str,
    tokens: Sequence[tuple[int, int]] | None = None,
    share: tuple[float, float] = (0.0, 1.0),
) -> list[Cut]:
    """Ends of sentences before the final answer whose prefix is within `share` (inclusive), in order.

    `tokens` are the character spans of the text's tokens: an end inside a token moves to the token's
    end. The final answer is what a verifier would read (`winnow.pipeline.verify.extract`); of a text
    without a mark of one it is the last block of code, else the last sentence.
    """
    limit = answer_start(text)
    ends = [end for _, end in tokens] if tokens is not None else []
    found: dict[int, Cut] = {}
    for at in sentence_ends(text):
        token = None
        if tokens is not None:
            token = bisect.bisect_right(ends, at)
            if token < len(tokens) and tokens[token][0] < at:
                token, at = bisect.bisect_right(ends, ends[token]), ends[token]
        if not 0 < at <= limit:
            continue
        part = at / len(text) if token is None else token / len(ends)
        if share[0] <= part <= share[1]:
            found[at] = Cut(at, token, part)
    return [found[at] for at in sorted(found)]


def sentence_ends(text: str) -> Iterator[int]:
    """Characters behind the sentences of `text`, in order; not inside code or displayed mathematics."""
    pieces = [match.span() for match in _PIECE.finditer(text)]
    starts = [start for start, _ in pieces]
    last = 0
    for match in _SENTENCE.finditer(text):
        at = match.end()
        place = bisect.bisect_left(starts, at) - 1
        if place >= 0 and at < pieces[place][1]:
            continue
        if match.group() == "." and _no_end(text, at):
            continue
        if at > last:
            yield at
            last = at


def answer_start(text: str) -> int:
    """Where the final answer begins: no prefix may be longer."""
    end = len(text.rstrip())
    offset = len(text) - len(extract.after_thinking(text))
    found = extract.find(text, tags=True)
    if found is not None and found.form == "phrase":
        return offset + found.end
    if found is not None:
        # The first of several boxes: which of them belong together, whoever reads answers decides.
        marks = [match.start() for match in _ANSWER_MARKS[found.form].finditer(text, offset)]
        if marks:
            return marks[-1] if found.form == "hashes" else marks[0]
    pieces = [m.start() for m in _PIECE.finditer(text, offset) if m[1]]
    if pieces:
        return pieces[-1]
    return max((at for at in sentence_ends(text) if at < end), default=0)


def _no_end(text: str, at: int) -> bool:
    """Whether the full stop before `at` is that of an item's number or of an abbreviation."""
    start = max(text.rfind("\n", 0, at) + 1, at - _LONGEST_LINE)
    line = text[start:at]
    return bool(_NUMBER.fullmatch(line) or _ABBREVIATED.search(line[-_LONGEST_ABBREVIATION:]))
