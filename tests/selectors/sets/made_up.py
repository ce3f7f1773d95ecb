"""Tables of a made-up run, for tests of what sets choose from them."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from winnow.pipeline import schema
from winnow.pipeline.estimate.difficulty import difficulty
from winnow.selectors.sets.signals import RECORDED, Chosen, Signals

# One task per text: c correct, w wrong, u unjudged, t truncated, f nothing to extract, in the order of
# the answers' indices.
Tasks = Mapping[str, str]
_NAMES = {"c": "correct", "w": "wrong", "u": "unjudged", "t": "unjudged", "f": "wrong"}
_DETAILS = {"t": "truncated", "f": "no_answer"}
_REWARDS = {"c": 1.0, "w": 0.0, "f": 0.0}


def signals(
    tasks: Tasks,
    *,
    clusters: int = 2,
    selected: str = "",
    same: str = "",
    texts: Mapping[str, str] | None = None,
    rewards: Mapping[str, float | None] | None = None,
    logprobs: Mapping[str, float | None] | None = None,
    extracted: Mapping[str, str | None] | None = None,
    parts: Mapping[str, Mapping[str, float]] | None = None,
    meta: Mapping[str, Mapping[str, Any]] | None = None,
    verifier: str = "math",
    verifier_args: Mapping[str, Any] | None = None,
    **more: Any,
) -> Signals:
    """Tables of a made-up run.

    Answer i of task a is called ai. `selected`: rollouts that UDS selected (all where empty); answers
    of the tasks in `same` all have one text. What stands in `texts` and the others, by answer, goes
    before the default; `meta` is by task. `more`: further signals.
    """
    texts, rewards, logprobs = texts or {}, rewards or {}, logprobs or {}
    prompts, rollouts, verdicts, scores, places = [], [], [], [], []
    for at, (task, answers) in enumerate(sorted(tasks.items())):
        prompts.append({
            "task_id": task, "prompt_id": f"p-{task}",
            "messages": [{"role": "user", "content": f"question {task}"}], "answer": "1",
            "verifier": verifier, "verifier_args": json.dumps(verifier_args or {}), "source": "s",
            "source_index": at, "licence": "mit", "domain": None, "template_id": f"t-{task}",
            "n_tokens": 5, "meta": json.dumps((meta or {}).get(task, {})),
        })  # fmt: skip
        places.append({"prompt_id": f"p-{task}", "cluster": at % clusters,
                       "centroid_distance": 0.1, "x": 0.0, "y": 0.0})  # fmt: skip
        for index, letter in enumerate(answers):
            name = f"{task}{index}"
            text = "same" if task in same else f"answer {name}"
            rollouts.append({
                "rollout_id": name, "prompt_id": f"p-{task}", "policy": "m@1", "template": "t",
                "sampler": "{}", "recipe_seed": 0, "index": index, "attempt": 0,
                "completion": texts.get(name, text), "token_ids": None,
                "logprob_sum": logprobs.get(name, -float(index)), "n_tokens": 2,
                "finish_reason": "length" if letter == "t" else "stop", "max_tokens": 9, "seed": 1,
                "error": None,
            })  # fmt: skip
            verdicts.append({
                "verdict_id": f"v{name}", "rollout_id": name, "task_id": task,
                "verifier": f"{verifier}@1", "verdict": _NAMES[letter],
                "reward": rewards.get(name, _REWARDS.get(letter)),
                "parts": json.dumps((parts or {}).get(name, {})),
                "extracted": (extracted or {}).get(name), "detail": _DETAILS.get(letter),
                "seconds": 0.0,
            })  # fmt: skip
            if letter == "c":
                scores.append({
                    "rollout_id": name, "task_id": task, "n_tokens_scored": 4,
                    "nuclear_norm": 1.0, "step": 0, "utility": 1.0, "diversity": 0.0,
                    "score": float(10 * at + index), "selected": not selected or name in selected.split(),
                    "rank": 0,
                })  # fmt: skip
    table = pa.Table.from_pylist
    drawn, judged = table(rollouts, schema.ROLLOUTS), table(verdicts, schema.VERDICTS)
    return Signals(
        prompts=table(prompts, schema.PROMPTS),
        rollouts=drawn,
        verdicts=judged,
        audit=table([], schema.AUDIT),
        difficulty=difficulty(drawn, judged),
        clusters=table(places, schema.CLUSTERS),
        scores=table(scores, schema.SCORES),
        **more,
    )


def recorded(*rows: Mapping[str, Any]) -> pa.Table:
    """Answers of others: `task_id` and what differs from a right answer of `teacher@1`."""
    given = []
    for at, row in enumerate(rows):
        name = f"r{at}"
        usual = {
            "rollout_id": name, "policy": "teacher@1", "template": "t", "sampler": "{}",
            "completion": f"recorded {name}", "logprob_sum": None, "n_tokens": 3,
            "verifier": "math@1", "verdict": "correct",
        }  # fmt: skip
        given.append({**usual, **row})
    return pa.Table.from_pylist(given, schema=RECORDED)


def solutions(*rows: Mapping[str, Any]) -> pa.Table:
    """Solutions of the column `worked`: `task_id` and what differs from one that was judged right."""
    usual = {
        "column": "worked", "solution": "by hand", "verifier": "math@1", "verdict": "correct",
        "extracted": None, "detail": None,
    }  # fmt: skip
    return pa.Table.from_pylist([{**usual, **row} for row in rows], schema=schema.SOLUTIONS)


def hinted(*rows: Mapping[str, Any]) -> pa.Table:
    """Hinted answers: `task_id`, `rollout_id` and what differs from one that passed."""
    usual = {
        "plain_verdict": "wrong", "hinted_verdict": "correct", "kept": True, "hint": "h", "place": "end",
        "place_at": 3, "completion": "wait, 1", "tries": 1,
    }  # fmt: skip
    return pa.Table.from_pylist([{**usual, **row} for row in rows], schema=schema.HINTED)


def stepwise(*rows: Mapping[str, Any]) -> pa.Table:
    """Paths of trees: `task_id` and what differs from two steps to a right end."""
    usual = {
        "prompt": "question", "completions": ["one", "two"], "labels": [True, True],
        "values": [0.5, 1.0], "correct": True,
    }  # fmt: skip
    return pa.Table.from_pylist([{**usual, **row} for row in rows], schema=schema.STEPWISE)


def ledger(chosen: Chosen) -> dict[str, tuple[str, str]]:
    """(decision, rule) by row."""
    rows = chosen.ledger.to_pylist()
    found = {r["row_id"]: (r["decision"], r["rule"]) for r in rows}
    assert len(found) == len(rows), "a row was decided on twice"
    return found


def by_task(chosen: Chosen) -> dict[str, dict[str, Any]]:
    """Rows of a set that has one for each task."""
    rows = chosen.rows.to_pylist()
    found = {row["task_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def shuffled(given: Signals, chance: Any) -> Signals:
    """The same tables with their rows in another order."""

    def mixed(table: pa.Table) -> pa.Table:
        order = list(range(table.num_rows))
        chance.shuffle(order)
        return table.take(pa.array(order, pa.int64()))

    fields = {name: getattr(given, name) for name in Signals.__dataclass_fields__}
    return Signals(
        **{
            name: mixed(value) if isinstance(value, pa.Table) else value
            for name, value in fields.items()
        }
    )
