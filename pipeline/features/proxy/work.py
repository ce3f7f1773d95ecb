"""Where a proxy's training keeps what a killed run goes on from.

`run.json` says what is being computed, `state-3.pt` holds model and optimizer at the third
checkpoint, `losses-2.npy` the losses at the second. A file stands under its name only when it is
whole and on disk, and an old state goes only when a newer one is there.
"""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError, WinnowError


class WorkFolder:
    """The folder `path` for a run of which `what` says all that determines its result."""

    def __init__(self, path: Path, what: Mapping[str, Any]) -> None:
        self.path = path
        self._what = dict(what)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the folder. Raises UsageError where it belongs to another run, WinnowError where
        another process holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WinnowError(f"{self.path}: another process is at work there") from None
            self._claim()
            yield

    def last_state(self) -> int:
        """The newest checkpoint whose state is here; 0 if there is none."""
        return max(self._numbers("state", "pt"), default=0)

    def state_path(self, checkpoint: int) -> Path:
        return self.path / f"state-{checkpoint}.pt"

    def save_state(self, checkpoint: int, write: Callable[[BinaryIO], None]) -> None:
        """Write a state; those of earlier checkpoints go."""
        _write(self.state_path(checkpoint), write)
        for old in self._numbers("state", "pt"):
            if old < checkpoint:
                self.state_path(old).unlink()

    def losses(self, checkpoint: int) -> NDArray[np.float64] | None:
        """The losses at a checkpoint, where they are known."""
        path = self._losses_path(checkpoint)
        return np.load(path) if path.is_file() else None

    def save_losses(self, checkpoint: int, losses: NDArray[np.float64]) -> None:
        _write(self._losses_path(checkpoint), lambda file: np.save(file, losses))

    def remove(self) -> None:
        """Delete what this class wrote, and the folder if nothing else is in it."""
        for kind, end in (("state", "pt"), ("losses", "npy")):
            for number in self._numbers(kind, end):
                (self.path / f"{kind}-{number}.{end}").unlink()
        for name in ("run.json", "lock"):
            (self.path / name).unlink(missing_ok=True)
        for part in self.path.glob("*.part"):
            part.unlink()
        with suppress(OSError):
            self.path.rmdir()

    def _claim(self) -> None:
        file = self.path / "run.json"
        # As JSON gives it back, so that a tuple equals the list that it becomes.
        mine = json.loads(json.dumps(self._what))
        if not file.is_file():
            text = json.dumps(mine, indent=1).encode()
            _write(file, lambda out: out.write(text))
            return
        there = json.loads(file.read_text(encoding="utf-8"))
        other = sorted(k for k in {*there, *mine} if there.get(k) != mine.get(k))
        if other:
            raise UsageError(
                f"{self.path}: holds an unfinished run that differs in {', '.join(other)}; "
                "finish that one, delete the folder, or name another output"
            )

    def _losses_path(self, checkpoint: int) -> Path:
        return self.path / f"losses-{checkpoint}.npy"

    def _numbers(self, kind: str, end: str) -> list[int]:
        names = (re.fullmatch(rf"{kind}-(\d+)\.{end}", p.name) for p in self.path.iterdir())
        return [int(name[1]) for name in names if name]


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
