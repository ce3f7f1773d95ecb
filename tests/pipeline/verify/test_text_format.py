"""The verifier `format`: blocks against an oracle, and what schemas may do."""

import re
import socket
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.text_format import TextFormat
from winnow.pipeline.verify.worker_pool import judged

VERIFIER = TextFormat()
PIECES = ["<think>", "</think>", "<answer>", "</answer>", "a", " ", "\n"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_blocks_against_an_oracle(pieces: list[str]) -> None:
    text = "".join(pieces)
    shape = r"\s*<think>([^<]*)</think>\s*<answer>([^<]*)</answer>\s*"
    match = re.fullmatch(shape, text)
    expected = match is not None and all(part.strip() for part in match.groups())
    assert (VERIFIER.verify(text, Task([], None)).verdict == "correct") == expected


def test_only_the_asked_order_is_right() -> None:
    tags = ["a", "b", "c"]
    for order in permutations(tags):
        text = "".join(f"<{tag}>x</{tag}>" for tag in order)
        verdict = VERIFIER.verify(text, Task([], None, {"tags": tags}))
        assert (verdict.verdict == "correct") == (list(order) == tags)


@pytest.mark.parametrize(
    ("text", "args", "parts", "detail"),
    [
        ("<answer>1</answer>", {}, {"tags": 0.0}, "missing: think"),
        ("{}", {"is_json": True, "pattern": r"\[.*"}, {"json": 1.0, "pattern": 0.0}, "pattern_differs"),
        ("[", {"is_json": True}, {"json": 0.0}, "no_json"),
        ("1", {"json_schema": {"type": "string"}}, {"json": 0.0}, "schema_differs"),
    ],
)  # fmt: skip
def test_parts_and_details(
    text: str, args: dict[str, Any], parts: dict[str, float], detail: str
) -> None:
    verdict = VERIFIER.verify(text, Task([], None, args))
    assert (verdict.parts, verdict.detail) == (parts, detail)


def test_no_schema_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for reference in ("https://example.com/s.json", "file:///etc/hostname"):
        verdict = judged("format", "1", Task([], None, {"json_schema": {"$ref": reference}}))
        assert verdict.verdict == "unjudged"
        assert (verdict.detail or "").startswith("bad_arguments: json_schema")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_any_text_gets_a_verdict(text: str) -> None:
    for args in ({}, {"is_json": True}, {"pattern": "a+"}, {"json_schema": {"type": "object"}}):
        assert judged("format", text, Task([], None, args)).verdict in ("correct", "wrong")


@pytest.mark.parametrize(
    "text", ["<think>" * 100_000, "[" * 100_000, '{"a":' * 50_000, "a" * 10**6]
)
def test_hostile_answers_are_wrong(text: str) -> None:
    for args in ({}, {"is_json": True}, {"pattern": "(?:ab)+"}):
        assert judged("format", text, Task([], None, args)).verdict == "wrong"
