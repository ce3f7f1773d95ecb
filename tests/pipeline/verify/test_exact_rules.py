"""Every rule of the verifier `exact` is guarded by at least one labelled pair."""

from typing import Any

import pytest

from winnow.pipeline.verify import exact, extract, self_test


def unchanged(text: str, *_: Any) -> str:
    return text


def first_marked(text: str, **_: Any) -> Any:
    """`find` that takes the first of two tagged answers."""
    start, end = text.find("<answer>"), text.find("</answer>")
    return extract.Found("tag", text[start + 8 : end].strip()) if start >= 0 else FIND(text)


def every_mark_drops(text: str) -> str:
    import unicodedata

    return "".join(c for c in text if not unicodedata.category(c).startswith("P"))


FIND = extract.find
KEY = exact._key
REFERENCES, STATED = exact.references, exact.stated


def key_without(**changed: Any) -> Any:
    """`_key` with other arguments than the pair's."""
    return lambda text, args: KEY(text, args.model_copy(update=changed))


RULES: dict[str, tuple[Any, str, Any]] = {
    "thoughts are not read": (exact, "spoken", str.strip),
    "a marked answer decides": (extract, "find", lambda *_, **__: None),
    "tags are marks": (extract, "find", lambda text, tags: FIND(text)),
    "the last tag decides": (extract, "find", first_marked),
    "the last line answers a line": (extract, "last_line", unchanged),
    "the first sentence of a phrase": (extract, "first_sentence", unchanged),
    "the end of a phrase": (exact, "_without_end", unchanged),
    "the full stop of a phrase": (exact, "_without_full_stop", unchanged),
    "Markdown and quotes": (exact, "bare", unchanged),
    "fences": (extract, "unwrapped", unchanged),
    "text in LaTeX": (exact, "without_latex_text", unchanged),
    "composed characters and straight quotes": (exact, "one_spelling", unchanged),
    "white space": (exact, "one_space", unchanged),
    "white space where it counts": (exact, "_key", key_without(whitespace=False)),
    "case counts": (exact, "_key", key_without(case=False)),
    "case where it does not count": (exact, "_key", key_without(case=True)),
    "punctuation counts": (exact, "_key", key_without(punctuation=False)),
    "punctuation where it does not count": (exact, "_key", key_without(punctuation=True)),
    "punctuation with a value": (exact, "without_punctuation", every_mark_drops),
    "several answers": (exact, "references", lambda answer, _: [answer] if answer else []),
    "a list is one text": (exact, "references", lambda answer, _: REFERENCES(answer, True)),
    "the whole text": (exact, "stated", lambda text, wanted, whole: STATED(text, wanted)),
    "a reference says something": (exact, "references", lambda answer, _: [answer or ""]),
}


def test_the_untouched_verifier_passes() -> None:
    score = self_test.run_here("exact")
    assert score.passed
    assert min(score.accept, score.reject) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_pair_fails(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*RULES[rule])
    score = self_test.run_here("exact")
    assert not score.passed
    missed = (*score.false_accepts, *score.false_rejects)
    # A rule is taken away, and nothing else broken.
    assert not any((miss.verdict.detail or "").startswith("verifier_error") for miss in missed)
