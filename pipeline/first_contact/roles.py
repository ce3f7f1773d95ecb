"""Which column is what, by its name and by what stands in it."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.first_contact.look import Column, Look
from winnow.pipeline.images import kind
from winnow.pipeline.sources import local_folder, row_images
from winnow.pipeline.sources.rows import Drop

# Names that data sets give to a role, the likeliest first.
PROMPTS = ("prompt", "question", "problem", "instruction", "query", "messages", "conversation",
           "conversations", "task", "user", "request", "text", "input", "content")  # fmt: skip
# (before, the prompt itself): both together ask.
PAIRS = (("instruction", "input"), ("instruction", "context"), ("context", "question"),
         ("passage", "question"), ("body", "question"))  # fmt: skip
ANSWERS = ("answer", "final_answer", "gold_answer", "expected_answer", "ground_truth", "gold", "target",
           "reference", "reference_answer", "label", "expected", "solution", "query", "sql", "output",
           "response", "completion")  # fmt: skip
COMPLETIONS = ("completion", "response", "output", "solution", "code", "canonical_solution", "chosen",
               "rationale", "explanation")  # fmt: skip
DOMAINS = ("domain", "subject", "category", "topic", "type", "task_type", "field", "db_id")
IMAGES = ("images", "image", "pictures", "picture", "img", "figure", "decoded_image")
NAMES = ("id", "task_id", "uid", "uuid", "qid", "question_id", "problem_id", "idx", "index")
_MOST_DOMAINS = 0.2  # of the rows, different ones
_LOOKED_AT = 20  # rows whose images are read
_ASKS = 8  # characters that a prompt has at least, on average


@dataclass(frozen=True)
class Wishes:
    """What the user says of the columns and the verifier; the rest is guessed."""

    prompt: tuple[str, ...] = ()
    answer: str | None = None
    completion: str | None = None
    verifier: str | None = None


@dataclass(frozen=True)
class Roles:
    """`why` says on what each guess rests, by the role's name."""

    prompt: tuple[str, ...]
    answers: tuple[str, ...]  # those that may hold a reference, the likeliest first
    completion: str | None
    domain: str | None
    keep: tuple[str, ...]
    images: str | None = None
    why: Mapping[str, str] = field(default_factory=dict)


def roles(look: Look, wishes: Wishes) -> Roles:
    """Raises UsageError where nothing can be a prompt, or the user names no column of the file."""
    columns, why = look.columns, dict[str, str]()
    for name in (*wishes.prompt, wishes.answer, wishes.completion):
        if name is not None and name not in columns:
            raise no_column(look, f"no column {name!r}")
    prompt = wishes.prompt or _prompt(look, why)
    if wishes.prompt:
        why["prompt"] = "as you say"
    rest = [name for name in columns if name not in prompt]
    answers = (wishes.answer,) if wishes.answer else tuple(_named(columns, ANSWERS, rest))
    completion = wishes.completion or _completion(columns, prompt, rest, why)
    for role, said in (("answer", wishes.answer), ("completion", wishes.completion)):
        if said is not None:
            why[role] = "as you say"
    return Roles(
        prompt,
        answers,
        completion,
        _domain(columns, rest),
        _keep(columns, rest),
        _images(look, rest, why),
        why,
    )


def no_column(look: Look, problem: str) -> UsageError:
    """The error that says what columns there are, and what to do."""
    there = ", ".join(f"{name!r} ({column.kind})" for name, column in look.columns.items())
    return UsageError(
        f"{look.config.path}: {problem}; its columns are {there or 'none'}. Say which is what with "
        "--prompt COLUMN (may stand several times), --answer COLUMN, --completion COLUMN and "
        "--verifier NAME (`winnow verifiers` lists them)"
    )


