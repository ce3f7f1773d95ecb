from collections.abc import Callable
from typing import Any

import pytest

from winnow.pipeline.publish.card.limits import limits

Manifest = Callable[..., dict[str, Any]]
KEEPING = {"settings": {"type": "rl", "suspects": "keep"}, "splits": {}, "made_with": "x"}
DROPPING = {"settings": {"type": "rl", "suspects": "drop"}, "splits": {}, "made_with": "x"}
CLEAN = (
    "clean: {filters: {personal_data: [email]}, dedup: {},"
    " decontaminate: {against: [{name: a, path: b}]}}\n"
)


def told(manifest: dict[str, Any], **changes: Any) -> str:
    return "\n".join(limits({"sets": {}, **manifest, **changes}))


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"answers": 200, "truncated": 50}, "25.0 % of the answers (50 of 200) were cut off"),
        ({"answers": 10_000, "truncated": 1}, "less than 0.1 % of the answers (1 of 10,000)"),
        ({"verdicts": 8, "unjudged": 2}, "25.0 % of the verdicts (2 of 8) are open"),
        ({"tasks": 30, "unsampled": 4}, "4 of 30 tasks were not sampled"),
        ({"templates": 3, "largest_template": 30}, "3 templates, and the commonest alone makes 83.3 %"),
    ],
)  # fmt: skip
def test_counts(manifest: Manifest, facts: dict[str, int], sentence: str) -> None:
    assert sentence in told(manifest(facts=facts))
    absent = sentence.partition(" ")[2][:20]
    assert absent not in told(manifest(facts=dict.fromkeys(facts, 0)))


def test_where_nothing_was_judged(manifest: Manifest) -> None:
    text = told(manifest(facts={"verdicts": 8, "unjudged": 8}, pass_rates=[None, None]))
    assert "No answer was judged: every verdict is open." in text
    assert "%" not in text and "right for wrong reasons" not in text
    some = told(manifest(facts={"verdicts": 8, "unjudged": 2}))
    assert "are open; pass rates leave them out" in some and "right for wrong reasons" in some
    cut = told(manifest(facts={"answers": 8, "truncated": 1, "verdicts": 8, "unjudged": 2}))
    assert "are open, those on answers that were cut off included; pass rates" in cut


def test_a_template_that_is_no_concentration_is_no_limit(manifest: Manifest) -> None:
    assert "templates" not in told(manifest(facts={"templates": 36, "largest_template": 1}))


def test_solutions_that_nobody_could_judge(manifest: Manifest) -> None:
    def set_of(*offers: str) -> dict[str, Any]:
        return {"settings": {"type": "hardest", "offers": offers}, "splits": {}, "made_with": "x"}

    text = told(manifest(), sets={"hard": set_of("recorded", "solution")})
    assert "Demonstrations in the set hard can be solutions that the source keeps" in text
    assert "Demonstrations" not in told(manifest(), sets={"hard": set_of("recorded")})


def test_suspects_say_which_sets_keep_them(manifest: Manifest) -> None:
    made = manifest(facts={"suspects": 7})
    assert "7 tasks have a reference" in told(made)
    assert "the sets a, b keep them" in told(made, sets={"b": KEEPING, "a": KEEPING, "c": DROPPING})
    assert "every set drops them" in told(made, sets={"c": DROPPING})


def test_languages(manifest: Manifest) -> None:
    text = told(manifest(languages={"en": 400, "de": 30, "sw": 1, "und": 69}))
    assert "Languages: en, de, told by py3langid from a sample of 500 prompts (69 of them" in text
    assert "of none of 5 prompts" in told(manifest(languages={"und": 5}))
    assert "anguage" not in told(manifest(languages={}))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("smollm2-135m-instruct@1", "about 135 million parameters"),
        ("Qwen/Qwen2.5-1.5B-Instruct@main", "about 1.5 billion parameters"),
        ("Qwen/Qwen2.5-7B-Instruct@main", None),
        ("some-model@135mm", None),
        ("org/llama3@v2b", None),
    ],
)
def test_a_small_model_is_told_from_its_name(
    manifest: Manifest, policy: str, said: str | None
) -> None:
    text = told(manifest(models={"policy": policy}))
    assert (said or "small model") in text or said is None
    assert ("small model" in text) == (said is not None)


def test_what_was_not_done(manifest: Manifest, recipe_text: str) -> None:
    not_done = [
        "not decontaminated",
        "duplicates among the prompts were not",
        "Personal data was not",
    ]
    bare = told(manifest())
    assert [each for each in not_done if each not in bare] == []
    done = told(manifest(recipe_text + CLEAN))
    assert [each for each in not_done if each in done] == []
    assert "There is no holdout split" in told(manifest(recipe_text.replace("holdout: 0.2", "")))
    assert "There is no holdout split" not in bare


def test_the_error_of_a_pass_rate_follows_from_the_number_of_answers(
    manifest: Manifest, recipe_text: str
) -> None:
    text = told(manifest(recipe_text + "sampling: {n: 16}\n"))
    assert "at most 16 answers of one policy: its standard error can be 0.12." in text


def test_an_unstated_licence(manifest: Manifest) -> None:
    assert "Nobody has said under which licence" not in told(manifest())
    sources = [{"name": "s", "licence": None, "prompts": 1}]
    assert "Nobody has said under which licence" in told(manifest(), sources=sources)


@pytest.mark.parametrize(
    ("type_", "said"), [("adp", False), ("openai_chat", False), ("trl_language_modeling", True)]
)
def test_a_view_without_a_place_for_masks_says_so(
    manifest: Manifest, type_: str, said: bool
) -> None:
    sets = {"acts": {"settings": {"type": "trajectories"}}, "sft": {"settings": {}}}
    views = {"mine": {"set": "acts", "type": type_}, "other": {"set": "sft", "type": type_}}
    text = told(manifest(), sets=sets, views=views)
    assert ("The view mine has no place for `loss_mask`" in text) == said
    assert "The view other" not in text
