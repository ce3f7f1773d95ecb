"""Unified diffs: making them of texts, and reading them from a text, file by file.

A file's diff here is what stands behind its header: the hunks, their heads without the name of a
function that git puts behind them, and a first line for a renamed file.
"""

import difflib
import re
from collections.abc import Mapping

from winnow.pipeline.verify.patches.edits import MalformedPatch

CONTEXT = 3  # lines around a change

_HEAD = re.compile(r"(@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@).*")
_GIT = re.compile(r"diff --git (?:\"?a/(.+?)\"? )(?:\"?b/(.+?)\"?)")


def between(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The diffs of the files of `new` that differ from `old` (a file that is not there is empty)."""
    diffs = {path: _diff(old.get(path, ""), text) for path, text in new.items()}
    return {path: diff for path, diff in diffs.items() if diff}


def _diff(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=CONTEXT, lineterm="")
    return "\n".join(list(lines)[2:])


def read_diffs(text: str) -> dict[str, str]:
    """The diff of every file that `text` (one or several unified diffs) changes, by its new path.

    What stands between the files' changes (fences, prose) is skipped, and so are binary files, which
    have no hunks. Raises MalformedPatch where no file with a change is left, a hunk
    stands without a file, or a hunk's lines are not those that its head counts.
    """
    found: dict[str, list[str]] = {}
    path: str | None = None
    renamed_from = None
    old_path = ""
    rest = [0, 0]  # lines of the old and the new file that the hunk still has
    for line in text.splitlines():
        if max(rest) > 0:
            _count(line, rest)
            found[path or ""].append(line)
        elif git := _GIT.fullmatch(line):
            path, renamed_from = git[2], None
        elif line.startswith("--- "):
            old_path = _path(line)
        elif line.startswith("+++ "):
            path = _path(line) if _path(line) != "/dev/null" else old_path
        elif line.startswith("rename from "):
            renamed_from = line.removeprefix("rename from ")
        elif line.startswith("rename to ") and renamed_from is not None:
            path = line.removeprefix("rename to ")
            found.setdefault(path, []).append(f"rename from {renamed_from} to {path}")
        elif head := _HEAD.fullmatch(line):
            if path is None:
                raise MalformedPatch("hunk_without_file")
            found.setdefault(path, []).append(head[1])
            rest = _sizes(head[1])
    if max(rest) > 0:
        raise MalformedPatch("incomplete_hunk")
    if not found:
        raise MalformedPatch("no_edits")
    return {path: "\n".join(lines) for path, lines in found.items()}


def similarity(gold: str, found: str) -> float:
    """How alike two diffs are, in [0, 1]: difflib's ratio without its shortcut for long texts."""
    if gold == found:
        return 1.0
    return difflib.SequenceMatcher(None, gold, found, autojunk=False).ratio()


def reward(gold: Mapping[str, str], found: Mapping[str, str]) -> float:
    """Mean similarity over the files of both; a file that one of them lacks counts 0. Two empty
    changes are the same change: 1."""
    paths = sorted(gold.keys() | found.keys())
    if not paths:
        return 1.0
    alike = [similarity(gold[p], found[p]) if p in gold and p in found else 0.0 for p in paths]
    return sum(alike) / len(paths)


def _path(line: str) -> str:
    path = line[4:].partition("\t")[0].strip().strip('"')
    return path[2:] if path.startswith(("a/", "b/")) else path


def _sizes(head: str) -> list[int]:
    counts = re.findall(r"[-+]\d+(?:,(\d+))?", head)
    return [int(count) if count else 1 for count in counts]


def _count(line: str, rest: list[int]) -> None:
    if line.startswith("\\"):  # "\ No newline at end of file"
        return
    if line.startswith("-"):
        rest[0] -= 1
    elif line.startswith("+"):
        rest[1] -= 1
    elif line.startswith(" ") or not line:  # editors strip the space of an empty line
        rest[0] -= 1
        rest[1] -= 1
    else:
        raise MalformedPatch("incomplete_hunk")
    if min(rest) < 0:
        raise MalformedPatch("incomplete_hunk")
