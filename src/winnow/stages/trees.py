"""Tree searches over a recipe's prompts: difficulty as the number of iterations (ThinkLite-VL).

Steps and judgements are stored as they are made; the searches themselves are not. A run that goes on
after whatever stopped it, or under other limits, draws what is missing and nothing else, and a tree
that is wanted for looking at is searched again over what is stored.
"""

import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from winnow.pipeline import recipe as recipes
from winnow.pipeline import schema
from winnow.pipeline.contracts import Embedder, Engine, Sampling, Task
from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.state_merging import DISTANCE
from winnow.pipeline.names import Message, digest
from winnow.pipeline.progress import Step
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify.asking import Local
from winnow.pipeline.verify.judging import OUT_OF_TIME, Tasks
from winnow.pipeline.verify.worker_pool import VerifierPool
from winnow.pipeline.workspace import Workspace
from winnow.stages.base import Context, StageResult, fingerprint, run_async, timed
from winnow.stages.drawing import interruptible
from winnow.stages.judges import judging_engine, pool_size, tasks_of
from winnow.synth.engines import registry
from winnow.synth.sampling import PERMANENT
from winnow.synth.tree import mcts
from winnow.synth.tree.gate import Gate, Load, OnDemand, each
from winnow.synth.tree.judges import Critic, VerifierJudge, is_of_task
from winnow.synth.tree.memo import Drawing, Memo, root
from winnow.synth.tree.merge import Merger
from winnow.synth.tree.node import Judge
from winnow.synth.tree.policy import EnginePolicy
from winnow.synth.tree.prompt import END, step_prompt

VERSION = "1"
_PROMPTS = 10_000  # whose judgements are looked through at once
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


@dataclass(frozen=True)
class _Prompt:
    """One prompt with its tasks, as they are searched: one after the other, over the same steps."""

    prompt_id: str
    messages: Sequence[Message]


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
            "judges": tasks.labels if options.judge == "verifier" else _critic_policy(ctx),
            "embedder": ctx.recipe.embedding.model if options.merge else None,
        },
    )


def drawing_of(ctx: Context, options: TreeOptions) -> Drawing:
    """How the recipe's engine draws steps."""
    config = ctx.recipe.sampling
    return Drawing(
        identity=registry.identity_of(ctx.recipe.engine),
        sampling=options.sampling,
        seed=ctx.recipe.seed,
        max_tokens=options.step_tokens or config.max_tokens,
        max_attempts=config.max_attempts,
    )


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
    found: dict[str, dict[str, Any]] = {}
    with timed() as clock:
        with (
            ctx.workspace.steps(write=True, on_wait=ctx.waits) as steps,
            ctx.workspace.judgements(write=True, on_wait=ctx.waits) as judgements,
        ):
            load = run_async(_search(ctx, options, prompts, steps, judgements, found, opened))
        rows = [found[name] for name in sorted(found)]
        open_ends = [row for row in rows if row["error"] and not _final(row["error"])]
        whole = len(found) == prompts.num_rows and not open_ends
        table = pa.Table.from_pylist(rows, schema=schema.TREES)
        # A failure that another try may mend must not make the next run skip this stage.
        ctx.workspace.write("trees", table, mark_now if whole else f"{mark_now}/incomplete")
    cost = {
        "seconds": clock.seconds,
        "requests": load.requests,
        "mean_in_flight": load.mean_in_flight,
    }
    if load.cache is not None and load.cache.hit_rate is not None:
        cost["prefix_cache_hit_rate"] = load.cache.hit_rate
    return _result(ctx, skipped=False, cost=cost)


def stored_trees(
    ctx: Context, prompt_id: str, options: TreeOptions = TreeOptions()
) -> dict[str, mcts.Mcts]:
    """The searches of one prompt as far as they have got, by task; nothing is drawn or judged."""
    prompts = ctx.workspace.read("prompts")
    tasks = tasks_of(ctx, prompts)
    wanted = [p for p in _prompts(prompts) if p.prompt_id == prompt_id]
    found: dict[str, mcts.Mcts] = {}

    async def search() -> None:
        with ctx.workspace.steps() as steps, ctx.workspace.judgements() as judgements:
            for prompt in wanted:
                memo = Memo(prompt_id, _rows(steps, prompt_id), _rows(judgements, prompt_id))
                searcher = _Searcher(ctx, options, tasks, None, None, None)
                found.update(await searcher.trees(prompt, memo))

    run_async(search())
    return found


