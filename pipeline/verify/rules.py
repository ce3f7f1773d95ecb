"""Verdicts that need no verifier."""

from winnow.pipeline.contracts import Verdict


def prejudge(finish_reason: str) -> Verdict | None:
    """The verdict that the finish reason alone decides, or None where a verifier must look.

    A truncated answer is unjudged whatever it holds: the same answer, finished, might have been
    right. Where there is no answer, there is nothing to judge.
    """
    if finish_reason == "length":
        return Verdict.unjudged("truncated")
    if finish_reason == "error":
        return Verdict.unjudged("no_completion")
    return None
