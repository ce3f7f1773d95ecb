"""A run whose verifier asks a model: whom it asks, how its verdicts are named, what is asked again.

The counting server says nothing that a judge could mean, so that every answer stays unjudged.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.errors import UsageError
from winnow.stages import chain
from winnow.stages.base import Context

ANSWERS = 4


def recipe(folder: Path, server: Any, *, engine: str, judge: str) -> Path:
    rows = [{"prompt": f"Name river number {i}.", "answer": f"river {i}"} for i in range(ANSWERS)]
    (folder / "rivers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = folder / "rivers.yaml"
    stub = f'type: openai, model: stub, base_url: "{server.url}"'
    path.write_text(
        f"""
dataset: rivers
sources:
  - type: dataset
    name: rivers
    path: {folder / "rivers.jsonl"}
    verifier: judge
    verifier_args: {{n: 3, max_tokens: 20}}
engine: {{{engine.format(stub=stub)}}}
{f"judge: {{{judge.format(stub=stub)}}}" if judge else ""}
sampling: {{n: 1, max_tokens: 20}}
sets: {{rl: {{}}}}
"""
    )
    return path


def test_the_model_is_part_of_the_verdicts_name(tmp_path: Path, stub_server: Any) -> None:
    def run(judge: str) -> tuple[Any, int]:
        before = len(stub_server.seeds())
        ctx = Context.of(
            recipe(tmp_path, stub_server, engine="{stub}", judge=judge), tmp_path / "home"
        )
        chain.run(ctx)
        return ctx.workspace.read("verdicts"), len(stub_server.seeds()) - before

    verdicts, asked = run("")  # the policy judges itself
    assert asked == ANSWERS + 3 * ANSWERS
    assert set(verdicts["verdict"].to_pylist()) == {"unjudged"}
    assert set(verdicts["detail"].to_pylist()) == {"unreadable_judgement"}
    assert set(verdicts["verifier"].to_pylist()) == {"judge@1+stub@served"}
    raw = json.loads(verdicts["extracted"][0].as_py())
    assert raw["judge"] == "stub@served" and len(raw["replies"]) == 3
    assert run("")[1] == 0
    verdicts, asked = run("{stub}, revision: second")  # another judge of the same answers
    assert asked == 3 * ANSWERS
    assert set(verdicts["verifier"].to_pylist()) == {"judge@1+stub@second"}


def test_imported_answers_need_a_judge(tmp_path: Path, stub_server: Any) -> None:
    path = recipe(tmp_path, stub_server, engine="type: replay, policy: p", judge="")
    with pytest.raises(UsageError, match="judge: a verifier asks a model, and engine replay"):
        chain.run(Context.of(path, tmp_path / "home"))
