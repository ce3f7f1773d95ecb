"""The gold audit: its rule against counting by hand, whatever the order, and readings of answers."""

import random
from collections import Counter
from fractions import Fraction
from math import comb

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from winnow.pipeline import schema
from winnow.pipeline.verify.audit import (
    AuditConfig,
    AuditTask,
    Vote,
    audit,
    questions,
    share_low,
    suspects,
    tasks_of,
)
from winnow.pipeline.verify.audit_readings import (
    doubt,
    identity,
    is_open,
    key,
    numbers,
    simple_number,
)

CONFIG = AuditConfig()


def _wrong(answer: str | None, count: int = 1, detail: str | None = None) -> list[Vote]:
    return [Vote("wrong", answer, detail)] * count


def _right(answer: str | None, count: int = 1) -> list[Vote]:
    return [Vote("correct", answer)] * count


def _task(*votes: list[Vote], reference: str | None = "5", verifier: str = "math") -> AuditTask:
    return AuditTask("t", reference, verifier, [vote for group in votes for vote in group])


def _row(task: AuditTask, **config: float) -> dict[str, object]:
    (row,) = audit([task], AuditConfig.model_validate(config)).to_pylist()
    return row


def test_a_credible_majority_against_the_reference_is_suspect() -> None:
    row = _row(_task(_wrong("7", 6), _wrong("8"), _right("5")))
    assert row == {
        "task_id": "t", "reference": "5", "verifier": "math", "majority_answer": "7",
        "n_majority": 6, "n_agree_reference": 1, "n_judged": 8, "n_answers": 3,
        "majority_share": 0.75, "share_low": pytest.approx(0.4503584, abs=1e-6), "suspect": False,
        "reason": None, "doubt": None,
    }  # fmt: skip
    row = _row(_task(_wrong("7", 7), _right("5")))
    assert row["suspect"] is True
    assert row["reason"] == "7 of 8 answers agree, 1 with the reference; share at least 0.57"


@pytest.mark.parametrize(
    ("k", "n", "low"),
    [(4, 4, 0.05 ** (1 / 5)), (0, 0, 0.05), (0, 1, 1 - 0.95**0.5), (1, 1, 0.05**0.5)],
)
def test_the_lower_bound_in_closed_form(k: int, n: int, low: float) -> None:
    assert share_low(k, n, 0.95) == pytest.approx(low, abs=1e-12)


@pytest.mark.parametrize(
    ("k", "n", "passes"),
    [(4, 4, True), (4, 5, False), (5, 5, True), (6, 8, False), (7, 8, True), (12, 16, True),
     (11, 16, False)],
)  # fmt: skip
def test_how_many_votes_are_enough(k: int, n: int, passes: bool) -> None:
    assert _row(_task(_wrong("7", k), _right("5", n - k)))["suspect"] is passes


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_the_lower_bound_leaves_its_share_below(k: int, more: int, credible: float) -> None:
    """P(Beta(1 + k, 1 + n - k) <= x) = P(Binomial(n + 1, x) > k), summed term by term."""
    n = k + more
    x = share_low(k, n, credible)
    below = sum(comb(n + 1, j) * x**j * (1 - x) ** (n + 1 - j) for j in range(k + 1, n + 2))
    assert below == pytest.approx(1 - credible, abs=1e-9)


def test_answers_that_could_not_be_read_never_vote_but_count_as_judged() -> None:
    unread = _wrong("seven?", 9, "unreadable_answer") + _wrong(None, 9, "no_answer")
    row = _row(_task(unread))
    assert (row["suspect"], row["n_judged"], row["n_answers"]) == (False, 18, 0)
    assert row["majority_answer"] is None
    assert _row(_task(_wrong("7", 4), _wrong(None, 4, "no_answer")))["suspect"] is False
    unjudged = [Vote("unjudged", "7", "timeout")] * 9
    row = _row(_task(_wrong("7", 4), unjudged))
    assert (row["suspect"], row["n_judged"]) == (True, 4)


def test_a_task_without_a_reference_has_none_to_suspect() -> None:
    row = _row(_task(_wrong("7", 9), reference=None, verifier="format"))
    assert (row["suspect"], row["reason"], row["majority_answer"]) == (False, None, "7")


def test_what_a_judging_model_said_is_no_answer() -> None:
    said = _wrong('{"judge":"m","replies":[]}', 9)
    row = _row(_task(said, verifier="judge@1"))
    assert (row["suspect"], row["n_answers"], row["majority_answer"]) == (False, 0, None)


def test_a_verifier_that_is_gone_is_audited_by_text() -> None:
    assert _row(_task(_wrong("7", 9), verifier="gone@3"))["suspect"] is True


def test_spellings_of_a_number_are_one_answer() -> None:
    row = _row(_task(_wrong("1,700", 2), _wrong("1700", 2), _wrong("$1700.00"), _wrong(" 1700.")))
    assert (row["n_majority"], row["n_answers"], row["suspect"]) == (6, 1, True)
    assert row["majority_answer"] == "1,700"


