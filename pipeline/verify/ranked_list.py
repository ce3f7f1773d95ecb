r"""The verifier `ranked_list`: an ordered list against the items that should come first.

The reward by `metric`:

- `mrr`: 1/rank of the first item that is one of the reference's, 0 where there is none (arXiv
  2509.20866);
- `ndcg`: the discounted gain, sum of gain / log2(rank + 1), over that of the best order
  (Järvelin and Kekäläinen 2002).

An item that stands there twice keeps its first rank, and takes none from those behind it; only the
first `limit` different items count, since longer lists would be free guesses. Items are equal
without regard to case, spaces, Markdown, quotes and a full stop; of "Paris - the capital" what stands
before the dash is an item, too.

The list is read from the marked answer (`<answer>`, `\boxed{}`, "the answer is"), or from all that is
said behind the thoughts: a JSON list of texts; else the last list with numbers or bullets (what is
indented below an item, or bullets below a number, are not items); else, of one line, or of a marked
answer, what commas, semicolons, `>` or line ends separate.

`answer` is one item; or a JSON list of items, each perhaps a list of its spellings; or, for `ndcg`, a
JSON object of items and gains. The verdict is `correct` where the reward reaches `threshold`: by
default, for `mrr`, where the first item is right.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.names import canonical_json
from winnow.pipeline.verify import extract
from winnow.pipeline.verify.literals import NoLiteral, spoken, strict_json, unfenced
from winnow.pipeline.verify.plain_text import bare, one_space, one_spelling, without_latex_text

MAX_ITEMS = 1_000  # that are read

_LINE = re.compile(
    r"[ \t]*(?:(?P<mark>[*_]{0,2})\(?(?P<number>\d{1,3})[.):](?![0-9])\s*|[-*+\u2022]\s+)(?P<item>\S.*)"
)
_NUMBER = re.compile(r"\(?\d{1,3}[.)]\s+")
_SECOND = re.compile(r"[,;]\s*\(?2[.)]\s")  # "1. Paris, 2. London"
_LABEL = re.compile(r"[^,;>\n:]{1,60}:\s+")
_SEPARATOR = re.compile(r"\s*(?:[,;>\n]|\s\u2192\s)\s*")
_DASH = re.compile(r"\s+(?:-|\u2013|\u2014)\s+")
_EMPHASISED = re.compile(r"(\*\*|__|`)(.+?)\1\s*(?:[:(,\u2013\u2014-].*)?")
_FULL = 1 - 1e-9

Gains = dict[str, float]  # the gain of every spelling's key


class RankedList:
    """Judges ordered lists by how early the right items come."""

    name = "ranked_list"
    version = "1"

    class Arguments(arguments.Arguments):
        metric: Literal["mrr", "ndcg"] = Field(
            default="mrr", description="mrr: 1/rank of the first right item; ndcg: discounted gain."
        )
        limit: int = Field(
            default=10, ge=1, le=MAX_ITEMS, description="How many different items count."
        )
        threshold: float = Field(
            default=1.0,
            gt=0,
            le=1,
            description="The reward from which on a list is correct (1: the right item is first).",
        )

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge `completion` against `task.answer`. Parts are the metric and `format`."""
        args = self.Arguments.read(task.args)
        gold = references(task.answer)
        if gold is None:
            return Verdict.unjudged("bad_reference")
        items = read_items(completion)
        if not items:
            return Verdict("wrong", 0.0, {args.metric: 0.0, "format": 0.0}, detail="no_answer")
        gains = ranked_gains(items, gold, args.limit)
        reward = reciprocal_rank(gains) if args.metric == "mrr" else ndcg(gains, gold, args.limit)
        correct = reward >= args.threshold * _FULL
        return Verdict(
            "correct" if correct else "wrong",
            reward,
            {args.metric: reward, "format": 1.0},
            canonical_json(items[: args.limit]),
        )


def references(answer: str | None) -> list[Gains] | None:
    """The right items, each with its spellings; None where there are none, or they are malformed."""
    if answer is None or not answer.strip():
        return None
    try:
        value = strict_json(answer)
    except NoLiteral:
        value = answer
    items: list[tuple[Any, Any]]
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list):
        items = [(item, 1.0) for item in value]
    else:
        items = [(value if isinstance(value, str) else answer, 1.0)]
    found = [_spellings(item, gain) for item, gain in items]
    if not found or not all(found):
        return None
    return [gains for gains in found if gains]


