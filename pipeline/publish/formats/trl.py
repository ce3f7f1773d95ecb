"""TRL's dataset types (huggingface.co/docs/trl, "Dataset formats and types").

`conversational` keeps messages, with a column `tools` where the set has one (JSON text, which TRL
reads). `standard` is plain text: a prompt of one message is its text itself, and an answer then begins
with an empty line, because TRL joins the two as they are; of a prompt of several messages each stands
under its role, and the last line asks for the assistant's.

Where rows show images, a message's content is a list of parts, {type: text, text} and {type: image}:
TRL puts the row's images into the latter, in order.
"""

from typing import Any

import pyarrow as pa

from winnow.pipeline.images import parts
from winnow.pipeline.publish.formats.base import Format, Place, Row, View
from winnow.pipeline.publish.formats.conversations import (
    TOOLS,
    Message,
    before_and_answer,
    kept,
    plain_answer,
    plain_prompt,
    present,
)
from winnow.pipeline.publish.formats.images import has_images
from winnow.pipeline.schema import column
from winnow.pipeline.verify.judge_prompt import conversation

CONSUMER = "TRL"
STYLES = ("conversational", "standard")
# What a reward function needs beside the prompt; TRL hands it further columns by their names.
_REWARD = ("answer", "verifier", "verifier_args")


def _talks(view: View) -> bool:
    return view.style == "conversational"


def _with_tools(view: View, fields: list[pa.Field]) -> list[pa.Field]:
    return [*fields, TOOLS] if _talks(view) and view.has("tools") else fields


def _both(view: View, prompt: list[Message], answer: Message) -> tuple[Any, Any]:
    """A prompt and its answer in the view's style."""
    if _talks(view):
        return _asked(prompt, view), _answered([answer], view)
    return plain_prompt(prompt), plain_answer(prompt, answer)


_PARTS = pa.list_(pa.struct([pa.field("type", pa.string()), pa.field("text", pa.string())]))


def _messages(view: View, name: str, of: str, meaning: str | None = None) -> pa.Field:
    """The set's column `of` of conversations, under the view's name, in TRL's form."""
    field = kept(view, of, name, meaning)
    if not has_images(view.source):
        return field
    message = [
        each.with_type(_PARTS) if each.name == "content" else each for each in field.type.value_type
    ]
    return field.with_type(pa.list_(pa.struct(message)))


def _text_or_messages(view: View, name: str, of: str, meaning: str) -> pa.Field:
    if _talks(view):
        return _messages(view, name, of, meaning)
    return column(name, pa.string(), meaning)


def _language_columns(view: View) -> list[pa.Field]:
    if _talks(view):
        return _with_tools(view, [_messages(view, "messages", "messages")])
    return [column("text", pa.string(), "The conversation as plain text, prompt and answer.")]


def _language_rows(row: Row, view: View, place: Place) -> list[Row]:
    if _talks(view):
        *before, answer = row["messages"]
        messages = [*_asked(before, view), *_answered([answer], view)]
        return [{"messages": messages, "tools": row.get("tools")}]
    prompt, answer = before_and_answer(row["messages"])
    return [{"text": plain_prompt(prompt) + plain_answer(prompt, answer)}]


def _prompt_columns(view: View) -> list[pa.Field]:
    fields = [_text_or_messages(view, "prompt", "prompt", "What the policy continues.")]
    reward = [view.source.field(name) for name in _REWARD if view.has(name)]
    taken = {field.name for field in view.provenance_fields}
    return _with_tools(view, [*fields, *(f for f in reward if f.name not in taken)])


def _prompt_rows(row: Row, view: View, place: Place) -> list[Row]:
    talk = _talks(view)
    prompt = _asked(row["prompt"], view) if talk else plain_prompt(row["prompt"])
    return [{**row, "prompt": prompt}]


def _completion_columns(view: View) -> list[pa.Field]:
    of = next(iter(view.group))
    return _with_tools(
        view,
        [
            _text_or_messages(view, "prompt", of, "All but the answer."),
            _text_or_messages(view, "completion", of, "The answer."),
        ],
    )


def _completion_rows(row: Row, view: View, place: Place) -> list[Row]:
    messages = [m for name in view.group if name != "correct" for m in row[name]]
    prompt, completion = _both(view, *before_and_answer(messages))
    return [{"prompt": prompt, "completion": completion, "tools": row.get("tools")}]


def _preference_columns(view: View) -> list[pa.Field]:
    return _with_tools(
        view,
        [
            _text_or_messages(view, "prompt", "prompt", "What both answers continue."),
            _text_or_messages(view, "chosen", "chosen", "The better answer."),
            _text_or_messages(view, "rejected", "rejected", "The worse answer."),
        ],
    )


def _preference_rows(row: Row, view: View, place: Place) -> list[Row]:
    prompt, chosen = _pair(row, "chosen", view)
    return [
        {
            "prompt": prompt,
            "chosen": chosen,
            "rejected": _pair(row, "rejected", view)[1],
            "tools": row.get("tools"),
        }
    ]


