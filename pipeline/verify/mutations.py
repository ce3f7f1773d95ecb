r"""Wrong answers made by machine out of labelled pairs that a verifier accepts.

Each mutation is certain to be wrong, and says why: only answers whose value is known without the
verifier's help are changed (whole numbers in a single `\boxed{}`, single letters). To add one:
a function from a pair to changed completions, and its line in `MUTATORS`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from winnow.pipeline.verify.self_test import Pair

# (what was done, the changed completion)
Changed = Iterator[tuple[str, str]]

_BOX = re.compile(r"\\boxed\{\s*([^{}]*?)\s*\}")


def mutations(verifier: str, pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs to reject, made of those of `pairs` that are to be accepted; none for a verifier that
    has no mutator."""
    mutate = MUTATORS.get(verifier)
    if mutate is None:
        return []
    return [
        replace(
            pair,
            rule=f"{pair.rule}: {done}",
            label="reject",
            completion=completion,
            verdict=None,
            reward=None,
        )
        for pair in pairs
        if pair.label == "accept" and pair.expected == "correct"
        for done, completion in mutate(pair)
    ]


def _boxed(pair: Pair) -> re.Match[str] | None:
    """The only box of the completion, where it says just what the reference says."""
    boxes = list(_BOX.finditer(pair.completion))
    return boxes[0] if len(boxes) == 1 and boxes[0][1] == pair.answer else None


def _other_numbers(pair: Pair) -> Changed:
    """Another whole number in the place of the right one. A hundredth and a hundredfold are left
    out: they could be read as percentages."""
    box = _boxed(pair)
    if box is None or not re.fullmatch(r"-?[0-9]{1,15}", box[1]):
        return
    right = int(box[1])
    changed = {
        "last digit changed": right - right % 10 + (right + 1) % 10,
        "sign flipped": -right,
        "ten times": right * 10,
        "first digit dropped": int(box[1].lstrip("-")[1:] or right + 2),
        "one more": right + 1,
    }
    for done, wrong in changed.items():
        if wrong != right:
            start, end = box.span(1)
            yield done, f"{pair.completion[:start]}{wrong}{pair.completion[end:]}"


def _other_letters(pair: Pair) -> Changed:
    """Every other option's letter in the place of the right one."""
    box = _boxed(pair)
    if box is None or not re.fullmatch(r"[A-Z]", box[1]):
        return
    for letter in pair.args.get("options", "ABCD"):
        if letter != box[1] and re.fullmatch(r"[A-Z]", letter):
            start, end = box.span(1)
            yield f"{letter} chosen", f"{pair.completion[:start]}{letter}{pair.completion[end:]}"


MUTATORS: dict[str, Callable[[Pair], Changed]] = {
    "choice": _other_letters,
    "math": _other_numbers,
}
