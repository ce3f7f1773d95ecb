"""A completion's reasoning with the reference in place of its answer (RLPR, DRO).

A well-formed completion has one block of reasoning and one of an answer behind it, each between
tags; the reasoning's opening tag may stand in the prompt. What is between the answer's tags is
replaced by the reference, behind a blank if the answer began with one (RLPR, as its authors' code
does; `blank` = False leaves it out, so that the reference has the same tokens in all answers to a
prompt, which DRO needs). A malformed one is scored all the same: its tail is cut and what is missing of the tags is
appended around the reference. How much is cut is not stated in the paper; here it is all from the
first tag that stands where it must not, or from where the answer's tags begin.
"""

from dataclasses import dataclass

from winnow.pipeline.errors import UsageError


@dataclass(frozen=True)
class Tags:
    """Opening and closing tag of the reasoning and of the answer."""

    think: str = "<think>"
    end_think: str = "</think>"
    answer: str = "<answer>"
    end_answer: str = "</answer>"

    @classmethod
    def parse(cls, text: str) -> "Tags":
        """From four tags with blanks between; raises UsageError for anything else."""
        found = text.split()
        if len(found) != 4 or len(set(found)) != 4:
            raise UsageError(f"{text!r}: not four different tags, such as {Tags().text!r}")
        return cls(*found)

    @property
    def text(self) -> str:
        return f"{self.think} {self.end_think} {self.answer} {self.end_answer}"


@dataclass(frozen=True)
class Reference:
    """The reference as it stands in a completion, with what stands before and after it."""

    before: str
    after: str
    well_formed: bool
    replaced: str | None = None  # the completion's own answer; None where it is malformed


def with_reference(completion: str, tags: Tags, *, blank: bool = True) -> Reference:
    """Where the reference goes in a completion."""
    counts = {tag: completion.count(tag) for tag in (tags.end_think, tags.answer, tags.end_answer)}
    closed = completion.find(tags.end_think)
    opened = completion.find(tags.answer)
    ended = completion.find(tags.end_answer)
    thinks = completion.count(tags.think)
    begins = completion.find(tags.think)
    if (
        all(count == 1 for count in counts.values())
        and thinks <= 1
        and begins < closed < opened < ended
    ):
        start = opened + len(tags.answer)
        lead = " " if blank and completion[start:ended].startswith(" ") else ""
        own = completion[start + len(lead) : ended]
        return Reference(completion[:start] + lead, completion[ended:], True, own)
    return Reference(_opened(completion, tags), tags.end_answer, False)


def directly(tags: Tags, *, tagged: bool) -> Reference:
    """The reference without any reasoning, directly after the prompt; `tagged`: in answer tags."""
    if tagged:
        return Reference(tags.answer, tags.end_answer, True)
    return Reference("", "", True)


def _opened(completion: str, tags: Tags) -> str:
    """The reasoning of a malformed completion, and the tags up to where an answer begins."""
    stray = [completion.find(tag) for tag in (tags.end_think, tags.answer, tags.end_answer)]
    begins = completion.find(tags.think)
    if begins >= 0:
        stray.append(completion.find(tags.think, begins + len(tags.think)))
    cut = min((at for at in stray if at >= 0), default=len(completion))
    return f"{completion[:cut]}{tags.end_think}{tags.answer}"
