"""What is drawn, what is reused, and what one failure costs; with a scripted engine."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline import schema
from winnow.pipeline.contracts import Completion, EngineError, Identity, Sampling
from winnow.pipeline.names import Message, rollout_seed
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.synth import sampling
from winnow.synth.sampling import Target

IDENTITY = Identity("model@1", "template")


def _target(**changes: Any) -> Target:
    base: dict[str, Any] = {
        "identity": IDENTITY, "sampling": Sampling(), "seed": 0, "n": 3, "max_tokens": 100,
        "max_attempts": 2,
    }  # fmt: skip
    return Target(**{**base, **changes})


def _row(index: int, attempt: int = 0, **changes: Any) -> dict[str, Any]:
    answer = Completion("text", [1, 2], -1.0, changes.pop("n_tokens", 10), "stop")
    target = _target(**{k: changes.pop(k) for k in ("seed", "max_tokens") if k in changes})
    row = sampling.rollout_row("p", target, index, attempt, 1, answer, None)
    return {**row, **changes}


def _plan(target: Target, *rows: dict[str, Any], **options: bool) -> sampling.Plan:
    """What is missing where a store holds these rows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(Path(folder) / "s", schema.ROLLOUTS, "rollout_id", write=True) as store,
    ):
        store.put(rows)
        return sampling.plan(["p"], sampling.stored_rows(store, ["p"], target), target, **options)


def _missing(*rows: dict[str, Any], settle: bool = False, **target: Any) -> list[tuple[int, int]]:
    found = _plan(_target(**target), *rows, settle=settle)
    return [(m.index, m.attempt) for m in found.missing.get("p", [])]


def test_nothing_stored_means_everything_is_missing() -> None:
    assert _missing() == [(0, 0), (1, 0), (2, 0)]


def test_what_is_stored_is_never_drawn_again() -> None:
    assert _missing(_row(0), _row(2)) == [(1, 0)]
    assert _missing(_row(0), _row(1), _row(2)) == []


def test_a_failure_stands_only_under_the_limit_that_it_happened_at() -> None:
    gone = _failure(0, f"{sampling.PERMANENT}bad_request")
    assert _missing(gone, n=1) == []
    assert _missing(gone, n=1, max_tokens=50) == [(0, 1)]


def test_errors_are_drawn_again_when_the_user_asks() -> None:
    gone = _failure(0, f"{sampling.PERMANENT}bad_request")
    found = _plan(_target(n=1), gone, retry=True)
    assert found.n_missing == 1


def test_another_limit_keeps_an_answer_s_random_stream(tmp_path: Path) -> None:
    """A fresh stream would give answers that were too long a second chance to be short."""
    cut = _row(0, finish_reason="length", n_tokens=100, max_tokens=100)
    found = _plan(_target(n=1, max_tokens=200), cut)
    engine = Scripted()
    _draw(tmp_path, engine, ["p"])
    assert found.missing["p"][0].failures == 0
    first = rollout_seed("p", 0, 0)
    assert engine.asked[0] == ("p", first)
    assert rollout_seed("p", 0, 0, failures=1) != first


def test_text_that_no_file_can_hold_is_stored_with_marks(tmp_path: Path) -> None:
    class Odd(Scripted):
        async def complete(self, *args: Any, **options: Any) -> Completion:
            return Completion("half an emoji: \ud83d", None, None, 1, "stop")

    rows, _ = _draw(tmp_path, Odd(), ["p"])
    assert set(rows["completion"].to_pylist()) == {"half an emoji: ?"}


def test_a_larger_n_asks_for_the_new_indices_only() -> None:
    assert _missing(_row(0), _row(1), _row(2), n=5) == [(3, 0), (4, 0)]


@pytest.mark.parametrize(
    ("row", "limit", "again"),
    [
        ({"finish_reason": "stop", "n_tokens": 10}, 10, False),
        ({"finish_reason": "stop", "n_tokens": 10}, 10_000, False),
        ({"finish_reason": "stop", "n_tokens": 11}, 10, True),
        ({"finish_reason": "length", "n_tokens": 100, "max_tokens": 100}, 100, False),
        ({"finish_reason": "length", "n_tokens": 100, "max_tokens": 100}, 200, True),
        ({"finish_reason": "length", "n_tokens": 100, "max_tokens": 100}, 50, True),
    ],
)
def test_an_answer_is_valid_under_the_limits_that_it_fits(
    row: dict[str, Any], limit: int, again: bool
) -> None:
    assert _missing(_row(0, **row), n=1, max_tokens=limit) == ([(0, 1)] if again else [])


def test_a_new_attempt_leaves_the_old_one_valid_at_its_own_limit() -> None:
    cut = _row(0, finish_reason="length", n_tokens=100, max_tokens=100)
    whole = _row(0, 1, n_tokens=150, max_tokens=200)
    for limit, chosen in ((100, cut), (200, whole), (150, whole)):
        found = _plan(_target(n=1, max_tokens=limit), cut, whole)
        assert found.stored == [chosen["rollout_id"]]


@pytest.mark.parametrize(
    "other",
    [
        {"policy": "model@2"},
        {"template": "other"},
        {"sampler": Sampling(temperature=0.5).name},
        {"recipe_seed": 1},
    ],
)
def test_answers_of_another_policy_template_sampler_or_seed_do_not_count(
    other: dict[str, Any],
) -> None:
    assert _missing(_row(0, **other), n=1) == [(0, 0)]


