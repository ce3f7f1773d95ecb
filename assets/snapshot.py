"""The recipes that a code location shows, the same in every process of a run.

The steps of a run are processes of their own, and each of them loads the code location again. A
recipe that is edited in between must not change the run, so the text of every recipe is put aside
when the location is loaded; Dagster keeps it with each run that is launched from there, and hands it
to the run's processes. A run therefore works on what the UI showed at its launch, whatever happens
to the file meanwhile, and nothing is left behind on the disk.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from winnow.pipeline import recipe as recipes
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import Recipe

PINNED = "winnow/recipes"


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


def current(home: Path) -> list[RecipeFile]:
    """The recipes of this process: those of its run's launch, else what stands in `home`."""
    pinned = _pinned()
    if pinned is None:
        return read_all(home)
    return [RecipeFile(**fields) for fields in json.loads(pinned)]


def pin(files: Sequence[RecipeFile]) -> Mapping[str, str]:
    """What the definitions put aside for `current`."""
    return {PINNED: json.dumps([asdict(file) for file in files])}


def _read(path: Path) -> RecipeFile:
    try:
        return RecipeFile(path.stem, str(path), path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        return RecipeFile(path.stem, str(path), "", f"{path}: cannot be read: {error}")


def _pinned() -> str | None:
    # The writer (`Definitions.with_reconstruction_metadata`) is public, its reader has no public
    # name yet; Dagster's own integrations import it from here.
    from dagster._core.definitions.definitions_load_context import (
        DefinitionsLoadContext,
        DefinitionsLoadType,
    )

    context = DefinitionsLoadContext.get()
    if context.load_type is DefinitionsLoadType.INITIALIZATION:
        return None
    found = context.reconstruction_metadata.get(PINNED)
    return found if isinstance(found, str) else None
