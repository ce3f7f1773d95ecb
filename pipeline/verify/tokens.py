r"""The words of mathematical expressions, and a text cut into them.

The tables are data: each entry is guarded by a labelled pair of the self-test.
"""

import re
from functools import lru_cache

# Names of functions as they are written: the function that is meant.
FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "cot": "cot", "sec": "sec", "csc": "csc",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "asin": "asin",
    "acos": "acos", "atan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "log": "log",
    "ln": "ln", "lg": "lg", "exp": "exp", "sqrt": "sqrt", "cbrt": "cbrt", "abs": "abs",
    "floor": "floor", "ceil": "ceil", "gcd": "gcd", "lcm": "lcm", "max": "max", "min": "min",
    "cis": "cis", "factorial": "factorial",
}  # fmt: skip
INVERSES = {
    "sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sinh": "asinh", "cosh": "acosh",
    "tanh": "atanh",
}  # fmt: skip
CONSTANTS = {"pi": "pi", "e": "e", "i": "i", "infty": "inf", "infinity": "inf", "oo": "inf"}
GREEK = frozenset(
    [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
        "rho",
        "sigma",
        "tau",
        "phi",
        "chi",
        "psi",
        "omega",
        "Gamma",
        "Delta",
        "Theta",
        "Lambda",
        "Sigma",
        "Phi",
        "Psi",
        "Omega",
        "ell",
    ]
)
# How Python and SymPy write what LaTeX writes otherwise.
PYTHON = {
    r"(?<![a-zA-Z])(?:np|numpy|math|sp|sympy)\.(?=[a-z])": "",
    r"(?<=\*)\s*I(?![a-zA-Z])": "i",
    r"log([0-9]+)\(": r"\\log_{\1}(",
}
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<num>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
    r"|(?P<cmd>\\[a-zA-Z]+)|(?P<word>[a-zA-Z]+)|(?P<op>\*\*|\\[{}]|[-+*/^_!'|(){}\[\],%&])"
)
_WORDS = sorted({*FUNCTIONS, *CONSTANTS, *GREEK} - {"e", "i"}, key=len, reverse=True)
_NAMES = re.compile("|".join([*_WORDS, "[a-zA-Z]"]))


class CannotParse(Exception):
    """The text is no expression that this reader knows, or one too large to work out."""


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def tokens(text: str) -> list[tuple[str, str, bool]]:
    """(kind, text, whether a space stands before it) of each token, ended by an empty one."""
    for pattern, written in PYTHON.items():
        text = _compiled(pattern).sub(written, text)
    out: list[tuple[str, str, bool]] = []
    at, spaced = 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise CannotParse(f"character {text[at]!r}")
        kind, at = str(match.lastgroup), match.end()
        if kind == "space":
            spaced = True
            continue
        if kind == "word":
            out.extend(_named(match.group(), spaced, text[at : at + 1]))
        elif kind == "cmd":
            out.append((*_command(match.group()), spaced))
        else:
            out.append((kind, "^" if match.group() == "**" else match.group(), spaced))
        spaced = False
    out.append(("", "", False))
    return out


def _command(text: str) -> tuple[str, str]:
    name = text[1:]
    if name in FUNCTIONS and name != "sqrt":
        return "fun", FUNCTIONS[name]
    if name in CONSTANTS:
        return "const", CONSTANTS[name]
    return ("var", name) if name in GREEK else ("cmd", text)


def _named(word: str, spaced: bool, after: str) -> list[tuple[str, str, bool]]:
    """A run of letters: known names, and variables of one letter each."""
    out: list[tuple[str, str, bool]] = []
    single = ""
    for name in _NAMES.findall(word):
        if name in FUNCTIONS:
            out.append(("fun", FUNCTIONS[name], spaced))
        elif name in CONSTANTS:
            out.append(("const", CONSTANTS[name], spaced))
        else:
            out.append(("var", name, spaced))
        spaced = False
        single = single + name if len(name) == 1 else ""
        # Words are no products: "apples" is not a*p*p*l*e*s. "abcd" may be one.
        if len(single) > 3 and list(single.lower()) != sorted(set(single.lower())):
            raise CannotParse(f"word {word}")
    return out
