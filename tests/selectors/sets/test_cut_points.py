"""Where a prefix of a demonstration may end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.verify import extract
from winnow.selectors.sets.cut_points import answer_start, cut_points, sentence_ends

CODE = "Use a loop.\n\n```python\nx = 1.\ny = 2\n```\nThat is it. Done now."


def prefixes(text: str) -> list[str]:
    return [text[: cut.character] for cut in cut_points(text)]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("One. Two! Three? Four", ["One.", "One. Two!", "One. Two! Three?"]),
        ('He said "no." Then left.', ['He said "no."', 'He said "no." Then left.'][:1]),
        ("3.14 is pi. So it is", ["3.14 is pi."]),
        ("See e.g. this. And that", ["See e.g. this."]),
        ("1. First\n2. Second\nend", ["1. First", "1. First\n2. Second"]),
        ("答案很简单。所以。完", ["答案很简单。", "答案很简单。所以。"]),
        ("a line\n\nanother line  \nend", ["a line", "a line\n\nanother line"]),
        ("no end at all", []),
        ("", []),
    ],
)
def test_ends_of_sentences(text: str, ends: list[str]) -> None:
    found = [text[:at] for at in sentence_ends(text) if at < len(text.rstrip())]
    assert found == ends


def test_code_and_displayed_mathematics_are_one_piece() -> None:
    assert prefixes(CODE) == ["Use a loop."]
    text = "We have \\[ x = 1.\n y = 2. \\] and more. The end is near. Answer: 3"
    assert prefixes(text)[0] == "We have \\[ x = 1.\n y = 2. \\] and more."


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("First. Then \\boxed{1}. Wait. So \\boxed{2}. Done.", "First. Then "),
        ("First. Second.\n#### 12\n", "First. Second.\n"),
        ("Well. <answer>3</answer>", "Well. "),
        ("Well. The answer is 3. Bye.", "Well. The answer is "),
        ("Well. Then. The last words.", "Well. Then."),
        ("Just words", ""),
    ],
)
def test_the_final_answer_begins(text: str, start: str) -> None:
    assert text[: answer_start(text)] == start


def test_what_is_thought_is_no_final_answer() -> None:
    text = "<think>Perhaps \\boxed{1}. Or not.</think>Well. It is \\boxed{2}."
    assert prefixes(text)[-1].endswith("Well.")
    assert "<think>Perhaps \\boxed{1}." in prefixes(text)


def test_an_end_inside_a_token_moves_to_the_token_s_end() -> None:
    text = "One. Two. Three. So 4"
    tokens = [(0, 3), (3, 8), (8, 9), (9, 15), (15, 16), (16, 21)]  # ". Two" is one token
    found = cut_points(text, tokens)
    assert [(cut.character, cut.token) for cut in found] == [(8, 2), (9, 3), (16, 5)]
    assert [cut.share for cut in found] == [2 / 6, 3 / 6, 5 / 6]


def test_cuts_are_within_the_share() -> None:
    text = "One. Two. Six. Ten. So 4"
    assert [cut.character for cut in cut_points(text, share=(0.3, 0.7))] == [9, 14]


SENTENCES = st.lists(
    st.sampled_from(
        ["So it is. ", "And x = 3.5! ", "```\na. b\n```\n", "\\boxed{5} ", "#### 7\n", "\n\n",
         "The answer is 9. ", "<answer>1</answer>", "</think>", "\\[ a. b \\] ", "1. ", "what"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(SENTENCES, st.integers(1, 5))
def test_no_prefix_gives_the_answer_away(text: str, width: int) -> None:
    tokens = [(at, min(at + width, len(text))) for at in range(0, len(text), width)]
    found = extract.find(text, tags=True)
    form = found.form if found else None
    offset = len(text) - len(extract.after_thinking(text))
    for cuts in (cut_points(text), cut_points(text, tokens)):
        places = [cut.character for cut in cuts]
        assert places == sorted(set(places))
        assert all(0 < at < len(text) for at in places)
        assert all(0 < cut.share < 1 for cut in cuts)
        for at in places:
            assert at <= answer_start(text)
            before = text[offset:at]  # behind the thoughts
            if form in ("boxed", "tag"):
                assert ("\\boxed" if form == "boxed" else "<answer>") not in before
            if form == "hashes":
                assert "####" in text[at:]
    for cut in cut_points(text, tokens):
        assert cut.token is not None and tokens[cut.token - 1][1] == cut.character
