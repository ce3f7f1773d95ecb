"""A small causal model in training, and the loss of every row at its checkpoints.

What S2L (arXiv 2403.07384) clusters: the mean cross entropy of the response's tokens, prompt tokens
masked, in evaluation mode, sequences cut to 512 tokens. Defaults are those of the authors' code
(learning rate 2e-5, cosine with a warm-up over 3 % of the steps, 12 checkpoints) but for the length
of the training, which they count in epochs. Optimizer (AdamW without weight decay, gradients clipped
to norm 1) and the order of the rows (shuffled anew in each epoch) are those of the Hugging Face
trainer that they use; the batch size is our choice. Losses are taken over batches of rows of one
length rather than one row at a time: the same numbers but for rounding.

Row order and dropout are functions of seed and step, so a run that goes on from a checkpoint is the
run that was not stopped: bit for bit on the same machine, and the same number of threads.
"""

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.causal_model import CausalModel, load
from winnow.pipeline.features.proxy.work import WorkFolder
from winnow.pipeline.features.token_signals import token_signals
from winnow.pipeline.models import ModelFolder
from winnow.pipeline.progress import Progress, Silent, Step

VERSION = "1"  # raise it whenever a result could change

_CLIP = 1.0  # norm of the gradients
_TRAIN_TOKENS = 2_048  # of one forward and backward pass, padding included: bounds the memory
_LOSS_TOKENS = 8_192  # of one forward pass


