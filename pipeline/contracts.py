"""The few small interfaces that the rooms share.

Implementations live in the room that they belong to; whoever needs one takes it as a parameter, so
that `pipeline` imports nothing above itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import Message, canonical_json

VerdictName = Literal["correct", "wrong", "unjudged"]
FinishReason = Literal["stop", "length", "error"]


@dataclass(frozen=True)
class Sampling:
    """The distribution that answers are drawn from.

    Units: temperature as in softmax(logits / T); top_p and min_p are probabilities; top_k and
    repetition_penalty as in vLLM (top_k = 0: off). Greedy is temperature 0. `stop`: strings that end
    an answer; the text then ends with the one that did.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Canonical JSON, as it stands in the `sampler` column; without `stop` where there is none."""
        parameters: dict[str, Any] = {
            "temperature": float(self.temperature),
            "top_p": float(self.top_p),
            "top_k": int(self.top_k),
            "min_p": float(self.min_p),
            "repetition_penalty": float(self.repetition_penalty),
        }
        if self.stop:
            parameters["stop"] = sorted(set(self.stop))
        return canonical_json(parameters)


@dataclass(frozen=True)
class Completion:
    """One finished answer. `logprob_sum` is in nats over the answer's tokens. `top_logprobs`, where
    asked for: see `TellingEngine`."""

    text: str
    token_ids: Sequence[int] | None
    logprob_sum: float | None
    n_tokens: int
    finish_reason: Literal["stop", "length"]
    top_logprobs: Sequence[Sequence[float]] | None = None


@dataclass(frozen=True)
class Identity:
    """What an engine's answers are named by; known without starting the engine."""

    policy: str  # model name @ revision
    template: str  # hash of the chat template


class EngineError(Exception):
    """One request failed. `permanent` failures (an over-long prompt) are never tried again."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


class Untold(UsageError):
    """The engine does not tell the most likely tokens, or not so many."""


class Images(Protocol):
    """The images of one message, in the order of the `<image>` marks in its text."""

    @property
    def ids(self) -> Sequence[str]: ...

    def read(self) -> Sequence[bytes]: ...


class Engine(Protocol):
    """Messages and sampling parameters in, one completion out.

    The engine batches whatever is in flight; callers start as many calls as they like. A message with
    `images` shows them where its text has marks; an engine that cannot see refuses it (EngineError).
    """

    @property
    def identity(self) -> Identity: ...

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        """Draw one answer. Raises EngineError when this request (not the engine) failed."""
        ...

    async def close(self) -> None: ...


class ContinuingEngine(Engine, Protocol):
    """An engine that can also go on with an answer that has begun."""

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        seed: int,
        max_tokens: int,
        prefix: str = "",
    ) -> Completion:
        """Draw one answer. `prefix`: how it begins; the completion is what follows, without it."""
        ...


class TellingEngine(Engine, Protocol):
    """An engine that can also tell what else it might have said."""

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        seed: int,
        max_tokens: int,
        top_logprobs: int = 0,
    ) -> Completion:
        """Draw one answer. `top_logprobs`: k; the completion's `top_logprobs` are then, for each of
        its tokens, the log-probabilities (nats, of softmax(logits): at temperature 1, whatever the
        sampling says) of the k most likely tokens there, the most likely first, or of a few less;
        None where the engine gave none after all. Raises Untold where it refuses."""
        ...


@dataclass(frozen=True)
class CacheCounts:
    """Tokens of the prompts that an engine was sent, and those of them that its prefix cache held."""

    prompt_tokens: int = 0
    cached_tokens: int = 0

    @property
    def hit_rate(self) -> float | None:
        """In 0..1; None where nothing was sent."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None

    def __add__(self, other: "CacheCounts") -> "CacheCounts":
        return CacheCounts(
            self.prompt_tokens + other.prompt_tokens, self.cached_tokens + other.cached_tokens
        )

    def __sub__(self, other: "CacheCounts") -> "CacheCounts":
        return CacheCounts(
            self.prompt_tokens - other.prompt_tokens, self.cached_tokens - other.cached_tokens
        )


@dataclass(frozen=True)
class Task:
    """What a verifier judges an answer against."""

    messages: Sequence[Message]
    answer: str | None
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A three-valued judgement.

    `reward` is the verifier's own number (None where nothing could be measured), `parts` named
    rewards, `extracted` what was read from the answer, `detail` the reason in a few words.
    """

    verdict: VerdictName
    reward: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    extracted: str | None = None
    detail: str | None = None

    @classmethod
    def unjudged(cls, detail: str, extracted: str | None = None) -> "Verdict":
        return cls("unjudged", None, {}, extracted, detail)


class Verifier(Protocol):
    """Judges one finished answer, in a worker process, under a time limit.

    `version` is part of every verdict's name: raise it whenever a verdict could change. Three more
    attributes are optional: `Arguments`, the `winnow.pipeline.arguments.Arguments` that checks and documents
    `task.args`; `needs_answer` (default True), whether a task must bring a reference; and a method
    `warm()`, called once per worker before its first row.
    """

    name: str
    version: str

    def verify(self, completion: str, task: Task) -> Verdict: ...


@runtime_checkable
class ModelVerifier(Protocol):
    """A verifier that asks a model. It runs beside the engine, in the main process."""

    def needs_engine(self, args: Mapping[str, Any]) -> bool:
        """Whether judging with these arguments asks a model at all."""
        ...

    async def ask(self, completion: str, task: Task, engine: Engine) -> Verdict: ...


@dataclass(frozen=True)
class SourceRow:
    """One row of a source as it came: `index` counts from 0 within the source.

    A row that could not be read has no values and an `error` that says where and why.
    """

    index: int
    values: Mapping[str, Any]
    error: str | None = None


class Source(Protocol):
    """Yields every row of a source, in order; never raises for one bad row."""

    def rows(self, limit: int | None = None) -> Iterator[SourceRow]: ...


class Embedder(Protocol):
    """Texts in, L2-normalised float32 vectors (n, d) out."""

    @property
    def identity(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...
