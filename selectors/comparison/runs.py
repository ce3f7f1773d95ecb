"""Several selectors over the same rows at the same budget, each in a process of its own.

A child process reads the rows from files, gathers what its selector declares and chooses (`worker`).
So one selector that fails, or that the system stops for want of memory, costs no other, and time and
memory are its own:

- seconds: wall time of choosing. The libraries are loaded before, by a run over a few rows.
- peak_bytes: the columns that the selector reads, and the highest resident memory while it chooses
  above that when it began.

The children run one after another, so that none slows another down.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Progress, Step
from winnow.pipeline.row_files import RowFile
from winnow.selectors.base import Column, Selector
from winnow.selectors.registry import get_selector
from winnow.selectors.run import declared

Status = Literal["ran", "not_run", "failed"]
POOL = "pool"  # what a comparison calls all rows


@dataclass(frozen=True)
class Contender:
    """A selector with its parameters, under the name that the comparison calls it by."""

    label: str
    selector: Selector[Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Column]:
        """The columns that it reads. Raises UsageError for wrong parameters."""
        return declared(self.selector, self.parameters)


@dataclass(frozen=True, eq=False)
class Run:
    """What became of a contender. `table` is what `select` returns, in the input's order, None unless
    it ran; `why` says in one line why it did not."""

    contender: Contender
    status: Status
    table: pa.Table | None = None
    why: str | None = None
    seconds: float | None = None
    peak_bytes: int | None = None

    @property
    def label(self) -> str:
        return self.contender.label


def contenders(
    names: Sequence[str], settings: Mapping[str, Any], *, baseline: str | None = "random"
) -> list[Contender]:
    """The selectors of `names`, each NAME or LABEL=NAME (to run one twice), and the baseline last
    unless one of them is it. `settings`: parameters by LABEL.key.

    Raises UsageError for an unknown name or parameter, or a label that stands twice.
    """
    pairs: dict[str, str] = {}
    for word in names:
        label, equals, name = word.partition("=")
        label, name = label.strip(), (name if equals else label).strip()
        if not label or not name:
            raise UsageError(f"--selectors: {word!r} is neither NAME nor LABEL=NAME")
        if label == POOL:
            raise UsageError(
                f"--selectors: {POOL} stands for all rows; call the run something else"
            )
        if label in pairs:
            raise UsageError(
                f"--selectors: {label} stands twice; to run a selector twice name the runs: "
                f"first={name},second={name}"
            )
        pairs[label] = name
    if baseline is not None and baseline not in (*pairs, *pairs.values()):
        pairs[baseline] = baseline
    if not pairs:
        raise UsageError("--selectors: names no selector (winnow selectors lists them)")
    parameters = _by_label(settings, pairs)
    found = [
        Contender(label, get_selector(name), parameters[label]) for label, name in pairs.items()
    ]
    for each in found:
        try:
            each.selector.parameters.read(each.parameters)
        except UsageError as error:
            raise UsageError(f"{each.label}: {error}; write --set {each.label}.key=value") from None
    return found


def _by_label(settings: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {label: {} for label in labels}
    for name, value in settings.items():
        # A label can hold dots, a parameter cannot.
        label, dot, key = name.rpartition(".")
        if not dot or label not in labels:
            raise UsageError(
                f"--set {name}: write NAME.key=value with one of the selectors: {', '.join(labels)}"
            )
        found[label][key] = value
    return found


def run_all(
    chosen: Sequence[Contender],
    source: RowFile,
    features: Sequence[RowFile] = (),
    *,
    budget: str,
    seed: int,
    columns: Mapping[str, str],
    progress: Progress,
) -> list[Run]:
    """Run every contender; one without its columns, or that fails, says why and the rest goes on.

    Raises UsageError where none could run.
    """
    there = {name for file in (source, *features) for name in file.columns}
    found: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="winnow-compare-") as folder:
        for at, each in enumerate(chosen):
            progress.step(Step("selectors", at, len(chosen), "selectors"))
            found.append(
                _missing(each, there, columns)
                or _run(each, source, features, budget, seed, columns, progress, Path(folder))
            )
        progress.step(Step("selectors", len(chosen), len(chosen), "selectors"))
    if all(run.status != "ran" for run in found):
        reasons = "; ".join(f"{run.label}: {run.why}" for run in found)
        raise UsageError(f"{source.path}: none of the selectors could run. {reasons}")
    return found


def _missing(each: Contender, there: set[str], columns: Mapping[str, str]) -> Run | None:
    lacking = [
        columns.get(c.name, c.name)
        for c in each.inputs
        if not c.optional and columns.get(c.name, c.name) not in there
    ]
    if not lacking:
        return None
    return Run(each, "not_run", why=f"no column {', '.join(lacking)}")


def _run(
    each: Contender,
    source: RowFile,
    features: Sequence[RowFile],
    budget: str,
    seed: int,
    columns: Mapping[str, str],
    progress: Progress,
    folder: Path,
) -> Run:
    job, output = folder / "job.json", folder / "choice.parquet"
    output.unlink(missing_ok=True)
    read = {c.name for c in each.inputs}
    job.write_text(
        json.dumps(
            {
                "selector": each.selector.name,
                "parameters": dict(each.parameters),
                "source": str(source.path.absolute()),
                "features": [str(file.path.absolute()) for file in features],
                "budget": budget,
                "seed": seed,
                "columns": {k: v for k, v in columns.items() if k in read},
                "output": str(output),
            }
        )
    )
    # -P: a file that lies where the user stands must not stand in for a module.
    command = [sys.executable, "-P", "-m", "winnow.selectors.comparison.worker", str(job)]
    said: dict[str, Any] = {}
    with (folder / "errors").open("w+") as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                _hear(line, each, said, progress)
            code = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            assert child.stdout is not None
            child.stdout.close()
        errors.seek(0)
        last = (errors.read().strip().splitlines() or [""])[-1]
    if code == 0 and "seconds" in said:
        table = pq.read_table(output)
        return Run(each, "ran", table, None, said["seconds"], said["peak_bytes"])
    if "refused" in said:
        return Run(each, "not_run", why=said["refused"])
    if code < 0:
        why = f"stopped by signal {-code}" + (" (out of memory?)" if code == -9 else "")
    else:
        why = said.get("failed") or f"exit code {code}: {last}"
    return Run(each, "failed", why=why)


def _hear(line: str, who: Contender, said: dict[str, Any], progress: Progress) -> None:
    """What a child prints: its progress, and in the end what came out. Other lines (a library's)
    tell nothing."""
    try:
        heard = json.loads(line)
    except ValueError:
        return
    if not isinstance(heard, dict):
        return
    if "step" in heard:
        stage, done, total, unit = heard["step"]
        own = stage == who.selector.name
        progress.step(Step(who.label if own else f"{who.label}: {stage}", done, total, unit))
    elif "note" in heard:
        progress.note(f"{who.label}: {heard['note']}")
    else:
        said.update(heard)
