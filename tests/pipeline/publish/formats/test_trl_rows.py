"""Exact rows of TRL's six dataset types."""

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.formats.base import view_of
from winnow.pipeline.publish.formats.registry import FORMATS, get_format
from winnow.pipeline.publish.method_schemas import DEMONSTRATIONS, FAIT, STEP_VALUES, UNPAIRED

View = Callable[..., list[dict[str, Any]]]
Tables = dict[str, pa.Table]
Made = dict[str, Callable[..., Any]]


def test_language_modeling(view: View, tables: Tables, made: Made) -> None:
    rows = view("trl_language_modeling", tables["sft"])
    assert rows[0] == {"messages": made["said"]("2 + 2?", "4"), "verdict": "correct",
                       **made["where"]("sft-0")}  # fmt: skip
    plain = view("trl_language_modeling", tables["sft"], style="standard", provenance=False)
    assert plain == [
        {"text": "2 + 2?\n\n4"},
        {
            "text": "[system]\nBe brief.\n[user]\nHi\n[assistant]\nHello\n[user]\n3 + 3?\n[assistant]\n6"
        },
    ]


def test_prompt_only_keeps_what_a_reward_function_needs(
    view: View, tables: Tables, made: Made
) -> None:
    assert view("trl_prompt_only", tables["rl"])[0] == {
        "prompt": made["said"]("2 + 2?"),
        "answer": "4",
        "verifier_args": "{}",
        **made["where"]("rl-0", "math"),
    }
    plain = view("trl_prompt_only", tables["rl"], style="standard", provenance=False)
    assert plain == [
        {"prompt": "2 + 2?", "answer": "4", "verifier": "math", "verifier_args": "{}"},
        {"prompt": "[system]\nBe brief.\n[user]\nHi\n[assistant]\nHello\n[user]\n3 + 3?\n[assistant]\n",
         "answer": None, "verifier": "judge", "verifier_args": '{"k":1}'},
    ]  # fmt: skip


def test_prompt_completion(view: View, tables: Tables, made: Made) -> None:
    said = made["said"]
    assert view("trl_prompt_completion", tables["sft"], provenance=False) == [
        {"prompt": said("2 + 2?"), "completion": said("", "4")[1:]},
        {"prompt": said("Hi", "Hello", "3 + 3?", system="Be brief."),
         "completion": said("", "6")[1:]},
    ]  # fmt: skip
    plain = view("trl_prompt_completion", tables["sft"], style="standard", provenance=False)
    assert plain[0] == {"prompt": "2 + 2?", "completion": "\n\n4"}
    assert plain[1]["completion"] == "6"
    text = view("trl_language_modeling", tables["sft"], style="standard", provenance=False)
    assert [row["prompt"] + row["completion"] for row in plain] == [row["text"] for row in text]


def test_preference(view: View, tables: Tables, made: Made) -> None:
    said = made["said"]
    assert view("trl_preference", tables["preference"])[0] == {
        "prompt": said("2 + 2?"),
        "chosen": said("", "4")[1:],
        "rejected": said("", "5")[1:],
        **made["where"]("pair-0"),
    }
    plain = view("trl_preference", tables["preference"], style="standard", provenance=False)
    assert plain == [
        {"prompt": "2 + 2?", "chosen": "\n\n4", "rejected": "\n\n5"},
        {"prompt": "[system]\nBe brief.\n[user]\n3 + 3?\n[assistant]\n", "chosen": "6",
         "rejected": "7"},
    ]  # fmt: skip


def test_unpaired_preference(view: View, tables: Tables, made: Made) -> None:
    rows = view("trl_unpaired_preference", tables["preference"])
    assert [(r["completion"][0]["content"], r["label"], r["winnow_id"]) for r in rows] == [
        ("4", True, "pair-0"), ("5", False, "pair-0"),
        ("6", True, "pair-1"), ("7", False, "pair-1"),
    ]  # fmt: skip
    plain = view(
        "trl_unpaired_preference", tables["preference"], style="standard", provenance=False
    )
    assert plain[:2] == [
        {"prompt": "2 + 2?", "completion": "\n\n4", "label": True},
        {"prompt": "2 + 2?", "completion": "\n\n5", "label": False},
    ]


