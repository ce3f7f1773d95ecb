"""Value-guided tree searches over a recipe's prompts, and labels of their steps (ReST-MCTS*).

Steps, values and judgements are stored as they are made; the searches are made again over what is
stored, so that a run goes on after whatever stopped it, and other labels cost nothing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from winnow.pipeline import schema
from winnow.pipeline.contracts import Sampling, Task
from winnow.pipeline.estimate.state_merging import DISTANCE
from winnow.pipeline.names import digest
from winnow.pipeline.verify.judge_prompt import conversation
from winnow.pipeline.verify.judging import Tasks
from winnow.stages import tree_parts
from winnow.stages.base import Context, StageResult, fingerprint, timed
from winnow.stages.judges import tasks_of
from winnow.stages.tree_parts import Meter, Parts, Prompt
from winnow.synth.tree import rest
from winnow.synth.tree.gate import Gate
from winnow.synth.tree.judges import VerifierJudge
from winnow.synth.tree.memo import Drawing, Memo, root
from winnow.synth.tree.merge import Merger
from winnow.synth.tree.policy import EnginePolicy
from winnow.synth.tree.prompt import END, step_prompt
from winnow.synth.tree.rest_rows import Form, stepwise_rows
from winnow.synth.tree.values import ModelValue, value_request

VERSION = "1"


@dataclass(frozen=True)
class RestTreeOptions:
    """How trees are searched and their steps labelled. `sampling`: of a step, with the published
    temperature; `step_tokens`: the longest step, None for the recipe's `sampling.max_tokens`; `form`:
    of the values; `merge`: merge steps whose embeddings are closer than `merge_distance`.

    Partial solutions are valued by the model that judges in the recipe, where it names one, else by
    the policy itself; ends are judged by the task's own verifier.
    """

    search: rest.RestOptions = field(default_factory=rest.RestOptions)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, stop=(END,)))
    step_tokens: int | None = None
    form: Form = "full"
    merge: bool = False
    merge_distance: float = DISTANCE


def mark(ctx: Context, options: RestTreeOptions) -> str:
    """Fingerprint of what the table is made from, as the recipe and its inputs are now."""
    empty = [{"role": "user", "content": ""}]
    return fingerprint(
        ctx,
        "stepwise",
        VERSION,
        {
            "prompts": ctx.workspace.data_version("prompts"),
            "drawing": repr(drawing_of(ctx, options)),
            "options": repr(options),
            "prompt": step_prompt(empty),
            "judges": tasks_of(ctx, ctx.workspace.read("prompts")).labels,
            "values": [tree_parts.asked_policy(ctx), ModelValue.version,
                       value_request(Task(empty, None), "")],
            "embedder": ctx.recipe.embedding.model if options.merge else None,
        },
    )  # fmt: skip


def drawing_of(ctx: Context, options: RestTreeOptions) -> Drawing:
    """How the recipe's engine draws steps."""
    return tree_parts.drawing_of(ctx, options.sampling, options.step_tokens)


def run(
    ctx: Context,
    options: RestTreeOptions = RestTreeOptions(),
    *,
    opened: Callable[[Gate], None] = lambda gate: None,
) -> StageResult:
    """Write `stepwise`: one row for each end of a tree that was judged. The engine starts only if some
    step or value is missing.

    A tree whose search an error ended has no rows: an end that was never judged would make labels of
    the steps before it. `opened` is given the gate that requests go through: its `stop` lets those
    under way come to their end, and the run with them.
    """
    prompts = ctx.workspace.read("prompts")
    mark_now = mark(ctx, options)
    if not ctx.retry_errors and ctx.workspace.holds("stepwise", mark_now):
        return _result(ctx, skipped=True)
    tasks = tasks_of(ctx, prompts)
    searcher = _Searcher(ctx, options, tasks)
    found: dict[str, rest.Rest] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    meter = Meter(ctx, "rest-mcts", prompts.num_rows, "trees")

    async def one(parts: Parts, prompt: Prompt, memo: Memo) -> None:
        for task_id, tree in (await searcher.trees(prompt, memo, parts)).items():
            found[task_id] = tree
            question = conversation(prompt.messages)
            made = stepwise_rows(tree, task_id, question, form=options.form)
            rows[task_id] = [] if tree.tree.error else made
            meter.add(parts, rows=len(rows[task_id]), steps=tree.tree.n_steps,
                      tokens=tree.tree.n_tokens)  # fmt: skip

    with timed() as clock:
        load = tree_parts.search_prompts(
            ctx, tasks, tree_parts.prompts_of(prompts, ctx.workspace.home), one,
            asks=True, said=meter.said, opened=opened,
        )  # fmt: skip
        errors = [tree.tree.error for tree in found.values() if tree.tree.error]
        whole = len(found) == prompts.num_rows and all(map(tree_parts.is_final, errors))
        counts = {
            "trees": len(found),
            "unjudged_ends": sum(map(_unjudged_ends, found.values())),
            "saved_expansions": sum(tree.tree.saved_expansions for tree in found.values()),
            "errors": len(errors),
        }
        table = pa.Table.from_pylist(
            [row for name in sorted(rows) for row in rows[name]], schema=schema.STEPWISE
        )
        # A failure that another try may mend must not make the next run skip this stage.
        ctx.workspace.write(
            "stepwise",
            tree_parts.described(ctx, table, counts),
            mark_now if whole else f"{mark_now}/incomplete",
        )
    tree_parts.tell_errors(ctx, errors)
    return _result(ctx, skipped=False, cost=tree_parts.cost_of(load, clock.seconds))


class _Searcher:
    """Searches the trees of one prompt."""

    def __init__(self, ctx: Context, options: RestTreeOptions, tasks: Tasks) -> None:
        self._ctx, self._options, self._tasks = ctx, options, tasks
        self._drawing = drawing_of(ctx, options)
        self._valuer = tree_parts.asked_policy(ctx)
        self._merger = (
            Merger(tree_parts.embedder_of(ctx), distance=options.merge_distance)
            if options.merge
            else None
        )

    async def trees(self, prompt: Prompt, memo: Memo, parts: Parts) -> dict[str, rest.Rest]:
        messages = step_prompt(prompt.messages)
        start = root(messages)
        policy = EnginePolicy(
            parts.gate, messages, self._drawing, memo, retry=self._ctx.retry_errors
        )
        found = {}
        for task_id, verifier, task in self._tasks.by_prompt[prompt.prompt_id]:
            seed = digest("rest-choices/1", [start.name, self._drawing.seed])
            judge = VerifierJudge(
                task_id, verifier, task, self._tasks.label(verifier, task), memo,
                local=parts.local, engine=parts.asked, marks=self._drawing.sampling.stop,
            )  # fmt: skip
            found[task_id] = await rest.search(
                start,
                policy,
                judge,
                ModelValue(task_id, task, memo, parts.asked, self._valuer),
                random.Random(seed),
                self._options.search,
                merger=self._merger,
            )
        return found


def _unjudged_ends(found: rest.Rest) -> int:
    ends = found.judged.end_leaves(found.options.end_gate)
    return sum(found.judged.correct[end] is None for end in ends)


def _result(ctx: Context, *, skipped: bool, cost: dict[str, float] | None = None) -> StageResult:
    table = ctx.workspace.read("stepwise", ["correct"])
    told = tree_parts.counts_in(table)
    counts = {
        "trees": told.pop("trees"),
        "rows": table.num_rows,
        "correct_rows": table["correct"].to_pylist().count(True),
        **told,
    }
    return StageResult(
        "stepwise", ctx.workspace.data_version("stepwise"), skipped, counts, cost or {}
    )
