"""What a run knows of one prompt: its tasks, its answers, and what verifiers said of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from winnow.pipeline.publish.browse.catalogue import Catalogue
from winnow.pipeline.publish.browse.database import Database
from winnow.pipeline.publish.browse.pictures import PICTURE

MOST_ANSWERS = 120  # shown on one page

Row = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One rollout, without its token ids; its verdicts by task, and its score where it has one."""

    rollout: Row
    verdicts: Mapping[str, Row] = field(default_factory=dict)
    score: Row | None = None

    @property
    def id(self) -> str:
        return str(self.rollout["rollout_id"])

    @property
    def verdict(self) -> str:
        """correct, wrong, unjudged, none (nobody judged it), or mixed (the tasks' verdicts differ)."""
        said = {str(verdict["verdict"]) for verdict in self.verdicts.values()}
        return said.pop() if len(said) == 1 else "mixed" if said else "none"

    @property
    def logprob_mean(self) -> float | None:
        """Per token, nats."""
        total, tokens = self.rollout["logprob_sum"], self.rollout["n_tokens"]
        return total / tokens if total is not None and tokens else None


@dataclass(frozen=True)
class Task:
    """A prompt with one reference, how often the policy solved it, and doubts about the reference."""

    prompt: Row
    difficulty: Row | None
    audit: Row | None

    @property
    def id(self) -> str:
        return str(self.prompt["task_id"])


@dataclass(frozen=True)
class Story:
    """`sampled` says how a stop rule ended the prompt. `n_answers` counts also those that `answers`
    leaves out for their number."""

    prompt_id: str
    tasks: list[Task]
    answers: list[Answer]
    n_answers: int
    cluster: Row | None
    sampled: Row | None

    @property
    def messages(self) -> list[Row] | None:
        """What the model saw, None where only its answers are known."""
        return self.tasks[0].prompt["messages"] if self.tasks else None

    @property
    def images(self) -> list[str]:
        """Names of the pictures that the model saw."""
        return list(self.tasks[0].prompt.get("images") or ()) if self.tasks else []

    @property
    def counts(self) -> dict[str, int]:
        """Answers shown, by verdict."""
        names = ("correct", "wrong", "unjudged", "mixed", "none")
        said = [answer.verdict for answer in self.answers]
        return {name: said.count(name) for name in names if name in said}


class Stories:
    """Questions about the tables of the run; a table that is not there has no rows."""

    def __init__(self, db: Database, catalogue: Catalogue) -> None:
        self._db, self._stages, self._workspace = db, catalogue.stages, catalogue.workspace

    def of(self, prompt_id: str, task_id: str | None = None) -> Story | None:
        """What is known of a prompt, with all its tasks or only the one named; None where the run's
        tables do not know it."""
        prompts = self._where("prompts", "prompt_id", [prompt_id])
        if task_id is not None:
            prompts = [row for row in prompts if row["task_id"] == task_id] or prompts
        rollouts = self._rollouts(prompt_id)
        if not prompts and not rollouts:
            return None
        tasks = [str(row["task_id"]) for row in prompts]
        difficulty = {r["task_id"]: r for r in self._where("difficulty", "task_id", tasks)}
        audit = {r["task_id"]: r for r in self._where("audit", "task_id", tasks)}
        return Story(
            prompt_id,
            [
                Task(row, difficulty.get(row["task_id"]), audit.get(row["task_id"]))
                for row in sorted(prompts, key=lambda row: str(row["task_id"]))
            ],
            self._judged(rollouts[:MOST_ANSWERS], set(tasks)),
            len(rollouts),
            next(iter(self._where("clusters", "prompt_id", [prompt_id])), None),
            next(iter(self._where("sampled", "prompt_id", [prompt_id])), None),
        )

    def pictures(self, story: Story) -> list[Row]:
        """The pictures of a prompt from the home's store, in order: {bytes, size, path}, where they are
        small enough for a page with their bytes."""
        if not story.images or self._workspace is None:
            return []
        with self._workspace.images() as store:
            found = {row["image_id"]: row["bytes"] for row in store.get(story.images).to_pylist()}
        data = [found.get(name) for name in story.images]
        return [
            {"bytes": each if each is not None and len(each) <= PICTURE else None,
             "size": None if each is None else len(each), "path": None}
            for each in data
        ]  # fmt: skip

    def kind_of(self, name: str) -> tuple[str, str] | None:
        """(task, prompt or answer, the prompt's id) of what the run calls `name`."""
        places = (
            ("task", "prompts", "task_id"),
            ("prompt", "prompts", "prompt_id"),
            ("answer", "rollouts", "rollout_id"),
        )
        for kind, stage, column in places:
            if stage in self._stages:
                row = self._db.row(
                    f"SELECT prompt_id FROM stage_{stage} WHERE {column} = ? LIMIT 1", [name]
                )
                if row is not None:
                    return kind, str(row["prompt_id"])
        return None

    def texts(self, names: Collection[str], length: int) -> dict[str, str]:
        """How the prompts of tasks, and the texts of answers, begin; of those that are known."""
        found: dict[str, str] = {}
        for stage, key, text in (
            ("prompts", "task_id", "messages[-1].content"),
            ("rollouts", "rollout_id", "completion"),
        ):
            if stage in self._stages:
                what = f"{key} AS name, left({text}, {length}) AS text"
                rows = self._db.among(f"stage_{stage}", key, names, what)
                found |= {row["name"]: row["text"] for row in rows}
        return found

    def _rollouts(self, prompt_id: str) -> list[Row]:
        if "rollouts" not in self._stages:
            return []
        return self._db.rows(
            "SELECT * EXCLUDE (token_ids) FROM stage_rollouts WHERE prompt_id = ? "
            'ORDER BY "index", attempt, rollout_id',
            [prompt_id],
        )

    def _judged(self, rollouts: list[Row], tasks: set[str]) -> list[Answer]:
        ids = [row["rollout_id"] for row in rollouts]
        verdicts: dict[str, dict[str, Row]] = {name: {} for name in ids}
        for row in self._where("verdicts", "rollout_id", ids):
            if row["task_id"] in tasks or not tasks:
                verdicts[row["rollout_id"]][row["task_id"]] = row
        scores = {row["rollout_id"]: row for row in self._where("scores", "rollout_id", ids)}
        return [Answer(row, verdicts[name], scores.get(name)) for name, row in zip(ids, rollouts, strict=True)]  # fmt: skip

    def _where(self, stage: str, column: str, values: Collection[str]) -> list[Row]:
        if stage not in self._stages:
            return []
        return self._db.among(f"stage_{stage}", column, values)
