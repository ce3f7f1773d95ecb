"""The guesses as a commented recipe.

Nothing of the rows' text stands in it: names of columns, the path, shares and counts only. Every
scalar goes through YAML's own writer and every comment is one line of printable text, so that no
column name can add a key or end a comment.
"""

import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from winnow.pipeline.first_contact.guess import Guess
from winnow.pipeline.first_contact.judged import Judged
from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.roles import Roles
from winnow.pipeline.first_contact.sizes import Sizes
from winnow.pipeline.models import SMOLLM2

_WIDTH = 100


def render(look: Look, guess: Guess, name: str, recipe: str) -> str:
    """The recipe's text. `name` names its dataset and source, `recipe` the file it is written to."""
    roles, judged, sizes = guess.roles, guess.judged, guess.sizes
    brings = judged.verifier == "none" and roles.completion is not None
    parts = [
        *head(look, name),
        *_source(look, roles, judged, name),
        *(_own_answers() if brings else _engine(roles, sizes)),
        *_sampling(sizes, brings=brings),
        "",
        f"clusters: {{k: {sizes.k}}} # the square root of half the rows",
        *_sets(judged, sizes, brings=brings),
        *_unknown(look, judged, sizes, brings=brings),
        *next_steps(recipe),
    ]
    return "\n".join(parts) + "\n"


def scalar(value: Any) -> str:
    """A value on one line of YAML that reads as just that value."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {scalar(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str) and not _is_plain(value):
        return yaml.safe_dump(value, default_style='"', width=10**9).rstrip("\n")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(scalar, value)) + "]"
    written = yaml.safe_dump(value, width=10**9, allow_unicode=False)
    return written.removesuffix("\n").removesuffix("...").rstrip("\n")


def _is_plain(text: str) -> bool:
    """Whether `text` needs no quotes, in a flow or alone."""
    simple = text.isascii() and all(c.isalnum() or c in "_./-@" for c in text)
    begins = text[:1].isalpha() or text[:1] in ("/", ".")
    return simple and begins and bool(yaml.safe_load(text) == text)


def comment(text: str, indent: int = 0, hang: int = 0) -> list[str]:
    """Lines of a comment, from the second on further in by `hang`; what cannot be printed is shown
    escaped."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    lead = " " * indent + "# "
    width = _WIDTH - len(lead)
    parts = textwrap.wrap(
        line, width, break_long_words=False, break_on_hyphens=False, subsequent_indent=" " * hang
    )
    return [lead + part for part in parts]


def head(look: Look, name: str) -> list[str]:
    """How a recipe begins: what its guesses rest on, and its first keys."""
    count = f"{look.n_rows:,}" if look.all_read else f"at least {look.n_rows:,}"
    lost = f"; {look.unreadable:,} of those that were read are broken" if look.unreadable else ""
    return [
        *comment(
            "A first recipe, guessed by `winnow init`. Each guess says what it rests on; change what "
            "is wrong, and see with `winnow check` what it does."
        ),
        *comment(f"The file has {count} rows{lost}. Guesses rest on {look.basis}."),
        f"dataset: {scalar(name)}",
        "seed: 0",
    ]


def _source(look: Look, roles: Roles, judged: Judged, name: str) -> list[str]:
    prompt = (*roles.prompt, *judged.prompt)
    config, columns = look.config, look.columns
    lines = ["", "sources:", "  - type: dataset"]
    lines += key_lines(
        4, "path", config.path, "A path is relative to the folder that winnow is started in."
    )
    lines += key_lines(4, "name", name)
    for key in ("config", "split", "revision"):
        value = getattr(config, key)
        if value is not None and (key != "split" or value != "train"):
            lines += key_lines(4, key, value)
    lines.append("    columns:")
    lines += key_lines(
        6, "prompt", prompt[0] if len(prompt) == 1 else prompt, roles.why.get("prompt", "")
    )
    why = roles.why.get("answer", "the reference, by its name and by what the verifier reads")
    if judged.answer is None:
        why = "The verifier compares with no reference."
    lines += key_lines(6, "answer", judged.answer, why)
    if roles.completion is not None:
        lines += key_lines(
            6, "completion", roles.completion,
            f"An answer that each row brings ({roles.why.get('completion', 'as you say')}). It is read "
            "where the engine is `{type: source}`, or else left aside.",
        )  # fmt: skip
    if roles.images is not None:
        lines += key_lines(
            6, "images", roles.images, f"What the prompt shows: {roles.why['images']}."
        )
    if roles.domain is not None:
        different = len(set(columns[roles.domain].texts))
        lines += key_lines(6, "domain", roles.domain, f"By its name; {different} different ones.")
    if judged.arguments:
        lines += key_lines(6, "arguments", judged.arguments, "What the verifier needs of each row.")
    if judged.files:
        lines += key_lines(
            6, "files", judged.files, "Found beside the file; {} is the row's value."
        )
    used = (*prompt, *judged.arguments.values())
    if as_json := tuple(n for n in dict.fromkeys(used) if columns[n].is_json):
        lines += key_lines(6, "json_columns", as_json, "Their texts are JSON.")
    if roles.keep:
        lines += key_lines(
            6, "keep", roles.keep, "A name of each row, kept in the prompt's `meta`."
        )
    lines += key_lines(4, "verifier", judged.verifier, f"{judged.why}.")
    if judged.args:
        lines += key_lines(4, "verifier_args", judged.args)
    return [*lines, *comment("licence: ... (not guessed; the published card needs it)", 4)]


