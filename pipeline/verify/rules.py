"""Verdicts that need no verifier."""

from winnow.pipeline.contracts import Verdict

TRUNCATED, NO_COMPLETION = UNFINISHED = ("truncated", "no_completion")  # details


def prejudge(finish_reason: str) -> Verdict | None:
    """The verdict that the finish reason alone decides, or None where a verifier must look.

    A truncated answer is unjudged whatever it holds: the same answer, finished, might have been
    right. Where there is no answer, there is nothing to judge.
    """
    if finish_reason == "length":
        return Verdict.unjudged(TRUNCATED)
    if finish_reason == "error":
        return Verdict.unjudged(NO_COMPLETION)
    return None
