"""OpenChat's conversations for class-conditioned fine-tuning (C-RLFT): items, condition, system.

Each item is {role, content, weight}; the weight is that of the message's tokens in the loss. The class
is data (`condition`), which the trainer writes into every role prefix; a missing weight is an error.
"""

import pyarrow as pa

from winnow.pipeline.publish.formats.base import Format, Misfit, Place, Row, View
from winnow.pipeline.publish.formats.conversations import kept


def _columns(view: View) -> list[pa.Field]:
    return [kept(view, name) for name in ("items", "condition", "system")]


def _rows(row: Row, view: View, place: Place) -> list[Row]:
    for at, item in enumerate(row["items"]):
        if item.get("weight") is None:
            raise Misfit(f"item {at} has no weight")
    return [{name: row[name] for name in ("items", "condition", "system")}]


FORMAT = Format(
    name="openchat",
    meaning="conversations with a class and a weight per message, for C-RLFT",
    consumer="OpenChat",
    reads=({"items": "messages", "condition": "text", "system": "text"},),
    columns=_columns,
    rows=_rows,
    layout="jsonl",
)
