"""Entropy by temperature over a recipe's prompts: answers from a server, logits of a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.pipeline.features.tiny_models import tiny, tokenizer
from winnow.pipeline.errors import UsageError
from winnow.stages import temperature
from winnow.stages.base import Context

CHAT = "{% for m in messages %}<|u|>{{ m['content'] }}\n{% endfor %}<|a|>"


def context(folder: Path, engine: str) -> Context:
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(12)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = folder / "sums.yaml"
    recipe.write_text(
        f"""
dataset: sums
sources: [{{type: dataset, name: sums, path: {folder / "sums.jsonl"}, verifier: math}}]
engine: {engine}
sampling: {{n: 4, max_tokens: 64}}
sets: {{rl: {{}}}}
"""
    )
    return Context.of(recipe, folder / "home")


def test_answers_are_drawn_once_and_hotter_ones_have_more_entropy(
    tmp_path: Path, stub_server: Any
) -> None:
    model = tmp_path / "model"
    tiny("llama", model)
    tokenizer(model, chat=CHAT)
    ctx = context(tmp_path, f'{{type: openai, model: stub, base_url: "{stub_server.url}"}}')
    found = temperature.measure(ctx, [0.5, 1.0], prompts=5, answers=2, model=str(model))
    assert [(p.temperature, p.answers) for p in found] == [(0.5, 10), (1.0, 10)]
    # The stub answers by the seed alone, so that only the division of the logits differs.
    assert found[0].entropy < found[1].entropy
    assert found[0].tokens == found[1].tokens > 10
    asked = len(stub_server.seeds())
    assert asked == 20
    more = temperature.measure(ctx, [0.5, 1.0, 2.0], prompts=5, answers=2, model=str(model))
    assert len(stub_server.seeds()) == asked + 10
    assert more[:2] == found


@pytest.mark.parametrize(
    ("engine", "temperatures", "said"),
    [
        ("{type: replay, policy: teacher}", [1.0], "replay samples nothing"),
        ('{type: openai, model: m, base_url: "http://127.0.0.1:9/v1"}', [1.0], "no weights here"),
        ('{type: openai, model: m, base_url: "http://127.0.0.1:9/v1"}', [0.0], "must be above 0"),
    ],
)
def test_what_makes_no_sense(
    tmp_path: Path, engine: str, temperatures: list[float], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        temperature.measure(context(tmp_path, engine), temperatures)
