"""The verifier `patch`: SWE-RL's vectors, what edits do, and that nothing is ever accepted."""

import difflib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.patch import Patch
from winnow.pipeline.verify.patches import diffs
from winnow.pipeline.verify.patches.edits import Edit, MalformedPatch, applied
from winnow.pipeline.verify.worker_pool import judged

VERIFIER = Patch()
FILES = {"x.py": "a = 1\nb = 2\nc = 3\n", "y.py": "z\n"}
GOLD = json.dumps({"x.py": "a = 1\nb = 5\nc = 3\n"})


def block(path: str, search: str, replace: str) -> str:
    return f"### {path}\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE"


def solution(*blocks: str) -> str:
    body = "\n".join(blocks)
    return f"<think>It is b.</think>\n<solution>\n```python\n{body}\n```\n</solution>"


def test_vectors() -> None:
    task = Task([], GOLD, {"files": FILES})
    one = VERIFIER.verify(solution(block("x.py", "b = 2", "b = 4")), task)
    assert one.reward == pytest.approx(0.976744, abs=5e-7)
    two = solution(block("x.py", "b = 2", "b = 4"), block("y.py", "z", "w"))
    assert VERIFIER.verify(two, task).reward == pytest.approx(0.488372, abs=5e-7)


def test_the_reference_itself_is_not_accepted() -> None:
    verdict = VERIFIER.verify(
        solution(block("x.py", "b = 2", "b = 5")), Task([], GOLD, {"files": FILES})
    )
    assert (verdict.verdict, verdict.reward, verdict.detail) == ("unjudged", 1.0, "ranking_only")


def test_malformed_is_minus_one() -> None:
    verdict = VERIFIER.verify("b = 5", Task([], GOLD, {"files": FILES}))
    assert (verdict.verdict, verdict.reward, verdict.detail) == ("wrong", -1.0, "missing: think")


LINES = st.lists(st.sampled_from(["a", "b", "ab", "", "  a"]), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(LINES, LINES, LINES)
def test_edits_against_line_by_line_replacement(
    text: list[str], search: list[str], replace: list[str]
) -> None:
    """Search texts of whole lines: found where the lines are, and nowhere else."""
    found = next(
        (i for i in range(len(text) - len(search) + 1) if text[i : i + len(search)] == search), None
    )
    whole = [f"{line};" for line in text]  # no line is the beginning of another
    edit = Edit("f", ";\n".join(search) + ";", ";\n".join(replace) + ";")
    if search == replace or found is None:
        with pytest.raises(MalformedPatch):
            applied([edit], {"f": "\n".join(whole)})
        return
    expected = whole[:found] + [f"{r};" for r in replace] + whole[found + len(search) :]
    assert applied([edit], {"f": "\n".join(whole)}) == {"f": "\n".join(expected)}


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from("xyz"), LINES), st.dictionaries(st.sampled_from("xyz"), LINES)
)
def test_reward_against_the_definition(
    old: dict[str, list[str]], new: dict[str, list[str]]
) -> None:
    base = dict.fromkeys("xyz", "1\n2\n3\n")
    gold = diffs.between(base, {path: "\n".join(lines) for path, lines in old.items()})
    found = diffs.between(base, {path: "\n".join(lines) for path, lines in new.items()})
    ratios = []
    for path in set(gold) | set(found):
        both = path in gold and path in found
        ratios.append(
            difflib.SequenceMatcher(None, gold[path], found[path], autojunk=False).ratio()
            if both
            else 0.0
        )
    expected = sum(ratios) / len(ratios) if ratios else 1.0
    assert diffs.reward(gold, found) == pytest.approx(expected)
    assert 0 <= diffs.reward(gold, found) <= 1
    assert diffs.reward(gold, gold) == 1


@settings(max_examples=100, deadline=None)
@given(LINES, LINES)
def test_diffs_that_are_read_are_those_that_are_made(old: list[str], new: list[str]) -> None:
    lines = difflib.unified_diff(old, new, "a/f.py", "b/f.py", lineterm="")
    text = "\n".join(lines)
    made = diffs.between({"f.py": "\n".join(old) + "\n"}, {"f.py": "\n".join(new) + "\n"})
    if not made:
        with pytest.raises(MalformedPatch):
            diffs.read_diffs(text)
    else:
        assert diffs.read_diffs(text) == made


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=150), st.sampled_from(["edits", "diff"]))
def test_nothing_is_ever_accepted(text: str, form: str) -> None:
    args = {"files": FILES, "form": form, "tags": False}
    verdict = judged("patch", text, Task([], GOLD, args))
    assert verdict.verdict in ("wrong", "unjudged")
    assert (verdict.detail == "ranking_only") == (verdict.verdict == "unjudged")


@pytest.mark.parametrize(
    "text",
    ["<think>" * 50_000, "<<<<<<< SEARCH\n" * 20_000, "@@ -1 +1 @@\n" * 20_000, "=" * 100_000,
     "--- a/x\n+++ b/x\n@@ -1,99999999 +1,99999999 @@\n" + " a\n" * 10_000],
)  # fmt: skip
def test_hostile_answers_are_wrong(text: str) -> None:
    for form in ("edits", "diff"):
        args = {"files": FILES, "form": form, "tags": False}
        assert judged("patch", text, Task([], GOLD, args)).verdict == "wrong"
