"""Every family of reasoning-gym: its reference is correct, something else is not, nothing is run."""

import asyncio
import inspect
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym
from reasoning_gym.factory import DATASETS

from winnow.pipeline import procedural
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.names import canonical_json
from winnow.pipeline.procedural import SIZE_DEPENDENT, entry
from winnow.pipeline.recipe import ReasoningGymSource
from winnow.pipeline.sources.reasoning_gym_family import ReasoningGymFamily
from winnow.pipeline.verify import reasoning_gym_score as module
from winnow.pipeline.verify.reasoning_gym_score import (
    EVALUATED,
    MALFORMED,
    ReasoningGymScore,
    malformed,
    read,
)
from winnow.pipeline.verify.worker_pool import TimedVerdict, VerifierPool

VERIFIER = ReasoningGymScore()
SEED = 11
# `composite` mixes families through objects that no JSON config can hold.
FAMILIES = sorted(set(DATASETS) - {"composite"})
# Families without one reference answer: where their metadata hold a right answer, if anywhere.
EXAMPLES = {
    "boxnet": None,
    "graph_color": "possible_answer",
    "propositional_logic": "example_answer",
    "rubiks_cube": "example_correct_answer",
    "rush_hour": None,
}
FORMS = [
    "%s",
    "The answer is %s",
    "Let me think.\n\n**Answer:** %s",
    "<answer>%s</answer>",
    "It is <answer>\n%s\n</answer> I hope.",
    r"So \boxed{%s}",
    "Final answer:\n```\n%s\n```",
]


def task(family: str, index: int = 0, args: dict[str, Any] | None = None) -> Task:
    question = entry(family, {}, SEED, index)["question"]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"Solve this.\n{question}\nThink first."},
    ]
    named = {"family": family, "config": {}, "seed": SEED, "index": index, **(args or {})}
    return Task(messages=messages, answer=None, args=json.loads(json.dumps(named)))


def reference(family: str, index: int) -> str | None:
    item = entry(family, {}, SEED, index)
    if family not in EXAMPLES:
        return str(item["answer"])
    where = EXAMPLES[family]
    if where is None:
        return None
    example = item["metadata"][where]
    return example if isinstance(example, str) else json.dumps(example)


def test_the_families_without_a_reference_are_these() -> None:
    without = {f for f in FAMILIES if entry(f, {}, SEED, 0)["answer"] is None}
    assert without == set(EXAMPLES)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_is_correct_and_something_else_is_wrong(family: str) -> None:
    for index in (0, 1):
        right = reference(family, index)
        if right is not None:
            for form in FORMS:
                verdict = VERIFIER.verify(form % right, task(family, index))
                assert (verdict.verdict, verdict.reward) == ("correct", 1.0), (form, verdict)
        for text in ("zzz", "I do not know.", "The answer is nan", "", "[[[[", "-1e9999"):
            verdict = VERIFIER.verify(text, task(family, index))
            assert verdict.verdict == "wrong", (text, verdict)
            assert verdict.reward is not None and 0 <= verdict.reward < 1


@pytest.mark.parametrize("family", FAMILIES)
def test_entries_are_those_of_a_source_of_any_size(family: str) -> None:
    source = reasoning_gym.create_dataset(family, seed=SEED, size=7)
    same = [source[at]["question"] == entry(family, {}, SEED, at)["question"] for at in (3, 1, 6)]
    assert same == ([False, False, True] if family in SIZE_DEPENDENT else [True] * 3)


def test_workers_make_the_entries_that_the_source_made() -> None:
    """Through the real source and the real pool, in processes with string hashes of their own."""
    tasks = []
    for family in FAMILIES:
        source = ReasoningGymFamily(ReasoningGymSource(type="reasoning_gym", family=family, size=1))
        for row in source.rows():
            message = {"role": "user", "content": row.values["question"]}
            args = json.loads(canonical_json(row.values["verifier_args"]))
            tasks.append((family, Task([message], row.values["answer"], args)))

    async def judged() -> list[TimedVerdict]:
        async with VerifierPool(2, 60, ["reasoning_gym"]) as pool:
            return await asyncio.gather(
                *[pool.judge("reasoning_gym", task.answer or "zzz", task) for _, task in tasks]
            )

    verdicts = {f: t.verdict for (f, _), t in zip(tasks, asyncio.run(judged()), strict=True)}
    assert set(verdicts) == set(FAMILIES)
    wanted = {f: "wrong" if f in EXAMPLES else "correct" for f in FAMILIES}
    unlike = {f: v.detail for f, v in verdicts.items() if v.verdict != wanted[f]}
    # list_functions draws from Python's global generator: where that was not seeded for the item,
    # its entry cannot be made again, and no answer is judged against another one.
    assert unlike in ({}, {"list_functions": "entry_changed"})


