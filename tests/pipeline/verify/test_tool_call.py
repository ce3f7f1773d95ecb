"""The verifier `tool_call`: ToolRL's vectors, oracles, and what no answer may do to it."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.tool_call import ToolCall
from winnow.pipeline.verify.tool_calls import json_calls, matching, python_calls
from winnow.pipeline.verify.tool_calls.calls import Call, UnreadableCall
from winnow.pipeline.verify.tool_calls.functions import Functions
from winnow.pipeline.verify.tool_calls.reference import BadReference, WantedCall, read
from winnow.pipeline.verify.tool_calls.values import same_text
from winnow.pipeline.verify.worker_pool import judged

VERIFIER = ToolCall()
NOTHING = Functions([])

Gold = list[dict[str, Any]]


def graded(gold: Gold, *lines: str) -> Verdict:
    block = "\n".join(lines)
    text = f"<think> t </think>\n<tool_call>\n{block}\n</tool_call>"
    task = Task([], json.dumps(gold), {"syntax": "toolrl", "mode": "graded"})
    return VERIFIER.verify(text, task)


ONE = [{"name": "f", "parameters": {"x": 1, "y": "a"}}]


@pytest.mark.parametrize(
    ("lines", "correctness"),
    [
        (['{"name": "f", "parameters": {"x": 1, "y": "a"}}'], 3.0),
        (['{"name": "f", "parameters": {"y": "a", "x": 1}}'], 3.0),
        (['{"name": "f", "parameters": {"x": 2, "y": "a"}}'], 1.5),
        (['{"name": "f", "parameters": {"x": "1", "y": "a"}}'], 1.5),
        (['{"name": "f", "parameters": {"x": 1}}'], 0.75),
        (['{"name": "f", "parameters": {"x": 1, "y": "a"}}', '{"name": "g", "parameters": {}}'], 2.25),
        (['{"name": "g", "parameters": {"x": 1, "y": "a"}}'], -3.0),
        ([], -3.0),
        (["no JSON"], -3.0),
    ],
)  # fmt: skip
def test_toolrl_vectors(lines: list[str], correctness: float) -> None:
    verdict = graded(ONE, *lines)
    assert verdict.parts["correctness"] == pytest.approx(correctness)
    assert verdict.reward == pytest.approx(verdict.parts["format"] + correctness)
    assert (verdict.verdict == "correct") == (correctness == 3.0)


def test_parameterless_calls_in_another_order() -> None:
    gold = [{"name": "f", "parameters": {}}, {"name": "g", "parameters": {}}]
    verdict = graded(gold, '{"name": "g", "parameters": {}}', '{"name": "f", "parameters": {}}')
    assert (verdict.verdict, verdict.reward) == ("correct", 4.0)


def test_a_missing_block_and_a_reference_without_calls() -> None:
    args = {"syntax": "toolrl", "mode": "graded"}
    words = "<think> t </think>\n<response> Hello. </response>"
    assert VERIFIER.verify(words, Task([], json.dumps(ONE), args)).parts["correctness"] == -3
    verdict = VERIFIER.verify(words, Task([], "[]", args))
    assert (verdict.verdict, verdict.reward) == ("correct", 1.0)


def toolrl_oracle(gold: Gold, found: Gold) -> float:
    """Section by section as the paper's text has it, with lists in the place of counters."""

    def jaccard(a: list[str], b: list[str]) -> float:
        both, rest = 0, list(b)
        for name in a:
            if name in rest:
                rest.remove(name)
                both += 1
        either = len(a) + len(b) - both
        return both / either if either else 1.0

    score = jaccard([g["name"] for g in gold], [f["name"] for f in found])
    used: list[int] = []
    for g in gold:
        scores = []
        for i, f in enumerate(found):
            if i not in used and f["name"] == g["name"]:
                a, b = g["parameters"], f["parameters"]
                same = sum(1 for k in a if k in b and type(a[k]) is type(b[k]) and a[k] == b[k])
                scores.append((jaccard(list(a), list(b)) + same, -i))
        if scores:
            best, at = max(scores)
            score += best
            used.append(-at)
    most = 1 + sum(1 + len(g["parameters"]) for g in gold)
    return 6 * score / most - 3