def _failure(attempt: int, error: str = "engine_died") -> dict[str, Any]:
    return _row(0, attempt, finish_reason="error", error=error, completion="")


def test_a_failure_is_tried_again_until_its_tries_are_used_up() -> None:
    assert _missing(_failure(0), n=1) == [(0, 1)]
    assert _missing(_failure(0), _failure(1), n=1) == []
    assert _missing(_failure(0), n=1, settle=True) == []


def test_a_permanent_failure_is_never_tried_again() -> None:
    gone = _failure(0, f"{sampling.PERMANENT}prompt_too_long")
    assert _missing(gone, n=1, max_attempts=9) == []


class Scripted:
    """Answers from a function of (prompt text, seed); counts what is in flight."""

    identity = IDENTITY

    def __init__(self, fail: Any = None) -> None:
        self.asked: list[tuple[str, int]] = []
        self.most = self._now = 0
        self._fail = fail

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        text = messages[-1]["content"]
        self.asked.append((text, seed))
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0.001 * (seed % 3))
        self._now -= 1
        if self._fail:
            self._fail(text, seed)
        return Completion(f"{text}:{seed}", [seed % 100], -0.5, 1, "stop")

    async def close(self) -> None: ...


def _draw(
    folder: Path, engine: Scripted, prompts: list[str], *, concurrency: int = 8, judge: Any = None
) -> tuple[pa.Table, list[str]]:
    """Draw all that is missing for `prompts`; gives the stored rows and the order of judgements."""
    judged: list[str] = []

    async def note(row: dict[str, Any]) -> None:
        with Store(folder / "s", schema.ROLLOUTS, "rollout_id") as reader:
            assert reader.existing([row["rollout_id"]]), "judged before it was stored"
        judged.append(row["rollout_id"])

    async def main(store: Store) -> None:
        todo = sampling.plan(prompts, sampling.stored_rows(store, prompts, _target()), _target())
        messages = {p: [{"role": "user", "content": p}] for p in prompts}
        async with AsyncWriter(store) as writer:
            await sampling.draw(
                todo.missing, messages, engine, _target(), writer,
                concurrency=concurrency, judge=judge or note,
            )  # fmt: skip

    with Store(folder / "s", schema.ROLLOUTS, "rollout_id", index=("prompt_id",), write=True) as s:
        asyncio.run(main(s))
        return s.all(), judged


def test_every_answer_is_stored_once_then_judged(tmp_path: Path) -> None:
    engine = Scripted()
    rows, judged = _draw(tmp_path, engine, [f"p{i}" for i in range(20)])
    assert rows.num_rows == 60 == len(engine.asked) == len(set(engine.asked))
    assert sorted(judged) == rows["rollout_id"].to_pylist()
    again = Scripted()
    _draw(tmp_path, again, [f"p{i}" for i in range(20)])
    assert again.asked == []


@pytest.mark.parametrize("concurrency", [1, 5])
def test_no_more_requests_are_in_flight_than_allowed(tmp_path: Path, concurrency: int) -> None:
    engine = Scripted()
    _draw(tmp_path, engine, [f"p{i}" for i in range(12)], concurrency=concurrency)
    assert engine.most == concurrency


def test_slow_verdicts_do_not_keep_the_engine_waiting(tmp_path: Path) -> None:
    """While one prompt's verdict takes for ever, the others are drawn."""
    drawn_meanwhile: list[int] = []
    engine = Scripted()

    async def judge(row: dict[str, Any]) -> None:
        if row["completion"].startswith("p0:"):
            for _ in range(500):
                if len(engine.asked) == 30:
                    break
                await asyncio.sleep(0.01)
            drawn_meanwhile.append(len(engine.asked))

    _draw(tmp_path, engine, [f"p{i}" for i in range(10)], concurrency=4, judge=judge)
    assert drawn_meanwhile == [30, 30, 30]


def test_one_failed_request_costs_its_row_and_no_other(tmp_path: Path) -> None:
    def fail(text: str, seed: int) -> None:
        if text == "p3":
            raise EngineError("too long", permanent=True)

    rows, _ = _draw(tmp_path, Scripted(fail), [f"p{i}" for i in range(6)])
    errors = {row["prompt_id"]: row["error"] for row in rows.to_pylist() if row["error"]}
    assert rows.num_rows == 18
    assert errors == {"p3": f"{sampling.PERMANENT}too long"}


def test_a_bug_is_not_taken_for_a_failed_request(tmp_path: Path) -> None:
    def fail(text: str, seed: int) -> None:
        raise KeyError(text)

    with pytest.raises(BaseExceptionGroup):
        _draw(tmp_path, Scripted(fail), ["p0"])


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12), st.integers(1, 6))
def test_a_plan_covers_each_index_exactly_once(have: set[tuple[int, int]], n: int) -> None:
    rows = [_row(index, attempt) for index, attempt in have]
    found = _plan(_target(n=n), *rows)
    asked = [m.index for m in found.missing.get("p", [])]
    names = {row["rollout_id"]: row["index"] for row in rows}
    assert sorted(asked + [names[name] for name in found.stored]) == list(range(n))