def test_entries_are_drawn_afresh_the_same() -> None:
    def questions() -> list[str]:
        procedural._entry.cache_clear()
        return [entry("list_functions", {}, 0, at)["question"] for at in range(40)]

    state = random.getstate()
    assert questions() == questions()
    assert random.getstate() == state


def test_a_family_without_json_config_is_unjudged() -> None:
    bad = Task([{"role": "user", "content": ""}], None,
               {"family": "composite", "config": {}, "seed": 0, "index": 0})  # fmt: skip
    verdict = VERIFIER.verify("1", bad)
    assert verdict.verdict == "unjudged"
    assert (verdict.detail or "").startswith("bad_task: AssertionError")


@pytest.mark.parametrize(
    ("args", "detail"),
    [
        ({"family": "chain_sums"}, "bad_task: ValueError: Dataset 'chain_sums' not registered"),
        ({"config": {"min_terms": 9, "max_terms": 2}}, "bad_task: AssertionError"),
        ({"config": {"no_such_key": 1}}, "bad_task: TypeError"),
        ({"index": "first"}, "bad_task: ValueError"),
        ({"seed": SEED + 1}, "entry_changed"),
        ({"index": 1}, "entry_changed"),
        ({"config": {"min_terms": 9, "max_terms": 9}}, "entry_changed"),
    ],
)
def test_a_task_that_is_not_the_prompts_is_unjudged(args: dict[str, Any], detail: str) -> None:
    verdict = VERIFIER.verify("1", task("chain_sum", 0, args))
    assert (verdict.verdict, verdict.reward) == ("unjudged", None)
    assert (verdict.detail or "").startswith(detail)


def test_arguments_are_needed() -> None:
    assert VERIFIER.verify("1", Task([], None)).detail == "bad_task: KeyError: 'family'"


def test_partial_scores_are_rewards_of_wrong_answers() -> None:
    right = reference("word_sorting", 0) or ""
    verdict = VERIFIER.verify(", ".join(reversed(right.split(", "))), task("word_sorting"))
    assert verdict.verdict == "wrong"
    assert verdict.reward is not None and 0 < verdict.reward < 1


def test_a_scorers_bug_is_unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scorer:
        def score_answer(self, answer: str, item: dict[str, Any]) -> float:
            raise KeyError(answer)

    right = task("chain_sum")
    monkeypatch.setattr(module, "dataset", lambda *key: Scorer())
    assert VERIFIER.verify("It is 5", right) == Verdict.unjudged("scorer_error: KeyError", "5")
    monkeypatch.undo()
    assert "chain_sum" not in MALFORMED


def test_a_malformed_answer_is_wrong_where_the_scorer_trips_over_it() -> None:
    verdict = VERIFIER.verify("two times three", task("prime_factorization"))
    assert (verdict.verdict, verdict.reward) == ("wrong", 0.0)
    assert verdict.detail == "malformed_answer"


def test_yes_and_no_are_compared_where_a_scorer_accepts_anything() -> None:
    """game_of_life_halting's scorer calls every text right."""
    wrong = {"True": "False", "False": "True"}[reference("game_of_life_halting", 0) or ""]
    assert VERIFIER.verify(wrong, task("game_of_life_halting")).verdict == "wrong"
    assert VERIFIER.verify("banana", task("game_of_life_halting")).verdict == "wrong"


# Modules whose `eval`, `exec` and `parse_expr` see their own generated text only (read one by one).
OWN_TEXT_ONLY = {
    "basic_arithmetic", "bitwise_arithmetic", "codeio", "generators_00_49", "generators_50_99",
    "number_sorting", "propositional_logic",
}  # fmt: skip


def test_every_scorer_that_evaluates_answers_is_guarded() -> None:
    """A new release with another `eval` must be looked at before it judges hostile text."""
    evaluates = re.compile(
        r"(?<![\w.])(?:eval|exec|(?:sp\.|sympy\.)?(?:parse_expr|sympify))\(|pickle"
    )
    package = Path(inspect.getfile(reasoning_gym)).parent
    found = {path.stem for path in package.rglob("*.py") if evaluates.search(path.read_text())}
    assert found == set(EVALUATED) | OWN_TEXT_ONLY


