"""Whatever text stands in a manifest, the card's header says just that and its body shows it as text."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from winnow.pipeline.publish import card
from winnow.pipeline.publish.set_schemas import RL

MARKDOWN = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(
    ["table", "strikethrough"]
)
ATTACKS = [
    "---", "\n---\n", "a\n---\nb: c", "...", "<script>alert(1)</script>", "</table><img src=x>",
    "[x](javascript:alert(1))", "![x](//evil.example/x.png)", "``` \n# x", "x\n```\n# y", "~~~\n",
    "\x1b]0;owned\x07", "- a\n- b", "key: value", "!!python/object:os.system", "*anchor", "&anchor",
    "%YAML", "\u2028---\u2028", "\x85---\x85", "http://evil.example", "<!--", "]]>", "{{x}}", "null",
    "1.0", "no", "", "\ud800", "\u202egnp.exe",
]  # fmt: skip
TEXT = st.text(
    st.sampled_from("<>&|`*_~[]()!#\\\n\r\t -+=.:/@$\"'{}^;1a\x1b\x85\u2028\u202e\x00\ud800é")
    | st.characters(),
    max_size=25,
) | st.sampled_from(ATTACKS)
Manifest = Callable[..., dict[str, Any]]
SPLITS = {"train": {"rows": 3, "bytes": 1, "sha256": "0"}}
ALLOWED = {"text", "text_special", "code_inline", "strong_open", "strong_close", "image"}
SHOWN = {"card/pass-rates.png", "card/clusters.png"}


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text(data: Any, manifest: Manifest) -> None:
    check(manifest, lambda: str(data.draw(TEXT)))


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(attack: str, manifest: Manifest) -> None:
    check(manifest, lambda: attack)


def check(manifest: Manifest, text: Callable[[], str]) -> None:
    """A card whose every text comes from `text`."""
    made = manifest(
        code_version=text(),
        models={"policy": text(), text(): text()},
        verifiers=[text()],
        counts={text(): 1},
        languages={"en": 5},
        clusters=[3, 2],
        facts={"suspects": 2, "answers": 9, "truncated": 3},
        decontamination=[
            {"set": text(), "rule": text(), "items": 1, "items_hit": 1, "turns_hit": 1}
        ],
    )
    made |= {
        "dataset": text(),
        "sources": [
            {"name": text(), "licence": text() or None, "hub_id": text() or None, "prompts": 2}
        ],
        "decisions": [{"stage": text(), "decision": text(), "rule": text(), "rows": 1}],
        "pictures": ["clusters.png", "pass-rates.png"],
        "sets": {"rl": {"settings": {"type": "rl"}, "splits": SPLITS, "made_with": text()}},
    }
    made["recipe"] |= {"description": text(), "dataset": made["dataset"]}
    made["recipe"]["sources"][1]["path"] = text()
    made = json.loads(json.dumps(made))  # as it is read back

    written = card.render(made, {"rl": RL})
    written.encode("utf-8")
    found = DatasetCard(written)
    header = found.data.to_dict()
    assert header["pretty_name"] == made["dataset"]
    assert header["source_datasets"] == [made["sources"][0]["hub_id"] or "original"]
    assert [config["config_name"] for config in header["configs"]] == ["rl"]
    assert yaml.safe_load(written.split("---\n")[1]) == header
    check_body(found.text)


def check_body(text: str) -> None:
    tokens = MARKDOWN.parse(text)
    assert "html_block" not in {token.type for token in tokens}
    children = [child for token in tokens for child in token.children or []]
    assert {child.type for child in children} <= ALLOWED
    assert {child.attrs["src"] for child in children if child.type == "image"} <= SHOWN
    fences = [token for token in tokens if token.type == "fence"]
    assert [token.info for token in fences] == ["python", "bibtex", "yaml"]
    headings = [t.content for t, before in zip(tokens[1:], tokens, strict=False)
                if before.type == "heading_open"]  # fmt: skip
    # The first is the dataset's name, which may have nothing to show.
    assert headings[-13:] == [
        "What is in it", "How to load it", "Sources and licence", "How it was made",
        "From rows in to rows out", "Pass rates", "Clusters", "Decontamination", "Known limits",
        "Columns", "rl", "Citations", "How to make it again",
    ] and len(headings) in (13, 14)  # fmt: skip
    outside = "".join(c.content for c in children) + "".join(
        t.content for t in tokens if not t.children
    )
    assert not set(outside) & set("\x1b\x00\x07")
