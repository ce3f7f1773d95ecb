"""Stage `prompts`: every row of every source becomes a prompt, or a ledger row with its reason.

Rules that drop a row, in the order in which they are asked:

`unreadable` (broken line, failed generator), `missing_prompt`, `empty_prompt`, `wrong_type`,
`invalid_text` (not Unicode), `bad_image` (no image, or not as many as the text has marks, where
some source of the recipe has images),
`missing_answer`, `empty_answer`, `bad_arguments`, `missing_completion`
(where the answers stand in the sources), `duplicate` (the same prompt, answer and verifier came
before), `unrenderable` (the chat template refuses it), `too_long`.
"""

import difflib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.pipeline.clean.templates import template_id
from winnow.pipeline.contracts import SourceRow
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import Message, canonical_json, digest, prompt_id, task_id
from winnow.pipeline.recipe import (
    Columns,
    Prompting,
    ReasoningGymSource,
    Recipe,
    SourceConfig,
    SourceEngine,
    TrajectoriesSource,
    VLLMEngine,
)
from winnow.pipeline.schema import LEDGER, PROMPTS
from winnow.pipeline.sources import (
    brought,
    check,
    local_folder,
    open_source,
    row_images,
    rows,
    trajectories,
)
from winnow.pipeline.sources.brought import Brought
from winnow.pipeline.sources.growing import Growing
from winnow.pipeline.sources.row_arguments import RowArguments, check_shared
from winnow.pipeline.sources.row_images import RowImage
from winnow.pipeline.sources.rows import Drop
from winnow.pipeline.verify import VERIFIERS, needs_answer, unknown_verifier

STAGE = "prompts"

CountTokens = Callable[[list[Message]], int]
KeepImages = Callable[[Sequence[RowImage]], None]


@dataclass(frozen=True)
class Ingested:
    """`prompts` (schema.PROMPTS) in source order; `ledger` (schema.LEDGER), one row per source row;
    `completions` (schema.COMPLETIONS), the answers that the sources bring, in their order, where the
    recipe's engine takes them.

    A ledger row's `row_id` is the task_id, or for a row that has none of its own (unreadable, not a
    prompt, a duplicate) the digest of the source's name and the row number.
    """

    prompts: pa.Table
    ledger: pa.Table
    completions: pa.Table


def check_sources(recipe: Recipe, known_verifiers: Collection[str]) -> None:
    """Raises UsageError for what is wrong with the sources and can be told before reading them."""
    if recipe.shows_images and isinstance(recipe.engine, VLLMEngine):
        raise UsageError(
            "engine: vllm is sent text only here, and a source has images (columns.images); serve the "
            "model (`vllm serve MODEL`) and name it with engine: {type: openai, model: MODEL}"
        )
    for config in recipe.sources:
        mapping = _mapping(config)
        name, verifier = config.name, mapping.verifier
        if verifier not in known_verifiers:
            said = unknown_verifier(verifier, known_verifiers)
            raise UsageError(f"source {name!r}: verifier: {said}")
        if verifier in VERIFIERS and needs_answer(verifier) and mapping.columns.answer is None:
            raise UsageError(
                f"source {name!r}: {mapping.within}answer: the verifier {verifier} compares with a "
                "reference; name the column that holds it"
            )
        if mapping.same_args:
            check_shared(name, verifier, mapping.verifier_args)
        check(config)


def ingest(
    recipe: Recipe,
    *,
    count_tokens: CountTokens | None,
    max_prompt_tokens: int | None,
    limit: int | None = None,
    keep_images: KeepImages | None = None,
) -> Ingested:
    """Read all sources of `recipe`.

    `count_tokens` is the length of a rendered conversation in tokens of the policy; it raises
    ValueError for a conversation that the chat template refuses. Prompts above `max_prompt_tokens`
    are dropped. With `limit`, the first rows of the sources are dealt in turn, one from each, until
    there are `limit` rows: a first look shows every source. `keep_images` is called with the pictures
    of every prompt that is kept, which names them only.

    Raises UsageError when a source cannot be opened, a column of the recipe is in none of its rows, or
    its verifier takes no row's arguments, for one reason.
    """
    taken = _Taken(recipe, count_tokens, max_prompt_tokens, keep_images)
    for config, source_rows in _deal(recipe.sources, limit):
        taken.source(config, source_rows)
    return Ingested(taken.prompts.table(), taken.ledger.table(), taken.answers.table())


