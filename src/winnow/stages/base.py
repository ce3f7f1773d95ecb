"""What every stage takes and gives, and how one finds out that it has nothing to do."""

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from winnow.pipeline import recipe as recipes
from winnow.pipeline.names import digest
from winnow.pipeline.progress import Progress, Silent
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.workspace import Workspace, default_home

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """One run: a recipe, its folders, who listens, and how many source rows to look at.

    `retry_errors`: draw anew also those answers whose failure stands for good.
    """

    recipe: Recipe
    workspace: Workspace
    limit: int | None = None
    progress: Progress = field(default_factory=Silent)
    retry_errors: bool = False

    @classmethod
    def of(
        cls,
        path: Path,
        home: Path | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> "Context":
        """The context of the recipe file `path`; raises UsageError where the recipe is wrong."""
        workspace = Workspace(home or default_home(), path.stem)
        return cls(recipes.load(path), workspace, limit, progress or Silent())

    def waits(self, holder: str) -> None:
        """Tell that another process holds a lock."""
        self.progress.note(f"waiting for process {holder}, which is writing here")


@dataclass(frozen=True)
class StageResult:
    """What a stage did. `counts` are rows by name; `cost` holds times and tokens of this run."""

    stage: str
    data_version: str
    skipped: bool
    counts: Mapping[str, int]
    cost: Mapping[str, float] = field(default_factory=dict)


def fingerprint(ctx: Context, stage: str, version: str, inputs: Mapping[str, Any]) -> str:
    """Name of a stage's work: its code version, its part of the recipe, the tables it reads."""
    return digest(f"stage/{stage}/{version}", {"inputs": dict(inputs), "limit": ctx.limit})


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end. Where several of its tasks fail at once, the first failure rises."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


@dataclass
class Clock:
    seconds: float = 0.0


@contextmanager
def timed() -> Iterator[Clock]:
    """Wall seconds of the block."""
    clock, start = Clock(), time.perf_counter()
    try:
        yield clock
    finally:
        clock.seconds = time.perf_counter() - start
