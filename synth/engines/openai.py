"""Any server that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, a vendor).

The official client retries what is worth retrying (429, 5xx, lost connections), with growing
pauses. The key comes from an environment variable and is written nowhere.
"""

import os
from collections.abc import Sequence
from typing import Any

from winnow.pipeline.contracts import Completion, EngineError, Identity, Sampling
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.names import Message
from winnow.pipeline.recipe import OpenAIEngine as Config


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
        self._logprobs = True

    @property
    def identity(self) -> Identity:
        return identity(self._config)

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        logprobs = self._logprobs
        try:
            return await self._ask(messages, sampling, seed, max_tokens, logprobs)
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
            if logprobs and "logprob" in text.lower():
                self._logprobs = False  # this server has none; ask again without
                return await self.complete(messages, sampling, seed=seed, max_tokens=max_tokens)
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
        logprobs: bool,
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
        reply = await self._client.chat.completions.create(
            model=self._config.model,
            messages=[{"role": m["role"], "content": m["content"]} for m in messages],
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
        return Completion(
            text=choice.message.content or "",
            token_ids=None,
            logprob_sum=sum(t.logprob for t in tokens) if tokens else None,
            n_tokens=counted,
            finish_reason=choice.finish_reason,
        )

    async def close(self) -> None:
        await self._client.close()
