"""Every hostile program gets its verdict, and nothing outside is touched: as root and as a user."""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.verify.sandbox.hostile import CANARY, PROGRAMS, Program

pytestmark = pytest.mark.long
HERE = Path(__file__).parent
USER = 54_321  # who nobody is
NAMES = [program.name for program in PROGRAMS]


@cache
def results() -> dict[str, dict[str, dict[str, Any]]]:
    """What came of each program, judged by a process of this user and, at the same time, by one of
    an ordinary user (where this one is root)."""
    users = ["this user", "an ordinary user"] if os.geteuid() == 0 else ["this user"]
    with tempfile.TemporaryDirectory(prefix="winnow-hostile-") as home:
        os.chmod(home, 0o755)  # noqa: PTH101
        runs = {who: started(who, Path(home) / who.replace(" ", "-")) for who in users}
        return {who: read(*run.communicate(timeout=800)) for who, run in runs.items()}


def started(who: str, home: Path) -> subprocess.Popen[str]:
    folder = home / "canary"
    folder.mkdir(parents=True)
    (folder / "canary.txt").write_text(CANARY)
    command = [str(HERE / "hostile.py"), str(folder)]
    if who == "an ordinary user":
        for path in (folder, folder / "canary.txt"):
            os.chown(path, USER, USER)
        command = [str(HERE / "as_user.py"), str(USER), str(home), *command]
    return subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def read(output: str, errors: str) -> dict[str, dict[str, Any]]:
    found = {one["name"]: one for one in map(json.loads, output.splitlines())}
    missing = {"verdict": f"none: {errors[-2000:]}"}
    return {name: found.get(name, missing) for name in NAMES}


@pytest.mark.parametrize("who", ["this user", "an ordinary user"])
@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_a_hostile_program_gets_its_verdict(program: Program, who: str) -> None:
    if who == "an ordinary user" and os.geteuid() != 0:
        pytest.skip("this user is an ordinary one")
    found = results()[who][program.name]
    assert found["verdict"] == program.verdict, found
    assert not program.details or found["detail"].startswith(program.details), found
    assert not found["touched"], "something outside was changed"
    assert not found["left"], "a process was left, or one of ours was killed"
    assert not found["connected"], "something outside was reached"


def test_the_programs_are_many_and_different() -> None:
    assert len(set(NAMES)) == len(PROGRAMS) >= 90
    assert len({(program.code, str(program.args)) for program in PROGRAMS}) == len(PROGRAMS)
