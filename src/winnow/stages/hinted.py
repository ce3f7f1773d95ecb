"""Hint-infer over a recipe's own wrong answers (START): which tasks does a hint make right.

Reads what the recipe's last run drew and judged. Hinted answers and their verdicts are stored as they
are made, as steps and judgements, so that a run goes on after whatever stopped it.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from winnow.pipeline import schema
from winnow.pipeline.contracts import Verdict
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import digest
from winnow.pipeline.verify.judging import Tasks
from winnow.stages import tree_parts
from winnow.stages.base import Context, StageResult, fingerprint, timed
from winnow.stages.judges import tasks_of
from winnow.stages.tree_parts import Meter, Parts, Prompt
from winnow.synth.engines import registry
from winnow.synth.tree.gate import Gate
from winnow.synth.tree.hints import CONJUNCTIONS, HINTS, hint_infer, hinted_row
from winnow.synth.tree.judges import VerifierJudge
from winnow.synth.tree.memo import Drawing, Memo
from winnow.synth.tree.node import SearchError
from winnow.synth.tree.policy import EnginePolicy

VERSION = "1"
_READ = ("rollouts", "verdicts")  # what must be there, beside the prompts


@dataclass(frozen=True)
class HintOptions:
    """`answers`: at most so many wrong answers of a task are hinted, from its first; `tries`: hints
    that one gets at most; `max_tokens`: the longest continuation, None for the recipe's
    `sampling.max_tokens`. Continuations are drawn from the recipe's own distribution."""

    answers: int = 1
    tries: int = 3
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("answers", "tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class _Wrong:
    """A stored answer that was judged wrong."""

    rollout_id: str
    completion: str
    verdict: Verdict


def mark(ctx: Context, options: HintOptions) -> str:
    """Fingerprint of what the table is made from, as the recipe and its inputs are now."""
    return fingerprint(
        ctx,
        "hinted",
        VERSION,
        {
            **{name: ctx.workspace.data_version(name) for name in ("prompts", *_READ)},
            "drawing": repr(drawing_of(ctx, options)),
            "options": repr(options),
            "hints": repr((HINTS, CONJUNCTIONS)),
            "judges": tasks_of(ctx, ctx.workspace.read("prompts")).labels,
        },
    )


def drawing_of(ctx: Context, options: HintOptions) -> Drawing:
    """How the recipe's engine goes on from a hint."""
    return tree_parts.drawing_of(ctx, ctx.recipe.sampling.distribution, options.max_tokens)


def run(
    ctx: Context,
    options: HintOptions = HintOptions(),
    *,
    opened: Callable[[Gate], None] = lambda gate: None,
) -> StageResult:
    """Write `hinted`: one row per wrong answer that was hinted. The engine starts only if something is
    missing.

    `opened` is given the gate that requests go through: its `stop` lets those under way come to their
    end, and the run with them. Raises UsageError where the recipe has not run yet, or has run with
    another model.
    """
    _has_run(ctx)
    mark_now = mark(ctx, options)
    if not ctx.retry_errors and ctx.workspace.holds("hinted", mark_now):
        return _result(ctx, skipped=True)
    prompts = ctx.workspace.read("prompts")
    tasks = tasks_of(ctx, prompts)
    drawing = drawing_of(ctx, options)
    wrong = _wrong_answers(ctx, tasks, options.answers)
    wanted = sum(map(len, wrong.values()))
    rows: list[dict[str, Any]] = []
    errors: list[str] = []
    meter = Meter(ctx, "hint-infer", wanted, "answers")

    async def one(parts: Parts, prompt: Prompt, memo: Memo) -> None:
        policy = EnginePolicy(parts.gate, prompt.messages, drawing, memo, retry=ctx.retry_errors)
        for task_id, verifier, task in tasks.by_prompt[prompt.prompt_id]:
            # Judged as the plain answers are: whole, a stop string included.
            judge = VerifierJudge(
                task_id, verifier, task, tasks.label(verifier, task), memo,
                local=parts.local, engine=parts.asked, marks=(),
            )  # fmt: skip
            for plain in wrong.get(task_id, ()):
                seed = digest("hint-choices/1", [plain.rollout_id, drawing.seed])
                try:
                    found = await hint_infer(
                        prompt.messages, plain.completion, plain.verdict, policy, judge,
                        random.Random(seed), tries=options.tries,
                    )  # fmt: skip
                except SearchError as error:
                    errors.append(str(error))
                    meter.add(parts, errors=1)
                else:
                    rows.append(hinted_row(task_id, plain.rollout_id, found))
                    meter.add(parts, kept=found.kept)

    with timed() as clock:
        load = tree_parts.search_prompts(
            ctx, tasks, _of(tree_parts.prompts_of(prompts, ctx.workspace.home), tasks, wrong), one,
            asks=False, said=meter.said, opened=opened,
        )  # fmt: skip
        rows.sort(key=lambda row: (row["task_id"], row["rollout_id"]))
        whole = len(rows) + len(errors) == wanted and all(map(tree_parts.is_final, errors))
        table = tree_parts.described(
            ctx,
            pa.Table.from_pylist(rows, schema=schema.HINTED),
            {"wrong_answers": wanted, "errors": len(errors)},
        )
        # A failure that another try may mend must not make the next run skip this stage.
        ctx.workspace.write("hinted", table, mark_now if whole else f"{mark_now}/incomplete")
    tree_parts.tell_errors(ctx, errors)
    return _result(ctx, skipped=False, cost=tree_parts.cost_of(load, clock.seconds))


def _has_run(ctx: Context) -> None:
    """Raises UsageError where there are no answers and verdicts of the recipe's own policy."""
    for name in ("prompts", *_READ):
        path = ctx.workspace.table_path(name)
        if not path.is_file():
            raise UsageError(
                f"{path}: is not there: the wrong answers of a run are hinted, so run the recipe first "
                "(winnow run)"
            )
    policy = registry.identity_of(ctx.recipe.engine).policy
    others = pc.unique(ctx.workspace.read("rollouts", ["policy"])["policy"]).to_pylist()
    if others := [name for name in others if name != policy]:
        raise UsageError(
            f"{ctx.workspace.table_path('rollouts')}: its answers are by {others[0]}, and the recipe's "
            f"engine is {policy}: run the recipe again first (winnow run)"
        )


def _wrong_answers(ctx: Context, tasks: Tasks, most: int) -> dict[str, list[_Wrong]]:
    """By task: its first answers that were judged wrong, `most` at most."""
    verdicts = ctx.workspace.read("verdicts")
    verdicts = verdicts.filter(pc.equal(verdicts["verdict"], "wrong"))
    rollouts = ctx.workspace.read("rollouts", ["rollout_id", "index", "completion"])
    place = {name: at for at, name in enumerate(rollouts["rollout_id"].to_pylist())}
    index = rollouts["index"].to_pylist()
    found: dict[str, list[_Wrong]] = defaultdict(list)
    # A run that was stopped between its stages leaves verdicts on other answers and tasks.
    known = {task_id for each in tasks.by_prompt.values() for task_id, _, _ in each}
    rows = [
        row
        for row in verdicts.to_pylist()
        if row["rollout_id"] in place and row["task_id"] in known
    ]
    for row in sorted(rows, key=lambda row: index[place[row["rollout_id"]]]):
        if len(found[row["task_id"]]) < most:
            text = rollouts["completion"][place[row["rollout_id"]]].as_py()
            said = Verdict("wrong", row["reward"], {}, row["extracted"], row["detail"])
            found[row["task_id"]].append(_Wrong(row["rollout_id"], text, said))
    return dict(found)


def _of(prompts: list[Prompt], tasks: Tasks, wrong: dict[str, list[_Wrong]]) -> list[Prompt]:
    """The prompts that have a wrong answer."""
    return [
        prompt
        for prompt in prompts
        if any(task_id in wrong for task_id, _, _ in tasks.by_prompt[prompt.prompt_id])
    ]


def _result(ctx: Context, *, skipped: bool, cost: dict[str, float] | None = None) -> StageResult:
    table = ctx.workspace.read("hinted", ["kept", "hinted_verdict"])
    told = tree_parts.counts_in(table)
    counts = {
        "wrong_answers": told["wrong_answers"],
        "hinted": table.num_rows,
        "kept": table["kept"].to_pylist().count(True),
        "unjudged": table["hinted_verdict"].to_pylist().count("unjudged"),
        "errors": told["errors"],
    }
    return StageResult("hinted", ctx.workspace.data_version("hinted"), skipped, counts, cost or {})
