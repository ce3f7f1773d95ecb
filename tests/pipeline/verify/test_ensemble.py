"""What `ensemble` makes of its members' verdicts. Its labelled pairs: test_ensemble_rules.py."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import ModelVerifier, Task, Verdict, VerdictName
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.verify import verifier_label
from winnow.pipeline.verify.asking import asked, asks, in_process, members_by
from winnow.pipeline.verify.ensemble import Ensemble, combined, every, majority, some, weighted
from winnow.pipeline.verify.ensemble_arguments import EnsembleArguments, Member, read
from winnow.pipeline.verify.scripted import ScriptedEngine
from winnow.pipeline.verify.worker_pool import VerifierPool, judged

RIGHT, WRONG = "VERDICT: CORRECT", "VERDICT: WRONG"
JUDGE = {"name": "judge", "args": {"n": 1}}
VERDICTS = st.sampled_from(["correct", "wrong", "unjudged"])


def _args(*members: Any, **more: Any) -> dict[str, Any]:
    named = [{"name": m} if isinstance(m, str) else m for m in members]
    return {"verifiers": named, **more}


def _task(*members: Any, **more: Any) -> Task:
    return Task([{"role": "user", "content": "6 * 7?"}], "42", _args(*members, **more))


def _plain(verdict: VerdictName) -> Verdict:
    if verdict == "unjudged":
        return Verdict.unjudged("timeout")
    return Verdict(verdict, float(verdict == "correct"))


def _completions(verdicts: list[VerdictName]) -> list[list[VerdictName]]:
    """Every way in which the unjudged members could have judged."""
    choices: list[list[VerdictName]] = [
        ["correct", "wrong"] if verdict == "unjudged" else [verdict] for verdict in verdicts
    ]
    return [list(found) for found in itertools.product(*choices)]


@given(st.lists(VERDICTS, min_size=1, max_size=6))
def test_all_and_any_are_judged_where_no_unjudged_member_could_change_them(
    verdicts: list[VerdictName],
) -> None:
    for rule, two_valued in ((every, all), (some, any)):
        outcomes = {two_valued(v == "correct" for v in way) for way in _completions(verdicts)}
        expected = "unjudged" if len(outcomes) > 1 else "correct" if outcomes == {True} else "wrong"
        assert rule(verdicts) == expected


@given(st.lists(VERDICTS, min_size=1, max_size=7), st.integers(1, 7))
def test_a_majority_is_counted_among_the_judged(verdicts: list[VerdictName], needed: int) -> None:
    judged_ones: list[str] = [verdict for verdict in verdicts if verdict != "unjudged"]
    found, reason = majority(verdicts, needed)
    assert (reason is None) == (found != "unjudged")
    if len(judged_ones) < needed:
        assert (found, reason) == ("unjudged", "no_quorum")
    elif judged_ones.count("correct") * 2 == len(judged_ones):
        assert (found, reason) == ("unjudged", "tie")
    else:
        assert judged_ones.count(found) * 2 > len(judged_ones)


EIGHTHS = st.integers(-16, 16).map(lambda k: k / 8)  # exact in floating point
MEMBERS = st.lists(
    st.tuples(EIGHTHS, st.sampled_from([None, 0.0, 0.5, 1.0]),
              st.sampled_from([None, [0.0, 1.0], [-1.0, 2.0]])),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(deadline=None)
@given(MEMBERS, EIGHTHS, st.sampled_from([None, [0.0, 1.0], [-0.5, 0.75]]))
def test_a_sum_is_judged_where_no_reward_in_range_could_change_it(
    given_: list[Any], threshold: float, clip: list[float] | None
) -> None:
    """Against every choice of the unjudged rewards from a grid that holds the ends of their range."""
    members = [{"name": "math", "weight": w, "range": r} for w, _, r in given_]
    args = EnsembleArguments.read(_args(*members, rule="weighted", threshold=threshold, clip=clip))
    verdicts = [
        Verdict.unjudged("timeout") if reward is None else Verdict("wrong", reward)
        for _, reward, _ in given_
    ]
    found, reward, _ = weighted(args, verdicts)
    grids = []
    for weight, known, span in given_:
        if known is not None:
            grids.append([known])
        elif span is not None:
            grids.append([span[0] + (span[1] - span[0]) * k / 4 for k in range(5)])
        else:
            grids.append([-1e6, 0.0, 1e6] if weight else [0.0])
    sums = []
    for rewards in itertools.product(*grids):
        total = sum(w * r for (w, _, _), r in zip(given_, rewards, strict=True))
        sums.append(total if clip is None else min(max(total, clip[0]), clip[1]))
    outcomes = {total >= threshold for total in sums}
    expected = "unjudged" if len(outcomes) > 1 else "correct" if outcomes == {True} else "wrong"
    assert found == expected
    assert reward == (None if found == "unjudged" else min(sums))


@settings(deadline=None)
@given(st.lists(VERDICTS, min_size=2, max_size=5), st.randoms(use_true_random=False),
       st.sampled_from(["all", "any", "majority", "weighted"]))  # fmt: skip
def test_the_order_of_the_members_does_not_matter(
    verdicts: list[VerdictName], rng: Any, rule: str
) -> None:
    weights = [0.1, 0.7, 0.3, -0.2, 0.4]
    more = {"threshold": 0.8} if rule == "weighted" else {}
    rows = [
        ({"name": "math", "weight": w} if rule == "weighted" else {"name": "math"}, _plain(v))
        for v, w in zip(verdicts, weights, strict=False)
    ]

    def outcome() -> tuple[str, float | None]:
        args = EnsembleArguments.read(_args(*(m for m, _ in rows), rule=rule, **more))
        found = combined(args, [v for _, v in rows])
        return found.verdict, found.reward

    before = outcome()
    rng.shuffle(rows)
    assert outcome() == before


def test_parts_are_named_by_member_and_numbered_where_a_name_stands_twice() -> None:
    args = EnsembleArguments.read(_args("math", JUDGE, "math"))
    found = combined(
        args,
        [
            Verdict("correct", 1.0, {"steps": 0.5}, "42"),
            Verdict("correct", 1.0, {"agreement": 1.0}, '{"judge":"m"}'),
            Verdict("wrong", 0.0, {}, "41", "unreadable_answer"),
        ],
    )
    assert found.parts == {
        "math[0]": 1.0, "math[0].steps": 0.5, "judge": 1.0, "judge.agreement": 1.0, "math[1]": 0.0,
    }  # fmt: skip
    assert (found.verdict, found.reward, found.extracted) == ("wrong", 0.0, "42")
    assert found.detail == (
        "math[0]=correct, judge=correct, math[1]=wrong (unreadable_answer)\n" + '{"judge":"m"}'
    )


@pytest.mark.parametrize(
    ("rule", "verdicts", "detail"),
    [
        ("all", ["correct", "unjudged"], "undecided: math[0]=correct, math[1]=unjudged (timeout)"),
        ("any", ["wrong", "unjudged"], "undecided: math[0]=wrong, math[1]=unjudged (timeout)"),
        ("majority", ["correct", "wrong"], "tie: math[0]=correct, math[1]=wrong"),
        ("majority", ["correct", "unjudged"],
         "no_quorum: math[0]=correct, math[1]=unjudged (timeout)"),
    ],
)  # fmt: skip
def test_why_there_is_no_verdict(rule: str, verdicts: list[VerdictName], detail: str) -> None:
    args = EnsembleArguments.read(_args("math", "math", rule=rule))
    found = combined(args, [_plain(verdict) for verdict in verdicts])
    assert (found.verdict, found.reward, found.detail) == ("unjudged", None, detail)


def test_what_all_members_say_is_said_once() -> None:
    """So that an answer without an answer is known as one."""
    found = judged("ensemble", "", _task("math", "math"))
    assert (found.verdict, found.reward, found.detail) == ("wrong", 0.0, "no_answer")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "verifiers"),
        (_args(), "verifiers"),
        (_args("maths"), r"verifiers\.0 \(maths\): verifier 'maths' is not known"),
        (_args("math", {"name": "judge", "args": {"n": 2}}), r"verifiers\.1 \(judge\): .*odd"),
        (_args({"name": "math", "arg": {}}), r"verifiers\.0\.arg"),
        (_args("math", rule="most"), "rule"),
        (_args("math", rule="weighted"), "threshold is needed"),
        (_args("math", threshold=0.5), "go with the rule weighted"),
        (_args({"name": "math", "weight": 2.0}), "go with the rule weighted"),
        (_args({"name": "math", "range": [1.0, 0.0]}, rule="weighted", threshold=0.5), "range"),
        (_args("math", rule="weighted", threshold=0.5, clip=[1.0, 1.0]), "clip"),
        (_args("math", quorum=1), "quorum goes with"),
        (_args("math", rule="majority", quorum=2), "larger than the number"),
        (_args(*["math"] * 17), "verifiers"),
        (
            _args({"name": "ensemble", "args": _args("maths")}),
            r"verifiers\.0 \(ensemble\): .*maths",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(args: dict[str, Any], says: str) -> None:
    with pytest.raises(BadArguments, match=says):
        read(args)
    found = judged("ensemble", "42", Task([], "42", args))
    assert found.verdict == "unjudged"
    assert (found.detail or "").startswith("bad_arguments: ")
    assert not asks("ensemble", args)


def test_nesting_has_an_end() -> None:
    args = _args("math")
    for _ in range(2):
        args = _args({"name": "ensemble", "args": args})
    assert judged("ensemble", "42", Task([], "42", args)).verdict == "correct"
    for _ in range(200):
        args = _args({"name": "ensemble", "args": args})
    with pytest.raises(BadArguments, match="nested more than 3 deep"):
        read(args)


def test_every_argument_is_documented() -> None:
    for model in (EnsembleArguments, Member):
        assert all(field.description for field in model.model_fields.values())


def test_members_are_part_of_the_version() -> None:
    ensemble = Ensemble()
    assert isinstance(ensemble, ModelVerifier)
    math = verifier_label("math")
    nested = _args("math", {"name": "ensemble", "args": _args("judge")})
    assert ensemble.version_of(nested) == f"1+{math}+ensemble(1+judge@1)"
    assert ensemble.version_of({}) == "1"
    assert ensemble.members(nested) == {"math", "judge"}
    assert ensemble.members({}) == set()


def test_a_member_that_asks_needs_an_engine() -> None:
    assert not asks("ensemble", _args("math"))
    assert asks("ensemble", _args("math", JUDGE))
    assert asks("ensemble", _args({"name": "ensemble", "args": _args(JUDGE)}))
    assert judged("ensemble", "42", _task("math", JUDGE)) == Verdict.unjudged("needs_engine")


def test_members_that_ask_nobody_are_judged_by_the_given_workers() -> None:
    async def main() -> Verdict:
        engine = ScriptedEngine([RIGHT])
        async with VerifierPool(1, 20.0, verifiers=["math"]) as pool:
            with members_by(pool.judge):
                return await asked("ensemble", "The answer is 42.", _task("math", JUDGE), engine)

    found = asyncio.run(main())
    assert (found.verdict, found.extracted) == ("correct", "42")
    summary, raw = (found.detail or "").split("\n")
    assert summary == "math=correct, judge=correct"
    assert json.loads(raw)["judge"] == "scripted@1"


def test_without_given_workers_such_a_member_has_one_of_its_own() -> None:
    task = _task("math", JUDGE, rule="any")
    found = asyncio.run(asked("ensemble", "The answer is 41.", task, ScriptedEngine([WRONG])))
    assert (found.verdict, found.reward) == ("wrong", 0.0)


class _Unreachable(ScriptedEngine):
    async def complete(self, *args: Any, **options: Any) -> Any:
        raise WinnowError("the server cannot be reached")


def test_a_server_that_nobody_answers_at_stops_the_run() -> None:
    with members_by(in_process):
        with pytest.raises(WinnowError, match="cannot be reached"):
            asyncio.run(asked("ensemble", "42", _task("math", JUDGE), _Unreachable([])))


def test_a_failed_member_is_unjudged() -> None:
    with members_by(in_process):
        engine = ScriptedEngine(["!error timeout: 9 s"])
        found = asyncio.run(asked("ensemble", "The answer is 42.", _task("math", JUDGE), engine))
    assert found.verdict == "unjudged"
    assert "judge=unjudged (judge_error: timeout: 9 s)" in (found.detail or "")
