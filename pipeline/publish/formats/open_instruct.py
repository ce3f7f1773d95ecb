"""open-instruct's columns for RL with verifiable rewards: messages, ground_truth, dataset.

open-instruct picks the function that rewards an answer by `dataset`. Verifiers of winnow that
open-instruct has too get its name; others keep winnow's, under which a function must be added there.
"""

import pyarrow as pa

from winnow.pipeline.publish.formats.base import Format, Place, Row, View
from winnow.pipeline.publish.formats.conversations import TOOLS, kept
from winnow.pipeline.schema import column

_THEIR_NAMES = {"exact": "string_matcher", "math": "math"}


def _columns(view: View) -> list[pa.Field]:
    answer = view.source.field("answer")
    return [
        kept(view, "prompt", "messages", "The conversation that the policy continues."),
        answer.with_name("ground_truth"),
        column("dataset", pa.string(), "Verifier that rewards answers."),
        *([TOOLS] if view.has("tools") else []),
    ]


def _rows(row: Row, view: View, place: Place) -> list[Row]:
    verifier = row["verifier"].partition("@")[0]
    return [
        {
            "messages": row["prompt"],
            "ground_truth": row["answer"],
            "dataset": _THEIR_NAMES.get(verifier, verifier),
            "tools": row.get("tools"),
        }
    ]


FORMAT = Format(
    name="open_instruct",
    meaning="prompts with a reference, for RL with verifiable rewards",
    consumer="open-instruct: GRPO",
    reads=({"prompt": "messages", "answer": "text", "verifier": "text"},),
    columns=_columns,
    rows=_rows,
    layout="jsonl",
)
