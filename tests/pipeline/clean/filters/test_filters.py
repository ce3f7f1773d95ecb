from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from winnow.pipeline import schema
from winnow.pipeline.clean.filters import Drop, FiltersConfig, check, filter_prompts, strip_residue
from winnow.pipeline.clean.filters.length import repetition
from winnow.pipeline.clean.filters.licence import unlicensed
from winnow.pipeline.clean.filters.personal_data import personal_data
from winnow.pipeline.clean.filters.residue import residue
from winnow.pipeline.clean.filters.unicode import broken_unicode

DATA = Path(__file__).parents[4] / ".." / "shared" / "data"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("What is \ufffd2?", "replacement_character"),
        ("a\x00b", "control_character"),
        ("a\x85b \ud800", "control_character"),
        ("The cafÃ© is open. Itâ€™s nice.", "mojibake"),
    ],
)
def test_broken_characters(text: str, rule: str) -> None:
    drop = broken_unicode(text)
    assert drop is not None
    assert drop.rule == rule
    assert "\ud800" not in (drop.detail or "")


@pytest.mark.parametrize(
    "text",
    [
        "Line one.\r\n\tLine two.\x0c",
        "café “quoted” — naïve Ångström",
        "∀ε>0 ∃δ: |x−a|<δ ⇒ |f(x)−L|<ε",
        "👩\u200d🔬 and 日本語, العربية, हिन्दी",
        "x² + ½ ≤ π·√2 °C ™",
        "SÃO PAULO",
    ],
)
def test_meant_characters_stay(text: str) -> None:
    assert broken_unicode(text) is None


RESIDUES = [
    ("<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n", "template_token"),
    ("<s>[INST] What is 2+2? [/INST]", "template_token"),
    ("[INST] <<SYS>>\n<</SYS>>What is 2+2? [/INST]", "template_token"),
    ("<|start_header_id|>user<|end_header_id|>\n\nWhat is 2+2?<|eot_id|>", "template_token"),
    ("<start_of_turn>user\nWhat is 2+2?<end_of_turn>\n<start_of_turn>model\n", "template_token"),
    ("What is 2+2?<|endoftext|>", "template_token"),
    ("<｜User｜>What is 2+2?<｜Assistant｜>", "template_token"),
    ("What is 2+2?</s>", "template_token"),
    ("### Human: What is 2+2?### Assistant:", "template_section"),
    ("### Instruction:\nWhat is 2+2?\n\n### Response:\n", "template_section"),
    ("User: What is 2+2?\nAssistant:", "role_prefix"),
    ("Human: What is 2+2?", "role_prefix"),
    ("What is 2+2?\n\nAssistant:", "role_prefix"),
]


@pytest.mark.parametrize(("text", "rule"), RESIDUES)
def test_residue(text: str, rule: str) -> None:
    drop = residue(text)
    assert drop is not None
    assert drop.rule == rule
    assert strip_residue(text) == "What is 2+2?"


@pytest.mark.parametrize(
    "text",
    [
        "What is <psi|phi>, or <|x|>?",
        "Is a <| b |> c legal in F#?",
        "Mark <s>old</s> as struck out in HTML",
        "Continue the talk.\nUser: hello\nAssistant: hi\nUser: who are you?",
        "# Heading\n## Method\n### Response times\nShorten this.",
        "The user: what does he want?",
        "List[INSTANCE] and [INSTALL]",
        "An AI: friend or foe?",
        "Write about\n### Response: how it went",
    ],
)
def test_what_only_looks_like_residue_stays(text: str) -> None:
    assert residue(text) is None
    assert strip_residue(text) == text


PIECES = st.sampled_from(
    [
        *str.split(
            "<|im_start|> <|im_end|> [INST] <s> </s> user Human: ### Response: \n | > x <|im_", " "
        )
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_stripping_leaves_nothing_behind(text: str) -> None:
    assert residue(strip_residue(text)) is None


def kinds(text: str, region: str | None = None) -> str | None:
    drop = personal_data(text, ("email", "iban", "card", "ip", "ssn", "phone"), region)
    return drop.value if drop else None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write to jane.roe@winnow-mail.de today", "email"),
        ("IBAN GB82 WEST 1234 5698 7654 32", "iban"),  # the standard's own example
        ("IBAN: DE89370400440532013000", "iban"),
        ("card 4111 1111 1111 1111? no: 4012 8888 8888 1881", "card"),
        ("378282246310005", "card"),
        ("server at 93.184.216.34:80", "ip"),
        ("SSN 536-90-4399", "ssn"),
        ("call +44 20 7946 0958 now", "phone"),
        ("call +1 (650) 253-0000", "phone"),
    ],
)
def test_personal_data(text: str, kind: str) -> None:
    assert kinds(text) == kind


def test_national_numbers_need_their_country() -> None:
    assert kinds("call (650) 253-0000", "US") == "phone"
    assert kinds("call (650) 253-0000") is None


