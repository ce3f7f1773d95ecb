"""Tree searches over a recipe's prompts: difficulty as the number of iterations (ThinkLite-VL).

Steps and judgements are stored as they are made; the searches themselves are not. A run that goes on
after whatever stopped it, or under other limits, draws what is missing and nothing else, and a tree
that is wanted for looking at is searched again over what is stored.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from winnow.pipeline import recipe as recipes
from winnow.pipeline import schema
from winnow.pipeline.contracts import Sampling, Task
from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.state_merging import DISTANCE
from winnow.pipeline.names import digest
from winnow.pipeline.verify.judging import Tasks
from winnow.pipeline.workspace import Workspace
from winnow.stages import tree_parts
from winnow.stages.base import Context, StageResult, fingerprint, run_async, timed
from winnow.stages.judges import tasks_of
from winnow.stages.tree_parts import STORED, Meter, Parts, Prompt
from winnow.synth.tree import mcts
from winnow.synth.tree.gate import Gate
from winnow.synth.tree.judges import Critic, VerifierJudge
from winnow.synth.tree.memo import Drawing, Memo, root
from winnow.synth.tree.merge import Merger
from winnow.synth.tree.node import Judge
from winnow.synth.tree.policy import EnginePolicy
from winnow.synth.tree.prompt import END, step_prompt

VERSION = "1"
_NOTE = "trees"


@dataclass(frozen=True)
class TreeOptions:
    """How trees are searched. `sampling`: the published distribution of a step; `step_tokens`: the
    longest step (published: 2048), None for the recipe's `sampling.max_tokens`; `judge`: the task's
    own verifier, or a model that is shown the reference; `needs_final`: what ends without a final
    answer is wrong, whatever the verifier would read in it; `merge`: merge steps whose embeddings are
    closer than `merge_distance`."""

    search: mcts.MctsOptions = field(default_factory=mcts.MctsOptions)
    sampling: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.5, top_p=0.9, stop=(END,))
    )
    step_tokens: int | None = None
    judge: Literal["verifier", "critic"] = "verifier"
    needs_final: bool = False
    merge: bool = False
    merge_distance: float = DISTANCE


def mark(ctx: Context, options: TreeOptions) -> str:
    """Fingerprint of what the table is made from, as the recipe and its inputs are now."""
    tasks = tasks_of(ctx, ctx.workspace.read("prompts"))
    return fingerprint(
        ctx,
        "trees",
        VERSION,
        {
            "prompts": ctx.workspace.data_version("prompts"),
            "drawing": repr(drawing_of(ctx, options)),
            "options": repr(options),
            "prompt": step_prompt([{"role": "user", "content": ""}]),
            "judges": tasks.labels if options.judge == "verifier" else tree_parts.asked_policy(ctx),
            "embedder": ctx.recipe.embedding.model if options.merge else None,
        },
    )


def drawing_of(ctx: Context, options: TreeOptions) -> Drawing:
    """How the recipe's engine draws steps."""
    return tree_parts.drawing_of(ctx, options.sampling, options.step_tokens)


