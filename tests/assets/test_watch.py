"""New files in a source's folder start a run."""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from winnow.assets.factory import build
from winnow.assets.snapshot import RecipeFile

RECIPE = """\
dataset: watched
sources:
  - {{type: dataset, name: sums, path: "{path}", columns: {{prompt: question, answer: answer}}}}
engine: {{type: replay, policy: someone@1}}
sets: {{rl: {{}}}}
"""


def definitions(home: Path, path: str) -> dg.Definitions:
    return build([RecipeFile("watched", "/r/watched.yaml", RECIPE.format(path=path))], home)


def look(home: Path, path: str, cursor: str | None) -> tuple[Any, str | None]:
    """What the sensor says, and its cursor afterwards."""
    defs = definitions(home, path)
    sensor = defs.get_sensor_def("watched_new_files")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance, cursor, definitions=defs)
        found = sensor(context)
        return found, getattr(found, "cursor", None) or context.cursor


def write(path: Path, age: float = 60.0) -> None:
    path.write_text(json.dumps({"question": "What is 1 + 2?", "answer": "3"}) + "\n")
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


@pytest.mark.parametrize("place", ["{folder}", "{folder}/*.jsonl"])
def test_a_new_file_asks_for_one_run(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = place.format(folder=folder)
    write(folder / "a.jsonl")
    found, cursor = look(tmp_path, path, None)
    assert isinstance(found, dg.SkipReason) and "the next change starts a run" in str(found)
    found, cursor = look(tmp_path, path, cursor)
    assert isinstance(found, dg.SkipReason) and "1 files, as before" in str(found)

    write(folder / "b.jsonl")
    found, after = look(tmp_path, path, cursor)
    assert len(found.run_requests) == 1
    found, _ = look(tmp_path, path, after)
    assert isinstance(found, dg.SkipReason)

    # What goes, or changes, is news as well; what it was before counts again.
    (folder / "b.jsonl").unlink()
    found, _ = look(tmp_path, path, after)
    assert len(found.run_requests) == 1


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.jsonl")
    _, cursor = look(tmp_path, str(folder), None)
    write(folder / "b.jsonl", age=0.0)
    found, after = look(tmp_path, str(folder), cursor)
    assert isinstance(found, dg.SkipReason) and "b.jsonl is being written" in str(found)
    assert after == cursor


def test_a_folder_that_is_not_there_yet_is_watched_and_a_hub_is_not(tmp_path: Path) -> None:
    found, cursor = look(tmp_path, str(tmp_path / "later"), None)
    assert isinstance(found, dg.SkipReason) and "0 files" in str(found)
    (tmp_path / "later").mkdir()
    write(tmp_path / "later" / "a.jsonl")
    found, _ = look(tmp_path, str(tmp_path / "later"), cursor)
    assert len(found.run_requests) == 1
    assert not definitions(tmp_path, "openai/gsm8k").sensors
