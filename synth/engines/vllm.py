"""vLLM, in the care of this process: one `AsyncLLM`, its engine core in a child process.

One call of `complete` is one request; vLLM batches all that are in flight and shares their prefixes.
When the engine core dies, it is started again and the requests that it took along are sent anew, at
most `RESTARTS` times each; after that the request (not the run) has failed.
"""

import ast
import asyncio
import contextlib
import difflib
import importlib.util
import itertools
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from winnow.pipeline.contracts import (
    CacheCounts,
    Completion,
    EngineError,
    Identity,
    Sampling,
    Untold,
)
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.models import ModelFolder
from winnow.pipeline.names import Message
from winnow.pipeline.tokens import render
from winnow.synth.engines.end_with_parent import PARENT

RESTARTS = 2
_GIB = 1 << 30
_OURS = {"model", "tokenizer", "revision", "max_model_len", "seed"}


def known_args() -> set[str]:
    """Names of vLLM's engine arguments, read from its source so that checking loads nothing."""
    package = importlib.util.find_spec("vllm")
    if package is None or not package.submodule_search_locations:
        raise WinnowError(
            "vLLM is not installed: pip install 'winnow-data[gpu]' on a GPU machine, "
            "'winnow-data[cpu]' elsewhere"
        )
    source = Path(package.submodule_search_locations[0]) / "engine" / "arg_utils.py"
    classes = [n for n in ast.parse(source.read_text()).body if isinstance(n, ast.ClassDef)]
    return {
        statement.target.id
        for cls in classes
        if cls.name in ("EngineArgs", "AsyncEngineArgs")
        for statement in cls.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }


def check_args(args: Mapping[str, Any]) -> None:
    """Raise UsageError for an engine argument that vLLM does not know."""
    for name in args:
        if name in _OURS:
            raise UsageError(f"engine.args.{name}: set engine.{name} or the recipe's key instead")
    if not args:
        return
    known = known_args()
    for name in args:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"engine.args.{name}: vLLM has no such engine argument{hint}")


