"""RLPR's reward and filter, against the published figures and plain loops."""

import math
import statistics
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.run import select
from winnow.selectors.verifier_free.rlpr import repeats, spread

LOGPROBS = st.lists(st.floats(-8, 0), min_size=1, max_size=4)


def logs(*probabilities: float) -> list[float]:
    return [math.log(p) for p in probabilities]


def rows(*answers: dict[str, Any]) -> pa.Table:
    """Answers with defaults; names are their places."""
    base = {"prompt_id": "p", "reference_logprobs_alone": logs(0.1)}
    return pa.Table.from_pylist(
        [{"row_id": f"r{at:03d}", **base, **answer} for at, answer in enumerate(answers)]
    )


def scored(probability: float, prompt: str = "p", **more: Any) -> dict[str, Any]:
    """An answer whose delta is probability - 0.1."""
    return {"prompt_id": prompt, "reference_logprobs": logs(probability), **more}


def run(table: pa.Table, **parameters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = select("rlpr", table, **parameters).to_pylist()
    return found


def test_the_vector() -> None:
    answer = {
        "reference_logprobs": logs(0.9, 0.5, 0.7),
        "reference_logprobs_alone": logs(0.4, 0.5, 0.3),
        "format_ok": True,
    }
    row = run(rows(answer))[0]
    assert row["pr"] == pytest.approx(0.7)
    assert row["pr0"] == pytest.approx(0.4)
    assert row["delta"] == pytest.approx(0.3)
    assert row["score"] == pytest.approx(0.37)


def test_a_loss_of_probability_counts_as_none() -> None:
    row = run(rows(scored(0.05, format_ok=False)))[0]
    assert row["delta"] == 0 and row["score"] == 0


def test_format_is_right_only_where_a_row_says_so_or_none_does() -> None:
    found = run(rows(*(scored(0.1, format_ok=form) for form in (True, None, False))))
    assert [row["score"] for row in found] == [pytest.approx(0.1), 0, 0]
    assert run(rows(scored(0.1)))[0]["score"] == pytest.approx(0.1)


def test_the_format_weight() -> None:
    row = run(rows(scored(0.6, format_ok=True)), format_weight=0.25)[0]
    assert row["score"] == pytest.approx(0.75 * 0.5 + 0.25)


class TestRepetition:
    PASSAGE = " ".join(f"w{i}" for i in range(10))

    def text(self, times: int) -> str:
        return " so ".join([self.PASSAGE] * times)

    def test_ten_times_is_repetition_and_nine_is_not(self) -> None:
        assert repeats(self.text(10))
        assert not repeats(self.text(9))

    def test_nine_words_are_too_few(self) -> None:
        nine = " ".join(f"w{i}" for i in range(9))
        assert not repeats(" ".join(f"{nine} x{i}" for i in range(30)))

    def test_spaces_and_underscores_separate_words(self) -> None:
        assert repeats(self.text(10).replace(" ", "_"))
        assert repeats(self.text(10).replace(" ", " _ "))
        for other in "-\n\t":
            assert not repeats(self.text(10).replace(" ", other))

    def test_separators_are_no_words(self) -> None:
        assert not repeats("name: " + "_" * 100)
        assert not repeats(" " * 100)

    def test_one_word_over_and_over(self) -> None:
        assert repeats("no " * 19)
        assert not repeats("no " * 18)

    def test_the_penalty(self) -> None:
        found = run(rows(scored(0.6, completion=self.text(10)), scored(0.6, completion="fine")))
        assert [row["score"] for row in found] == [pytest.approx(-0.45), pytest.approx(0.55)]
        assert found[0]["sigma"] == pytest.approx(statistics.stdev([-0.45, 0.55]))

    def test_a_score_of_0_is_penalised_unless_as_in_the_code(self) -> None:
        table = rows(scored(0.1, format_ok=False, completion=self.text(10)))
        assert run(table)[0]["score"] == -1
        assert run(table, penalty_at_zero=False)[0]["score"] == 0

    @given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 4), st.integers(2, 6))
    def test_against_counting_every_passage(self, found: list[str], words: int, times: int) -> None:
        passages = [tuple(found[i : i + words]) for i in range(len(found) - words + 1)]
        expected = any(passages.count(p) >= times for p in passages)
        assert repeats(" ".join(found), words, times) == expected

    def test_a_long_text_takes_no_square_of_time(self) -> None:
        assert not repeats(" ".join(f"a b c d e f g h i {i}" for i in range(100_000)))