def run(
    ctx: Context,
    options: TreeOptions = TreeOptions(),
    *,
    opened: Callable[[Gate], None] = lambda gate: None,
) -> StageResult:
    """Write `trees`: one row per task. The engine starts only if some step is missing.

    `opened` is given the gate that requests go through: its `stop` lets those under way come to their
    end, and the run with them; the trees that are whole by then are in the table.
    """
    prompts = ctx.workspace.read("prompts")
    mark_now = mark(ctx, options)
    if not ctx.retry_errors and ctx.workspace.holds("trees", mark_now):
        return _result(ctx, skipped=True)
    tasks = tasks_of(ctx, prompts)
    searcher = _Searcher(ctx, options, tasks)
    drawing = drawing_of(ctx, options)
    found: dict[str, dict[str, Any]] = {}
    meter = Meter(ctx, "trees", prompts.num_rows, "trees")

    async def one(parts: Parts, prompt: Prompt, memo: Memo) -> None:
        for task_id, tree in (await searcher.trees(prompt, memo, parts)).items():
            found[task_id] = tree_row(task_id, prompt.prompt_id, drawing, tree)
            meter.add(parts, solved=bool(tree.solved), steps=tree.tree.n_steps,
                      tokens=tree.tree.n_tokens)  # fmt: skip

    with timed() as clock:
        load = tree_parts.search_prompts(
            ctx, tasks, tree_parts.prompts_of(prompts, ctx.workspace.home), one,
            asks=options.judge == "critic", said=meter.said, opened=opened,
        )  # fmt: skip
        rows = [found[name] for name in sorted(found)]
        open_ends = [row for row in rows if row["error"] and not tree_parts.is_final(row["error"])]
        whole = len(found) == prompts.num_rows and not open_ends
        table = pa.Table.from_pylist(rows, schema=schema.TREES)
        # A failure that another try may mend must not make the next run skip this stage.
        ctx.workspace.write("trees", table, mark_now if whole else f"{mark_now}/incomplete")
    return _result(ctx, skipped=False, cost=tree_parts.cost_of(load, clock.seconds))


def stored_trees(
    ctx: Context, prompt_id: str, options: TreeOptions = TreeOptions()
) -> dict[str, mcts.Mcts]:
    """The searches of one prompt as far as they have got, by task; nothing is drawn or judged."""
    prompts = ctx.workspace.read("prompts")
    searcher = _Searcher(ctx, options, tasks_of(ctx, prompts))
    found: dict[str, mcts.Mcts] = {}
    for prompt in tree_parts.prompts_of(prompts, ctx.workspace.home):
        if prompt.prompt_id == prompt_id:
            memo = tree_parts.stored_memo(ctx, prompt_id)
            found |= run_async(searcher.trees(prompt, memo))
    return found


def note(ctx: Context, recipe: str, options: TreeOptions) -> None:
    """Remember what trees are searched for, so that they can be looked at later."""
    what = {"recipe": recipe, "options": asdict(options)}
    _note_path(ctx.workspace).write_text(json.dumps(what))


def recorded(ctx: Context) -> pa.Table:
    """The table `trees` of the last search, for whoever chooses by it.

    Raises UsageError where there is none, or it was made from another state of the recipe or its
    prompts: it would speak of other answers.
    """
    stamps, path = ctx.workspace.stamps("trees"), _note_path(ctx.workspace)
    if stamps is None or not path.is_file():
        raise UsageError(
            f"sets: mcts: no tree of the recipe {ctx.workspace.name} was searched yet; `winnow mcts "
            "RECIPE` does, and this run then goes on"
        )
    options = _options(json.loads(path.read_text())["options"])
    if stamps[0].removesuffix("/incomplete") != mark(ctx, options):
        raise UsageError(
            "sets: mcts: the trees were not searched for this recipe and its prompts as they are now "
            "(or with another --limit); `winnow mcts RECIPE` brings them up to date"
        )
    return ctx.workspace.read("trees")


def _note_path(workspace: Workspace) -> Path:
    return workspace.table_path(_NOTE).with_suffix(".json")


def _options(said: Mapping[str, Any]) -> TreeOptions:
    sampling = {**said["sampling"], "stop": tuple(said["sampling"]["stop"])}
    parts = {"search": mcts.MctsOptions(**said["search"]), "sampling": Sampling(**sampling)}
    return TreeOptions(**{**said, **parts})


