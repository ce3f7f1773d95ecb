"""The cleaning of a recipe's prompts: who is dropped, by which rule, and what was found."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.clean.decontaminate import Decontaminator, EvaluationSet
from winnow.pipeline.clean.dedup import deduplicate
from winnow.pipeline.clean.filters import filter_prompts
from winnow.pipeline.contracts import Embedder
from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Progress
from winnow.pipeline.recipe_sections.cleaning import Cleaning, Decontamination, Dedup
from winnow.pipeline.row_files import RowFile

HITS = pa.schema(
    [
        pa.field("set", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("items", pa.int64(), nullable=False),
        pa.field("items_hit", pa.int64(), nullable=False),
        pa.field("turns_hit", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Dropped:
    """Why one task is not kept: the ledger's columns."""

    task_id: str
    rule: str
    value: str | None = None
    threshold: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Cleaned:
    """`prompts` that stay, `dropped` the others, `hits` (schema HITS) per evaluation set and rule."""

    prompts: pa.Table
    dropped: list[Dropped]
    hits: pa.Table


def clean(
    prompts: pa.Table,
    config: Cleaning,
    *,
    sources: list[str],
    embedder: Callable[[], Embedder],
    progress: Progress,
) -> Cleaned:
    """Apply `config` to `prompts` (schema.PROMPTS). `sources` are the recipe's, the best first;
    `embedder` is opened only where something is compared by meaning."""
    dropped: list[Dropped] = []
    hits = HITS.empty_table()
    if config.filters is not None:
        found = [
            Dropped(
                prompts["task_id"][row].as_py(), drop.rule, drop.value, drop.threshold, drop.detail
            )
            for row, drop in filter_prompts(prompts, config.filters).items()
        ]
        prompts, dropped = _without(prompts, found), dropped + found
    if config.decontaminate is not None:
        found, hits = _contaminated(prompts, config.decontaminate, embedder, progress)
        prompts, dropped = _without(prompts, found), dropped + found
    if config.dedup is not None:
        found = _duplicates(prompts, config.dedup, sources, embedder, progress)
        prompts, dropped = _without(prompts, found), dropped + found
    return Cleaned(prompts, dropped, hits)


def contents(config: Cleaning) -> list[str]:
    """Hashes of the evaluation files: what decides beside the recipe's text. Raises UsageError."""
    if config.decontaminate is None:
        return []
    found = []
    for each in config.decontaminate.against:
        path = Path(each.path)
        if not path.is_file():
            raise UsageError(f"clean.decontaminate.against: {each.name}: {path}: no such file")
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "blake2b").hexdigest())
    return found


def user_text(messages: list[dict[str, str]]) -> str:
    """What the user says in a conversation: the turns that are compared."""
    return "\n\n".join(m["content"] for m in messages if m["role"] == "user")


def _texts(prompts: pa.Table) -> list[str]:
    return [user_text(messages) for messages in prompts["messages"].to_pylist()]


def _without(prompts: pa.Table, dropped: list[Dropped]) -> pa.Table:
    away = {each.task_id for each in dropped}
    return prompts.filter(
        pa.array([task not in away for task in prompts["task_id"].to_pylist()], pa.bool_())
    )


def _contaminated(
    prompts: pa.Table,
    config: Decontamination,
    embedder: Callable[[], Embedder],
    progress: Progress,
) -> tuple[list[Dropped], pa.Table]:
    sets = []
    for each in config.against:
        file = RowFile(Path(each.path))
        where = f"clean.decontaminate.against[{each.name}]"
        file.require(each.column, f"{where}.column")
        answers = None
        if each.answer is not None:
            file.require(each.answer, f"{where}.answer")
            answers = file.texts(each.answer)
        sets.append(EvaluationSet(each.name, file.texts(each.column), answers))
    made = Decontaminator(sets, config, embedder() if "semantic" in config.active else None)
    # Every user turn is a document of its own: an item that is one turn is met whole.
    columns = (prompts[name].to_pylist() for name in ("task_id", "messages", "answer"))
    turns = [
        (task, message["content"], answer)
        for task, messages, answer in zip(*columns, strict=True)
        for message in messages
        if message["role"] == "user"
    ]
    result = made.check(
        [text for _, text, _ in turns],
        answers=[answer for _, _, answer in turns],
        progress=progress,
    )
    best: dict[str, Any] = {}
    for (task, _, _), row in zip(turns, result.to_pylist(), strict=True):
        if row["contaminated"] and (task not in best or row["hit_score"] > best[task]["hit_score"]):
            best[task] = row
    dropped = [
        Dropped(
            task,
            "contaminated",
            f"{row['hit_file']}[{row['hit_row']}] {row['hit_score']:.2f}",
            row["hit_rule"],
            row["evidence"],
        )
        for task, row in best.items()
    ]
    return dropped, _hits(made.report())


def _hits(report: pa.Table) -> pa.Table:
    return pa.Table.from_arrays([report[name].cast(HITS.field(to).type) for name, to in
                                 zip(("file", "rule", "items", "items_hit", "rows_hit"), HITS.names, strict=True)],
                                schema=HITS)  # fmt: skip


def _duplicates(
    prompts: pa.Table,
    config: Dedup,
    sources: list[str],
    embedder: Callable[[], Embedder],
    progress: Progress,
) -> list[Dropped]:
    """Duplicates among prompts that show the same images: one text may ask of any number of them."""
    shown: dict[tuple[str, ...], list[int]] = {}
    for row, images in enumerate(prompts["images"].to_pylist()):
        shown.setdefault(tuple(images or ()), []).append(row)
    groups = [rows for rows in shown.values() if len(rows) > 1]
    if len(shown) > 1:  # group by group; single ones have no duplicate
        order = [row for rows in groups for row in rows]
        prompts = prompts.take(pa.array(order, pa.int64()))
    texts = _texts(prompts)
    vectors = embedder().embed(texts) if config.method == "semantic" and groups else None
    found: list[Dropped] = []
    start = 0
    for rows in groups:
        part = slice(start, start + len(rows))
        found += _same_images(
            prompts.slice(start, len(rows)),
            texts[part],
            vectors[part] if vectors is not None else None,
            config,
            sources,
            progress,
        )
        start = part.stop
    return found


def _same_images(
    prompts: pa.Table,
    texts: list[str],
    vectors: NDArray[np.float32] | None,
    config: Dedup,
    sources: list[str],
    progress: Progress,
) -> list[Dropped]:
    tasks = prompts["task_id"].to_pylist()
    places = zip(prompts["source"].to_pylist(), prompts["source_index"].to_pylist(), strict=True)
    result = deduplicate(
        texts,
        config.method,
        vectors=vectors,
        threshold=config.threshold,
        per_template=config.per_template,
        prefer=[_preference(name, prompts, texts, sources) for name in config.prefer] or None,
        tiebreak=tasks,
        ids=[f"{source}[{index}]" for source, index in places],
        progress=progress,
    )
    found = []
    for task, row in zip(tasks, result.to_pylist(), strict=True):
        if not row["keep"]:
            rule = row["reason"].split()[0].rstrip(":")
            found.append(Dropped(task, rule, row["group_id"], detail=row["reason"]))
    return found


def _preference(name: str, prompts: pa.Table, texts: list[str], sources: list[str]) -> NDArray[Any]:
    if name == "source":
        place = {source: -at for at, source in enumerate(sources)}
        return np.array([place.get(each, -len(sources)) for each in prompts["source"].to_pylist()])
    if name == "longest_answer":
        return np.array([len(answer or "") for answer in prompts["answer"].to_pylist()])
    return np.array([len(text) for text in texts])
