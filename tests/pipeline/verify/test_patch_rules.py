"""Every rule of the verifier `patch` is guarded by at least one labelled pair."""

import difflib
import re
from typing import Any

import pytest

from winnow.pipeline.contracts import Verdict
from winnow.pipeline.verify import patch, self_test, text_format
from winnow.pipeline.verify.patches import diffs, edits
from winnow.pipeline.verify.patches.edits import MalformedPatch

NEVER = re.compile(r"(?!)")
BLOCKS, APPLIED, FIND = text_format.read_blocks, edits.applied, edits._find
FOUND, GOLD, READ_EDITS, READ_DIFFS = (
    patch.found_diffs,
    patch.gold_diffs,
    edits.read_edits,
    diffs.read_diffs,
)
ARGUMENTS = patch.Patch.Arguments.read


def only_solution(text: str, tags: list[str], **options: Any) -> Any:
    return BLOCKS(text, ["solution"], **options)


def first_blocks(text: str, tags: list[str], **options: Any) -> Any:
    """`read_blocks` that does not look behind the first of each block."""
    start = text.find("</solution>")
    return BLOCKS(text[: start + 11] if start >= 0 else text, tags, **options)


def first_thoughts(text: str, tags: list[str], **options: Any) -> Any:
    first, mark, rest = text.partition("</think>")
    return BLOCKS(first + mark + re.sub(r"<think>.*?</think>", "", rest), tags, **options)


def empty_blocks(text: str, tags: list[str], **options: Any) -> Any:
    return BLOCKS(text, tags, **{**options, "empty": True})


def nothing_around(text: str, tags: list[str], **options: Any) -> Any:
    return BLOCKS(text, tags, **{**options, "around": False})


def any_order(text: str, tags: list[str], **options: Any) -> Any:
    found = {tag: BLOCKS(text, [tag], **options) for tag in tags}
    problem = next((p for _, p in found.values() if p), None)
    return {tag: blocks.get(tag, "") for tag, (blocks, _) in found.items()}, problem


def skips_bad_edits(given: Any, files: Any) -> dict[str, str]:
    """`applied` that leaves out edits that cannot be made."""
    good: list[edits.Edit] = []
    for edit in given:
        try:
            APPLIED([*good, edit], files)
        except MalformedPatch:
            continue
        good.append(edit)
    return APPLIED(good, files)


def each_on_the_old_text(given: Any, files: Any) -> dict[str, str]:
    changed: dict[str, str] = {}
    for edit in given:
        changed |= APPLIED([edit], files)
    return changed


def any_file(given: Any, files: Any) -> dict[str, str]:
    known = [edit for edit in given if edit.path in files]
    return APPLIED(known, files)


def same_text_allowed(given: Any, files: Any) -> dict[str, str]:
    return APPLIED([edit for edit in given if edit.search != edit.replace], files)


def at_the_top(search: str, text: str) -> int:
    return FIND(search, text) if search else 0


def last_occurrence(search: str, text: str) -> int:
    FIND(search, text)
    return f"\n{text}".rfind(f"\n{search}")


def first_anywhere(search: str, text: str) -> int:
    FIND(search, text)
    return text.find(search)


def no_edits_is_no_change(text: str) -> Any:
    try:
        return READ_EDITS(text)
    except MalformedPatch as error:
        if str(error) == "no_edits":
            return []
        raise


def path_in_the_only_file(text: str) -> Any:
    return READ_EDITS(f"### x.py\n{text}")


def without_stray_marks(text: str) -> Any:
    found = re.findall(r"###.*?>{7} REPLACE", text, re.DOTALL)
    return READ_EDITS("\n".join(found) if found else text)


def lenient_next(lines: list[str], start: int, mark: re.Pattern[str]) -> int:
    return next((i for i in range(start, len(lines)) if mark.fullmatch(lines[i])), len(lines))


def over_the_golds(gold: Any, found: Any) -> float:
    return REWARD(gold, {path: diff for path, diff in found.items() if path in gold})


def over_the_founds(gold: Any, found: Any) -> float:
    return REWARD({path: diff for path, diff in gold.items() if path in found}, found)


def whole_texts(old: Any, new: Any) -> dict[str, str]:
    return {path: text for path, text in new.items() if text != old.get(path, "")}


def with_unchanged(old: Any, new: Any) -> dict[str, str]:
    return {path: diffs._diff(old.get(path, ""), text) for path, text in new.items()}


def one_line_of_context(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=1, lineterm="")
    return "\n".join(list(lines)[2:])


def quick_ratio(gold: str, found: str) -> float:
    return difflib.SequenceMatcher(None, gold, found, autojunk=False).quick_ratio()


def accepts(*given: Any, **_named: Any) -> Verdict:
    """A verdict that accepts what ranks first."""
    name, reward, parts, *_ = given
    extracted = detail = None
    return Verdict("correct" if reward > 0.9 else name, reward, parts, extracted, detail)


