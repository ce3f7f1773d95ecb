"""What can be told of a version: the version itself, and the stage tables it was made from where they
still stand.

A run leaves its signals in stage tables, which the recipe's next run replaces. A table counts only
while its data version is the one that the manifest names as the version's input.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow.dataset as ds

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.progress import Progress, Silent
from winnow.pipeline.publish.manifest import TRAINING_SET, made_with
from winnow.pipeline.publish.set_schemas import ANSWER_KEYS, LEDGER_KEYS, RESPONSES
from winnow.pipeline.publish.version import LEDGER_FILE, Version
from winnow.pipeline.workspace import Workspace

STAGES = ("prompts", "rollouts", "verdicts", "audit", "difficulty", "clusters", "scores")
SEED = "winnow"  # of every sample: a report of the same version shows the same rows
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class PublishedSet:
    """One set: the DuckDB view over its splits, its columns, and rows by split. `linked`: it was
    taken unchanged from an earlier version, which had other inputs."""

    name: str
    view: str
    type: str
    columns: frozenset[str]
    rows: Mapping[str, int]
    linked: bool

    @property
    def stage(self) -> str:
        """What the ledger calls it."""
        return f"{TRAINING_SET}/{self.name}"

    @property
    def n_rows(self) -> int:
        return sum(self.rows.values())

    @property
    def answer_names(self) -> list[str]:
        """Queries for the names of the answers that its rows hold, as `rollout_id`."""
        found = [
            f"SELECT {name} AS rollout_id FROM {self.view}"
            for name in (*LEDGER_KEYS, *ANSWER_KEYS)
            if name.endswith("rollout_id") and name in self.columns
        ]
        if RESPONSES in self.columns:
            found.append(
                f"SELECT unnest([r.rollout_id for r in {RESPONSES}]) AS rollout_id FROM {self.view}"
            )
        return found


def workspace_of(version: Version, home: Path) -> Workspace | None:
    """Where the stage tables of the recipe that made `version` are in `home`; None where run.json does
    not name the recipe."""
    name = version.run().get("recipe_name")
    # What is no folder's plain name would lead out of the home.
    if not isinstance(name, str) or name in ("", "..") or "\0" in name or name != Path(name).name:
        return None
    return Workspace(home, name)


class Signals:
    """A DuckDB connection with the version's tables as views: `ledger`, one per set (`PublishedSet.view`),
    and the stages of `tables` by their names. A context manager.

    Raises WinnowError where a file of the version is missing.
    """

    def __init__(
        self, version: Version, workspace: Workspace | None, progress: Progress | None = None
    ) -> None:
        self.version = version
        self.manifest, self.run = version.manifest(), version.run()
        self.progress = progress or Silent()
        self.db = duckdb.connect(":memory:")
        self._workspace = workspace
        self.tables = frozenset(name for name in STAGES if self._stands(name))
        self._view("ledger", version.path / LEDGER_FILE)
        for name in self.tables:
            assert workspace is not None
            self._view(name, workspace.table_path(name))
        self.sets = [
            self._set(at, name, entry)
            for at, (name, entry) in enumerate(sorted(self.manifest["sets"].items()))
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.db.close()

    def has(self, *stages: str) -> bool:
        """Whether the tables of all these stages stand."""
        return self.tables.issuperset(stages)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.db.execute(query, list(values)).fetchall()

    def dicts(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query by their columns' names."""
        found = self.db.execute(query, list(values))
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def numbers(self, query: str) -> Any:
        """The one column of a query as a float array; null is NaN."""
        (column,) = self.db.execute(f"SELECT CAST(v AS DOUBLE) AS v FROM ({query}) AS q(v)").fetchnumpy().values()  # fmt: skip
        return column.filled(float("nan")) if hasattr(column, "filled") else column

    def count(self, query: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {query}")[0][0])

    def images(self, names: Collection[str]) -> dict[str, bytes]:
        """Images by name, those that the home's store has."""
        if self._workspace is None:
            return {}
        with self._workspace.images() as store:
            rows = store.get(names).to_pylist()
        return {row["image_id"]: row["bytes"] for row in rows}

    @cached_property
    def decisions(self) -> list[Mapping[str, Any]]:
        """Rows per stage, decision and rule, in running order."""
        return list(self.manifest["decisions"])

    def decided(self, stage: str) -> dict[tuple[str, str], int]:
        """Rows of one stage by (decision, rule), the most first."""
        found = {
            (each["decision"], each["rule"]): int(each["rows"])
            for each in self.decisions
            if each["stage"] == stage
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def counted(self, name: str) -> int | None:
        """One of the manifest's counts."""
        return next((int(c["rows"]) for c in self.manifest["counts"] if c["name"] == name), None)

    def check_unchanged(self) -> None:
        """Raises WinnowError where a run has replaced a stage table since the connection was made."""
        if changed := [name for name in self.tables if not self._stands(name)]:
            raise WinnowError(
                f"{changed[0]}: the recipe's run replaced this table while it was read; "
                "make the report again"
            )

    def _stands(self, stage: str) -> bool:
        if self._workspace is None:
            return False
        found = self._workspace.stamps(stage)
        return found is not None and found[1] == self.manifest["inputs"].get(stage)

    def _set(self, at: int, name: str, entry: Mapping[str, Any]) -> PublishedSet:
        view, columns = f"set_{at}", frozenset[str]()
        splits = sorted(entry["splits"].items(), reverse=True)  # train before holdout
        rows = {split: int(facts["rows"]) for split, facts in splits}
        for each in (name, *rows):
            if not _FILE_NAME.fullmatch(each):
                raise WinnowError(
                    f"{self.version.path}: {each!r} cannot be the name of a set or split"
                )
        for number, split in enumerate(rows):
            columns = self._view(f"{view}_{number}", self.version.table_path(name, split))
        parts = (f"SELECT * FROM {view}_{number}" for number in range(len(rows)))
        self.db.execute(f"CREATE TEMP VIEW {view} AS {' UNION ALL '.join(parts)}")
        kind = str(entry["settings"].get("type", name))
        linked = entry["made_with"] != made_with(self.manifest, name)
        return PublishedSet(name, view, kind, columns, rows, linked)

    def _view(self, name: str, path: Path) -> frozenset[str]:
        if not path.is_file():
            raise WinnowError(f"{path}: is missing")
        table = ds.dataset(path, format="parquet")
        self.db.register(name, table)
        return frozenset(table.schema.names)
