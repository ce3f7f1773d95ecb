"""Small sets, a ledger and a manifest to publish."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline import recipe
from winnow.pipeline.publish import manifest as manifests
from winnow.pipeline.publish.set_schemas import PREFERENCE, RL, SFT
from winnow.pipeline.publish.version import Version
from winnow.pipeline.publish.writer import publish
from winnow.pipeline.schema import LEDGER

RECIPE = """
dataset: demo
description: |
  A demonstration.

  Second paragraph.
seed: 3
sources:
  - {type: reasoning_gym, family: leg_counting, size: 20, seed: 5}
  - {type: dataset, path: rows.jsonl, name: file, licence: mit}
sets:
  sft: {per_prompt: 2}
  rl: {pass_rate: [0.1, 0.9]}
  preference: {}
holdout: 0.2
"""

Sets = dict[str, dict[str, pa.Table]]


def origin(n: int) -> dict[str, Any]:
    return {
        "prompt_id": f"prompt-{n}",
        "task_id": f"task-{n}",
        "source": "leg_counting",
        "licence": "apache-2.0",
        "template_id": f"group-{n}",
        "policy": "model@1",
        "template": "t",
        "sampler": "{}",
        "pass_rate": (n % 5) / 4,
        "cluster": n % 3,
        "verifier": "reasoning_gym",
    }


def messages(*texts: str) -> list[dict[str, str]]:
    return [
        {"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)
    ]


def sft_rows(numbers: range, answer: str = "answer") -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "id": f"sft-{n:06d}",
                "messages": messages(f"Question {n} € \n'x'", f"{answer} {n}"),
                "weight": 1.0,
                "rollout_id": f"rollout-{n}",
                "verdict": "correct",
                "score": None if n % 4 == 0 else n / 10,
                **origin(n),
            }
            for n in numbers
        ],
        SFT,
    )


def rl_rows(numbers: range) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "id": f"rl-{n:06d}",
                "prompt": messages(f"Question {n}"),
                "answer": None if n % 2 else str(n),
                "verifier_args": "{}",
                "n_judged": 4,
                **origin(n),
            }
            for n in numbers
        ],
        RL,
    )


def preference_rows(numbers: range) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "id": f"pair-{n:06d}",
                "prompt": messages(f"Question {n}"),
                "chosen": messages("", f"right {n}")[1:],
                "rejected": messages("", f"wrong {n}")[1:],
                "contrast": "correctness",
                "chosen_rollout_id": f"rollout-{n}",
                "rejected_rollout_id": f"rollout-{n}-wrong",
                **origin(n),
            }
            for n in numbers
        ],
        PREFERENCE,
    )


def ledger_rows(*decisions: tuple[str, ...]) -> pa.Table:
    """(row_id, stage, decision, rule, value, threshold) each."""
    names = ("row_id", "stage", "decision", "rule", "value", "threshold")
    return pa.Table.from_pylist(
        [dict(zip(names, each, strict=False)) for each in decisions], LEDGER
    )


def make_manifest(text: str = RECIPE, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "code_version": "0.1.0",
        "models": {"policy": "model@1", "embedder": "mini@2"},
        "verifiers": ["reasoning_gym@1", "math@1"],
        "inputs": {"prompts": "aa", "rollouts": "bb"},
        "counts": {"rows in": 40, "sampled": 36},
        "prompts_by_source": {"leg_counting": 20, "file": 16},
        "pass_rates": [0.0, 0.25, 0.5, 1.0, None],
    }
    return manifests.build(recipe.dump(recipe.parse(text)), **{**given, **changes})


def demo_sets() -> Sets:
    return {
        "sft": {"train": sft_rows(range(50)), "holdout": sft_rows(range(50, 60))},
        "rl": {"train": rl_rows(range(20)), "holdout": rl_rows(range(0))},
        "preference": {"train": preference_rows(range(5))},
    }


Publish = Callable[..., Version]


@pytest.fixture
def sets() -> Sets:
    return demo_sets()


@pytest.fixture
def rows() -> Mapping[str, Callable[..., pa.Table]]:
    """Makers of tables: sft(range, answer), rl(range), preference(range), ledger(*decisions)."""
    return {"sft": sft_rows, "rl": rl_rows, "preference": preference_rows, "ledger": ledger_rows}


@pytest.fixture
def recipe_text() -> str:
    return RECIPE


@pytest.fixture
def manifest() -> Callable[..., dict[str, Any]]:
    return make_manifest


@pytest.fixture
def published() -> Publish:
    """publish(folder, sets, ...) with a small manifest and ledger where none are given."""

    def call(folder: Path, sets: Sets, **given: Any) -> Version:
        given.setdefault("manifest", make_manifest())
        given.setdefault("ledger", ledger_rows(("row-1", "prompts", "dropped", "empty")))
        return publish(folder, sets, **given)

    return call
