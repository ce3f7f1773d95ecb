"""mypy is strict, and really looks into every folder: an error planted in each is found.

`make types` checks the tree itself; here a copy is checked, since a green checker that walks past a
folder looks just like one that found nothing.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLANTED = """
def planted_number() -> int:
    return "text"
"""


@pytest.mark.timeout(600)
def test_a_planted_error_is_found_in_every_folder(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT,
        tmp_path / "tree",
        symlinks=True,
        ignore=shutil.ignore_patterns(".venv", ".git", "data", ".mypy_cache", "*.egg-info"),
    )
    tree = tmp_path / "tree"
    places = ["pipeline", "selectors", "synth", "assets", "src/winnow/stages", "src/winnow/cli",
              "pipeline/verify", "tests", "benchmarks"]  # fmt: skip
    for place in places:
        name = "test_planted.py" if place == "tests" else "planted.py"
        (tree / place / name).write_text(PLANTED)
    cache = ROOT / ".mypy_cache"
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(cache)],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    missed = [
        p for p in places if f"{p.removeprefix('src/winnow/')}/" not in _planted(found.stdout)
    ]
    assert not missed, found.stdout
    errors = [line for line in found.stdout.splitlines() if "planted.py" not in line]
    assert errors == [f"Found {len(places)} errors in {len(places)} files" + _rest(errors)]


def _planted(output: str) -> str:
    return "\n".join(line for line in output.splitlines() if "planted.py" in line)


def _rest(errors: list[str]) -> str:
    return errors[-1][errors[-1].index(" (") :] if errors and " (" in errors[-1] else ""