class VLLMEngine:
    """`Engine` over vLLM. Start it with `await VLLMEngine.start(...)`, end it with `close`."""

    def __init__(self, folder: ModelFolder, max_model_len: int, args: Mapping[str, Any]) -> None:
        self._folder = folder
        self._max_model_len = max_model_len
        self._args = dict(args)
        self._numbers = itertools.count()
        self._restart = asyncio.Lock()
        self._generation = 0
        self._llm: Any = None
        self._tokens: dict[str, list[int]] = {}
        self._tokens_of_prefix = lru_cache(256)(self._encode)
        self.cache_counts = CacheCounts()
        handle, name = tempfile.mkstemp(prefix="winnow-vllm-", suffix=".log")
        os.close(handle)
        self._log = Path(name)

    @classmethod
    async def start(
        cls, folder: ModelFolder, *, max_model_len: int, args: Mapping[str, Any]
    ) -> "VLLMEngine":
        """Load the model. Raises UsageError for unknown arguments, WinnowError where vLLM fails."""
        check_args(args)
        engine = cls(folder, max_model_len, args)
        await engine._load()
        return engine

    @property
    def identity(self) -> Identity:
        return Identity(self._folder.identity, self._folder.template_hash())

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        seed: int,
        max_tokens: int,
        prefix: str = "",
        top_logprobs: int = 0,
    ) -> Completion:
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        if any("images" in message for message in messages):
            raise EngineError("images: this engine is sent text only", permanent=True)
        try:
            prompt = self._render(messages)
            if prefix:
                prompt = prompt + self._tokens_of_prefix(prefix)
        except ValueError as error:
            raise EngineError(f"unrenderable: {error}", permanent=True) from None
        if len(prompt) + max_tokens > self._max_model_len:
            raise EngineError(
                f"prompt_too_long: {len(prompt)} tokens and room for {max_tokens} more exceed the "
                f"context of {self._max_model_len}",
                permanent=True,
            )
        if top_logprobs:
            self._check_told(top_logprobs)
        for _ in range(RESTARTS + 1):
            generation = self._generation
            try:
                return await self._generate(prompt, sampling, seed, max_tokens, top_logprobs)
            except EngineDeadError:
                await self._revive(generation)
            except (EngineGenerateError, ValueError) as error:
                raise EngineError(f"{type(error).__name__}: {error}") from error
        raise EngineError(f"engine_died: {RESTARTS + 1} times with this request in flight")

    async def close(self) -> None:
        if self._llm is not None:
            self._llm.shutdown()
            self._llm = None
        self._log.unlink(missing_ok=True)

    async def _generate(
        self, prompt: list[int], sampling: Sampling, seed: int, max_tokens: int, top_logprobs: int
    ) -> Completion:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=seed,
            max_tokens=max_tokens,
            stop=list(sampling.stop) or None,
            include_stop_str_in_output=bool(sampling.stop),
            # The sampled token's own comes in any case: cumulative_logprob sums it.
            logprobs=top_logprobs,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        last: Any = None
        request = f"winnow-{next(self._numbers)}"
        async for output in self._llm.generate({"prompt_token_ids": prompt}, params, request):
            last = output
        self.cache_counts += CacheCounts(len(prompt), last.num_cached_tokens or 0)
        answer = last.outputs[0]
        if answer.finish_reason not in ("stop", "length"):
            raise EngineError(f"finish_reason {answer.finish_reason}")
        return Completion(
            text=answer.text,
            token_ids=list(answer.token_ids),
            logprob_sum=answer.cumulative_logprob,
            n_tokens=len(answer.token_ids),
            finish_reason=answer.finish_reason,
            top_logprobs=_most_likely(answer.logprobs, top_logprobs) if top_logprobs else None,
        )

    def _check_told(self, k: int) -> None:
        """Raise Untold unless vLLM tells so many log-probabilities, and of softmax(logits)."""
        model = self._llm.model_config
        if model.logprobs_mode != "raw_logprobs":
            raise Untold(
                f"engine.args.logprobs_mode {model.logprobs_mode}: the most likely tokens are read "
                "as raw_logprobs"
            )
        if 0 <= model.max_logprobs < k:
            raise Untold(
                f"vLLM tells the {model.max_logprobs} most likely tokens at most, not {k} "
                "(engine.args.max_logprobs)"
            )

    def _render(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the rendered conversation; many answers of one prompt share the work."""
        key = str([(m["role"], m["content"]) for m in messages])
        if key not in self._tokens:
            if len(self._tokens) >= 4096:
                self._tokens.clear()
            self._tokens[key] = render(self._llm.get_tokenizer(), messages)
        return self._tokens[key]

    def _encode(self, text: str) -> list[int]:
        """Token ids of the beginning of an answer. What looks like a control token is plain text: a
        model that had meant one would have ended there."""
        ids: list[int] = self._llm.get_tokenizer().encode(
            text, add_special_tokens=False, split_special_tokens=True
        )
        return ids

    async def _load(self) -> None:
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        os.environ[PARENT] = str(os.getpid())
        with _standard_error_to(self._log):
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM

        try:
            with _standard_error_to(self._log):
                settings = {**_machine_defaults(self._folder, self._max_model_len), **self._args}
                self._llm = AsyncLLM.from_engine_args(
                    AsyncEngineArgs(
                        model=self._folder.path,
                        served_model_name=self._folder.name,
                        max_model_len=self._max_model_len,
                        **settings,
                    )
                )
        except (ValueError, RuntimeError, OSError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise WinnowError(
                f"vLLM did not start with {self._folder.name}: {said[0]} (its log: {self._log})"
            ) from error

    async def _revive(self, generation: int) -> None:
        async with self._restart:
            if self._generation != generation:
                return  # another request has restarted it already
            with contextlib.suppress(Exception):  # the dead engine owes us nothing
                self._llm.shutdown()
            await self._load()
            self._generation += 1


def _most_likely(told: Sequence[Mapping[int, Any]], k: int) -> list[list[float]]:
    """At each token the log-probabilities of the k most likely ones; the drawn one, which vLLM adds,
    has a rank beyond k where it is none of them."""
    return [
        sorted((each.logprob for each in at.values() if each.rank <= k), reverse=True)
        for at in told
    ]


@contextlib.contextmanager
def _standard_error_to(log: Path) -> Iterator[None]:
    """Send standard error to a file for the length of the block.

    The engine core, which is spawned meanwhile, keeps the file: what it and the libraries under it
    say belongs neither between progress bars nor into nothing.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def _machine_defaults(folder: ModelFolder, max_model_len: int) -> dict[str, Any]:
    """What runs well here; every key can be set in the recipe's `engine.args`."""
    from vllm.platforms import current_platform

    defaults: dict[str, Any] = {"enable_prefix_caching": True, "enable_log_requests": False}
    if not current_platform.is_cpu():
        return defaults
    # Seeded requests and chunked prefill together end the engine on CPUs, so a whole prompt must
    # fit one step.
    defaults |= {
        "enable_chunked_prefill": False,
        "max_num_seqs": 256,
        "max_num_batched_tokens": max(16_384, max_model_len),
        "kv_cache_memory_bytes": _cpu_kv_cache_bytes(folder, max_model_len),
    }
    return defaults


def _cpu_kv_cache_bytes(folder: ModelFolder, max_model_len: int) -> int:
    """A third of the free memory beyond the weights, at most 8 GiB, at least one full context."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder.path).get_text_config()
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    token_bytes = 2 * config.num_hidden_layers * kv_heads * head_dim * 2  # keys, values; bf16
    need = token_bytes * max_model_len
    weights = sum(f.stat().st_size for f in Path(folder.path).glob("*.safetensors"))
    free = _available_bytes() - 2 * weights
    if free < 2 * need:
        raise WinnowError(
            f"too little memory for {folder.name}: {max(free, 0) / _GIB:.1f} GiB are free beyond its "
            f"weights, one context of {max_model_len} tokens needs {need / _GIB:.1f} GiB; lower "
            "engine.max_model_len or free memory"
        )
    return int(max(need, min(free // 3, 8 * _GIB)))


def _available_bytes() -> int:
    """Free memory where vLLM's worker may take it: it stays on one memory node, of which a machine can
    have several, or report one that is smaller than the machine."""
    available = int(psutil.virtual_memory().available)
    try:
        from vllm.utils.cpu_resource_utils import get_memory_node_info, get_visible_memory_node
    except ImportError:  # another release of vLLM
        return available
    nodes = [get_memory_node_info(node).available_memory for node in get_visible_memory_node()]
    return min([available, *nodes])
