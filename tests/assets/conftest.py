"""A small recipe whose answers were imported, so that the whole graph runs without an engine."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from winnow.pipeline.workspace import open_store
from winnow.synth.engines.replay import import_rollouts

HOSTILE = (
    "<img src=x onerror=alert(1)> [tap](javascript:alert(2)) | `x` ![p](https://x.example/p.png)"
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
holdout: 0.2
"""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")


def write_home(home: Path) -> Path:
    """A home with a source of 13 rows (one without a reference, one twice) and 40 answers.

    Returns the recipe's path.
    """
    rows = [
        {"question": f"What is {a} + {a + 3}?", "answer": str(2 * a + 3), "topic": "sums"}
        for a in range(10)
    ]
    rows.append({"question": HOSTILE, "answer": "7", "topic": "<b>bold</b>"})
    rows.append({"question": "What is 1 + 1?", "answer": "", "topic": "sums"})
    rows.append(rows[0])
    (home / "recipes").mkdir(parents=True, exist_ok=True)
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
        yield f"{HOSTILE if index == 3 else 'Add them.'} The answer is \\boxed{{{value}}}."


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a home with the tiny recipe, under the given name."""

    def make(name: str) -> Path:
        home = tmp_path_factory.mktemp(name) / "data"
        write_home(home)
        return home

    return make
