"""What a program printed against what it should have printed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.verify.python_output import same_output


@pytest.mark.parametrize(
    ("expected", "printed", "tolerance", "answer"),
    [
        ("1\n2\n", "1\n2", 0.0, True),
        ("1\n2", "1  \n2\t\n\n\n", 0.0, True),
        ("1\r\n2\r\n", "1\n2\n", 0.0, True),
        ("", "\n \n", 0.0, True),
        ("1\n\n2", "1\n2", 0.0, False),
        ("1", "\n1", 0.0, False),
        ("1", " 1", 0.0, False),
        ("1 2", "1  2", 0.0, False),
        ("1", "1.0", 0.0, False),
        ("yes", "YES", 0.0, False),
        ("", "0", 0.0, False),
        ("1.0", "1.0000001", 1e-6, True),
        ("1.0", "1.00001", 1e-6, False),
        ("1e6", "1000000.5", 1e-6, True),
        ("1 a", "1.0 a", 1e-6, True),
        ("1 a", "1.0 b", 1e-6, False),
        ("1\n2", "1 2", 1e-6, False),
        ("nan", "nan", 1e-6, True),
        ("nan", "1", 1e-6, False),
        ("inf", "1e999", 1e-6, False),
        ("1", "1e99999999", 1e-6, False),
        ("1e99999999", "2e99999999", 1e-6, False),
        ("1_000", "1000", 0.0, False),
    ],
)  # fmt: skip
def test_output_is_compared(expected: str, printed: str, tolerance: float, answer: bool) -> None:
    assert same_output(expected, printed, tolerance) is answer


@given(st.text(), st.sampled_from([0.0, 1e-6]))
def test_any_output_is_the_same_as_itself(text: str, tolerance: float) -> None:
    assert same_output(text, text, tolerance)
    assert same_output(text, f"{text}  \n\n", tolerance)


@given(st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3))
def test_numbers_within_a_tolerance(one: Any, other: Any) -> None:
    close = abs(one - other) <= max(1, abs(one)) / 2
    assert same_output(str(one), str(other), 0.5) == (close or one == other)