def _engine(roles: Roles, sizes: Sizes) -> list[str]:
    also = ""
    if roles.completion is not None:
        also = " To choose among the rows' own answers instead: {type: source}, and a `uds.model`."
    if roles.images is not None:
        return [
            "",
            *comment(
                "Whose answers are drawn and measured: a server with a model that sees, such as `vllm serve "
                "MODEL`; the name and the address are yours to fill in." + also
            ),
            "engine:",
            "  type: openai",
            "  model: MODEL",
            "  base_url: http://127.0.0.1:8000/v1",
        ]
    return [
        "",
        *comment(
            "Whose answers are drawn and measured: a small model that runs anywhere. Name the one that "
            "you want to train, or a server: {type: openai, model: ..., base_url: ...}." + also
        ),
        "engine:",
        "  type: vllm",
        f"  model: {scalar(SMOLLM2)}",
        f"  max_model_len: {sizes.max_model_len} # prompt and answer, tokens",
    ]


def _own_answers() -> list[str]:
    return [
        "",
        *comment("The rows' own answers are taken as they are; nothing is sampled."),
        "engine: {type: source}",
    ]


def _sampling(sizes: Sizes, *, brings: bool) -> list[str]:
    if brings:
        return ["", "sampling:", "  n: 1 # answers of a prompt that are taken, from the first"]
    return [
        "",
        "sampling:",
        f"  n: {sizes.n} # answers per prompt; pass rates come in steps of 1/{sizes.n}",
        *comment(
            f"{sizes.why_tokens[:1].upper()}{sizes.why_tokens[1:]} (a token is about 4 characters).",
            2,
        ),
        f"  max_tokens: {sizes.max_tokens}",
        "  temperature: 1.0",
    ]


def _sets(judged: Judged, sizes: Sizes, *, brings: bool) -> list[str]:
    if judged.verifier == "none":
        return [
            "",
            *comment("Of every 8 answers, in random order, the 4 best by utility and diversity (UDS), as "
                     "this model sees them."),
            f"uds: {{model: {scalar(SMOLLM2)}, batch: 8, keep: 4}}",
            "",
            "sets:",
            *comment("Nobody has judged these answers: they are published as unjudged. With the verifier "
                     "`judge` a model would (`winnow verifiers judge`).", 2),
            "  sft: {verdicts: not_wrong, per_prompt: 1}",
        ]  # fmt: skip
    least = min(4, sizes.n // 2)
    return [
        "",
        "sets:",
        *comment("A right answer to each prompt that the model does not always get right. uds: true "
                 "scores every right answer with the model and keeps the best of each batch.", 2),
        "  sft: {pass_rate: [0.01, 0.99], per_prompt: 1, uds: false}",
        *comment("Prompts with something to learn from: some answers right, some wrong.", 2),
        f"  rl: {{pass_rate: [0.1, 0.9], min_judged: {least}}}",
        *comment("A right and a wrong answer to one prompt.", 2),
        "  preference: {pairs_per_prompt: 1}",
    ]  # fmt: skip


def _unknown(look: Look, judged: Judged, sizes: Sizes, *, brings: bool) -> list[str]:
    said = [judged.beware] if judged.beware else []
    if sizes.too_long and not brings:
        said.append(
            f"about {sizes.too_long:.0%} of the prompts are too long for max_model_len and are dropped"
        )
    evaluation = (
        "whether evaluation items are among the prompts (`clean: {decontaminate: {against: [...]}}`), "
        "and near-duplicates (`clean: {dedup: {}}`)"
    )
    said += [
        "the licence of the rows",
        "which model the rows are for: pass rates and scores are one model's",
        evaluation,
        "how many rows you want (`budget` of a set), and whether some are held out (`holdout: 0.05`)",
    ]
    return ["", *comment("What could not be guessed, or what to know:"), *_bullets(said)]


def next_steps(recipe: str) -> list[str]:
    """How a recipe ends: what to do with the file that it is written to."""
    shown = shlex.quote(recipe)
    return [
        *comment("What to do next:"),
        *_bullets(
            [
                f"winnow check {shown} (validates, and says what a run would do and spend)",
                f"winnow run {shown} --limit 20 (a first look at all stages)",
                f"winnow run {shown}",
            ]
        ),
    ]


def _bullets(items: Iterable[str]) -> list[str]:
    return [line for item in items for line in comment(f"- {item}", hang=2)]


def key_lines(indent: int, key: str, value: Any, why: str = "") -> list[str]:
    """A key on its line, below a comment that says why."""
    sentence = f"{why[:1].upper()}{why[1:]}" if why else ""
    if sentence and not sentence.endswith("."):
        sentence += "."
    return [*comment(sentence, indent), f"{' ' * indent}{key}: {scalar(value)}"]
