r"""The verifier `reasoning_gym`: an answer to a generated task, by its family's own scorer.

The task's arguments (`family`, `config`, `seed`, `index`) generate the entry again, so that the
scorer sees exactly what it made: its metadata holds tuples and integer keys that JSON would lose.

One reading of the completion is scored, never the best of several. The first form that is present:
`<answer>...</answer>`, `\boxed{...}`, `#### x`, "the answer is x" or "Answer: x" (`extract`), the
last fenced block, and otherwise the text itself: all of it where it is one line or where the
reference has several lines (without an introduction that a blank line sets off), else its last
line (with a number, where the reference is one). What is read is then shaped like the reference: see `read`.
"""

import re
from copy import deepcopy
from importlib.metadata import version
from typing import Any

from pydantic import Field

from winnow.pipeline import arguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.procedural import dataset, entry
from winnow.pipeline.verify import extract

FULL = 1 - 1e-9  # a score from here on is correct

# These scorers hand the answer to `eval` or to sympy's `parse_expr`, which is `eval` too. What is
# outside the alphabet below is no such answer: it is wrong and never reaches the scorer. Without
# parentheses, dots and braces a Python literal cannot call anything; in the other two, names are a
# closed list, so that no attribute, builtin or string can be written, and powers are no towers.
# (`Integral` is not in the list: differentiating it would give any integrand back.)
_LITERAL = re.compile(r"[\[\]0-9A-Za-z_\s,'\"-]*")
_ARITHMETIC = re.compile(r"(?!.*\*\*)(?:[0-9+\-*/()\s]|(?<=[0-9])\.(?=[0-9]))*", re.DOTALL)
_ALGEBRA = re.compile(
    r"(?!.*\*\*[\s(]*(?:[0-9.]+[\s)]*\*\*|[0-9]{5}))(?:[0-9+\-*/()\s^]|\.(?=[0-9])"
    r"|(?<![A-Za-z])(?:[A-Za-z]|a?(?:sin|cos|tan)h?|sec|csc|cot|sqrt|exp|log|ln|pi|Abs)(?![A-Za-z]))*",
    re.DOTALL,
)
EVALUATED: dict[str, re.Pattern[str]] = {
    "string_insertion": _LITERAL,
    "spiral_matrix": _LITERAL,
    "binary_matrix": _LITERAL,
    "n_queens": _LITERAL,
    "puzzle24": _ARITHMETIC,
    "countdown": _ARITHMETIC,
    "simple_integration": _ALGEBRA,
    "intermediate_integration": _ALGEBRA,
    "polynomial_multiplication": _ALGEBRA,
}
MAX_EVALUATED = 1_000  # characters

# These scorers convert the answer without a guard: what they trip over is a malformed answer, and
# wrong as in every other family. Any other exception is a bug, and leaves the answer unjudged.
MALFORMED: dict[str, tuple[type[Exception], ...]] = {
    "boxnet": (AttributeError, KeyError, TypeError, ValueError),
    "coin_flip": (OverflowError,),
    "game_of_life": (KeyError,),
    "prime_factorization": (ValueError,),
}

_NUMBER = re.compile(
    r"(?:(?<![0-9A-Za-z)\].])|(?<![0-9)\]])(?<=[\s=:(]))[-+]?"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
)
_WORDS = ({"true", "false"}, {"yes", "no"})