def _pair(row: Row, side: str, view: View) -> tuple[Any, Any]:
    """The prompt and one side's answer. An answer of several messages keeps them in a conversation."""
    if _talks(view):
        return _asked(row["prompt"], view), _answered(row[side], view)
    before, answer = before_and_answer([*row["prompt"], *row[side]])
    return _both(view, before, answer)


def _asked(messages: list[Message], view: View) -> list[Message]:
    """A conversation up to an answer in TRL's form: with content in parts where rows show images."""
    if not has_images(view.source):
        return messages
    return [{**m, "content": m["content"] and _parts(m["content"])} for m in messages]


def _answered(messages: list[Message], view: View) -> list[Message]:
    """The same of an answer, in which `<image>` is a word like any other."""
    if not has_images(view.source):
        return messages
    return [{**m, "content": m["content"] and [_text(m["content"])]} for m in messages]


def _parts(text: str) -> list[Message]:
    image = {"type": "image", "text": None}
    return [image if part is None else _text(part) for part in parts(text)]


def _text(text: str) -> Message:
    return {"type": "text", "text": text}


def _unpaired_columns(view: View) -> list[pa.Field]:
    of = "completion" if "completion" in view.group else "chosen"
    return _with_tools(
        view,
        [
            _text_or_messages(view, "prompt", "prompt", "What the answer continues."),
            _text_or_messages(view, "completion", of, "The answer."),
            column("label", pa.bool_(), "Whether the answer is a good one."),
        ],
    )


def _unpaired_rows(row: Row, view: View, place: Place) -> list[Row]:
    """One row for a labelled answer, two for a pair, the better answer first."""
    if "completion" in view.group:
        labels = {"completion": row["label"]}
    else:
        labels = {"chosen": True, "rejected": False}
    rows = []
    for side, label in labels.items():
        prompt, completion = _pair(row, side, view)
        rows.append({"prompt": prompt, "completion": completion, "label": label,
                     "tools": row.get("tools")})  # fmt: skip
    return rows


def _stepwise_columns(view: View) -> list[pa.Field]:
    return [
        column("prompt", pa.string(), "The question as plain text."),
        kept(view, "completions"),
        kept(view, "labels"),
    ]


def _stepwise_rows(row: Row, view: View, place: Place) -> list[Row]:
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        prompt = conversation([{**present(m), "content": m["content"]} for m in prompt])
    return [{"prompt": prompt, "completions": row["completions"], "labels": row["labels"]}]


LANGUAGE_MODELING = Format(
    name="trl_language_modeling",
    meaning="whole conversations, for supervised fine-tuning",
    consumer=f"{CONSUMER}: SFTTrainer",
    reads=({"messages": "messages"},),
    columns=_language_columns,
    rows=_language_rows,
    layout="jsonl",
    styles=STYLES,
    images=True,
)
PROMPT_ONLY = Format(
    name="trl_prompt_only",
    meaning="prompts to answer, with what a reward function needs",
    consumer=f"{CONSUMER}: GRPOTrainer, RLOOTrainer",
    reads=({"prompt": "messages", "answer": "text"}, {"prompt": "messages"}),
    columns=_prompt_columns,
    rows=_prompt_rows,
    layout="jsonl",
    styles=STYLES,
    images=True,
)
PROMPT_COMPLETION = Format(
    name="trl_prompt_completion",
    meaning="prompt and answer apart, so that the loss is taken on the answer",
    consumer=f"{CONSUMER}: SFTTrainer",
    reads=(
        {"messages": "messages"},
        {"prompt": "messages", "demonstration": "messages"},
        {"prompt": "messages", "completion": "messages", "correct": "text"},
    ),
    columns=_completion_columns,
    rows=_completion_rows,
    layout="jsonl",
    styles=STYLES,
    images=True,
)
PREFERENCE = Format(
    name="trl_preference",
    meaning="a better and a worse answer to one prompt",
    consumer=f"{CONSUMER}: DPOTrainer, RewardTrainer",
    reads=({"prompt": "messages", "chosen": "messages", "rejected": "messages"},),
    columns=_preference_columns,
    rows=_preference_rows,
    layout="jsonl",
    styles=STYLES,
    images=True,
)
UNPAIRED_PREFERENCE = Format(
    name="trl_unpaired_preference",
    meaning="single answers, each with a label; a pair gives two rows",
    consumer=f"{CONSUMER}: KTOTrainer",
    reads=(
        {"prompt": "messages", "completion": "messages", "label": "flag"},
        {"prompt": "messages", "chosen": "messages", "rejected": "messages"},
    ),
    columns=_unpaired_columns,
    rows=_unpaired_rows,
    layout="jsonl",
    styles=STYLES,
    images=True,
)
STEPWISE_SUPERVISION = Format(
    name="trl_stepwise_supervision",
    meaning="answers in steps, each with a label",
    consumer=f"{CONSUMER}: PRMTrainer",
    reads=(
        {"prompt": "text", "completions": "texts", "labels": "flags"},
        {"prompt": "messages", "completions": "texts", "labels": "flags"},
    ),
    columns=_stepwise_columns,
    rows=_stepwise_rows,
    layout="jsonl",
    styles=("standard",),
)
