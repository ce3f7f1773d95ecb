"""The recipe's section `clean`: who is left out before anything is sampled, and how it is told."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from winnow.pipeline.clean import cleaning
from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
from winnow.pipeline.models import resolve_embedder
from winnow.pipeline.progress import Silent
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.sources.ingest import ingest
from winnow.stages import prompts
from winnow.stages.base import Context, StageResult

LONG = (
    "A farmer keeps {n} hens in a long wooden barn beside the river and sells the eggs at the market "
    "every second morning of the week, how many eggs does the farmer sell in a month of thirty days"
)
EVALUATED = (
    "Let $ABCD$ be a cyclic quadrilateral whose diagonals meet at a right angle in the point P; show "
    "how far the point P lies from the midpoint of the side AB when the radius is seven"
)
SOURCE = [
    {"prompt": LONG.format(n=12) + "?", "answer": "360"},
    {"prompt": LONG.format(n=12) + " exactly?", "answer": "360"},  # a near copy, and longer
    {"prompt": LONG.format(n=15) + "?", "answer": "450"},  # of the same template as the last row
    {"prompt": f"Think well. {EVALUATED}", "answer": "3"},
    {"prompt": "<|im_start|>user\nWhat is the capital of the country?<|im_end|>", "answer": "1"},
    {"prompt": "What is the sum of two and three?", "answer": "5"},
    {"prompt": LONG.format(n=150) + "?", "answer": "4500"},
]


def run(folder: Path, clean: str) -> tuple[StageResult, Context]:
    source = folder / "source.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in SOURCE))
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"dataset: d\nsources: [{{type: dataset, name: s, path: '{source}'}}]\n"
        f"engine: {{type: replay, policy: p}}\n{clean}\nsets: {{rl: {{}}}}\n"
    )
    ctx = Context.of(recipe, folder / "home")
    return prompts.run(ctx), ctx


def decisions(ctx: Context) -> dict[int, Any]:
    """Ledger rows by the source row's number."""
    rows = ctx.workspace.read("prompts_ledger").to_pylist()
    return {int(row["detail"].split("[")[1].split("]")[0]): row for row in rows}


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "evaluation.parquet"
    pq.write_table(pa.table({"problem": ["Something else entirely, and short.", EVALUATED]}), path)
    return path


def test_each_drop_has_its_rule_and_the_rest_stays(tmp_path: Path, evaluation: Path) -> None:
    result, ctx = run(
        tmp_path,
        f"""clean:
  filters: {{}}
  decontaminate: {{against: [{{name: eval, path: '{evaluation}', column: problem}}]}}
  dedup: {{method: minhash, per_template: 1}}""",
    )
    found = decisions(ctx)
    rules = {at: (row["decision"], row["rule"]) for at, row in found.items()}
    assert rules[0] == ("dropped", "near_duplicate")
    assert rules[1] == ("kept", "ingested")
    assert rules[2] == ("dropped", "template")
    assert rules[3] == ("dropped", "contaminated")
    assert rules[4][0] == "dropped"
    assert rules[5] == ("kept", "ingested")
    assert "near_duplicate of s[1]" in found[0]["detail"]
    assert found[3]["value"].startswith("eval[1] ") and "cyclic quadrilateral" in found[3]["detail"]
    assert rules[6] == ("kept", "ingested")
    assert result.counts == {"rows_in": 7, "kept": 3, "dropped": 4}
    kept = ctx.workspace.read("prompts", ["source_index"])["source_index"].to_pylist()
    assert sorted(kept) == [1, 5, 6]
    hits = ctx.workspace.read("decontamination").to_pylist()
    assert {"set": "eval", "rule": "coverage", "items": 2, "items_hit": 1, "turns_hit": 1} in hits


def test_nothing_is_cleaned_unless_asked(tmp_path: Path) -> None:
    result, ctx = run(tmp_path, "")
    assert result.counts["kept"] == len(SOURCE)
    assert ctx.workspace.num_rows("decontamination") == 0


def test_another_evaluation_file_is_another_table(tmp_path: Path, evaluation: Path) -> None:
    clean = f"clean: {{decontaminate: {{against: [{{name: e, path: '{evaluation}', column: problem}}]}}}}"
    first, _ = run(tmp_path, clean)
    again, _ = run(tmp_path, clean)
    assert (first.skipped, again.skipped) == (False, True)
    pq.write_table(pa.table({"problem": ["What is the sum of two and three?"]}), evaluation)
    changed, ctx = run(tmp_path, clean)
    assert not changed.skipped
    assert decisions(ctx)[5]["rule"] == "contaminated"
    evaluation.unlink()
    with pytest.raises(UsageError, match=r"clean\.decontaminate\.against: e: .*no such file"):
        run(tmp_path, clean)
    pq.write_table(pa.table({"text": ["x"]}), evaluation)
    with pytest.raises(UsageError, match=r"no column 'problem'"):
        run(tmp_path, clean)


