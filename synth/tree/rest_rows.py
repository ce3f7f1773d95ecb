"""Training rows of step values from searched trees: TRL's stepwise supervision format."""

from typing import Any, Literal

import numpy as np

from winnow.pipeline.estimate.rest_values import full_values, process_values, simple_values
from winnow.synth.tree.rest import Rest

Form = Literal["full", "simple"]


def stepwise_rows(
    found: Rest, task_id: str, prompt: str, *, form: Form = "full"
) -> list[dict[str, Any]]:
    """One row of the stepwise table for each end leaf that was judged, from the root to it.

    `labels`: whether a correct end lies at or behind the step (the process reward model's hard
    estimate); `values`: of the partial solution that the step ends, in the form asked for, null where
    the form gives some step of the path none (no end of the tree is correct, say).
    """
    gate = found.options.end_gate
    labels = process_values(found.judged, end_gate=gate).value
    values = (full_values if form == "full" else simple_values)(found.judged, end_gate=gate).value
    rows = []
    for leaf in found.judged.end_leaves(gate):
        correct = found.judged.correct[leaf]
        path = found.judged.path(leaf)[-2::-1]  # from the first step on, without the root
        if correct is None or not path:
            continue
        known = values[path]
        rows.append(
            {
                "task_id": task_id,
                "prompt": prompt,
                "completions": [step.text for step in found.tree.nodes[leaf].states[0].steps],
                "labels": [bool(labels[node]) for node in path],
                "values": None if np.isnan(known).any() else known.tolist(),
                "correct": bool(correct),
            }
        )
    return rows
