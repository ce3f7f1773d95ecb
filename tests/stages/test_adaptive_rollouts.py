"""Stop rules in a recipe: what is drawn, what is used again, and what `check` says."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from winnow.assets.invariants import answers_drawn
from winnow.pipeline.errors import UsageError
from winnow.pipeline.life import life
from winnow.pipeline.progress import Silent, Step
from winnow.pipeline.workspace import open_store
from winnow.stages import difficulty, plan, prompts, rollouts, verdicts
from winnow.stages.base import Context
from winnow.synth.engines.replay import import_rollouts

PROMPTS = 24
STUB = 'engine: {{type: openai, model: stub, base_url: "{url}"}}'
REPLAY = "engine: {{type: replay, policy: teacher}}"


def context(folder: Path, sampling: str, engine: str = STUB, url: str = "") -> Context:
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(PROMPTS)]
    source = folder / "sums.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    recipe = folder / "sums.yaml"
    recipe.write_text(
        f"""
dataset: sums
sources:
  - {{type: dataset, name: sums, path: {source}, verifier: math}}
{engine.format(url=url)}
sampling: {{max_tokens: 64, {sampling}}}
sets: {{rl: {{}}}}
"""
    )
    ctx = Context.of(recipe, folder / "home")
    prompts.run(ctx)
    return ctx


def outcomes(ctx: Context) -> dict[str, str]:
    """Right and wrong answers of each prompt in order, as r and w."""
    verdicts.run(ctx)
    drawn = ctx.workspace.read("rollouts", ["rollout_id", "prompt_id", "index"]).to_pylist()
    judged = ctx.workspace.read("verdicts", ["rollout_id", "verdict"]).to_pylist()
    said = {row["rollout_id"]: row["verdict"][0].replace("c", "r") for row in judged}
    found: dict[str, str] = {}
    for row in sorted(drawn, key=lambda row: (row["prompt_id"], row["index"])):
        found[row["prompt_id"]] = found.get(row["prompt_id"], "") + said[row["rollout_id"]]
    return found


def test_each_prompt_ends_where_its_rule_is_content(tmp_path: Path, stub_server: Any) -> None:
    rule = "n: 10, stop: [{type: until_k_correct, k: 3}], price: {prompt: 1, answer: 1000000}"
    ctx = context(tmp_path, rule, url=stub_server.url)
    done = rollouts.run(ctx)
    for kinds in outcomes(ctx).values():
        assert len(kinds) == 10 or (kinds.count("r") == 3 and kinds[-1] == "r")
    assert len(stub_server.seeds()) == done.counts["rollouts"] == done.cost["answers_drawn"]
    # No tokenizer of the server's model is here, so that nobody knows how long the prompts are.
    assert (done.cost["tokens_read"], done.cost["cost"]) == (0, done.cost["tokens_drawn"])
    assert done.counts["enough_correct"] + done.counts.get("max_answers", 0) == PROMPTS
    # What run.json records.
    assert done.cost["prompts_enough_correct"] == done.counts["enough_correct"]
    assert 0 < done.cost["pass_rate"] < 1
    assert not answers_drawn(ctx, None).faults
    assert rollouts.run(ctx).skipped
    assert difficulty.run(ctx).counts["tasks"] == PROMPTS


def test_another_rule_uses_what_is_there(tmp_path: Path, stub_server: Any) -> None:
    rollouts.run(context(tmp_path, "n: 6", url=stub_server.url))
    drawn = len(stub_server.seeds())
    ctx = context(tmp_path, "n: 6, stop: [{type: until_k_correct, k: 2}]", url=stub_server.url)
    before = rollouts.run(ctx)
    assert len(stub_server.seeds()) == drawn, "an answer was drawn though six were there"
    assert before.counts["rollouts"] < drawn
    more = rollouts.run(
        context(tmp_path, "n: 9, stop: [{type: until_k_correct, k: 5}]", url=stub_server.url)
    )
    new = stub_server.seeds()[drawn:]
    assert 0 < len(new) == more.cost["answers_drawn"]
    assert not set(new) & set(stub_server.seeds()[:drawn])


def test_an_interval_is_cheaper_than_its_cap(tmp_path: Path, stub_server: Any) -> None:
    rule = "n: 16, stop: [{type: interval, band: [0.1, 0.9], error: 0.15}]"
    done = rollouts.run(context(tmp_path, rule, url=stub_server.url))
    assert done.counts["rollouts"] < 0.5 * 16 * PROMPTS
    assert done.counts["in_band"] > PROMPTS // 2  # the stub is right for about half of the seeds


def test_a_run_budget_leaves_prompts_undecided_and_a_larger_one_goes_on(
    tmp_path: Path, stub_server: Any
) -> None:
    rule = "n: 4, budget: {{answers: {}}}"
    first = rollouts.run(context(tmp_path, rule.format(30), url=stub_server.url))
    assert len(stub_server.seeds()) == first.counts["rollouts"] <= 30
    assert first.counts["undecided"] > 0
    again = context(tmp_path, rule.format(30), url=stub_server.url)
    assert rollouts.run(again).skipped
    rest = rollouts.run(context(tmp_path, rule.format(1000), url=stub_server.url))
    assert rest.counts["max_answers"] == PROMPTS
    assert len(set(stub_server.seeds())) == len(stub_server.seeds()) == 4 * PROMPTS


def test_imported_answers_are_judged_until_the_rule_is_content(tmp_path: Path) -> None:
    context(tmp_path, "n: 8", REPLAY)
    answers = [
        {"prompt": f"What is {i} + {3 * i}?", "completion": f"The answer is {4 * i + (k % 2)}."}
        for i in range(PROMPTS)
        for k in range(5)
    ]
    with open_store(tmp_path / "home", "rollouts", write=True) as store:
        import_rollouts(answers, store, policy="teacher")
    ctx = context(tmp_path, "n: 8, stop: [{type: until_k_correct, k: 2}]", REPLAY)
    done = rollouts.run(ctx)
    assert set(outcomes(ctx).values()) == {"rwr"}
    assert done.counts["enough_correct"] == PROMPTS
    short = context(tmp_path, "n: 8, stop: [{type: until_k_correct, k: 4}]", REPLAY)
    assert rollouts.run(short).counts["undecided"] == PROMPTS
    assert set(outcomes(short).values()) == {"rwrwr"}
    assert not answers_drawn(short, None).faults


def test_what_a_rule_cannot_reach_shows_before_anything_is_drawn(tmp_path: Path) -> None:
    rule = "n: 4, stop: [{type: interval, band: [0.1, 0.9], error: 0.01}]"
    with pytest.raises(
        UsageError, match=r"sampling\.stop: interval: .*with 4 answers the least is"
    ):
        plan.plan(context(tmp_path, rule, REPLAY))


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ("stop: [{type: interval}]", "sampling.stop.0: needs a band, a width, hopeless or solved"),
        ("stop: [{type: intervals}]", "sampling.stop.0: `type` must be one of"),
        ("stop: [{type: until_k_correct, kk: 3}]", "sampling.stop.0.kk: unknown key.*did you mean"),
        ("stop: [{type: interval, band: [0.9, 0.1]}]", "lower end 0.9 is above"),
        ("budget: {tokens_per_prompt: 0}", "sampling.budget.tokens_per_prompt"),
    ],
)
def test_wrong_rules_are_named(tmp_path: Path, sampling: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        context(tmp_path, sampling, REPLAY)


def test_the_plan_says_at_most(tmp_path: Path) -> None:
    ctx = context(tmp_path, "n: 4, budget: {answers: 10}", STUB, "http://127.0.0.1:9/v1")
    found = plan.plan(ctx)
    assert (found.answers, found.missing) == (10, 10)
    assert dict(found.lines())["answers"] == "at most 10: 0 stored, at most 10 to draw"


BAND = "stop: [{type: interval, band: [0.2, 0.8], error: 0.2}]"


def test_band_fill_stops_the_run_and_resumes(tmp_path: Path, stub_server: Any) -> None:
    rule = f"n: 12, {BAND}, steer: {{type: band_fill, prompts: 5, window: 4}}"
    heard: list[Step] = []

    class Listener(Silent):
        def step(self, step: Step) -> None:
            heard.append(step)

    first = rollouts.run(context(tmp_path, rule + ", budget: {answers: 6}", url=stub_server.url))
    assert first.counts["rollouts"] == len(stub_server.seeds()) == 6
    whole = replace(context(tmp_path, rule, url=stub_server.url), progress=Listener())
    done = rollouts.run(whole)
    # A prompt of which is told after each of its answers is one prompt all the same.
    assert [step.done for step in heard] == sorted(step.done for step in heard)
    assert heard[-1].done == done.counts["in_band"] + done.counts.get("below_band", 0) + (
        done.counts.get("above_band", 0) + done.counts.get("max_answers", 0)
    )
    assert done.counts["in_band"] >= 5
    assert done.counts["undecided"] > 0
    assert len(set(stub_server.seeds())) == len(stub_server.seeds()) == done.counts["rollouts"]
    other = tmp_path / "calm"
    other.mkdir()
    calm = rollouts.run(context(other, rule, url=stub_server.url))
    assert calm.data_version == done.data_version
    ctx = context(tmp_path, rule, url=stub_server.url)
    assert rollouts.run(ctx).skipped
    assert not answers_drawn(ctx, None).faults


def test_mopps_samples_some_prompts(tmp_path: Path, stub_server: Any) -> None:
    rule = "n: 12, steer: {type: mopps, prompts: 3, rounds: 4, answers: 2, window: 6}"
    done = rollouts.run(context(tmp_path, rule, url=stub_server.url))
    assert done.counts["rollouts"] == 3 * 4 * 2 == len(stub_server.seeds())
    assert done.counts["sampled"] + done.counts["not_chosen"] == PROMPTS


def test_band_fill_needs_a_band(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="band_fill needs one `stop` rule of type interval"):
        context(tmp_path, "n: 12, steer: {type: band_fill, prompts: 5}", REPLAY)


def test_why_says_how_sampling_ended(tmp_path: Path, stub_server: Any) -> None:
    ctx = context(tmp_path, f"n: 12, {BAND}", url=stub_server.url)
    rollouts.run(ctx)
    (first, *_) = ctx.workspace.read("sampled").to_pylist()
    (told,) = life(tmp_path / "home", first["prompt_id"])
    assert told.sampled == first
    assert len(told.answers) == first["answers"]
    rollouts.run(context(tmp_path, "n: 1", url=stub_server.url))
    (told,) = life(tmp_path / "home", first["prompt_id"])
    assert told.sampled is None


def test_prop2diff_draws_more_for_what_fails_more(tmp_path: Path, stub_server: Any) -> None:
    rule = "n: 16, steer: {type: prop2diff, k: 4, pilot: 4}"
    ctx = context(tmp_path, rule, url=stub_server.url)
    done = rollouts.run(ctx)
    kinds = outcomes(ctx).values()
    hardest = max(1 - each[:4].count("r") / 4 for each in kinds)
    for each in kinds:
        target = max(1, math.ceil(4 * (1 - each[:4].count("r") / 4) / hardest - 1e-9))
        assert each.count("r") >= target or len(each) == 16
    assert len(stub_server.seeds()) == done.counts["rollouts"] < 16 * PROMPTS
    assert done.counts["enough_correct"] + done.counts.get("max_answers", 0) == PROMPTS
