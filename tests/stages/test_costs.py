"""What runs have spent is in the version that they lead to, however often they were stopped."""

import json
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.publish.version import Version
from winnow.stages import chain, costs, training_set
from winnow.stages.base import Context, StageResult

ANSWERS = 12


def context(folder: Path, url: str, n: int = 2) -> Context:
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(6)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "sums.yaml").write_text(
        f"""
dataset: sums
sources: [{{type: dataset, name: sums, path: {folder / "sums.jsonl"}}}]
engine: {{type: openai, model: stub, base_url: "{url}"}}
sampling: {{n: {n}, max_tokens: 64}}
sets: {{rl: {{}}}}
"""
    )
    return Context.of(folder / "sums.yaml", folder / "home")


def told(version: Version) -> Any:
    return json.loads((version.path / "run.json").read_text())["costs"]


def test_a_run_that_died_before_it_published_is_counted(
    tmp_path: Path, stub_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(tmp_path, stub_server.url)

    def dies(*args: Any, **more: Any) -> Any:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(training_set, "run", dies)
        with pytest.raises(RuntimeError):
            chain.run(ctx)
    found = told(chain.run(ctx).version)
    assert found["rollouts"]["answers_drawn"] == ANSWERS
    assert found["rollouts"]["seconds"] > 0
    assert "runs" not in found["rollouts"]
    assert costs.spent(ctx) == {}

    # The next version tells what it took beyond the last one.
    more = told(chain.run(context(tmp_path, stub_server.url, n=3)).version)
    assert more["rollouts"]["answers_drawn"] == 6
    assert "prompts" not in more


def test_several_runs_add_up(tmp_path: Path, stub_server: Any) -> None:
    ctx = context(tmp_path, stub_server.url)
    (tmp_path / "home" / ".stages" / "sums").mkdir(parents=True)
    first = {"seconds": 2.0, "tokens_drawn": 30.0, "sampling_seconds": 1.0, "tokens_per_second": 30.0,
             "pass_rate": 0.1}  # fmt: skip
    second = {"seconds": 1.0, "tokens_drawn": 30.0, "sampling_seconds": 3.0, "tokens_per_second": 10.0,
              "pass_rate": 0.4}  # fmt: skip
    for cost in (first, second, {"seconds": 0.5}):
        costs.add(ctx, StageResult("rollouts", "v", False, {}, cost))
    costs.add(ctx, StageResult("verdicts", "v", True, {}, {"seconds": 9.0}))
    assert costs.spent(ctx) == {
        "rollouts": {"seconds": 3.5, "tokens_drawn": 60.0, "sampling_seconds": 4.0,
                     "tokens_per_second": 15.0, "pass_rate": 0.4, "runs": 3},
    }  # fmt: skip


def test_a_file_that_was_cut_stops_no_run(tmp_path: Path, stub_server: Any) -> None:
    ctx = context(tmp_path, stub_server.url)
    (tmp_path / "home" / ".stages" / "sums").mkdir(parents=True)
    (tmp_path / "home" / ".stages" / "sums" / "costs.json").write_text('{"rollouts": {"sec')
    assert told(chain.run(ctx).version)["rollouts"]["answers_drawn"] == ANSWERS