accepts.unjudged = Verdict.unjudged  # type: ignore[attr-defined]


def any_reference(answer: Any, files: Any) -> dict[str, str]:
    try:
        return GOLD(answer, files)
    except MalformedPatch:
        return {}


def gold_as(form: str) -> Any:
    """`gold_diffs` that does not read references of one form."""

    def read(answer: str | None, files: Any) -> dict[str, str]:
        found = (
            "texts"
            if (answer or "").startswith("{")
            else "edits"
            if "SEARCH" in (answer or "")
            else "diff"
        )
        if found == form:
            raise MalformedPatch("rule taken away")
        return GOLD(answer, files)

    return read


def lenient_count(line: str, rest: list[int]) -> None:
    if line.startswith("@@"):
        rest[:] = [0, 0]


def diffs_without_end(text: str) -> dict[str, str]:
    """`read_diffs` that does not mind a hunk that ends early."""
    try:
        return READ_DIFFS(text)
    except MalformedPatch as error:
        if str(error) != "incomplete_hunk":
            raise
        return {"x.py": text}


def diffs_or_nothing(text: str) -> dict[str, str]:
    try:
        return READ_DIFFS(text)
    except MalformedPatch:
        return {}


def without_renames(text: str) -> dict[str, str]:
    return READ_DIFFS(text.replace("rename from x.py\n", ""))


REWARD = diffs.reward

RULES: dict[str, tuple[Any, str, Any]] = {
    "it ranks and never accepts": (patch, "Verdict", accepts),
    "thoughts are there": (patch, "read_blocks", only_solution),
    "thoughts are not empty": (patch, "read_blocks", empty_blocks),
    "thoughts once": (patch, "read_blocks", first_thoughts),
    "one solution": (patch, "read_blocks", first_blocks),
    "text may stand around": (patch, "read_blocks", nothing_around),
    "thoughts come first": (patch, "read_blocks", any_order),
    "an edit at least": (patch, "read_edits", no_edits_is_no_change),
    "every edit has a path": (patch, "read_edits", path_in_the_only_file),
    "paths": (edits, "_PATH", NEVER),
    "no stray marks": (patch, "read_edits", without_stray_marks),
    "whole blocks": (edits, "_next", lenient_next),
    "every edit can be made": (patch, "applied", skips_bad_edits),
    "edits after edits": (patch, "applied", each_on_the_old_text),
    "files that are there": (patch, "applied", any_file),
    "edits change something": (patch, "applied", same_text_allowed),
    "search texts that are there": (edits, "_occurs", lambda *_: True),
    "search texts start lines": (edits, "_occurs", lambda search, text: search in text),
    "search texts say where": (edits, "_find", at_the_top),
    "the first occurrence": (edits, "_find", last_occurrence),
    "the first occurrence at a start": (edits, "_find", first_anywhere),
    "files that only the answer changes": (diffs, "reward", over_the_golds),
    "files that only the reference changes": (diffs, "reward", over_the_founds),
    "diffs, not texts": (diffs, "between", whole_texts),
    "files that do not change": (diffs, "between", with_unchanged),
    "three lines of context": (diffs, "_diff", one_line_of_context),
    "difflib's ratio": (diffs, "similarity", quick_ratio),
    "no shortcut for long texts": (
        diffs,
        "similarity",
        lambda gold, found: difflib.SequenceMatcher(None, gold, found).ratio(),
    ),
    "texts as reference": (patch, "gold_diffs", gold_as("texts")),
    "edits as reference": (patch, "gold_diffs", gold_as("edits")),
    "diffs as reference": (patch, "gold_diffs", gold_as("diff")),
    "bad references": (patch, "gold_diffs", any_reference),
    "without tags where they are not asked for": (
        patch.Patch.Arguments,
        "read",
        lambda args: ARGUMENTS({**args, "tags": True}),
    ),
    "diffs where they are asked for": (
        patch.Patch.Arguments,
        "read",
        lambda args: ARGUMENTS({**args, "form": "edits"}),
    ),
    "diffs: renamed files": (diffs, "read_diffs", without_renames),
    "diffs: names of functions": (diffs, "_HEAD", re.compile(r"(@@ -\d+.*@@.*)")),
    "diffs: whole hunks": (diffs, "_count", lenient_count),
    "diffs: hunks end": (diffs, "read_diffs", diffs_without_end),
    "diffs: a change at least": (diffs, "read_diffs", diffs_or_nothing),
}


def test_the_untouched_verifier_passes() -> None:
    score = self_test.run_here("patch")
    assert score.passed
    assert min(score.accept, score.reject) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_pair_fails(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*RULES[rule])
    score = self_test.run_here("patch")
    assert not score.passed
    missed = (*score.false_accepts, *score.false_rejects)
    # A rule is taken away, and nothing else broken.
    assert not any((miss.verdict.detail or "").startswith("verifier_error") for miss in missed)
