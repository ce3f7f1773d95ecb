"""Rows as token ids: where the response begins, and rows that have none."""

from typing import Any

import pytest

from winnow.pipeline.features.pair_tokens import PairTokenizer
from winnow.pipeline.features.proxy.examples import NOTHING, tokenise
from winnow.pipeline.features.row_text import RowColumns
from winnow.pipeline.models import SMOLLM2, resolve_model
from winnow.pipeline.tokens import tokenizer

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def pairs() -> PairTokenizer:
    return PairTokenizer(resolve_model(SMOLLM2))


@pytest.fixture(scope="module")
def words() -> Any:
    return tokenizer(resolve_model(SMOLLM2))


def test_the_response_and_the_token_that_ends_it_are_scored(
    pairs: PairTokenizer, words: Any
) -> None:
    row = {"question": "How many?", "solution": "It is 42, I think.", "answer": "42"}
    (found,) = tokenise(pairs, [row], RowColumns.of(row))
    assert words.decode(found.tokens[found.start :]) == "It is 42, I think.<|im_end|>"
    prompt = words.decode(found.tokens[: found.start])
    assert "How many?" in prompt and prompt.endswith("assistant\n")


def test_rows_without_prompt_or_response(pairs: PairTokenizer, words: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "p", "completion": None},
        {"prompt": "p", "completion": "c"},
        {"prompt": None, "completion": "c"},
        {"prompt": "p", "completion": ""},
        {"prompt": "q", "completion": "d"},
    ]
    found = tokenise(pairs, rows, RowColumns.of(rows[0]))
    assert [example is NOTHING for example in found] == [True, False, True, True, False]
    assert NOTHING.n_response == 0
    for at, text in ((1, "c<|im_end|>"), (4, "d<|im_end|>")):
        assert words.decode(found[at].tokens[found[at].start :]) == text


def test_a_template_that_refuses(pairs: PairTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs._words, "chat_template", "{{ raise_exception('no') }}")
    row = {"prompt": "p", "completion": "c"}
    assert tokenise(pairs, [row], RowColumns.of(row)) == [NOTHING]
