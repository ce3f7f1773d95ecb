import random
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from winnow.pipeline.clean import math_text, templates
from winnow.pipeline.clean.templates import template_id, template_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom has 3 apples.", "tom has # apples."),
        ("It costs $1,234.50!", "it costs $#!"),
        ("x = -5", "@1 = #"),
        ("x = \u22125", "@1 = #"),  # U+2212, the minus sign
        ("10-5", "#-#"),
        ("10 - 5", "# - #"),
        ("x-5", "@1-#"),
        ("(3)-4", "(#)-#"),
        ("3--4", "#-#"),
        ("x1 + x20", "@1 + @2"),
        ("1.5e-3 kg", "# kg"),
        ("the 1st, 2nd and 33rd", "the #, # and #"),
        ("[1,-2,30]", "[#]"),
        ("[1, -2, 30]", "[#, #, #]"),
        ("ends with 7.", "ends with #."),
        ("at .5 or 0.5", "at # or #"),
        ("1/2 of 50%", "#/# of #%"),
        ("\u0663 apples", "# apples"),  # an Arabic-Indic three
        ("three apples", "three apples"),
        ("w12 and w345", "w12 and w345"),  # digits in a word are part of its name
        ("covid19", "covid19"),
        ("solve 3x + 2y = 5", "solve #@1 + #@2 = #"),
        ("x_1 + x_{12}", "@1 + @2"),
        ("a dog and I", "a dog and i"),
        ("if a = 2, is a/2 even?", "if @1 = #, is @1/# even?"),
        (r"$\sin{x} + \frac{1}{2}y$", r"$\sin{@1} + \frac{#}{#}@2$"),
        (r"$\text{area} = ab$", r"$\text{area} = @1@2$"),
        ("it's e.g. 5 p.m.", "it's e.g. # p.m."),
        ("x\u00b2", "@1^#"),
        ("Which? (A) red (B) blue", "which? [blue | red]"),
    ],
)
def test_vectors(text: str, expected: str) -> None:
    assert template_text(text) == expected


WORDS = st.lists(st.text("abcdefghij", min_size=1, max_size=6), min_size=1, max_size=6)
NUMBERS = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.integers(0, 10**12).map("{:,}".format),
    st.decimals(-1000, 1000, places=2).map(str),
    st.integers(1, 99).map(lambda n: f"+{n}"),
)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def fill(words: list[str], numbers: list[str]) -> str:
    return " ".join(f"{w} {n}" for w, n in zip(words, numbers, strict=True))


@settings(deadline=None)
@given(st.data(), WORDS)
def test_other_numbers_are_the_same_template(data: st.DataObject, words: list[str]) -> None:
    two = [data.draw(st.lists(NUMBERS, min_size=len(words), max_size=len(words))) for _ in "ab"]
    first, second = (fill(words, numbers) for numbers in two)
    assert template_id(user(first)) == template_id(user(second))
    assert template_id(user(first.upper().replace(" ", " \n"))) == template_id(user(second))


@settings(deadline=None)
@given(st.data(), WORDS)
def test_another_word_is_another_template(data: st.DataObject, words: list[str]) -> None:
    numbers = data.draw(st.lists(NUMBERS, min_size=len(words), max_size=len(words)))
    at = data.draw(st.integers(0, len(words) - 1))
    changed = [*words[:at], words[at] + "x", *words[at + 1 :]]
    assert template_id(user(fill(words, numbers))) != template_id(user(fill(changed, numbers)))


def test_the_system_message_and_roles_count() -> None:
    bare = user("What is 1 + 1?")
    with_system = [{"role": "system", "content": "Be brief."}, *bare]
    other_role = [{"role": "assistant", "content": "Be brief."}, *bare]
    assert len({template_id(m) for m in (bare, with_system, other_role)}) == 3


def test_a_hostile_million_characters_is_one_number() -> None:
    assert template_text("1,1." * 250_000 + "1") == "#"
    assert template_text("-+" * 500_000) == "-+" * 500_000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Solve x + 3 = y for x.", "Solve p + 10 = q for p."),
        ("Let $f(x)=x^2$. Find $f(3)$.", "Let $g(t)=t^5$. Find $g(12)$."),
        (
            "What is it?\nA) red\nB) blue\nC) green\nAnswer.",
            "What is it?\nA) green\nB) red\nC) blue\nAnswer.",
        ),
        ("Is it (A) 3 or (B) x?", "Is it (A) 7 or (B) y?"),
        ("Pick.\nOptions: yes, no", "Pick.\nOptions: no, yes"),
        (r"$\textbf{(A)}\ x \qquad\textbf{(B)}\ 2$", r"$\textbf{(A)}\ 7 \qquad\textbf{(B)}\ t$"),
    ],
)
def test_one_template(one: str, other: str) -> None:
    assert template_id(user(one)) == template_id(user(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find x + y given x.", "Find x + y given y."),
        ("A red dog", "B red dog"),
        ("Pick.\nOptions: yes, no", "Pick.\nOptions: yes, maybe"),
        (r"$\sin x$", r"$\cos x$"),
        ("w12 w13", "w12 w14"),
    ],
)
def test_two_templates(one: str, other: str) -> None:
    assert template_id(user(one)) != template_id(user(other))


TOKENS = st.sampled_from(
    str.split(
        "tom isn't w12 x1 x a i + - = 3 $5, (4) 10-5 ( ) e.g. y_1 \\alpha a. 'x' 1,2 -3 .5 3rd *"
    )
)


@settings(deadline=None)
@given(st.lists(TOKENS, max_size=20).map(" ".join))
@example("a + tom")
def test_skipping_plain_words_changes_nothing(text: str) -> None:
    """Runs of other tokens are read by themselves; here the whole text is read at once."""

    def mark(found: re.Match[str]) -> str:
        article = math_text.is_article(found.string, *found.span())
        return found[0] if article else f"<{found[0]}>"

    assert templates._masked_prose(text, mark) == templates._PROSE.sub(mark, text)


@pytest.mark.parametrize("piece", ["$", "\\(", "(a)", "x_", "1,", "-", "\\", "{", "½", "x1 "])
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    template_text(piece * 100_000)


def test_gsm8k_with_other_numbers_is_the_same_templates() -> None:
    path = Path(__file__).parents[3] / ".." / "shared" / "data" / "gsm8k_test.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    texts = pq.read_table(path)["question"].to_pylist()
    draw = random.Random(0)
    for text in texts:
        changed = re.sub(r"(?<!\w)\d+", lambda _: str(draw.randrange(1, 1000)), text)
        assert template_id(user(changed)) == template_id(user(text))
