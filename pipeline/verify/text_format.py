"""The verifier `format`: whether an answer has the form that was asked for.

Three checks, each made where its argument asks for it, all of which must hold:

- `tags`: every block (`<think>...</think>`) stands there exactly once, in the given order, not inside
  of another, not empty, with nothing but white space around and between them. A mark that a text only
  mentions counts, as in the format rewards of DeepSeek-R1 and its followers (arXiv 2501.12948): what
  extracts the answer later could not tell the two apart.
- `is_json`: the text (of the last block, where there are blocks) is one JSON value, with no key twice
  and without NaN; with `json_schema`, one that the JSON schema allows.
- `pattern`: the whole text matches the regular expression.

Without any of them: `<think>` and `<answer>`. What the text says is not looked at.
"""

import re
from typing import Any

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.literals import NoLiteral, strict_json, unfenced

TAG = re.compile(r"[A-Za-z][\w.-]*")


class TextFormat:
    """Judges the form of an answer, not what it says; reward 1.0 or 0.0."""

    name = "format"
    version = "1"
    needs_answer = False

    class Arguments(arguments.Arguments):
        tags: list[str] | None = Field(
            default=None,
            description="Names of the blocks, in order; think and answer where nothing is asked for.",
        )
        around: bool = Field(
            default=False, description="Whether text may stand around and between the blocks."
        )
        empty: bool = Field(default=False, description="Whether a block may be empty.")
        is_json: bool = Field(
            default=False, description="The text, or the last block, must be JSON."
        )
        json_schema: dict[str, Any] | None = Field(
            default=None,
            description="The JSON schema (draft 2020-12) that it must meet; it may refer to itself "
            "only.",
        )
        fence: bool = Field(
            default=False, description="Whether the JSON may stand in a Markdown fence."
        )
        pattern: str | None = Field(
            default=None,
            description="The regular expression that the whole text must match (a dot matches line "
            "ends, too).",
        )
        prefix: str = Field(
            default="",
            description="What the chat template wrote before the completion, such as '<think>'.",
        )
        timeout_seconds: float = Field(
            default=1.0, gt=0, le=60, description="Seconds that matching the pattern may take."
        )

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge the form of `completion`. Parts are 1.0 or 0.0 for each check that was made."""
        args = self.Arguments.read(task.args)
        text = args.prefix + completion
        if not completion.strip():
            return Verdict("wrong", 0.0, detail="no_answer")
        tags = args.tags
        if tags is None and not (args.is_json or args.json_schema or args.pattern):
            tags = ["think", "answer"]
        try:
            found = _checked(text, tags or [], args)
        except TimeoutError:
            return Verdict.unjudged("timeout")
        parts = {check: float(problem is None) for check, problem in found.items()}
        problem = next((problem for problem in found.values() if problem), None)
        return Verdict(
            "wrong" if problem else "correct", float(problem is None), parts, None, problem
        )


def _checked(text: str, tags: list[str], args: TextFormat.Arguments) -> dict[str, str | None]:
    """For each check that is asked for, what is wrong. Raises BadArguments, TimeoutError."""
    found: dict[str, str | None] = {}
    value = text
    if tags:
        for tag in tags:
            if not TAG.fullmatch(tag):
                raise BadArguments(f"tags: {tag!r} is no name of a block")
        if len(set(tags)) < len(tags):
            raise BadArguments("tags: a block cannot stand there exactly once and twice")
        blocks, found["tags"] = read_blocks(text, tags, around=args.around, empty=args.empty)
        value = blocks.get(tags[-1], "")
    if args.is_json or args.json_schema is not None:
        found["json"] = _json_problem(value, args)
    if args.pattern is not None:
        found["pattern"] = None if _matches(text, args) else "pattern_differs"
    return found


def read_blocks(
    text: str, tags: list[str], *, around: bool = False, empty: bool = False
) -> tuple[dict[str, str], str | None]:
    """The blocks `tags` of `text`, and what is wrong with them (None where nothing is)."""
    blocks: dict[str, str] = {}
    at = 0
    for tag in tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        counts = text.count(opening), text.count(closing)
        if 0 in counts:
            return blocks, f"missing: {tag}"
        if counts != (1, 1):
            return blocks, f"repeated: {tag}"
        start, end = text.index(opening), text.index(closing)
        if start < at or end < start:
            return blocks, f"out_of_order: {tag}"
        if not around and text[at:start].strip():
            return blocks, "text_around"
        blocks[tag] = text[start + len(opening) : end]
        at = end + len(closing)
        if not empty and not blocks[tag].strip():
            return blocks, f"empty: {tag}"
    if not around and text[at:].strip():
        return blocks, "text_around"
    return blocks, None


def _json_problem(text: str, args: TextFormat.Arguments) -> str | None:
    try:
        value = strict_json(unfenced(text) if args.fence else text.strip())
    except NoLiteral:
        return "no_json"
    if args.json_schema is None:
        return None
    return None if _meets(value, args.json_schema) else "schema_differs"


def _meets(value: Any, schema: dict[str, Any]) -> bool:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        Draft202012Validator.check_schema(schema)
        # An empty registry: no schema is fetched from anywhere.
        return bool(Draft202012Validator(schema, registry=Registry()).is_valid(value))
    except SchemaError as error:
        raise BadArguments(f"json_schema: {error.message}") from None
    except Unresolvable as error:
        raise BadArguments(f"json_schema: {error} cannot be found inside of it") from None


def _matches(text: str, args: TextFormat.Arguments) -> bool:
    import regex

    try:
        pattern = regex.compile(args.pattern or "", regex.VERSION0 | regex.DOTALL)
    except (regex.error, RecursionError, OverflowError) as error:
        raise BadArguments(f"pattern: {error}") from None
    return pattern.fullmatch(text.strip(), timeout=args.timeout_seconds) is not None
