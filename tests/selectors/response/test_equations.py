"""Equations that are read from traces."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.selectors.response.equations import equations


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3 + 4 = 7", ["3+4=7"]),
        ("She pays $1,200 / 4 = $300 each.", ["1200/4=300"]),
        ("2 x (3 + 1) = 8 = 16/2", ["2*(3+1)=8=16/2"]),
        ("Total = 3 + 4 = 7", ["3+4=7"]),
        ("1+2=3. 4+5=9", ["1+2=3", "4+5=9"]),
        ("2(3+4)=14", ["2(3+4)=14"]),
        ("10% * 50 = 5", ["10%*50=5"]),
        ("8*-2 = -16", ["8*-2=-16"]),
        ("3+4=-7", ["3+4=-7"]),
        (r"\frac{1}{2} + 3 = 3.5 and $2 \times 3 = 6$, 8 ÷ 2 = 4", ["(1)/(2)+3=3.5", "2*3=6", "8/2=4"]),
        ("- 3+4=7\n1. 2+2=4\n2) 5-1=4\n-3+4=1", ["3+4=7", "2+2=4", "5-1=4", "-3+4=1"]),
        ("**3+4 = 7**, 2**3 = 8", ["3+4=7", "2^3=8"]),
        ("5 + .5 = 5.5", ["5+.5=5.5"]),
        ("1, 2 + 3 = 5", ["2+3=5"]),
        # no operation, no equals sign, no arithmetic
        ("a 5 = 5", []),
        ("3 + 4", []),
        ("(3+4=7", []),
        ("3 + = 7", []),
        ("3 4 = 7 1", []),
        # letters: a part that belongs to more is not an equation
        ("2x + 3 = 7", []),
        ("2x+3+1=7", []),
        ("x - 3 + 1 = 7", []),
        ("2x(3+1)=8", []),
        ("5 = x + 2 + 1", []),
        ("3 apples + 4 apples = 7 apples", []),
        ("gives -3+1 = -2 so", ["-3+1=-2"]),
    ],
)  # fmt: skip
def test_written_equations(text: str, found: list[str]) -> None:
    assert equations(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("She sold 48/2 = <<48/2=24>>24 clips, 48+24 = <<48+24=72>>72.", ["48/2=24", "48+24=72"]),
        ("She sold <<48/2=24>>24 clips", ["48/2=24"]),
        ("0.2 x 50 = $<<0.2*50=10>>10.", ["0.2*50=10"]),
        # the annotation is the equation, whatever the words around it say
        ("2 * 6 = <<6*2=12>>12", ["6*2=12"]),
        ("5 snakes * 6 = << 5 * 6 = 30 >>30 snakes", ["5*6=30"]),
        ("<<30>>30 and 3+4 = 7", ["3+4=7"]),
        ("one << two", []),
    ],
)
def test_annotations(text: str, found: list[str]) -> None:
    assert equations(text) == found


@given(st.text("0123456789.,+-*/^=() xX$%\n<>{}\\frac\x00a"))
def test_any_text_gives_arithmetic(text: str) -> None:
    for equation in equations(text):
        assert "=" in equation and " " not in equation


@given(st.lists(st.tuples(*[st.integers(0, 99)] * 2, st.sampled_from("+-*/")), max_size=5))
def test_what_was_written_is_read(parts: list[tuple[int, int, str]]) -> None:
    text = "".join(f"Then {a} {op} {b} = {a} units, {a}{op}{b}={b}.\n" for a, b, op in parts)
    assert equations(text) == [
        e for a, b, op in parts for e in (f"{a}{op}{b}={a}", f"{a}{op}{b}={b}")
    ]


@pytest.mark.parametrize(
    "text",
    ["1+" * 50_000, "(" * 100_000, "1=" * 50_000, "<<" * 50_000, " " * 100_000, "a " * 50_000,
     "1,111" * 20_000, "9" * 100_000, "\\frac{" * 20_000, ("a" + " " * 1000) * 100],
    ids=str.split("sum open equals marks spaces words commas digits fractions gaps"),
)  # fmt: skip
def test_hostile_text_ends(text: str) -> None:
    equations(text)


def test_gsm8k_with_and_without_annotations() -> None:
    path = Path(__file__).parents[4] / "shared" / "data" / "gsm8k_train.parquet"
    if not path.exists():
        pytest.skip("../shared/data/gsm8k_train.parquet is not there")
    import polars as pl

    solutions = pl.read_parquet(path)["solution"].head(1000).to_list()
    noted = [equations(text) for text in solutions]
    for text, found in zip(solutions, noted, strict=True):
        annotations = [re.sub(r"[\s,$]", "", a) for a in re.findall(r"<<(.*?)>>", text)]
        assert [a for a in annotations if "=" in a and a not in found] == []
    plain = [equations(re.sub(r"<<.*?>>", "", text)) for text in solutions]
    same = sum(a == b for a, b in zip(noted, plain, strict=True))
    assert same > 0.6 * len(solutions)  # the others write units or unknowns into their sums
