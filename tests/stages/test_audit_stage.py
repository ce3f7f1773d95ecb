"""The audit's stage: tables in, table out, once, with comparisons in real workers."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline import schema
from winnow.pipeline.verify.audit import suspects
from winnow.stages import audit
from winnow.stages.base import Context

REFERENCES = {"t0": "x", "t1": "42", "t2": "1/2"}
# Four spellings of one answer that only mathematics knows to be one; a right one; a percentage.
ANSWERS = {
    "t0": [
        ("wrong", r"\frac{y}{2}"),
        ("wrong", "y/2"),
        ("wrong", "0.5y"),
        ("wrong", r"y \cdot 1/2"),
    ],
    "t1": [("correct", "42")] * 5,
    "t2": [("wrong", r"50\%")] * 5,
}


def _tables() -> tuple[pa.Table, pa.Table]:
    prompts: list[dict[str, Any]] = [
        {
            "task_id": task, "prompt_id": task, "messages": [], "answer": reference,
            "verifier": "math", "verifier_args": "{}", "source": "s", "source_index": 0,
            "licence": None, "domain": None, "template_id": "t", "n_tokens": None, "meta": "{}",
        }
        for task, reference in REFERENCES.items()
    ]  # fmt: skip
    verdicts = [
        {
            "verdict_id": f"{task}/{at}", "rollout_id": f"{task}/{at}", "task_id": task,
            "verifier": "math@1", "verdict": verdict, "reward": float(verdict == "correct"),
            "parts": "{}", "extracted": extracted, "detail": None,
        }
        for task, answers in ANSWERS.items()
        for at, (verdict, extracted) in enumerate(answers)
    ]  # fmt: skip
    known = pa.schema([field for field in schema.VERDICTS if field.name != "seconds"])
    return (
        pa.Table.from_pylist(prompts, schema.PROMPTS),
        pa.Table.from_pylist(verdicts, known),
    )


def _context(folder: Path, audit_section: str = "") -> Context:
    (folder / "rows.jsonl").write_text('{"prompt": "p", "answer": "1"}\n')
    recipe = folder / "audited.yaml"
    recipe.write_text(
        f"dataset: d\nsources: [{{type: dataset, name: s, path: {folder / 'rows.jsonl'}}}]\n"
        f"verify: {{workers: 1}}\nsets: {{sft: {{uds: false}}}}\n{audit_section}"
    )
    return Context.of(recipe, folder / "home")


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    found = _context(tmp_path)
    prompts, verdicts = _tables()
    found.workspace.write("prompts", prompts, "p")
    found.workspace.write("verdicts", verdicts, "v")
    return found


def test_suspects_are_found_once(ctx: Context, tmp_path: Path) -> None:
    first = audit.run(ctx)
    assert not first.skipped
    assert first.counts == {
        "tasks": 3, "suspects": 1, "doubts": 1, "agreed": 3, "agreed_with_reference": 1,
    }  # fmt: skip
    assert first.cost["compared_here"] == 12
    table = ctx.workspace.read("audit")
    assert table.schema.remove_metadata() == schema.AUDIT.remove_metadata()
    (suspect,) = suspects(table)
    assert (suspect["task_id"], suspect["n_majority"], suspect["n_answers"]) == ("t0", 4, 1)
    again = audit.run(ctx)
    assert again.skipped
    assert again.data_version == first.data_version
    stricter = _context(tmp_path, "audit: {min_votes: 5}\n")
    assert audit.mark(stricter) != audit.mark(ctx)
    assert audit.run(stricter).counts["suspects"] == 0


def test_a_comparison_that_fails_is_no_agreement(ctx: Context) -> None:
    """Hostile answers are compared in workers, under the limit of a verdict."""
    hostile = {("(" * 5_000, "9**9**9**9**9"), ("9**9**9**9**9", "(" * 5_000)}
    assert audit.equal_ones(ctx, hostile) == set()
    assert audit.equal_ones(ctx, []) == set()
    assert audit.equal_ones(ctx, {("1/2", "0.5"), ("1/2", "0.6")}) == {("1/2", "0.5")}
