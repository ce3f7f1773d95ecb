"""Every rule of the verifier `iou` is guarded by at least one labelled pair."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from winnow.pipeline.verify import extract, iou, regions, self_test
from winnow.pipeline.verify.literals import literal
from winnow.pipeline.verify.regions import Found, NotRegions

NEVER = re.compile(r"(?!)")
FIND, COMPARE, CHECKED, READ = extract.find, iou.compare, regions.checked, regions.read
DESCRIBED, VERDICT, ARGUMENTS = regions._described, iou._verdict, iou.IoU.Arguments.read
EACH_ONCE, CONFIDENCE = iou._each_once, iou._confidence
LITERAL, GOLD = regions._literal, iou.gold_regions


def lenient(numbers: Any, kind: Any) -> Any:
    """`checked` that makes a region of whatever numbers there are."""
    numbers = [float(n) for n in numbers][: regions.SIZES[kind]]
    return tuple(numbers + [0.0] * (regions.SIZES[kind] - len(numbers)))


def any_order(numbers: Any, kind: Any) -> Any:
    """`checked` that swaps ends that are the wrong way round."""
    half = len(numbers) // 2
    pairs = [sorted((numbers[i], numbers[half + i])) for i in range(half)]
    return CHECKED([low for low, _ in pairs] + [high for _, high in pairs], kind)


def booleans_are_numbers(value: Any) -> bool:
    return isinstance(value, int | float)


def skips_malformed(value: Any, kind: Any) -> list[Found]:
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        found = []
        for item in value:
            try:
                found += REGIONS_IN(item, kind)
            except NotRegions:
                continue
        return found
    return REGIONS_IN(value, kind)


REGIONS_IN = regions.regions_in


def first_only(text: str, kind: Any) -> list[Found]:
    return READ(text, kind)[:1]


def any_confidence(value: Any, kind: Any) -> Found:
    lowered = {str(key).lower(): item for key, item in value.items()}
    return DESCRIBED({k: 1 if k == "confidence" else v for k, v in lowered.items()}, kind)


def first_place(value: Any, kind: Any) -> Found:
    lowered = {str(key).lower(): item for key, item in value.items()}
    places = [lowered[key] for key in regions._PLACES if key in lowered]
    return Found(CHECKED(places[0], kind)) if places else DESCRIBED(value, kind)


def evaluated(segment: str | None) -> Any:
    try:
        return LITERAL(segment)
    except NotRegions:
        try:
            return eval(segment or "")
        except SyntaxError:
            raise NotRegions("no Python") from None


def sum_of_best(found: Any, gold: Any, match_above: float, measure: Any) -> iou.Overlap:
    """`compare` where a region of the reference may be taken twice."""
    plain = COMPARE(found, gold, match_above, measure)
    best = [max(measure(one.region, region) for region in gold) for one in found]
    total = sum(value for value in best if value > match_above or len(best) == len(gold) == 1)
    return iou.Overlap(total / max(len(gold), len(found)), plain.confidence)


def over_gold(found: Any, gold: Any, match_above: float, measure: Any) -> iou.Overlap:
    """`compare` that counts no regions too many."""
    plain = COMPARE(found, gold, match_above, measure)
    return iou.Overlap(plain.iou * max(len(gold), len(found)) / len(gold), plain.confidence)


def over_found(found: Any, gold: Any, match_above: float, measure: Any) -> iou.Overlap:
    """`compare` that misses no region of the reference."""
    plain = COMPARE(found, gold, match_above, measure)
    return iou.Overlap(plain.iou * max(len(gold), len(found)) / len(found), plain.confidence)


def always_matched(found: Any, gold: Any, match_above: float, measure: Any) -> iou.Overlap:
    """`compare` with the rule of several regions for one, too."""
    plain = COMPARE(found, gold, match_above, measure)
    return plain if plain.iou > match_above else iou.Overlap(0.0, plain.confidence)


def gold_without_size(answer: Any, kind: Any) -> Any:
    return GOLD(answer, kind) or [(0.0, 0.0, 1.0, 1.0)]


def gold_as_given(answer: Any, kind: Any) -> Any:
    gold = GOLD(answer, kind)
    return gold and [one.region for one in regions.read(answer, kind)]


def verdict_with(change: Callable[[Any], Any]) -> Any:
    return lambda *given: VERDICT(*change(list(given)))


def well_formed(given: list[Any]) -> list[Any]:
    given[1] = True
    return given


def not_well_formed(given: list[Any]) -> list[Any]:
    given[1] = False
    return given


def arguments_with(**changed: Any) -> Any:
    return lambda args: ARGUMENTS({**args, **changed})


RULES: dict[str, tuple[Any, str, Any]] = {
    "thoughts are not read": (iou, "spoken", str.strip),
    "a marked answer decides": (extract, "find", lambda *_, **__: None),
    "tags are marks": (extract, "find", lambda text, tags: FIND(text)),
    "fences and brackets in prose": (
        regions,
        "_literal",
        lambda segment: literal(segment or "[]"),
    ),
    "every region counts": (regions, "read", first_only),
    "objects have places": (regions, "_PLACES", ()),
    "one place": (regions, "_described", first_place),
    "confidences": (regions, "_CONFIDENCES", ()),
    "confidences are in [0, 1]": (regions, "_described", any_confidence),
    "the number of numbers": (regions, "checked", lenient),
    "ends come after starts": (regions, "checked", any_order),
    "booleans are no numbers": (regions, "_is_number", booleans_are_numbers),
    "one malformed region spoils the answer": (regions, "regions_in", skips_malformed),
    "never evaluated": (regions, "_literal", evaluated),
    "spans in words": (regions, "_FROM_TO", NEVER),
    "signs and clock times": (
        regions,
        "_FROM_TO",
        re.compile(r"(\d+(?:\.\d+)?)s?[^\d]{1,12}?(\d+(?:\.\d+)?)"),
    ),
    "IoU": (regions, "iou", lambda a, b: float(a == b)),
    "areas, not only overlap": (
        regions,
        "iou",
        lambda a, b: float(min(a[2], b[2]) > max(a[0], b[0])) if len(a) == 4 else 1.0,
    ),
    "each region once": (iou, "_each_once", lambda found: list(found)),
    "by falling confidence": (
        iou,
        "_each_once",
        lambda found: EACH_ONCE([Found(one.region) for one in found]),
    ),
    "plain IoU of one and one": (iou, "compare", always_matched),
    "each region of the reference once": (iou, "compare", sum_of_best),
    "regions too many": (iou, "compare", over_gold),
    "regions that are missing": (iou, "compare", over_found),
    "several match only above": (
        iou,
        "compare",
        lambda found, gold, _, measure: COMPARE(found, gold, 0.0, measure),
    ),
    "above what": (
        iou,
        "compare",
        lambda found, gold, _, measure: COMPARE(found, gold, 0.5, measure),
    ),
    "confidence of regions that match": (
        iou,
        "_confidence",
        lambda found, matched: CONFIDENCE(found, [1.0] * len(matched)),
    ),
    "confidence of regions that do not": (
        iou,
        "_confidence",
        lambda found, matched: CONFIDENCE(found, [0.0] * len(matched)),
    ),
    "the format": (iou, "_verdict", verdict_with(well_formed)),
    "the format counts": (iou, "_verdict", verdict_with(not_well_formed)),
    "the reward that was asked for": (
        iou.IoU.Arguments,
        "read",
        lambda args: ARGUMENTS({k: v for k, v in args.items() if k != "reward"}),
    ),
    "the threshold": (
        iou.IoU.Arguments,
        "read",
        lambda args: ARGUMENTS({k: v for k, v in args.items() if k != "threshold"}),
    ),
    "any threshold": (iou.IoU.Arguments, "read", arguments_with(threshold=0.1)),
    "bad references": (iou, "gold_regions", gold_without_size),
    "each region of the reference stands once": (iou, "gold_regions", gold_as_given),
}


def test_the_untouched_verifier_passes() -> None:
    score = self_test.run_here("iou")
    assert score.passed
    assert min(score.accept, score.reject) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_pair_fails(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*RULES[rule])
    score = self_test.run_here("iou")
    assert not score.passed
    missed = (*score.false_accepts, *score.false_rejects)
    # A rule is taken away, and nothing else broken.
    assert not any((miss.verdict.detail or "").startswith("verifier_error") for miss in missed)