def _deal(
    sources: Sequence[SourceConfig], limit: int | None
) -> Iterator[tuple[SourceConfig, Iterable[SourceRow]]]:
    if limit is None:
        yield from ((config, open_source(config).rows()) for config in sources)
        return
    hands: list[list[SourceRow]] = [[] for _ in sources]
    streams = [open_source(config).rows(limit) for config in sources]
    turns = deque(range(len(sources)))
    left = limit
    while turns and left:
        at = turns.popleft()
        row = next(streams[at], None)
        if row is not None:
            hands[at].append(row)
            turns.append(at)
            left -= 1
    yield from zip(sources, hands, strict=True)


@dataclass(frozen=True)
class _Mapping:
    """How a source's rows are read."""

    columns: Columns
    verifier: str
    verifier_args: Mapping[str, Any]
    licence: str | None
    own_args: bool = False  # every row brings its verifier's arguments
    own_answers: bool = False  # and its answer
    trajectories: bool = False  # every row is a trajectory, which is prompt and answer
    folder: Path | None = None  # that paths of pictures start from
    args: RowArguments | None = None  # where rows bring arguments of their own

    @property
    def needs_answer(self) -> bool:
        return self.columns.answer is not None and needs_answer(self.verifier)

    @property
    def same_args(self) -> bool:
        """Whether every row has the arguments that the recipe gives, and no others."""
        return not self.own_args and self.args is None

    @property
    def within(self) -> str:
        """What stands before the keys that name columns."""
        return "" if self.trajectories else "columns."

    @property
    def required(self) -> list[tuple[str, str]]:
        """(key in the recipe, column) of every column that must be in some row."""
        columns = self.columns
        named: list[tuple[str, str | None]] = [("columns.prompt", name) for name in columns.prompts]
        named.append(("columns.domain", columns.domain))
        if self.needs_answer:
            named.append((f"{self.within}answer", columns.answer))
        if self.own_answers:
            named.append(("columns.completion", columns.completion))
        named.append(("columns.verifier_args", columns.verifier_args))
        named += [(f"columns.arguments.{key}", name) for key, name in columns.arguments.items()]
        named.append(("columns.images", columns.images))
        named += [("columns.json_columns", name) for name in columns.json_columns]
        named += [("columns.keep", name) for name in columns.keep]
        return [(key, column) for key, column in named if column is not None]


def _mapping(config: SourceConfig, *, own_answers: bool = False) -> _Mapping:
    if isinstance(config, ReasoningGymSource):
        columns = Columns(prompt="question", answer="answer", domain="domain")
        return _Mapping(columns, "reasoning_gym", {}, config.licence, own_args=True)
    try:
        canonical_json(config.verifier_args)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"source {config.name!r}: verifier_args: is no plain JSON: {error}"
        ) from None
    if isinstance(config, TrajectoriesSource):
        name = trajectories.WHOLE
        columns = Columns(prompt=name, completion=name, answer=config.answer)
    else:
        columns = config.columns
    brings = columns.verifier_args is not None or columns.arguments
    return _Mapping(
        columns,
        config.verifier,
        config.verifier_args,
        config.licence,
        own_answers=own_answers,
        trajectories=isinstance(config, TrajectoriesSource),
        folder=local_folder(config),
        args=RowArguments(config.name, config.verifier, columns) if brings else None,
    )


