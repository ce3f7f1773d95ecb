"""`formats` and `provenance` in a recipe."""

from typing import Any

import pytest

from winnow.pipeline import recipe
from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.views import ViewRequest

HEAD = """
dataset: demo
sources: [{type: reasoning_gym, family: leg_counting, size: 20}]
sets: {sft: {}, rl: {}, preference: {}, hard: {type: rl}}
"""


def views(text: str) -> dict[str, Any]:
    return recipe.parse(HEAD + text).views()


def test_short_and_long_forms() -> None:
    found = views("""
formats:
  trl_preference: {}
  openai_chat:
  chat: {type: trl_prompt_completion, set: sft, style: standard, provenance: false}
  ask: {type: trl_prompt_only, set: hard}
""")
    assert found == {
        "trl_preference": ViewRequest("preference", "trl_preference"),
        "openai_chat": ViewRequest("sft", "openai_chat"),
        "chat": ViewRequest("sft", "trl_prompt_completion", "standard", provenance=False),
        "ask": ViewRequest("hard", "trl_prompt_only"),
    }
    assert views("") == {}


def test_provenance_of_the_recipe_and_of_a_view() -> None:
    found = views("provenance: false\nformats: {adp: {}, alpaca: {set: sft, provenance: true}}")
    assert {name: each.provenance for name, each in found.items()} == {"adp": False, "alpaca": True}


def test_the_set_that_fits_best_is_taken() -> None:
    one_rl = HEAD.replace(", hard: {type: rl}", "")
    found = recipe.parse(f"{one_rl}formats: {{trl_prompt_only: {{}}, verl: {{}}}}").views()
    # preference has prompts too, but no references
    assert {each.set for each in found.values()} == {"rl"}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("formats: {trl_prefrence: {}}",
         "formats.trl_prefrence: no format is called 'trl_prefrence'; did you mean 'trl_preference'"),
        ("formats: {verl: {}}", "formats.verl: verl: reads rl and hard; say which as `set`"),
        ("formats: {verl: {set: easy}}", "there is no set 'easy'; the sets are: sft, rl"),
        ("formats: {verl: {set: sft}}", r"formats.verl: set sft: lacks prompt \(messages\)"),
        ("formats: {trl_stepwise_supervision: {}}",
         r"no set has prompt \(text\), completions \(texts\), labels \(flags\)"),
        ("formats: {verl: {set: rl, style: standard}}", "verl has no styles"),
        ("formats: {SFT: {type: adp}}", "formats.SFT: a set has that name"),
        ("formats: {run.json: {type: adp}}", "formats.run.json: a version has a file of that name"),
        ("formats: {adp: {sett: sft}}", "formats.adp.sett: unknown key; did you mean 'set'?"),
        ("formats: {adp: {style: plain}}", "formats.adp.style: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        views(text)
