"""The page of a diff: counts, reasons, settings, and rows side by side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.pipeline.publish.report.pages import read
from winnow.pipeline.publish.diff import diff
from winnow.pipeline.publish.report import write_diff
from winnow.pipeline.publish.version import Version

Publish = Callable[..., Version]


def test_what_came_and_went_and_why(
    tmp_path: Path, rows: Any, published: Publish, manifest: Any, recipe_text: str
) -> None:
    before = published(
        tmp_path / "demo",
        {"sft": {"train": rows["sft"](range(6))}},
        ledger=rows["ledger"](("task-7", "training_set/sft", "dropped", "uds", "0.2", "0.5")),
    )
    changed = rows["sft"](range(2, 3), "another answer")
    after = published(
        tmp_path / "demo",
        {"sft": {"train": changed, "holdout": rows["sft"](range(3, 9))}},
        manifest=manifest(recipe_text.replace("per_prompt: 2", "per_prompt: 3")),
        ledger=rows["ledger"](("task-0", "training_set/sft", "dropped", "pass_rate", "1.0", "0.9")),
    )
    page = read(write_diff(diff(before, after), tmp_path / "diff.html"))
    assert page.headings == ["What was changed", "sft"]
    assert "6 rows before, 7 after." in page.texts

    figure = page.figure("Came: the rule")
    labels = figure["layout"]["yaxis"]["ticktext"]
    counts = {
        trace["name"]: {label: x for label, x in zip(labels, trace["x"], strict=True) if x}
        for trace in figure["data"]
    }
    assert counts == {
        "came 3": {"its task is new in B": 2, "training_set/sft/uds": 1},
        "went 2": {"its task is gone in B": 1, "training_set/sft/pass_rate": 1},
        "changed 4": {"no recorded reason": 4},
    }
    for text in ("sets.sft.per_prompt", "2", "3", "3 rows came", "2 rows went", "4 rows changed",
                 "sft-000000: dropped by pass_rate, 1.0 (asked for: 0.9)",
                 "sft-000007: dropped by uds, 0.2 (asked for: 0.5)",
                 "sft-000001: its task is gone in B", "sft-000008: its task is new in B",
                 "sft-000003, train to holdout"):  # fmt: skip
        assert text in page.texts, text

    marked = [a for a in page.named("td") if "marked" in str(a.get("class"))]
    assert len(marked) == 2  # before and after of the one column that differs
    assert "user: Question 2 € \n'x'\nassistant: answer 2" in page.texts
    assert "user: Question 2 € \n'x'\nassistant: another answer 2" in page.texts


def test_nothing_changed(tmp_path: Path, rows: Any, published: Publish) -> None:
    version = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(3))}})
    page = read(write_diff(diff(version, version), tmp_path / "diff.html"))
    assert "No setting differs, and nothing else." in page.texts
    assert "3 rows before, 3 after. The same rows." in page.texts


def test_the_first_rows_are_listed(tmp_path: Path, rows: Any, published: Publish) -> None:
    a = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(100))}})
    b = published(tmp_path / "demo", {"preference": {"train": rows["preference"](range(3))}})
    page = read(write_diff(diff(a, b, limit=5), tmp_path / "diff.html"))
    assert page.headings == ["What was changed", "preference", "rl"]
    assert "100 rows went, the first 5" in page.texts
    assert len([text for text in page.texts if text.startswith("rl-0000")]) == 10  # title and id