def test_letters_of_choices_are_one_answer() -> None:
    votes = [_wrong(text) for text in ("(B)", "b", "B.", "[B]", r"\text{(B)}")]
    row = _row(_task(*votes, _wrong("C"), reference="A", verifier="choice@1"))
    assert (row["n_majority"], row["n_answers"]) == (5, 2)


def test_expressions_are_one_answer_where_the_verifier_says_so() -> None:
    task = _task(_wrong(r"\frac{x}{2}", 3), _wrong("x/2", 2), _wrong("0.5x"), reference="x")
    assert _row(task)["n_majority"] == 3
    asked = questions([task], CONFIG)
    assert ("0.5x", "x/2") in asked
    assert ("x/2", "0.5x") in asked
    assert len(asked) == 6
    (row,) = audit([task], CONFIG, {("0.5x", "x/2"), (r"\frac{x}{2}", "0.5x")}).to_pylist()
    assert (row["n_majority"], row["n_answers"], row["suspect"]) == (6, 1, True)
    assert row["majority_answer"] == r"\frac{x}{2}"


def test_nothing_is_asked_about_tasks_that_cannot_be_suspects() -> None:
    assert questions([_task(_wrong("x/2", 2), _wrong("y/2", 1))], CONFIG) == set()
    assert questions([_task(_wrong("x/2", 3), _wrong("y/2", 3), _right("5", 9))], CONFIG) == set()
    assert questions([_task(_wrong("7", 3), _wrong("8", 3))], CONFIG) == set()  # told apart already
    assert questions([_task(_wrong("7", 9), reference=None)], CONFIG) == set()


def test_another_verifier_is_checked_against_mathematics() -> None:
    task = _task(_wrong("2^{10}", 6), reference="1024", verifier="exact@1")
    assert ("1024", "2^{10}") in questions([task], CONFIG)
    (row,) = audit([task], CONFIG, {("1024", "2^{10}")}).to_pylist()
    assert (row["suspect"], row["reason"], row["doubt"]) == (False, "verifier_doubt", "mathematics")
    assert _row(task)["suspect"] is True


@pytest.mark.parametrize(
    ("reference", "answer", "reading"),
    [("0.5", "50%", "percent"), ("17", "16.67", "rounding"), ("1,2", "(1, 2)", "format")],
)
def test_the_reference_under_another_reading_is_no_suspect(
    reference: str, answer: str, reading: str
) -> None:
    row = _row(_task(_wrong(answer, 8), reference=reference))
    assert (row["suspect"], row["reason"], row["doubt"]) == (False, "verifier_doubt", reading)


def test_an_answer_judged_both_ways_is_the_verifiers_fault() -> None:
    row = _row(_task(_wrong("7", 9), _right("7 ")))
    assert (row["suspect"], row["doubt"]) == (False, "inconsistent")


def test_a_tie_goes_to_the_reference() -> None:
    row = _row(_task(_wrong("7", 4), _right("5", 4)), min_share=0.4)
    assert (row["majority_answer"], row["n_majority"], row["suspect"]) == ("5", 4, False)


def test_the_recipes_numbers_are_obeyed() -> None:
    task = _task(_wrong("7", 20), _right("5", 8))
    assert _row(task)["suspect"] is True
    assert _row(task, min_share=0.75)["suspect"] is False
    assert _row(task, min_votes=21)["suspect"] is False
    assert _row(task, credible=0.999)["suspect"] is False
    for bad in ({"min_votes": 1}, {"min_share": 0.0}, {"credible": 1.0}, {"share": 0.5}):
        with pytest.raises(ValidationError):
            AuditConfig.model_validate(bad)


def test_tables_in_tables_out() -> None:
    prompts = pa.table({"task_id": ["b", "a", "c"], "answer": ["5", None, "6"],
                        "verifier": ["math"] * 3})  # fmt: skip
    verdicts = pa.table({"task_id": ["b"] * 5, "verdict": ["wrong"] * 5,
                         "extracted": ["7", "7", "7", "7", None],
                         "detail": [None, None, None, None, "no_answer"]})  # fmt: skip
    tasks = tasks_of(prompts, verdicts)
    assert [task.task_id for task in tasks] == ["a", "b", "c"]
    found = audit(tasks, AuditConfig(credible=0.5))
    assert found.schema == schema.AUDIT
    assert found["n_judged"].to_pylist() == [0, 5, 0]
    assert found["majority_share"].to_pylist() == [None, 0.8, None]
    assert [row["task_id"] for row in suspects(found)] == ["b"]
    assert audit([], CONFIG).schema == schema.AUDIT


ANSWERS = ["7", "7.0", "8", "x/2", "0.5x", r"\frac{x}{2}", "12", None]
VOTES = st.lists(
    st.builds(
        Vote,
        st.sampled_from(["correct", "wrong", "wrong", "wrong", "unjudged"]),
        st.sampled_from(ANSWERS),
        st.sampled_from([None, None, None, "no_answer", "unreadable_answer"]),
    ),
    max_size=24,
)
EQUAL = st.sets(st.tuples(*[st.sampled_from(["x/2", "0.5x", r"\frac{x}{2}"])] * 2))


