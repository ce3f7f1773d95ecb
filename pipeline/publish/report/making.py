"""Head and end of the report: what the version is and how to load it, and what it was made with."""

import json
from pathlib import Path
from typing import Any

import yaml

from winnow.pipeline.page import visible
from winnow.pipeline.publish.report.blocks import Block, Code, Fold, Note, Rows, Section
from winnow.pipeline.publish.report.signals import STAGES, Signals

RECIPE = 100_000  # characters of a recipe that are shown


def facts(signals: Signals) -> list[Block]:
    """The sentence of counts, what of the run still stands, and how to load the version."""
    version = signals.version
    blocks: list[Block] = [Note(_counts(signals))]
    missing = [stage for stage in STAGES if stage not in signals.tables]
    if len(missing) == len(STAGES):
        blocks.append(
            Note(
                "The stage tables that it was made from are gone (the recipe has run again, or this is a "
                "copy), so this page shows what the version alone can tell."
            )
        )
    elif missing:
        blocks.append(
            Note(f"Of the tables that it was made from, these are gone: {', '.join(missing)}.")
        )
    if version.views:
        views = ", ".join(
            f"{name} ({sum(n.values()):,})" for name, n in sorted(version.views.items())
        )
        blocks.append(Note(f"It also holds its sets in other formats: {views}."))
    largest = max(signals.sets, key=lambda each: each.n_rows, default=None)
    if largest is not None:
        split = "train" if "train" in largest.rows else next(iter(largest.rows))
        folder, name, part = map(json.dumps, (str(_nearby(version.path)), largest.name, split))
        load = f"load_dataset({folder}, {name}, split={part})"
        blocks.append(Code(f"from datasets import load_dataset\n\nrows = {load}"))
    return blocks


def _nearby(path: Path) -> Path:
    """Relative to where the user is, if it lies below: shorter, and true on other machines too."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _counts(signals: Signals) -> str:
    """What went in and what came out, in one sentence."""
    ways = (("source rows", "{} source rows gave"), ("prompts", "{} prompts and"),
            ("answers", "{} answers"), ("judged correct", "({} of them judged correct)"))  # fmt: skip
    counts = {name: signals.counted(name) for name, _ in ways}
    sets = ", ".join(
        f"{each.name} ({' + '.join(f'{rows:,} {split}' for split, rows in each.rows.items())})"
        for each in signals.sets
    )
    if any(count is None for count in counts.values()):
        return f"The version holds {sets or 'no set'}."
    said = " ".join(form.format(f"{counts[name]:,}") for name, form in ways)
    return f"{said}; the version holds {sets or 'no set'}."


def section(signals: Signals) -> Section:
    """The recipe, models, verifiers, seeds, libraries and inputs."""
    manifest = signals.manifest
    used = [
        *((f"model: {role}", name) for role, name in manifest["models"].items()),
        ("verifiers", ", ".join(manifest["verifiers"])),
        ("winnow", manifest["code_version"]),
        *manifest["libraries"].items(),
        *((f"seed: {key}", value) for key, value in manifest["seeds"].items()),
    ]
    blocks: list[Block] = [Rows(("", ""), [(str(name), str(value)) for name, value in used])]
    sources = [(each["name"], each.get("licence"), each["prompts"]) for each in manifest["sources"]]
    blocks.append(Rows(("source", "licence", "prompts"), sources))
    if linked := [each.name for each in signals.sets if each.linked]:
        blocks.append(
            Note(
                f"Taken unchanged from an earlier version, which was made with something else: "
                f"{', '.join(linked)}. The other sections look at this version's own signals."
            )
        )
    blocks.append(Fold("The whole recipe", [Code(_yaml(manifest["recipe"]))]))
    inputs = [(stage, name, stage in signals.tables) for stage, name in manifest["inputs"].items()]
    rows = [(stage, name, "yes" if stands else "no") for stage, name, stands in inputs]
    blocks.append(Fold("Its inputs", [Rows(("table", "data version", "read for this page"), rows)]))
    return Section("Recipe and models", blocks)


def _yaml(recipe: Any) -> str:
    # Through JSON's plain types; a lone surrogate, which YAML refuses, becomes visible first.
    plain = json.loads(json.dumps(recipe), object_hook=_visible)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    return text if len(text) <= RECIPE else f"{text[:RECIPE]}…"


def _visible(mapping: dict[str, Any]) -> dict[str, Any]:
    def of(value: Any) -> Any:
        if isinstance(value, str):
            return visible(value)
        return [of(each) for each in value] if isinstance(value, list) else value

    return {visible(key): of(value) for key, value in mapping.items()}
