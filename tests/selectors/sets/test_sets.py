"""Which rows make the sets sft, rl and preference, and what the ledger says about the others."""

import pytest

from tests.selectors.sets.made_up import ledger as _ledger
from tests.selectors.sets.made_up import signals as _signals
from winnow.pipeline.recipe import PreferenceSet, RLSet, SFTSet
from winnow.selectors.sets.preference import preference
from winnow.selectors.sets.rl import rl
from winnow.selectors.sets.sft import sft


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
