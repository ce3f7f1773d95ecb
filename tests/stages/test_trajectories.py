"""Trajectories recorded from a table, and imported from logs, up to the selectors that read them."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.proxy import training
from winnow.pipeline.row_files import RowFile
from winnow.selectors.run import select
from winnow.stages.trajectories import METADATA, import_trajectories, names, train_proxy

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")
tokenizers: Any = pytest.importorskip("tokenizers")

SETTINGS = {"steps": 4, "checkpoints": 2, "batch_size": 4, "max_tokens": 24, "learning_rate": 1e-2}
WORDS = [f"w{i}" for i in range(50)]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost such a small model far more time than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    vocabulary = {word: at for at, word in enumerate(["[UNK]", "</s>", *WORDS])}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def jsonl(path: Path, rows: list[dict[str, Any]]) -> RowFile:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RowFile(path)


def text_rows(n: int = 10) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"w{i} w{i + 1} w{i + 2}",
            "completion": f" w{i + 3} w{i + 4}",
            "source": "ab"[i % 2],
        }
        for i in range(n)
    ]


def test_from_a_proxy_to_s2l(model: str, tmp_path: Path) -> None:
    long = {"prompt": "w1 " * 30, "completion": " w2", "source": "a"}
    rows = [*text_rows(), text_rows()[0], long, {"prompt": "w1", "source": "b"}]
    source = jsonl(tmp_path / "rows.jsonl", rows)
    output = tmp_path / "losses.parquet"
    found = train_proxy(source, output, model=model, settings=SETTINGS)
    assert (found.rows, found.without, found.times, found.known) == (13, 2, [2, 4], False)
    table = pq.read_table(output)
    assert table.column_names == ["row_id", "losses"]
    losses = table["losses"].to_pylist()
    assert losses[11:] == [[None, None]] * 2
    assert all(len(row) == 2 and min(row) > 0 for row in losses[:11])
    assert losses[10] == pytest.approx(losses[0], rel=1e-4)
    assert table["row_id"].to_pylist()[10] == table["row_id"].to_pylist()[0] + "-2"
    how = json.loads(table.schema.metadata[METADATA])
    assert how["steps"] == [2, 4] and how["kind"] == "losses"
    assert how["training"]["seed"] == 0 and how["training"]["steps"] == 4
    assert not (tmp_path / "losses.parquet.work").exists()

    chosen = select(
        "s2l", pa.Table.from_pylist(rows), features=[table], budget=6, clusters=2, min_cluster=1
    )
    assert sum(chosen["selected"].to_pylist()) == 6
    assert chosen["score"].null_count == 0, "a row without a response counts as zeros"


def test_what_is_there_is_not_computed_again(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = jsonl(tmp_path / "rows.jsonl", text_rows())
    output = tmp_path / "losses.parquet"
    train_proxy(source, output, model=model, settings=SETTINGS)
    before = output.read_bytes()
    monkeypatch.setattr(training, "load", None)
    assert train_proxy(source, output, model=model, settings=SETTINGS).known
    assert output.read_bytes() == before
    with pytest.raises(TypeError):  # another seed is another run, which would load the model
        train_proxy(source, output, model=model, settings={**SETTINGS, "seed": 1})
    assert output.read_bytes() == before


def test_files_that_make_no_sense(model: str, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "rows.jsonl", [{"x": 1}])
    for output, error in (
        (tmp_path / "out.parquet", "no column with a prompt"),
        (tmp_path / "out.jsonl", "must end in .parquet"),
        (tmp_path / "no" / "out.parquet", "there is no folder"),
    ):
        with pytest.raises(UsageError, match=error):
            train_proxy(source, output, model=model, settings=SETTINGS)
    empty = jsonl(tmp_path / "empty.jsonl", [{"prompt": "w1"}])
    with pytest.raises(UsageError, match="no row has a response"):
        train_proxy(empty, tmp_path / "out.parquet", model=model, settings=SETTINGS)


def test_rollouts_to_limr(tmp_path: Path) -> None:
    prompts = jsonl(
        tmp_path / "prompts.jsonl",
        [{"prompt": p, "answer": "1"} for p in ("P0 ", "P1", "P2", "P3")],
    )
    # Three epochs of two steps; P2 misses the last epoch, P3 has no answer at all.
    log = jsonl(
        tmp_path / "log.jsonl",
        [
            {"prompt": "P0", "step": 1, "reward": 1},
            {"prompt": "P0", "step": 2, "reward": -0.5},
            {"prompt": " P0", "step": 4, "reward": 1},
            {"prompt": "P0", "step": 5, "reward": 1},
            {"prompt": "P1", "step": 3, "reward": 0},
            {"prompt": "P1", "step": 6, "reward": 1},
            {"prompt": "P2", "step": 1, "reward": 1},
        ],
    )
    output = tmp_path / "acc.parquet"
    found = import_trajectories(log, output, "accuracies", steps_per_epoch=2, rows=prompts)
    assert (found.rows, found.without, found.times) == (4, 1, [0, 1, 2])
    table = pq.read_table(output)
    assert table["row_id"].to_pylist() == names(prompts)
    assert table["accuracies"].to_pylist() == [
        [0.5, 1.0, 1.0],
        [None, 0.0, 1.0],
        [1.0, None, None],
        [None, None, None],
    ]
    rows = pa.Table.from_pylist([r for b in prompts.batches() for r in b.rows])
    chosen = select("limr", rows, features=[table]).to_pylist()
    assert [r["reason"] for r in chosen[2:]] == ["missing_epoch"] * 2
    # Filled: (0.5, 1, 1) and (0, 0, 1), mean (0.25, 0.5, 1).
    assert chosen[0]["score"] == pytest.approx(1 - (0.0625 + 0.25) / (0.5625 + 0.25))


def test_a_log_alone_makes_a_table_of_its_own(tmp_path: Path) -> None:
    log = jsonl(
        tmp_path / "log.jsonl",
        [{"prompt": p, "epoch": e, "score": 1} for p in ("b", "a") for e in (0, 1)],
    )
    output = tmp_path / "acc.parquet"
    import_trajectories(log, output, "accuracies", columns={"reward": "score"})
    table = pq.read_table(output)
    assert table.to_pylist() == [
        {"prompt": "a", "accuracies": [1.0, 1.0]},
        {"prompt": "b", "accuracies": [1.0, 1.0]},
    ]
    assert select("limr", table)["selected"].to_pylist() == [True, True]


def test_losses_from_a_log(tmp_path: Path) -> None:
    entries = [
        {"row_id": 7, "checkpoint": 2, "loss": 0.5},
        {"row_id": 7, "checkpoint": 1, "loss": 1.5},
        {"row_id": 3, "checkpoint": 1, "loss": math.nan},
    ]
    log = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist(entries), log)
    output = tmp_path / "losses.parquet"
    found = import_trajectories(RowFile(log), output, "losses")
    assert (found.rows, found.without) == (2, 1)
    table = pq.read_table(output)
    assert table.to_pylist() == [
        {"row_id": "3", "losses": [None, None]},
        {"row_id": "7", "losses": [1.5, 0.5]},
    ]
    assert json.loads(table.schema.metadata[METADATA]) == {"kind": "losses", "steps": [1, 2]}
    rows = jsonl(tmp_path / "rows.jsonl", [{"row_id": 7}, {"row_id": 8}])
    import_trajectories(RowFile(log), output, "losses", rows=rows)
    assert pq.read_table(output).to_pylist() == [
        {"row_id": "7", "losses": [1.5, 0.5]},
        {"row_id": "8", "losses": [None, None]},
    ]


@pytest.mark.parametrize(
    ("entry", "kind", "columns", "error"),
    [
        ({"step": 1, "loss": 1.0}, "losses", {}, "no column names the row"),
        ({"row_id": "a", "loss": 1.0}, "losses", {}, "no column says when"),
        ({"row_id": "a", "step": 1}, "losses", {}, "no column 'loss'"),
        ({"row_id": "a", "step": 1, "loss": 1}, "losses", {"los": "x"}, "--column los: is none of"),
        ({"row_id": "a", "step": 1, "loss": 1}, "accuracies", {}, "no column 'reward'"),
        ({"row_id": None, "step": 1, "loss": 1}, "losses", {}, "entry 0 names no row"),
    ],
)
def test_logs_that_make_no_sense(
    tmp_path: Path, entry: dict[str, Any], kind: Any, columns: dict[str, str], error: str
) -> None:
    log = jsonl(tmp_path / "log.jsonl", [entry])
    with pytest.raises(UsageError, match=error):
        import_trajectories(log, tmp_path / "out.parquet", kind, columns=columns)
    assert not (tmp_path / "out.parquet").exists()


def test_a_log_of_other_rows(tmp_path: Path) -> None:
    log = jsonl(tmp_path / "log.jsonl", [{"prompt_id": "a", "epoch": 0, "reward": 1}])
    rows = jsonl(tmp_path / "rows.jsonl", [{"row_id": "x", "prompt_id": "b"}])
    with pytest.raises(UsageError, match="none of its prompt_id stands in"):
        import_trajectories(log, tmp_path / "out.parquet", "accuracies", rows=rows)
