"""Rows whose answers are compared with a reference: choice letters, mathematics, short texts."""

import re

from winnow.pipeline.first_contact.judged import ENOUGH, Judged, asked, most, references
from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.roles import Roles
from winnow.pipeline.first_contact.trials import Bench, Case
from winnow.pipeline.verify import extract

_CHARACTERS, _WORDS = 40, 6  # of a reference that can be compared as text, on average
_LETTER = re.compile(r"\s*\(?[A-J][).]?\s*")
_OPTION = re.compile(r"^\s*\(?([A-J])[).:]\s*\S", re.MULTILINE)
# Begins with a number, or holds LaTeX, an operator or nothing but a variable.
_FORMULA = re.compile(r"^[^A-Za-z]*\d|[\\^=+$]|\s[-*/]\s|^\s*\S{1,3}\s*$")


async def choice(look: Look, roles: Roles, bench: Bench) -> Judged | None:
    """References that are letters of options."""
    for name in roles.answers:
        found = references(look, name)
        if len(set(found)) < 2 or not most(found, lambda text: bool(_LETTER.fullmatch(text))):
            continue
        cases = [Case(f"The answer is {text.strip(' ().')}.", text) for text in found]
        tried = await bench.attempt("choice", cases)
        if tried.accepted < ENOUGH:
            continue
        shown = [len(set(_OPTION.findall(asked(row, roles)))) >= 2 for row in look.rows]
        share = sum(shown) / len(shown)
        beware = (
            f"only {share:.0%} of the prompts show options (A. ..., B. ...): put their column into "
            "`prompt`, if there is one"
        )
        return Judged(
            "choice",
            f"{tried.accepted:.0%} of the references are letters of options",
            name,
            beware=beware if share < 0.5 else "",
        )
    return None


async def math(look: Look, roles: Roles, bench: Bench) -> Judged | None:
    """References that read as numbers or formulas, alone or marked at the end of a solution."""
    for name in roles.answers:
        found = references(look, name)
        if sum(map(_may_be_math, found)) < ENOUGH * max(len(found), 1):
            continue
        said = [text if _is_marked(text) else rf"\boxed{{{text}}}" for text in found]
        reads = await bench.attempt("length", [Case(text, args={"form": "math"}) for text in said])
        if reads.part("format") < ENOUGH:
            continue
        pairs = zip(said, found, strict=True)
        tried = await bench.attempt("math", [Case(text, answer) for text, answer in pairs])
        if tried.accepted < ENOUGH:
            continue
        marked = sum(map(_is_marked, found)) / len(found)
        where = f", {marked:.0%} of them at the end of a solution" if marked else ""
        return Judged(
            "math",
            f"{reads.part('format'):.0%} of the references read as numbers or formulas{where}, and "
            f"{tried.accepted:.0%} equal themselves",
            name,
        )
    return None


def _may_be_math(text: str) -> bool:
    return _FORMULA.search(text) is not None or _is_marked(text)


def _is_marked(text: str) -> bool:
    found = extract.find(text) if "boxed" in text or "####" in text else None
    return found is not None and found.form in ("boxed", "hashes")


async def exact(look: Look, roles: Roles, bench: Bench) -> Judged | None:
    """References that are a few words on one line."""
    for name in roles.answers:
        found = references(look, name)
        if not found or any("\n" in text.strip() for text in found):
            continue
        words = sum(len(text.split()) for text in found) / len(found)
        if sum(map(len, found)) > _CHARACTERS * len(found) or words > _WORDS:
            continue
        tried = await bench.attempt("exact", [Case(text, text) for text in found])
        if tried.accepted >= ENOUGH:
            return Judged(
                "exact",
                f"the references are short texts of {words:.1f} words on average, and "
                f"{tried.accepted:.0%} equal themselves; upper and lower case do not matter",
                name,
                {"case": False},
            )
    return None
