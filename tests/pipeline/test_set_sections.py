"""The sections of sets by method, as a recipe writes them."""

import pytest

from winnow.pipeline import recipe
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe_sections.sets import SET_TYPES

TEXT = """
dataset: d
sources:
  - {type: reasoning_gym, family: leg_counting, size: 2}
sets:
  preference: {contrast: form, form: {format: {tags: [think, answer]}}, among: equal}
  pairs: {type: preference, contrast: reward, iteration: 2, min_margin: 0.5}
  sft: {token_masks: {features: f.parquet, r_sample: 0.5}}
  groups: {answers: 8, weighting: grpo, pass_rate: [0, 0.5]}
  unpaired: {per_label: 2}
  ranked: {answers: 4}
  c_rlft: {by: source, classes: {leg_counting: gold}, weights: {gold: 1}}
  curriculum: {cuts: [0.7, 0.4], strong: [a@1, b@1]}
  hardest: {offers: [recorded, solution], solution: worked, form: {part: tags}}
  demonstrations: {offers: [answers], share: [0, 0.5]}
  sure_unsure: {method: unknown, refusals: ["No idea."]}
  step_values: {paths: correct}
  fait: {max_edit_ratio: 0.3}
  critique: {template: "{question} {solution}"}
"""


def test_every_section_is_read_and_written() -> None:
    found = recipe.parse(TEXT)
    assert [type(each).__name__ for each in found.sets.values()][:3] == [
        "PreferenceSet", "PreferenceSet", "SFTSet",
    ]  # fmt: skip
    assert {each.type for each in found.sets.values()} == set(SET_TYPES) - {"rl", "trajectories"}
    again = recipe.Recipe.model_validate(recipe.dump(found))
    assert again == found


def test_trajectories_are_taken_from_sources_that_bring_them() -> None:
    text = """
dataset: d
sources: [{type: trajectories, name: t, path: t.jsonl}]
engine: {type: source}
sets: {trajectories: {min_reward: 1.0, train_on: student}, all: {type: trajectories, verdicts: any}}
formats: {adp: {set: all}}
"""
    found = recipe.parse(text)
    assert {each.type for each in found.sets.values()} == {"trajectories"}
    assert {name: sorted(each.reads) for name, each in found.sets.items()} == {
        "trajectories": ["completions"], "all": ["completions"],
    }  # fmt: skip
    assert recipe.Recipe.model_validate(recipe.dump(found)) == found


def test_a_set_says_what_it_reads_beside_the_run_s_own_tables() -> None:
    sets = recipe.parse(TEXT).sets
    read = {name: sorted(each.reads) for name, each in sets.items() if each.reads}
    assert read == {
        "curriculum": ["recorded"], "hardest": ["recorded", "solutions"], "step_values": ["stepwise"],
    }  # fmt: skip
    assert sets["sft"].token_features_read == ("f.parquet", ("token_logprobs", "token_entropies"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("answers: 8", "answer: 8", ["sets.groups.answer", "did you mean 'answers'?"]),
        ("{gold: 1}", "{silver: 1}", ["sets.c_rlft", "the class 'gold' has no weight"]),
        ("[0.7, 0.4]", "[0.4, 0.7]", ["sets.curriculum.cuts", "cuts must fall"]),
        ("solution: worked, ", "", ["sets.hardest", "go together"]),
        ("part: tags", "prt: tags", ["sets.hardest.form.prt", "did you mean 'part'?"]),
        ("{question} {solution}", "{question}", ["sets.critique.template", "{solution}"]),
        ("tags: [think, answer]", "tag: [think]", ["sets.preference.form", "tag"]),
        ("share: [0, 0.5]", "share: [0, 1.5]", ["sets.demonstrations.share"]),
        ("r_sample: 0.5", "r_sampl: 0.5", ["token_masks.r_sampl", "'r_sample'?"]),
        ("hardest: {", "hardest: {pass_rate: [0, 1], ", ["sets.hardest.pass_rate", "unknown key"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(old: str, new: str, said: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        recipe.parse(TEXT.replace(old, new), "r.yaml")
    message = str(error.value)
    assert "\n" not in message and message.startswith("r.yaml:")
    for part in said:
        assert part in message
