"""Every rule of the verifier `regex` is guarded by at least one labelled pair."""

from typing import Any

import pytest

from winnow.pipeline.verify import extract, regex, self_test
from winnow.pipeline.verify.literals import spoken

MATCH, COMPILED = regex._match, regex._compiled
READ, FIND = regex.Regex.Arguments.read, extract.find


def with_arguments(**changed: Any) -> Any:
    """`_match` and `_compiled` with other arguments than the pair's."""
    return lambda first, *rest: ORIGINAL[len(rest)](
        first, *rest[:-1], rest[-1].model_copy(update=changed)
    )


ORIGINAL: dict[int, Any] = {1: COMPILED, 2: MATCH}


def no_pattern(pattern: str | None, args: Any) -> Any:
    """`_compiled` that takes what is no pattern for one that finds nothing."""
    return COMPILED(pattern, args) or COMPILED("(?!)", args)


def gives_up(compiled: Any, text: str, args: Any) -> Any:
    """`_match` that takes a time-out for a text without a match."""
    try:
        return MATCH(compiled, text, args)
    except TimeoutError:
        return None


RULES: dict[str, tuple[Any, str, Any]] = {
    "thoughts are not read": (regex, "spoken", str.strip),
    "the pattern may be somewhere": (regex, "_match", with_arguments(match="fullmatch")),
    "the whole text": (regex, "_match", with_arguments(match="search")),
    "flags": (regex, "_compiled", with_arguments(flags=[])),
    "no flags but those named": (
        regex,
        "_compiled",
        with_arguments(flags=["IGNORECASE", "MULTILINE", "DOTALL", "ASCII"]),
    ),
    "the argument comes before the answer": (
        regex.Regex.Arguments,
        "read",
        lambda args: READ({key: value for key, value in args.items() if key != "pattern"}),
    ),
    "the answer is a pattern": (
        regex.Regex.Arguments,
        "read",
        lambda args: READ({"pattern": "b", **args}),
    ),
    "only the marked answer": (regex, "_text", lambda text, args: spoken(text)),
    "tags mark answers": (extract, "find", lambda text, tags: FIND(text)),
    "bad patterns": (regex, "_compiled", no_pattern),
    "patterns that accept more than nothing": (
        regex,
        "_accepts_everything",
        lambda compiled, args: MATCH(compiled, "", args) is not None,
    ),
    "patterns that accept everything": (regex, "_accepts_everything", lambda *_: False),
    "time-outs": (regex, "_match", gives_up),
}


def test_the_untouched_verifier_passes() -> None:
    score = self_test.run_here("regex")
    assert score.passed
    assert min(score.accept, score.reject) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_pair_fails(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*RULES[rule])
    score = self_test.run_here("regex")
    assert not score.passed
    missed = (*score.false_accepts, *score.false_rejects)
    # A rule is taken away, and nothing else broken.
    assert not any((miss.verdict.detail or "").startswith("verifier_error") for miss in missed)
