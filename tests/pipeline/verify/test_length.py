"""The verifier `length`: the paper's vectors, the curve's shape, and that it judges limits only."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.length import Length, combined, is_well_formed, length_reward
from winnow.pipeline.verify.worker_pool import judged

VERIFIER = Length()


@pytest.mark.parametrize(
    ("x", "reward"), [(0, 0.0), (0.1, 0.36), (0.25, 0.75), (0.5, 1.0), (0.75, 0.5), (1, -1.0)]
)
def test_vectors(x: float, reward: float) -> None:
    assert length_reward(x * 3072, 3072, 0.5) == pytest.approx(reward)


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1e7), st.floats(1, 1e5), st.floats(0.05, 0.95))
def test_the_curve(tokens: float, largest: float, peak: float) -> None:
    reward = length_reward(tokens, largest, peak)
    assert -1 <= reward <= 1
    assert reward <= length_reward(peak * largest, largest, peak) == pytest.approx(1)
    assert length_reward(0, largest, peak) == pytest.approx(0)
    assert length_reward(largest, largest, peak) == pytest.approx(-1)
    closer = (tokens + peak * largest) / 2
    assert length_reward(closer, largest, peak) >= reward - 1e-9


@pytest.mark.parametrize(
    ("length", "well_formed", "reward"),
    [(0.75, True, 1.75), (-1.0, True, 0.0), (0.75, False, 0.0), (-1.0, False, -1.0)],
)
def test_a_wrong_format_can_only_cost(length: float, well_formed: bool, reward: float) -> None:
    assert combined(length, well_formed) == reward
    if not well_formed:  # the paper's other form, with format 0
        assert combined(length, well_formed) == min(0.0, 0.0 + length)


@pytest.mark.parametrize(
    ("text", "well_formed"),
    [
        (r"\boxed{42}", True),
        (r"\boxed{\frac{x^2+1}{2}}", True),
        ("The answer is 1,000.", True),
        ("#### (1, 2)", True),
        ("<answer>50\\%</answer>", True),
        ("The answer is no idea.", False),
        (r"\boxed{}", False),
        (r"\boxed{x=}", False),
        ("42", False),
        ("<think>\\boxed{42}</think>", False),
    ],
)
def test_what_a_mathematical_answer_is(text: str, well_formed: bool) -> None:
    assert is_well_formed(text, "math") == well_formed


def test_a_prior_never_judges() -> None:
    verdict = VERIFIER.verify(r"so \boxed{4}", Task([], None, {"largest": 4.0}))
    assert (verdict.verdict, verdict.reward, verdict.detail) == ("unjudged", 2.0, "ranking_only")
    assert verdict.parts == {"length": 1.0, "format": 1.0, "tokens": 2.0}


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=100), st.integers(0, 20), st.integers(0, 20))
def test_limits_judge(text: str, shortest: int, longest: int) -> None:
    args = {"shortest": float(shortest), "longest": float(longest), "form": "any"}
    verdict = judged("length", text, Task([], None, args))
    if shortest > longest:
        assert verdict.verdict == "unjudged"
    else:
        within = shortest <= len(text.split()) <= longest and bool(text.strip())
        assert verdict.verdict == ("correct" if within else "wrong")


@pytest.mark.parametrize(
    "text", ["a " * 10**6, r"\boxed{" + "9" * 100_000 + "}", r"\boxed{" + "(" * 10_000 + "}"]
)
def test_hostile_answers_get_no_verdict_from_a_prior(text: str) -> None:
    assert judged("length", text, Task([], None)).detail == "ranking_only"