class ReasoningGymScore:
    """Judges answers to reasoning-gym tasks; the reward is the family's score."""

    name = "reasoning_gym"
    needs_answer = False  # entries bring their own

    class Arguments(arguments.Arguments):
        """Which entry an answer belongs to."""

        family: str = Field(description="task family of reasoning-gym")
        config: dict[str, Any] = Field(description="settings of the family")
        seed: int = Field(description="seed of the data set")
        index: int = Field(description="number of the entry, from 0")

    def __init__(self) -> None:
        # Entries and scorers are the package's, so its version is part of ours.
        self.version = f"1+reasoning-gym{version('reasoning-gym')}"

    def warm(self) -> None:
        entry("chain_sum", {}, 0, 0)

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge `completion` against the entry that `task.args` name."""
        try:
            family, config = str(task.args["family"]), dict(task.args["config"])
            seed, index = int(task.args["seed"]), int(task.args["index"])
            item = entry(family, config, seed, index)
            scorer = dataset(family, config, seed, index)
        except Exception as error:  # noqa: BLE001 - the package raises whatever a config upsets
            return Verdict.unjudged(f"bad_task: {type(error).__name__}: {error}")
        if item["question"].strip() not in _last_user_message(task):
            return Verdict.unjudged("entry_changed")
        answer = read(completion, item["answer"])
        if not answer:
            return Verdict("wrong", 0.0, detail="no_answer")
        if malformed(family, answer, item["answer"]):
            return Verdict("wrong", 0.0, extracted=answer, detail="malformed_answer")
        try:
            # A copy: entries are cached, and no answer may leave a trace in the next one's.
            score = float(scorer.score_answer(answer, deepcopy(item)))
        except MALFORMED.get(family, ()):
            return Verdict("wrong", 0.0, extracted=answer, detail="malformed_answer")
        except Exception as error:  # noqa: BLE001 - 106 scorers, none of them ours
            return Verdict.unjudged(f"scorer_error: {type(error).__name__}", answer)
        return Verdict("correct" if score >= FULL else "wrong", score, extracted=answer)


def read(completion: str, reference: str | None) -> str | None:
    """What the completion answers, in the shape of the reference; None where it is empty.

    A number where the reference is a number: the one after the last `=`, else the first of a stated
    answer ("the answer is ..."), else the last. `True`, `False`, `Yes` or `No` where the reference
    is one and the answer begins with one. Without wrappers (Markdown, `\\text`, `$`), the left side
    of an equation and a final full stop, unless the reference has them too.
    """
    found = extract.find(completion, tags=True)
    lines = reference is None or "\n" in reference.strip()
    if found is None:
        text, stated = _unmarked(extract.after_thinking(completion), reference, lines), False
    else:
        text, stated = found.text, True
        if found.form == "phrase" and not lines:
            text = next((line for line in text.splitlines() if line.strip()), "")
    text = extract.unwrapped(text)
    reference = (reference or "").strip()
    if lines:
        text = text if reference.endswith(".") else text.removesuffix(".")
        return text.strip("\n") or None
    return _shaped(text.strip(), reference, stated) or None


def malformed(family: str, answer: str, reference: str | None) -> bool:
    """Whether an answer must not, or need not, reach the family's scorer."""
    alphabet = EVALUATED.get(family)
    if alphabet and (len(answer) > MAX_EVALUATED or not alphabet.fullmatch(answer)):
        return True
    reference = (reference or "").strip().lower()
    if any(reference in words for words in _WORDS):  # one scorer accepts any text for these
        return answer.lower() != reference
    # A comparison with nan is never unequal enough for some scorers.
    return "nan" not in reference and bool(re.search(r"\bnan\b", answer, re.IGNORECASE))


def _unmarked(text: str, reference: str | None, lines: bool) -> str:
    text = text.strip()
    if (block := extract.fenced(text)) is not None:
        return block
    if lines:
        *before, last = re.split(r"\n\s*\n", text)
        return last if before and before[-1].rstrip().endswith(":") else text
    if "\n" not in text:
        return text
    if _NUMBER.fullmatch((reference or "").strip()):
        with_numbers = [line for line in text.splitlines() if _NUMBER.search(line)]
        return with_numbers[-1] if with_numbers else extract.last_line(text)
    return extract.last_line(text)


def _shaped(text: str, reference: str, stated: bool) -> str:
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)
    if "$" not in reference:
        text = re.sub(r"\\[()\[\]]|\$", "", text).strip()
    if "=" in text and "=" not in reference:
        text = text.rpartition("=")[2].strip() or text
    if _NUMBER.fullmatch(reference):
        numbers = _NUMBER.findall(text.replace("−", "-"))
        number = (numbers[0] if stated else numbers[-1]) if numbers else text
        return number if "," in reference else number.replace(",", "")
    for words in _WORDS:
        first = re.match(r"[A-Za-z]+", text)
        if reference.lower() in words and first and first.group().lower() in words:
            return first.group()
    if ". " not in reference and stated:
        text = extract.first_sentence(text)
    if not reference.endswith("."):
        text = text.removesuffix(".")
    return extract.unwrapped(text)


def _last_user_message(task: Task) -> str:
    return next((m["content"] for m in reversed(task.messages) if m["role"] == "user"), "")