def note(ctx: Context, recipe: str, options: TreeOptions) -> None:
    """Remember what trees are searched for, so that they can be looked at later."""
    what = {"recipe": recipe, "options": asdict(options)}
    ctx.workspace.table_path(_NOTE).with_suffix(".json").write_text(json.dumps(what))


def drawn_trees(home: Path, prompt_id: str) -> Iterator[tuple[str, str, mcts.Mcts]]:
    """Title, question and search of each tree of a prompt (or a beginning of its name) in every recipe
    that has searched some in `home`. Raises UsageError where several prompts begin so."""
    for path in sorted((home / ".stages").glob(f"*/{_NOTE}.json")):
        said = json.loads(path.read_text())
        options = said["options"]
        options["sampling"]["stop"] = tuple(options["sampling"]["stop"])
        given = TreeOptions(
            **{
                **options,
                "search": mcts.MctsOptions(**options["search"]),
                "sampling": Sampling(**options["sampling"]),
            }
        )
        workspace = Workspace(home, path.parent.name)
        ctx = Context(recipes.parse(said["recipe"], str(path)), workspace)
        messages = {p.prompt_id: p.messages for p in _prompts(workspace.read("prompts"))}
        names = [name for name in messages if name.startswith(prompt_id)]
        if len(names) > 1:
            raise UsageError(f"{prompt_id}: {len(names)} prompts begin so; give more characters")
        for name in names:
            question = "\n".join(m["content"] for m in messages[name])
            for task_id, found in stored_trees(ctx, name, given).items():
                yield f"prompt {name}, task {task_id}, recipe {workspace.name}", question, found


async def _search(
    ctx: Context,
    options: TreeOptions,
    prompts: pa.Table,
    steps: Store,
    judgements: Store,
    found: dict[str, dict[str, Any]],
    opened: Callable[[Gate], None],
) -> Load:
    tasks = tasks_of(ctx, prompts)
    drawing = drawing_of(ctx, options)
    concurrency = ctx.recipe.sampling.concurrency

    async def start() -> Engine:
        ctx.progress.note(f"starting the engine ({drawing.identity.policy})")
        return await registry.start(ctx.recipe.engine)

    engine = OnDemand(drawing.identity, start)
    gate = Gate(engine, concurrency)
    opened(gate)
    meter = _Meter(ctx, prompts.num_rows)
    seconds = ctx.recipe.verify.timeout_seconds
    _forget_time_outs(judgements, prompts["prompt_id"].to_pylist(), seconds)
    try:
        async with (
            VerifierPool(pool_size(ctx), seconds, verifiers=tasks.verifiers) as pool,
            AsyncWriter(steps) as step_writer,
            AsyncWriter(judgements) as judgement_writer,
            _asked(ctx, options, tasks, gate) as asked,
        ):
            # What is stored is read on connections of its own, beside the writers.
            with ctx.workspace.steps() as old_steps, ctx.workspace.judgements() as old:
                searcher = _Searcher(ctx, options, tasks, gate, pool.judge, asked)

                async def one(prompt: _Prompt) -> None:
                    memo = Memo(
                        prompt.prompt_id,
                        _rows(old_steps, prompt.prompt_id),
                        _rows(old, prompt.prompt_id),
                        keep_step=step_writer.put,
                        keep_judgement=judgement_writer.put,
                    )
                    for task_id, tree in (await searcher.trees(prompt, memo)).items():
                        found[task_id] = tree_row(task_id, prompt.prompt_id, drawing, tree)
                        meter.searched(tree, gate.load)

                with interruptible(ctx, gate.stop, meter.said):
                    await each(_prompts(prompts), one, live=2 * concurrency)
    finally:
        await engine.close()
    return gate.load


