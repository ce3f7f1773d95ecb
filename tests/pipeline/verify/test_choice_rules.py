"""Every rule of the verifier `choice` is guarded: without it, a labelled pair comes out wrong."""

import re
from types import ModuleType
from typing import Any

import pytest

from winnow.pipeline.verify import choice, choice_mentions, extract, self_test

NEVER = re.compile(r"(?!)")
TABLES = [
    (choice, "COMMITMENTS"),
    (choice_mentions, "AFTER_LETTER"),
    (choice_mentions, "REJECTS_BEFORE"),
    (choice_mentions, "REJECTS_AFTER"),
]


def no(*args: Any, **kwargs: Any) -> bool:
    return False


def yes(*args: Any, **kwargs: Any) -> bool:
    return True


def test_all_rules_together_pass() -> None:
    assert self_test.run_here("choice").passed


@pytest.mark.parametrize(
    ("module", "name", "entry"),
    [
        pytest.param(module, name, entry, id=f"{name}-{entry[:30]!r}")
        for module, name in TABLES
        for entry in getattr(module, name)
    ],
)
def test_no_entry_of_a_table_is_dead(
    module: ModuleType, name: str, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tuple(item for item in getattr(module, name) if item != entry)
    monkeypatch.setattr(module, name, others)
    assert not self_test.run_here("choice").passed


RULES: list[tuple[Any, str, Any]] = [
    (choice, "_IS_RIGHT", NEVER),
    (choice, "_LABELLED", NEVER),
    (choice, "_ALONE", NEVER),
    (choice, "_SEVERAL", NEVER),
    (choice, "_REASONS", NEVER),
    (choice, "same_text", no),
    (choice, "_last_sentence", lambda line: line),
    (choice.Reader, "contradicts", no),
    (choice.Reader, "contradicts", yes),
    (choice.Reader, "last_commitment", lambda self, text, start: frozenset()),
    (choice.Reader, "closing", lambda self, text: (frozenset(), False)),
    (choice.Reader, "labelled", lambda self, letter, text: (frozenset({letter}), False)),
    (choice_mentions, "_is_letter", yes),
    (choice_mentions, "_is_rejected_before", no),
    (choice_mentions, "_is_rejected_after", no),
    (choice_mentions, "_AND", NEVER),
    (choice_mentions, "_ends", yes),
    (choice_mentions, "_ends", no),
    (choice_mentions, "_WRAPPED", NEVER),
    (choice_mentions, "same_number", no),
    (choice_mentions, "equivalent", no),
    (choice_mentions, "options_in", lambda text, options: []),
    (extract, "after_thinking", lambda text: text),
    (extract, "last_phrase", lambda text, start=0: None),
    (extract, "_last_box", lambda text: None),
]


@pytest.mark.parametrize(
    ("owner", "name", "instead"), RULES, ids=[f"{name}-{k}" for k, (_, name, _) in enumerate(RULES)]
)
def test_no_rule_is_unguarded(
    owner: Any, name: str, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(owner, name)
    for module in (choice, choice_mentions):
        if vars(module).get(name) is original:
            monkeypatch.setattr(module, name, instead)
    monkeypatch.setattr(owner, name, instead)
    assert not self_test.run_here("choice").passed
