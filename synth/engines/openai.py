"""Any server that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, a vendor).

The official client retries what is worth retrying (429, 5xx, lost connections), with growing
pauses. The key comes from an environment variable and is written nowhere.
"""

import asyncio
import base64
import importlib
import os
from collections.abc import Sequence
from typing import Any

from winnow.pipeline.contracts import (
    CacheCounts,
    Completion,
    EngineError,
    Identity,
    Images,
    Sampling,
    Untold,
)
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.images import media_type, parts
from winnow.pipeline.names import Message
from winnow.pipeline.recipe import OpenAIEngine as Config

_STOP_IN_TEXT = "include_stop_str_in_output"  # vLLM's
# A server that was reached, and then hung up, or sent what is no HTTP. By name: the client stands on
# httpx or on httpx2, by its version.
_BROKEN_REPLIES = ("ReadError", "WriteError", "RemoteProtocolError", "DecodingError")
_MOST_TOKENS = 2**31 - 1  # what the tables hold


def identity(config: Config) -> Identity:
    """The server renders the template itself, so its hash is not known here."""
    return Identity(f"{config.model}@{config.revision}", "served")


class OpenAIEngine:
    """`Engine` over a server. Callers limit how many requests are in flight."""

    def __init__(self, config: Config) -> None:
        import openai

        self._config = config
        self._openai = openai
        self._client = openai.AsyncOpenAI(
            base_url=config.base_url,
            # Local servers need no key, the client insists on one.
            api_key=os.environ.get(config.key_env) or "none",
            max_retries=config.max_retries,
            timeout=config.timeout_seconds,
            http_client=_http_client(openai.DefaultAsyncHttpxClient, config.timeout_seconds),
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
        top_logprobs: int = 0,
    ) -> Completion:
        """`Engine.complete`. A `prefix` needs a server that takes `continue_final_message` (vLLM,
        SGLang), and a chat template that leaves white space at the prefix's end alone. Of
        `top_logprobs` it is taken that the server reports softmax(logits), as vLLM does unless it was
        started with another --logprobs-mode; a reply does not say so."""
        logprobs, stop_in_text = self._logprobs, self._stop_in_text
        try:
            return await self._ask(
                messages, sampling, seed, max_tokens, prefix, logprobs, stop_in_text, top_logprobs
            )
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
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
            if top_logprobs and "logprob" in text.lower():
                raise Untold(
                    f"{self._config.base_url} does not tell the {top_logprobs} most likely tokens: "
                    f"{text[:300]}"
                ) from None
            if logprobs and "logprob" in text.lower():
                self._logprobs, refused = False, True
            if sampling.stop and stop_in_text and _STOP_IN_TEXT in text:
                self._stop_in_text, refused = False, True
            if refused:
                return await self.complete(
                    messages,
                    sampling,
                    seed=seed,
                    max_tokens=max_tokens,
                    prefix=prefix,
                    top_logprobs=top_logprobs,
                )
            too_long = "context" in text.lower() or "too long" in text.lower()
            reason = "prompt_too_long" if too_long else "bad_request"
            raise EngineError(f"{reason}: {text[:300]}", permanent=True) from None
        except self._openai.APITimeoutError as error:
            raise EngineError(f"timeout: {self._config.timeout_seconds:g} s") from error
        except self._openai.APIConnectionError as error:
            if type(error.__cause__).__name__ in _BROKEN_REPLIES:
                said = f"{type(error.__cause__).__name__}: {error.__cause__}"
                raise EngineError(f"connection_lost: {said[:300]}") from error
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
        top_logprobs: int,
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
        conversation = [{"role": m["role"], "content": _content(m)} for m in messages]
        if prefix:
            conversation.append({"role": "assistant", "content": prefix})
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
        if sampling.stop:
            extra["stop"] = list(sampling.stop)
            if stop_in_text:
                extra[_STOP_IN_TEXT] = True
        if top_logprobs:
            extra["top_logprobs"] = top_logprobs
        reply = await self._client.chat.completions.create(
            model=self._config.model,
            messages=conversation,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seed,
            max_tokens=max_tokens,
            logprobs=True if logprobs or top_logprobs else None,
            extra_body=extra or None,
        )
        if not reply.choices:
            raise EngineError("the server's reply holds no choice")
        choice = reply.choices[0]
        if choice.finish_reason not in ("stop", "length"):
            raise EngineError(f"finish_reason {choice.finish_reason}")
        tokens = choice.logprobs.content if choice.logprobs else None
        counted = (reply.usage and reply.usage.completion_tokens) or len(tokens or ())
        told = top_logprobs and (tokens or not counted)
        text = _with_stop(choice, sampling.stop)
        _check(text, counted, choice.finish_reason, max_tokens)
        self.cache_counts += _cache_counts(reply.usage)
        return Completion(
            text=text,
            token_ids=None,
            logprob_sum=sum(t.logprob for t in tokens) if tokens else None,
            n_tokens=counted,
            finish_reason=choice.finish_reason,
            top_logprobs=_most_likely(tokens or (), top_logprobs) if told else None,
        )

    async def close(self) -> None:
        await self._client.close()