class TestFilter:
    def test_one_answer_has_sigma_1(self) -> None:
        assert run(rows(scored(0.5)))[0]["sigma"] == 1

    def test_below_half_the_mean_is_dropped(self) -> None:
        # Sigmas s, s and x: the mean is (2 s + x) / 3, and x stays iff x >= (2 s + x) / 6.
        wide = [scored(p, name) for name in "ab" for p in (0.2, 0.8)]
        found = run(rows(*wide, scored(0.5, "c"), scored(0.62, "c")))
        assert [row["reason"] for row in found] == ["selected"] * 4 + ["low_std"] * 2
        sigma = [0.9 * 0.6 / math.sqrt(2)] * 2 + [0.9 * 0.12 / math.sqrt(2)]
        assert found[0]["sigma"] == pytest.approx(sigma[0])
        assert found[0]["threshold"] == pytest.approx(0.5 * statistics.fmean(sigma))
        assert [row["rank"] for row in found] == [0, 1, 2, 3, None, None]
        more = run(rows(*wide, scored(0.5, "c"), scored(0.8, "c")))
        assert all(row["selected"] for row in more)

    @pytest.mark.parametrize("prompts", [3, 5, 6, 7, 11, 13])
    def test_equal_sigmas_all_stay_at_beta_1(self, prompts: int) -> None:
        for high in (0.15, 0.23, 0.34, 0.47, 0.59, 0.71, 0.88):
            answers = [scored(p, f"p{at}") for at in range(prompts) for p in (0.12, high)]
            assert all(row["selected"] for row in run(rows(*answers), beta=1.0))

    def test_equal_scores_have_sigma_0_exactly(self) -> None:
        found = run(rows(*[scored(0.3)] * 3, scored(0.2, "q"), scored(0.9, "q")))
        assert [row["sigma"] for row in found[:3]] == [0, 0, 0]
        assert not found[0]["selected"]
        for score in (0.1, 0.28, 0.7):
            for n in range(2, 20):
                assert spread(np.full(n, score), np.zeros(n, np.int64)).tolist() == [0.0]

    def test_each_source_has_its_own_mean(self) -> None:
        wide = [scored(p, name, source="x") for name in "abc" for p in (0.15, 0.95)]
        narrow = [scored(p, "d", source="y") for p in (0.5, 0.6)]
        table = rows(*wide, *narrow)
        assert run(table)[-1]["selected"]
        assert run(table, per_source=False)[-1]["reason"] == "low_std"
        assert run(table, multipliers={"y": 2.1})[-1]["reason"] == "low_std"
        with pytest.raises(UsageError, match="source 'z'; there are: x, y"):
            run(table, multipliers={"z": 1.0})
        with pytest.raises(UsageError, match="multipliers: x: -0.5 is below 0"):
            run(table, multipliers={"x": -0.5})

    def test_prompts_with_the_largest_sigma_come_first(self) -> None:
        table = rows(
            scored(0.3, "a"), scored(0.8, "a"), scored(0.1, "b"), scored(0.9, "b"), scored(0.4, "a")
        )
        assert [row["rank"] for row in run(table)] == [2, 3, 0, 1, 4]
        assert [row["selected"] for row in run(table, budget=3)] == [True, False, True, True, False]
        whole = run(table, budget=3, whole_prompts=True)
        assert [row["selected"] for row in whole] == [False, False, True, True, False]

    def test_a_guessable_reference_is_flagged(self) -> None:
        row = scored(0.95) | {"reference_logprobs_alone": logs(0.9)}
        low = row | {"reference_logprobs_alone": logs(0.89)}
        assert [r["guessable"] for r in run(rows(row, low))] == [True, False]