def _prompt(look: Look, why: dict[str, str]) -> tuple[str, ...]:
    columns = look.columns
    by_lower = {name.lower(): name for name in columns}
    for first, second in PAIRS:
        pair = by_lower.get(first), by_lower.get(second)
        if pair[0] and pair[1] and all(columns[n].kind == "text" for n in pair if n):
            empty = 1 - min(columns[n].filled for n in pair if n)
            why["prompt"] = "two columns by their names" + (
                f"; one of them is empty in {empty:.0%} of the rows" if empty else ""
            )
            return pair[0], pair[1]
    named = [name for name in _named(columns, PROMPTS, columns) if _can_ask(columns[name])]
    if named:
        why["prompt"] = f"by its name; {_looks(columns[named[0]])}"
        return (named[0],)
    asking = [name for name, column in columns.items() if _can_ask(column) and _is_prose(column)]
    if not asking:
        raise no_column(look, "no column looks like a prompt (texts, most of them different)")
    conversations = [name for name in asking if columns[name].kind in ("messages", "turns")]
    best = (conversations or asking)[0]
    why["prompt"] = (
        f"no column has a usual name; this is the first that could ask: {_looks(columns[best])}"
    )
    return (best,)


def _completion(
    columns: Mapping[str, Column], prompt: tuple[str, ...], rest: list[str], why: dict[str, str]
) -> str | None:
    """A column of answers: of its own, or the end of the conversations."""
    if len(prompt) == 1 and columns[prompt[0]].kind == "messages":
        last = [value[-1].get("role") for value in columns[prompt[0]].values]
        if last.count("assistant") >= 0.95 * len(last):
            why["completion"] = "the conversations end with the assistant"
            return prompt[0]
    named = [n for n in _named(columns, COMPLETIONS, rest) if columns[n].kind in ("text", "number")]
    if named:
        why["completion"] = "by its name"
        return named[0]
    return None


def _domain(columns: Mapping[str, Column], rest: Collection[str]) -> str | None:
    for name in _named(columns, DOMAINS, rest):
        column = columns[name]
        different = set(column.texts)
        if column.kind == "text" and 1 < len(different) <= max(2, _MOST_DOMAINS * column.rows):
            return name
    return None


def _images(look: Look, rest: Collection[str], why: dict[str, str]) -> str | None:
    """A column of images: it has such a name, and what it holds can be read."""
    folder = local_folder(look.config)
    for name in _named(look.columns, IMAGES, rest):
        values = look.columns[name].values[:_LOOKED_AT]
        try:
            read = [row_images.read(value, name, folder) for value in values]
        except Drop as drop:
            why["images"] = f"`{name}` has the name, but {drop.detail}"
            continue
        if any(read):
            files = sorted({f"{kind(image.data)}" for found in read for image in found})
            why["images"] = f"by its name; the first {len(values)} rows have {', '.join(files)}"
            return name
    return None


def _keep(columns: Mapping[str, Column], rest: Collection[str]) -> tuple[str, ...]:
    """Columns by which the user finds a row again."""
    named = _named(columns, NAMES, rest)
    return tuple(n for n in named if columns[n].texts and columns[n].distinct == 1.0)[:1]


def _named(columns: Iterable[str], names: Iterable[str], among: Collection[str]) -> list[str]:
    """The columns that have one of `names` (in whatever case), the likeliest first."""
    by_lower = {name.lower(): name for name in columns if name in among}
    return [by_lower[name] for name in names if name in by_lower]


def _can_ask(column: Column) -> bool:
    if column.kind in ("messages", "turns"):
        return column.filled > 0.5
    return column.kind == "text" and not column.is_json and column.filled > 0.5


def _is_prose(column: Column) -> bool:
    """Texts of several words, most of them different; no names and no labels."""
    if column.kind in ("messages", "turns"):
        return True
    words = [len(re.findall(r"\w+", text)) for text in column.texts]
    long_enough = sum(map(len, column.texts)) >= _ASKS * len(column.texts)
    return long_enough and sum(words) >= 2 * len(words) and column.distinct > 0.5


def _looks(column: Column) -> str:
    if column.kind in ("messages", "turns"):
        return "conversations of {role, content}"
    mean = sum(map(len, column.texts)) / max(len(column.texts), 1)
    return f"texts of {mean:,.0f} characters on average, {column.distinct:.0%} of them different"
