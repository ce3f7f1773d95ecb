r"""Wrong answers made by machine out of labelled pairs that a verifier accepts.

Each mutation is certain to be wrong, and its `rule` says why: only references of a simple written
form are changed, for which arithmetic on the text itself shows, without the verifier's help, that
the change makes another value. What could be read as the same thing (a hundredth, which may be a
percentage; another unit word) is left out.

To add one: a function from a pair to (what was done, the wrong answer), and its place in `MUTATORS`
under the verifier's name. A verifier without an entry has no mutations.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from winnow.pipeline.verify.self_test import Pair

# (what was done, the wrong answer)
Changed = Iterator[tuple[str, str]]

_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,12}\.[0-9]{1,12}")
_FRACTION = re.compile(r"(-?)\\[dt]?frac\{([0-9]{1,9})\}\{([0-9]{1,9})\}")
_RADICAL = re.compile(r"(-?[0-9]*)\\sqrt\{([0-9]{1,6})\}")
_TERMS = re.compile(r"([+-]?)\s*([0-9]*)\s*([a-z]?)(?:\^\{?([0-9]{1,3})\}?)?\s*")
_TUPLE = re.compile(r"\(\s*(-?[0-9]+)\s*,\s*(-?[0-9]+)\s*\)")
_INTERVAL = re.compile(r"([(\[])\s*(-?[0-9]+|-\\infty)\s*,\s*(-?[0-9]+|\\infty)\s*([)\]])")
_LIST = re.compile(r"-?[0-9]{1,9}(?:\s*,\s*-?[0-9]{1,9})+")
_LENGTH = re.compile(r"([0-9]+) (cm|m|km)")
_SUM = re.compile(r"(-?[0-9]+)\s*([+-])\s*([0-9]*\\sqrt\{[0-9]+\}|[0-9]*\\pi|[1-9][0-9]*i)")


def mutations(verifier: str, pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs to reject, made of those of `pairs` that are to be accepted; none for a verifier that
    has no mutator. Several pairs with one reference give its mutations once."""
    made: dict[tuple[str, str, str], Pair] = {}
    for pair in pairs:
        if pair.label != "accept" or pair.expected != "correct" or pair.answer is None:
            continue
        for mutate in MUTATORS.get(verifier, ()):
            for done, wrong in mutate(pair):
                completion = wrong if verifier == "exact" else rf"Thus it is $\boxed{{{wrong}}}$."
                key = (pair.answer, completion, repr(sorted(pair.args.items())))
                made.setdefault(key, _rejected(pair, done, completion))
    return list(made.values())


def _rejected(pair: Pair, done: str, completion: str) -> Pair:
    return replace(
        pair,
        rule=f"{pair.rule}: {done}",
        label="reject",
        completion=completion,
        verdict=None,
        reward=None,
    )


