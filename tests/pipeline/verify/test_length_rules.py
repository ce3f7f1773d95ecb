"""Every rule of the verifier `length` is guarded by at least one labelled pair."""

from typing import Any

import pytest

from winnow.pipeline.contracts import Verdict
from winnow.pipeline.verify import extract, length, self_test

READ, WELL_FORMED, FIND = length.Length.Arguments.read, length.is_well_formed, extract.find

LENGTH, COUNT = length.length_reward, length.count


def without(*names: str) -> Any:
    return lambda args: READ({key: value for key, value in args.items() if key not in names})


def judges(*given: Any, **named: Any) -> Verdict:
    """A verdict that takes the prior for correctness."""
    verdict = Verdict(*given, **named)
    if verdict.verdict != "unjudged":
        return verdict
    reward = verdict.reward or 0.0
    return Verdict("correct" if reward > 1 else "wrong", reward, verdict.parts, None, None)


judges.unjudged = Verdict.unjudged  # type: ignore[attr-defined]


def only_lower(tokens: float, args: Any) -> str | None:
    return "too_short" if args.shortest is not None and tokens < args.shortest else None


def only_upper(tokens: float, args: Any) -> str | None:
    return "too_long" if args.longest is not None and tokens > args.longest else None


def open_limits(tokens: float, args: Any) -> str | None:
    if args.shortest is not None and tokens <= args.shortest:
        return "too_short"
    return "too_long" if args.longest is not None and tokens >= args.longest else None


RULES: dict[str, tuple[Any, str, Any]] = {
    "a prior is no verdict": (length, "Verdict", judges),
    "the rise is quadratic": (
        length,
        "length_reward",
        lambda tokens, largest, peak: (
            LENGTH(tokens, largest, peak) if tokens / largest > peak else tokens / largest / peak
        ),
    ),
    "the fall is quadratic": (
        length,
        "length_reward",
        lambda tokens, largest, peak: (
            LENGTH(tokens, largest, peak)
            if tokens / largest <= peak
            else 1 - 2 * (min(tokens / largest, 1) - peak) / (1 - peak)
        ),
    ),
    "cut off at -1": (
        length,
        "length_reward",
        lambda tokens, largest, peak: (
            LENGTH(min(tokens, largest), largest, peak) - max(0.0, tokens / largest - 1)
        ),
    ),
    "where the peak is": (
        length,
        "length_reward",
        lambda tokens, largest, peak: LENGTH(tokens, largest, 0.5),
    ),
    "a right format adds": (length, "combined", lambda value, _: value),
    "a wrong format only costs": (length, "combined", lambda value, right: value + right),
    "a wrong format costs": (length, "combined", lambda value, right: value + 1 if right else 0.0),
    "answers are marked": (length, "is_well_formed", lambda *_: True),
    "tags are marks": (extract, "find", lambda text, tags: FIND(text)),
    "words are no mathematics": (length, "_reads_as_math", lambda text: True),
    "formulas are mathematics": (length, "_reads_as_math", lambda text: text.isdigit()),
    "the form that is asked for": (length.Length.Arguments, "read", without("form")),
    "thoughts have no answer": (length, "spoken", str.strip),
    "thoughts count": (
        length,
        "count",
        lambda text, unit: COUNT(text.rpartition("</think>")[2], unit),
    ),
    "words by any white space": (
        length,
        "count",
        lambda text, unit: text.count(" ") + 1 if unit == "words" else len(text),
    ),
    "the unit": (length.Length.Arguments, "read", without("unit")),
    "tokens per unit": (length.Length.Arguments, "read", without("tokens_per_unit")),
    "the upper limit": (length, "_beyond", only_lower),
    "the lower limit": (length, "_beyond", only_upper),
    "limits are allowed themselves": (length, "_beyond", open_limits),
    "limits judge": (length.Length.Arguments, "read", without("shortest", "longest")),
}


def test_the_untouched_verifier_passes() -> None:
    score = self_test.run_here("length")
    assert score.passed
    assert min(score.accept, score.reject) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_pair_fails(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*RULES[rule])
    score = self_test.run_here("length")
    assert not score.passed
    missed = (*score.false_accepts, *score.false_rejects)
    # A rule is taken away, and nothing else broken.
    assert not any((miss.verdict.detail or "").startswith("verifier_error") for miss in missed)
