"""Writes docs/reference/ from the code's own docstrings and schemas: python docs/make_reference.py

`--check` writes nothing and says which pages differ from the code (exit code 1).
"""

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from winnow.pipeline.recipe_reference import Key

HERE = Path(__file__).with_name("reference")
MADE = "<!-- Made by docs/make_reference.py from the code; edit the docstrings there. -->"


def recipe() -> str:
    """Every key of a recipe."""
    from winnow.pipeline.recipe_reference import sections

    parts = [
        "# A recipe, key by key",
        (
            "A recipe is one YAML file. An unknown key, a wrong type or an impossible value is an error "
            "that names the file, the line and what would be right. `winnow keys SECTION` prints what "
            "stands here; defaults are the vetted settings."
        ),
    ]
    for section in sections():
        rows = (
            (f"`{key.name}`", _type(key), _code(key.default), key.meaning) for key in section.keys
        )
        parts += [
            f"## {section.title}",
            section.text,
            _table(("key", "type", "default", "meaning"), rows),
        ]
    return _page(parts)


def selectors() -> str:
    """Every selector: what it does, reads, takes and adds."""
    from winnow.selectors.documentation import document
    from winnow.selectors.registry import family, get_selector, selector_names

    parts = [
        "# Selectors",
        (
            "`winnow select NAME --input F --output F --budget B` runs one over any table, "
            "`winnow selectors NAME` prints what stands here."
        ),
    ]
    for name in selector_names():
        selector = get_selector(name)
        found = document(selector)
        parts += [f"## {name}", f"{found.paper}. Family: {family(name)}.", _prose(found.text)]
        if found.inputs:
            parts.append(_table(
                ("reads", "kind", "meaning"),
                ((f"`{c.name}`", f"{c.kind}, optional" if c.optional else c.kind, c.meaning)
                 for c in found.inputs),
            ))  # fmt: skip
        if found.parameters:
            parts.append(_arguments("parameter", found.parameters))
        if found.own:
            rows = ((f"`{column}`", type_, meaning) for column, type_, meaning in found.own)
            parts.append(_table(("adds", "type", "meaning"), rows))
    return _page(parts)


def verifiers() -> str:
    """Every verifier: what it judges and takes."""
    from winnow.pipeline.verify import get_verifier, verifier_names
    from winnow.pipeline.verify.documentation import document

    parts = [
        "# Verifiers",
        (
            "A verdict is `correct`, `wrong` or `unjudged`; `winnow verifiers NAME` prints what stands "
            "here, and `winnow verify --self-test` judges the labelled pairs."
        ),
    ]
    for name in verifier_names():
        found = document(get_verifier(name))
        parts += [f"## {name}", _prose(found.text)]
        if found.arguments:
            parts.append(_arguments("argument", found.arguments))
        parts.append("" if found.needs_answer else "It needs no reference answer.")
    return _page(parts)


def tables() -> str:
    """Every table that a run writes and every set that is published, column by column."""
    from winnow.pipeline import schema
    from winnow.pipeline.publish.set_schemas import SETS

    parts = [
        "# Tables",
        "Arrow schemas of what a run writes to `<home>/.stages/<recipe>/`, and of the published sets.",
    ]
    for title, found in (("", schema.TABLES), ("Set: ", SETS)):
        for name, columns in found.items():
            rows = ((f"`{c}`", type_, meaning) for c, type_, meaning in schema.describe(columns))
            parts += [f"## {title}{name}", _table(("column", "type", "meaning"), rows)]
    return _page(parts)


def formats() -> str:
    """Every format that a set can be published or exported in."""
    from winnow.pipeline import schema
    from winnow.pipeline.publish.formats.base import unfit, view_of
    from winnow.pipeline.publish.formats.registry import FORMATS
    from winnow.pipeline.publish.set_schemas import SETS

    parts = [
        "# Formats",
        (
            "`formats:` in a recipe publishes views of its sets beside them (Parquet); "
            "`winnow export VERSION --format NAME --output DIR` writes the consumer's own files. "
            "Columns that say where a row comes from stand in each row, or, where the consumer takes "
            "no column of another's (`openai_chat`), row for row in a file beside, such as "
            "`train.provenance.parquet`; with `provenance: false` they are left out."
        ),
    ]
    for name, found in FORMATS.items():
        fits = [kind for kind, columns in SETS.items() if not unfit(found, columns)]
        view = view_of(found, SETS[fits[0]], provenance=False)
        rows = ((f"`{c}`", type_, meaning) for c, type_, meaning in schema.describe(view.schema))
        styles = f" Styles: {', '.join(found.styles)}." if found.styles else ""
        parts += [
            f"## {name}",
            f"{found.meaning[0].upper()}{found.meaning[1:]}. Read by {found.consumer}. Files: {found.layout}.{styles}",
            f"Made from sets of type {', '.join(f'`{kind}`' for kind in fits)}; of `{fits[0]}`:",
            _table(("column", "type", "meaning"), rows),
        ]
    return _page(parts)


def commands() -> str:
    """Every command with its options."""
    import typer

    from winnow.cli.main import app

    group = typer.main.get_command(app)
    parts = ["# Commands", "`winnow COMMAND --help` prints what stands here."]
    found: dict[str, typer.core.TyperCommand] = getattr(group, "commands", {})
    for name, command in found.items():
        parameters = [each for each in command.params if not getattr(each, "hidden", False)]
        words = [
            each.metavar or (each.name or "").upper()
            if each.required
            else f"[{each.metavar or (each.name or '').upper()}]"
            for each in parameters
            if each.param_type_name == "argument"
        ]
        rows = [
            (f"`{each.opts[0]}`", _default(each), getattr(each, "help", "") or "")
            for each in parameters
            if each.param_type_name == "option"
        ]
        parts += [
            f"## winnow {' '.join([name, *words])}",
            _prose(inspect.cleandoc(command.help or "")),
        ]
        if rows:
            parts.append(_table(("option", "default", "meaning"), rows))
    return _page(parts)


PAGES: dict[str, Callable[[], str]] = {
    "recipe.md": recipe,
    "commands.md": commands,
    "selectors.md": selectors,
    "verifiers.md": verifiers,
    "formats.md": formats,
    "tables.md": tables,
}


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join([MADE, *(part.strip() for part in parts if part.strip())]) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _arguments(what: str, rows: Iterable[tuple[str, str, str, str]]) -> str:
    return _table(
        (what, "type", "default", "meaning"),
        ((f"`{name}`", type_, _code(default), said) for name, type_, default, said in rows),
    )


def _code(text: str) -> str:
    return text if text in ("required", "its defaults", "") else f"`{text}`"


def _type(key: "Key") -> str:
    return f"{key.type}: `{key.section}`" if key.section else key.type


def _prose(text: str) -> str:
    """A docstring as Markdown: what is indented is code, what is not is text as it stands."""
    return re.sub(r"(?m)^(?! {4})(\s*)([<*_#])", r"\1\\\2", text)


def _default(parameter: object) -> str:
    shown = getattr(parameter, "show_default", True)
    if isinstance(shown, str):
        return shown
    value = getattr(parameter, "default", None)
    if value is None or value is False or shown is False:
        return ""
    return _code(str(value))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    chosen = parser.parse_args()
    old = []
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if chosen.check:
            old += [name] if not path.is_file() or path.read_text("utf-8") != text else []
        else:
            HERE.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
    if old:
        print(f"not as the code says: {', '.join(old)}; run python docs/make_reference.py")
        sys.exit(1)


if __name__ == "__main__":
    main()
