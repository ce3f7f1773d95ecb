"""UDS in a recipe: what is scored, stored and kept."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.features.tiny_models import CHAT, tiny, tokenizer
from winnow.cli import main as cli
from winnow.pipeline.features.scorer import CausalScorer, TokenRow
from winnow.pipeline.features.uds_signals import UdsOptions
from winnow.pipeline.models import resolve_model
from winnow.pipeline.workspace import open_store
from winnow.stages.base import Context
from winnow.stages.selection_pool import pool_table

pytest.importorskip("torch")

RECIPE = """
dataset: sums
seed: 3
sources:
  - {{type: dataset, name: sums, path: "{folder}/sums.jsonl", verifier: math}}
engine: {{type: replay, policy: teacher}}
sampling: {{n: 1, max_tokens: 50}}
clusters: {{k: 2}}
uds: {{model: "{folder}/model", max_tokens: 30, batch: 2, keep: 1}}
sets:
  sft: {{pass_rate: [0.0, 1.0]}}
"""


def winnow(*words: str) -> None:
    sys.argv = ["winnow", *words]
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert not done.value.code


@pytest.mark.parametrize(("kind", "norm"), [("llama", "linear head"), ("gemma2", "gram of logits")])
def test_scores_are_the_scorers_and_stay(kind: str, norm: str, tmp_path: Path) -> None:
    tiny(kind, tmp_path / "model")
    words: Any = tokenizer(tmp_path / "model", chat=CHAT)
    answers = {f"What is {i}+{i}?": f"The answer is {2 * i}." for i in range(4)}
    sums = [{"prompt": p, "answer": a.split()[-1][:-1]} for p, a in answers.items()]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, sums)))
    drawn = [{"prompt": p, "completion": a} for p, a in answers.items()]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, drawn)))
    recipe, home = tmp_path / "sums.yaml", tmp_path / "home"
    recipe.write_text(RECIPE.format(folder=tmp_path))
    winnow(
        "import-rollouts", str(tmp_path / "answers.jsonl"), "--policy", "teacher",
        "--home", str(home),
    )  # fmt: skip
    winnow("run", str(recipe), "--home", str(home))

    ctx = Context.of(recipe, home)
    scored = {row["rollout_id"]: row for row in ctx.workspace.read("scores").to_pylist()}
    assert len(scored) == 4 and sum(row["selected"] for row in scored.values()) == 2
    scorer = CausalScorer(resolve_model(str(tmp_path / "model")), UdsOptions(seed=3, max_tokens=30))
    pool = [row for row in pool_table(ctx, "answers").to_pylist() if row["row_id"] in scored]
    for row in pool:
        prompt = words.apply_chat_template(
            row["messages"], add_generation_prompt=True, return_dict=False
        )
        answer = words.encode(row["completion"], add_special_tokens=False)
        tokens = TokenRow.of(prompt, answer)
        uds = scorer.score([tokens])[0].uds
        assert uds is not None
        found = scored[row["row_id"]]
        assert found["nuclear_norm"] == pytest.approx(uds.nuclear_norm, rel=1e-5)
        assert found["n_tokens_scored"] == min(len(tokens.tokens), 30)
        assert row["sketch"] == pytest.approx(uds.sketch.tolist(), rel=1e-3, abs=1e-2)
    with open_store(home, "features") as store:
        forms = store.all(["feature", "form"]).to_pylist()
    assert {json.loads(f["form"])["norm"] for f in forms if f["feature"] == "sketch"} == {norm}

    # What is stored is not computed again: the weights are not even read, nor after a clean-up.
    winnow("gc", "--home", str(home), "--delete")
    ctx.workspace.table_path("scores").unlink()
    before = {name: row["nuclear_norm"] for name, row in scored.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("winnow.pipeline.features.causal_model.load", None)
        winnow("run", str(recipe), "--home", str(home))
    after = ctx.workspace.read("scores", ["rollout_id", "nuclear_norm"]).to_pylist()
    assert {row["rollout_id"]: row["nuclear_norm"] for row in after} == before
