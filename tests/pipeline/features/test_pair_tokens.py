"""Tokens of a response by offsets, with a tokenizer whose merges go across the border."""

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.features.tiny_models import CHAT, smollm2, tokenizer
from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.pair_tokens import Pair, PairTokenizer
from winnow.pipeline.features.scorer import TokenRow
from winnow.pipeline.models import ModelFolder

HI = ({"role": "user", "content": "what is six"},)


def pairs_of(folder: Path, template: Any = "auto") -> PairTokenizer:
    return PairTokenizer(ModelFolder("tiny", "1", str(folder)), template)


def texts(words: Any, row: TokenRow) -> tuple[str, str, str]:
    return (
        words.decode(row.tokens[: row.first]),
        words.decode(row.tokens[row.first : row.stop]),
        words.decode(row.tokens[row.stop :]),
    )


def test_a_token_across_the_border_belongs_to_the_response(tmp_path: Path) -> None:
    words = tokenizer(tmp_path)
    made = pairs_of(tmp_path)
    merged, split = made.tokens(
        [Pair("six? \n Answer: ", "it is", end=False), Pair("six", "Zz", end=False)]
    )
    assert merged.tokens == tuple(
        words("six? \n Answer: it is", add_special_tokens=False).input_ids
    )
    assert texts(words, merged) == ("six? \n Answer:", " it is", "")  # one token across the border
    assert texts(words, split) == ("six", "Zz", "")


def test_the_response_ends_before_what_follows(tmp_path: Path) -> None:
    words = tokenizer(tmp_path)
    made = pairs_of(tmp_path)
    row, merged = made.tokens(
        [Pair("six", "Zz", "##", end=False), Pair("six", "The answer", ": 42.", end=False)]
    )
    assert texts(words, row) == ("six", "Zz", "##")
    assert texts(words, merged) == ("six", "The answer:", " 42.")


def test_the_end_token_is_scored(tmp_path: Path) -> None:
    words = tokenizer(tmp_path)
    made = pairs_of(tmp_path)
    row, empty = made.tokens([Pair("six", "Zz"), Pair("", "Z")])
    assert row.tokens[row.stop - 1] == words.eos_token_id and row.stop == len(row.tokens)
    assert texts(words, row) == ("six", "Zz</s>", "")
    assert (empty.first, empty.stop) == (0, 2)
    assert made.form(end=True) != made.form(end=False)


def test_a_tokenizer_that_begins_texts(tmp_path: Path) -> None:
    words = tokenizer(tmp_path, begins=True)
    made = pairs_of(tmp_path)
    row, alone, twice = made.tokens(
        [Pair("six", "Zz", end=False), Pair("", "Zz", end=False), Pair("<s>six", "Zz", end=False)]
    )
    assert texts(words, row) == ("<s>six", "Zz", "")
    assert texts(words, alone) == ("<s>", "Zz", "")
    assert twice == row
    assert made.form(end=False)["begin"] == "<s>"


def test_templates(tmp_path: Path) -> None:
    words = tokenizer(tmp_path, chat=CHAT)
    chat = pairs_of(tmp_path)
    assert chat.template == "chat"
    assert chat.before(HI) == "<|u|>what is six\n<|a|>"
    assert words.convert_ids_to_tokens(chat.end_token) == "<|end|>"  # as the template ends a turn
    with pytest.raises(ValueError, match="no tools here"):
        chat.before(({"role": "tool", "content": "x"},))
    plain = pairs_of(tmp_path, "plain")
    assert plain.before((*HI, {"role": "assistant", "content": "42"})) == "what is six\n42\n"
    assert words.convert_ids_to_tokens(plain.end_token) == "</s>"
    assert pairs_of(tmp_path, "grape").before(HI) == "Question: what is six \n Answer: "


def test_no_chat_template(tmp_path: Path) -> None:
    tokenizer(tmp_path)
    assert pairs_of(tmp_path).template == "plain"
    with pytest.raises(UsageError, match="no chat template; use --template plain"):
        pairs_of(tmp_path, "chat")


def test_the_default_model_sees_what_its_template_renders() -> None:
    folder = smollm2()
    made = PairTokenizer(folder)
    words: Any = made._words
    for answer in ("It is 42.", "\n\nIt is Zoë’s \u4f60\u597d \U0001f600!", "  x"):
        row = made.tokens([Pair(made.before(HI), answer)])[0]
        whole = words.apply_chat_template(
            [*HI, {"role": "assistant", "content": answer}], return_dict=False
        )
        assert list(row.tokens) == whole[: len(row.tokens)]
        assert words.decode(whole[len(row.tokens) :]).strip() == ""
        assert answer.lstrip() in words.decode(row.tokens[row.first : row.stop])
        assert words.decode(row.tokens[: row.first]).rstrip().endswith("assistant")
