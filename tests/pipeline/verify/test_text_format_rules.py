"""Every rule of the verifier `format` is guarded by at least one labelled pair."""

import json
import re
from typing import Any

import pytest

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.verify import self_test, text_format
from winnow.pipeline.verify.literals import NoLiteral

READ, BLOCKS, MEETS, MATCHES = (
    text_format.TextFormat.Arguments.read,
    text_format.read_blocks,
    text_format._meets,
    text_format._matches,
)
PROBLEM, CHECKED = text_format._json_problem, text_format._checked


def arguments_with(**changed: Any) -> Any:
    return lambda args: READ({**args, **changed})


def blocks_without(*problems: str) -> Any:
    """`read_blocks` that does not mind some problems."""

    def read(text: str, tags: list[str], **options: Any) -> Any:
        blocks, problem = BLOCKS(text, tags, **options)
        return blocks, None if problem and problem.partition(":")[0] in problems else problem

    return read


def counts_capitals(text: str, tags: list[str], **options: Any) -> Any:
    for tag in tags:
        text = text.replace(f"<{tag.upper()}>", f"<{tag}>").replace(
            f"</{tag.upper()}>", f"</{tag}>"
        )
        text = text.replace(f"<{tag.title()}>", f"<{tag}>").replace(
            f"</{tag.title()}>", f"</{tag}>"
        )
    return BLOCKS(text, tags, **options)


def in_any_order(text: str, tags: list[str], **options: Any) -> Any:
    problems = [BLOCKS(text, [tag], **{**options, "around": True})[1] for tag in tags]
    return {}, next((problem for problem in problems if problem), None)


def last_of_each(text: str, tags: list[str], **options: Any) -> Any:
    """`read_blocks` that looks at the last of each block only."""
    kept = "".join(text[text.rfind(f"<{t}>") : text.rfind(f"</{t}>")] + f"</{t}>" for t in tags)
    return BLOCKS(kept, tags, **options)


def plain_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise NoLiteral(str(error)) from None


def on_the_whole_text(text: str, tags: list[str], args: Any) -> Any:
    found = CHECKED(text, tags, args)
    if "json" in found:
        found["json"] = PROBLEM(text, args)
    return found


def first_block(text: str, tags: list[str], args: Any) -> Any:
    found = CHECKED(text, tags, args)
    if tags and "json" in found:
        found["json"] = PROBLEM(BLOCKS(text, tags)[0].get(tags[0], ""), args)
    return found


def only_first_check(text: str, tags: list[str], args: Any) -> Any:
    found = CHECKED(text, tags, args)
    return dict(list(found.items())[:1])


def only_last_check(text: str, tags: list[str], args: Any) -> Any:
    found = CHECKED(text, tags, args)
    return dict(list(found.items())[-1:])


def any_pattern(text: str, args: Any) -> bool:
    try:
        return MATCHES(text, args)
    except (BadArguments, TimeoutError):
        return False


def found_somewhere(text: str, args: Any) -> bool:
    import regex

    MATCHES(text, args)
    return regex.search(args.pattern, text, regex.DOTALL) is not None


def line_by_line(text: str, args: Any) -> bool:
    import regex

    return MATCHES(text, args) and regex.fullmatch(args.pattern, text) is not None


def any_schema(value: Any, schema: Any) -> bool:
    try:
        return MEETS(value, schema)
    except BadArguments:
        return False


RULES: dict[str, tuple[Any, str, Any]] = {
    "blocks are there": (text_format, "read_blocks", blocks_without("missing")),
    "blocks once": (text_format, "read_blocks", blocks_without("repeated")),
    "mentions count": (text_format, "read_blocks", last_of_each),
    "blocks in order": (text_format, "read_blocks", in_any_order),
    "blocks not inside of others": (text_format, "read_blocks", blocks_without("out_of_order")),
    "nothing around": (text_format, "read_blocks", blocks_without("text_around")),
    "text around where it may be": (
        text_format.TextFormat.Arguments,
        "read",
        arguments_with(around=False),
    ),
    "blocks are not empty": (text_format, "read_blocks", blocks_without("empty")),
    "empty blocks where they may be": (
        text_format.TextFormat.Arguments,
        "read",
        arguments_with(empty=False),
    ),
    "case": (text_format, "read_blocks", counts_capitals),
    "the blocks that are asked for": (
        text_format.TextFormat.Arguments,
        "read",
        lambda args: READ({k: v for k, v in args.items() if k != "tags"}),
    ),
    "the prefix": (text_format.TextFormat.Arguments, "read", arguments_with(prefix="")),
    "JSON": (text_format, "_json_problem", lambda text, args: None),
    "no key twice and no NaN": (text_format, "strict_json", plain_json),
    "no fence": (text_format.TextFormat.Arguments, "read", arguments_with(fence=True)),
    "a fence where it may be": (
        text_format.TextFormat.Arguments,
        "read",
        arguments_with(fence=False),
    ),
    "JSON in the last block": (text_format, "_checked", first_block),
    "JSON in a block, not around it": (text_format, "_checked", on_the_whole_text),
    "the schema": (text_format, "_meets", lambda *_: True),
    "the schema allows": (text_format, "_meets", lambda *_: False),
    "bad schemas": (text_format, "_meets", any_schema),
    "the pattern": (text_format, "_matches", lambda *_: True),
    "the whole text": (text_format, "_matches", found_somewhere),
    "dots match line ends": (text_format, "_matches", line_by_line),
    "bad patterns and time-outs": (text_format, "_matches", any_pattern),
    "every check": (text_format, "_checked", only_first_check),
    "every check, the first too": (text_format, "_checked", only_last_check),
    "names of blocks": (text_format, "TAG", re.compile(".*")),
}


def test_the_untouched_verifier_passes() -> None:
    score = self_test.run_here("format")
    assert score.passed
    assert min(score.accept, score.reject) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_pair_fails(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*RULES[rule])
    score = self_test.run_here("format")
    assert not score.passed
    missed = (*score.false_accepts, *score.false_rejects)
    # A rule is taken away, and nothing else broken.
    assert not any((miss.verdict.detail or "").startswith("verifier_error") for miss in missed)