@dataclass(frozen=True)
class ProxyTraining:
    """How the proxy is trained. `rows`: train on a seeded sample of so many rows (null: on all).

    Raises UsageError for values that make no sense.
    """

    steps: int = 300
    checkpoints: int = 12
    batch_size: int = 16
    learning_rate: float = 2e-5
    warmup: float = 0.03
    seed: int = 0
    rows: int | None = None
    max_tokens: int = 512

    def __post_init__(self) -> None:
        least = {"checkpoints": 1, "batch_size": 1, "max_tokens": 2, "seed": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UsageError(f"{name}: {getattr(self, name)} is below {value}")
        if self.steps < self.checkpoints:
            raise UsageError(f"{self.steps} steps cannot have {self.checkpoints} checkpoints")
        if self.rows is not None and self.rows < 1:
            raise UsageError(f"rows: {self.rows} is below 1")
        if not (0 <= self.warmup <= 1 and 0 < self.learning_rate < float("inf")):
            raise UsageError("warmup must be in 0..1 and learning_rate above 0")

    def checkpoint_steps(self) -> list[int]:
        """After which steps the losses are taken: evenly spaced, the last one at the end."""
        return [self.steps * at // self.checkpoints for at in range(1, self.checkpoints + 1)]


@dataclass(frozen=True, eq=False)
class Example:
    """Token ids of a conversation, and where the response begins."""

    tokens: NDArray[np.int32]
    start: int

    def cut(self, most: int) -> "Example":
        return Example(self.tokens[:most], max(self.start, 1))  # nothing predicts the first token

    @property
    def n_response(self) -> int:
        return max(len(self.tokens) - self.start, 0)


def record_losses(
    folder: ModelFolder,
    examples: Sequence[Example],
    settings: ProxyTraining,
    work: Path,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Train the model and take the loss of every example at each checkpoint.

    Returns (n, checkpoints), nats; NaN where the response lies past `max_tokens` or is empty. What
    is finished is kept in the folder `work`, from which a killed run goes on; delete it
    (`WorkFolder.remove`) once the result is stored.

    Raises UsageError where no example has a response, for a token id outside the vocabulary, and
    where `work` belongs to another run.
    """
    short = [example.cut(settings.max_tokens) for example in examples]
    if not any(example.n_response for example in short):
        raise UsageError(f"no row has a response within {settings.max_tokens} tokens")
    with WorkFolder(work, fingerprint(folder, examples, settings)).open():
        run = _Run(folder, short, settings, work, progress or Silent())
        return np.stack([run.losses(at) for at in range(1, settings.checkpoints + 1)], axis=1)


def fingerprint(
    folder: ModelFolder, examples: Sequence[Example], settings: ProxyTraining
) -> dict[str, Any]:
    """All that determines the losses, rounding aside."""
    state = hashlib.blake2b(digest_size=16)
    for example in examples:
        state.update(f"{len(example.tokens)} {example.start}\n".encode())
        state.update(np.ascontiguousarray(example.tokens, "<i4").tobytes())
    return {
        **asdict(settings),
        "model": folder.identity,
        "texts": state.hexdigest(),
        "version": VERSION,
    }


def batch_rows(trainable: NDArray[np.int64], step: int, settings: ProxyTraining) -> list[int]:
    """The rows of a step, from 1: the next `batch_size` of endless epochs, each in its own order."""
    size, n = settings.batch_size, len(trainable)
    found: list[int] = []
    at = (step - 1) * size
    while len(found) < size:
        epoch, offset = divmod(at + len(found), n)
        order = _generator(settings.seed, "epoch", epoch).permutation(n)
        found += trainable[order[offset : offset + size - len(found)]].tolist()
    return found


def _generator(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), number])


class _Run:
    """A model on its way from checkpoint to checkpoint; loaded only where something is missing."""

    def __init__(
        self,
        folder: ModelFolder,
        examples: Sequence[Example],
        settings: ProxyTraining,
        work: Path,
        progress: Progress,
    ) -> None:
        self._folder, self._examples, self._settings = folder, examples, settings
        self._work = WorkFolder(work, {})
        self._progress = progress
        usable = np.array([at for at, e in enumerate(examples) if e.n_response], dtype=np.int64)
        if settings.rows is not None and settings.rows < len(usable):
            usable = _generator(settings.seed, "rows").permutation(usable)[: settings.rows]
        self._trainable = np.sort(usable)
        self._steps = [0, *settings.checkpoint_steps()]
        self._trainer: _Trainer | None = None

    def losses(self, checkpoint: int) -> NDArray[np.float64]:
        known = self._work.losses(checkpoint)
        if known is None:
            trainer = self._at(checkpoint)
            known = self._take(trainer, checkpoint)
            self._work.save_losses(checkpoint, known)
        return known

    def _at(self, checkpoint: int) -> "_Trainer":
        """The model at a checkpoint, its state stored."""
        if self._trainer is None:
            self._progress.note(f"loading {self._folder.name}")
            self._trainer = _Trainer(self._folder, self._settings)
            last = self._work.last_state()
            if 0 < last <= checkpoint:
                self._progress.note(f"going on from step {self._steps[last]}")
                self._trainer.read(self._work.state_path(last))
        trainer = self._trainer
        if trainer.step < self._steps[checkpoint]:
            self._progress.step(Step("train", trainer.step, self._settings.steps, "steps"))
            while trainer.step < self._steps[checkpoint]:
                rows = batch_rows(self._trainable, trainer.step + 1, self._settings)
                loss = trainer.train([self._examples[at] for at in rows])
                self._progress.step(
                    Step("train", trainer.step, self._settings.steps, "steps", {"loss": loss})
                )
            self._work.save_state(checkpoint, trainer.write)
        return trainer

    def _take(self, trainer: "_Trainer", checkpoint: int) -> NDArray[np.float64]:
        n = len(self._examples)
        losses = np.full(n, np.nan)
        known = [at for at, example in enumerate(self._examples) if example.n_response]
        done = (checkpoint - 1) * n + (n - len(known))
        self._progress.step(Step("losses", done, n * self._settings.checkpoints, "rows"))
        for batch in _batches(self._examples, known, _LOSS_TOKENS):
            losses[batch] = mean_losses(trainer.model, [self._examples[at] for at in batch])
            done += len(batch)
            self._progress.step(Step("losses", done, n * self._settings.checkpoints, "rows"))
        return losses


class _Trainer:
    """Model, optimizer and schedule; `step` counts the steps that are done."""

    def __init__(self, folder: ModelFolder, settings: ProxyTraining) -> None:
        import torch
        from transformers import get_cosine_schedule_with_warmup

        self._settings = settings
        self.model = load(folder)
        self.step = 0
        self._optimizer = torch.optim.AdamW(
            self.model.model.parameters(), lr=settings.learning_rate, weight_decay=0.0
        )
        self._schedule = get_cosine_schedule_with_warmup(
            self._optimizer, int(np.ceil(settings.warmup * settings.steps)), settings.steps
        )

    def train(self, examples: Sequence[Example]) -> float:
        """One step; returns the mean loss of the response tokens of its examples, nats."""
        import torch

        total = sum(example.n_response for example in examples)
        _check_vocabulary(self.model, examples)
        module = self.model.model
        loss = 0.0
        with _reproducible(self._settings.seed, self.step):
            module.train()
            for batch in _batches(examples, range(len(examples)), _TRAIN_TOKENS):
                values, targets, _ = _predictions(self.model, [examples[at] for at in batch])
                if self.model.head == "hidden":
                    values = torch.nn.functional.linear(values, self.model.weight, self.model.bias)
                # Over all tokens of the step, so that how it is cut into passes changes nothing.
                part = torch.nn.functional.cross_entropy(values.float(), targets, reduction="sum")
                (part / total).backward()
                loss += float(part.detach()) / total
            torch.nn.utils.clip_grad_norm_(module.parameters(), _CLIP)
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad(set_to_none=True)
            module.eval()
        self.step += 1
        return loss

    def write(self, file: Any) -> None:
        import torch

        torch.save(
            {
                "step": self.step,
                "model": self.model.model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
            },
            file,
        )

    def read(self, path: Path) -> None:
        import torch

        state = torch.load(path, map_location=self.model.model.device, weights_only=True)
        self.model.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.step = int(state["step"])


def mean_losses(model: CausalModel, examples: Sequence[Example]) -> NDArray[np.float64]:
    """(n,) mean cross entropy of each response's tokens, nats; the longest example comes first."""
    import torch

    _check_vocabulary(model, examples)
    with torch.inference_mode():
        values, targets, lengths = _predictions(model, examples)
        signals = token_signals(model, values, targets, entropies=False, ranks=False)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return -np.add.reduceat(signals.logprobs, starts) / lengths


def _predictions(
    model: CausalModel, examples: Sequence[Example]
) -> tuple[Any, Any, NDArray[np.int64]]:
    """What the model gives before each token of the responses, (tokens, h or V); those tokens; and
    how many each response has."""
    import torch

    values = model.forward([example.tokens.tolist() for example in examples])
    row = np.repeat(np.arange(len(examples)), [e.n_response for e in examples])
    position = np.concatenate([np.arange(e.start, len(e.tokens)) for e in examples])
    targets = np.concatenate([e.tokens[e.start :] for e in examples]).astype(np.int64)
    device = model.model.device
    picked = values[torch.from_numpy(row).to(device), torch.from_numpy(position - 1).to(device)]
    lengths = np.array([e.n_response for e in examples], dtype=np.int64)
    return picked, torch.from_numpy(targets).to(device), lengths


def _batches(examples: Sequence[Example], rows: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """`rows` in batches of like length, the longest first, each of at most `tokens` with padding."""
    todo = sorted(rows, key=lambda at: (-len(examples[at].tokens), at))
    start = 0
    while start < len(todo):
        size = max(1, tokens // len(examples[todo[start]].tokens))
        yield todo[start : start + size]
        start += size


def _check_vocabulary(model: CausalModel, examples: Sequence[Example]) -> None:
    for example in examples:
        if (
            len(example.tokens)
            and not 0 <= example.tokens.min() <= example.tokens.max() < model.vocab
        ):
            raise UsageError(f"a row holds a token id outside 0..{model.vocab - 1}")


@contextmanager
def _reproducible(seed: int, step: int) -> Iterator[None]:
    """Random numbers and, on a GPU, sums that depend on seed and step only."""
    import torch

    cuda = torch.cuda.is_available()
    before = torch.are_deterministic_algorithms_enabled()
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if cuda else []):
            torch.manual_seed(int(_generator(seed, "dropout", step).integers(2**62)))
            yield
    finally:
        if cuda:
            torch.use_deterministic_algorithms(before)
