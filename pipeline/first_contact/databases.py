"""Database files beside somebody's questions, by the names that stand in a column."""

from collections.abc import Sequence
from pathlib import Path

ENDINGS = (".sqlite", ".db", ".sqlite3", ".duckdb")
_FOLDERS = 200  # that are looked into
_MOST = 0.9  # of the names must be found


def pattern(source: str, names: Sequence[str]) -> str | None:
    """The path of the databases with `{}` in the place of the name: `folder/{}.sqlite`, or as Spider
    has them `folder/{}/{}.sqlite`, where most of `names` are found so in the folder of the file `source`
    or a folder below it; None where they are not.
    """
    given = Path(source).expanduser()
    root = given if given.is_dir() else given.parent
    wanted = {name for name in names if name and name[0] != "." and not set(name) & set("/\\\0")}
    if not wanted or not root.is_dir():
        return None
    below = sorted(path for path in root.glob("*") if path.is_dir())[:_FOLDERS]
    found = [
        (sum(Path(each.replace("{}", name)).is_file() for name in wanted), each)
        for folder in (root, *below)
        if "{}" not in str(folder)
        for ending in ENDINGS
        for each in (f"{folder}/{{}}{ending}", f"{folder}/{{}}/{{}}{ending}")
    ]
    count, best = max(found, key=lambda each: each[0], default=(0, ""))
    return best if count >= _MOST * len(wanted) else None
