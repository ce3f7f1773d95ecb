"""Rollouts that the user already has, in place of an engine.

`import_rollouts` names them and puts them into the store; a recipe with `engine: {type: replay}`
then reads them and samples nothing.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.pipeline.contracts import Completion, EngineError, Identity, Sampling
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import Message, canonical_json, prompt_id, rollout_id
from winnow.pipeline.recipe import ReplayEngine
from winnow.pipeline.sources import files
from winnow.pipeline.sources.files import Record, Unreadable
from winnow.pipeline.store.store import Store
from winnow.pipeline.upkeep import IMPORTED
from winnow.synth.sampling import PLAN_COLUMNS, Missing, Plan, Row

TEMPLATE = IMPORTED
SOURCES = Identity("source", "source")  # whose answers stand in a recipe's sources
_BATCH = 10_000
_NAME = re.compile(r"[0-9a-f]{32}")
_COLUMNS = ("messages", "prompt", "prompt_id", "completion", "index", "finish_reason", "n_tokens", "token_ids",
            "logprob_sum")  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """What an import did: rows added, rows that were there already, and why others were refused."""

    added: int
    known: int
    refused: Sequence[tuple[int, str]]


def stored_rows(store: Store, prompt_ids: Iterable[str], engine: ReplayEngine) -> Iterator[Row]:
    """The imported answers of the engine's policy and sampler, as far as planning reads them."""
    shared = {"policy": engine.policy, "template": TEMPLATE, "sampler": engine.sampler}
    return store.rows(prompt_ids, "prompt_id", columns=PLAN_COLUMNS, where=shared)


def plan(prompt_ids: Iterable[str], stored: Iterable[Row], n: int) -> Plan:
    """The first `n` imported answers of every prompt; what the user does not have is not missed."""
    shelf = Imports(stored)
    rows = [row for prompt in prompt_ids for row in shelf.of(prompt)[:n]]
    return Plan([row["rollout_id"] for row in rows], {})


class Imports:
    """Imported answers (`stored_rows`) by prompt and order."""

    def __init__(self, stored: Iterable[Row]) -> None:
        self._rows: dict[str, list[Row]] = defaultdict(list)
        for row in stored:
            self._rows[row["prompt_id"]].append(row)
        for rows in self._rows.values():
            rows.sort(key=lambda row: (row["index"], row["rollout_id"]))

    def of(self, prompt: str) -> list[Row]:
        """All answers to a prompt, in order."""
        return self._rows.get(prompt, [])

    def at(self, prompt: str, index: int) -> Row | Missing:
        """The answer that stands at place `index`."""
        rows = self.of(prompt)
        return rows[index] if index < len(rows) else Missing(prompt, index, 0)


class Recorded:
    """An `Engine` that draws nothing: there are the answers that the user has, and no more."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        raise EngineError("this engine samples nothing", permanent=True)

    async def close(self) -> None:
        pass


def read_file(path: Path) -> Iterator[Record]:
    """Rows of a Parquet, JSONL, JSON or CSV file; UsageError where it is none of them."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if files.kind(path.name) is None:
        raise UsageError(f"{path}: the name must end in .parquet, .jsonl, .json or .csv")
    try:
        yield from files.read(str(path), path.name, _COLUMNS)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def import_rollouts(
    rows: Iterable[Record], store: Store, *, policy: str, sampler: str = "imported"
) -> Imported:
    """Put rollouts into the store.

    A row has `messages` (list of role and content), `prompt` (text, taken as one user message) or
    `prompt_id` (as winnow names it: what a prompt with images needs), and `completion`; optionally `index`, `finish_reason` (stop or length; default stop), `token_ids`,
    `n_tokens` and `logprob_sum`. Without `index`, equal answers to one prompt count as often as they
    stand in the file, so that importing a file twice, or after it grew, adds only what is new.
    """
    added = known = 0
    refused: list[tuple[int, str]] = []
    batch: list[dict[str, Any]] = []
    seen: dict[str, _Prompt] = {}
    for number, row in enumerate(rows):
        reason = row.reason if isinstance(row, Unreadable) else _fault(row)
        if reason or isinstance(row, Unreadable):
            refused.append((number, reason or ""))
            continue
        prompt = row.get("prompt_id") or prompt_id(_messages(row))
        if prompt not in seen:
            seen[prompt] = _Prompt.of(store, prompt, policy, sampler)
        try:
            index = seen[prompt].place(row["completion"], row.get("index"))
        except ValueError as conflict:
            refused.append((number, str(conflict)))
            continue
        if index is None:
            known += 1
            continue
        batch.append(_row(row, prompt, policy, sampler, index))
        added += 1
        if len(batch) >= _BATCH:
            store.put(batch)
            batch.clear()
    store.put(batch)
    return Imported(added, known, refused)


