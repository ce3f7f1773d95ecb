"""A small recipe whose answers were imported, so that the whole graph runs without an engine."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

HOSTILE = (
    "<img src=x onerror=alert(1)> [tap](javascript:alert(2)) | `x` ![p](https://x.example/p) "
    "www.x.example a@x.example"
)

RECIPE = """\
dataset: tiny
description: Sums, for tests.
sources:
  - type: dataset
    name: sums
    path: {source}
    columns: {{prompt: question, answer: answer, domain: topic}}
engine: {{type: replay, policy: someone@1}}
sampling: {{n: 4, max_tokens: 64}}
verify: {{workers: 1}}
clusters: {{k: 3}}
sets:
  sft: {{uds: false}}
  rl: {{pass_rate: [0.1, 0.9]}}
  preference: {{}}
holdout: 0.4
"""
VERBS = ("What is", "Compute", "Work out", "Give the value of", "Find")


def write_home(home: Path) -> Path:
    """A home with a source of 13 rows (one without a reference, one twice) and 44 answers.

    Returns the recipe's path.
    """
    from winnow.pipeline.workspace import open_store
    from winnow.synth.engines.replay import import_rollouts

    rows = [
        {"question": f"{VERBS[a // 2]} {a} + {a + 3}?", "answer": str(2 * a + 3), "topic": "sums"}
        for a in range(10)
    ]
    rows.append({"question": HOSTILE, "answer": "7", "topic": "<b>bold</b>"})
    rows.append({"question": "What is 1 + 1?", "answer": "", "topic": "sums"})
    rows.append(rows[0])
    (home / "recipes").mkdir(parents=True)
    source = home / "sums.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = home / "recipes" / "tiny.yaml"
    recipe.write_text(RECIPE.format(source=source))
    answers = [
        {"prompt": row["question"], "completion": text, "n_tokens": 9}
        for at, row in enumerate(rows[:11])
        for text in _answers(row["answer"], right=at % 5)
    ]
    with open_store(home, "rollouts", write=True) as store:
        assert import_rollouts(answers, store, policy="someone@1").added == 44
    return recipe


def _answers(reference: str, right: int) -> Iterator[str]:
    for index in range(4):
        value = reference if index < right else f"1000{index}"
        yield f"{HOSTILE if index else 'Add them.'} The answer is \\boxed{{{value}}}."


@pytest.fixture
def new_home(tmp_path: Path) -> Callable[[], Path]:
    """Makes a home that holds the tiny recipe; nothing has run there."""

    def make() -> Path:
        home = tmp_path / "data"
        write_home(home)
        return home

    return make


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `winnow run` has made everything. Copy it before you change it."""
    from winnow.stages import chain
    from winnow.stages.base import Context

    home = tmp_path_factory.mktemp("ran") / "data"
    recipe = write_home(home)
    chain.run(Context.of(recipe, home))
    return home


@pytest.fixture
def copy_of_ran(ran: Path, tmp_path: Path) -> Path:
    """A copy of `ran`; its source is still the original's, so its tables count as up to date."""
    import shutil

    home = tmp_path / "copy"
    shutil.copytree(ran, home, symlinks=True)
    return home


@dataclass(frozen=True)
class Two:
    """A home in which `winnow run` has published two versions and told Dagster; `ids`, oldest first."""

    home: Path
    ids: list[str]


@pytest.fixture(scope="session")
def two(ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    """A copy of `ran` with one more version. Copy it before you change it."""
    import shutil

    from tests.assets.runs import ask_for_another_set, run_and_report
    from winnow.assets.server import prepare
    from winnow.pipeline.publish.version import list_versions

    home = tmp_path_factory.mktemp("two") / "data"
    shutil.copytree(ran, home, symlinks=True)
    prepare(home)
    run_and_report(home)
    ask_for_another_set(home)
    run_and_report(home)
    return Two(home, [version.id for version in list_versions(home / "tiny")])


def materialise(home: Path, instance: Any, **options: Any) -> Any:
    """Run the job of the recipe tiny in this process."""
    from winnow.assets.factory import build
    from winnow.assets.snapshot import read_all

    job = build(read_all(home), home).resolve_job_def("tiny_all")
    return job.execute_in_process(instance=instance, **options)


@pytest.fixture(name="materialise")
def materialise_fixture() -> Callable[..., Any]:
    return materialise


@dataclass(frozen=True)
class Made:
    """A first materialisation of everything. Nobody changes it."""

    home: Path
    instance: Any
    result: Any


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    home = tmp_path_factory.mktemp("made") / "data"
    write_home(home)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Made(home, instance, materialise(home, instance))
