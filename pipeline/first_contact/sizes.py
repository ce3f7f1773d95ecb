"""How many answers, how long, how many clusters: from the number of rows and the lengths of texts."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from winnow.pipeline.first_contact.look import Column, Look

CHARACTERS = 4  # of a token, in English
_SHORTEST, _LONGEST = 64, 4096  # tokens of an answer
_CONTEXT = 2048, 8192  # tokens of prompt and answer: the default, and what the small model has
_USUAL = {
    "choice": 256,
    "exact": 128,
    "sql": 256,
    "math": 1024,
}  # tokens, where no answers are known
_MANY = 20_000  # rows from which fewer answers are drawn for each


@dataclass(frozen=True)
class Sizes:
    """`why_tokens` says what `max_tokens` rests on; `too_long` is the share of the sample's prompts
    for which `max_model_len` leaves no room."""

    n: int
    max_tokens: int
    max_model_len: int
    k: int
    why_tokens: str
    too_long: float


def sizes(look: Look, prompt: Sequence[str], completion: str | None, verifier: str) -> Sizes:
    """Sizes for a first run. Tokens are estimated as characters / 4."""
    max_tokens, why = _USUAL.get(verifier, 512), "the usual for this verifier"
    known = _lengths([look.columns[completion]]) if completion and completion not in prompt else []
    if known:
        p95 = sorted(known)[int(0.95 * (len(known) - 1))]
        max_tokens = min(max(_power(1.5 * p95), _SHORTEST), _LONGEST)
        why = f"95 % of the rows' own answers have at most about {p95:,} tokens; half as much again"
    asked = _lengths([look.columns[name] for name in prompt])
    longest = sorted(asked)[int(0.99 * (len(asked) - 1))] if asked else 0
    context = min(max(_power(longest * 1.25 + max_tokens + 64), _CONTEXT[0]), _CONTEXT[1])
    room = context - max_tokens
    return Sizes(
        n=8 if look.n_rows <= _MANY else 4,
        max_tokens=max_tokens,
        max_model_len=context,
        k=clusters(look),
        why_tokens=why,
        too_long=sum(length > room for length in asked) / len(asked) if asked else 0.0,
    )


def clusters(look: Look) -> int:
    """How many clusters of prompts: the square root of half the rows, between 2 and 512."""
    return min(max(round(math.sqrt(look.n_rows / 2)), 2), 512)


def _lengths(columns: Sequence[Column]) -> list[int]:
    """Tokens of each row over all `columns`, about; rows that lack a value count for the others."""
    total = [0] * max((len(column.values) for column in columns), default=0)
    for column in columns:
        for at, value in enumerate(column.values):
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            total[at] += math.ceil(len(text) / CHARACTERS)
    return total


def _power(tokens: float) -> int:
    """The power of two that is at least so much."""
    return 1 << max(math.ceil(tokens) - 1, 1).bit_length()