def _spellings(item: Any, gain: Any) -> Gains | None:
    texts = item if isinstance(item, list) else [item]
    if not all(isinstance(text, str | int | float) for text in texts):
        return None
    if isinstance(gain, bool) or not isinstance(gain, int | float) or not 0 < gain < 1e9:
        return None
    keys = {_key(text if isinstance(text, str) else json.dumps(text)) for text in texts}
    return dict.fromkeys(keys - {""}, float(gain)) or None


def read_items(completion: str) -> list[str]:
    """The items of the list in `completion`, in order; none where there is no list."""
    said = spoken(completion)
    found = extract.find(said, tags=True)
    text = unfenced(found.text if found else said)
    is_inline = "\n" not in text and _SECOND.search(text)
    if items := _json_items(text) or ([] if is_inline else _last_list(text)):
        return items[:MAX_ITEMS]
    if found is None:
        if "\n" in text:
            return []
        text = _LABEL.sub("", text, count=1)
    elif found.form == "phrase":
        text = extract.first_sentence(text)
    parts = _SEPARATOR.split(text.strip().removesuffix("."))
    items = [_NUMBER.sub("", part, count=1).strip() for part in parts]
    return [item for item in items if item][:MAX_ITEMS]


def ranked_gains(items: Sequence[str], gold: Sequence[Gains], limit: int) -> list[float]:
    """The gain of each of the first `limit` different items; 0 for one that is not in `gold`. Of
    two spellings of one right item, the second gains nothing."""
    gains: list[float] = []
    seen: set[str] = set()
    taken: set[int] = set()
    for item in items:
        keys = _keys(item)
        if not keys[0] or _is_repeated(keys[0], seen):
            continue
        seen.add(keys[0])
        at = next((i for i, one in enumerate(gold) if any(key in one for key in keys)), None)
        gain = 0.0 if at is None or at in taken else max(gold[at].values())
        if at is not None:
            taken.add(at)
        gains.append(gain)
        if len(gains) == limit:
            break
    return gains


def _is_repeated(key: str, seen: set[str]) -> bool:
    return key in seen


def reciprocal_rank(gains: Sequence[float]) -> float:
    """1/rank of the first gain; 0 where there is none."""
    return next((1 / rank for rank, gain in enumerate(gains, 1) if gain), 0.0)


def ndcg(gains: Sequence[float], gold: Sequence[Gains], limit: int) -> float:
    """Discounted gain over the one of the best order, in [0, 1]."""
    best = sorted((max(one.values()) for one in gold), reverse=True)[:limit]
    return _discounted(gains) / _discounted(best)


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _json_items(text: str) -> list[str]:
    try:
        value = strict_json(text)
    except NoLiteral:
        return []
    if not isinstance(value, list) or not all(isinstance(v, str | int | float) for v in value):
        return []
    return [item if isinstance(item, str) else json.dumps(item) for item in value]


def _last_list(text: str) -> list[str]:
    """The items of the last list whose lines are numbered or have bullets.

    Only a paragraph, or the number 1, begins another list. Without one, deeper lines and bullets
    belong to the item above them.
    """
    items: list[str] = []
    indent, number, interrupted = 0, 0, True
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        width = len(line.expandtabs()) - len(line.expandtabs().lstrip())
        if match is None:
            interrupted = interrupted or bool(line.strip()) and width <= indent
            continue
        new = int(match["number"] or 0)
        if not interrupted and (width > indent or (number and not new)):
            continue
        if not _goes_on(number, new, interrupted):
            items, indent = [], width
        number, interrupted = new, False
        items.append(match["item"].strip().removesuffix(match["mark"] or ""))
    return items


def _goes_on(number: int, new: int, interrupted: bool) -> bool:
    """Whether an item numbered `new` (0: a bullet) belongs to the list of the one before it."""
    if not new or not number:
        return new == number and not interrupted
    if new == 1:
        return number == 1 and not interrupted  # Markdown numbers such lists itself
    return True


def _keys(item: str) -> list[str]:
    """What an item is known by: all of it, and what stands before a dash or is emphasised."""
    keys = [_key(item)]
    if emphasised := _EMPHASISED.fullmatch(item.strip()):
        keys.append(_key(emphasised[2]))
    else:
        keys.append(_key(_DASH.split(item.strip(), maxsplit=1)[0]))
    return keys


def _key(text: str) -> str:
    text = bare(without_latex_text(one_spelling(text)).strip("$ "))
    text = one_space(text).casefold()
    return bare(text.removesuffix(".") if len(text) > 1 else text)
