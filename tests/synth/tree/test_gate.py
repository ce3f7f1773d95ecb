"""Many searches over one engine: no barrier, a limit, an honest load, and an orderly end."""

import asyncio
import random
from typing import Any

import pytest

from tests.synth.tree.scripted import IDENTITY, Says, StepEngine
from winnow.pipeline.contracts import CacheCounts, Completion, Sampling, Task, Verdict
from winnow.pipeline.errors import UsageError
from winnow.pipeline.verify.asking import asked
from winnow.synth.tree import mcts
from winnow.synth.tree.gate import Gate, OnDemand, Stopped, continuing, each
from winnow.synth.tree.memo import Drawing, Memo, root
from winnow.synth.tree.policy import EnginePolicy

PROMPT = [{"role": "user", "content": "hi"}]


class Slow:
    """An engine that answers when the test lets it."""

    identity = IDENTITY
    cache_counts = CacheCounts(100, 75)

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []
        self.most = self._now = 0
        self.prefixes: list[str] = []

    async def complete(
        self, messages: Any, sampling: Sampling, *, seed: int, max_tokens: int, prefix: str = ""
    ) -> Completion:
        self.prefixes.append(prefix)
        self._now += 1
        self.most = max(self.most, self._now)
        self.waiting.append(asyncio.get_running_loop().create_future())
        await self.waiting[-1]
        self._now -= 1
        return Completion("a", None, None, 1, "stop")

    async def close(self) -> None: ...


def _ask(engine: Any, seed: int = 0, **options: Any) -> Any:
    return engine.complete(PROMPT, Sampling(), seed=seed, max_tokens=1, **options)


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_gate_lets_so_many_through() -> None:
    async def main() -> int:
        slow = Slow()
        gate = Gate(slow, 3)
        tasks = [asyncio.create_task(_ask(gate, n)) for n in range(8)]
        for _ in range(8):
            await _turn()
            next(f for f in slow.waiting if not f.done()).set_result(None)
        await asyncio.gather(*tasks)
        assert gate.load.requests == 8
        return slow.most

    assert asyncio.run(main()) == 3


