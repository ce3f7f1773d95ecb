"""Correct code beside the most similar wrong code."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.sets.made_up import by_task, ledger, signals
from winnow.pipeline.recipe import FaitSet
from winnow.selectors.sets.code_diff import difference, edit_ratio, lines, same_code
from winnow.selectors.sets.fait import fait

RIGHT = "def f(x):\n    y = x + 1\n    return y\n"
NEAR = "def f(x):\n    y = x - 1\n    return y\n"
FAR = "def f(x):\n    z = x - 1\n    return z\n"
COMMENT = "def f(x):\n    # add one\n    y = x + 1\n\n    return y\n"
LONGER = "def f(x):\n    y = x + 1\n    y = 0\n    return y\n"


def fenced(code: str) -> str:
    return f"Here it is:\n\n```python\n{code}```\n"


def test_the_nearest_wrong_code_is_taken_and_what_differs_is_marked() -> None:
    texts = {"a0": fenced(FAR), "a1": fenced(RIGHT), "a2": fenced(NEAR), "a3": fenced(COMMENT)}
    found = fait(FaitSet(), signals({"a": "wcww"}, texts=texts))
    row = by_task(found)["a"]
    assert (row["correct_rollout_id"], row["wrong_rollout_id"]) == ("a1", "a2")
    assert row["line_spans"] == [{"start": 1, "end": 2}]
    (span,) = row["char_spans"]
    code = row["correct"]
    assert code[span["start"] : span["end"]] == "+"
    assert row["edit_ratio"] == pytest.approx(1 - 4 / 6)
    assert row["completion"][0]["content"][row["code_at"] :].startswith(code)


def test_what_makes_no_pair_says_why() -> None:
    texts = {
        "a0": fenced(RIGHT), "a1": fenced(FAR),
        "b0": fenced(RIGHT), "b1": fenced(COMMENT),
        "d0": fenced(RIGHT), "d1": fenced(LONGER),
        "e0": fenced(RIGHT), "e1": fenced("print('x')\n"),
        "f0": fenced(RIGHT), "f1": "I cannot do that",
    }  # fmt: skip
    tasks = dict.fromkeys("abdef", "cw")
    assert ledger(fait(FaitSet(), signals(tasks, texts=texts))) == {
        "a": ("dropped", "too_different"),
        "b": ("dropped", "same_code"),
        "d": ("dropped", "nothing_changed"),
        "e": ("dropped", "too_different"),
        "f": ("dropped", "one_sided"),
    }
    loose = fait(FaitSet(max_edit_ratio=0.7), signals(tasks, texts=texts))
    assert ledger(loose)["a"] == ("kept", "selected")


def test_the_code_is_what_the_verifier_ran() -> None:
    given_ = signals(
        {"a": "cw"},
        texts={"a0": "words", "a1": "other words"},
        extracted={"a0": RIGHT, "a1": NEAR},
        verifier="python",
    )
    row = by_task(fait(FaitSet(), given_))["a"]
    assert (row["correct"], row["wrong"], row["code_at"]) == (RIGHT, NEAR, None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (RIGHT, COMMENT, True),
        (RIGHT, RIGHT.replace("    ", "\t"), True),
        (RIGHT, NEAR, False),
        ("x = '# a'\n", "x = '# b'\n", False),
        ("if x:\n    a()\nb()\n", "if x:\n    a()\n    b()\n", False),
        ("def f(:\n    # one\n    x\n", "def f(:\n\n    x  \n", True),  # no Python
        ("def f(:\n    x\n", "def f(:\n    y\n", False),
    ],
)
def test_comments_and_white_space_are_no_difference(one: str, other: str, same: bool) -> None:
    assert same_code(one, other) is same


def test_changed_lines_of_great_length_are_marked_whole() -> None:
    ours, theirs = "x = '" + "a" * 3000 + "'\n", "x = '" + "b" * 3000 + "'\n"
    found = difference(ours, theirs)
    assert found.characters == [(0, len(ours) - 1)]


CODE = st.lists(
    st.sampled_from(["a = 1", "b = 2", "    return a", "", "# note", "a = 12"]), max_size=8
).map(lambda found: "\n".join(found) + "\n" * bool(found))


@settings(max_examples=200, deadline=None)
@given(CODE, CODE)
def test_spans_lie_in_the_correct_code_and_the_rest_is_in_the_wrong_code(
    ours: str, theirs: str
) -> None:
    found = difference(ours, theirs)
    own = lines(ours)
    assert 0 <= found.ratio <= 1
    assert found.ratio == edit_ratio(ours, theirs)
    assert (found.ratio == 0) == (own == lines(theirs))
    changed = {at for start, end in found.lines for at in range(start, end)}
    left = iter(lines(theirs))
    # The other lines stand in the wrong code, in the same order.
    assert all(
        any(line == other for other in left) for at, line in enumerate(own) if at not in changed
    )
    starts = [sum(len(line) + 1 for line in own[:at]) for at in range(len(own))]
    inside = [(starts[at], starts[at] + len(own[at])) for at in sorted(changed)]
    for start, end in found.characters:
        assert start < end <= len(ours)
        assert any(a <= start for a, _ in inside) and any(end <= b for _, b in inside)
