"""Answers that the sources bring, as rollouts of the policy `source:NAME`; nothing is sampled.

They are named by prompt, source and text: what the source no longer holds is no answer any more, and
what stays keeps its verdicts and features.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from winnow.pipeline.names import canonical_json
from winnow.pipeline.schema import ROLLOUTS
from winnow.stages.base import Context
from winnow.synth.engines.replay import SOURCES
from winnow.synth.sampling import Plan

SAMPLER = "source"
TARGET = canonical_json({"template": SOURCES.template})  # for garbage collection
_BATCH = 10_000


@dataclass(frozen=True)
class LeftOut:
    """Answers that no rollout is made of, as their prompts have `n` before them."""

    answers: int
    prompts: int
    n: int

    def __str__(self) -> str:
        what = "answer" if self.answers == 1 else "answers"
        whose = "prompt" if self.prompts == 1 else "prompts"
        are = "is" if self.answers == 1 else "are"
        return (
            f"{self.answers:,} {what} of {self.prompts:,} {whose} {are} beyond sampling.n = {self.n} "
            "and left out"
        )


def left_out(ctx: Context, prompts: Collection[str], n: int) -> LeftOut:
    """What the sources bring beyond the first `n` answers of every prompt."""
    wanted = set(prompts)
    brought = ctx.workspace.read("completions", ["prompt_id"])["prompt_id"].to_pylist()
    beyond = [count - n for prompt, count in Counter(brought).items() if prompt in wanted]
    more = [count for count in beyond if count > 0]
    return LeftOut(sum(more), len(more), n)


def plan(ctx: Context, prompts: list[str], n: int) -> Plan:
    """The first `n` answers of every prompt; what the sources do not have is not missed."""
    return Plan([row["rollout_id"] for row in _first(ctx, prompts, n)], {})


def fill(ctx: Context, prompts: list[str], n: int) -> pa.Table:
    """The first `n` answers of every prompt as rollouts, sorted by name; those that are new are
    stored."""
    rows = sorted(_first(ctx, prompts, n), key=lambda row: row["rollout_id"])
    with ctx.workspace.rollouts(write=True, on_wait=ctx.waits) as store:
        known = store.existing(row["rollout_id"] for row in rows)
        new = [row for row in rows if row["rollout_id"] not in known]
        for start in range(0, len(new), _BATCH):
            store.put(new[start : start + _BATCH])
    return pa.Table.from_pylist(rows, schema=ROLLOUTS)


def _first(ctx: Context, prompts: list[str], n: int) -> list[dict[str, Any]]:
    wanted, seen = set(prompts), Counter[str]()
    found = []
    columns = ["rollout_id", "prompt_id", "source", "completion"]
    for row in ctx.workspace.read("completions", columns).to_pylist():
        prompt = row["prompt_id"]
        if prompt in wanted and seen[prompt] < n:
            found.append(_rollout(row, seen[prompt]))
            seen[prompt] += 1
    return found


def _rollout(row: dict[str, Any], index: int) -> dict[str, Any]:
    return {
        "rollout_id": row["rollout_id"],
        "prompt_id": row["prompt_id"],
        "policy": f"{SOURCES.policy}:{row['source']}",
        "template": SOURCES.template,
        "sampler": SAMPLER,
        "recipe_seed": 0,
        "index": index,
        "attempt": 0,
        "completion": row["completion"],
        "token_ids": None,
        "logprob_sum": None,
        "n_tokens": 0,  # nobody has counted them
        "finish_reason": "stop",
        "max_tokens": 0,
        "seed": 0,
        "error": None,
    }
