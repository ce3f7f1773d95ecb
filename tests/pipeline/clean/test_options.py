import pytest

from winnow.pipeline.clean.options import find


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("Which?\nA) red\nB) blue", ("red", "blue")),
        ("Which?\n(A) red\n\n(B) blue\n(C) green\nThink first.", ("red", "blue", "green")),
        ("Which?\nA. red\nB. blue", ("red", "blue")),
        ("Which?\na: red\nb: blue", ("red", "blue")),
        ("Which?\n- **A.** red\n- **B.** blue", ("red", "blue")),
        ("Which? (A) red (B) blue", ("red", "blue")),
        ("Which? A) red, B) blue, C) green", ("red", "blue", "green")),
        ("Which? [A] red [B] blue", ("red", "blue")),
        (
            r"Which? $\textbf{(A)}\ 1 \qquad \textbf{(B)}\ 2 \qquad \textbf{(C)}\ 3$",
            ("1", "2", "3"),
        ),
        ("Choose.\nOptions: red, blue, green", ("red", "blue", "green")),
        ("Choose.\nChoices:\n- red\n- blue\n\nThink.", ("red", "blue")),
        ("OPTIONS:\n1. red\n2. blue", ("red", "blue")),
    ],
)
def test_lists(text: str, texts: tuple[str, ...]) -> None:
    found = find(text)
    assert found is not None
    assert found.texts == texts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I have a. dog",
        "Vitamin A. Then vitamin C.",
        "(B) red (C) blue",
        "f(a) and f(b)",
        "We have many options: read on",
        "A) red",
        "Steps:\n1. do\n2. stop",
    ],
)
def test_no_list(text: str) -> None:
    assert find(text) is None


def test_what_stands_around_is_kept() -> None:
    found = find("Which is it?\nA) red\nB) blue\nAnswer with a letter.")
    assert found is not None
    assert found.before == "Which is it?"
    assert found.after == "Answer with a letter."


@pytest.mark.parametrize("piece", ["A) ", "(a)", "A.\n", "options:", "options: ,", "- x\n", "**"])
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    find(piece * 100_000)
