import re
from collections.abc import Mapping
from typing import Any

import pytest

from winnow.pipeline import recipe
from winnow.pipeline.publish.card.bibliography import WORKS
from winnow.pipeline.publish.card.citations import _USES, citations

BASE = """
dataset: demo
sources: [{type: dataset, name: s, path: rows.jsonl}]
sets: {rl: {}}
engine: {type: replay, policy: p}
"""

ACTS = {"sources": "[{type: trajectories, name: t, path: t.jsonl}]", "engine": "{type: source}"}


def keys(text: str) -> list[str]:
    return [each.key for each in citations(recipe.dump(recipe.parse(text)))]


def with_(**sections: str) -> str:
    text = BASE
    for name, body in sections.items():
        text = re.sub(rf"^{name}:.*\n", "", text, flags=re.MULTILINE) + f"{name}: {body}\n"
    return text


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, []),
        ({"engine": "{model: some/model}"}, ["vllm"]),
        ({"sets": "{sft: {}}", "uds": "{model: m}"}, ["uds"]),
        ({"sets": "{sft: {uds: false}}"}, []),
        ({"sets": "{sft: {uds: false, token_masks: {features: f.parquet}}}"}, ["q_tuning"]),
        ({"sampling": "{stop: [{type: until_k_correct}]}"}, ["dart"]),
        ({"sampling": "{stop: [{type: majority}]}"}, ["self_consistency"]),
        (
            {"sampling": "{stop: [{type: majority, confidence: 0.95}]}"},
            ["self_consistency", "adaptive_consistency"],
        ),
        ({"sampling": "{stop: [{type: interval, width: 0.1}]}"}, []),
        ({"sampling": "{steer: {type: mopps, prompts: 4, rounds: 2}}"}, ["mopps"]),
        ({"sampling": "{steer: {type: prop2diff}}"}, ["dart"]),
        ({"clean": "{decontaminate: {against: [{name: a, path: b}]}}"}, ["tulu3", "light_r1"]),
        ({"clean": "{decontaminate: {rules: [ngram], against: [{name: a, path: b}]}}"}, []),
        (
            {"clean": "{decontaminate: {rules: [all], against: [{name: a, path: b}]}}"},
            ["tulu3", "light_r1"],
        ),
        ({"clean": "{dedup: {}, filters: {max_repetition: 0.2}}"}, ["gopher", "minhash"]),
        ({"clean": "{dedup: {method: exact}, filters: {}}"}, []),
        ({"sources": "[{type: reasoning_gym, family: leg_counting, size: 3}]"}, ["reasoning_gym"]),
        (ACTS | {"sets": "{trajectories: {}}"}, ["agent_data_protocol", "eef"]),
        (
            ACTS | {"sets": "{all: {type: trajectories, train_on: all_actions}}"},
            ["agent_data_protocol"],
        ),
    ],
)
def test_what_a_recipe_uses(sections: Mapping[str, str], expected: list[str]) -> None:
    assert keys(with_(**sections)) == expected


@pytest.mark.parametrize(
    ("verifier", "args", "expected"),
    [
        ("math", "{}", []),
        ("judge", "{rubric: quality}", ["self_consistency", "spotlighting"]),
        ("judge", "{compare: true}", ["self_consistency", "judge_bias", "spotlighting"]),
        ("tool_call", "{mode: graded}", ["toolrl"]),
        ("tool_call", "{}", []),
        ("ensemble", "{verifiers: [{name: math}, {name: patch}]}", ["swe_rl"]),
        (
            "ensemble",
            "{verifiers: [{name: ensemble, args: {verifiers: [{name: iou, args: {reward: visual_rft}}]}}]}",
            ["visual_rft"],
        ),
    ],
)
def test_what_a_verifier_uses(verifier: str, args: str, expected: list[str]) -> None:
    source = f"[{{type: dataset, name: s, path: r, verifier: {verifier}, verifier_args: {args}}}]"
    assert keys(with_(sources=source)) == expected


def test_a_paper_is_cited_once_with_all_that_it_was_used_for() -> None:
    text = with_(sampling="{stop: [{type: until_k_correct}], steer: {type: prop2diff}}")
    [found] = citations(recipe.dump(recipe.parse(text)))
    assert found.used_for == (
        "sampling until k answers are right; right answers in proportion to difficulty"
    )


def test_every_entry_is_used_and_every_use_has_an_entry() -> None:
    assert {key for key, _, _ in _USES} == set(WORKS)


def test_entries_are_whole() -> None:
    numbers = [work.eprint for work in WORKS.values() if work.eprint]
    assert len(numbers) == len(set(numbers))
    for key, work in WORKS.items():
        entry = work.bibtex(key)
        assert entry.startswith(f"@misc{{{key},\n") and entry.endswith("\n}")
        assert entry.count("{") == entry.count("}")
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, re.MULTILINE))
        assert fields["year"] == str(work.year) and work.title in fields["title"]
        if work.eprint:
            # An arXiv number begins with the year and month of its first version.
            assert re.fullmatch(r"\d{4}\.\d{5}", work.eprint)
            assert int(fields["year"]) == 2000 + int(work.eprint[:2])
            assert fields["url"] == f"https://arxiv.org/abs/{work.eprint}"


def test_a_recipe_of_another_layout_still_has_a_card() -> None:
    bare: dict[str, Any] = {"sources": [{"type": "dataset", "name": "s"}], "sets": {}}
    assert citations(bare) == []
