"""The verifier `math`: final answers against a reference answer, in layers.

A finished answer with nothing to extract is wrong (`no_answer`); a reference that cannot be read
leaves every answer unjudged (`bad_reference`). An answer that says two different things is wrong
(`conflicting_answers`). The reference may be a bare answer, or a solution that ends in a box or in
`#### x`. No argument is used.

How an answer is found: `final_answer`. When two answers are equal: `equivalence`.
"""

from functools import lru_cache
from importlib.metadata import version

from winnow.pipeline.arguments import NoArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import extract
from winnow.pipeline.verify.equivalence import BadReference, UnreadableAnswer, equivalent
from winnow.pipeline.verify.final_answer import final_answer


class MathAnswer:
    """Judges mathematical final answers; reward 1.0 for correct, 0.0 for wrong."""

    name = "math"
    Arguments = NoArguments

    def __init__(self) -> None:
        # The library decides some of the verdicts, so its version is part of ours.
        self.version = f"2+math-verify{version('math-verify')}"

    def warm(self) -> None:
        equivalent(r"\frac{\sqrt{x}}{2}", r"\sqrt{x}/2")
        equivalent(r"\int_0^1 x dx", r"\frac{1}{2}")

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge `completion` against `task.answer`."""
        self.Arguments.read(task.args)
        if task.answer is None or not (reference := reference_answer(task.answer)):
            return Verdict.unjudged("bad_reference")
        found = final_answer(completion)
        answer = found.text
        try:
            if answer is None:
                equivalent(reference, reference)  # a bad reference says nothing about any answer
                return Verdict("wrong", 0.0, detail="no_answer")
            correct = equivalent(reference, answer)
            if correct and found.later is not None and not _agrees(reference, found.later):
                return Verdict("wrong", 0.0, {}, answer, "conflicting_answers")
        except BadReference:
            return Verdict.unjudged("bad_reference", answer)
        except (UnreadableAnswer, RecursionError):
            return Verdict("wrong", 0.0, extracted=answer, detail="unreadable_answer")
        return Verdict("correct" if correct else "wrong", float(correct), extracted=answer)


def _agrees(reference: str, later: str) -> bool:
    try:
        return equivalent(reference, later)
    except UnreadableAnswer:
        return True


@lru_cache(maxsize=4096)
def reference_answer(text: str) -> str:
    """The answer that a reference column holds: itself, or the marked end of a solution."""
    found = extract.find(text) if "boxed" in text or "####" in text else None
    return found.text if found and found.form in ("boxed", "hashes") else text.strip()
