"""The math verifier on GSM8K and MATH: a solution is correct, another row's answer is not."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.math_answer import MathAnswer

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
SAMPLE = 300
SETS = ["gsm8k_train", "gsm8k_test", "math500_test", "math_train_slice"]
# How a model may write the answer; each is one reading that `extract` documents.
FORMS = [
    r"Thus $\boxed{%s}$.",
    "So.\n\nFinal Answer: The final answer is $%s$. I hope it is correct.",
    "The answer is %s.",
    "**Answer:** %s",
    "Therefore, the answer is\n\\[ %s \\]",
    "#### %s",
    "%s",
]


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    table = pq.read_table(path).to_pylist()
    return random.Random(0).sample(table, SAMPLE)


def verdict(completion: str, answer: str) -> str:
    return MathAnswer().verify(completion, Task(messages=[], answer=answer)).verdict


@pytest.mark.parametrize("name", SETS)
def test_a_solution_is_judged_correct(name: str) -> None:
    wrong = [r["answer"] for r in rows(name) if verdict(r["solution"], r["answer"]) != "correct"]
    # A few MATH solutions box more answers than the reference column holds.
    assert len(wrong) <= SAMPLE * 0.01, wrong


@pytest.mark.parametrize("name", SETS)
def test_another_rows_answer_is_judged_wrong(name: str) -> None:
    sample = rows(name)
    others = sample[1:] + sample[:1]
    right = [
        (row["answer"], other["answer"])
        for row, other in zip(sample, others, strict=True)
        if row["answer"] != other["answer"]
        and verdict(rf"\boxed{{{other['answer']}}}", row["answer"]) != "wrong"
    ]
    assert len(right) <= SAMPLE * 0.005, right


@pytest.mark.parametrize("form", FORMS)
def test_every_reference_is_found_in_every_form(form: str) -> None:
    sample = [*rows("math500_test"), *rows("gsm8k_test")]
    missed = [r["answer"] for r in sample if verdict(form % r["answer"], r["answer"]) != "correct"]
    assert missed == []


def test_a_changed_digit_or_sign_is_judged_wrong() -> None:
    """Near misses, which fixed-precision comparison lets pass."""
    rng = random.Random(1)
    right = []
    for row in rows("math500_test"):
        answer = row["answer"]
        digits = [at for at, character in enumerate(answer) if character in "0123456789"]
        if not digits or "text" in answer or "mbox" in answer:  # cm^2 or cm^3: the unit's power
            continue
        at = rng.choice(digits)
        changed = str((int(answer[at]) + rng.randint(1, 9)) % 10)
        other = answer[:at] + changed + answer[at + 1 :]
        if verdict(rf"\boxed{{{other}}}", answer) == "correct":
            right.append((answer, other))
    assert right == []
