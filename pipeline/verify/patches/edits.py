"""Search/replace edits: blocks that name a file, a text in it and what takes its place.

### path/to/file.py
<<<<<<< SEARCH
old lines
=======
new lines
>>>>>>> REPLACE
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_OPEN = re.compile(r"<{5,9} ?SEARCH\s*")
_MIDDLE = re.compile(r"={5,9}\s*")
_CLOSE = re.compile(r">{5,9} ?REPLACE\s*")
# "### path", or a line that is nothing but a path with a folder or an ending.
_PATH = re.compile(
    r"#{1,4}\s+[`*]{0,3}([^\s`*]+?)[`*]{0,3}:?|[`*]{0,2}([^\s`*]*(?:/|\.\w)[^\s`*]*?)[`*]{0,2}:?"
)


class MalformedPatch(ValueError):
    """The text is no patch of these files; the message is one word for the verdict's detail."""


@dataclass(frozen=True)
class Edit:
    """Put `replace` in the place of the first `search` that starts a line of `path`."""

    path: str
    search: str
    replace: str


def read_edits(text: str) -> list[Edit]:
    """The edits of `text`, in order. A block without a path edits the file of the block before.

    Raises MalformedPatch where there is none, or one is not complete.
    """
    edits: list[Edit] = []
    lines = text.splitlines()
    path: str | None = None
    at = 0
    while at < len(lines):
        if _OPEN.fullmatch(lines[at]):
            if path is None:
                raise MalformedPatch("no_path")
            middle = _next(lines, at + 1, _MIDDLE)
            close = _next(lines, middle + 1, _CLOSE)
            search, replace = lines[at + 1 : middle], lines[middle + 1 : close]
            edits.append(Edit(path, "\n".join(search), "\n".join(replace)))
            at = close
        elif _MIDDLE.fullmatch(lines[at]) or _CLOSE.fullmatch(lines[at]):
            raise MalformedPatch("incomplete_block")
        elif named := _PATH.fullmatch(lines[at].strip()):
            path = named[1] or named[2]
        at += 1
    if not edits:
        raise MalformedPatch("no_edits")
    return edits


def applied(edits: Iterable[Edit], files: Mapping[str, str]) -> dict[str, str]:
    """The new texts of the files that `edits` change, each edit after the ones before it.

    Raises MalformedPatch where an edit changes nothing, or its file or search text is not there.
    An empty search text is only there in an empty file: elsewhere it says nothing about where.
    """
    changed: dict[str, str] = {}
    for edit in edits:
        if edit.path not in files:
            raise MalformedPatch("no_such_file")
        if edit.search == edit.replace:
            raise MalformedPatch("search_is_replace")
        text = changed.get(edit.path, files[edit.path])
        at = _find(edit.search, text)
        changed[edit.path] = text[:at] + edit.replace + text[at + len(edit.search) :]
    return changed


def _find(search: str, text: str) -> int:
    """Where the first line of `text` is that starts with `search`."""
    if not search and text:
        raise MalformedPatch("empty_search")
    if not _occurs(search, text):
        raise MalformedPatch("search_not_found")
    return f"\n{text}".find(f"\n{search}")


def _occurs(search: str, text: str) -> bool:
    return f"\n{search}" in f"\n{text}"


def _next(lines: list[str], start: int, mark: re.Pattern[str]) -> int:
    for at in range(start, len(lines)):
        if mark.fullmatch(lines[at]):
            return at
        if _OPEN.fullmatch(lines[at]):
            break
    raise MalformedPatch("incomplete_block")
