"""The verifier `math` against math-verify: pairs per second on two processes, and who says what.

    python benchmarks/math_pairs.py [--pairs 4000] [--data FOLDER] [--disagreements FILE] [--every]

A pair is a reference answer and a completion: half of the completions are a right solution, a
quarter the solution of another row, and a quarter a right solution whose final answer is changed.
Both verifiers read the same texts from their raw form (parse the reference, find and parse the
answer, compare), with their default settings, each over two spawned processes that have warmed up;
the rate is that of the slower process. Two sets are measured apart: GSM8K-like (word problems with
plain numbers) and MATH-like (LaTeX), each once with whole solutions and once with the final answer
alone. FOLDER holds GSM8K and MATH as Parquet (`gsm8k_train`, `math_train_slice`: solution, answer);
without it, word problems come from reasoning-gym and LaTeX answers are generated. `--every` compares
verdicts instead of speed: on every row of all of FOLDER's math sets, its reference against its own
solution, itself, the answer of the next row and a changed one.
"""

import argparse
import multiprocessing
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROCESSES = 2
WARM_UP = 50
DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@dataclass(frozen=True)
class Pair:
    """`answer` is what `completion` ends in, and `right` whether it is the reference."""

    reference: str
    completion: str
    answer: str
    right: bool


def main() -> None:
    """Measure both verifiers on both sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=4000, help="pairs per set")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the Parquet files")
    parser.add_argument("--disagreements", type=Path, help="where to write them, tab-separated")
    parser.add_argument("--every", action="store_true", help="every row: verdicts, not speed")
    given = parser.parse_args()
    rng = random.Random(0)
    if given.every:
        sets = {name: every(given.data / f"{name}.parquet", rng) for name in SETS}
    else:
        sets = {
            "GSM8K-like": pairs(word_problems(given.data, rng), given.pairs, rng),
            "MATH-like": pairs(latex_problems(given.data, rng), given.pairs, rng),
        }
    lines = []
    print(
        f"{'set':12} {'text':10} {'winnow':>10} {'math-verify':>12} {'ratio':>7}   pairs/s, two processes"
    )
    for name, made in sets.items():
        for text in ("solution",) if given.every else ("solution", "answer"):
            rate, ours = measured("winnow", made, text)
            other_rate, others = measured("math-verify", made, text)
            print(f"{name:12} {text:10} {rate:10,.0f} {other_rate:12,.0f} {rate / other_rate:7.1f}")
            table = Counter(zip((pair.right for pair in made), ours, others, strict=True))
            for (right, a, b), n in sorted(table.items(), key=str):
                print(f"    {'right' if right else 'wrong'}: winnow {a}, math-verify {b}: {n}")
            lines += [
                f"{name}\t{text}\t{pair.right}\t{a}\t{b}\t{pair.reference!r}\t{pair.answer!r}"
                for pair, a, b in zip(made, ours, others, strict=True)
                if a != b
            ]
    print(f"{len(lines)} disagreements")
    if given.disagreements:
        header = "set\ttext\tright\twinnow\tmath-verify\treference\tanswer"
        given.disagreements.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


# pairs

SETS = [
    "gsm8k_train",
    "gsm8k_test",
    "svamp",
    "math_train_slice",
    "math500_test",
    "math_train_answers",
]
Row = tuple[str, str]  # a solution that ends in its answer, and the answer


def every(path: Path, rng: random.Random) -> list[Pair]:
    """Four pairs of each row, as far as they can be made."""
    rows = [row for row in _rows(path) if str(row["answer"]).strip()]
    made = []
    for row, following in zip(rows, rows[1:] + rows[:1], strict=True):
        answer, other = str(row["answer"]), str(following["answer"])
        if "solution" in row:
            made.append(Pair(answer, row["solution"], answer, True))
        made.append(Pair(answer, rf"So it is $\boxed{{{answer}}}$.", answer, True))
        if _plain(other) != _plain(answer):
            made.append(Pair(answer, rf"So it is $\boxed{{{other}}}$.", other, False))
        if (changed := _changed(answer, rng)) is not None:
            made.append(Pair(answer, rf"So it is $\boxed{{{changed}}}$.", changed, False))
    return made


def pairs(rows: list[Row], n: int, rng: random.Random) -> list[Pair]:
    """`n` pairs of the rows: right, of another row, and with a changed answer."""
    made: list[Pair] = []
    order: list[Row] = []
    while len(made) < n:
        order = order or rng.sample(rows, len(rows))
        solution, answer = order.pop()
        kind = len(made) % 4
        if kind < 2:
            made.append(Pair(answer, solution, answer, True))
        elif kind == 2:
            other, value = rng.choice(rows)
            if _plain(value) != _plain(answer):
                made.append(Pair(answer, other, value, False))
        elif (changed := _changed(answer, rng)) is not None:
            for mark in (r"\boxed{%s}", "The answer is %s."):
                if solution.count(mark % answer) == 1 and solution.count(r"\boxed") < 2:
                    text = solution.replace(mark % answer, mark % changed)
                    made.append(Pair(answer, text, changed, False))
                    break
    return made


def _plain(text: str) -> str:
    return re.sub(r"[\s,]|\\[!,]|\.0+$", "", text)


def _changed(answer: str, rng: random.Random) -> str | None:
    """Another last digit of the first number: another value of a number, fraction, tuple or
    polynomial. Texts and units are left out."""
    number = re.search(r"(?<![0-9^_.])[0-9]+(?![0-9.]*\\?%)", answer)
    if number is None or re.search(r"\\(?:text|mbox|circ)|_|:", answer):
        return None
    digit = (int(number.group()[-1]) + rng.randint(1, 9)) % 10
    if len(number.group()) == 1 and digit == 0:
        digit = 9 if number.group() != "9" else 8
    return f"{answer[: number.end() - 1]}{digit}{answer[number.end() :]}"


def word_problems(folder: Path, rng: random.Random) -> list[Row]:
    """Solutions in words that end in "The answer is x."."""
    path = folder / "gsm8k_train.parquet"
    if path.exists():
        return [(_told(row["solution"]), row["answer"]) for row in _rows(path)]
    import reasoning_gym

    entries = reasoning_gym.create_dataset("gsm_symbolic", size=2000, seed=0)
    return [
        (
            f"{entry['question']}\n\nStep by step, we get it. The answer is {entry['answer']}.",
            str(entry["answer"]),
        )
        for entry in entries
    ]


def _told(solution: str) -> str:
    text = re.sub(r"<<[^<>]*>>", "", solution)
    return re.sub(r"\n#### (.*)$", r"\nThe answer is \1.", text)


def latex_problems(folder: Path, rng: random.Random) -> list[Row]:
    """LaTeX solutions that end in a box with the answer."""
    path = folder / "math_train_slice.parquet"
    if path.exists():
        return [(row["solution"], row["answer"]) for row in _rows(path)]
    return [(_solved(answer), answer) for answer in _generated(3000, rng)]


def _solved(answer: str) -> str:
    return (
        "We collect the terms and get $2x + 3 = \\frac{7}{2}$, so that $x^2 \\ge 0$ holds.  Then "
        "\\[\\sqrt{a^2 + b^2} = c,\\] and by symmetry the other case is the same.\n\n"
        f"Therefore, the value is $\\boxed{{{answer}}}$."
    )


def _generated(n: int, rng: random.Random) -> Iterator[str]:
    forms: list[Callable[[int, int, int], str]] = [
        lambda a, b, c: str(a),
        lambda a, b, c: rf"\frac{{{a}}}{{{b}}}",
        lambda a, b, c: rf"{a}\sqrt{{{b}}}",
        lambda a, b, c: rf"\frac{{{a}\sqrt{{{b}}}}}{{{c}}}",
        lambda a, b, c: f"({a},{b})",
        lambda a, b, c: rf"[{a}, \infty)",
        lambda a, b, c: rf"{a} + {b}i",
        lambda a, b, c: f"{a}x^2 + {b}x - {c}",
        lambda a, b, c: rf"\frac{{{a}\pi}}{{{b}}}",
        lambda a, b, c: f"{a}, {b}, {c}",
        lambda a, b, c: rf"\begin{{pmatrix}} {a} \\ {b} \end{{pmatrix}}",
        lambda a, b, c: f"y = {a}x - {b}",
    ]
    for _ in range(n):
        a, b, c = (rng.randint(2, 200) for _ in range(3))
        yield rng.choice(forms)(a, b, c)


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


# verifiers


def measured(name: str, made: list[Pair], text: str) -> tuple[float, list[bool]]:
    """(pairs per second over two processes, verdicts in order)."""
    texts = [
        (p.reference, p.completion if text == "solution" else rf"$\boxed{{{p.answer}}}$")
        for p in made
    ]
    chunks = [(name, texts[k::PROCESSES]) for k in range(PROCESSES)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        results = pool.map(judged, chunks, chunksize=1)
    verdicts = [False] * len(texts)
    for k, (_, found) in enumerate(results):
        verdicts[k::PROCESSES] = found
    return len(texts) / max(seconds for seconds, _ in results), verdicts


def judged(chunk: tuple[str, list[tuple[str, str]]]) -> tuple[float, list[bool]]:
    """(seconds, verdicts) of one process, which has warmed up on other pairs."""
    name, texts = chunk
    judge = VERIFIERS[name]()
    for reference, completion in [("3", r"\boxed{4}"), (r"\sqrt{2}", r"$\boxed{\sqrt{3}}$")] * (
        WARM_UP // 2
    ):
        judge(reference, completion)
    started = time.perf_counter()
    found = [judge(reference, completion) for reference, completion in texts]
    return time.perf_counter() - started, found


def winnow() -> Callable[[str, str], bool]:
    from winnow.pipeline.contracts import Task
    from winnow.pipeline.verify.math_answer import MathAnswer

    verifier = MathAnswer()
    verifier.warm()
    return lambda reference, completion: (
        verifier.verify(completion, Task([], reference)).verdict == "correct"
    )


def math_verify() -> Callable[[str, str], bool]:
    import logging

    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)

    def judge(reference: str, completion: str) -> bool:
        number = re.fullmatch(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})*|[0-9]+)(?:\.[0-9]+)?", reference)
        gold = reference if number else f"${reference}$"
        return bool(verify(parse(gold), parse(completion)))

    return judge


VERIFIERS: dict[str, Callable[[], Callable[[str, str], bool]]] = {
    "winnow": winnow,
    "math-verify": math_verify,
}

if __name__ == "__main__":
    main()
