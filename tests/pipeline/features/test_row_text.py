"""Which columns are a row's prompt and response."""

from typing import Any

import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.row_text import PROMPTS, RESPONSES, RowColumns, RowText


def read(row: dict[str, Any], **chosen: str) -> RowText:
    return RowColumns.of(list(row), **chosen).read(row)


def user(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": text},)


def test_names_go_in_order() -> None:
    row = {name: f"p {name}" for name in PROMPTS} | {name: f"r {name}" for name in RESPONSES}
    for prompts, responses in [(PROMPTS, RESPONSES), (PROMPTS[::-1], RESPONSES[::-1])]:
        assert prompts[0] and responses[0]
    for at in range(len(PROMPTS)):
        kept = {k: v for k, v in row.items() if k not in (*PROMPTS[:at], *RESPONSES[:at])}
        assert read(kept) == RowText(user(f"p {PROMPTS[at]}"), f"r {RESPONSES[at]}")


def test_instruction_has_an_input() -> None:
    row = {"instruction": "Add.", "input": "1, 2", "output": "3"}
    assert read(row) == RowText(user("Add.\n\n1, 2"), "3")
    assert read(row | {"input": ""}) == RowText(user("Add."), "3")
    assert RowColumns.of(list(row)).needed(list(row)) == ["instruction", "output", "input"]
    assert read({"question": "Add.", "input": "1, 2", "output": "3"}).prompt == "Add."


def test_messages() -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]
    found = read({"messages": turns, "prompt": "other"})
    assert (found.messages, found.response) == (tuple(turns[:2]), "Hello")
    assert found.prompt == "Hi"
    own = read({"messages": turns, "completion": "Good day"})
    assert (own.messages, own.response) == (tuple(turns), "Good day")
    assert read({"messages": turns, "completion": None}).response == "Hello"
    assert read({"messages": turns[:2]}) == RowText(tuple(turns[:2]), None)
    both = read({"prompt": turns[:2], "completion": turns[2:]})
    assert (both.messages, both.response) == (tuple(turns[:2]), "Hello")


def test_chosen_columns() -> None:
    row = {"prompt": "p", "mine": "m", "completion": "c", "theirs": "t"}
    assert read(row, prompt="mine", response="theirs") == RowText(user("m"), "t")
    assert read({"text": "all of it"}, response="text") == RowText((), "all of it")
    assert read({"question": "q", "answer": "a"}, reference="answer") == RowText(user("q"), None)
    with pytest.raises(UsageError, match="no column 'nix' .--prompt-column.*prompt, mine"):
        read(row, prompt="nix")
    with pytest.raises(UsageError, match="no column with a prompt"):
        read({"id": 1})


@pytest.mark.parametrize(
    "bad",
    [None, "", "  \n", 3, [], {"a": 1}, [1], [{"role": "user"}], [{"role": 1, "content": ""}]],
)
def test_what_is_no_text_is_missing(bad: Any) -> None:
    assert read({"prompt": bad, "completion": "c"}) == RowText((), "c")
    assert read({"prompt": "p", "completion": bad}) == RowText(user("p"), None)


def test_lone_surrogates_are_replaced() -> None:
    assert read({"prompt": "a\ud800b", "completion": "\ud800"}) == RowText(user("a?b"), "?")
