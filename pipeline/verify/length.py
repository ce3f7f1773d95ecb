r"""The verifier `length`: a reward for length and form, where there is no reference to compare with.

The surrogate of "format and length" (arXiv 2505.19439): with x = length / L_max and the peak p,

    R = 1 - (1 - x/p)^2              for x <= p
    R = 1 - 2 ((x - p) / (1 - p))^2  for x > p,   cut off at -1 (x = 1)
    reward = format + R  where the format is right,  else min(0, R)

`format` (1 or 0) is by default whether a final answer is there that reads as mathematics. (The paper
has min(0, format + R) for the second case, which is the same where the format is 0.)

This is a prior on what right answers look like and says nothing about this answer: the verdict is
`unjudged` with detail `ranking_only`, and the reward is there to rank by. Only where the arguments set
limits (`shortest`, `longest`) is there something to be right or wrong about: the verdict then says
whether the length is within them, with reward 1.0 or 0.0.

A verifier sees the text and no tokens: lengths are words or characters of the whole completion,
thoughts included, times `tokens_per_unit` (about 1.3 for English words, 0.25 for characters).
"""

import logging
import re
from typing import Literal

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import extract
from winnow.pipeline.verify.literals import spoken

MAX_MATH = 500  # characters of an answer that are read as mathematics


class Length:
    """Rewards length and form, a prior for prompts without a reference; judges set limits only."""

    name = "length"
    version = "1"
    needs_answer = False

    class Arguments(arguments.Arguments):
        largest: float = Field(
            default=3072, gt=0, description="L_max, in tokens: where the reward has fallen to -1."
        )
        peak: float = Field(
            default=0.5, gt=0, lt=1, description="p: the share of L_max that is rewarded most."
        )
        unit: Literal["words", "characters"] = Field(
            default="words", description="What is counted in the completion."
        )
        tokens_per_unit: float = Field(
            default=1.0, gt=0, description="Tokens for each unit that is counted."
        )
        form: Literal["math", "marked", "any"] = Field(
            default="math",
            description="What counts as the right format: math (a marked final answer that reads as "
            "mathematics), marked (any marked final answer) or any (every text).",
        )
        shortest: float | None = Field(
            default=None, ge=0, description="Limit in tokens: shorter answers are wrong."
        )
        longest: float | None = Field(
            default=None, ge=0, description="Limit in tokens: longer answers are wrong."
        )

    def verify(self, completion: str, task: Task) -> Verdict:
        """Reward `completion`; parts are `length` (R), `format` and `tokens`."""
        args = self.Arguments.read(task.args)
        if args.shortest is not None and args.longest is not None:
            if args.shortest > args.longest:
                raise BadArguments("shortest: is larger than longest")
        if not completion.strip():
            return Verdict("wrong", 0.0, detail="no_answer")
        tokens = count(completion, args.unit) * args.tokens_per_unit
        length = length_reward(tokens, args.largest, args.peak)
        well_formed = is_well_formed(completion, args.form)
        parts = {"length": length, "format": float(well_formed), "tokens": tokens}
        if args.shortest is not None or args.longest is not None:
            problem = _beyond(tokens, args)
            verdict: Literal["correct", "wrong"] = "wrong" if problem else "correct"
            return Verdict(verdict, float(problem is None), parts, detail=problem)
        return Verdict("unjudged", combined(length, well_formed), parts, detail="ranking_only")


def length_reward(tokens: float, largest: float, peak: float) -> float:
    """R of the module's formula, in [-1, 1]."""
    x = min(tokens / largest, 1.0)
    if x <= peak:
        return 1 - (1 - x / peak) ** 2
    return 1 - 2 * ((x - peak) / (1 - peak)) ** 2


def combined(length: float, well_formed: bool) -> float:
    """The reward: a wrong format can only cost."""
    return 1 + length if well_formed else min(0.0, length)


def count(text: str, unit: Literal["words", "characters"]) -> int:
    """Words (runs without white space) or characters of `text`."""
    return len(text.split()) if unit == "words" else len(text)


def is_well_formed(completion: str, form: Literal["math", "marked", "any"]) -> bool:
    """Whether the answer is marked behind the thoughts, and reads as mathematics where it must."""
    if form == "any":
        return True
    found = extract.find(spoken(completion), tags=True)
    if found is None or not found.text.strip():
        return False
    if form == "marked":
        return True
    text = extract.first_sentence(found.text) if found.form == "phrase" else found.text
    return _reads_as_math(text.strip(" *_`").removesuffix("."))


def _reads_as_math(text: str) -> bool:
    """Whether math-verify finds an expression that is not words (which it takes for products)."""
    from math_verify import LatexExtractionConfig, parse

    text = text.strip("$ ")
    words = re.findall(r"[A-Za-z]{4,}", re.sub(r"\\[A-Za-z]+", " ", text))
    if not text or len(text) > MAX_MATH or words:
        return False
    # Its own time limit is a signal, which only a main thread can take; the pool has one for all.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    found = parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None)
    return any(not isinstance(value, str) for value in found)


def _beyond(tokens: float, args: Length.Arguments) -> str | None:
    if args.shortest is not None and tokens < args.shortest:
        return "too_short"
    if args.longest is not None and tokens > args.longest:
        return "too_long"
    return None
