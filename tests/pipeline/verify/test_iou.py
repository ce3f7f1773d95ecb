"""The verifier `iou`: Visual-RFT's and Temporal-R1's vectors, and overlaps against counted cells."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.iou import IoU, compare
from winnow.pipeline.verify.regions import Found, Region, hull_iou, iou
from winnow.pipeline.verify.worker_pool import judged

VERIFIER = IoU()


def box(x1: int, y1: int, width: int, height: int) -> Region:
    return (x1, y1, x1 + width, y1 + height)


SMALL = st.builds(box, *[st.integers(0, 6)] * 2, *[st.integers(1, 6)] * 2)


def test_visual_rft_vector() -> None:
    """Two of the reference, three predicted: IoU 0.8, 0.4 and none, confidence 0.9, 0.8, 0.3."""
    gold = [[0, 0, 10, 10], [100, 100, 110, 110]]
    found = [
        {"Position": [0, 0, 8, 10], "Confidence": 0.9},
        {"Position": [100, 100, 104, 110], "Confidence": 0.8},
        {"Position": [500, 500, 510, 510], "Confidence": 0.3},
    ]
    text = f"<think>Two.</think>\n<answer>{found}</answer>"
    verdict = VERIFIER.verify(text, Task([], json.dumps(gold), {"reward": "visual_rft"}))
    assert verdict.parts["iou"] == pytest.approx(0.2667, abs=5e-5)
    assert verdict.parts["confidence"] == pytest.approx(0.6)
    assert verdict.parts["format"] == 1
    assert verdict.reward == pytest.approx(0.8 / 3 + 0.6 + 1)


def test_temporal_vector() -> None:
    """[3, 8] against [3, 7.5]: 4.5 of 5 seconds, and half of it is the format."""
    task = Task([], "[3, 8]", {"kind": "span", "reward": "temporal_rlt"})
    text = "<think>Early.</think><answer>3 to 7.5</answer>"
    assert VERIFIER.verify(text, task).reward == pytest.approx(0.5 * 0.9 + 0.5)
    assert VERIFIER.verify("3 to 7.5", task).reward == pytest.approx(0.45)
    assert VERIFIER.verify("<think>a</think><answer>?</answer>", task).reward == pytest.approx(0.5)


@settings(max_examples=300, deadline=None)
@given(SMALL, SMALL)
def test_iou_against_counted_cells(a: Region, b: Region) -> None:
    def cells(region: Region) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = map(int, region)
        return set(itertools.product(range(x1, x2), range(y1, y2)))

    expected = len(cells(a) & cells(b)) / len(cells(a) | cells(b))
    assert iou(a, b) == pytest.approx(expected)
    assert iou(a, b) == iou(b, a)


@settings(max_examples=200, deadline=None)
@given(*[st.tuples(st.integers(0, 9), st.integers(1, 9))] * 2)
def test_the_two_measures_of_spans_are_one(a: tuple[int, int], b: tuple[int, int]) -> None:
    first, second = (a[0], a[0] + a[1]), (b[0], b[0] + b[1])
    assert hull_iou(first, second) == pytest.approx(iou(first, second))


def visual_rft_oracle(found: list[Found], gold: list[Region]) -> tuple[float, float]:
    """The two rewards as section 7.21 has them, step by step."""
    ranked = sorted(found, key=lambda one: -(one.confidence or 0))
    kept: list[Found] = []
    for one in ranked:
        if one.region not in [other.region for other in kept]:
            kept.append(one)
    free, total, confidence = list(dict.fromkeys(gold)), 0.0, 0.0
    n_gold = len(free)
    for one in kept:
        overlaps = [iou(one.region, region) for region in free]
        best = max(overlaps, default=0.0)
        if best > 0.5:
            free.pop(overlaps.index(best))
            total += best
            confidence += one.confidence or 0
        else:
            confidence += 1 - (one.confidence or 0)
    return total / max(n_gold, len(kept)), confidence / len(kept)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(SMALL, st.sampled_from([0.1, 0.5, 0.9, 1.0])), min_size=2, max_size=5),
    st.lists(SMALL, min_size=2, max_size=4, unique=True),
)
def test_several_boxes_against_an_oracle(
    given_boxes: list[tuple[Region, float]], gold: list[Region]
) -> None:
    found = [Found(region, confidence) for region, confidence in given_boxes]
    overlap = compare(found, gold)
    expected = visual_rft_oracle(found, gold)
    assert (overlap.iou, overlap.confidence) == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(SMALL)
def test_a_box_against_itself(region: Region) -> None:
    for text in (str(list(region)), json.dumps({"bbox": region}), f"It is at {region}."):
        assert VERIFIER.verify(text, Task([], json.dumps(region))).reward == 1


@settings(max_examples=200, deadline=None)
@given(st.text("[](){}0123456789.,-e \"':abx", max_size=60), st.sampled_from(["box", "span"]))
def test_any_text_gets_a_verdict(text: str, kind: str) -> None:
    answer = "[0, 0, 1, 1]" if kind == "box" else "[0, 1]"
    verdict = judged("iou", text, Task([], answer, {"kind": kind}))
    assert verdict.verdict in ("correct", "wrong")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[0,0,1,1]" * 20_000, "[0,0,1," + "9" * 10_000 + "]", "{" * 50_000,
     "0 to " * 50_000, "[0,0,1,1e308]", "[" + "1," * 20_000 + "1]", "(" * 10_000 + ")" * 10_000],
)  # fmt: skip
def test_hostile_answers_are_wrong(text: str) -> None:
    for args in ({}, {"kind": "span"}):
        answer = "[5, 5, 9, 9]" if not args else "[50, 90]"
        assert judged("iou", text, Task([], answer, args)).verdict == "wrong"


@pytest.mark.parametrize(
    "args",
    [{"reward": "visual_rft", "kind": "span"}, {"reward": "temporal_rlt"}, {"threshold": 0.0},
     {"kind": "cube"}],
)  # fmt: skip
def test_bad_arguments_leave_the_row_unjudged(args: dict[str, Any]) -> None:
    verdict = judged("iou", "[0, 0, 1, 1]", Task([], "[0, 0, 1, 1]", args))
    assert (verdict.detail or "").startswith("bad_arguments")
