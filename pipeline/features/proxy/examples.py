"""Rows of a table as token ids of prompt and response."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from winnow.pipeline.features.pair_tokens import Pair, PairTokenizer
from winnow.pipeline.features.proxy.training import Example
from winnow.pipeline.features.row_text import RowColumns, RowText

NOTHING = Example(np.zeros(0, np.int32), 0)


def tokenise(
    tokenizer: PairTokenizer, rows: Sequence[Mapping[str, Any]], columns: RowColumns
) -> list[Example]:
    """Each row as the model would see it, with the token that ends an answer after the response.

    `NOTHING` stands for a row without prompt or response, and one that the chat template refuses.
    """
    pairs = [_pair(tokenizer, columns.read(row)) for row in rows]
    tokens = iter(tokenizer.tokens([pair for pair in pairs if pair is not None]))
    found = []
    for pair in pairs:
        if pair is None:
            found.append(NOTHING)
            continue
        row = next(tokens)
        found.append(Example(np.array(row.tokens, dtype=np.int32), row.first))
    return found


def _pair(tokenizer: PairTokenizer, text: RowText) -> Pair | None:
    if not text.messages or text.response is None:
        return None
    try:
        return Pair(tokenizer.before(text.messages), text.response)
    except ValueError:
        return None
