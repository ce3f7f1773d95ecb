"""Every hostile program gets its verdict, and nothing outside is touched: as root and as a user."""

import json
import os
import subprocess
import sys
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
def results(who: str) -> dict[str, dict[str, Any]]:
    """What came of each program, judged by a process of this user or of an ordinary one."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="winnow-hostile-") as home:
        os.chmod(home, 0o755)  # noqa: PTH101
        folder = Path(home) / "canary"
        folder.mkdir()
        (folder / "canary.txt").write_text(CANARY)
        script = [str(HERE / "hostile.py"), str(folder)]
        if who == "an ordinary user":
            for path in (folder, folder / "canary.txt"):
                os.chown(path, USER, USER)
            script = [str(HERE / "as_user.py"), str(USER), home, *script]
        run = subprocess.run(
            [sys.executable, *script], capture_output=True, text=True, check=False, timeout=800
        )
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(found) == len(PROGRAMS), run.stderr[-2000:]
    return {one["name"]: one for one in found}


@pytest.mark.parametrize("who", ["this user", "an ordinary user"])
@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_a_hostile_program_gets_its_verdict(program: Program, who: str) -> None:
    if who == "an ordinary user" and os.geteuid() != 0:
        pytest.skip("this user is an ordinary one")
    found = results(who)[program.name]
    assert found["verdict"] == program.verdict, found
    assert not program.details or found["detail"].startswith(program.details), found
    assert not found["touched"], "something outside was changed"
    assert not found["left"], "a process was left, or one of ours was killed"
    assert not found["connected"], "something outside was reached"


def test_the_programs_are_many_and_different() -> None:
    assert len(set(NAMES)) == len(PROGRAMS) >= 90
    assert len({program.code for program in PROGRAMS}) == len(PROGRAMS)
