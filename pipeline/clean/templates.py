"""Groups of prompts that are one template filled with different numbers.

Two such prompts test nearly the same thing: a holdout that shares a group with the training rows
leaks, and a set that is full of one group is less diverse than its row count says.
"""

import re
from collections.abc import Sequence

from winnow.pipeline.clean.normalise import fold
from winnow.pipeline.names import Message, digest

# One number as people write it: a sign that is no operator (`x = -5`, but not `10-5` or `x-5`),
# digits with decimal points and thousands separators, an exponent, an ordinal's ending. Digits that
# hang together by commas are one number: `1,234` and `[1,2]` cannot be told apart by form.
_NUMBER = re.compile(
    r"""
    (?: (?<![\w)\]}]) [-+] )?
    (?: (?<!\w) \. )? \d+ (?: [.,][-+]?\d+ )*
    (?: e[-+]?\d+ )?
    (?: (?:st|nd|rd|th)\b )?
    """,
    re.VERBOSE,
)
PLACEHOLDER = "#"


def template_text(text: str) -> str:
    """`text` folded (case, white space, typography), every number replaced by `#`."""
    return _NUMBER.sub(PLACEHOLDER, fold(text))


def template_id(messages: Sequence[Message]) -> str:
    """Group key of prompts that differ only in numbers, letter case, white space or typography.

    Numbers are digits of any script, with sign, decimal point, thousands separators, exponent and
    ordinal ending; number words ("three") are words. Roles and the order of messages count.
    """
    return digest("template/1", [[m["role"], template_text(m["content"])] for m in messages])
