"""Calls in ToolRL's tagged blocks (arXiv 2504.13958).

    <think> ... </think>
    <tool_call>
    {"name": "f", "parameters": {"a": 1}}
    {"name": "g", "parameters": {}}
    </tool_call>
    <response> ... </response>

One JSON object a line; `<tool_call>` or `<response>` may be missing.
"""

import re
from dataclasses import dataclass

from winnow.pipeline.verify.literals import NoLiteral, spoken, strict_json, tag_blocks
from winnow.pipeline.verify.tool_calls.calls import Call, UnreadableCall
from winnow.pipeline.verify.tool_calls.functions import Functions
from winnow.pipeline.verify.tool_calls.json_calls import calls_in

_THINK = re.compile(r"\s*<think>(.*?)</think>(.*)", re.DOTALL)
_TAG = re.compile(r"</?(?:think|tool_call|response)>")


@dataclass(frozen=True)
class Blocks:
    """Which blocks an answer must have besides `<think>`."""

    calls: bool
    response: bool

    @classmethod
    def of(cls, text: str) -> "Blocks":
        """The blocks that stand in `text` behind its thoughts."""
        said = spoken(text)
        return cls("<tool_call>" in said, "<response>" in said)


def read(text: str, functions: Functions) -> list[Call]:
    """The calls of every `<tool_call>` block behind the thoughts. Raises UnreadableCall."""
    blocks = tag_blocks(text, "tool_call")
    if not all(is_closed for _, is_closed in blocks):
        raise UnreadableCall("a tool_call block that is not closed")
    return [call for block, _ in blocks for call in _lines(block, functions)]


def _lines(block: str, functions: Functions) -> list[Call]:
    found: list[Call] = []
    for line in block.splitlines():
        if not line.strip():
            continue
        try:
            value = strict_json(line)
        except NoLiteral as error:
            raise UnreadableCall(str(error)) from None
        calls = calls_in(value, functions) if isinstance(value, dict) and "name" in value else None
        if calls is None:
            raise UnreadableCall("a line that is not one call")
        found += calls
    return found


def is_well_formed(completion: str, blocks: Blocks) -> bool:
    """ToolRL's format reward: a think block, then the blocks that the reference has, one of each,
    and nothing else in the whole text. What the thoughts say about tags does not count."""
    match = _THINK.fullmatch(completion)
    if match is None:
        return False
    wanted = [name for name in ("tool_call", "response") if getattr(blocks, _FIELDS[name])]
    tags = [tag for name in wanted for tag in (f"<{name}>", f"</{name}>")]
    if _TAG.findall(match[2]) != tags:
        return False
    pattern = r"\s*".join(rf"<{name}>.*?</{name}>" for name in wanted)
    return re.fullmatch(rf"\s*{pattern}\s*", match[2], re.DOTALL) is not None


_FIELDS = {"tool_call": "calls", "response": "response"}
