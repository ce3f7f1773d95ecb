r"""The verifier `regex`: whether an answer matches a pattern.

The pattern is the argument `pattern`, or else the task's answer, in the syntax of the `regex`
package (a superset of Python's `re`). Patterns that take too long end after `timeout_seconds` and
leave the row unjudged (`timeout`); so does one that is no pattern, or that accepts every answer, such as
`.*` (`bad_reference`).
"""

from typing import Any, Literal

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import extract
from winnow.pipeline.verify.literals import spoken

Flag = Literal["ASCII", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE"]

_EVERYTHING = "".join(map(chr, range(0x250)))


class Regex:
    """Judges answers by a regular expression; reward 1.0 or 0.0."""

    name = "regex"
    version = "1"
    needs_answer = False

    class Arguments(arguments.Arguments):
        pattern: str | None = Field(
            default=None, description="The pattern; without one, the task's answer is the pattern."
        )
        match: Literal["search", "fullmatch"] = Field(
            default="search",
            description="search: the pattern occurs somewhere; fullmatch: it describes the whole text.",
        )
        flags: list[Flag] = Field(default=[], description="Flags, by their names in Python's re.")
        on: Literal["text", "answer"] = Field(
            default="text",
            description="text: all that is said behind the thoughts; answer: only the answer that is "
            "marked there (<answer>, \\boxed{}, ####, 'the answer is').",
        )
        timeout_seconds: float = Field(
            default=1.0, gt=0, le=60, description="Seconds that matching may take."
        )

    def warm(self) -> None:
        import regex  # noqa: F401

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge `completion` by the pattern."""
        args = self.Arguments.read(task.args)
        pattern = task.answer if args.pattern is None else args.pattern
        try:
            compiled = _compiled(pattern, args)
            if compiled is None:
                return Verdict.unjudged("bad_reference")
            text = _text(completion, args)
            if not text:
                return Verdict("wrong", 0.0, detail="no_answer")
            found = _match(compiled, text, args)
        except TimeoutError:
            return Verdict.unjudged("timeout")
        extracted = None if found is None else found.group()
        return Verdict(
            "wrong" if found is None else "correct", float(found is not None), extracted=extracted
        )


def _compiled(pattern: str | None, args: Regex.Arguments) -> Any | None:
    """The pattern; None where there is none, or none that can tell answers apart."""
    import regex

    if not pattern:
        return None
    flags = regex.VERSION0
    for name in args.flags:
        flags |= getattr(regex, name)
    try:
        compiled = regex.compile(pattern, flags)
    except (regex.error, RecursionError, OverflowError):
        return None
    return None if _accepts_everything(compiled, args) else compiled


def _accepts_everything(compiled: Any, args: Regex.Arguments) -> bool:
    """Whether it matches texts that have nothing in common: none, and every common character."""
    try:
        return all(_match(compiled, text, args) is not None for text in ("", _EVERYTHING))
    except TimeoutError:
        return False


def _text(completion: str, args: Regex.Arguments) -> str:
    said = spoken(completion)
    if args.on == "text":
        return said
    found = extract.find(said, tags=True)
    return found.text if found else ""


def _match(compiled: Any, text: str, args: Regex.Arguments) -> Any | None:
    """The match, or None. Raises TimeoutError."""
    method = getattr(compiled, args.match)
    return method(text, timeout=args.timeout_seconds)
