r"""The verifier `iou`: boxes or time spans against those of the reference, by intersection over union.

`answer` is JSON: `[x1, y1, x2, y2]` (or `[start, end]`), a list of them, or of objects with a place
(`bbox`, `box`, `Position`, ...). The completion's regions are read from its marked answer (`<answer>`,
`\boxed{}`, "the answer is"), or from all that is said behind the thoughts; all of them count.

Rewards, by `reward`:

- `iou`: of one region against one, plain IoU. Of several, Visual-RFT's (arXiv 2503.01785): regions
  that stand there twice count once; the completion's, by falling confidence, each take the best
  reference that is still free, if their IoU is above `match_above`; the sum of the IoUs so matched
  over the larger of the two numbers of regions.
- `visual_rft`: that, plus the confidence reward (the mean of c for matched and 1 - c for other
  regions), plus the format (one `<think>` and one `<answer>` block, nothing else): in [0, 3].
- `temporal_rlt`: half the IoU of a span (over the time from the earlier start to the later end),
  half the format.

The verdict is `correct` where the IoU part, not the whole reward, reaches `threshold`. Malformed
regions make the answer wrong (`malformed_answer`), with nothing but the format in the reward.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import extract, regions
from winnow.pipeline.verify.literals import NoLiteral, spoken, strict_json
from winnow.pipeline.verify.regions import Found, NotRegions, Region
from winnow.pipeline.verify.text_format import read_blocks


@dataclass(frozen=True)
class Overlap:
    """`iou` in [0, 1]; `confidence` in [0, 1], None where a region came without one."""

    iou: float
    confidence: float | None


class IoU:
    """Judges boxes or time spans by how much they overlap with the reference."""

    name = "iou"
    version = "1"

    class Arguments(arguments.Arguments):
        kind: Literal["box", "span"] = Field(
            default="box", description="box: [x1, y1, x2, y2]; span: [start, end]."
        )
        reward: Literal["iou", "visual_rft", "temporal_rlt"] = Field(
            default="iou",
            description="iou; visual_rft: IoU + confidence + format; temporal_rlt: half IoU of a "
            "span, half format.",
        )
        threshold: float = Field(
            default=0.5, gt=0, le=1, description="The IoU from which on an answer is correct."
        )
        match_above: float = Field(
            default=0.5,
            ge=0,
            lt=1,
            description="Where there are several regions: two match only with more IoU than this.",
        )

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge `completion` against `task.answer`. Parts are `iou`, `confidence` and `format`."""
        args = self.Arguments.read(task.args)
        if (args.reward, args.kind) in (("visual_rft", "span"), ("temporal_rlt", "box")):
            raise BadArguments(f"reward: {args.reward} is not for kind {args.kind}")
        gold = gold_regions(task.answer, args.kind)
        if gold is None:
            return Verdict.unjudged("bad_reference")
        well_formed = read_blocks(completion, ["think", "answer"])[1] is None
        try:
            found = regions.read(_answer(completion), args.kind)
        except NotRegions:
            return _verdict(Overlap(0.0, None), well_formed, args, "", "malformed_answer")
        if not found:
            return _verdict(Overlap(0.0, None), well_formed, args, "", "no_answer")
        extracted = str([list(one.region) for one in found])
        if args.reward == "temporal_rlt" and len(found) + len(gold) > 2:
            return _verdict(Overlap(0.0, None), well_formed, args, extracted, "several_spans")
        measure = regions.hull_iou if args.reward == "temporal_rlt" else regions.iou
        overlap = compare(found, gold, args.match_above, measure)
        return _verdict(overlap, well_formed, args, extracted, None)


def gold_regions(answer: str | None, kind: Literal["box", "span"]) -> list[Region] | None:
    """The reference's regions, each once; None where it has none, or one that is malformed or
    empty, so that nothing could overlap with it."""
    try:
        found = regions.regions_in(strict_json(answer or ""), kind)
    except (NoLiteral, NotRegions):
        return None
    gold = list(dict.fromkeys(one.region for one in found))
    return gold if gold and all(regions.size(region) > 0 for region in gold) else None


def compare(
    found: Sequence[Found],
    gold: Sequence[Region],
    match_above: float = 0.5,
    measure: Callable[[Region, Region], float] = regions.iou,
) -> Overlap:
    """How much the regions that were `found` overlap with `gold` (see the module)."""
    found = _each_once(found)
    if len(found) == len(gold) == 1:
        single = measure(found[0].region, gold[0])
        matched = [single if single > match_above else 0.0]
        return Overlap(single, _confidence(found, matched))
    matched, free = [], list(gold)
    for one in found:
        best = max(free, key=lambda region: measure(one.region, region), default=None)
        value = 0.0 if best is None else measure(one.region, best)
        if best is None or value <= match_above:
            matched.append(0.0)
            continue
        matched.append(value)
        free.remove(best)
    return Overlap(sum(matched) / max(len(gold), len(found)), _confidence(found, matched))


def _each_once(found: Sequence[Found]) -> list[Found]:
    """By falling confidence (those without one last, in their order), each region once."""
    ranked = sorted(found, key=lambda one: -(-1.0 if one.confidence is None else one.confidence))
    first: dict[Region, Found] = {}
    for one in ranked:
        first.setdefault(one.region, one)
    return list(first.values())


def _confidence(found: Sequence[Found], matched: Sequence[float]) -> float | None:
    rewards = [
        one.confidence if value else 1 - one.confidence
        for one, value in zip(found, matched, strict=True)
        if one.confidence is not None
    ]
    return sum(rewards) / len(rewards) if len(rewards) == len(found) else None


def _answer(completion: str) -> str:
    said = spoken(completion)
    found = extract.find(said, tags=True)
    return found.text if found else said


def _verdict(
    overlap: Overlap, well_formed: bool, args: IoU.Arguments, extracted: str, detail: str | None
) -> Verdict:
    parts = {"iou": overlap.iou, "format": float(well_formed)}
    if overlap.confidence is not None:
        parts["confidence"] = overlap.confidence
    reward = {
        "iou": overlap.iou,
        "visual_rft": overlap.iou + (overlap.confidence or 0.0) + float(well_formed),
        "temporal_rlt": 0.5 * overlap.iou + 0.5 * float(well_formed),
    }[args.reward]
    correct = overlap.iou >= args.threshold
    return Verdict("correct" if correct else "wrong", reward, parts, extracted or None, detail)
