"""The verifier `regex`: against Python's own matching, and patterns that would hang it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.regex import Regex
from winnow.pipeline.verify.worker_pool import judged

VERIFIER = Regex()
PATTERNS = [
    r"ab",
    r"^a",
    r"b$",
    r"a+b?",
    r"(?:ab|ba)c",
    r"[^a]b",
    r"a{2}",
    r"(a)\1",
    r"a(?=b)",
    r"\d",
]


@settings(max_examples=300, deadline=None)
@given(st.text("abc1", min_size=1, max_size=8), st.sampled_from(PATTERNS), st.booleans())
def test_against_pythons_re(text: str, pattern: str, whole: bool) -> None:
    expected = (re.fullmatch if whole else re.search)(pattern, text)
    verdict = VERIFIER.verify(
        text, Task([], pattern, {"match": "fullmatch" if whole else "search"})
    )
    assert (verdict.verdict == "correct") == (expected is not None)
    assert verdict.extracted == (expected.group() if expected else None)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(a|aa)+$", "a" * 60 + "!"),
        (r"^(\w+\s?)*$", "word " * 30 + "!"),
        (r"(x+x+)+y", "x" * 60),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60),
    ],
)
def test_catastrophic_patterns_end(pattern: str, text: str) -> None:
    verdict = VERIFIER.verify(text, Task([], pattern, {"timeout_seconds": 0.05}))
    # The package answers some of them at once; the others end by the clock, and are never wrong.
    assert verdict.verdict == "wrong" or verdict.detail == "timeout"
    assert verdict.verdict != "correct"


@pytest.mark.parametrize("pattern", ["(", "[", "*a", "a{99999999999}", "(?<n>", "(" * 5_000])
def test_what_is_no_pattern_is_a_bad_reference(pattern: str) -> None:
    assert judged("regex", "a", Task([], pattern)).detail == "bad_reference"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=50), st.text("ab|()[]*+?.^$\\{}12", max_size=8))
def test_any_pattern_gets_a_verdict(text: str, pattern: str) -> None:
    verdict = judged("regex", text, Task([], pattern, {"timeout_seconds": 0.2}))
    assert not (verdict.detail or "").startswith("verifier_error")