def test_the_best_source_survives(tmp_path: Path) -> None:
    rows = [
        {"prompt": LONG.format(n=12) + end, "answer": "360"} for end in ("?", " then, tell me?")
    ]
    for name, row in zip("ab", rows, strict=True):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    recipe = tmp_path / "recipe.yaml"
    survivors = []
    for prefer in ("[source, longest_prompt]", "[longest_prompt]"):
        recipe.write_text(
            f"dataset: d\nsources:\n"
            f"  - {{type: dataset, name: a, path: '{tmp_path}/a.jsonl'}}\n"
            f"  - {{type: dataset, name: b, path: '{tmp_path}/b.jsonl'}}\n"
            f"engine: {{type: replay, policy: p}}\n"
            f"clean: {{dedup: {{prefer: {prefer}}}}}\nsets: {{rl: {{}}}}\n"
        )
        ctx = Context.of(recipe, tmp_path / "home")
        prompts.run(ctx)
        survivors.append(ctx.workspace.read("prompts", ["source"])["source"].to_pylist())
    assert survivors == [["a"], ["b"]]


def test_an_item_that_is_one_turn_of_several_is_found(tmp_path: Path, evaluation: Path) -> None:
    """The digit-free comparison is with whole documents: with each turn, not with all of them."""
    pq.write_table(pa.table({"problem": ["What is the sum of 12 and 30 apples?"]}), evaluation)
    turns = [
        {"role": "user", "content": "Hello there, I have a question about fruit."},
        {"role": "assistant", "content": "Ask."},
        {"role": "user", "content": "What is the sum of 13 and 31 apples?"},
    ]
    (tmp_path / "chat.jsonl").write_text(json.dumps({"prompt": turns, "answer": "44"}) + "\n")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"dataset: d\nsources: [{{type: dataset, name: s, path: '{tmp_path}/chat.jsonl'}}]\n"
        "engine: {type: replay, policy: p}\nsets: {rl: {}}\n"
        "clean: {decontaminate: {rules: [exact], against: "
        f"[{{name: e, path: '{evaluation}', column: problem}}]}}}}\n"
    )
    ctx = Context.of(recipe, tmp_path / "home")
    assert prompts.run(ctx).counts["kept"] == 0
    assert decisions(ctx)[0]["rule"] == "contaminated"


def test_two_evaluation_files_of_one_name_are_an_error(tmp_path: Path, evaluation: Path) -> None:
    one = f"{{name: e, path: '{evaluation}', column: problem}}"
    with pytest.raises(UsageError, match="two files are named 'e'"):
        run(tmp_path, f"clean: {{decontaminate: {{against: [{one}, {one}]}}}}")


def test_duplicates_are_of_one_image_and_texts_are_embedded_once(tmp_path: Path) -> None:
    colours = {"red": "#f00", "green": "#0f0", "blue": "#00f"}
    for name, colour in colours.items():
        Image.new("RGB", (2, 2), colour).save(tmp_path / f"{name}.png")
    asked = "What is the colour of the square in the picture?"
    rows = [
        {"prompt": text, "answer": "1", "image": image}
        for text, image in (
            (asked, "red.png"),
            (asked, "green.png"),
            (f"So: {asked}", "red.png"),
            (asked, "blue.png"),
            (asked, None),
            (f"So: {asked}", "green.png"),
            ("How many birds sit on the roof?", "green.png"),
        )
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe.model_validate(
        {
            "dataset": "d",
            "sources": [{"type": "dataset", "name": "s", "path": str(source), "columns": {"images": "image"}}],
            "clean": {"dedup": {"method": "semantic"}},
            "sets": {"rl": {}},
        }
    )  # fmt: skip
    taken = ingest(recipe, count_tokens=None, max_prompt_tokens=None).prompts
    embedder = Embedding(SentenceTransformerEmbedder(resolve_embedder("all-minilm-l6-v2")))
    left = cleaning.clean(
        taken, recipe.clean, sources=["s"], embedder=lambda: embedder, progress=Silent()
    ).prompts
    assert len(embedder.asked) == 1
    assert len(embedder.asked[0]) == 5, "not those that are alone with their image"
    kept = set(left["source_index"].to_pylist())
    assert len(kept & {0, 2}) == len(kept & {1, 5}) == 1
    assert kept >= {3, 4, 6}


class Embedding:
    """An embedder that notes what it is asked."""

    def __init__(self, embedder: SentenceTransformerEmbedder) -> None:
        self._embedder, self.asked = embedder, list[list[str]]()
        self.identity = embedder.identity

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.append(list(texts))
        return self._embedder.embed(texts)
