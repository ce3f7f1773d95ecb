"""STAT-Sel: who is difficult, how often what is drawn, and what nobody covers."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.budget import read_budget
from winnow.selectors.pool import Pool, Ragged
from winnow.selectors.registry import get_selector
from winnow.selectors.rows import TableRows
from winnow.selectors.run import select_rows
from winnow.selectors.skills.stat_sel import draw, is_difficult


class Notes:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, step: Any) -> None:
        del step

    def note(self, text: str) -> None:
        self.notes.append(text)


def trained(*skills: str) -> dict[str, Any]:
    return {"skills": list(skills)}


def asked(*missing: str, **more: Any) -> dict[str, Any]:
    return {"missing_skills": list(missing), **more}


def run(
    rows: list[dict[str, Any]], budget: int | None = None, seed: int = 0, **parameters: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    names: dict[str, Any] = {"skills": None, "missing_skills": None}
    names |= {name: None for row in rows for name in row}
    types = {"step_scores": pa.list_(pa.float64()), "pass_rate": pa.float64()}
    table = pa.table(
        {
            "row_id": [f"r{at:03d}" for at in range(len(rows))],
            **{
                name: pa.array(
                    [row.get(name) for row in rows], types.get(name, pa.list_(pa.string()))
                )
                for name in names
            },
        }
    )
    notes = Notes()
    found = select_rows(
        get_selector("stat_sel"), TableRows(table), parameters=parameters,
        budget=read_budget(budget), seed=seed, columns={}, progress=notes,
    )  # fmt: skip
    return found.table.to_pylist(), notes.notes


class TestDifficulty:
    @pytest.mark.parametrize(
        ("scores", "difficult"),
        [
            ([0.9, 0.9, 0.86], False),
            ([0.99, 0.99, 0.85], True),  # last, inclusive
            ([0.75, 0.75, 0.86], True),  # mean 0.787
            ([0.85], True),
            ([0.86], False),
            ([0.99] * 9 + [0.7, 0.99], True),  # an earlier step, inclusive
            ([0.99] * 9 + [0.71, 0.99], False),
            ([], False),
        ],
    )
    def test_the_published_thresholds(self, scores: list[float], difficult: bool) -> None:
        found = is_difficult(Ragged(np.array(scores, float), np.array([0, len(scores)])))
        assert found.tolist() == [difficult]

    def test_the_third_test_is_of_earlier_steps_only(self) -> None:
        one = Ragged(np.array([0.6]), np.array([0, 1]))
        assert not is_difficult(one, tau1=0.5, tau2=0.7)[0]

    @given(st.lists(st.lists(st.sampled_from([0.5, 0.7, 0.75, 0.85, 0.9, 1.0]), max_size=5), max_size=6),
           st.sampled_from([0.6, 0.85]), st.sampled_from([0.7, 0.8]))  # fmt: skip
    def test_against_the_definition(
        self, rows: list[list[float]], tau1: float, tau2: float
    ) -> None:
        flat = np.array([v for row in rows for v in row], float)
        offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
        for row, found in zip(rows, is_difficult(Ragged(flat, offsets), tau1, tau2), strict=True):
            mean = math.fsum(row) / len(row) if row else math.inf
            if abs(mean - tau1) > 1e-9:
                assert found == (
                    bool(row)
                    and (row[-1] <= tau1 or mean <= tau1 or any(r <= tau2 for r in row[:-1]))
                )

    def test_only_difficult_questions_count(self) -> None:
        rows = [
            trained("a"), trained("b"), trained("c"),
            asked("a", step_scores=[0.9, 0.95]), asked("b", step_scores=[0.9, 0.8]),
            asked("c", step_scores=None),
        ]  # fmt: skip
        found, _ = run(rows)
        assert [r["draws"] for r in found] == [0, 1, 1, None, None, None]
        assert [r["difficult"] for r in found] == [None, None, None, False, True, True]
        assert [r["reason"] for r in found[3:]] == ["not_difficult", "question", "question"]
        assert run(rows, tau1=0.95)[0][0]["draws"] == 1
        edges = [[0.95, 0.85], [0.95, 0.86], [0.7, *[0.99] * 9], [0.71, *[0.99] * 9]]
        found, _ = run([trained("a"), *(asked("a", step_scores=scores) for scores in edges)])
        assert [r["difficult"] for r in found[1:]] == [True, False, True, False]
        loose, _ = run(rows, tau1=0.5, tau2=0.9)
        assert [r["difficult"] for r in loose[3:]] == [True, True, True]
        assert [r["difficult"] for r in run(rows, tau1=0.5, tau2=0.5)[0][3:]] == [
            False,
            False,
            True,
        ]


class TestDraws:
    def test_five_for_each_question_and_skill(self) -> None:
        rows = [trained("a")] * 50 + [trained("b")] * 50 + [asked("a")] * 40 + [asked("a", "b")]
        found, _ = run(rows)
        draws = [r["draws"] for r in found]
        assert sum(draws[:50]) == 41 * 5 and sum(draws[50:100]) == 5
        assert max(draws[50:100]) == 1, "distinct in one draw"
        assert [r["weight"] for r in found[:50]] == [float(d) for d in draws[:50]]
        assert [r["score"] for r in found[:50]] == [float(d) for d in draws[:50]]
        assert sum(r["draws"] for r in run(rows, draws=3)[0][:50]) == 41 * 3

    def test_a_skill_with_few_questions(self) -> None:
        found, _ = run([trained("a")] * 2 + [asked("a")] * 7)
        assert [r["draws"] for r in found[:2]] == [7, 7]

    def test_a_skill_named_twice_counts_once(self) -> None:
        found, _ = run([trained("a", "a"), asked("a", "a")])
        assert found[0]["draws"] == 1

    def test_one_question_for_two_skills(self) -> None:
        found, _ = run([trained("b", "a"), trained("b"), trained("c"), trained(), asked("a", "b")])
        assert [r["draws"] for r in found[:4]] == [2, 1, 0, 0]
        assert [r["drawn_for"] for r in found[:4]] == [["a", "b"], ["b"], None, None]
        reasons = [r["reason"] for r in found]
        assert reasons == ["selected", "selected", "skill_not_missing", "no_skills", "question"]

    def test_each_draw_is_told(self) -> None:
        found, _ = run([trained("b", "a"), trained("b"), trained("c"), asked("a", "b"), asked("b")])
        assert found[0]["drawn_for"] == ["a", "b", "b"]
        assert found[0]["from_question_id"] == ["r003", "r003", "r004"]
        assert found[1]["from_question_id"] == ["r003", "r004"]
        draws = zip(found[0]["draw_index"][1:], found[1]["draw_index"], strict=True)
        assert found[0]["draw_index"][0] == 0 and all({a, b} == {0, 1} for a, b in draws)
        for name in ("drawn_for", "from_question_id", "draw_index"):
            assert found[2][name] is found[3][name] is None

    def test_every_question_of_a_skill_is_drawn_equally_often(self) -> None:
        wanted = {"a": np.arange(4000)}
        there = {"a": np.arange(4000, 4008)}
        pool = Pool([str(i) for i in range(4008)], {})
        rows = draw(pool, wanted, there, 5).row
        counts = np.bincount(rows - 4000)
        assert counts.sum() == 20_000 and abs(counts - 2500).max() < 4 * math.sqrt(
            4000 * 5 / 8 * 3 / 8
        )
        together = {frozenset(five) for five in rows.reshape(4000, 5).tolist()}
        assert all(len(five) == 5 for five in together) and len(together) == math.comb(8, 5)

    def test_one_more_skill_changes_no_draw_of_another(self) -> None:
        rows = [trained("b")] * 40 + [asked("b")] * 3
        first, _ = run(rows)
        second, _ = run([*rows, trained("a"), asked("a")])
        assert [r["draws"] for r in first[:40]] == [r["draws"] for r in second[:40]]

    def test_the_seed(self) -> None:
        rows = [trained("a")] * 40 + [asked("a")]
        picked = [tuple(r["draws"] for r in run(rows, seed=seed)[0]) for seed in (0, 0, 1)]
        assert picked[0] == picked[1] != picked[2]

    def test_a_cap_on_a_skill(self) -> None:
        rows = [trained("a")] * 9 + [trained("b")] * 9 + [asked("a")] * 10 + [asked("b")]
        found, notes = run(rows, max_per_skill=12)
        assert sum(r["draws"] for r in found[:9]) == 12
        assert sum(r["draws"] for r in found[9:18]) == 5
        assert sum(r["draws"] for r in run(rows, max_per_skill=49)[0][:9]) == 49
        assert notes == ["stat_sel: 17 draws; of each skill: 'a' 12 (70.6 %), 'b' 5 (29.4 %)"]

    def test_a_question_is_no_training_row(self) -> None:
        found, _ = run([asked("a", skills=["a"]), trained("a")])
        assert [r["draws"] for r in found] == [None, 1]
        assert [r["selected"] for r in found] == [False, True]


class TestBudget:
    def test_rows_drawn_often_are_kept_and_weigh_their_draws(self) -> None:
        rows = [trained("a")] + [trained("b")] * 100 + [asked("a")] * 60 + [asked("b")] * 3
        kept = 0
        for seed in range(20):
            found, _ = run(rows, budget=5, seed=seed)
            assert sum(r["selected"] for r in found) == 5
            kept += found[0]["selected"]
            if found[0]["selected"]:
                assert found[0]["weight"] == 60
            assert Counter(r["reason"] for r in found)["not_drawn"] >= 85
        assert kept >= 19

    def test_the_subset_is_a_draw(self) -> None:
        rows = [trained("a")] * 5 + [asked("a")]
        kept = [[r["selected"] for r in run(rows, budget=2, seed=seed)[0]] for seed in range(5)]
        assert all(sum(each) == 2 for each in kept) and any(each != kept[0] for each in kept)

    def test_only_drawn_rows_qualify(self) -> None:
        found, _ = run([trained("a")] * 9 + [asked("a")], budget=8)
        assert sum(r["selected"] for r in found) == 5
        assert Counter(r["reason"] for r in found) == {"selected": 5, "not_drawn": 4, "question": 1}


class TestCoverage:
    def test_a_skill_without_a_training_question(self) -> None:
        found, notes = run([trained("a"), asked("a", "x", "y"), asked("x"), asked("a")])
        assert [r["uncovered"] for r in found] == [None, ["x", "y"], ["x"], []]
        assert notes[0] == (
            "stat_sel: 2 missing skills have no training question (questions that miss them): "
            "'x' (2), 'y' (1)"
        )

    def test_labels_outside_the_catalogue_are_ignored_and_told(self) -> None:
        rows = [trained("a", "z"), trained("z"), asked("a", "z"), asked("z")]
        found, notes = run(rows, catalogue=["a", "b"])
        assert [r["draws"] for r in found[:2]] == [1, 0]
        assert [r["reason"] for r in found] == ["selected", "no_skills", "question", "question"]
        assert [r["uncovered"] for r in found[2:]] == [[], []]
        assert notes[:2] == [
            "stat_sel: missing_skills: labels outside the catalogue, ignored: 'z' (2)",
            "stat_sel: skills: labels outside the catalogue, ignored: 'z' (2)",
        ]

    def test_no_difficult_question(self) -> None:
        found, notes = run([trained("a"), asked("a", step_scores=[1.0])])
        assert not any(r["selected"] for r in found)
        assert notes == ["stat_sel: no difficult validation question, so nothing is drawn"]


def test_a_label_that_is_null_is_refused() -> None:
    with pytest.raises(UsageError, match="row 'r001': skills: holds something that is no text"):
        run([trained("a"), {"skills": ["a", None]}])


@pytest.mark.parametrize("score", [math.nan, -0.1, 1.5, math.inf])
def test_a_score_outside_0_to_1_is_refused(score: float) -> None:
    with pytest.raises(UsageError, match=f"row 'r001': step_scores: holds {score}, but"):
        run([asked("a", step_scores=[0.5]), asked("a", step_scores=[0.5, score])])
    run([asked("a", step_scores=[0.0, 1.0])])


def test_a_pass_rate_stands_in_for_the_scores() -> None:
    rows = [
        trained("a") | {"pass_rate": 0.0},
        asked("a", pass_rate=0.85, step_scores=[0.99]),
        asked("a", pass_rate=0.875, step_scores=[0.1]),
        asked("a", pass_rate=None, step_scores=[0.1]),
        asked("a", pass_rate=None, step_scores=[0.99]),
        asked("a", pass_rate=None),
    ]
    found, _ = run(rows)
    assert [r["difficult"] for r in found] == [None, True, False, True, False, True]
    assert [r["difficult"] for r in run(rows, tau1=0.9)[0]][1:3] == [True, True]
    with pytest.raises(UsageError, match="row r000: pass_rate"):
        run([asked("a", pass_rate=1.5)])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=3), min_size=1, max_size=12),
    st.lists(st.lists(st.sampled_from("abcde"), max_size=3), min_size=1, max_size=8),
    st.integers(1, 6),
    st.none() | st.integers(1, 9),
)
def test_the_number_of_draws(
    training: list[list[str]], questions: list[list[str]], draws: int, cap: int | None
) -> None:
    rows = [trained(*skills) for skills in training] + [asked(*missing) for missing in questions]
    found, _ = run(rows, draws=draws, max_per_skill=cap)
    total = 0
    for skill in "abcde":
        there = sum(skill in skills for skills in training)
        count = sum(skill in missing for missing in questions) * min(draws, there)
        total += count if cap is None else min(count, cap)
    assert sum(r["draws"] or 0 for r in found) == total
    missing_somewhere = {skill for missing in questions for skill in missing}
    for skills, row in zip(training, found, strict=False):
        assert set(row["drawn_for"] or ()) <= set(skills) & missing_somewhere
        assert row["selected"] == (row["draws"] > 0) == (row["drawn_for"] is not None)
        for name in ("drawn_for", "from_question_id", "draw_index"):
            assert len(row[name] or ()) == row["draws"]
