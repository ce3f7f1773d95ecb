"""The OpenAI-compatible engine against a server that answers as scripted."""

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from winnow.pipeline.contracts import CacheCounts, Completion, EngineError, Sampling
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.names import Message
from winnow.pipeline.recipe import OpenAIEngine as Config
from winnow.synth.engines.openai import OpenAIEngine

Reply = tuple[int, dict[str, Any]]
KEY = "sk-very-secret"
PROMPT = [{"role": "user", "content": "hi"}]


def _good(**choice: Any) -> Reply:
    message = {"role": "assistant", "content": "hello"}
    whole = {"index": 0, "finish_reason": "stop", "message": message, **choice}
    return 200, {
        "id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [whole],
        "usage": {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5},
    }  # fmt: skip


def _bad(status: int, message: str) -> Reply:
    return status, {"error": {"message": message, "type": "x", "code": status}}


@contextmanager
def _server(script: Callable[[int, dict[str, Any]], Reply]) -> Iterator[tuple[str, list[Any]]]:
    """(address, requests): `script` gets the number of the request and its body."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**body, "key": self.headers["Authorization"]})
            status, reply = script(len(asked), body)
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Retry-After", "0.01")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def _ask(
    url: str,
    sampling: Sampling | None = None,
    *,
    prefix: str = "",
    messages: Sequence[Message] = PROMPT,
    **config: Any,
) -> Completion:
    async def main() -> Completion:
        engine = OpenAIEngine(Config(type="openai", model="m", base_url=url, **config))
        try:
            return await engine.complete(
                messages, sampling or Sampling(), seed=5, max_tokens=9, prefix=prefix
            )
        finally:
            await engine.close()

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_a_reply_becomes_a_completion() -> None:
    logprobs: dict[str, Any] = {
        "content": [
            {"token": t, "logprob": p, "bytes": None, "top_logprobs": []}
            for t, p in (("a", -0.5), ("b", -1.25))
        ]
    }
    with _server(lambda n, body: _good(logprobs=logprobs)) as (url, asked):
        found = _ask(url, Sampling(temperature=0.5, top_k=20))
    assert found == Completion("hello", None, -1.75, 4, "stop")
    (request,) = asked
    assert request["key"] == f"Bearer {KEY}"
    assert (request["seed"], request["max_tokens"], request["temperature"]) == (5, 9, 0.5)
    assert request["top_k"] == 20
    assert "min_p" not in request  # a parameter at its neutral value is not sent


def test_images_stand_where_the_text_marks_them() -> None:
    @dataclass(frozen=True)
    class Shown:
        ids: Sequence[str]

        def read(self) -> list[bytes]:
            return [b"\x89PNG\r\n\x1a\n1", b"\xff\xd8\xff2"]

    messages: list[Message] = [
        {"role": "system", "content": "Say what <image> is."},  # no image: a text like any other
        {"role": "user", "content": "<image>\nLeft of <image>, what?", "images": Shown(["a", "b"])},
    ]
    with _server(lambda n, body: _good()) as (url, asked):
        _ask(url, messages=messages, prefix="It is")
    sent = asked[0]["messages"]
    assert sent[0] == messages[0]
    assert [part["type"] for part in sent[1]["content"]] == [
        "image_url",
        "text",
        "image_url",
        "text",
    ]
    assert [part["text"] for part in sent[1]["content"] if "text" in part] == [
        "Left of ",
        ", what?",
    ]
    first, second = (
        part["image_url"]["url"] for part in sent[1]["content"] if part["type"] == "image_url"
    )
    assert first == "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n1").decode()
    assert second.startswith("data:image/jpeg;base64,")
    assert sent[2] == {"role": "assistant", "content": "It is"}


def test_busy_and_failing_servers_are_asked_again() -> None:
    replies = {1: _bad(429, "slow down"), 2: _bad(503, "starting")}
    with _server(lambda n, body: replies.get(n, _good())) as (url, asked):
        assert _ask(url).text == "hello"
    assert len(asked) == 3


def test_a_server_that_keeps_failing_costs_the_request_not_the_run() -> None:
    with _server(lambda n, body: _bad(500, "broken")) as (url, asked):
        with pytest.raises(EngineError, match="InternalServerError") as raised:
            _ask(url, max_retries=1)
    assert not raised.value.permanent
    assert len(asked) == 2


def test_an_over_long_prompt_is_a_permanent_failure_of_its_request() -> None:
    reply = _bad(400, "This model's maximum context length is 10 tokens.")
    with _server(lambda n, body: reply) as (url, asked):
        with pytest.raises(EngineError, match="prompt_too_long") as raised:
            _ask(url)
    assert raised.value.permanent
    assert len(asked) == 1


def test_a_server_without_log_probabilities_is_asked_without() -> None:
    def script(number: int, body: dict[str, Any]) -> Reply:
        return _bad(400, "logprobs is not supported") if body.get("logprobs") else _good()

    with _server(script) as (url, asked):
        assert _ask(url).logprob_sum is None
    assert len(asked) == 2


def test_requests_in_flight_learn_together_that_there_are_no_log_probabilities() -> None:
    def script(number: int, body: dict[str, Any]) -> Reply:
        return _bad(400, "logprobs is not supported") if body.get("logprobs") else _good()

    async def main(url: str) -> list[Completion]:
        engine = OpenAIEngine(Config(type="openai", model="m", base_url=url))
        calls = [engine.complete(PROMPT, Sampling(), seed=s, max_tokens=9) for s in range(8)]
        try:
            return list(await asyncio.gather(*calls))
        finally:
            await engine.close()

    with _server(script) as (url, _):
        assert {found.text for found in asyncio.run(main(url))} == {"hello"}


@pytest.mark.parametrize("reply", [(200, []), (200, {}), (200, {"choices": [{"message": None}]})])
def test_a_malformed_reply_costs_the_request(reply: Any) -> None:
    with _server(lambda n, body: reply) as (url, _):
        with pytest.raises(EngineError):
            _ask(url)


@pytest.mark.parametrize(
    ("reply", "part"),
    [(_bad(401, "bad key"), "OPENAI_API_KEY"), (_bad(404, "no model"), "engine.model")],
)
def test_a_wrong_key_or_model_stops_the_run_and_says_so(reply: Reply, part: str) -> None:
    with _server(lambda n, body: reply) as (url, _):
        with pytest.raises(UsageError, match=part) as raised:
            _ask(url)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "reply", [(200, {**_good()[1], "choices": []}), _good(finish_reason="content_filter")]
)
def test_a_reply_without_an_answer_costs_the_request(reply: Reply) -> None:
    with _server(lambda n, body: reply) as (url, _), pytest.raises(EngineError):
        _ask(url)


def test_an_empty_answer_is_an_answer() -> None:
    reply = _good(message={"role": "assistant", "content": None})
    with _server(lambda n, body: reply) as (url, _):
        assert _ask(url).text == ""


def test_a_server_that_is_not_there_stops_the_run() -> None:
    with pytest.raises(WinnowError, match=r"127\.0\.0\.1:9/v1 cannot be reached"):
        _ask("http://127.0.0.1:9/v1", max_retries=0)


def test_an_answer_that_has_begun_is_sent_as_a_message_to_continue() -> None:
    with _server(lambda n, body: _good()) as (url, asked):
        assert _ask(url, prefix="Well, ").text == "hello"
        _ask(url)
    begun, plain = asked
    assert begun["messages"] == [*PROMPT, {"role": "assistant", "content": "Well, "}]
    assert (begun["continue_final_message"], begun["add_generation_prompt"]) == (True, False)
    # Without one, nothing is sent that a vendor could refuse.
    assert plain["messages"] == PROMPT
    assert not {"continue_final_message", "add_generation_prompt", "stop"} & set(plain)


STOPPING = Sampling(stop=("<end>", "!"))


def test_stop_strings_are_sent_and_stay_in_the_text() -> None:
    message = {"role": "assistant", "content": "hello <end>"}
    with _server(lambda n, body: _good(message=message, stop_reason="<end>")) as (url, asked):
        assert _ask(url, STOPPING).text == "hello <end>"
    assert asked[0]["stop"] == ["<end>", "!"]
    assert asked[0]["include_stop_str_in_output"] is True


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"stop_reason": "<end>"}, "hello<end>"),  # vLLM
        ({"matched_stop": "!"}, "hello!"),  # SGLang
        ({"stop_reason": 151645}, "hello"),  # an end token
        ({"stop_reason": None}, "hello"),
        ({"stop_reason": "not asked for"}, "hello"),
        ({}, "hello"),
    ],
)
def test_a_server_that_cuts_the_stop_string_off_may_tell_which_it_was(
    told: dict[str, Any], text: str
) -> None:
    with _server(lambda n, body: _good(**told)) as (url, _):
        assert _ask(url, STOPPING).text == text


def test_a_server_that_does_not_know_the_parameter_is_asked_without() -> None:
    def script(number: int, body: dict[str, Any]) -> Reply:
        for name in ("include_stop_str_in_output", "logprobs"):
            if body.get(name):
                return _bad(400, f"Unrecognized request argument supplied: {name}")
        return _good(stop_reason="!")

    with _server(script) as (url, asked):
        assert _ask(url, STOPPING, prefix="x").text == "hello!"
    assert len(asked) == 3
    assert asked[-1]["stop"] == ["<end>", "!"]
    assert asked[-1]["continue_final_message"] is True


def test_tokens_that_the_server_s_cache_held_are_counted() -> None:
    async def main(url: str) -> CacheCounts:
        engine = OpenAIEngine(Config(type="openai", model="m", base_url=url))
        try:
            for seed in range(3):
                await engine.complete(PROMPT, Sampling(), seed=seed, max_tokens=9)
            return engine.cache_counts
        finally:
            await engine.close()

    def script(number: int, body: dict[str, Any]) -> Reply:
        status, reply = _good()
        if number < 3:  # the third reply says nothing of a cache
            details = {"cached_tokens": 30 * number}
            reply["usage"] |= {"prompt_tokens": 100, "prompt_tokens_details": details}
        return status, reply

    with _server(script) as (url, _):
        counts = asyncio.run(main(url))
    assert counts == CacheCounts(200, 90)
    assert counts.hit_rate == 0.45
