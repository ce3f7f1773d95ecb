"""What holds of every kind of set, whatever the run was."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.sets.made_up import (
    hinted,
    recorded,
    shuffled,
    signals,
    solutions,
    stepwise,
)
from winnow.pipeline import schema
from winnow.pipeline.publish.set_schemas import OF_ANSWERS, SETS, SEVERAL_ROWS
from winnow.pipeline.recipe import (
    CritiqueSet,
    CRlftSet,
    CurriculumSet,
    DemonstrationsSet,
    FaitSet,
    GroupsSet,
    HardestSet,
    PreferenceSet,
    RankedSet,
    RLSet,
    SetConfig,
    SFTSet,
    StepValuesSet,
    SureUnsureSet,
    TrajectoriesSet,
    UnpairedSet,
)
from winnow.pipeline.recipe_sections.set_base import Form
from winnow.pipeline.recipe_sections.sets import SET_TYPES, TokenMasks
from winnow.selectors.sets import choose as choices
from winnow.selectors.sets.choose import choose

FLOATS = pa.list_(pa.float64())
TASKS = st.dictionaries(
    st.sampled_from("abdefgh"), st.text("cwutf", max_size=5), min_size=1, max_size=6
)
SETTINGS: list[SetConfig] = [
    SFTSet(per_prompt=2, per_cluster=2, budget=3, pass_rate=(0.2, 0.8)),
    SFTSet(uds=False, min_judged=2),
    SFTSet(uds=False, verdicts="not_wrong"),
    SFTSet(uds=False, per_prompt=5, token_masks=TokenMasks(features="f", r_sample=0.5)),
    RLSet(pass_rate=(0.0, 0.9), per_cluster=1),
    RLSet(budget=2, pass_rate_column="pass_rate_low"),
    PreferenceSet(pairs_per_prompt=3, budget=2),
    PreferenceSet(contrast="reward", pairs_per_prompt=2),
    PreferenceSet(contrast="reward", pairing="max_random", min_margin=0.5),
    PreferenceSet(pairing="max_max", pairs_per_prompt=2),
    PreferenceSet(contrast="form", form=Form(part="format"), among="equal", iteration=1),
    GroupsSet(),
    GroupsSet(answers=3, truncated="apart", weighting="grpo", budget=2),
    UnpairedSet(per_label=1, budget=3),
    RankedSet(answers=2),
    CRlftSet(per_class=1, per_cluster=2),
    CRlftSet(by="source", classes={"s": "expert"}),
    CurriculumSet(cuts=(0.9, 0.4), strong=("teacher@1",)),
    CurriculumSet(budget=2, min_judged=0),
    HardestSet(offers=("recorded", "hinted")),
    HardestSet(format_failures="fail", offers=("solution",), solution="worked"),
    DemonstrationsSet(offers=("solution", "answers"), solution="worked", share=(0.1, 0.9)),
    SureUnsureSet(),
    SureUnsureSet(method="unknown", budget=2),
    SureUnsureSet(method="uncertain", min_answers=2),
    StepValuesSet(),
    StepValuesSet(paths="correct", needs="labels", per_prompt=1),
    FaitSet(max_edit_ratio=1.0),
    CritiqueSet(budget=3),
    CritiqueSet(balance=False),
    TrajectoriesSet(),
    TrajectoriesSet(verdicts="any", min_reward=0.5, per_prompt=1, budget=2),
    TrajectoriesSet(train_on="student", max_actions=1, per_cluster=1),
]


def test_every_kind_has_a_section_a_schema_a_choice_and_a_trial_here() -> None:
    assert list(SETS) == list(SET_TYPES) == list(choices.SETS)
    assert {config.type for config in SETTINGS} == set(SETS)
    assert set(SETS) > OF_ANSWERS | SEVERAL_ROWS


@pytest.mark.parametrize("config", SETTINGS, ids=lambda config: config.type)
@settings(max_examples=20, deadline=None)
@given(tasks=TASKS, chance=st.randoms(use_true_random=False))
def test_every_row_is_decided_once_whatever_the_order(
    config: SetConfig, tasks: dict[str, str], chance: Any
) -> None:
    names = [f"{task}{i}" for task, answers in tasks.items() for i in range(len(answers))]
    judge = isinstance(config, CritiqueSet)
    given_ = signals(
        tasks,
        texts={
            n: f"def f():\n    return {at}\nOne.\n# {n}" for at, n in enumerate(names) if at % 3
        },
        rewards={n: at % 4 / 2 for at, n in enumerate(names) if at % 2},
        parts={n: {"format": float(at % 2)} for at, n in enumerate(names) if at % 5},
        extracted={n: _reply(at) if judge else str(at % 2) for at, n in enumerate(names)},
        verifier="judge" if judge else "math",
        verifier_args={"rubric": "quality", "n": 1} if judge else {},
        token_features={"f": _features([n for at, n in enumerate(names) if at % 3])},
        solutions=solutions(
            {"task_id": "a", "solution": "First this. Then that. The answer is 1"},
            {"task_id": "b", "verdict": "wrong", "extracted": "2"},
            {"task_id": "d", "verdict": "unjudged"},
        ),
        recorded=recorded(
            {"task_id": "a"},
            {"task_id": "b", "verdict": "wrong"},
            {"task_id": "b"},
            {"task_id": "d", "verdict": "unjudged"},
        ),
        hinted=hinted(
            {"task_id": "d", "rollout_id": "d0"},
            {"task_id": "e", "rollout_id": "e0", "kept": False},
        ),
        stepwise=stepwise(
            {"task_id": "a"},
            {"task_id": "a", "completions": ["one"], "labels": [False], "values": None,
             "correct": False},
            {"task_id": "b", "values": None},
        ),
        completions=_brought(names),
    )  # fmt: skip
    found = choose("mine", config, given_)
    assert found.rows.schema.equals(SETS[config.type])
    for field in found.rows.schema:
        assert field.nullable or found.rows[field.name].null_count == 0, field.name
    ids = [r["row_id"] for r in found.ledger.to_pylist()]
    assert sorted(ids) == sorted(names if config.type in OF_ANSWERS else tasks)
    assert set(found.ledger["stage"].to_pylist()) <= {"training_set/mine"}
    kept = sorted(r["row_id"] for r in found.ledger.to_pylist() if r["decision"] == "kept")
    key = "rollout_id" if config.type in OF_ANSWERS else "task_id"
    published = found.rows[key].to_pylist()
    if config.type in SEVERAL_ROWS:
        published = list(set(published))
    assert sorted(published) == kept
    assert len(set(found.rows["id"].to_pylist())) == found.rows.num_rows

    again = choose("mine", config, shuffled(given_, chance))
    assert again.rows.equals(found.rows)
    assert again.ledger.equals(found.ledger)


def _brought(names: list[str]) -> pa.Table:
    """Two of three answers end a trajectory; some of these are equal but for their reward."""
    rows = []
    for at, name in enumerate(names):
        content = [{"class_": "message_action", "content": f"{at % 4}"}]
        details = {"reward": at % 3 / 2, "branch_point": 0} if at % 2 else {}
        whole = {"schema_version": "1.5.0", "id": name, "content": content, "details": details}
        rows.append({"rollout_id": name, "prompt_id": f"p-{name[0]}", "source": "s",
                     "completion": "", "trajectory": json.dumps(whole) if at % 3 else None})  # fmt: skip
    return pa.Table.from_pylist(rows, schema.COMPLETIONS)


def _features(names: list[str]) -> pa.Table:
    numbers = [[float(at % 3 + 1), 0.5] for at, _ in enumerate(names)]
    columns = {
        "row_id": pa.array(names, pa.string()),
        "token_logprobs": pa.array([[-n for n in each] for each in numbers], FLOATS),
        "token_entropies": pa.array(numbers[::-1], FLOATS),
    }
    return pa.table(columns)


def _reply(at: int) -> str | None:
    """What a judge is recorded to have said: right, wrong, cut, or nothing."""
    if at % 4 == 3:
        return None
    verdict = ("CORRECT", "WRONG", "CORRECT")[at % 4]
    text = f"{'…' * (at % 3 == 2)}It holds. VERDICT: {verdict}"
    return f'{{"judge": "j@1", "replies": [{{"verdict": "{verdict}", "text": "{text}"}}]}}'
