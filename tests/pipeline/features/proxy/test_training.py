"""The proxy's training: losses against the model's own, resumption, the order of rows."""

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.features.proxy import training
from winnow.pipeline.features.proxy.training import (
    Example,
    ProxyTraining,
    batch_rows,
    record_losses,
)
from winnow.pipeline.features.proxy.work import WorkFolder
from winnow.pipeline.models import ModelFolder
from winnow.pipeline.progress import Step

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

VOCABULARY = 40
SETTINGS = ProxyTraining(
    steps=6, checkpoints=3, batch_size=4, learning_rate=1e-2, warmup=0.34, max_tokens=16
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost such a small model far more time than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        attention_dropout=0.2,  # so that random numbers are drawn in training
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return ModelFolder("tiny", "1", str(folder))


def examples(n: int = 11, seed: int = 0) -> list[Example]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        length = int(rng.integers(3, 16))
        tokens = rng.integers(0, VOCABULARY, length).astype(np.int32)
        found.append(Example(tokens, int(rng.integers(0, length))))
    return found


def loaded(folder: ModelFolder) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder.path, dtype=torch.float32)


def own_loss(model: Any, example: Example) -> float:
    """The loss that the model itself gives for one row, prompt tokens masked."""
    tokens = torch.tensor(example.tokens.astype(np.int64))[None]
    labels = tokens.clone()
    labels[:, : example.start] = -100
    with torch.no_grad():
        return float(model(input_ids=tokens, labels=labels).loss)


def test_losses_are_those_of_the_model_one_row_at_a_time(
    model: ModelFolder, tmp_path: Path
) -> None:
    """With a learning rate that changes nothing, of rows with one token and with a prompt or none."""
    rows = [
        *examples(),
        Example(np.array([3, 5, 7], np.int32), 2),
        Example(np.arange(5, dtype=np.int32), 0),
    ]
    still = replace(SETTINGS, learning_rate=1e-30)
    found = record_losses(model, rows, still, tmp_path / "work")
    alone = loaded(model).eval()
    for at in range(still.checkpoints):
        np.testing.assert_allclose(
            found[:, at], [own_loss(alone, row) for row in rows], rtol=1e-5, atol=1e-6
        )


def test_training_is_that_of_a_plain_loop(model: ModelFolder, tmp_path: Path) -> None:
    """AdamW, clipping, warm-up and cosine, written out, one row at a time."""
    chosen = replace(SETTINGS, batch_size=9)
    folder = tmp_path / "no-dropout"
    plain = loaded(model)
    plain.config.attention_dropout = 0.0
    plain.save_pretrained(folder)
    rows = examples()
    found = record_losses(ModelFolder("plain", "1", str(folder)), rows, chosen, tmp_path / "work")
    net = loaded(ModelFolder("plain", "1", str(folder)))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1.0, weight_decay=0.0)
    trainable = np.arange(len(rows))
    want, norms = [], list[float]()
    for step in range(1, chosen.steps + 1):
        warm = math.ceil(chosen.warmup * chosen.steps)  # 3 of 6
        done = step - 1
        if done < warm:
            rate = done / warm
        else:
            rate = 0.5 * (1 + math.cos(math.pi * (done - warm) / (chosen.steps - warm)))
        optimizer.param_groups[0]["lr"] = chosen.learning_rate * rate
        optimizer.zero_grad()
        batch = [rows[at] for at in batch_rows(trainable, step, chosen)]
        total = sum(len(row.tokens) - max(row.start, 1) for row in batch)
        for row in batch:
            tokens = torch.tensor(row.tokens.astype(np.int64))
            logits = net(input_ids=tokens[None]).logits[0]
            first = max(row.start, 1)
            logprobs = logits[first - 1 : -1].log_softmax(-1).gather(1, tokens[first:, None])
            (-logprobs.sum() / total).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)))
        optimizer.step()
        if step in (2, 4, 6):
            net.eval()
            want.append([own_loss(net, row) for row in rows])
            net.train()
    np.testing.assert_allclose(found.T, want, rtol=2e-4, atol=2e-4)
    assert min(norms) < 1 < max(norms), "some gradients are clipped"
    assert np.abs(found[:, 2] - found[:, 0]).max() > 0.05, "the model learned something"
    dropping = record_losses(model, rows, chosen, tmp_path / "dropout")
    assert np.abs(dropping - found).max() > 1e-3, "training draws, where a model drops out"


