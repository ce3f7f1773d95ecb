"""Recall and precision of the gold audit on public sets with planted wrong references.

    python benchmarks/gold_audit.py [--data ../shared/data] [--rows 600] [--seeds 3]

Real questions' references, simulated answers. A share of the references is replaced: by another
row's, or by a near miss of their own. Each task has a pass probability p from the policy's Beta
distribution; an answer is the true one with probability p, cannot be read in 5 % and is cut off in
3 % of the cases; a wrong answer is the task's own common mistake with a probability that the task
draws from Beta(1, 2) (mistakes agree), else some other number. All verdicts come from the verifier
`math`. Printed per set, policy and number of answers: suspects, how many of them were planted
(precision), how many of the planted were found (recall), and among those with p >= 0.8.
"""

import argparse
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.audit import AuditConfig, AuditTask, Vote, audit, questions
from winnow.pipeline.verify.worker_pool import judged

SETS = ("gsm8k_test", "svamp", "math500_test")
POLICIES = {"strong": (6.0, 1.0), "middling": (2.0, 1.0), "weak": (1.0, 2.0)}
PLANTED = 0.03
UNREADABLE, CUT_OFF = 0.05, 0.03


@dataclass(frozen=True)
class Outcome:
    """What the audit found on one simulated set."""

    tasks: int
    planted: int
    suspects: int
    found: int  # suspects that were planted
    solvable: int  # planted whose task the policy solves with p >= 0.8
    solvable_found: int
    doubts: int

    @property
    def precision(self) -> float:
        return self.found / self.suspects if self.suspects else 1.0

    @property
    def recall(self) -> float:
        return self.found / self.planted if self.planted else 1.0

    @property
    def solvable_recall(self) -> float:
        return self.solvable_found / self.solvable if self.solvable else 1.0


def total(outcomes: Iterable[Outcome]) -> Outcome:
    """The sums over several sets."""
    return Outcome(*(sum(column) for column in zip(*map(_columns, outcomes), strict=True)))


def _columns(outcome: Outcome) -> tuple[int, ...]:
    return tuple(vars(outcome).values())


def simulate(
    answers: Mapping[str, str],
    policy: tuple[float, float],
    n: int,
    seed: int,
    config: AuditConfig | None = None,
) -> Outcome:
    """Plant wrong references among `answers` (true answers by task), draw n answers for each task, and
    audit."""
    config = config or AuditConfig()
    rng = random.Random(seed)
    every = list(answers.values())
    planted: dict[str, str] = {}
    solved: dict[str, float] = {}
    tasks = []
    for name, true in answers.items():
        reference = true
        if rng.random() < PLANTED:
            reference = rng.choice(every) if rng.random() < 0.5 else near_miss(true, rng)
            if _verdict(reference, true) != "wrong":  # the same after all
                reference = true
            else:
                planted[name] = reference
        solved[name] = rng.betavariate(*policy)
        tasks.append(_task(name, true, reference, solved[name], n, every, rng))
    equal = {(a, b) for a, b in questions(tasks, config) if _verdict(a, b) == "correct"}
    rows = audit(tasks, config, equal).to_pylist()
    found = {row["task_id"] for row in rows if row["suspect"]}
    solvable = {name for name in planted if solved[name] >= 0.8}
    return Outcome(
        len(tasks),
        len(planted),
        len(found),
        len(found & set(planted)),
        len(solvable),
        len(found & solvable),
        sum(row["doubt"] is not None for row in rows),
    )


def _task(
    name: str, true: str, reference: str, p: float, n: int, every: list[str], rng: random.Random
) -> AuditTask:
    mistake = near_miss(true, rng) if rng.random() < 0.7 else rng.choice(every)
    agree = rng.betavariate(1, 2)
    votes = []
    for _ in range(n):
        chance = rng.random()
        if chance < CUT_OFF:
            votes.append(Vote("unjudged", None, "truncated"))
            continue
        if chance < CUT_OFF + UNREADABLE:
            votes.append(Vote("wrong", None, "no_answer"))
            continue
        if rng.random() < p:
            answer = spelt(true, rng)
        elif rng.random() < agree:
            answer = spelt(mistake, rng)
        else:
            answer = near_miss(true, rng) if rng.random() < 0.5 else rng.choice(every)
        votes.append(Vote(_verdict(reference, answer), answer))
    return AuditTask(name, reference, "math", votes)


def near_miss(answer: str, rng: random.Random) -> str:
    """The answer with one of its digits changed; one with no digit, with a number put to it."""
    places = [at for at, character in enumerate(answer) if character.isdecimal()]
    if not places:
        return f"{answer} {rng.randint(1, 9)}"
    at = rng.choice(places)
    changed = rng.choice([d for d in "123456789" if d != answer[at]])
    return answer[:at] + changed + answer[at + 1 :]


def spelt(answer: str, rng: random.Random) -> str:
    """The answer as it stands, or, where it is a whole number, in another spelling."""
    digits = answer.replace(",", "")
    if not digits.isdecimal() or rng.random() < 0.7:
        return answer
    return rng.choice(
        [f"{int(digits):,}", f"{int(digits)}.0", f"${int(digits)}", f"{int(digits)}."]
    )


@cache
def _verdict(reference: str, answer: str) -> str:
    return judged("math", rf"\boxed{{{answer}}}", Task([], reference)).verdict


def load(path: Path, rows: int) -> dict[str, str]:
    """Answers by row, of at most `rows` rows."""
    answers = pq.read_table(path, columns=["answer"])["answer"].to_pylist()
    picked = random.Random(0).sample(range(len(answers)), min(rows, len(answers)))
    return {f"{path.stem}/{at:05}": str(answers[at]) for at in sorted(picked)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(f"{'set':<14}{'policy':<10}{'n':>4}{'planted':>9}{'suspects':>10}{'precision':>11}"
          f"{'recall':>8}{'p >= 0.8':>10}{'doubts':>8}")  # fmt: skip
    for name in SETS:
        answers = load(options.data / f"{name}.parquet", options.rows)
        for policy, prior in POLICIES.items():
            for n in (4, 8, 16):
                found = total(simulate(answers, prior, n, seed) for seed in range(options.seeds))
                print(f"{name:<14}{policy:<10}{n:>4}{found.planted:>9}{found.suspects:>10}"
                      f"{found.precision:>11.1%}{found.recall:>8.1%}{found.solvable_recall:>10.1%}"
                      f"{found.doubts:>8}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
