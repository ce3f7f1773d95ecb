"""The rows of a training set, as a pure function of recorded signals and the recipe.

How to add a type of set: its section in `winnow.pipeline.recipe_sections`, its schema in
`winnow.pipeline.publish.set_schemas`, a function like those below, and a line in `SETS`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from winnow.pipeline.recipe import SetConfig
from winnow.selectors.sets.answer_groups import groups, ranked
from winnow.selectors.sets.critique import critique
from winnow.selectors.sets.demonstrations import demonstrations, hardest
from winnow.selectors.sets.fait import fait
from winnow.selectors.sets.preference import preference
from winnow.selectors.sets.rl import curriculum, rl
from winnow.selectors.sets.sft import sft
from winnow.selectors.sets.signals import Chosen, Signals
from winnow.selectors.sets.single_answers import c_rlft, unpaired
from winnow.selectors.sets.step_values import step_values
from winnow.selectors.sets.sure_unsure import sure_unsure
from winnow.selectors.sets.trajectories import trajectories

# A section of the recipe, the signals and the ledger's stage in, the rows with their ledger out.
Choice = Callable[[Any, Signals, str], Chosen]

SETS: Mapping[str, Choice] = {
    "sft": sft,
    "rl": rl,
    "preference": preference,
    "groups": groups,
    "unpaired": unpaired,
    "ranked": ranked,
    "c_rlft": c_rlft,
    "curriculum": curriculum,
    "hardest": hardest,
    "demonstrations": demonstrations,
    "sure_unsure": sure_unsure,
    "step_values": step_values,
    "fait": fait,
    "critique": critique,
    "trajectories": trajectories,
}


def choose(name: str, config: SetConfig, signals: Signals) -> Chosen:
    """Choose the set `name`."""
    return SETS[config.type](config, signals, f"training_set/{name}")