@pytest.mark.parametrize(
    "text",
    [
        "Compute 650 - 253 - 1000 and 123-45-6789 by hand",
        "What is 4111 1111 1111 1112 + 1?",  # no check digit
        "user@example.com, a@b.test",
        "5 @ 3.50 each, x@y",
        "192.168.0.1, 127.0.0.1, 10.1.2.3, 203.0.113.9",
        "version 1.2.3.4 of section 5.6.7.8",
        "GB82 WEST 1234 5698 7654 33",
        "Let n = 1234567890123456.",
        "The sequence 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144",
        "0.4111111111111111",
        "+ 12345 - 67890 = ?",
        "In 1914-1918 and 1939-1945",
        "3+44207946095=x",
    ],
)
def test_numbers_of_nobody(text: str) -> None:
    assert kinds(text, "US") is None


def test_the_ledger_never_holds_the_data() -> None:
    drop = personal_data("mail jane.roe@winnow-mail.de", ("email",))
    assert drop == Drop("personal_data", "email", "0", "1 found, such as xxxx.xxx@xxxxxx-xxxx.xx")


@pytest.mark.parametrize(
    ("licence", "rule"),
    [
        ("MIT", None),
        (" apache-2.0 ", None),
        ("cc-by-nc-4.0", "licence_denied"),
        ("cc-by-4.0", "licence_not_allowed"),
        (None, "licence_unknown"),
        ("", "licence_unknown"),
        ("unknown", "licence_unknown"),
    ],
)
def test_licences(licence: str | None, rule: str | None) -> None:
    drop = unlicensed(licence, ("mit", "Apache-2.0", "cc-by-nc-4.0"), ("CC-BY-NC-4.0",), "drop")
    assert (drop.rule if drop else None) == rule


def test_any_licence_will_do_where_none_is_asked_for() -> None:
    assert unlicensed(None, None, (), "keep") is None
    assert unlicensed("anything", None, (), "drop") is None


def test_repetition() -> None:
    ten = "one two three four five six seven eight nine ten"
    assert repetition(ten) == 0
    assert repetition(f"{ten} {ten}") == 0.5
    assert repetition("a " * 100) == 0.99  # only the first word was not there before
    assert repetition("") == 0


def rule(text: str, **keys: Any) -> str | None:
    drop = check([text], FiltersConfig(**keys), n_tokens=len(text))
    return drop.rule if drop else None


def test_lengths_include_their_bounds() -> None:
    assert rule("abc de", min_characters=6, max_characters=6, min_words=2, max_words=2) is None
    assert rule("abc de", min_characters=7) == "min_characters"
    assert rule("abc de", max_characters=5) == "max_characters"
    assert rule("abc de", min_words=3) == "min_words"
    assert rule("abc de", max_words=1) == "max_words"
    assert rule("abc de", max_tokens=5) == "max_tokens"
    assert check(["abc de"], FiltersConfig(max_tokens=1)) is None  # not known
    long = " ".join(["the same ten words stand here again and again, always"] * 3)
    assert rule(long, max_repetition=0.3) == "max_repetition"
    assert rule(" \n") == "blank"


def prompts(*rows: tuple[list[str], str | None]) -> pa.Table:
    made = []
    for texts, licence in rows:
        row: dict[str, Any] = {
            field.name: None if field.nullable else {"int64": 0}.get(str(field.type), "")
            for field in schema.PROMPTS
        }
        row["messages"] = [{"role": "user", "content": text} for text in texts]
        row["licence"] = licence
        made.append(row)
    return pa.Table.from_pylist(made, schema=schema.PROMPTS)


def test_every_drop_is_told_by_its_row() -> None:
    table = prompts(
        (["What is 2+2?"], "mit"),
        (["Be brief.", "What is 2+2?<|im_end|>"], "mit"),
        (["What is 3+3?"], "cc-by-nc-4.0"),
    )
    config = FiltersConfig(denied_licences=("cc-by-nc-4.0",))
    assert {row: drop.rule for row, drop in filter_prompts(table, config).items()} == {
        1: "template_token",
        2: "licence_denied",
    }
    assert list(filter_prompts(table, FiltersConfig(residue=False))) == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"min_words": 3, "max_words": 2}, "above max_words"),
        ({"languages": ["english"]}, "no language code"),
        ({"personal_data": ["shoe_size"]}, "email"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_impossible_configurations(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FiltersConfig(**keys)


SETS = [
    ("gsm8k_train", "question"),
    ("math_train_answers", "problem"),
    ("math_train_slice", "solution"),
    ("mbpp", "text"),
    ("humaneval", "prompt"),
    ("alpaca_9k", "instruction"),
]


def texts_of(name: str, column: str) -> list[str]:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    return pq.read_table(path)[column].to_pylist()


@pytest.mark.parametrize(("name", "column"), SETS)
def test_defaults_drop_nothing_of_well_kept_sets(name: str, column: str) -> None:
    assert [t for t in texts_of(name, column) if check([t], FiltersConfig())] == []


@pytest.mark.parametrize(("name", "column"), SETS[:3])
def test_numbers_of_mathematics_are_no_personal_data(name: str, column: str) -> None:
    assert [t for t in texts_of(name, column)[:3000] if kinds(t, "US")] == []
