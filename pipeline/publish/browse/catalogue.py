"""What there is to look at: a version's sets and views, its ledger, and the tables of the run behind
it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from winnow.pipeline.publish.browse.database import Numbered
from winnow.pipeline.publish.browse.parts import (
    Part,
    ViewPart,
    require_own,
    schema_of,
    set_part,
    view_part,
)
from winnow.pipeline.publish.version import LEDGER_FILE, Version
from winnow.pipeline.schema import TABLES
from winnow.pipeline.workspace import Workspace

LEDGER = "ledger"
# Tables of a run that pages show, with what is missing from the pages without them.
STAGES = {
    "prompts": "references, and prompts that no set took",
    "rollouts": "answers",
    "verdicts": "verdicts of answers",
    "difficulty": "how often a prompt was solved",
    "clusters": "clusters of prompts that no set took",
    "scores": "scores of answers that no set took",
    "audit": "doubts about references",
    "sampled": None,  # only a run with stop rules has one
}
_NO_RUN = (
    "the tables of the run that made this version are not here: no answers, verdicts and prompts but "
    "those that the sets hold"
)
_NO_COLUMN = {"seconds", "images"}  # which a stage's table, or an old one, leaves out


@dataclass(frozen=True)
class Catalogue:
    """`parts` are the splits of the sets, `views` those of the views. `stages` maps a stage's name to
    its table's file; `lacking` says what pages cannot show, and `differing` names tables that are of
    another state than the version was made from."""

    version: Version
    manifest: Mapping[str, Any]
    parts: tuple[Part, ...]
    workspace: Workspace | None
    stages: Mapping[str, Path]
    lacking: tuple[str, ...] = ()
    differing: tuple[str, ...] = field(default=())
    views: tuple[ViewPart, ...] = ()

    @property
    def files(self) -> dict[str, Path | Numbered]:
        """Every file that may be read, by the name of its view in the database."""
        return {
            **{part.view: part.file for part in (*self.parts, *self.views)},
            LEDGER: self.version.path / LEDGER_FILE,
            **{f"stage_{name}": path for name, path in self.stages.items()},
        }

    def part(self, name: str, split: str) -> Part | None:
        found = (p for p in self.parts if (p.set, p.split) == (name, split))
        return next(found, None)

    def view(self, name: str, split: str) -> ViewPart | None:
        found = (p for p in self.views if (p.set, p.split) == (name, split))
        return next(found, None)

    def parts_of(self, name: str) -> list[Part]:
        """All splits of a set."""
        return [part for part in self.parts if part.set == name]


def catalogue(version: Version, home: Path) -> Catalogue:
    """Look at a version that `resolve` found, and at the run that published it where `home`, or the
    home that the version stands in, has its tables.

    Raises WinnowError where a file of the version is missing, is no Parquet, or is not its own.
    """
    manifest = version.manifest()
    parts = [
        set_part(number, version, name, split)
        for number, (name, split) in enumerate(_splits(version.rows))
    ]
    views = [
        view_part(number, version, name, split, manifest["views"][name])
        for number, (name, split) in enumerate(_splits(version.views))
    ]
    require_own(version, version.path / LEDGER_FILE)
    workspace = _workspace(version, home)
    stages, lacking = _stages(workspace)
    made_from = manifest.get("inputs") or {}
    differing = [
        name
        for name in stages
        if workspace and name in made_from and workspace.data_version(name) != made_from[name]
    ]
    return Catalogue(
        version,
        manifest,
        tuple(parts),
        workspace,
        stages,
        tuple(lacking),
        tuple(differing),
        tuple(views),
    )


def _splits(rows: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str]]:
    """(name, split) in order, train before holdout."""
    return [(name, split) for name in sorted(rows) for split in sorted(rows[name], reverse=True)]


def _workspace(version: Version, home: Path) -> Workspace | None:
    name = version.run().get("recipe_name")
    if not isinstance(name, str) or "\0" in name or name in (".", "..") or Path(name).name != name:
        return None
    for folder in (version.path.parent.parent, home):
        if (folder / ".stages" / name).is_dir():
            return Workspace(folder, name)
    return None


def _stages(workspace: Workspace | None) -> tuple[dict[str, Path], list[str]]:
    """Files of the tables that can be read, and what is not shown without the others."""
    if workspace is None:
        return {}, [_NO_RUN]
    found, lacking = {}, []
    for name, shows in STAGES.items():
        path = workspace.table_path(name)
        needed = set(TABLES[name].names) - _NO_COLUMN
        if path.is_file() and needed <= set(schema_of(path).names):
            found[name] = path
        elif path.is_file():
            lacking.append(f"{shows or name}: {path} was written by another version of winnow")
        elif shows:
            lacking.append(f"{shows}: {path} is missing")
    return found, lacking
