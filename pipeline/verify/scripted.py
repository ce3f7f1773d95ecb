"""An engine whose answers are written down beforehand: what self-tests ask in a model's place."""

import re
from collections.abc import Sequence

from winnow.pipeline.contracts import Completion, EngineError, Identity, Sampling
from winnow.pipeline.names import Message


class TooFewReplies(Exception):
    """The script ended before the verifier had asked all that it asks."""


class ScriptedEngine:
    """`Engine` that gives `replies` in the order in which it is asked. A reply that begins with

    - `!error REASON` is an EngineError,
    - `!cut TEXT` is a text that was cut off at its length limit,
    - `!falls REGEX => TEXT => OTHER` plays a model that some prompts fool: TEXT where the last
      message matches, else OTHER.

    `requests` are the messages, seeds and limits that it was asked with.
    """

    identity = Identity("scripted@1", "none")

    def __init__(self, replies: Sequence[str]) -> None:
        self._replies = list(replies)
        self.requests: list[tuple[Sequence[Message], Sampling, int, int]] = []

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        """The next reply. Raises TooFewReplies where there is none."""
        at = len(self.requests)
        self.requests.append((messages, sampling, seed, max_tokens))
        if at >= len(self._replies):
            raise TooFewReplies(f"{at} replies are written down, and more are asked for")
        reply = self._replies[at]
        if reply.startswith("!error "):
            raise EngineError(reply.removeprefix("!error "))
        if reply.startswith("!cut "):
            return _completion(reply.removeprefix("!cut "), cut=True)
        if reply.startswith("!falls "):
            pattern, fooled, other = reply.removeprefix("!falls ").split(" => ")
            found = re.search(pattern, messages[-1]["content"], re.MULTILINE | re.DOTALL)
            return _completion(fooled if found else other)
        return _completion(reply)

    async def close(self) -> None:
        """Nothing is open."""


def _completion(text: str, *, cut: bool = False) -> Completion:
    return Completion(text, None, None, len(text.split()), "length" if cut else "stop")