def _number(pair: Pair) -> Changed:
    """Another number: a decimal numeral has one value. The hundredfold and the hundredth are left
    out, and so is what only adds or drops zeros."""
    text = pair.answer or ""
    if not (_WHOLE.fullmatch(text) or _DECIMAL.fullmatch(text)):
        return
    right = Fraction(text)
    digits = [at for at, character in enumerate(text) if character.isdigit()]
    for at in (digits[0], digits[-1], digits[len(digits) // 2]):
        changed = f"{text[:at]}{(int(text[at]) + 3) % 10}{text[at + 1 :]}"
        yield f"digit {at + 1} changed", changed
    yield "one more", _written(right + 1)
    if right:
        yield "sign flipped", _written(-right)
        yield "ten times", _written(right * 10)
        yield "a tenth", _written(right / 10)
        yield "i times", f"{text}i"
        yield "a factor of the square root of two", rf"{text}\sqrt{{2}}"
    yield "another value beside it", f"{text} \\text{{ or }} {_written(right + 1)}"
    yield "a list of two", f"{text}, {_written(right + 2)}"
    yield "an inequality", f"x > {text}"


def _written(value: Fraction) -> str:
    """An exact decimal, where the denominator allows it."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    scaled = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    whole, digits = scaled[: len(scaled) - places], scaled[len(scaled) - places :]
    return ("-" if value < 0 else "") + whole + (f".{digits}" if digits else "")


def _fraction(pair: Pair) -> Changed:
    """Cross-multiplication tells two fractions of integers apart."""
    found = _FRACTION.fullmatch(pair.answer or "")
    if found is None:
        return
    sign, top, bottom = found[1], int(found[2]), int(found[3])
    if bottom == 0:
        return
    for done, a, b in (
        ("numerator changed", top + 1, bottom),
        ("denominator changed", top, bottom + 1),
        ("upside down", bottom, top),
        ("tenfold", 10 * top, bottom),
    ):
        if b and a * bottom != b * top:
            yield done, rf"{sign}\frac{{{a}}}{{{b}}}"
    if top:
        yield "sign flipped", rf"{'' if sign else '-'}\frac{{{top}}}{{{bottom}}}"


def _radical(pair: Pair) -> Changed:
    r"""a\sqrt{b} has the square a^2 b, and the sign of a."""
    found = _RADICAL.fullmatch(pair.answer or "")
    if found is None or found[2] == "0":
        return
    factor = {"": 1, "-": -1}.get(found[1]) or int(found[1])
    radicand = int(found[2])
    if not factor:
        return
    yield "radicand changed", rf"{found[1]}\sqrt{{{radicand + 1}}}"
    yield "factor changed", rf"{factor + (1 if factor > 0 else -1)}\sqrt{{{radicand}}}"
    yield "sign flipped", rf"{-factor}\sqrt{{{radicand}}}"
    if radicand != 1:
        yield "root dropped", str(factor * radicand)


def _sum(pair: Pair) -> Changed:
    """a + b with b not zero: a - b is another number."""
    found = _SUM.fullmatch(pair.answer or "")
    if found is None or re.match(r"0", found[3]) or r"\sqrt{0}" in found[3]:
        return
    other = "-" if found[2] == "+" else "+"
    yield "operator changed", f"{found[1]}{other}{found[3]}"
    yield "second term dropped", found[1]
    if found[1].strip("-0"):
        yield "first term dropped", found[3] if found[2] == "+" else f"-{found[3]}"


def _polynomial(pair: Pair) -> Changed:
    """Polynomials in one variable are equal where their coefficients are."""
    text = (pair.answer or "").replace(" ", "")
    right = _coefficients(text)
    names = set(re.findall(r"[a-z]", text))
    # e and i are constants, and a letter alone may be a choice or a unit.
    if right is None or len(names) != 1 or names & {"e", "i"} or not 2 <= len(text) <= 60:
        return
    changed = [("exponent changed", re.sub(r"\^\{?([0-9]+)\}?", _raised, text, count=1))]
    changed += [("operator changed", text[:at] + other + text[at + 1 :])
                for at, sign in enumerate(text) if at and sign in "+-"
                for other in ("+" if sign == "-" else "-")]  # fmt: skip
    changed += [("coefficient changed", re.sub(r"[0-9]+", _one_more, text, count=1))]
    for done, wrong in changed:
        if _coefficients(wrong) not in (None, right):
            yield done, wrong
    name = names.pop()
    yield "variable renamed", text.replace(name, "z" if name != "z" else "w")


def _raised(match: re.Match[str]) -> str:
    return f"^{{{int(match[1]) + 1}}}"


def _one_more(match: re.Match[str]) -> str:
    return str(int(match.group()) + 1)


def _coefficients(text: str) -> dict[int, int] | None:
    """{exponent: coefficient}, without zeros, of an expanded polynomial; None for other texts."""
    out: dict[int, int] = {}
    at = 0
    while at < len(text):
        term = _TERMS.match(text, at)
        if (
            not term
            or not (term[2] or term[3])
            or (term[4] and not term[3])
            or (at and not term[1])
        ):
            return None
        exponent = int(term[4] or 1) if term[3] else 0
        value = int(term[2] or 1) * (-1 if term[1] == "-" else 1)
        out[exponent] = out.get(exponent, 0) + value
        at = term.end()
    return {exponent: value for exponent, value in out.items() if value} if text else None


def _tuple(pair: Pair) -> Changed:
    """An ordered pair is its two numbers, in their order."""
    found = _TUPLE.fullmatch(pair.answer or "")
    if found is None:
        return
    a, b = int(found[1]), int(found[2])
    if a != b:
        yield "order changed", f"({b},{a})"
    yield "first changed", f"({a + 1},{b})"
    yield "last changed", f"({a},{b - 1})"
    yield "last dropped", str(a)
    yield "one added", f"({a},{b},{a})"
    yield "closed interval", f"[{a},{b}]"


def _interval(pair: Pair) -> Changed:
    """An end that belongs to the set, or does not."""
    found = _INTERVAL.fullmatch(pair.answer or "")
    if found is None or (found[1], found[4]) == ("(", ")") and "infty" not in found.group():
        return  # (1, 2) is a pair of numbers as well
    opening, low, high, closing = found.groups()
    if not low.startswith("-\\") and not high.startswith("\\") and int(low) >= int(high):
        return
    if not low.startswith("-\\"):
        yield "low end swapped", f"{'[' if opening == '(' else '('}{low},{high}{closing}"
        yield "low end moved", f"{opening}{int(low) - 1},{high}{closing}"
    if not high.startswith("\\"):
        yield "high end swapped", f"{opening}{low},{high}{']' if closing == ')' else ')'}"
        yield "high end moved", f"{opening}{low},{int(high) + 1}{closing}"


def _list(pair: Pair) -> Changed:
    """Several different numbers: all of them, and no other."""
    text = pair.answer or ""
    if not _LIST.fullmatch(text) or re.fullmatch(r"[0-9]{1,3}(?:,[0-9]{3})+", text):
        return
    numbers = [int(item) for item in text.split(",")]
    if len(set(numbers)) < len(numbers):
        return
    new = max(numbers) + 1
    yield "first dropped", ", ".join(map(str, numbers[1:]))
    yield "last dropped", ", ".join(map(str, numbers[:-1]))
    yield "one added", ", ".join(map(str, [*numbers, new]))
    yield "one changed", ", ".join(map(str, [*numbers[:-1], new]))


def _unit(pair: Pair) -> Changed:
    """The same number of another unit of length."""
    if found := _LENGTH.fullmatch(pair.answer or ""):
        for other in ("cm", "m", "km"):
            if other != found[2] and int(found[1]):
                yield f"{other} for {found[2]}", rf"{found[1]}\text{{ {other}}}"
        if int(found[1]):
            yield "an area", rf"{found[1]}\text{{ {found[2]}}}^2"


def _letter(pair: Pair) -> Changed:
    """Another option's letter, and two letters, where the reference is one letter."""
    answer = (pair.answer or "").strip("() .")
    if not re.fullmatch(r"[A-Z]", answer):
        return
    labels = [str(label) for label in (pair.args.get("options") or "ABCD")]
    for letter in labels:
        if letter != answer and re.fullmatch(r"[A-Z]", letter):
            yield f"{letter} chosen", letter
            yield f"{letter} chosen, in parentheses", rf"\text{{({letter})}}"
            yield f"{letter} chosen beside it", f"{answer}, {letter}"
            yield f"{letter} chosen, or it", rf"{letter} \text{{ or }} {answer}"


def _character(pair: Pair) -> Changed:
    """A letter or digit replaced: a text is its letters and digits at least."""
    text = pair.answer or ""
    if pair.args.get("several") or not text.isascii() or "\\" in text:
        return
    places = [at for at, character in enumerate(text) if character.isalnum()]
    for at in sorted({*places[:1], *places[len(places) // 2 :][:1], *places[-1:]}):
        old = text[at].lower()
        new = str((int(old) + 1) % 10) if old.isdigit() else "q" if old != "q" else "x"
        yield f"character {at + 1} changed", f"{text[:at]}{new}{text[at + 1 :]}"


MUTATORS: dict[str, tuple[Callable[[Pair], Changed], ...]] = {
    "math": (_number, _fraction, _radical, _sum, _polynomial, _tuple, _interval, _list, _unit),
    "choice": (_letter,),
    "exact": (_character,),
}
