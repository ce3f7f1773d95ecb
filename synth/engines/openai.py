"""Any server that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, a vendor).

The official client retries what is worth retrying (429, 5xx, lost connections), with growing
pauses. The key comes from an environment variable and is written nowhere.
"""

import os
from collections.abc import Sequence
from typing import Any

from winnow.pipeline.contracts import CacheCounts, Completion, EngineError, Identity, Sampling
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.names import Message
from winnow.pipeline.recipe import OpenAIEngine as Config

_STOP_IN_TEXT = "include_stop_str_in_output"  # vLLM's


def identity(config: Config) -> Identity:
    """The server renders the template itself, so its hash is not known here."""
    return Identity(f"{config.model}@{config.revision}", "served")


class OpenAIEngine:
    """`Engine` over a server. Callers limit how many requests are in flight."""

    def __init__(self, config: Config) -> None:
        import httpx
        import openai

        self._config = config
        self._openai = openai
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = openai.AsyncOpenAI(
            base_url=config.base_url,
            # Local servers need no key, the client insists on one.
            api_key=os.environ.get(config.key_env) or "none",
            max_retries=config.max_retries,
            timeout=config.timeout_seconds,
            http_client=openai.DefaultAsyncHttpxClient(limits=limits),
        )
        self._logprobs = self._stop_in_text = True
        self.cache_counts = CacheCounts()

    @property
    def identity(self) -> Identity:
        return identity(self._config)

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        seed: int,
        max_tokens: int,
        prefix: str = "",
    ) -> Completion:
        """`Engine.complete`. A `prefix` needs a server that takes `continue_final_message` (vLLM,
        SGLang), and a chat template that leaves white space at the prefix's end alone."""
        logprobs, stop_in_text = self._logprobs, self._stop_in_text
        try:
            return await self._ask(
                messages, sampling, seed, max_tokens, prefix, logprobs, stop_in_text
            )
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise EngineError(f"malformed_reply: {type(error).__name__}: {error}") from error
        except self._openai.AuthenticationError:
            raise UsageError(
                f"{self._config.base_url} refuses the key in the environment variable "
                f"{self._config.key_env} (engine.key_env)"
            ) from None
        except self._openai.NotFoundError:
            raise UsageError(
                f"{self._config.base_url} has no model {self._config.model!r} (engine.model)"
            ) from None
        except self._openai.BadRequestError as error:
            text = str(error.message)
            refused = False  # something that this server does not know; ask again without
            if logprobs and "logprob" in text.lower():
                self._logprobs, refused = False, True
            if sampling.stop and stop_in_text and _STOP_IN_TEXT in text:
                self._stop_in_text, refused = False, True
            if refused:
                return await self.complete(
                    messages, sampling, seed=seed, max_tokens=max_tokens, prefix=prefix
                )
            too_long = "context" in text.lower() or "too long" in text.lower()
            reason = "prompt_too_long" if too_long else "bad_request"
            raise EngineError(f"{reason}: {text[:300]}", permanent=True) from None
        except self._openai.APITimeoutError as error:
            raise EngineError(f"timeout: {self._config.timeout_seconds:g} s") from error
        except self._openai.APIConnectionError as error:
            # After all retries nobody answers; to go on would only turn every row into an error.
            raise WinnowError(
                f"{self._config.base_url} cannot be reached (engine.base_url): "
                f"{error.__cause__ or error}"
            ) from None
        except self._openai.OpenAIError as error:
            raise EngineError(f"{type(error).__name__}: {str(error)[:300]}") from None

    async def _ask(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        seed: int,
        max_tokens: int,
        prefix: str,
        logprobs: bool,
        stop_in_text: bool,
    ) -> Completion:
        extra: dict[str, Any] = {
            name: value
            for name, value, off in (
                ("top_k", sampling.top_k, 0),
                ("min_p", sampling.min_p, 0.0),
                ("repetition_penalty", sampling.repetition_penalty, 1.0),
            )
            if value != off  # vendors refuse parameters that they do not know
        }
        conversation = [{"role": m["role"], "content": m["content"]} for m in messages]
        if prefix:
            conversation.append({"role": "assistant", "content": prefix})
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
        if sampling.stop:
            extra["stop"] = list(sampling.stop)
            if stop_in_text:
                extra[_STOP_IN_TEXT] = True
        reply = await self._client.chat.completions.create(
            model=self._config.model,
            messages=conversation,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seed,
            max_tokens=max_tokens,
            logprobs=True if logprobs else None,
            extra_body=extra or None,
        )
        if not reply.choices:
            raise EngineError("the server's reply holds no choice")
        choice = reply.choices[0]
        if choice.finish_reason not in ("stop", "length"):
            raise EngineError(f"finish_reason {choice.finish_reason}")
        tokens = choice.logprobs.content if choice.logprobs else None
        counted = (reply.usage and reply.usage.completion_tokens) or len(tokens or ())
        self.cache_counts += _cache_counts(reply.usage)
        return Completion(
            text=_with_stop(choice, sampling.stop),
            token_ids=None,
            logprob_sum=sum(t.logprob for t in tokens) if tokens else None,
            n_tokens=counted,
            finish_reason=choice.finish_reason,
        )

    async def close(self) -> None:
        await self._client.close()


def _with_stop(choice: Any, stop: Sequence[str]) -> str:
    """The answer with the stop string that ended it, as far as the server tells which one it was
    (vLLM: `stop_reason`, SGLang: `matched_stop`)."""
    text: str = choice.message.content or ""
    more = choice.model_extra or {}
    ended_by = more.get("stop_reason") or more.get("matched_stop")
    for mark in stop:
        if mark == ended_by and not text.endswith(mark):
            return text + mark
    return text


def _cache_counts(usage: Any) -> CacheCounts:
    """What the server says of its prefix cache (vLLM: with --enable-prompt-tokens-details)."""
    details = usage and usage.prompt_tokens_details
    if not details or details.cached_tokens is None:
        return CacheCounts()
    return CacheCounts(usage.prompt_tokens, details.cached_tokens)
