"""What a run would do, before anything is spent."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.formats.registry import get_format
from winnow.pipeline.publish.views import ViewRequest
from winnow.pipeline.recipe import SourceEngine, VLLMEngine
from winnow.pipeline.recipe_sections.engines import WITHOUT_SAMPLING
from winnow.pipeline.workspace import Workspace
from winnow.stages import adaptive_rollouts, prompts, rollouts, source_answers, training_set
from winnow.stages.base import Context, StageResult


@dataclass(frozen=True)
class Plan:
    """Rows, answers and tokens of a run. Tokens are an estimate: `tokens_basis` says from what.
    `adaptive`: stop rules or a budget decide how many answers there will be, at most these; `drawn`:
    whether the engine draws any, or the user brings them; `left_out`: answers that the sources bring and
    the run does not take; `lacking`: what a set asks for that another command makes."""

    source_rows: int
    prompts: int
    drops: Mapping[str, int]
    policy: str
    answers: int
    stored: int
    missing: int
    prompt_tokens: int
    answer_tokens: int
    answer_tokens_at_most: int
    tokens_basis: str
    sets: tuple[str, ...]
    views: Mapping[str, ViewRequest]
    adaptive: bool = False
    drawn: bool = True
    left_out: str = ""
    lacking: str = ""

    def lines(self) -> list[tuple[str, str]]:
        """(what, how much), for people."""
        most = "at most " if self.adaptive else ""
        answers = f"{most}{self.answers:,}: {self.stored:,} stored, {most}{self.missing:,} to draw"
        tokens = [
            ("prompt tokens to read", f"about {self.prompt_tokens:,}"),
            ("answer tokens to draw", f"about {self.answer_tokens:,} ({self.tokens_basis})"),
            ("at most", f"{self.answer_tokens_at_most:,}"),
        ]
        if not self.drawn:
            answers, tokens = f"{answers} (nothing is sampled)", []
        return [
            ("source rows", f"{self.source_rows:,}"),
            ("prompts", f"{self.prompts:,} ({self.source_rows - self.prompts:,} rows dropped)"),
            ("policy", self.policy),
            ("answers", answers),
            *([("beyond sampling.n", self.left_out)] if self.left_out else []),
            *tokens,
            ("sets", ", ".join(self.sets)),
            *((f"view {name}", _said(view)) for name, view in self.views.items()),
            *([("before the run", self.lacking)] if self.lacking else []),
        ]


def plan(ctx: Context) -> Plan:
    """Read the sources, check the engine's arguments, and count what is missing."""
    recipe = ctx.recipe
    if isinstance(recipe.engine, VLLMEngine):
        from winnow.synth.engines.vllm import check_args

        check_args(recipe.engine.args)
    with tempfile.TemporaryDirectory(prefix="winnow-check-") as scratch:
        # The tables of the last run stay what they are: looking must not change what `build` finds.
        aside = Workspace(Path(scratch), ctx.workspace.name)
        return _plan(ctx, aside, prompts.run(replace(ctx, workspace=aside)))


def _plan(ctx: Context, work: Workspace, found: StageResult) -> Plan:
    recipe = ctx.recipe
    ledger = work.read("prompts_ledger", ["decision", "rule"]).to_pylist()
    drops = Counter(row["rule"] for row in ledger if row["decision"] != "kept")
    table = work.read("prompts", ["prompt_id", "n_tokens"])
    ids = sorted(set(table["prompt_id"].to_pylist()))
    # What the sources bring stands in the tables that were just made.
    brings = isinstance(recipe.engine, SourceEngine)
    here = replace(ctx, workspace=work) if brings else ctx
    todo = rollouts.plan_of(here, ids)
    more = source_answers.left_out(here, ids, recipe.sampling.n) if brings else None
    missing = todo.n_missing
    if recipe.sampling.adaptive:
        adaptive_rollouts.director_of(ctx, [])  # parameters that make no sense must show here
        if recipe.sampling.budget.answers is not None:
            missing = min(missing, recipe.sampling.budget.answers)
    length = dict(zip(table["prompt_id"].to_pylist(), table["n_tokens"].to_pylist(), strict=True))
    mean, basis = _answer_length(ctx)
    return Plan(
        source_rows=found.counts["rows_in"],
        prompts=found.counts["kept"],
        drops=dict(drops.most_common()),
        policy=rollouts.target_of(ctx).identity.policy,
        answers=len(todo.stored) + missing,
        stored=len(todo.stored),
        missing=missing,
        prompt_tokens=sum((length[p] or 0) * len(m) for p, m in todo.missing.items()),
        answer_tokens=round(mean * missing),
        answer_tokens_at_most=recipe.sampling.max_tokens * missing,
        tokens_basis=basis,
        sets=tuple(recipe.sets),
        views=recipe.views(),
        adaptive=recipe.sampling.adaptive,
        drawn=not isinstance(recipe.engine, WITHOUT_SAMPLING),
        left_out=str(more) if more is not None and more.answers else "",
        lacking=_lacking(ctx),
    )


def _said(view: ViewRequest) -> str:
    """A view in words: format, style, set."""
    style = view.style or next(iter(get_format(view.type).styles), None)
    form = " ".join(filter(None, (view.type, style)))
    return f"{form}, of the set {view.set}" + ("" if view.provenance else ", without provenance")


def _lacking(ctx: Context) -> str:
    try:
        training_set.check_searched(ctx)
    except UsageError as error:
        return str(error)
    return ""


def _answer_length(ctx: Context) -> tuple[float, str]:
    """Tokens that an answer of this policy takes, and how that is known."""
    policy = rollouts.target_of(ctx).identity.policy
    with ctx.workspace.rollouts() as store:
        stored = store.get([policy], "policy", columns=["n_tokens"])["n_tokens"].to_pylist()
    if stored:
        limit = ctx.recipe.sampling.max_tokens
        mean = sum(min(n, limit) for n in stored) / len(stored)
        return mean, f"{mean:.0f} an answer, the mean of {len(stored):,} stored ones"
    return ctx.recipe.sampling.max_tokens / 2, "half the limit: no answer of this policy is stored"
