"""DRO's two stages and R3, against hand-worked cases and plain loops."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.pool import Ragged
from winnow.selectors.run import select
from winnow.selectors.verifier_free import dro
from winnow.selectors.verifier_free.dro import hardness, token_spread


def ragged(lists: list[list[float]]) -> Ragged:
    return Ragged(
        np.array([v for each in lists for v in each], float),
        np.cumsum([0, *map(len, lists)]).astype(np.int64),
    )


def answer(
    prompt: str, ranks: list[float], logprobs: list[float] | None = None, **more: Any
) -> dict[str, Any]:
    logprobs = [-1.0] * len(ranks) if logprobs is None else logprobs
    return {
        "prompt_id": prompt, "reference_ranks": ranks, "reference_logprobs": logprobs, **more
    }  # fmt: skip


def run(answers: list[dict[str, Any]], **parameters: Any) -> list[dict[str, Any]]:
    names = {name: None for each in answers for name in each}
    table = pa.Table.from_pylist(
        [{"row_id": f"r{at:03d}", **names, **a} for at, a in enumerate(answers)]
    )
    found: list[dict[str, Any]] = select("dro", table, **parameters).to_pylist()
    return found


class TestHardness:
    def test_the_worst_tenth_rounded_up(self) -> None:
        ranks = ragged([[float(i) for i in range(1, n + 1)] for n in (1, 10, 11, 20, 30)])
        assert hardness(ranks, 10.0).tolist() == [1, 10, 10.5, 19.5, 29]

    @given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=12), min_size=1, max_size=9),
           st.integers(1, 100))  # fmt: skip
    def test_against_sorting(self, lists: list[list[int]], rho: int) -> None:
        found = hardness(ragged([[float(v) for v in each] for each in lists]), float(rho))
        for each, h in zip(lists, found, strict=True):
            worst = sorted(each, reverse=True)[: max(1, -(-rho * len(each) // 100))]
            assert h == pytest.approx(math.fsum(worst) / len(worst))

    def test_the_default_is_a_tenth(self) -> None:
        assert run([answer("a", [30, 20, *[1] * 8])])[0]["hardness"] == 30
        assert run([answer("a", [30, 20, *[1] * 8])], rho=20.0)[0]["hardness"] == 25

    def test_the_best_answer_counts_and_k_is_inclusive(self) -> None:
        found = run([answer("a", [1, 900]), answer("a", [1, 50]), answer("b", [51, 1])], tail=0.0)
        assert [row["hardness"] for row in found] == [50, 50, 51]
        assert [row["reason"] for row in found] == ["selected", "selected", "too_hard"]
        assert [row["selected"] for row in run([answer("b", [51])], k=51.0)] == [True]


class TestReflection:
    def test_the_largest_spread_of_a_token(self) -> None:
        found = run([answer("a", [1, 1], [-1, -2]), answer("a", [1, 1], [-3, -2.5])], tail=0.0)
        assert found[0]["reflection"] == found[1]["reflection"] == 1.0  # n below, not n - 1

    def test_the_tail_is_dropped(self) -> None:
        answers = [answer(f"p{at}", [1], [-float(v)]) for at in range(8) for v in (1, 1 + at)]
        found = run(answers)
        assert [row["reason"] for row in found[::2]] == ["no_reasoning_effect"] * 2 + [
            "selected"
        ] * 6
        assert [row["rank"] for row in found[::2]] == [None, None, 10, 8, 6, 4, 2, 0]
        assert sum(row["selected"] for row in run(answers[:14])) == 12  # 7 prompts: 1.75 down to 1

    def test_only_what_passed_the_first_stage_is_in_the_tail(self) -> None:
        answers = [answer(f"p{at}", [1000 if at < 4 else 1], [-float(at)]) for at in range(8)]
        reasons = [row["reason"] for row in run(answers)]
        assert reasons == ["too_hard"] * 4 + ["selected"] * 3 + ["no_reasoning_effect"]

    def test_answers_that_agree_have_no_spread(self) -> None:
        found = run([answer("a", [1, 1], [-0.1, -0.3])] * 3, tail=0.0)
        assert [row["reflection"] for row in found] == [0, 0, 0]


class TestCarryOver:
    def answers(self) -> list[dict[str, Any]]:
        # Twenty prompts of the previous set, all too hard now, and one new one.
        old = [answer(f"p{at:02d}", [1000], previous=True) for at in range(20)]
        return [*old, answer("new", [1], previous=None)]

    def test_a_tenth_of_the_previous_set_stays(self) -> None:
        reasons = [row["reason"] for row in run(self.answers())]
        assert reasons.count("carried_over") == 2 and reasons.count("too_hard") == 18
        assert reasons[-1] == "selected"
        assert [row["reason"] for row in run(self.answers(), carry_over=0.0)].count(
            "too_hard"
        ) == 20

    def test_the_draw_is_seeded_and_goes_before_the_budget(self) -> None:
        draws = {
            tuple(
                row["row_id"] for row in run(self.answers(), seed=seed, budget=2) if row["selected"]
            )
            for seed in range(6)
        }
        assert len(draws) > 1 and not any("r020" in drawn for drawn in draws)


class TestReward:
    def test_by_hand(self) -> None:
        # sigma = (1, 0); masked -4 and -2: 1 * (-1 + 4), 1 * (-3 + 4).
        two = [
            answer("a", [1, 1], [-1, -2], reference_logprobs_masked=[-4.0, -2.0], answer_tokens=3),
            answer("a", [1, 1], [-3, -2], reference_logprobs_masked=[-4.0, -2.0], answer_tokens=2),
        ]
        assert [row["r3"] for row in run(two)] == [3 + 1 - 0.5, 1 + 1]
        assert [row["r3"] for row in run(two, b=2.0)] == [3 + 1 - 1.0, 1 + 1]
        for each in two:
            del each["answer_tokens"]
        assert [row["r3"] for row in run(two)] == [3, 1]

    def test_the_square_of_the_spread_can_weigh(self) -> None:
        # sigma = 2; masked -4: w * 3 and w * -1.
        two = [answer("a", [1], [v], reference_logprobs_masked=[-4.0]) for v in (-1.0, -5.0)]
        assert [row["r3"] for row in run(two)] == [6, -2]
        assert [row["r3"] for row in run(two, spread_weight="square")] == [12, -4]

    def test_without_masked_reasoning_the_bare_reference_stands_in(self) -> None:
        two = [
            answer("a", [1], [-1], reference_logprobs_alone=[-4.0]),
            answer("a", [1], [-3], reference_logprobs_alone=None),
        ]
        assert [row["r3"] for row in run(two)] == [3, None]
        for each in two:
            each["reference_logprobs_masked"] = [-5.0]
        assert [row["r3"] for row in run(two)] == [4, 2]

    def test_nothing_to_compare_with(self) -> None:
        assert run([answer("a", [1])])[0]["r3"] is None
        two = [answer("a", [1], [v], reference_logprobs_masked=[-math.inf]) for v in (-1.0, -2.0)]
        assert [row["r3"] for row in run(two)] == [None, None]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_against_plain_loops(data: st.DataObject) -> None:
    lengths = {p: data.draw(st.integers(1, 5)) for p in "abcde"}
    answers = []
    for prompt in data.draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=14)):
        n = lengths[prompt]
        floats = st.lists(st.floats(-9, 0), min_size=n, max_size=n)
        ranks = data.draw(st.lists(st.integers(1, 99).map(float), min_size=n, max_size=n))
        answers.append(
            answer(prompt, ranks, data.draw(floats), reference_logprobs_masked=data.draw(floats))
        )
    rho = data.draw(st.integers(1, 100))
    tail = data.draw(st.sampled_from([0, 10, 25, 50, 100]))
    groups = defaultdict(list)
    for at, each in enumerate(answers):
        groups[each["prompt_id"]].append(at)
    hard: dict[str, float] = {}
    sigmas: dict[str, list[float]] = {}
    for p, members in groups.items():
        means = []
        for i in members:
            worst = sorted(answers[i]["reference_ranks"])[-max(1, -(-rho * lengths[p] // 100)) :]
            means.append(math.fsum(worst) / len(worst))
        hard[p] = min(means)
        sigmas[p] = []
        for j in range(lengths[p]):
            column = [answers[i]["reference_logprobs"][j] for i in members]
            mean = math.fsum(column) / len(column)
            sigmas[p].append(math.sqrt(math.fsum((v - mean) ** 2 for v in column) / len(column)))
    passed = [p for p in groups if hard[p] <= 50]
    found = run(answers, rho=float(rho), tail=float(tail))
    for row, each in zip(found, answers, strict=True):
        p = each["prompt_id"]
        assert row["hardness"] == pytest.approx(hard[p])
        assert row["reflection"] == row["score"] == pytest.approx(max(sigmas[p]), abs=1e-9)
        r3 = math.fsum(
            s * (a - b)
            for s, a, b in zip(
                sigmas[p],
                each["reference_logprobs"],
                each["reference_logprobs_masked"],
                strict=True,
            )
        )
        assert row["r3"] == pytest.approx(r3, abs=1e-7)
        assert (row["reason"] == "too_hard") == (p not in passed)
    kept = {a["prompt_id"] for row, a in zip(found, answers, strict=True) if row["selected"]}
    assert len(kept) == len(passed) - len(passed) * tail // 100
    dropped = [max(sigmas[p]) for p in passed if p not in kept]
    assert not dropped or not kept or max(dropped) <= min(max(sigmas[p]) for p in kept) + 1e-9


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 9, 60)
    values = ragged([(-rng.random(2 + g % 3)).tolist() for g in group])
    spread, hard = token_spread(values, group), hardness(values, 50.0)
    monkeypatch.setattr(dro, "_BLOCK", 7)
    assert np.array_equal(token_spread(values, group).values, spread.values)
    assert np.array_equal(hardness(values, 50.0), hard)


def test_a_budget_can_keep_prompts_whole() -> None:
    answers = [answer("a", [1], [-1.0]), answer("a", [1], [-2.0]), answer("a", [1], [-3.0])]
    assert sum(row["selected"] for row in run(answers, budget=2)) == 2
    assert sum(row["selected"] for row in run(answers, budget=2, whole_prompts=True)) == 0


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (
            answer("a", [1, 1, 1]),
            "row 'r001': reference_logprobs: has another number of tokens than",
        ),
        (answer("a", [1], [-1, -1]), "row 'r001': reference_ranks: has another number of tokens"),
        (answer("a", [1, 0]), "row 'r001': reference_ranks: holds 0; ranks count from 1"),
        (answer("a", [1, 1], [-1, 2]), "row r001: reference_logprobs holds 2"),
        (answer("b", [], []), "row 'r001': reference_ranks: is empty"),
        (
            answer("a", [1, 1], reference_logprobs_masked=[-1.0, 2.0]),
            "row r001: reference_logprobs_masked holds 2",
        ),
        (
            answer("a", [1, 1], reference_logprobs_alone=[0.5, -1.0]),
            "row r001: reference_logprobs_alone holds 0.5",
        ),
        (
            answer("a", [1, 1], reference_logprobs_masked=[-1.0, -1.0], answer_tokens=-1),
            "row 'r001': answer_tokens: is below 0",
        ),
        (
            answer("a", [1, 1], reference_logprobs_masked=[-1.0]),
            "row 'r001': reference_logprobs_masked: has another number of tokens",
        ),
    ],
)
def test_values_that_do_not_fit_are_refused(odd: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run([answer("a", [1, 1]), odd])
