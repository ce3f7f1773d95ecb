"""The recipes that a code location shows, the same in every process of a run.

The steps of a run are processes of their own, and each of them loads the code location again; a
recipe that is edited in between must not change the run. So the process that loads the recipes
first writes their text down, under a name made of its content, and names that file in an environment
variable that its children inherit: the run's process is a child of the code server, a step's process
a child of the run's. A run therefore works on what the UI showed at its launch. Loading the location
again starts another code server, which reads the recipes anew.
"""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from winnow.pipeline import recipe as recipes
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import digest
from winnow.pipeline.recipe import Recipe

PINNED = "WINNOW_PINNED_RECIPES"
FOLDER = ".runs"
_KEPT_SECONDS = 30 * 24 * 3600.0


@dataclass(frozen=True)
class RecipeFile:
    """A recipe's text, or in `problem` why there is none. `stem` names the recipe's folders."""

    stem: str
    path: str
    text: str
    problem: str | None = None

    def parse(self) -> Recipe:
        """The recipe; raises UsageError where it is wrong."""
        if self.problem:
            raise UsageError(self.problem)
        return recipes.parse(self.text, self.path)

    def edited(self) -> bool:
        """Whether the file holds something else by now."""
        return _read(Path(self.path)) != self


def read_all(home: Path) -> list[RecipeFile]:
    """Every `<home>/recipes/*.yaml`, sorted by name."""
    folder = home.absolute() / "recipes"
    return [_read(path) for path in sorted(folder.glob("*.yaml")) if path.name[0] != "."]


def pinned(home: Path) -> list[RecipeFile]:
    """The recipes as a parent process loaded them; else as they are now, for this process's children.

    Files of the folder `.runs` that no process has read for thirty days are removed.
    """
    folder = home.absolute() / FOLDER
    path = Path(os.environ.get(PINNED, ""))
    if path.parent == folder and path.is_file():
        os.utime(path)
        return [RecipeFile(**fields) for fields in json.loads(path.read_bytes())]
    files = read_all(home)
    if files:
        os.environ[PINNED] = str(_write(folder, files))
    return files


def _write(folder: Path, files: Sequence[RecipeFile]) -> Path:
    fields = [asdict(file) for file in files]
    path = folder / f"{digest('recipes/1', fields)}.json"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
            old.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".tmp", delete=False) as file:
        json.dump(fields, file)
    Path(file.name).replace(path)
    return path


def _read(path: Path) -> RecipeFile:
    try:
        return RecipeFile(path.stem, str(path), path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        return RecipeFile(path.stem, str(path), "", f"{path}: cannot be read: {error}")
