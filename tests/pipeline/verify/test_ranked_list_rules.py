"""Every rule of the verifier `ranked_list` is guarded by at least one labelled pair."""

import re
from typing import Any

import pytest

from winnow.pipeline.verify import extract, ranked_list, self_test
from winnow.pipeline.verify.ranked_list import Gains

NEVER = re.compile(r"(?!)")
FIND, KEY, GAINS, NDCG = extract.find, ranked_list._key, ranked_list.ranked_gains, ranked_list.ndcg
GOES_ON, REFERENCES, SPELLINGS = (
    ranked_list._goes_on,
    ranked_list.references,
    ranked_list._spellings,
)
READ = ranked_list.RankedList.Arguments.read


def unchanged(text: str, *_: Any) -> str:
    return text


def without_sharing(items: Any, gold: Any, limit: int) -> list[float]:
    """`ranked_gains` where every spelling of one item gains."""
    return [float(any(ranked_list._key(item) in one for one in gold)) for item in items[:limit]]


def limit_counts_all(items: Any, gold: Any, limit: int) -> list[float]:
    return GAINS(items[:limit], gold, limit)


def whole_item_only(item: str) -> list[str]:
    return [KEY(item)]


def dash_only(item: str) -> list[str]:
    return [KEY(item), KEY(ranked_list._DASH.split(item)[0])]


def emphasis_only(item: str) -> list[str]:
    match = ranked_list._EMPHASISED.fullmatch(item)
    return [KEY(item), KEY(match[2] if match else item)]


def first_gold(answer: str | None) -> list[Gains] | None:
    found = REFERENCES(answer)
    return found[:1] if found else found


def any_reference(answer: str | None) -> list[Gains]:
    return REFERENCES(answer) or [{"paris": 1.0}]


def equal_gains(item: Any, gain: Any) -> Gains | None:
    found = SPELLINGS(item, gain)
    return dict.fromkeys(found, 1.0) if found else found


def one_spelling(item: Any, gain: Any) -> Gains | None:
    return SPELLINGS(item[0] if isinstance(item, list) and item else item, gain)


RULES: dict[str, tuple[Any, str, Any]] = {
    "thoughts are not read": (ranked_list, "spoken", str.strip),
    "a marked list decides": (extract, "find", lambda *_, **__: None),
    "tags are marks": (extract, "find", lambda text, tags: FIND(text)),
    "the first sentence of a phrase": (extract, "first_sentence", unchanged),
    "fences": (ranked_list, "unfenced", unchanged),
    "JSON lists": (ranked_list, "_json_items", lambda text: []),
    "lists with lines": (ranked_list, "_last_list", lambda text: []),
    "the last list": (ranked_list, "_goes_on", lambda *_: True),
    "the number 1 begins a list": (
        ranked_list,
        "_goes_on",
        lambda number, new, interrupted: bool(number and new) or GOES_ON(number, new, interrupted),
    ),
    "only the number 1 begins a list": (
        ranked_list,
        "_goes_on",
        lambda number, new, interrupted: new == number + 1 or (new == number and not interrupted),
    ),
    "Markdown's ones": (
        ranked_list,
        "_goes_on",
        lambda number, new, interrupted: new != 1 and GOES_ON(number, new, interrupted),
    ),
    "numbers in one line": (ranked_list, "_SECOND", NEVER),
    "numbers are no part of items": (ranked_list, "_NUMBER", NEVER),
    "labels": (ranked_list, "_LABEL", NEVER),
    "separators": (ranked_list, "_SEPARATOR", re.compile(r"\s*,\s*")),
    "commas": (ranked_list, "_SEPARATOR", re.compile(r"\s*[;>\n]\s*")),
    "Markdown and quotes": (ranked_list, "bare", unchanged),
    "text in LaTeX": (ranked_list, "without_latex_text", unchanged),
    "white space": (ranked_list, "one_space", unchanged),
    "case": (ranked_list, "_key", lambda text: text.strip(' "*`.')),
    "before a dash or emphasised": (ranked_list, "_keys", whole_item_only),
    "emphasised": (ranked_list, "_keys", dash_only),
    "before a dash": (ranked_list, "_keys", emphasis_only),
    "the whole item": (
        ranked_list,
        "_key",
        lambda text: KEY(text.split()[0]) if text.split() else "",
    ),
    "each item once": (ranked_list, "_is_repeated", lambda *_: False),
    "the limit": (
        ranked_list,
        "ranked_gains",
        lambda items, gold, limit: GAINS(items, gold, len(items)),
    ),
    "the limit counts different items": (ranked_list, "ranked_gains", limit_counts_all),
    "each right item once": (ranked_list, "ranked_gains", without_sharing),
    "the rank": (ranked_list, "reciprocal_rank", lambda gains: float(any(gains))),
    "the discount": (ranked_list, "_discounted", sum),
    "the best order up to the limit": (
        ranked_list,
        "ndcg",
        lambda gains, gold, limit: NDCG(gains, gold, len(gold)),
    ),
    "several right items": (ranked_list, "references", first_gold),
    "spellings": (ranked_list, "_spellings", one_spelling),
    "gains": (ranked_list, "_spellings", equal_gains),
    "bad references": (ranked_list, "references", any_reference),
    "the threshold": (
        ranked_list.RankedList.Arguments,
        "read",
        lambda args: READ({key: value for key, value in args.items() if key != "threshold"}),
    ),
    "right means first": (
        ranked_list.RankedList.Arguments,
        "read",
        lambda args: READ({"threshold": 0.1, **args}),
    ),
}


def test_the_untouched_verifier_passes() -> None:
    score = self_test.run_here("ranked_list")
    assert score.passed
    assert min(score.accept, score.reject) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_pair_fails(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*RULES[rule])
    score = self_test.run_here("ranked_list")
    assert not score.passed
    missed = (*score.false_accepts, *score.false_rejects)
    # A rule is taken away, and nothing else broken.
    assert not any((miss.verdict.detail or "").startswith("verifier_error") for miss in missed)