def _content(message: Message) -> str | list[dict[str, Any]]:
    """A message's text; where it shows images, its parts in order, the images as data addresses."""
    images: Images | None = message.get("images")
    if images is None:
        text: str = message["content"]
        return text
    left = iter(images.read())
    return [
        _shown(next(left)) if part is None else {"type": "text", "text": part}
        for part in parts(message["content"])
    ]


def _shown(image: bytes) -> dict[str, Any]:
    body = base64.b64encode(image).decode()
    url = f"data:{media_type(image)};base64,{body}"
    return {"type": "image_url", "image_url": {"url": url}}


def _http_client(base: Any, seconds: float) -> Any:
    """A client of the class `base` that waits so long for a whole reply, and keeps any number of
    connections."""
    library = next(cls.__module__ for cls in base.__mro__ if cls.__name__ == "AsyncClient")
    http: Any = importlib.import_module(library.partition(".")[0])

    class Client(base):
        async def send(self, request: Any, **options: Any) -> Any:
            try:
                # The library's own limit is for each piece of a reply: a trickle would never end.
                async with asyncio.timeout(seconds):
                    return await super().send(request, **options)
            except TimeoutError:
                raise http.ReadTimeout(
                    f"no whole reply in {seconds:g} s", request=request
                ) from None

    return Client(limits=http.Limits(max_connections=None, max_keepalive_connections=None))


def _check(text: Any, counted: Any, finish_reason: str, max_tokens: int) -> None:
    """Raise ValueError or TypeError for what the tables cannot hold: the client takes any JSON for a reply."""
    if not isinstance(text, str):
        raise TypeError(f"the answer is no text but {str(text)[:100]}")
    if type(counted) is not int or not 0 <= counted <= _MOST_TOKENS:
        raise ValueError(f"completion_tokens is {str(counted)[:100]}")
    if finish_reason == "stop" and counted > max_tokens:
        raise ValueError(f"an answer of {counted} tokens, where max_tokens was {max_tokens}")


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


def _most_likely(tokens: Sequence[Any], k: int) -> list[list[float]] | None:
    """The log-probabilities of the k most likely tokens at each token; None where one has none.

    vLLM lists the drawn token first and after it the most likely ones, k in all, so that an unlikely
    one may stand where the k-th most likely should: it is left out.
    """
    found = []
    for token in tokens:
        listed = [float(each.logprob) for each in token.top_logprobs or ()]
        if len(listed) > 1 and listed[0] < min(listed[1:]):
            listed = listed[1:]
        found.append(sorted(listed, reverse=True)[:k])
    return found if all(found) else None


def _cache_counts(usage: Any) -> CacheCounts:
    """What the server says of its prefix cache (vLLM: with --enable-prompt-tokens-details)."""
    details = usage and usage.prompt_tokens_details
    if not details or details.cached_tokens is None:
        return CacheCounts()
    return CacheCounts(usage.prompt_tokens, details.cached_tokens)