SMALL_CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["f", "g"]),
            "parameters": st.dictionaries(
                st.sampled_from("xyz"), st.sampled_from([0, 1, "0", "1", True]), max_size=3
            ),
        }
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(SMALL_CALLS, SMALL_CALLS)
def test_graded_reward_against_an_oracle(gold: Gold, found: Gold) -> None:
    verdict = graded(gold, *[json.dumps(call) for call in found])
    assert verdict.parts["correctness"] == pytest.approx(toolrl_oracle(gold, found))
    assert -3 <= verdict.parts["correctness"] <= 3
    assert 0 <= verdict.parts["names"] <= 1
    assert 0 <= verdict.parts["parameters"] <= 1
    assert (verdict.verdict == "correct") == (verdict.parts["correctness"] == pytest.approx(3))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1, max_size=4),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
def test_matching_against_every_permutation(accepted: list[list[int]], found: list[int]) -> None:
    wanted = [WantedCall("f", {"x": list(options)}, exact=False) for options in accepted]
    calls = [Call("f", {"x": value}) for value in found]
    expected = len(calls) == len(wanted) and any(
        all(value in options for value, options in zip(order, accepted, strict=True))
        for order in itertools.permutations(found)
    )
    assert matching.all_match(calls, wanted, NOTHING) == expected


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc é'\"", max_size=4), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b_1", "city"]), VALUES, max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["f", "g.h", "k_2"]), ARGUMENTS), min_size=1, max_size=3))
def test_what_is_written_is_read(calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Every value survives both syntaxes, wherever in the text the calls stand."""
    offered = Functions.read([{"name": name} for name in ("f", "g.h", "k_2")])
    wanted = [Call(name, arguments) for name, arguments in calls]
    shown = [f"{n}({', '.join(f'{k}={v!r}' for k, v in a.items())})" for n, a in calls]
    for text in (f"[{', '.join(shown)}]", "\n".join(shown), f"Well:\n[{', '.join(shown)}]\nDone."):
        assert python_calls.read(text, offered) == wanted
    objects = [json.dumps({"name": n, "arguments": a}) for n, a in calls]
    for text in (f"[{', '.join(objects)}]", "\n".join(objects), f"Well: {' then '.join(objects)}!"):
        assert json_calls.read(text, offered) == wanted


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["json", "python", "toolrl"]))
def test_any_text_gets_a_verdict(text: str, syntax: str) -> None:
    offered = [{"name": "f", "parameters": {"x": {"type": "string"}}}]
    for answer in ('[{"f": {"x": ["a", ""]}}]', "[]"):
        verdict = judged(
            "tool_call", text, Task([], answer, {"functions": offered, "syntax": syntax})
        )
        assert verdict.verdict in ("correct", "wrong")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100))
def test_any_reference_is_read_or_bad(answer: str) -> None:
    verdict = judged("tool_call", '{"name": "f", "arguments": {}}', Task([], answer))
    assert not (verdict.detail or "").startswith("verifier_error")


HOSTILE = [
    "[" * 100_000,
    '{"name":' * 50_000,
    "f(" * 50_000,
    "[f(x=" + "-" * 20_000 + "1)]",
    "[f(x=" + "(" * 5_000 + "1" + ")" * 5_000 + ")]",
    "[f(x=" + "+".join("1" * 20_000) + ")]",
    "[f(x=" + "9" * 10_000 + ")]",
    "[f(x=0x" + "f" * 10_000 + ")]",
    '[f(x="' + "\\" * 9_999 + '")]',
    "[f(x=__import__('os').system('touch never'))]",
    "[f(x=[y for y in (1).__class__.__base__.__subclasses__()])]",
    "[f(x=" + "a." * 9_000 + "b)]",
    '{"name": "f", "arguments": {"x": ' + "[" * 5_000 + "]" * 5_000 + "}}",
    '{"name": "f", "arguments": {"x": 1e999}}',
    "<tool_call>" * 20_000,
    "a" * 300_000 + '{"name": "f", "arguments": {}}',
    '{"name": "f\ud800", "arguments": {"x": "\ud800"}}',
    "[f(x='\\ud800')]",
    "\x00",
]


@pytest.mark.parametrize("syntax", ["json", "python", "toolrl"])
@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_hostile_answers_are_wrong(at: int, syntax: str) -> None:
    args = {
        "functions": [{"name": "f", "parameters": {"x": {"type": "integer"}}}],
        "syntax": syntax,
    }
    verdict = judged("tool_call", HOSTILE[at], Task([], '[{"f": {"x": [1]}}]', args))
    assert verdict.verdict == "wrong"


@pytest.mark.parametrize(
    ("answer", "exact"),
    [
        ('[{"name": "f", "parameters": {"a": [1]}}]', True),
        ('[{"name": "f", "arguments": {"a": [1]}}]', True),
        ('[{"f": {"a": [1]}}]', False),
        ('[{"name": {"a": [1]}}]', False),  # a function called "name"
        ('[{"function": {"a": [1]}}]', False),
    ],
)
def test_the_two_forms_of_references(answer: str, exact: bool) -> None:
    (call,) = read(answer).calls
    assert (call.exact, call.options["a"]) == (exact, [[1]] if exact else [1])


@pytest.mark.parametrize(
    "answer",
    ["nonsense", "42", "{}", "[{}]", '[{"f": null}]', "[1]", '[{"f": 1}]', '[{"f": {"a": 1}}]', '[{"f": {"a": []}}]',
     '[{"name": "f"}]', '[{"name": "f", "arguments": [1]}]', '[["f()"]]', '["f(1)"]', "NaN",
     '[{"name": "f", "arguments": {}, "parameters": {}}]', '[{"f": {"a": [1], "a": [2]}}]',
     "<think></think><tool_call>f()</tool_call>"],
)  # fmt: skip
def test_bad_references(answer: str) -> None:
    with pytest.raises(BadReference):
        read(answer)
    verdict = VERIFIER.verify('{"name": "f", "arguments": {}}', Task([], answer))
    assert verdict.verdict == "unjudged"
    assert (verdict.detail or "").startswith("bad_reference")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("April 1, 2024", "april 1 2024", True),
        ("New York, NY", "new york ny", True),
        ("2024-01-05", "2024/01/05", True),
        ("2024-01-05", "20240105", True),
        ("it's", 'it"s', True),
        ("1,000", "1000", True),
        ("3.5 GB", "35gb", False),
        ("1.10", "11.0", False),
        ("-5", "5", False),
        ("40.7,-74.0", "40.7, 74.0", False),
        ("40.7,-74.0", "40.7, -74.0", True),
        ("x**2", "x^2", True),
        ("x**2", "x*2", False),
        ("2x**2", "2*x**2", True),
        ("3x + 2", "3x - 2", False),
        ("https://a.b/c-d?n=e-f", "https://a.b/c d?n=e f", True),
        ("*", "-", False),
        ("", "-", False),
    ],
)
def test_strings_by_bfcls_rule_with_its_exceptions(a: str, b: str, same: bool) -> None:
    assert same_text(a, b) == same
    assert same_text(b, a) == same


def test_a_function_that_is_not_a_schema() -> None:
    offered = Functions.read([{"name": "f", "parameters": {"x": {"description": "?"}}}, {"no": 1}])
    assert offered.named(Call("f", {}, (1,))) == Call("f", {"x": 1})
    with pytest.raises(UnreadableCall):
        offered.named(Call("g", {}, (1,)))


def test_nulls_of_a_shared_column_type_say_nothing() -> None:
    answer = '[{"f": {"x": [1], "y": null}, "g": null}]'
    args = {"functions": [{"name": "f", "parameters": {"properties": {"y": None, "x": {}}}}]}
    task = Task([], answer, {**args, "syntax": "python"})
    assert VERIFIER.verify("[f(1)]", task).verdict == "correct"
    assert VERIFIER.verify("[f(1, y=2)]", task).verdict == "wrong"


def test_extracted_is_what_was_read() -> None:
    args = {
        "functions": [{"name": "f", "parameters": {"x": {"type": "integer"}}}],
        "syntax": "python",
    }
    verdict = VERIFIER.verify("[f(2)]", Task([], '[{"f": {"x": [1]}}]', args))
    assert verdict.extracted == '[{"arguments":{"x":2},"name":"f"}]'
    assert verdict.detail == "calls_differ"


@pytest.mark.parametrize(
    "args", [{"syntax": "yaml"}, {"functions": "f"}, {"mode": "best"}, {"x": 1}]
)
def test_bad_arguments_leave_the_row_unjudged(args: dict[str, Any]) -> None:
    verdict = judged("tool_call", "[]", Task([], "[]", args))
    assert verdict.verdict == "unjudged"
    assert (verdict.detail or "").startswith("bad_arguments")
