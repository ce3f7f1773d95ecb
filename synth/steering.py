"""Which prompt is given answers next, where that depends on all the others.

A director chooses prompts by what is known of all of them. With many requests in flight, what is
known would depend on which answer came first, and a resumed run would choose otherwise. So choices
are counted: choice k is made knowing the outcomes of choices 0 to k - window, all of them and no
others, learnt in this order. The engine has up to `window` choices to work on, and a run is a
function of its answers alone: over stored answers it makes the same choices again, which is how it
resumes. The store is the log of its decisions.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from winnow.pipeline.estimate.dart import prop2diff_targets
from winnow.pipeline.estimate.mopps import update
from winnow.synth.adaptive import AnyShelf, Decision, Desk, Judged, Verdicts, Walk, stored
from winnow.synth.sampling import Row
from winnow.synth.stopping.band_fill import BandFill
from winnow.synth.stopping.base import Rule, Tally
from winnow.synth.stopping.mopps import Mopps
from winnow.synth.stopping.until_k_correct import UntilKCorrect


@dataclass(frozen=True)
class Choice:
    """Answers `start` to `start + wanted - 1` of a prompt are to be had."""

    prompt_id: str
    start: int
    wanted: int


class Director(Protocol):
    def choose(self) -> Choice | None:
        """None: nothing to do with what is known, or enough is known. A prompt whose answers are not
        yet learnt is not chosen again."""
        ...

    def learn(self, choice: Choice, answers: Sequence[Judged]) -> Decision:
        """What came of a choice; what is now known of its prompt."""
        ...

    def decisions(self) -> list[Decision]:
        """Of every prompt, in the given order."""
        ...


Step = tuple[Literal["ask", "wait"], Choice]


def steps(
    director: Director,
    window: int,
    on_decision: Callable[[Decision], None] = lambda decision: None,
) -> Generator[Step, Sequence[Judged] | None, None]:
    """What is to be done: to ask for the answers of a choice, or to wait for those of the oldest one,
    which are sent in. Ends where answers are fewer than wanted: there is no more to be had."""
    pending: deque[Choice] = deque()
    short = False
    while True:
        choice = director.choose() if len(pending) < window and not short else None
        if choice is not None:
            pending.append(choice)
            yield "ask", choice
        elif pending:
            oldest = pending.popleft()
            answers = yield "wait", oldest
            assert answers is not None
            on_decision(director.learn(oldest, answers))
            short = short or len(answers) < oldest.wanted
        else:
            return


def replay(
    director: Director,
    window: int,
    shelf: AnyShelf,
    verdicts: Callable[[Row], Verdicts | None],
) -> bool:
    """Take the director through what is stored; whether that was all it wanted."""
    whole = True
    run = steps(director, window)
    step = next(run, None)
    while step is not None:
        kind, choice = step
        answers = None
        if kind == "wait":
            answers = stored(shelf, verdicts, choice.prompt_id, choice.start, choice.wanted)
            whole = whole and len(answers) == choice.wanted
        step = _sent(run, answers)
    return whole


async def draw_steered(
    director: Director,
    window: int,
    desk: Desk,
    on_decision: Callable[[Decision], None] = lambda decision: None,
) -> None:
    """Do what the director chooses; `on_decision` is told of the prompt of each choice."""
    tasks: dict[Choice, asyncio.Task[list[Judged]]] = {}
    async with asyncio.TaskGroup() as group:
        run = steps(director, window, on_decision)
        step = next(run, None)
        while step is not None:
            kind, choice = step
            answers = None
            if kind == "ask":
                wanted = desk.answers(choice.prompt_id, choice.start, choice.wanted)
                tasks[choice] = group.create_task(wanted)
            else:
                answers = await tasks.pop(choice)
            step = _sent(run, answers)


def _sent(
    run: Generator[Step, Sequence[Judged] | None, None], answers: Sequence[Judged] | None
) -> Step | None:
    try:
        return run.send(answers)
    except StopIteration:
        return None


class BandFiller:
    """Until `fill.wanted` prompts are surely in the band, those first that cost the fewest expected
    tokens for a prompt in the band; one answer at a time, since each can change the order.

    `rule` holds the interval rule of `fill`, and the caps. `tokens`: what an answer is taken to cost
    before a prompt has some.
    """

    def __init__(self, prompts: Iterable[str], rule: Rule, fill: BandFill, tokens: float) -> None:
        self._walks = {prompt: Walk(prompt, rule) for prompt in prompts}
        self._fill, self._tokens = fill, tokens
        self._place = {prompt: at for at, prompt in enumerate(self._walks)}
        self._open = [(self._cost(walk), self._place[p], p) for p, walk in self._walks.items()]
        heapq.heapify(self._open)
        self._inside = 0

    def choose(self) -> Choice | None:
        if self._inside >= self._fill.wanted or not self._open:
            return None
        prompt = heapq.heappop(self._open)[2]
        return Choice(prompt, self._walks[prompt].answers, 1)

    def learn(self, choice: Choice, answers: Sequence[Judged]) -> Decision:
        walk = self._walks[choice.prompt_id]
        walk.add(answers)
        found = walk.decision()
        if found.reason is None:
            cost = self._cost(walk)
            heapq.heappush(self._open, (cost, self._place[walk.prompt], walk.prompt))
        else:
            self._inside += "in_band" in found.reason.split(",")
        return found

    def decisions(self) -> list[Decision]:
        return [walk.decision() for walk in self._walks.values()]

    def _cost(self, walk: Walk) -> float:
        # With several references: the cheapest.
        tallies = walk.tallies.values() or [Tally()]
        return min(self._fill.cost(tally, self._tokens) for tally in tallies)


class Thompson:
    """MoPPS in rounds: `answers` more for each of the prompts that `rule` chooses, `rounds` times.

    A prompt that has its `cap` answers, or whose last ones are still under way, waits. Of a prompt
    with several references the posterior is that of the first by name.
    """

    def __init__(
        self,
        prompts: Iterable[str],
        rule: Mopps,
        cap: Rule,
        *,
        answers: int,
        rounds: int,
        seed: int,
        prior: tuple[float, float],
    ) -> None:
        self._names = list(prompts)
        self._at = {prompt: at for at, prompt in enumerate(self._names)}
        self._walks = [Walk(prompt, cap) for prompt in self._names]
        self._rule, self._answers, self._rounds, self._seed = rule, answers, rounds, seed
        self._prior = prior
        self._alpha, self._beta = (np.full(len(self._names), float(each)) for each in prior)
        self._free = np.ones(len(self._names), dtype=bool)
        self._round = 0
        self._chosen: deque[int] = deque()

    def choose(self) -> Choice | None:
        if not self._chosen:
            if self._round >= self._rounds:
                return None
            free = self._free & np.array([walk.more > 0 for walk in self._walks], dtype=bool)
            if not free.any():
                return None
            posterior = self._alpha, self._beta
            chosen = self._rule.choose(
                posterior, seed=self._seed, round_=self._round, eligible=free
            )
            self._chosen.extend(chosen.tolist())
            self._round += 1
        at = self._chosen.popleft()
        self._free[at] = False
        walk = self._walks[at]
        return Choice(walk.prompt, walk.answers, min(self._answers, walk.more))

    def learn(self, choice: Choice, answers: Sequence[Judged]) -> Decision:
        at = self._at[choice.prompt_id]
        self._free[at] = True
        before = _first(self._walks[at])
        self._walks[at].add(answers)
        after = _first(self._walks[at])
        right, wrong = after.correct - before.correct, after.wrong - before.wrong
        self._alpha[at], self._beta[at] = update(
            self._alpha[at], self._beta[at], right, wrong,
            discount=self._rule.discount, prior=self._prior,
        )  # fmt: skip
        return self._decision(self._walks[at])

    def decisions(self) -> list[Decision]:
        return [self._decision(walk) for walk in self._walks]

    def _decision(self, walk: Walk) -> Decision:
        return Decision(walk.prompt, walk.answers, "sampled" if walk.answers else "not_chosen")


class Prop2Diff:
    """DARS-Prop2Diff (arXiv 2407.13690): right answers in proportion to how often a prompt is failed,
    `k` for the hardest, as far as `cap` lets it get.

    The first `pilot` answers of every prompt give its fail rate f, unjudged ones counted as failed as
    the authors do, and count towards its target ceil(k f / max f). Until the last pilot is in, prompts
    go on to ceil(k f), which no target is below. Of a prompt with several references the first by
    name counts.
    """

    def __init__(
        self, prompts: Iterable[str], cap: Rule, *, k: int, pilot: int, cover: bool
    ) -> None:
        self._walks = {prompt: Walk(prompt, cap) for prompt in prompts}
        self._cap, self._k, self._pilot, self._cover = cap, k, pilot, cover
        self._untried = deque(self._walks)
        self._open: deque[str] = deque()
        self._fail_rates: dict[str, float] = {}
        self._targets: dict[str, int] = {}

    def choose(self) -> Choice | None:
        if self._untried:
            walk = self._walks[self._untried.popleft()]
            return Choice(walk.prompt, 0, min(self._pilot, walk.more))
        for _ in range(len(self._open)):
            walk = self._walks[self._open.popleft()]
            if wanted := self._wanted(walk):
                return Choice(walk.prompt, walk.answers, wanted)
            if not self._targets:
                self._open.append(walk.prompt)  # the last pilots may raise its target
        return None

    def learn(self, choice: Choice, answers: Sequence[Judged]) -> Decision:
        walk = self._walks[choice.prompt_id]
        walk.add(answers)
        tally = _first(walk)
        if choice.start == 0:
            self._fail_rates[walk.prompt] = 1 - tally.correct / max(tally.drawn, 1)
            if len(self._fail_rates) == len(self._walks):
                rates = [self._fail_rates[prompt] for prompt in self._walks]
                targets = prop2diff_targets(rates, self._k, cover=self._cover).tolist()
                self._targets = dict(zip(self._walks, targets, strict=True))
        self._open.append(walk.prompt)
        return self._decision(walk)

    def decisions(self) -> list[Decision]:
        return [self._decision(walk) for walk in self._walks.values()]

    def _wanted(self, walk: Walk) -> int:
        """The fewest answers that the prompt needs for what its target is known to be."""
        target = self._targets.get(walk.prompt)
        if target is None:
            target = int(prop2diff_targets([1.0, self._fail_rates[walk.prompt]], self._k)[1])
        return min(UntilKCorrect(target).more(_first(walk)), walk.more)

    def _decision(self, walk: Walk) -> Decision:
        if not self._targets or (wanted := self._wanted(walk)):
            return Decision(walk.prompt, walk.answers, None, wanted if self._targets else 1)
        enough = UntilKCorrect(self._targets[walk.prompt]).reason(_first(walk))
        return Decision(walk.prompt, walk.answers, enough or self._cap.reason(_first(walk)))


def _first(walk: Walk) -> Tally:
    return walk.tallies[min(walk.tallies)] if walk.tallies else Tally()