def drawn_trees(home: Path, prompt_id: str) -> Iterator[tuple[str, str, mcts.Mcts]]:
    """Title, question and search of each tree of a prompt (or a beginning of its name) in every recipe
    that has searched some in `home`. Raises UsageError where several prompts begin so."""
    for path in sorted((home / ".stages").glob(f"*/{_NOTE}.json")):
        said = json.loads(path.read_text())
        given = _options(said["options"])
        workspace = Workspace(home, path.parent.name)
        ctx = Context(recipes.parse(said["recipe"], str(path)), workspace)
        messages = {
            p.prompt_id: p.messages
            for p in tree_parts.prompts_of(workspace.read("prompts"), workspace.home)
        }
        names = [name for name in messages if name.startswith(prompt_id)]
        if len(names) > 1:
            raise UsageError(f"{prompt_id}: {len(names)} prompts begin so; give more characters")
        for name in names:
            question = "\n".join(m["content"] for m in messages[name])
            for task_id, found in stored_trees(ctx, name, given).items():
                yield f"prompt {name}, task {task_id}, recipe {workspace.name}", question, found


class _Searcher:
    """Searches the trees of one prompt. Without parts it gets as far as what is stored."""

    def __init__(self, ctx: Context, options: TreeOptions, tasks: Tasks) -> None:
        self._ctx, self._options, self._tasks = ctx, options, tasks
        self._drawing = drawing_of(ctx, options)
        self._merger = (
            Merger(tree_parts.embedder_of(ctx), distance=options.merge_distance)
            if options.merge
            else None
        )

    async def trees(
        self, prompt: Prompt, memo: Memo, parts: Parts = STORED
    ) -> dict[str, mcts.Mcts]:
        messages = step_prompt(prompt.messages)
        start = root(messages)
        policy = EnginePolicy(
            parts.gate, messages, self._drawing, memo, retry=self._ctx.retry_errors
        )
        found = {}
        for task_id, verifier, task in self._tasks.by_prompt[prompt.prompt_id]:
            seed = digest("tree-choices/1", [start.name, self._drawing.seed])
            found[task_id] = await mcts.search(
                start,
                policy,
                self._judge(task_id, verifier, task, memo, parts),
                random.Random(seed),
                self._options.search,
                merger=self._merger,
            )
        return found

    def _judge(self, task_id: str, verifier: str, task: Task, memo: Memo, parts: Parts) -> Judge:
        if self._options.judge == "critic":
            return Critic(task_id, task, memo, parts.asked, tree_parts.asked_policy(self._ctx))
        label = self._tasks.label(verifier, task)
        return VerifierJudge(
            task_id, verifier, task, label, memo, local=parts.local, engine=parts.asked,
            marks=self._drawing.sampling.stop, needs_final=self._options.needs_final,
        )  # fmt: skip


def tree_row(task_id: str, prompt: str, drawing: Drawing, found: mcts.Mcts) -> dict[str, Any]:
    """A row of the trees table."""
    said = [simulation.verdict.verdict for simulation in found.tree.simulations]
    return {
        "task_id": task_id,
        "prompt_id": prompt,
        "policy": drawing.identity.policy,
        "template": drawing.identity.template,
        "sampler": drawing.sampling.name,
        "mcts_iterations": None if found.solved is None else found.iterations_used,
        "mcts_solved": found.solved,
        "iters": found.iters,
        "nodes": len(found.tree.nodes),
        "steps": found.tree.n_steps,
        "tokens": found.tree.n_tokens,
        "judgements": len(said) - said.count("unjudged"),
        "unjudged": said.count("unjudged"),
        "saved_expansions": found.tree.saved_expansions,
        "error": found.tree.error,
    }


def _result(ctx: Context, *, skipped: bool, cost: Mapping[str, float] | None = None) -> StageResult:
    table = ctx.workspace.read("trees", ["mcts_solved", "error"])
    solved = table["mcts_solved"].to_pylist()
    counts = {
        "trees": len(solved),
        "solved": solved.count(True),
        "unsolved": solved.count(False),
        "not_measured": solved.count(None),
        "errors": table.num_rows - table["error"].null_count,
    }
    return StageResult("trees", ctx.workspace.data_version("trees"), skipped, counts, cost or {})
