"""The life of whatever has an id: its prompt, the answers, the decisions, and where it was published."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from winnow.pipeline.publish.browse.asked import NotFound
from winnow.pipeline.publish.browse.decisions import Decisions
from winnow.pipeline.publish.browse.parts import Part
from winnow.pipeline.publish.browse.rows import Rows
from winnow.pipeline.publish.browse.story import Stories, Story
from winnow.pipeline.publish.set_schemas import LEDGER_KEYS

_SHORTEST = 6  # characters of an id's beginning
_ROLLOUT = "rollout_id"

Row = dict[str, Any]
Listed = list[tuple[Part, Row]]


@dataclass(frozen=True)
class Life:
    """What is known of `name`, a published row, task, prompt, answer or source row (`kind`).

    `story` is None where the run's tables are not here, or do not know the prompt. `why` holds the
    decisions about the row itself and what it is made of, `fates` those about each answer by its
    name, `others` those about the prompt's other tasks. `published` are rows of the same prompt, and
    `own` the names of answers that stand in the row (or of the answer that was asked for). `labels`
    says what a name in the ledger stands for.
    """

    name: str
    kind: str
    story: Story | None
    why: list[Row]
    fates: Mapping[str, list[Row]] = field(default_factory=dict)
    published: Listed = field(default_factory=list)
    own: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def elsewhere(self) -> Listed:
        """Published rows of the same prompt but for this one."""
        return [(part, row) for part, row in self.published if row["id"] != self.name]

    def places(self, rollout: str) -> Listed:
        """Published rows that hold an answer."""
        return [(part, row) for part, row in self.published if rollout in _rollouts(part, row)]


class Lives:
    """Puts together what the sets, the run's tables and the ledger know."""

    def __init__(self, rows: Rows, stories: Stories, decisions: Decisions) -> None:
        self._rows, self._stories, self._decisions = rows, stories, decisions

    def of_row(self, part: Part, row: Row) -> Life:
        """The life of a published row."""
        named = {key: row[key] for key in LEDGER_KEYS if isinstance(row.get(key), str)}
        prompt, task = named.get("prompt_id"), named.get("task_id")
        story = self._stories.of(prompt, task) if prompt else None
        own = _rollouts(part, row)
        keys = {*named.values(), *own}
        published = self._rows.of_prompt(prompt) if prompt else []
        return self._life(row["id"], "row", story, keys, own, published)

    def of_name(self, name: str, rows: Listed) -> Life | None:
        """The life of what is called `name`; `rows` are published rows with that id. None where
        nobody knows it."""
        known = self._stories.kind_of(name)
        if known is not None:
            kind, prompt = known
            story = self._stories.of(prompt, name if kind == "task" else None)
            published = self._rows.of_prompt(prompt)
            own = frozenset({name}) if kind == "answer" else frozenset[str]()
            keys = {name, prompt, *((task.id for task in story.tasks) if story else ())}
            return self._life(name, kind, story, keys, own, published)
        for key, kind in (("task_id", "task"), ("prompt_id", "prompt"), (_ROLLOUT, "answer"),
                          ("chosen_rollout_id", "answer"), ("rejected_rollout_id", "answer")):  # fmt: skip
            rows = rows or self._rows.naming(key, name)
            if rows:
                keys = {name, *(str(row["task_id"]) for _, row in rows if row.get("task_id"))}
                return self._life(name, kind, None, keys, frozenset({name}), rows)
        why = self._decisions.about([name])
        if not why:
            return None
        early = all(entry["stage"] == "prompts" for entry in why)
        return Life(name, "source row" if early else "row", None, why)

    def knows(self, start: str) -> bool:
        """Whether a published row or a row of the ledger has an id that begins so."""
        return bool(self._beginning_with(start))

    def whole_name(self, start: str) -> str:
        """The one id that begins so; raises NotFound where there is none, or more than one."""
        if len(start) < _SHORTEST:
            raise NotFound(
                f"no row is called {start}; give at least {_SHORTEST} characters of an id"
            )
        found = self._beginning_with(start)
        if not found or found == [start]:
            raise NotFound(f"neither the sets nor the ledger know {start}")
        if len(found) > 1:
            raise NotFound(f"more than one id begins with {start}; give more characters")
        return found[0]

    def _beginning_with(self, start: str) -> list[str]:
        found = [*self._rows.beginning_with(start), *self._decisions.beginning_with(start)]
        return list(dict.fromkeys(found))

    def _life(
        self,
        name: str,
        kind: str,
        story: Story | None,
        keys: set[str],
        own: frozenset[str],
        published: Listed,
    ) -> Life:
        answers = {answer.id for answer in story.answers} if story else set()
        entries = self._decisions.about(keys | answers)
        fates = {
            rollout: list(found)
            for rollout, found in itertools.groupby(
                sorted((e for e in entries if e["row_id"] in answers), key=lambda e: e["row_id"]),
                key=lambda e: e["row_id"],
            )
        }
        why = [entry for entry in entries if entry["row_id"] in keys]
        return Life(name, kind, story, why, fates, published, own, _labels(story, name, kind))


def _rollouts(part: Part, row: Mapping[str, Any]) -> frozenset[str]:
    """Names of the answers that a published row holds."""
    columns = [c.name for c in part.of_kind("text") if c.name.endswith(_ROLLOUT)]
    return frozenset(row[name] for name in columns if isinstance(row.get(name), str))


def _labels(story: Story | None, name: str, kind: str) -> dict[str, str]:
    found = {name: f"this {kind}"}
    if story:
        several = len(story.tasks) > 1
        found[story.prompt_id] = "the prompt"
        for at, task in enumerate(story.tasks):
            found[task.id] = f"task {at + 1}" if several else "the task"
        for answer in story.answers:
            found[answer.id] = f"answer {answer.rollout.get('index', '?')}"
    return found