ATTACKS = [
    "__import__('os').system('touch {path}')",
    "[__import__('os').system('touch {path}')]",
    "open('{path}', 'w')",
    "exec(\"open('{path}','w')\")",
    "[open('{path}', 'w').write('1')]",
    "().__class__.__base__.__subclasses__()",
    "x.__class__",
    "S('open(\\'{path}\\', chr(119))')",
    "x.subs(x, eval(chr(49)))",
    "1 if print('{path}') else 2",
    "(lambda: 1)()",
    "breakpoint()",
    "exit()",
    "print(1)",
    "9**9**9**9",
    "f'{{1}}'",
    "[x for x in range(9)]",
    "1..real",
    "x.n()",
    "'a'.join('b')",
    "1" * 5000,
]


@pytest.mark.parametrize("family", sorted(EVALUATED))
def test_no_answer_reaches_an_evaluating_scorer_as_code(family: str, tmp_path: Path) -> None:
    for attack in ATTACKS:
        answer = attack.replace("{path}", str(tmp_path / "ran"))
        assert malformed(family, answer, "1"), answer
        for completion in (answer, f"<answer>{answer}</answer>", rf"\boxed{{{answer}}}"):
            assert VERIFIER.verify(completion, task(family)).verdict == "wrong"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", sorted(EVALUATED))
def test_right_answers_of_these_families_pass_the_guard(family: str) -> None:
    answers = [str(entry(family, {}, 5, at)["answer"]) for at in range(25)]
    # A reference with an integral left in it is no answer: anybody could copy the question.
    assert [a for a in answers if malformed(family, a, a) and "Integral" not in a] == []


@pytest.mark.parametrize(
    ("completion", "reference", "answer"),
    [
        # numbers, as small models write them
        ("5 - 3 - 6 = -4.", "-4", "-4"),
        ("5 - 3 - 6 = 2 - 6 = **-4**", "-4", "-4"),
        ("First, 5 - 3 = 2. Then 2 - 6 = -4.\n\nSo the answer is -4.", "-4", "-4"),
        ("Step 1: 5 - 3 = 2\nStep 2: 2 - 6 equals -4.\nI hope this helps!", "-4", "-4"),
        ("There are 13 legs in total.", "13", "13"),
        ("The answer is 13 legs, from 3 animals.", "13", "13"),
        (r"The answer is \(1{,}010\).", "7", "1"),
        ("The sum is 1,010.", "1010", "1010"),
        ("The sum is 1,010.", "1,010", "1,010"),
        (r"\boxed{-4}", "-4", "-4"),
        ("$-4$", "-4", "-4"),
        ("−4", "-4", "-4"),
        ("10-4", "4", "4"),
        ("0.5e-3", "0.0005", "0.5e-3"),
        ("I cannot tell.", "4", "I cannot tell."),
        # one word
        ("True, because the list is sorted.", "True", "True"),
        ("The answer is **No**.", "Yes", "No"),
        ("Nobody knows", "No", "Nobody knows"),
        # text
        ("The answer is Monday.", "Monday", "Monday"),
        ("The answer is Monday. I hope this helps.", "Monday", "Monday"),
        ("I thought.\nMonday", "Monday", "Monday"),
        ("The answer is He said so. Twice.", "He said so. Twice.", "He said so. Twice."),
        ("F(x) = 2*X**2 + C", "2*X**2 + C", "2*X**2 + C"),
        ("A=1,B=2", "A=3,B=4", "A=1,B=2"),
        (r"\boxed{\text{violet}}", "violet", "violet"),
        ("The answer is $1/2$", "$1/2$", "$1/2$"),
        ("The answer is $1/2$", "1/2", "1/2"),
        # several lines
        ("1 2\n3 4", "1 1\n1 1", "1 2\n3 4"),
        ("Here it is:\n\n1 2\n3 4", "1 1\n1 1", "1 2\n3 4"),
        ("Sure!\n```\n1 2\n3 4\n```\nDone", "1 1\n1 1", "1 2\n3 4"),
        ("The answer is\n1 2\n3 4.", "1 1\n1 1", "1 2\n3 4"),
        ("_ Q\nQ _", "Q _\n_ Q", "_ Q\nQ _"),
        # one reading only
        ("<answer>3</answer> The answer is 4", "4", "3"),
        ("The answer is 3. No, 4.", "4", "3"),
        ("", "4", None),
        ("<answer></answer> 4", "4", None),
    ],
)
def test_one_reading_in_the_shape_of_the_reference(
    completion: str, reference: str, answer: str | None
) -> None:
    assert read(completion, reference) == answer