class _Taken:
    """The tables as they grow, and which task came first where."""

    def __init__(
        self,
        recipe: Recipe,
        count_tokens: CountTokens | None,
        max_prompt_tokens: int | None,
        keep_images: KeepImages | None,
    ) -> None:
        self.prompts, self.ledger = Growing(PROMPTS), Growing(LEDGER)
        self.answers = brought.Answers()
        self._recipe, self._count, self._max = recipe, count_tokens, max_prompt_tokens
        self._keep_images, self._shows_images = keep_images, recipe.shows_images
        self._first: dict[str, str] = {}
        self._own_answers = isinstance(recipe.engine, SourceEngine)

    def source(self, config: SourceConfig, source_rows: Iterable[SourceRow]) -> None:
        mapping = _mapping(config, own_answers=self._own_answers)
        absent = dict.fromkeys(mapping.required)
        seen: dict[str, None] = {}
        for row in source_rows:
            if absent and row.error is None:
                seen.update(dict.fromkeys(map(str, row.values)))
                absent = {item: None for item in absent if item[1] not in row.values}
            self._row(config.name, mapping, row)
        if absent and seen:
            _no_column(config.name, next(iter(absent)), list(seen))
        if mapping.args is not None:
            mapping.args.end()

    def _row(self, source: str, mapping: _Mapping, row: SourceRow) -> None:
        position = f"{source}[{row.index}]"
        named: str | None = None
        try:
            prompt, own, shown = self._prompt(source, mapping, row)
            task = prompt["task_id"]
            also = self.answers.take(prompt["prompt_id"], source, own) if own is not None else ""
            if task in self._first:
                raise Drop("duplicate", f"the same as {self._first[task]}{also}", value=task)
            self._first[task], named = position, task
            self._measure(prompt)
        except Drop as drop:
            decided = ("dropped", drop.rule, drop.value, drop.threshold)
            detail = f"{position}: {drop.detail}"
        else:
            if shown and self._keep_images:
                self._keep_images(shown)
            self.prompts.add(prompt)
            count, limit = prompt["n_tokens"], self._max
            decided = ("kept", "ingested", _text(count), None if count is None else _text(limit))
            detail = position
        decision, rule, value, threshold = decided
        self.ledger.add(
            {
                "row_id": named or digest("source_row/1", [source, row.index]),
                "stage": STAGE,
                "decision": decision,
                "rule": rule,
                "value": value,
                "threshold": threshold,
                "detail": detail.encode("utf-8", "backslashreplace").decode(),
            }
        )

    def _prompt(
        self, source: str, mapping: _Mapping, row: SourceRow
    ) -> tuple[dict[str, Any], Brought | None, list[RowImage]]:
        """The row as a prompt, the answer that it brings, where it brings one, and its pictures."""
        if row.error is not None:
            raise Drop("unreadable", row.error)
        columns = mapping.columns
        values = brought.with_json(row.values, columns.json_columns)
        text: Any
        own: Brought | None = None
        prompting = self._recipe.prompting
        if mapping.trajectories:
            text, own = trajectories.taken_apart(values[trajectories.WHOLE])
            prompting = Prompting()  # a trajectory is what it is
        elif columns.completion is not None and columns.completion == columns.prompt:
            text, said = brought.answered(values.get(columns.completion), columns.completion)
            own = Brought(said)
        elif isinstance(columns.prompt, str):
            text = values.get(columns.prompt)
        else:
            text = rows.joined(values, columns.prompt)
        messages = rows.conversation(text, prompting)
        shown: list[RowImage] = []
        if columns.images is not None:
            shown = row_images.read(values.get(columns.images), columns.images, mapping.folder)
        if not shown and rows.shows_images(text):
            hint = "" if columns.images else "; columns.images names the column of the pictures"
            raise Drop(row_images.RULE, f"a message has an image, and the row no picture{hint}")
        if self._shows_images:
            row_images.place(messages, len(shown))
        named = [each.image_id for each in shown]
        raw = values.get(columns.answer) if columns.answer is not None else None
        answer = rows.answer(raw, needed=mapping.needs_answer)
        domain = values.get(columns.domain) if columns.domain is not None else None
        if mapping.own_args:
            args = values["verifier_args"]
        else:
            args = rows.arguments(values, columns, mapping.verifier_args)
        written = canonical_json(args)
        if mapping.args is not None:
            mapping.args.check(written)
        if mapping.own_answers and own is None and columns.completion is not None:
            own = Brought(brought.completion(values.get(columns.completion), columns.completion))
        prompt = prompt_id(messages, named)
        found = {
            "task_id": task_id(prompt, answer, mapping.verifier, args),
            "prompt_id": prompt,
            "messages": messages,
            "images": named or None,
            "answer": answer,
            "verifier": mapping.verifier,
            "verifier_args": written,
            "source": source,
            "source_index": row.index,
            "licence": mapping.licence,
            "domain": rows.label(domain, "domain"),
            "template_id": template_id(messages),
            "n_tokens": None,
            "meta": rows.meta(values, columns.keep),
        }
        return found, own if mapping.own_answers else None, shown

    def _measure(self, prompt: dict[str, Any]) -> None:
        if self._count is None:
            return
        try:
            prompt["n_tokens"] = count = self._count(prompt["messages"])
        except ValueError as error:
            raise Drop("unrenderable", " ".join(str(error).split())[:200]) from None
        if self._max is not None and count > self._max:
            raise Drop("too_long", "tokens", value=str(count), threshold=str(self._max))


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _no_column(source: str, missing: tuple[str, str], seen: list[str]) -> None:
    key, column = missing
    close = difflib.get_close_matches(column, seen, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    names = rows.short(seen, 300)
    raise UsageError(f"source {source!r}: {key}: no column {column!r}{hint}; there are: {names}")
