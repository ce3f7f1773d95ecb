"""What exists is never drawn, judged or embedded again: growing sources, more answers, new rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Silent
from winnow.pipeline.workspace import Workspace, open_store
from winnow.stages import chain
from winnow.stages.base import Context
from winnow.stages.drawing import reuse
from winnow.synth.sampling import Missing


class Notes(Silent):
    """Remembers what a run told of stored answers and verdicts."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        if "again" in text or "count under" in text:
            self.said.append(text)


class Project:
    """A recipe over a file of sums, answered by the counting server."""

    def __init__(self, folder: Path, server: Any) -> None:
        self.home, self._folder, self._server = folder / "home", folder, server
        self.recipe = folder / "sums.yaml"
        self.said: list[str] = []  # by the last run

    def write(
        self, prompts: int, *, n: int = 3, band: str = "[0.1, 0.9]", k: int = 3, also: str = ""
    ) -> None:
        rows = [{"prompt": f"What is {i} + {2 * i}?", "answer": str(3 * i)} for i in range(prompts)]
        (self._folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
        self.recipe.write_text(
            f"""
dataset: sums
sources: [{{type: dataset, name: sums, path: {self._folder / "sums.jsonl"}}}]
engine: {{type: openai, model: stub, base_url: "{self._server.url}"}}
sampling: {{n: {n}, max_tokens: 64{also}}}
clusters: {{k: {k}}}
sets:
  rl: {{pass_rate: {band}}}
"""
        )

    def run(self) -> tuple[chain.Report, int]:
        """(report, answers that this run asked for)."""
        before, notes = len(self._server.seeds()), Notes()
        report = chain.run(Context.of(self.recipe, self.home, progress=notes))
        self.said = notes.said
        return report, len(self._server.seeds()) - before

    def build(self) -> tuple[chain.Report, int]:
        before = len(self._server.seeds())
        report = chain.build(Context.of(self.recipe, self.home))
        return report, len(self._server.seeds()) - before

    def counts(self) -> dict[str, int]:
        found = {}
        for name in ("rollouts", "verdicts", "features"):
            with open_store(self.home, name) as store:
                found[name] = store.count()
        return found


@pytest.fixture
def project(tmp_path: Path, stub_server: Any) -> Project:
    return Project(tmp_path, stub_server)


def test_only_what_is_new_costs_anything(project: Project) -> None:
    project.write(8)
    first, asked = project.run()
    assert asked == 24
    assert project.said == []
    assert first.stage("rollouts").cost["answers_reused"] == 0
    assert project.counts() == {"rollouts": 24, "verdicts": 24, "features": 8}

    again, asked = project.run()
    assert asked == 0
    assert all(result.skipped for result in again.stages)
    assert again.version.id == first.version.id

    project.write(10)  # the source has grown by two rows
    grown, asked = project.run()
    assert asked == 6
    assert project.counts() == {"rollouts": 30, "verdicts": 30, "features": 10}
    assert grown.stage("embeddings").cost["computed_here"] == 2

    project.write(10, n=4)  # one more answer to each
    more, asked = project.run()
    assert asked == 10
    assert project.said == ["30 stored answers are used again, 10 are drawn"]
    assert more.stage("rollouts").cost["answers_reused"] == 30

    project.write(10, n=3)  # fewer: they are there already
    fewer, asked = project.run()
    assert asked == 0
    assert project.said == ["30 stored answers are used again, 0 are drawn"]
    assert fewer.version.id == grown.version.id

    project.write(10, n=4, also=", stop: [{type: until_k_correct, k: 1}]")
    ruled, asked = project.run()
    assert asked == 0
    count = ruled.stage("rollouts").counts["rollouts"]
    assert count < 40
    assert project.said == [
        f"{count} of 40 stored answers count under the present rules, "
        + "by which 10 of 10 prompts are decided"
    ]


def test_why_stored_answers_are_drawn_anew() -> None:
    cut = Missing("p", 0, attempt=1)
    failed = Missing("p", 1, attempt=2, failures=1)
    assert reuse(0, [Missing("p", 2, 0)]) == ""
    assert reuse(4, [Missing("p", 2, 0), cut, failed, failed]) == (
        "4 stored answers are used again, 4 are drawn, of them 1 because the stored one does not hold "
        "at this max_tokens and 2 because the last try failed"
    )


def test_a_new_threshold_is_published_without_sampling(project: Project) -> None:
    project.write(8)
    first, _ = project.run()
    project.write(8, band="[0.0, 0.5]")
    second, asked = project.build()
    assert asked == 0
    assert second.version.id != first.version.id
    rates = second.version.table("rl")["pass_rate"].to_pylist()
    assert all(rate <= 0.5 for rate in rates)
    project.write(8, k=2)
    with pytest.raises(UsageError, match="clusters"):
        project.build()


def test_a_new_reference_is_judged_anew_and_nothing_is_drawn(project: Project) -> None:
    project.write(4)
    project.run()
    source = project.recipe.parent / "sums.jsonl"
    source.write_text(source.read_text().replace('"answer": "3"', '"answer": "4"'))
    _, asked = project.run()
    assert asked == 0
    assert project.said == [
        "12 stored answers are used again, 0 are drawn",
        "9 verdicts are used again; 3 answers have none yet by these verifiers and references, "
        + "and are judged",
    ]
    assert project.counts()["verdicts"] == 12 + 3
    work = Workspace(project.home, "sums")
    assert work.num_rows("verdicts") == 12
