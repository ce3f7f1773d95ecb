"""Sources from reasoning-gym: procedural task families, each with its own scorer.

Item i of a family is a function of its configuration, the seed and i: asking for more items leaves
the earlier ones as they are.
"""

import difflib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, NoReturn

from winnow.pipeline.contracts import SourceRow
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.names import canonical_json, digest
from winnow.pipeline.recipe import ReasoningGymSource

_CHUNK = 16


class ReasoningGymFamily:
    """Rows `question`, `answer` (text or null), `domain` (category/family) and `verifier_args`."""

    def __init__(self, config: ReasoningGymSource) -> None:
        self.config = config

    def rows(self, limit: int | None = None) -> Iterator[SourceRow]:
        """The first `limit` items (default: all), made when they are asked for.

        An item whose generator fails, hangs or takes the process down is a row with an error.
        Raises UsageError as `check` does, and if the family refuses the configuration.
        """
        self.check()
        config = self.config
        size = config.size if limit is None else min(limit, config.size)
        request = {"family": config.family, "seed": config.seed, "config": config.config}
        for start in range(0, size, _CHUNK):
            stop = min(start + _CHUNK, size)
            for index, reply in zip(
                range(start, stop), WORKER.items(request, start, stop), strict=True
            ):
                if "refused" in reply:
                    self._fail("config", f"{config.family} refuses it: {reply['refused']}")
                if "error" in reply:
                    yield SourceRow(index, {}, f"item {index}: {reply['error']}")
                else:
                    yield SourceRow(index, {**reply, "verifier_args": self._args(index)})

    def fingerprint(self) -> str:
        """Name of the rows: what was asked for, and the package's version."""
        c = self.config
        made_by = version("reasoning-gym")
        return digest("reasoning_gym/1", [c.family, c.size, c.seed, c.config, made_by])

    def _args(self, index: int) -> dict[str, Any]:
        """What the verifier needs to make the item again."""
        c = self.config
        return {"family": c.family, "config": c.config, "seed": c.seed, "index": index}

    def check(self) -> None:
        """Raises UsageError for an unknown family or configuration key."""
        c = self.config
        known = WORKER.describe(c.family)
        if c.family not in known["families"]:
            close = difflib.get_close_matches(c.family, known["families"], n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else (
                f"there are {len(known['families'])}: {', '.join(known['families'])}"
            )  # fmt: skip
            self._fail("family", f"reasoning-gym has no family {c.family!r}; {hint}")
        for key in c.config:
            if key in ("size", "seed"):
                self._fail(f"config.{key}", f"stands one level up, beside `config` (`{key}: ...`)")
            if key not in known["fields"]:
                close = difflib.get_close_matches(key, known["fields"], n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                have = ", ".join(known["fields"])
                self._fail(f"config.{key}", f"unknown; {hint}{c.family} has: {have}")
        try:
            plain = json.loads(canonical_json(c.config))
        except (TypeError, ValueError) as error:
            self._fail("config", f"is no plain JSON: {error}")
        if plain != c.config:
            self._fail("config", "is no plain JSON: keys must be text")

    def _fail(self, key: str, message: str) -> NoReturn:
        raise UsageError(f"source {self.config.name!r}: {key}: {message}")


class _Worker:
    """One child process for all families (importing them takes about 2 s); see its module."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def describe(self, family: str) -> dict[str, Any]:
        """{"families": [...], "fields": [...]}, the fields those of `family`."""
        with self._lock:
            reply = self._ask({"describe": family})
            if reply is None:
                raise WinnowError("reasoning-gym cannot be started; its error stands above")
            return reply

    def items(self, request: dict[str, Any], start: int, stop: int) -> list[dict[str, Any]]:
        """Replies for the indices from `start` to before `stop`.

        Where the process dies, the item that it was at is an error and the next one is asked of a
        new process.
        """
        replies: list[dict[str, Any]] = []
        with self._lock:
            while (at := start + len(replies)) < stop:
                reply = self._ask({**request, "start": at, "stop": stop})
                while reply is not None:
                    replies.append(reply)
                    if start + len(replies) == stop:
                        return replies
                    reply = self._reply()
                replies.append({"error": f"its generator ended the process ({self._end()})"})
        return replies

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it was killed while idle, which is no item's fault
        process = self._process = self._process or _start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._reply()

    def _reply(self) -> dict[str, Any] | None:
        """The next reply, or None if the process has ended."""
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline()
        reply: dict[str, Any] | None = json.loads(line) if line.endswith("\n") else None
        return reply

    def _end(self) -> str:
        """Forget the process that has ended; how it ended, for people."""
        assert self._process is not None
        process, self._process = self._process, None
        code = process.wait()
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _start() -> subprocess.Popen[str]:
    """It ends by itself when its standard input does, with this process."""
    module = "winnow.pipeline.sources.reasoning_gym_worker"
    return subprocess.Popen(
        # -P: no file of the user's folder can stand in for a module.
        [sys.executable, "-P", "-W", "ignore", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


WORKER = _Worker()