@settings(deadline=None)
@given(st.lists(VOTES, max_size=4), EQUAL, st.randoms(use_true_random=False))
def test_no_order_matters(
    given_: list[list[Vote]], equal: set[tuple[str, str]], rng: random.Random
) -> None:
    tasks = [AuditTask(str(at), "5", "math", votes) for at, votes in enumerate(given_)]
    shuffled = [
        AuditTask(task.task_id, "5", "math", rng.sample(list(task.votes), len(task.votes)))
        for task in tasks
    ]
    rng.shuffle(shuffled)
    assert audit(tasks, CONFIG, equal).equals(audit(shuffled, CONFIG, equal))
    assert questions(tasks, CONFIG) == questions(shuffled, CONFIG)


@settings(deadline=None)
@given(VOTES, EQUAL, st.integers(2, 6), st.sampled_from([0.3, 0.6, 0.9]))
def test_the_rule_by_hand(
    votes: list[Vote], equal: set[tuple[str, str]], min_votes: int, min_share: float
) -> None:
    """Against groups that grow until nothing more joins them, and a bound from a grid of shares."""
    judged = [v for v in votes if v.verdict != "unjudged"]
    read = [v.extracted for v in judged
            if v.verdict == "wrong" and v.detail is None and v.extracted]  # fmt: skip
    linked = equal | {(b, a) for a, b in equal} | {("7", "7.0"), ("7.0", "7")}
    groups = []
    for start in set(read):
        group = {start}
        while more := {b for a, b in linked if a in group and b in read} - group:
            group |= more
        groups.append(frozenset(group))
    counts = Counter({group: sum(text in group for text in read) for group in set(groups)})
    correct = sum(v.verdict == "correct" for v in judged)
    k = max(counts.values(), default=0)
    n = len(judged)
    config = AuditConfig(min_votes=min_votes, min_share=min_share)
    (row,) = audit([AuditTask("t", "5", "math", votes)], config, equal).to_pylist()
    assert row["n_judged"] == n
    assert row["n_agree_reference"] == correct
    assert row["n_majority"] == max(k, correct)
    assert row["n_answers"] == len(counts) + (correct > 0)
    # P(share <= 1/2) under Beta(1 + k, 1 + n - k), as whole numbers.
    half = Fraction(sum(comb(n + 1, j) for j in range(k + 1, n + 2)), 2 ** (n + 1))
    enough = k >= min_votes and k >= min_share * n - 1e-9 and half < Fraction(5, 100)
    also_right = {key(v.extracted, fold=False) for v in judged
                  if v.verdict == "correct" and v.extracted}  # fmt: skip
    if enough and k > correct:
        (best,) = [group for group, votes_ in counts.items() if votes_ == k]
        assert row["suspect"] is not bool(best & also_right)
        assert (row["doubt"] == "inconsistent") is bool(best & also_right)
    else:
        assert row["suspect"] is False


@pytest.mark.parametrize(
    ("reference", "answer", "reading"),
    [
        ("50%", "0.5", "percent"), ("0.5", r"50\%", "percent"), ("50 cents", "0.50", "percent"),
        ("17", "16.67", "rounding"), ("0.33", "1/3", "rounding"), ("3", "3.4", None),
        ("2.50", "2.5", "units"), ("1, 2", "(1,2)", "format"), ("2,1", "1, 2", "order"),
        ("(2,1)", "(1,2)", None), ("[0,1]", "(0,1)", None), ("12", "1,2", None),
        (r"\frac{1}{2}", "12", None), ("5 dollars", "5", "units"), ("5 km", "5 m", None),
        ("-5", "5", None), ("x-5", "5", None), (r"\sqrt{2}", "2", None), ("4", r"4\sqrt{2}", None),
        ("1,000", "1000", "format"), (r"\text{(B)}", "b", "format"), ("A", "B", None),
        ("2 1/2", "21/2", None), ("yes", "Yes.", "format"), ("1/2004!", "1/2006!", None),
        ("So 40 + 2.\n#### 42", "42 apples", "units"), ("", "", None), ("2516_8", "25168", None),
        ("50", "0.5", None), ("7", "8", None), ("no", "yes", None),
    ],
)  # fmt: skip
def test_readings(reference: str, answer: str, reading: str | None) -> None:
    assert doubt(reference, answer) == reading


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_read(one: str, other: str) -> None:
    assert doubt(one, other) in (None, "format", "units", "order", "percent", "rounding")
    for fold in (True, False):
        left, right = key(one, fold=fold), key(other, fold=fold)
        assert not is_open(left, left)
        assert is_open(left, right) == is_open(right, left)
        assert identity(left) == identity(right) or left != right


@settings(deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(0, 999))
def test_numbers_are_read_exactly(whole: int, thousandths: int) -> None:
    text = f"{whole:,}.{thousandths:03}"
    value = abs(whole) + Fraction(thousandths, 1000)
    value = -value if text.startswith("-") else value
    assert simple_number(text) == simple_number("$" + text) == value
    assert numbers(f"it is {text} or so") == [value]
    assert simple_number(text + "x") is None
