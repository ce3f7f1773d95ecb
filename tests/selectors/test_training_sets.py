"""Which rows make a set, and what the ledger says about the others."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline import schema
from winnow.pipeline.estimate.difficulty import difficulty
from winnow.pipeline.publish.set_schemas import SETS
from winnow.pipeline.recipe import PreferenceSet, RLSet, SFTSet
from winnow.selectors.training_sets import Signals, choose, preference, rl, sft

# One task per text: c correct, w wrong, u unjudged, in the order of the answers' indices.
Tasks = dict[str, str]
_NAMES = {"c": "correct", "w": "wrong", "u": "unjudged"}


def _signals(tasks: Tasks, *, clusters: int = 2, selected: str = "", same: str = "") -> Signals:
    """Tables of a made-up run. `selected`: rollouts that UDS selected (all where empty); answers of
    the tasks in `same` all have one text."""
    prompts, rollouts, verdicts, scores, places = [], [], [], [], []
    for at, (task, answers) in enumerate(sorted(tasks.items())):
        prompts.append({
            "task_id": task, "prompt_id": f"p-{task}",
            "messages": [{"role": "user", "content": f"question {task}"}], "answer": "1",
            "verifier": "math", "verifier_args": "{}", "source": "s", "source_index": at,
            "licence": "mit", "domain": None, "template_id": f"t-{task}", "n_tokens": 5, "meta": "{}",
        })  # fmt: skip
        places.append({"prompt_id": f"p-{task}", "cluster": at % clusters,
                       "centroid_distance": 0.1, "x": 0.0, "y": 0.0})  # fmt: skip
        for index, letter in enumerate(answers):
            name = f"{task}{index}"
            text = "same" if task in same else f"answer {name}"
            rollouts.append({
                "rollout_id": name, "prompt_id": f"p-{task}", "policy": "m@1", "template": "t",
                "sampler": "{}", "recipe_seed": 0, "index": index, "attempt": 0, "completion": text,
                "token_ids": None, "logprob_sum": -float(index), "n_tokens": 2,
                "finish_reason": "stop", "max_tokens": 9, "seed": 1, "error": None,
            })  # fmt: skip
            verdicts.append({
                "verdict_id": f"v{name}", "rollout_id": name, "task_id": task,
                "verifier": "math@1", "verdict": _NAMES[letter],
                "reward": {"c": 1.0, "w": 0.0, "u": None}[letter], "parts": "{}",
                "extracted": None, "detail": None, "seconds": 0.0,
            })  # fmt: skip
            if letter == "c":
                scores.append({
                    "rollout_id": name, "task_id": task, "n_tokens_scored": 4,
                    "nuclear_norm": 1.0, "step": 0, "utility": 1.0, "diversity": 0.0,
                    "score": float(10 * at + index), "selected": not selected or name in selected.split(),
                    "rank": 0,
                })  # fmt: skip
    table = pa.Table.from_pylist
    drawn, judged = table(rollouts, schema.ROLLOUTS), table(verdicts, schema.VERDICTS)
    return Signals(
        prompts=table(prompts, schema.PROMPTS),
        rollouts=drawn,
        verdicts=judged,
        audit=table([], schema.AUDIT),
        difficulty=difficulty(drawn, judged),
        clusters=table(places, schema.CLUSTERS),
        scores=table(scores, schema.SCORES),
    )


def _ledger(chosen: Any) -> dict[str, tuple[str, str]]:
    return {r["row_id"]: (r["decision"], r["rule"]) for r in chosen.ledger.to_pylist()}


def test_sft_keeps_right_answers_inside_the_band_and_explains_the_rest() -> None:
    signals = _signals({"a": "ccww", "b": "cccc", "d": "wwww", "e": "cwuu"}, same="")
    chosen = sft(SFTSet(pass_rate=(0.25, 0.75), min_judged=3, per_prompt=1), signals)
    assert _ledger(chosen) == {
        "a0": ("dropped", "per_prompt"), "a1": ("kept", "selected"),  # a1 has the higher score
        "a2": ("dropped", "verdict"), "a3": ("dropped", "verdict"),
        **{f"b{i}": ("dropped", "pass_rate") for i in range(4)},
        **{f"d{i}": ("dropped", "verdict") for i in range(4)},
        "e0": ("dropped", "min_judged"),
        **{f"e{i}": ("dropped", "verdict") for i in (1, 2, 3)},
    }  # fmt: skip
    (row,) = chosen.rows.to_pylist()
    assert row["messages"] == [
        {"role": "user", "content": "question a"},
        {"role": "assistant", "content": "answer a1"},
    ]
    assert (row["weight"], row["pass_rate"], row["rollout_id"]) == (1.0, 0.5, "a1")


def test_the_ledger_gives_value_and_threshold() -> None:
    chosen = rl(RLSet(pass_rate=(0.0, 0.5)), _signals({"a": "ccw"}))
    (entry,) = chosen.ledger.to_pylist()
    assert entry["rule"] == "pass_rate"
    assert float(entry["value"]) == pytest.approx(2 / 3)
    assert entry["threshold"] == "0.0 to 0.5"
    assert entry["stage"] == "training_set/rl"


def test_sft_takes_only_what_uds_selected_unless_told_otherwise() -> None:
    signals = _signals({"a": "cc", "b": "cc"}, selected="a0 b1")
    found = sft(SFTSet(per_prompt=2), signals)
    assert sorted(found.rows["rollout_id"].to_pylist()) == ["a0", "b1"]
    assert _ledger(found)["a1"] == ("dropped", "uds")
    assert sft(SFTSet(per_prompt=2, uds=False), signals).rows.num_rows == 4


def test_equal_answers_to_one_task_count_once() -> None:
    found = sft(SFTSet(per_prompt=4), _signals({"a": "ccc", "b": "cc"}, same="a"))
    assert sorted(found.rows["rollout_id"].to_pylist()) == ["a0", "b0", "b1"]
    assert _ledger(found)["a1"] == ("dropped", "duplicate_answer")


def test_weights_can_share_one_prompt_s_unit() -> None:
    config = SFTSet(per_prompt=4, weighting="per_prompt")
    rows = sft(config, _signals({"a": "cccc", "b": "c"})).rows.to_pylist()
    assert {r["rollout_id"]: r["weight"] for r in rows} == {
        "a0": 0.25, "a1": 0.25, "a2": 0.25, "a3": 0.25, "b0": 1.0,
    }  # fmt: skip


def test_rl_prefers_pass_rates_near_a_half_and_caps_clusters() -> None:
    signals = _signals({"a": "cccw", "b": "ccww", "d": "cwww", "e": "cccc"}, clusters=1)
    found = rl(RLSet(per_cluster=2), signals)
    assert sorted(found.rows["task_id"].to_pylist()) == ["a", "b"]  # a and d tie, a by name
    assert _ledger(found)["d"] == ("dropped", "per_cluster")
    assert rl(RLSet(budget=1), signals).rows["task_id"].to_pylist() == ["b"]


def test_a_task_without_answers_is_pending() -> None:
    found = rl(RLSet(), _signals({"a": "cw", "b": ""}))
    assert _ledger(found) == {"a": ("kept", "selected"), "b": ("pending", "not_sampled")}


def test_preference_pairs_the_surest_right_with_the_surest_wrong_answer() -> None:
    found = preference(PreferenceSet(pairs_per_prompt=2), _signals({"a": "wcwc", "b": "cccc"}))
    pairs = [(r["chosen_rollout_id"], r["rejected_rollout_id"]) for r in found.rows.to_pylist()]
    assert sorted(pairs) == [("a1", "a0"), ("a3", "a2")]
    assert _ledger(found) == {"a": ("kept", "selected"), "b": ("dropped", "one_sided")}
    row = found.rows.to_pylist()[0]
    assert row["prompt"] == [{"role": "user", "content": "question a"}]
    assert row["chosen"][0]["role"] == row["rejected"][0]["role"] == "assistant"


TASKS = st.dictionaries(
    st.sampled_from("abdefgh"), st.text("cwu", max_size=5), min_size=1, max_size=6
)
SETTINGS = st.sampled_from([
    ("sft", SFTSet(per_prompt=2, per_cluster=2, budget=3, pass_rate=(0.2, 0.8))),
    ("sft", SFTSet(uds=False, min_judged=2)),
    ("rl", RLSet(pass_rate=(0.0, 0.9), per_cluster=1)),
    ("rl", RLSet(budget=2, pass_rate_column="pass_rate_low")),
    ("preference", PreferenceSet(pairs_per_prompt=3, budget=2)),
])  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(TASKS, SETTINGS, st.randoms(use_true_random=False))
def test_every_row_is_decided_once_whatever_the_order(tasks: Tasks, case: Any, chance: Any) -> None:
    name, config = case
    signals = _signals(tasks)
    found = choose(name, config, signals)
    assert found.rows.schema.names == SETS[name].names
    ids = [r["row_id"] for r in found.ledger.to_pylist()]
    universe = (
        list(tasks)
        if name != "sft"
        else [f"{t}{i}" for t, a in tasks.items() for i in range(len(a))]
    )
    assert sorted(ids) == sorted(universe)
    kept = {r["row_id"] for r in found.ledger.to_pylist() if r["decision"] == "kept"}
    key = "rollout_id" if name == "sft" else "task_id"
    assert set(found.rows[key].to_pylist()) == kept

    def shuffled(table: pa.Table) -> pa.Table:
        order = list(range(table.num_rows))
        chance.shuffle(order)
        return table.take(pa.array(order, pa.int64()))

    other = Signals(**{k: shuffled(getattr(signals, k)) for k in Signals.__dataclass_fields__})
    again = choose(name, config, other)
    assert again.rows.equals(found.rows)
    assert again.ledger.equals(found.ledger)