class TestMovingAverage:
    def table(self, sigmas: dict[int, list[float]]) -> pa.Table:
        """Per step, prompts of two answers with these standard deviations."""
        answers = []
        for step, wanted in sigmas.items():
            for at, sigma in enumerate(wanted):
                high = 0.1 + sigma * math.sqrt(2) / 0.9
                answers += [scored(p, f"p{at}", step=step) for p in (0.1, high)]
        return rows(*answers)

    def test_the_average_starts_at_6_and_filters_from_11(self) -> None:
        sigmas = {t: [0.5, 0.1] for t in range(1, 11)} | {6: [0.5, 0.3], 11: [0.4, 0.02]}
        found = run(self.table(sigmas), threshold="ema")
        average = 0.4
        for step in range(7, 12):
            average = 0.99 * average + 0.01 * statistics.fmean(sigmas[step])
        by_step = defaultdict(list)
        for row, step in zip(found, [t for t in sigmas for _ in range(4)], strict=True):
            by_step[step].append(row)
        assert all(row["selected"] for step in range(1, 11) for row in by_step[step])
        assert all(row["threshold"] is None for step in range(1, 11) for row in by_step[step])
        assert by_step[11][0]["threshold"] == pytest.approx(0.5 * average, rel=1e-12)
        assert [row["selected"] for row in by_step[11]] == [True, True, False, False]

    def test_the_step_is_needed(self) -> None:
        with pytest.raises(UsageError, match="no column 'step'"):
            run(rows(scored(0.5)), threshold="ema")

    def test_a_prompt_of_two_steps_has_a_sigma_in_each(self) -> None:
        found = run(self.table({1: [0.1], 2: [0.3]}), threshold="ema")
        assert [row["sigma"] for row in found] == pytest.approx([0.1, 0.1, 0.3, 0.3])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"), LOGPROBS, LOGPROBS, st.sampled_from([True, False, None])
        ),
        min_size=1,
        max_size=14,
    ),
    st.floats(0, 1.5),
)
def test_against_plain_loops(
    answers: list[tuple[str, list[float], list[float], bool | None]], beta: float
) -> None:
    table = rows(*[
        {"prompt_id": p, "reference_logprobs": with_, "reference_logprobs_alone": alone,
         "format_ok": form, "source": "s" if p < "c" else "t"}
        for p, with_, alone, form in answers
    ])  # fmt: skip
    scores, groups = [], defaultdict(list)
    for at, (p, with_, alone, form) in enumerate(answers):
        pr = math.fsum(math.exp(v) for v in with_) / len(with_)
        pr0 = math.fsum(math.exp(v) for v in alone) / len(alone)
        scores.append(0.9 * max(0.0, pr - pr0) + 0.1 * (form is True))
        groups[p].append(at)
    sigma = {
        p: statistics.stdev([scores[i] for i in at]) if len(at) > 1 else 1.0
        for p, at in groups.items()
    }
    for at, row in enumerate(run(table, beta=beta)):
        p = answers[at][0]
        alike = [s for q, s in sigma.items() if (q < "c") == (p < "c")]
        limit = beta * statistics.fmean(alike)
        assert row["score"] == pytest.approx(scores[at], abs=1e-12)
        assert row["sigma"] == pytest.approx(sigma[p], abs=1e-9)
        assert row["threshold"] == pytest.approx(limit, abs=1e-9)
        if abs(sigma[p] - limit) > 1e-9:
            assert row["selected"] == (sigma[p] >= limit)


def test_an_empty_reference_is_refused() -> None:
    table = rows(scored(0.5), {"reference_logprobs": [-1.0], "reference_logprobs_alone": []})
    with pytest.raises(UsageError, match="row 'r001': reference_logprobs_alone: is empty"):
        run(table)


def test_a_probability_above_1_is_refused() -> None:
    with pytest.raises(UsageError, match="row r001: reference_logprobs holds 0.5"):
        run(rows(scored(0.5), {"reference_logprobs": [-1.0, 0.5]}))
    assert run(rows({"reference_logprobs": [1e-7]}))[0]["pr"] == 1
