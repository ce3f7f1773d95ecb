"""Two runs of one recipe at once: the second waits, and both end with the same version."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from winnow.pipeline.publish.version import list_versions
from winnow.pipeline.workspace import open_store


def test_the_second_of_two_runs_draws_nothing_again(tmp_path: Path, stub_server: Any) -> None:
    rows = [{"prompt": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(20)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = tmp_path / "both.yaml"
    recipe.write_text(
        f"""
dataset: sums
sources: [{{type: dataset, name: sums, path: {tmp_path / "sums.jsonl"}}}]
engine: {{type: openai, model: stub, base_url: "{stub_server.url}"}}
sampling: {{n: 4, max_tokens: 64, concurrency: 8}}
sets:
  sft: {{uds: false}}
"""
    )
    command = [sys.executable, "-m", "winnow.cli.main", "run", str(recipe)]
    command += ["--home", str(tmp_path / "home")]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ends = [run.communicate(timeout=200) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ends
    assert sum("waiting for process" in err for _, err in ends) == 1
    assert len(stub_server.seeds()) == len(set(stub_server.seeds())) == 80
    with open_store(tmp_path / "home", "rollouts") as store:
        assert store.count() == 80
    assert len(list_versions(tmp_path / "home" / "sums")) == 1