class _Prompt:
    """Answers that one prompt has already, and those that this file has shown so far."""

    def __init__(self, answers: dict[int, str]) -> None:
        self._answers = answers  # by index
        self._stored = Counter(answers.values())
        self._shown: Counter[str] = Counter()

    @classmethod
    def of(cls, store: Store, prompt: str, policy: str, sampler: str) -> "_Prompt":
        columns = ("policy", "template", "sampler", "index", "completion")
        return cls(
            {
                row["index"]: row["completion"]
                for row in store.get([prompt], "prompt_id", columns=columns).to_pylist()
                if (row["policy"], row["template"], row["sampler"]) == (policy, TEMPLATE, sampler)
            }
        )

    def place(self, text: str, index: int | None) -> int | None:
        """The index that this answer gets, None where it is stored already.

        Raises ValueError where another answer has the index that the row names.
        """
        if index is None:
            self._shown[text] += 1
            if self._shown[text] <= self._stored[text]:
                return None
            index = max(self._answers, default=-1) + 1
        elif index in self._answers:
            if self._answers[index] == text:
                return None
            raise ValueError(f"index {index} of this prompt holds another answer")
        self._answers[index] = text
        return index


def _messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    if row.get("messages") is not None:
        return [{"role": m["role"], "content": m["content"]} for m in row["messages"]]
    return [{"role": "user", "content": row["prompt"]}]


def _fault(row: Mapping[str, Any]) -> str | None:
    """Why a row cannot be imported, None where it can."""
    messages, prompt = row.get("messages"), row.get("prompt")
    named = row.get("prompt_id")
    if named is not None and not (isinstance(named, str) and _NAME.fullmatch(named)):
        return "`prompt_id` is no name of a prompt (32 hex digits)"
    if named is None and messages is None and not isinstance(prompt, str):
        return "has neither `messages` nor a text `prompt`, nor a `prompt_id`"
    if messages is not None and not _is_conversation(messages):
        return "`messages` is not a list of {role, content}"
    if not isinstance(row.get("completion"), str):
        return "has no text `completion`"
    try:
        canonical_json([messages, prompt, row["completion"]]).encode()
    except UnicodeEncodeError:
        return "holds text that is not Unicode"
    if row.get("finish_reason") not in (None, "stop", "length"):
        return f"finish_reason {row['finish_reason']!r} is neither stop nor length"
    for name in ("index", "n_tokens"):
        if row.get(name) is not None and not _is_count(row[name]):
            return f"{name} {row[name]!r} is not a whole number from 0"
    tokens = row.get("token_ids")
    if tokens is not None and not (isinstance(tokens, list) and all(map(_is_count, tokens))):
        return "token_ids is not a list of whole numbers"
    logprob = row.get("logprob_sum")
    if logprob is not None and (isinstance(logprob, bool) or not isinstance(logprob, int | float)):
        return f"logprob_sum {logprob!r} is not a number"
    return None


def _is_conversation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(m, Mapping)
            and isinstance(m.get("role"), str)
            and isinstance(m.get("content"), str)
            for m in value
        )
    )


def _is_count(value: Any) -> bool:
    """Whether a value fits the store's 32-bit columns."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _row(
    row: Mapping[str, Any], prompt: str, policy: str, sampler: str, index: int
) -> dict[str, Any]:
    tokens = row.get("token_ids")
    n_tokens = row.get("n_tokens") or (len(tokens) if tokens else 0)
    return {
        "rollout_id": rollout_id(prompt, policy, TEMPLATE, sampler, 0, index),
        "prompt_id": prompt,
        "policy": policy,
        "template": TEMPLATE,
        "sampler": sampler,
        "recipe_seed": 0,
        "index": index,
        "attempt": 0,
        "completion": row["completion"],
        "token_ids": tokens,
        "logprob_sum": row.get("logprob_sum"),
        "n_tokens": n_tokens,
        "finish_reason": row.get("finish_reason") or "stop",
        "max_tokens": n_tokens,
        "seed": 0,
        "error": None,
    }
