"""Alpaca's form as LLaMA-Factory reads it: instruction, input, output, system, history.

The last question is the instruction, `input` stays empty, and the rounds before are the history. Tools
have no place here. Preference sets have `chosen` and `rejected` for `output`.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from winnow.pipeline.publish.formats.base import Format, Misfit, Place, Row, View
from winnow.pipeline.publish.formats.conversations import (
    Message,
    alternating,
    before_and_answer,
    said,
)
from winnow.pipeline.publish.formats.images import IMAGES, has_images
from winnow.pipeline.publish.formats.llama_factory import dataset_info
from winnow.pipeline.schema import column

_COLUMNS = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}


def _pairs(view: View) -> bool:
    return "chosen" in view.group


def _columns(view: View) -> list[pa.Field]:
    answers = (
        [column("chosen", pa.string(), "The better answer."),
         column("rejected", pa.string(), "The worse answer.")]
        if _pairs(view)
        else [column("output", pa.string(), "The answer.")]
    )  # fmt: skip
    return [
        column("instruction", pa.string(), "The last question."),
        column("input", pa.string(), "Always empty: the question is whole."),
        *answers,
        column("system", pa.string(), "The system prompt.", null="there is none"),
        column("history", pa.list_(pa.list_(pa.string())),
               "Earlier rounds, each a question and its answer."),
    ]  # fmt: skip


def _rows(row: Row, view: View, place: Place) -> list[Row]:
    if _pairs(view):
        sides = {
            side: before_and_answer([*row["prompt"], *row[side]]) for side in ("chosen", "rejected")
        }
        before, answers = sides["chosen"][0], {side: said(m) for side, (_, m) in sides.items()}
        if before != sides["rejected"][0]:
            raise Misfit("the two answers differ in more than their last message")
    else:
        before, answer = before_and_answer(row["messages"])
        answers = {"output": said(answer)}
    return [{**_question(before), **answers}]


def _question(messages: list[Message]) -> Row:
    system, rounds, question = alternating(messages)
    if question is None:
        raise Misfit("no question stands before the answer")
    history = [list(pair) for pair in rounds]
    return {"instruction": question, "input": "", "system": system, "history": history}


def _files(view: View, title: str, files: Mapping[str, str]) -> dict[str, Any]:
    answers = (
        {"chosen": "chosen", "rejected": "rejected"} if _pairs(view) else {"response": "output"}
    )
    images = {IMAGES: IMAGES} if has_images(view.source) else {}
    ranking = {"ranking": True} if _pairs(view) else {}
    columns = {**_COLUMNS, **answers, **images}
    return dataset_info(title, files, {"formatting": "alpaca", **ranking, "columns": columns})


FORMAT = Format(
    name="alpaca",
    meaning="instruction and output (or chosen and rejected), with history",
    consumer="LLaMA-Factory",
    reads=(
        {"messages": "messages"},
        {"prompt": "messages", "chosen": "messages", "rejected": "messages"},
    ),
    columns=_columns,
    rows=_rows,
    layout="json",
    images=True,
    files=_files,
)
