import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.clean.templates import template_id, template_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom has 3 apples.", "tom has # apples."),
        ("It costs $1,234.50!", "it costs $#!"),
        ("x = -5", "x = #"),
        ("x = \u22125", "x = #"),  # U+2212, the minus sign
        ("10-5", "#-#"),
        ("10 - 5", "# - #"),
        ("x-5", "x-#"),
        ("(3)-4", "(#)-#"),
        ("3--4", "#-#"),
        ("x1 + x20", "x# + x#"),
        ("1.5e-3 kg", "# kg"),
        ("the 1st, 2nd and 33rd", "the #, # and #"),
        ("[1,-2,30]", "[#]"),
        ("[1, -2, 30]", "[#, #, #]"),
        ("ends with 7.", "ends with #."),
        ("at .5 or 0.5", "at # or #"),
        ("1/2 of 50%", "#/# of #%"),
        ("\u0663 apples", "# apples"),  # an Arabic-Indic three
        ("three apples", "three apples"),
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


@given(st.data(), WORDS)
def test_other_numbers_are_the_same_template(data: st.DataObject, words: list[str]) -> None:
    two = [data.draw(st.lists(NUMBERS, min_size=len(words), max_size=len(words))) for _ in "ab"]
    first, second = (fill(words, numbers) for numbers in two)
    assert template_id(user(first)) == template_id(user(second))
    assert template_id(user(first.upper().replace(" ", " \n"))) == template_id(user(second))


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
