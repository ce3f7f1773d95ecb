"""The report between two verifiers, against Cohen's own formula by hand and scikit-learn's."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.verify.disagreement import ROWS, VALUES, cohen_kappa, compare, lines

PAIRS = st.lists(st.tuples(st.sampled_from(VALUES), st.sampled_from(VALUES)), max_size=40)


def _table(verdicts: list[str], **columns: Any) -> pa.Table:
    return pa.table({"verdict": pa.array(verdicts, pa.string()), **columns})


def test_kappa_of_the_textbook() -> None:
    """50 proposals, two readers: 20 both yes, 15 both no, 5 and 10 apart. p_o = 0.7, p_e = 0.5."""
    counts = {("y", "y"): 20, ("y", "n"): 5, ("n", "y"): 10, ("n", "n"): 15}
    assert cohen_kappa(counts) == pytest.approx(0.4, abs=1e-15)


@pytest.mark.parametrize(
    ("counts", "kappa"),
    [
        ({}, None),
        ({("y", "y"): 7}, None),  # chance alone agrees fully
        ({("y", "n"): 7}, 0.0),
        ({("y", "y"): 3, ("n", "n"): 4}, 1.0),
        ({("y", "n"): 5, ("n", "y"): 5}, -1.0),
        ({("y", "y"): 25, ("y", "n"): 25, ("n", "y"): 25, ("n", "n"): 25}, 0.0),
    ],
)
def test_kappa_at_its_ends(counts: dict[tuple[str, str], int], kappa: float | None) -> None:
    assert cohen_kappa(counts) == kappa


@settings(deadline=None)
@given(PAIRS)
def test_counts_and_kappas_are_those_of_another_library(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    found = compare(_table([a for a, _ in pairs]), _table([b for _, b in pairs]))
    assert found.n == len(pairs)
    for (a, b), count in found.counts.items():
        assert count == pairs.count((a, b))
    both = [pair for pair in pairs if "unjudged" not in pair]
    assert found.n_both == len(both)
    for kept, share, kappa in (
        (both, found.agreement, found.kappa),
        (pairs, found.agreement_all, found.kappa_all),
    ):
        assert share == (sum(a == b for a, b in kept) / len(kept) if kept else None)
        same_throughout = len({value for pair in kept for value in pair}) < 2
        if same_throughout:
            assert kappa is None
        else:
            expected = cohen_kappa_score([a for a, _ in kept], [b for _, b in kept])
            assert kappa == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(PAIRS)
def test_every_row_that_differs_is_listed_once(pairs: list[tuple[str, str]]) -> None:
    one, two = _table([a for a, _ in pairs]), _table([b for _, b in pairs])
    found, turned = compare(one, two), compare(two, one)
    assert found.rows["row"].to_pylist() == [i for i, (a, b) in enumerate(pairs) if a != b]
    assert turned.kappa == found.kappa
    names = {"first": "second", "second": "first"}
    for row, other in zip(found.rows.to_pylist(), turned.rows.to_pylist(), strict=True):
        kinds = {old: old.replace("first", "x").replace("second", "first").replace("x", "second")
                 for old in [row["kind"]]}  # fmt: skip
        assert other["kind"] == kinds[row["kind"]]
        for old, new in names.items():
            assert other[f"{new}_verdict"] == row[f"{old}_verdict"]


def test_rows_carry_what_was_read_why_and_the_texts() -> None:
    first = _table(["correct", "wrong", "unjudged"], extracted=["1", None, "3"],
                   detail=[None, "no_answer", "timeout"])  # fmt: skip
    second = _table(["wrong", "wrong", "correct"])
    texts = pa.table({"completion": ["a", "b", "c"], "kind": ["x", "y", "z"]})
    found = compare(first, second, names=("math", "exact"), texts=texts)
    assert found.rows.to_pylist() == [
        {"row": 0, "kind": "first_accepts", "first_verdict": "correct", "second_verdict": "wrong",
         "first_extracted": "1", "second_extracted": None, "first_detail": None,
         "second_detail": None, "completion": "a", "kind_given": "x"},
        {"row": 2, "kind": "only_second_judges", "first_verdict": "unjudged",
         "second_verdict": "correct", "first_extracted": "3", "second_extracted": None,
         "first_detail": "timeout", "second_detail": None, "completion": "c", "kind_given": "z"},
    ]  # fmt: skip
    assert found.cross.to_pydict() == {
        "first": ["correct", "wrong", "unjudged"], "correct": [0, 0, 1], "wrong": [1, 1, 0],
        "unjudged": [0, 0, 0],
    }  # fmt: skip


def test_nothing_to_compare() -> None:
    found = compare(_table([]), _table([]))
    assert (found.n, found.agreement, found.kappa_all) == (0, None, None)
    assert found.rows.schema == ROWS
    assert "unknown" in "\n".join(lines(found))


def test_tables_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        compare(_table(["wrong"]), _table([]))
    with pytest.raises(ValueError, match="length"):
        compare(_table([]), _table([]), texts=pa.table({"a": ["x"]}))
    with pytest.raises(ValueError, match="not a verdict: Correct, None"):
        compare(_table(["Correct"]), pa.table({"verdict": pa.array([None], pa.string())}))


def test_the_words_quote_hostile_text_and_stop_at_their_limit() -> None:
    first = _table(["correct"] * 5, extracted=["\x1b[2J" + "x" * 100] * 5)
    second = _table(["wrong"] * 4 + ["correct"])
    text = "\n".join(lines(compare(first, second, names=("math", "exact")), limit=3))
    assert "math accepts what exact rejects: 4" in text
    assert "and 1 more" in text
    assert "\x1b" not in text
    assert "x" * 61 not in text
    assert "agreement 20.0%" in text