class _Searcher:
    """Searches the trees of one prompt. Without engine and workers it gets as far as what is stored."""

    def __init__(
        self,
        ctx: Context,
        options: TreeOptions,
        tasks: Tasks,
        engine: Gate | None,
        local: Local | None,
        asked: Engine | None,
    ) -> None:
        self._ctx, self._options, self._tasks = ctx, options, tasks
        self._engine, self._local, self._asked = engine, local, asked
        self._drawing = drawing_of(ctx, options)
        self._merger = (
            Merger(_embedder(ctx), distance=options.merge_distance) if options.merge else None
        )

    async def trees(self, prompt: _Prompt, memo: Memo) -> dict[str, mcts.Mcts]:
        messages = step_prompt(prompt.messages)
        start = root(messages)
        policy = EnginePolicy(
            self._engine, messages, self._drawing, memo, retry=self._ctx.retry_errors
        )
        found = {}
        for task_id, verifier, task in self._tasks.by_prompt[prompt.prompt_id]:
            seed = digest("tree-choices/1", [start.name, self._drawing.seed])
            found[task_id] = await mcts.search(
                start,
                policy,
                self._judge(task_id, verifier, task, memo),
                random.Random(seed),
                self._options.search,
                merger=self._merger,
            )
        return found

    def _judge(self, task_id: str, verifier: str, task: Task, memo: Memo) -> Judge:
        if self._options.judge == "critic":
            return Critic(task_id, task, memo, self._asked, _critic_policy(self._ctx))
        label = self._tasks.label(verifier, task)
        return VerifierJudge(
            task_id, verifier, task, label, memo, local=self._local, engine=self._asked,
            marks=self._drawing.sampling.stop, needs_final=self._options.needs_final,
        )  # fmt: skip


class _Meter:
    """Running figures of the searches."""

    def __init__(self, ctx: Context, total: int) -> None:
        self._ctx, self._total = ctx, total
        self._done = self._solved = self._steps = self._tokens = 0

    def said(self) -> str:
        return f"{self._done:,} of {self._total:,} trees"

    def searched(self, found: mcts.Mcts, load: Load) -> None:
        self._done += 1
        self._solved += bool(found.solved)
        self._steps += found.tree.n_steps
        self._tokens += found.tree.n_tokens
        numbers = {
            "solved": self._solved,
            "steps": self._steps,
            "tokens": self._tokens,
            "mean_in_flight": load.mean_in_flight,
        }
        self._ctx.progress.step(Step("trees", self._done, self._total, "trees", numbers))


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


def _final(error: str) -> bool:
    """Whether another run would come to the same error."""
    return error.startswith(PERMANENT) or is_of_task(error)


def _prompts(prompts: pa.Table) -> list[_Prompt]:
    """Each prompt once, in the order of their names."""
    messages = dict(
        zip(prompts["prompt_id"].to_pylist(), prompts["messages"].to_pylist(), strict=True)
    )
    return [_Prompt(name, messages[name]) for name in sorted(messages)]


def _rows(store: Store, prompt: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.get([prompt], "prompt_id").to_pylist()
    return rows


def _forget_time_outs(store: Store, prompts: Sequence[str], timeout_seconds: float) -> None:
    """Remove judgements that ran into a lower time limit than the present one."""
    for start in range(0, len(prompts), _PROMPTS):
        judged = store.get(
            prompts[start : start + _PROMPTS],
            "prompt_id",
            columns=["verdict", "detail", "seconds"],
        )
        late = [
            row["judgement_id"]
            for row in judged.to_pylist()
            if row["verdict"] == "unjudged"
            and row["detail"] in OUT_OF_TIME
            and row["seconds"] + 1 < timeout_seconds
        ]
        if late:
            store.delete(late)


@asynccontextmanager
async def _asked(
    ctx: Context, options: TreeOptions, tasks: Tasks, gate: Gate
) -> AsyncIterator[Engine | None]:
    """The engine that judges ask, where they ask one: behind the gate where the policy judges."""
    if options.judge == "verifier":
        async with judging_engine(ctx, tasks, gate) as engine:
            yield engine
    elif ctx.recipe.judge is None:
        yield gate
    else:
        engine = await registry.start(ctx.recipe.judge)
        try:
            yield engine
        finally:
            await engine.close()


def _critic_policy(ctx: Context) -> str:
    return registry.identity_of(ctx.recipe.judge or ctx.recipe.engine).policy


def _embedder(ctx: Context) -> Embedder:
    from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
    from winnow.pipeline.models import resolve_embedder

    config = ctx.recipe.embedding
    return SentenceTransformerEmbedder(resolve_embedder(config.model), batch_size=config.batch_size)


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