def test_the_load_is_the_mean_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests from 0 to 10 s, one of them until 30 s: (2 * 10 + 1 * 20) / 30."""
    now = 5.0  # a clock need not begin at 0
    monkeypatch.setattr("winnow.synth.tree.gate.time.perf_counter", lambda: now)

    async def main() -> Any:
        nonlocal now
        slow = Slow()
        gate = Gate(slow, 9)
        tasks = [asyncio.create_task(_ask(gate, n)) for n in range(2)]
        await _turn()
        for at, future in ((15.0, 0), (35.0, 1)):
            now = at
            slow.waiting[future].set_result(None)
            await _turn()
        await asyncio.gather(*tasks)
        return gate.load

    load = asyncio.run(main())
    assert load.mean_in_flight == pytest.approx(40 / 30)
    assert (load.requests, load.seconds) == (2, 30.0)
    assert load.cache is not None and load.cache.hit_rate == 0.75


def test_a_gate_that_is_stopped_ends_what_is_under_way_and_begins_nothing() -> None:
    async def main() -> None:
        slow = Slow()
        gate = Gate(slow, 2)
        tasks = [asyncio.create_task(_ask(gate, n)) for n in range(4)]
        await _turn()
        gate.stop()
        for future in slow.waiting:
            future.set_result(None)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in found] == [Completion, Completion, Stopped, Stopped]
        assert len(slow.waiting) == 2

    asyncio.run(main())


def test_no_judge_takes_the_end_for_a_failure_of_its_row() -> None:
    """An unjudged verdict would be stored, and stand."""

    async def main() -> None:
        gate = Gate(StepEngine(), 1)
        gate.stop()
        with pytest.raises(Stopped):
            await asked("judge", "7", Task(PROMPT, "7", {"n": 3}), gate)

    asyncio.run(main())


def test_prefixes_pass_and_empty_ones_are_not_sent() -> None:
    class Plain:
        identity = IDENTITY

        async def complete(
            self, messages: Any, sampling: Sampling, *, seed: int, max_tokens: int
        ) -> Completion:
            return Completion("b", None, None, 1, "stop")

        async def close(self) -> None: ...

    async def main() -> str:
        gate: Any = Gate(Plain(), 1)  # type: ignore[arg-type]
        return (await _ask(gate)).text

    assert asyncio.run(main()) == "b"
    with pytest.raises(UsageError, match="takes no `prefix`"):
        continuing(Plain())
    assert continuing(Slow())


def test_an_engine_starts_when_it_is_first_needed_and_once() -> None:
    async def main() -> list[str]:
        said = []

        async def start() -> Any:
            said.append("started")
            await asyncio.sleep(0)
            return StepEngine()

        engine = OnDemand(IDENTITY, start)
        await engine.close()
        assert said == [] and engine.cache_counts is None
        await asyncio.gather(*(_ask(engine, n, prefix="x") for n in range(5)))
        await engine.close()
        return said

    assert asyncio.run(main()) == ["started"]


def test_an_engine_that_is_starting_carries_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("winnow.synth.tree.gate.time.perf_counter", lambda: now)

    async def main() -> Any:
        nonlocal now
        slow = Slow()

        async def start() -> Any:
            nonlocal now
            now = 100.0
            await asyncio.sleep(0)
            return slow

        gate = Gate(OnDemand(IDENTITY, start), 9)
        tasks = [asyncio.create_task(_ask(gate, n)) for n in range(3)]
        while len(slow.waiting) < 3:
            await asyncio.sleep(0)
        now = 110.0
        for future in slow.waiting:
            future.set_result(None)
        await asyncio.gather(*tasks)
        return gate.load

    load = asyncio.run(main())
    assert (load.seconds, load.mean_in_flight, load.requests) == (10.0, 3.0, 3)
    assert load.cache == CacheCounts(100, 75)


def test_many_trees_are_searched_at_once_and_as_each_alone() -> None:
    """Equal to one tree at a time, with far more requests under way."""
    jobs = list(range(12))

    async def tree(number: int, engine: Any) -> mcts.Mcts:
        messages = [{"role": "user", "content": str(number)}]
        memo = Memo(str(number))
        policy = EnginePolicy(engine, messages, Drawing(IDENTITY, Sampling(), 0, 9), memo)
        judge = Says(lambda name: Verdict("correct" if name[0] < "2" else "wrong", 0.0))
        options = mcts.MctsOptions(max_iterations=8, max_steps=4)
        return await mcts.search(root(messages), policy, judge, random.Random(number), options)

    async def together(limit: int) -> tuple[dict[int, mcts.Mcts], int]:
        engine = Counting()
        gate = Gate(engine, limit)
        found: dict[int, mcts.Mcts] = {}

        async def one(number: int) -> None:
            found[number] = await tree(number, gate)

        assert await each(jobs, one, live=2 * limit) == len(jobs)
        return found, engine.most

    class Counting(StepEngine):
        most = now = 0

        async def complete(self, *args: Any, **options: Any) -> Completion:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                return await super().complete(*args, **options)
            finally:
                self.now -= 1

    alone = {number: asyncio.run(tree(number, StepEngine())) for number in jobs}
    found, most = asyncio.run(together(24))
    assert found == alone
    assert most == 24
    narrow, most = asyncio.run(together(2))
    assert narrow == alone
    assert most == 2
    assert len({each.iterations_used for each in alone.values()}) > 1


def test_a_slow_tree_keeps_no_other_waiting() -> None:
    """One job never ends until all others have."""

    async def main() -> list[int]:
        order: list[int] = []
        others = asyncio.Event()

        async def one(number: int) -> None:
            if number == 0:
                await others.wait()
            order.append(number)
            if len(order) == 9:
                others.set()

        await each(range(10), one, live=2)
        return order

    assert asyncio.run(main())[-1] == 0


def test_what_rises_in_one_job_ends_them_all_and_a_stop_does_not() -> None:
    async def main(error: Exception) -> tuple[int, int]:
        done = 0

        async def one(number: int) -> None:
            nonlocal done
            if number == 3:
                raise error
            await asyncio.sleep(0)
            done += 1

        return await each(range(8), one, live=2), done

    assert asyncio.run(main(Stopped())) == (7, 7)
    with pytest.raises(BaseExceptionGroup):
        asyncio.run(main(KeyError("bug")))