class Killed(Exception):
    pass


class Killer:
    """Raises when a stage reports that so much is done."""

    def __init__(self, stage: str, done: int) -> None:
        self.stage, self.done, self.notes = stage, done, list[str]()

    def step(self, step: Step) -> None:
        if step.stage == self.stage and step.done == self.done:
            raise Killed

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("stage", "done", "goes_on"),
    [
        ("train", 1, None),  # before the first checkpoint: from the start
        ("train", 3, "going on from step 2"),  # between checkpoints
        ("losses", 22, "going on from step 4"),  # a state is stored, its losses are not
        ("train", 6, "going on from step 4"),
    ],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    model: ModelFolder, tmp_path: Path, stage: str, done: int, goes_on: str | None
) -> None:
    rows = examples()
    whole = record_losses(model, rows, SETTINGS, tmp_path / "whole")
    work = tmp_path / "stopped"
    with pytest.raises(Killed):
        record_losses(model, rows, SETTINGS, work, Killer(stage, done))
    assert len(list(work.glob("state-*"))) <= 1
    rest = Killer("nothing", 1)
    np.testing.assert_array_equal(record_losses(model, rows, SETTINGS, work, rest), whole)
    assert [n for n in rest.notes if "going on" in n] == ([goes_on] if goes_on else [])


