"""The verifier `tool_call` on BFCL and ToolRL: references against themselves, others, mutations."""

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.tool_call import ToolCall

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
# The reference accepts no value at all for an argument, so that every answer would be wrong.
UNSATISFIABLE = {"live_simple_106-63-0", "live_simple_112-68-0"}
VERIFIER = ToolCall()

Calls = list[tuple[str, dict[str, Any]]]
Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    found: list[Row] = pq.read_table(path).to_pylist()
    return found


def bfcl() -> list[Row]:
    """Rows with calls: `gold` the parsed ground truth, `offered` the functions."""
    return [
        {**row, "gold": json.loads(row["ground_truth"]), "offered": json.loads(row["functions"])}
        for row in rows("bfcl_v4_public")
        if row["ground_truth"] and row["id"] not in UNSATISFIABLE
    ]


def choose(options: list[Any], rng: random.Random) -> Any:
    """One accepted value; "" where the argument is left out."""
    return _inner(rng.choice(options), rng)


def _inner(option: Any, rng: random.Random) -> Any:
    if isinstance(option, dict):
        chosen = {key: rng.choice(values) for key, values in option.items()}
        return {key: _inner(value, rng) for key, value in chosen.items() if value != ""}
    if isinstance(option, list):
        return [_inner(item, rng) for item in option]
    return option


def chosen_calls(gold: list[Any], rng: random.Random) -> Calls:
    calls: Calls = []
    for item in gold:
        for name, arguments in item.items():
            chosen = {key: choose(options, rng) for key, options in arguments.items()}
            calls.append((name, {key: value for key, value in chosen.items() if value != ""}))
    rng.shuffle(calls)
    return calls


def as_python(calls: Calls) -> str:
    texts = [f"{n}({', '.join(f'{k}={v!r}' for k, v in a.items())})" for n, a in calls]
    return f"[{', '.join(texts)}]"


def as_json(calls: Calls) -> str:
    return json.dumps([{"name": name, "arguments": arguments} for name, arguments in calls])


def as_tags(calls: Calls) -> str:
    objects = [json.dumps({"name": n, "arguments": a}, ensure_ascii=False) for n, a in calls]
    return "I call:\n" + "\n".join(f"<tool_call>\n{o}\n</tool_call>" for o in objects)


def as_openai(calls: Calls) -> str:
    return json.dumps(
        [{"type": "function", "function": {"name": n.replace(".", "_"), "arguments": json.dumps(a)}}
         for n, a in calls]
    )  # fmt: skip


def as_bfcl(calls: Calls) -> str:
    return f"Here you are:\n```json\n{json.dumps([{n: a} for n, a in calls], indent=1)}\n```"


FORMS: list[tuple[Callable[[Calls], str], str]] = [
    (as_python, "python"),
    (as_json, "json"),
    (as_tags, "json"),
    (as_openai, "json"),
    (as_bfcl, "json"),
]


def judge(row: Row, calls: Calls, form: Callable[[Calls], str], syntax: str) -> Verdict:
    args = {"functions": row["offered"], "syntax": syntax}
    return VERIFIER.verify(form(calls), Task([], row["ground_truth"], args))


@pytest.mark.parametrize(("form", "syntax"), FORMS)
def test_accepted_values_are_correct(form: Callable[[Calls], str], syntax: str) -> None:
    rng = random.Random(0)
    missed = []
    for row in bfcl():
        for _ in range(2):
            verdict = judge(row, chosen_calls(row["gold"], rng), form, syntax)
            if verdict.verdict != "correct":
                missed.append((row["id"], verdict.detail))
    assert missed == []


def test_a_reference_that_nothing_satisfies_leaves_answers_unjudged() -> None:
    found = {row["id"]: row for row in rows("bfcl_v4_public")}
    for name in UNSATISFIABLE:
        verdict = VERIFIER.verify("[record()]", Task([], found[name]["ground_truth"]))
        assert verdict.verdict == "unjudged"


def mutations(row: Row, rng: random.Random) -> Iterator[tuple[str, Calls]]:
    """Wrong answers made of a right one, with what was done."""
    right = chosen_calls(row["gold"], rng)
    at = rng.randrange(len(right))
    name, arguments = right[at]
    options = next(
        item[name] for item in row["gold"] if name in item and set(arguments) <= set(item[name])
    )

    def changed(new_name: str, new_arguments: dict[str, Any]) -> Calls:
        calls = copy.deepcopy(right)
        calls[at] = (new_name, new_arguments)
        return calls

    def without(key: str) -> dict[str, Any]:
        return {k: v for k, v in arguments.items() if k != key}

    yield "extra call", [*right, (name, arguments)]
    yield "missing call", [call for i, call in enumerate(right) if i != at]
    yield "other function", changed(f"{name}_v2", arguments)
    yield "unknown argument", changed(name, {**arguments, "zz_extra": 1})
    if not arguments:
        return
    key = rng.choice(sorted(arguments))
    value = arguments[key]
    yield "renamed argument", changed(name, {**without(key), f"{key}_zz": value})
    if all("" not in item[name].get(key, [""]) for item in row["gold"] if name in item):
        yield "dropped argument", changed(name, without(key))
    other = _other_value(value)
    every = [item[name].get(key, []) for item in row["gold"] if name in item]
    if not any(other in values for values in every):
        yield "other value", changed(name, {**arguments, key: other})
    other = _other_type(value)
    if not any(other in values for values in every) and options:
        yield "other type", changed(name, {**arguments, key: other})


