r"""The verifier `exact`: an answer that is, character for character, the reference.

What is compared: the answer that the completion marks, in the order of `extract` (`<answer>` tags,
`\boxed{}`, `#### x`, "the answer is x"); without a mark, all that is said behind the thoughts, and of
several lines the last one where the reference has only one. Markdown and quotes around all of it are
no part of it (unless the reference has them), nor is the full stop behind "the answer is x".

Both sides are compared in Unicode's composed form with straight quotes, without white space around
them. `case`, `whitespace` and `punctuation` say what else does not matter.
"""

import json

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import extract
from winnow.pipeline.verify.literals import spoken
from winnow.pipeline.verify.plain_text import (
    bare,
    one_space,
    one_spelling,
    without_latex_text,
    without_punctuation,
)


class Exact:
    """Judges answers that must equal the reference as text; reward 1.0 or 0.0."""

    name = "exact"
    version = "1"

    class Arguments(arguments.Arguments):
        several: bool = Field(
            default=False,
            description="The answer is a JSON list of texts, each of which is accepted.",
        )
        case: bool = Field(default=True, description="Whether upper and lower case differ.")
        whitespace: bool = Field(
            default=False,
            description="Whether white space inside of the text must be the same; if not, every run "
            "of it is one space.",
        )
        punctuation: bool = Field(
            default=True, description="Whether punctuation must be the same; if not, it is dropped."
        )
        whole: bool = Field(
            default=False,
            description="Compare all that is said behind the thoughts, and look for no marked answer.",
        )

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge `completion` against `task.answer`."""
        args = self.Arguments.read(task.args)
        wanted = references(task.answer, args.several)
        # A reference of which the comparison drops everything would accept every such answer.
        keys = {key for text in wanted if (key := _key(text, args))}
        if not wanted or len(keys) == 0:
            return Verdict.unjudged("bad_reference")
        answer = stated(completion, wanted, whole=args.whole)
        if not answer:
            return Verdict("wrong", 0.0, detail="no_answer")
        correct = _key(answer, args) in keys
        return Verdict("correct" if correct else "wrong", float(correct), extracted=answer)


def references(answer: str | None, several: bool) -> list[str]:
    """The accepted texts; none where the reference is empty or not what `several` says."""
    if answer is None or not answer.strip():
        return []
    if not several:
        return [answer.strip()]
    try:
        texts = json.loads(answer)
    except (ValueError, RecursionError):
        return []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return []
    return [text.strip() for text in texts if text.strip()]


def stated(completion: str, wanted: list[str], *, whole: bool = False) -> str:
    """What `completion` answers, shaped like the references (see the module); may be empty."""
    said = spoken(completion)
    one_line = all("\n" not in text for text in wanted)
    found = None if whole else extract.find(said, tags=True)
    if found is not None and found.form == "phrase":
        text = extract.first_sentence(found.text) if one_line else found.text
        return _unwrapped(_without_end(text, wanted), wanted)
    if found is not None:
        return _unwrapped(found.text, wanted)
    if one_line and not whole:
        said = extract.last_line(extract.unwrapped(said))
    return _unwrapped(said, wanted)


def _without_end(text: str, wanted: list[str]) -> str:
    """Without the full stop of its sentence, and Markdown that began before "the answer is"."""
    text = _without_full_stop(text.strip(), wanted)
    for mark in ("**", "__", "*", "_", "`"):
        began_before = text.endswith(mark) and mark not in text.removesuffix(mark)
        if began_before and not any(reference.endswith(mark) for reference in wanted):
            text = _without_full_stop(text.removesuffix(mark), wanted)
    return text


def _without_full_stop(text: str, wanted: list[str]) -> str:
    if any(reference.endswith(".") for reference in wanted):
        return text
    for end in (".**", ".*", ".`", '."'):  # "**Paris.**"
        if text.endswith(end):
            return text.removesuffix(end) + end[1:]
    return text.removesuffix(".")


def _unwrapped(text: str, wanted: list[str]) -> str:
    """Without wrappers, unless a reference has them."""
    text = text.strip()
    if any(bare(reference) != reference for reference in wanted):
        return text
    if "\n" in text or text.startswith("```"):
        text = extract.unwrapped(text)
    if not any("\\" in reference for reference in wanted):
        text = without_latex_text(text)
    return bare(text)


def _key(text: str, args: Exact.Arguments) -> str:
    text = one_spelling(text)
    if not args.case:
        text = text.casefold()
    if not args.punctuation:
        text = without_punctuation(text)
    return text.strip() if args.whitespace else one_space(text)
