"""A real small run, hostile texts among its rows, and the report on what it published."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.publish.report.pages import HOSTILE, Page, read
from winnow.pipeline.publish.report import workspace_of, write
from winnow.pipeline.publish.version import Version, open_version, resolve
from winnow.pipeline.workspace import Workspace

SUMS = 24
RECIPE = """\
dataset: tiny
description: {hostile}
sources:
  - type: dataset
    name: sums
    path: {folder}/sums.jsonl
    licence: {hostile}
    columns: {{prompt: question, answer: answer, domain: topic}}
  - type: dataset
    name: words
    path: {folder}/words.jsonl
    verifier: exact
    columns: {{prompt: question, answer: answer, domain: topic}}
engine: {{type: replay, policy: someone@1}}
sampling: {{n: 4, max_tokens: 64}}
verify: {{workers: 1}}
clusters: {{k: 3}}
sets:
  sft: {{uds: false, per_prompt: 1}}
  rl: {{pass_rate: [0.1, 0.9]}}
  preference: {{}}
holdout: 0.3
"""
VERBS = ("What is", "Compute", "Work out", "Give the value of", "Find")


def write_home(home: Path) -> Path:
    """A home with two sources and their imported answers; returns the recipe's path. One prompt stands
    in both sources, under another verifier; one reference is wrong, and all its answers agree."""
    from winnow.pipeline.workspace import open_store
    from winnow.synth.engines.replay import import_rollouts

    sums = [
        {"question": f"{VERBS[a % 5]} {a} + {a + 3}?", "answer": str(2 * a + 3), "topic": "sums"}
        for a in range(SUMS)
    ]
    sums.append({"question": "What is 2 + 2, then?", "answer": "5000", "topic": "sums"})
    sums += [{"question": "What is 1 + 1?", "answer": "", "topic": "sums"}, sums[0]]
    words = [
        {"question": f"{HOSTILE.replace(chr(0), '')} number {n}", "answer": "7", "topic": HOSTILE}
        for n in range(3)
    ]
    words.append({"question": sums[2]["question"], "answer": "seven", "topic": "words"})
    (home / "recipes").mkdir(parents=True)
    for name, rows in (("sums", sums), ("words", words)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (home / f"{name}.jsonl").write_text(text)
    recipe = home / "recipes" / "tiny.yaml"
    recipe.write_text(RECIPE.format(folder=home, hostile=json.dumps(HOSTILE)))
    asked = [*sums[: SUMS + 1], *words[:3]]
    answers = [
        {"prompt": row["question"], "completion": text, "n_tokens": 5 + at}
        for at, row in enumerate(asked)
        for text in _answers(row["answer"], at)
    ]
    with open_store(home, "rollouts", write=True) as store:
        import_rollouts(answers, store, policy="someone@1")
    return recipe


def _answers(reference: str, at: int) -> Iterator[str]:
    for index in range(4):
        value = "4" if reference == "5000" else reference if index < at % 5 else f"1000{index}"
        yield f"{HOSTILE if index == 1 else 'Add them.'} The answer is \\boxed{{{value}}}."


@dataclass(frozen=True)
class Reported:
    """A version, the workspace of its recipe, and its report. Nobody changes them."""

    home: Path
    version: Version
    workspace: Workspace
    path: Path
    page: Page


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    from winnow.stages import chain
    from winnow.stages.base import Context

    home = tmp_path_factory.mktemp("report") / "data"
    recipe = write_home(home)
    chain.run(Context.of(recipe, home))
    version = resolve("tiny", home)
    workspace = workspace_of(version, home)
    assert workspace == Workspace(home, "tiny")
    path = write(version, workspace, home / "report.html")
    return Reported(home, version, workspace, path, read(path))


@pytest.fixture
def copied(ran: Reported, tmp_path: Path) -> tuple[Version, Workspace]:
    """A copy of the run that a test may change."""
    home = tmp_path / "data"
    shutil.copytree(ran.home, home)
    return open_version(home / "tiny" / ran.version.id), Workspace(home, "tiny")


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Page]:
    """report(version, workspace, ...) writes a report and reads it."""

    def call(version: Version, workspace: Workspace | None = None, **options: Any) -> Page:
        return read(write(version, workspace, tmp_path / "page.html", **options))

    return call