def test_a_finished_run_loads_no_model(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = record_losses(model, examples(), SETTINGS, tmp_path / "work")
    monkeypatch.setattr(training, "load", None)
    np.testing.assert_array_equal(
        record_losses(model, examples(), SETTINGS, tmp_path / "work"), whole
    )


def test_a_lost_file_is_made_again(model: ModelFolder, tmp_path: Path) -> None:
    whole = record_losses(model, examples(), SETTINGS, tmp_path / "work")
    (tmp_path / "work" / "losses-2.npy").unlink()
    np.testing.assert_array_equal(
        record_losses(model, examples(), SETTINGS, tmp_path / "work"), whole
    )


_CHILD = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_training import SETTINGS, examples, torch
from winnow.pipeline.features.proxy.training import record_losses
from winnow.pipeline.models import ModelFolder

class Slow:
    def note(self, text): pass
    def step(self, step):
        import time
        if step.stage == "train" and step.done > 2:
            print("now", flush=True)
            time.sleep(60)

torch.set_num_threads(1)
record_losses(ModelFolder("tiny", "1", {model!r}), examples(), SETTINGS, Path({work!r}), Slow())
"""


def test_a_killed_process(model: ModelFolder, tmp_path: Path) -> None:
    work = tmp_path / "work"
    code = _CHILD.format(tests=str(Path(__file__).parent), model=model.path, work=str(work))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "now\n"
    with pytest.raises(WinnowError, match="another process is at work"):
        record_losses(model, examples(), SETTINGS, work)
    child.kill()
    child.wait()
    child.stdout.close()
    assert (work / "state-1.pt").is_file() and not (work / "state-2.pt").exists()
    whole = record_losses(model, examples(), SETTINGS, tmp_path / "whole")
    np.testing.assert_array_equal(record_losses(model, examples(), SETTINGS, work), whole)


def test_the_seed_decides(model: ModelFolder, tmp_path: Path) -> None:
    one = record_losses(model, examples(), SETTINGS, tmp_path / "1")
    same = record_losses(model, examples(), SETTINGS, tmp_path / "2")
    other = record_losses(model, examples(), replace(SETTINGS, seed=1), tmp_path / "3")
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_response_that_is_cut_away_has_no_loss(model: ModelFolder, tmp_path: Path) -> None:
    long = np.arange(20, dtype=np.int32)
    rows = [
        Example(long, 16),  # the response begins where the sequence is cut
        Example(long, 15),  # one token of it is left
        Example(long[:5], 5),  # empty
        Example(long[:0], 0),
        Example(long[:1], 0),  # nothing stands before its only token
    ]
    found = record_losses(model, rows, SETTINGS, tmp_path / "work")
    assert np.isnan(found).tolist() == [[True] * 3, [False] * 3, *[[True] * 3] * 3]
    with pytest.raises(UsageError, match="no row has a response within 16 tokens"):
        record_losses(model, rows[2:], SETTINGS, tmp_path / "none")


def test_a_sample_trains_and_all_rows_are_measured(model: ModelFolder, tmp_path: Path) -> None:
    rows = examples(20)
    seen: set[int] = set()
    few = replace(SETTINGS, rows=3)
    run = training._Run(model, [r.cut(16) for r in rows], few, tmp_path, Killer("", 1))
    for step in range(1, 7):
        seen |= set(batch_rows(run._trainable, step, few))
    assert len(seen) == 3
    assert np.isfinite(record_losses(model, rows, few, tmp_path / "work")).all()


def test_every_epoch_sees_every_row_once_in_its_own_order() -> None:
    trainable = np.array([2, 3, 5, 7, 11, 13, 17])
    settings = ProxyTraining(steps=100, batch_size=4)
    stream = [row for step in range(1, 15) for row in batch_rows(trainable, step, settings)]
    epochs = [stream[at : at + 7] for at in range(0, 56, 7)]
    assert all(sorted(epoch) == trainable.tolist() for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    large = ProxyTraining(steps=1, checkpoints=1, batch_size=16)
    assert sorted(batch_rows(trainable, 1, large)[:14]) == sorted([*trainable, *trainable])


def test_checkpoints_are_evenly_spaced_and_end_the_training() -> None:
    assert ProxyTraining(steps=300, checkpoints=12).checkpoint_steps() == list(range(25, 301, 25))
    assert ProxyTraining(steps=10, checkpoints=4).checkpoint_steps() == [2, 5, 7, 10]
    assert ProxyTraining(steps=3, checkpoints=3).checkpoint_steps() == [1, 2, 3]


def test_a_folder_of_another_run_is_refused(model: ModelFolder, tmp_path: Path) -> None:
    record_losses(model, examples(), SETTINGS, tmp_path)
    with pytest.raises(UsageError, match="differs in batch_size, texts"):
        record_losses(model, examples(5), replace(SETTINGS, batch_size=2), tmp_path)
    WorkFolder(tmp_path, {}).remove()
    assert not tmp_path.exists()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"steps": 2}, "2 steps cannot have 12 checkpoints"),
        ({"checkpoints": 0}, "checkpoints: 0"),
        ({"batch_size": 0}, "batch_size: 0"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"warmup": 1.5}, "warmup"),
        ({"rows": 0}, "rows: 0"),
        ({"seed": -1}, "seed: -1"),
        ({"max_tokens": 1}, "max_tokens: 1"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        ProxyTraining(**changes)


def test_a_token_outside_the_vocabulary(model: ModelFolder, tmp_path: Path) -> None:
    rows = [Example(np.array([1, 2, VOCABULARY], np.int32), 1)]
    with pytest.raises(UsageError, match="token id outside 0..39"):
        record_losses(model, rows, SETTINGS, tmp_path)


def test_dropout_follows_seed_and_step_and_leaves_other_draws_alone() -> None:
    def drawn(seed: int, step: int) -> float:
        with training._reproducible(seed, step):
            return float(torch.rand(()))

    torch.manual_seed(5)
    one = drawn(0, 1)
    untouched = float(torch.rand(()))
    torch.manual_seed(6)
    assert drawn(0, 1) == one
    assert len({one, drawn(0, 2), drawn(1, 1)}) == 3
    torch.manual_seed(5)
    assert float(torch.rand(())) == untouched