def test_stepwise_supervision(view: View, tables: Tables) -> None:
    assert view("trl_stepwise_supervision", tables["steps"]) == [
        {"prompt": "2 + 2 + 2?", "completions": ["4 + 2", "6"], "labels": [True, True]},
        {"prompt": "2 + 2 + 2?", "completions": ["5 + 2"], "labels": [False]},
    ]


def _row(schema: pa.Schema, **values: Any) -> pa.Table:
    """One row with these values, empty text where a column has another."""
    filled = {f.name: "" if pa.types.is_string(f.type) else None for f in schema}
    return pa.Table.from_pylist([{**filled, **values}], schema)


def test_sets_of_single_methods(view: View, made: Made) -> None:
    said = made["said"]
    prompt, answer = said("Q"), said("", "A")[1:]
    unpaired = _row(UNPAIRED, prompt=prompt, completion=answer, label=False)
    [row] = view("trl_unpaired_preference", unpaired, provenance=False)
    assert row == {"prompt": prompt, "completion": answer, "label": False}

    shown = _row(DEMONSTRATIONS, prompt=prompt, demonstration=answer, demonstration_policy="big@2")
    [row] = view("trl_prompt_completion", shown)
    assert (row["prompt"], row["completion"]) == (prompt, answer)
    assert row["demonstration_policy"] == "big@2"

    fait = _row(FAIT, prompt=prompt, completion=answer, correct="A", wrong="B")
    [row] = view("trl_prompt_completion", fait, provenance=False)
    assert row == {"prompt": prompt, "completion": answer}

    several = said("Q", system="S")
    steps = _row(STEP_VALUES, prompt=several, completions=["a", "b"], labels=[True, False])
    [row] = view("trl_stepwise_supervision", steps, provenance=False)
    assert row == {"prompt": "[system]\nS\n[user]\nQ", "completions": ["a", "b"],
                   "labels": [True, False]}  # fmt: skip


def test_tools_and_calls(view: View, tables: Tables, made: Made) -> None:
    [row] = view("trl_language_modeling", tables["tools"], provenance=False)
    assert json.loads(row["tools"])[0]["function"]["name"] == "weather"
    assert [{k: v for k, v in m.items() if v is not None} for m in row["messages"]] == [
        {k: v for k, v in m.items() if v is not None} for m in made["with_tools"]()
    ]
    [row] = view("trl_prompt_completion", tables["tools"], provenance=False)
    assert row["completion"][0]["content"] == "Fog."
    assert len(row["prompt"]) == 9
    with pytest.raises(UsageError, match="tools-0: a call of a tool has no plain form"):
        view("trl_language_modeling", tables["tools"], style="standard")


def test_what_a_model_thought_stands_in_plain_text(view: View, made: Made) -> None:
    table = made["tool_set"](
        [{"role": "user", "content": "Q"},
         {"role": "assistant", "content": "A", "reasoning_content": "T"}]
    )  # fmt: skip
    [row] = view("trl_prompt_completion", table, style="standard", provenance=False)
    assert row == {"prompt": "Q", "completion": "\n\n<think>\nT\n</think>\n\nA"}


def test_a_conversation_without_an_answer_is_refused(view: View, made: Made) -> None:
    with pytest.raises(UsageError, match="train, row sft-1: .* does not end with an answer"):
        view("trl_prompt_completion", made["sft"](made["said"]("Q", "A"), made["said"]("Q")))


@pytest.mark.parametrize(
    ("format", "of", "style", "match"),
    [
        ("trl_preference", "sft", None, r"lacks prompt \(messages\) and chosen"),
        ("trl_prompt_only", "steps", None, r"lacks prompt \(messages\)"),
        ("trl_stepwise_supervision", "steps", "conversational", "has only standard"),
        ("verl", "rl", "standard", "verl has no styles"),
        ("open_instruct", "preference", None, r"lacks answer \(text\)"),
    ],
)
def test_what_does_not_fit_is_said(
    tables: Tables, format: str, of: str, style: str | None, match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        view_of(get_format(format), tables[of].schema, style=style)


def test_every_column_of_every_view_has_a_meaning(tables: Tables) -> None:
    seen = set()
    for format in FORMATS.values():
        for table in tables.values():
            try:
                schema = view_of(format, table.schema).schema
            except UsageError:
                continue
            seen.add(format.name)
            for field in schema:
                assert (field.metadata or {}).get(b"meaning"), f"{format.name}: {field.name}"
    assert seen == set(FORMATS) - {"openchat"}