def _other_value(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}zq"
    if isinstance(value, list):
        return [*value, "zq"]
    if isinstance(value, dict):
        return {**value, "zq": 1}
    return "zq"


def _other_type(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return [value]
    return str(value)


@pytest.mark.parametrize(("form", "syntax"), FORMS)
def test_mutations_are_wrong(form: Callable[[Calls], str], syntax: str) -> None:
    rng = random.Random(1)
    missed = []
    for row in bfcl():
        for kind, calls in mutations(row, rng):
            verdict = judge(row, calls, form, syntax)
            if verdict.verdict != "wrong":
                missed.append((row["id"], kind, form(calls), verdict.detail))
    assert missed == []


@pytest.mark.parametrize(("form", "syntax"), FORMS)
def test_another_rows_calls_are_wrong(form: Callable[[Calls], str], syntax: str) -> None:
    rng = random.Random(2)
    given = bfcl()
    others = given[7:] + given[:7]
    right = [
        (row["id"], other["id"])
        for row, other in zip(given, others, strict=True)
        if judge(row, chosen_calls(other["gold"], rng), form, syntax).verdict != "wrong"
    ]
    assert right == []


@pytest.mark.parametrize("syntax", ["json", "python"])
def test_irrelevant_functions(syntax: str) -> None:
    """No call is right: words are, and a call of any of the offered functions is not."""
    for row in rows("bfcl_v4_public"):
        if row["category"] != "irrelevance":
            continue
        offered = json.loads(row["functions"])
        task = Task([], row["ground_truth"], {"functions": offered, "syntax": syntax})
        name = offered[0]["name"] if offered else "f"
        for words in (
            "I am sorry, none of the functions can answer that.",
            f"The function `{name}()` cannot be used for this.",
            f"{name}(a, b) does something else; the answer is f(x) = 2 * (x + 1).",
        ):
            assert VERIFIER.verify(words, task).verdict == "correct", (row["id"], words)
        calls: Calls = [(name, {"value": 1})]
        for text in (as_python(calls), as_json(calls), as_tags(calls)):
            assert VERIFIER.verify(text, task).verdict == "wrong", (row["id"], text)


def toolrl_calls(target: str) -> list[dict[str, Any]]:
    said = target.rpartition("</think>")[2]
    block = re.search(r"<tool_call>(.*?)</tool_call>", said, re.DOTALL)
    return [json.loads(line) for line in block[1].split("\n") if line.strip()] if block else []


@pytest.mark.parametrize("whole", [True, False])
def test_toolrl_targets_get_the_whole_reward(whole: bool) -> None:
    for row in rows("toolrl_sft"):
        target = row["output"]
        answer = target if whole else json.dumps(toolrl_calls(target))
        task = Task([], answer, {"syntax": "toolrl", "mode": "graded"})
        verdict = VERIFIER.verify(target, task)
        assert (verdict.verdict, verdict.parts["format"]) == ("correct", 1.0), row["id"]
        assert verdict.reward == (4.0 if toolrl_calls(target) else 1.0), row["id"]


def test_another_toolrl_target_is_wrong() -> None:
    given = rows("toolrl_sft")
    for row, other in zip(given, given[1:] + given[:1], strict=True):
        wanted, found = toolrl_calls(row["output"]), toolrl_calls(other["output"])
        task = Task([], row["output"], {"syntax": "toolrl", "mode": "graded"})
        verdict = VERIFIER.verify(other["output"], task)
        if not wanted and not found:  # words where words are right
            assert verdict.verdict == "correct"
        elif wanted != found:
            assert verdict.verdict == "wrong", (row["id"], other["id"])
            assert verdict.reward is not None
            assert verdict.reward < (4.0 if wanted else 1.0)


def test_mutated_toolrl_targets_are_wrong() -> None:
    rng = random.Random(3)
    for row in rows("toolrl_sft"):
        calls = toolrl_calls(row["output"])
        if not calls:
            continue
        for kind, wrong in _mutated(calls, rng):
            lines = "\n".join(json.dumps(call) for call in wrong)
            text = f"<think> So. </think>\n<tool_call>\n{lines}\n</tool_call>"
            task = Task([], json.dumps(calls), {"syntax": "toolrl", "mode": "graded"})
            verdict = VERIFIER.verify(text, task)
            assert verdict.verdict == "wrong", (row["id"], kind)
            assert verdict.parts["correctness"] < 3, (row["id"], kind)


def _mutated(calls: list[dict[str, Any]], rng: random.Random) -> Iterator[tuple[str, Any]]:
    yield "extra call", [*calls, calls[0]]
    yield "missing call", calls[:-1]
    at = rng.randrange(len(calls))
    call = calls[at]

    def changed(**values: Any) -> list[dict[str, Any]]:
        return [{**c, **values} if i == at else c for i, c in enumerate(calls)]

    yield "other function", changed(name=call["name"] + "x")
    yield "unknown argument", changed(parameters={**call["parameters"], "zz": 1})
    for key, value in call["parameters"].items():
        yield "other value", changed(parameters={**call["parameters"], key: _other_value(value)})
        yield "other type", changed(parameters={**call["parameters"], key: _other_type(value)})
        rest = {k: v for k, v in call["parameters"].items() if k != key}
        yield "dropped argument", changed(parameters=rest)
        yield "renamed argument", changed(parameters={**rest, f"{key}_zz": value})
