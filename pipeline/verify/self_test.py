"""Labelled pairs that every verifier must judge as a person would; `winnow verify --self-test`.

`pairs/<verifier>.jsonl` holds one pair a line, written against the mistakes that verifiers are known
to make. `mutations` makes further wrong answers out of the accepted ones, counted apart. A verifier
that loses one of its rules fails at least one of its pairs; tests/pipeline/verify takes each rule
away in turn.
"""

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from winnow.pipeline.contracts import Task, Verdict, VerdictName
from winnow.pipeline.errors import UsageError

if TYPE_CHECKING:
    from winnow.pipeline.verify.asking import Local

FOLDER = Path(__file__).parent / "pairs"

Judge = Callable[[str, Task], Verdict]


@dataclass(frozen=True)
class Pair:
    """One labelled pair.

    `label` is what a person says: accept or reject. `verdict` is the value that must come out,
    `correct` for accept and `wrong` for reject where the file names none; `reward`, where given, must
    come out too (to 1e-6). `rule` names what the pair guards. `replies` are a model's answers, in
    order, for verifiers that ask one (`scripted.ScriptedEngine` says what they may hold).
    `args.database` may name an `.sql` script in the same folder,
    from which a SQLite file is made.
    """

    rule: str
    label: Literal["accept", "reject"]
    completion: str
    answer: str | None = None
    args: dict[str, Any] = field(default_factory=dict)
    prompt: str | None = None
    verdict: VerdictName | None = None
    reward: float | None = None
    replies: tuple[str, ...] = ()

    @property
    def expected(self) -> VerdictName:
        return self.verdict or ("correct" if self.label == "accept" else "wrong")

    @property
    def task(self) -> Task:
        messages = [] if self.prompt is None else [{"role": "user", "content": self.prompt}]
        return Task(messages, self.answer, self.args)

    def holds(self, verdict: Verdict) -> bool:
        """Whether `verdict` is what the pair expects."""
        if verdict.verdict != self.expected:
            return False
        if self.reward is None:
            return True
        return verdict.reward is not None and abs(verdict.reward - self.reward) <= 1e-6


@dataclass(frozen=True)
class Miss:
    """A pair that a verifier judged otherwise than its label."""

    pair: Pair
    verdict: Verdict


@dataclass(frozen=True)
class Score:
    """How one verifier did. `false_accepts` are rejected pairs that came out otherwise than
    expected, `false_rejects` accepted ones."""

    verifier: str
    accept: int
    reject: int
    false_accepts: tuple[Miss, ...]
    false_rejects: tuple[Miss, ...]

    @property
    def passed(self) -> bool:
        return not self.false_accepts and not self.false_rejects


def tested() -> list[str]:
    """Verifiers that have pairs, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


@contextmanager
def pairs(verifier: str) -> Iterator[list[Pair]]:
    """The labelled pairs of `verifier`; the databases that they name exist inside the block."""
    with tempfile.TemporaryDirectory(prefix="winnow-self-test-") as scratch:
        yield [_ready(pair, Path(scratch)) for pair in read(verifier)]


def read(verifier: str) -> list[Pair]:
    """The pairs as they stand in the file."""
    lines = (FOLDER / f"{verifier}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_pair(json.loads(line)) for line in lines if line.strip()]


def _pair(values: dict[str, Any]) -> Pair:
    replies = tuple(values.pop("replies", ()))
    return Pair(replies=replies, **values)


def _ready(pair: Pair, scratch: Path) -> Pair:
    script = pair.args.get("database")
    if not isinstance(script, str) or not script.endswith(".sql"):
        return pair
    path = scratch / f"{Path(script).stem}.sqlite"
    if not path.exists():
        connection = sqlite3.connect(path)
        connection.executescript((FOLDER / script).read_text(encoding="utf-8"))
        connection.close()
    return Pair(**{**vars(pair), "args": {**pair.args, "database": str(path)}})


def score(verifier: str, given: Sequence[Pair], verdicts: Sequence[Verdict]) -> Score:
    """Compare `verdicts` with the labels of `given`, pair by pair."""
    missed = [
        Miss(pair, verdict)
        for pair, verdict in zip(given, verdicts, strict=True)
        if not pair.holds(verdict)
    ]
    return Score(
        verifier,
        sum(pair.label == "accept" for pair in given),
        sum(pair.label == "reject" for pair in given),
        tuple(miss for miss in missed if miss.pair.label == "reject"),
        tuple(miss for miss in missed if miss.pair.label == "accept"),
    )


def run_here(verifier: str, judge: Judge | None = None) -> Score:
    """The self-test of `verifier` in this process, without workers: for tests.

    `judge` stands in for the verifier's own `verify`.
    """
    with pairs(verifier) as given:
        if judge is None:
            found = [judged_here(verifier, pair) for pair in given]
        else:
            found = [judge(pair.completion, pair.task) for pair in given]
    return score(verifier, given, found)


def judged_here(verifier: str, pair: Pair) -> Verdict:
    """The verdict on `pair`, in this process."""
    from winnow.pipeline.verify.asking import in_process

    return asyncio.run(_judged(verifier, pair, in_process))


async def _judged(verifier: str, pair: Pair, local: "Local") -> Verdict:
    """The verdict on `pair` by `local`; a verifier that asks a model is given the pair's replies.
    Raises ValueError where it asks for more than there are."""
    from winnow.pipeline.verify.asking import asked, asks, members_by
    from winnow.pipeline.verify.scripted import ScriptedEngine

    if not asks(verifier, pair.args):
        return (await local(verifier, pair.completion, pair.task)).verdict
    engine = ScriptedEngine(pair.replies)
    with members_by(local):
        verdict = await asked(verifier, pair.completion, pair.task, engine)
    if len(engine.requests) > len(pair.replies):
        raise ValueError(
            f"a pair for {pair.rule!r} lacks replies: {len(engine.requests)} asked for"
        )
    return verdict


async def run_all(
    verifiers: Sequence[str], *, workers: int, timeout_seconds: float
) -> list[tuple[Score, Score]]:
    """(the labelled pairs, the mutations made of them) of each verifier, judged by workers as in a
    run. Raises UsageError for a verifier without pairs."""
    from winnow.pipeline.verify.mutations import mutations
    from winnow.pipeline.verify.worker_pool import VerifierPool

    for name in verifiers:
        if name not in tested():
            raise UsageError(f"verifier {name!r} ships no pairs; there are: {', '.join(tested())}")
    found = []
    async with VerifierPool(workers, timeout_seconds, verifiers) as pool:
        for name in verifiers:
            with pairs(name) as given:
                # What a model says to one answer, it need not say to another.
                mutated = mutations(name, [pair for pair in given if not pair.replies])
                verdicts = await asyncio.gather(
                    *[_judged(name, pair, pool.judge) for pair in (*given, *mutated)]
                )
            n = len(given)
            found.append((score(name, given, verdicts[:n]), score(name, mutated, verdicts[n:])))
    return found
