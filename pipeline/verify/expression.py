r"""Reads a mathematical expression, LaTeX or plain text, into a tree.

A reader of our own, because a verifier must not guess: what is not understood raises
`CannotParse`, nothing is skipped, and no text ever reaches an evaluator. Nodes are tuples:

    ("num", int | Fraction)   ("var", name)   ("const", "pi" | "e" | "i" | "inf")
    ("add", (nodes))   ("mul", (nodes))   ("div", a, b)   ("pow", a, b)
    ("call", function, (arguments))

Arithmetic of rational numbers is done while reading, so that a rational constant is one "num".
Conventions: `-x^2` is -(x^2); `1/2x` is (1/2)x; `\sin 2x` takes the product that follows it;
`\sin^2 x` is (sin x)^2 and `\sin^{-1} x` the arcsine; `2\frac{1}{2}` and `2 1/2` are mixed numbers;
`x^12` is one power; `e` and `i` are the constants; an angle with a degree sign is in degrees.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from winnow.pipeline.verify import arithmetic
from winnow.pipeline.verify.arithmetic import TooLarge
from winnow.pipeline.verify.tokens import INVERSES, CannotParse, tokens

Node = tuple[Any, ...]

MAX_TEXT = 600  # characters of one expression
MAX_NESTING = 40

FIGURES = frozenset({r"\overline", r"\triangle", r"\angle"})
UNKNOWN_FUNCTIONS = frozenset("fghFGP")
CLOSING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
_OPENING = frozenset({r"\frac", r"\sqrt", r"\binom", r"\lfloor", r"\lceil"})
_ROUNDING = {r"\lfloor": "floor", r"\lceil": "ceil"}


@dataclass(frozen=True)
class Expression:
    """A tree, the names of its variables, and the functions that it uses."""

    node: Node
    names: frozenset[str]
    functions: frozenset[str]
    is_complex: bool


@lru_cache(maxsize=16384)
def parse(text: str) -> Expression:
    """Read `text`, as `notation.normalise` leaves it. Raises CannotParse."""
    if len(text) > MAX_TEXT:
        raise CannotParse("too long")
    reader = _Reader(tokens(text))
    try:
        node = reader.sum()
    except (TooLarge, ZeroDivisionError) as error:
        raise CannotParse(f"{type(error).__name__}: {error}") from None
    if reader.kind:
        raise CannotParse(f"left over: {reader.text}")
    return Expression(node, frozenset(reader.names), frozenset(reader.functions), reader.is_complex)


class _Reader:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str, bool]]) -> None:
        self.tokens = tokens
        self.at = 0
        self.kind, self.text, self.spaced = tokens[0]
        self.names: set[str] = set()
        self.functions: set[str] = set()
        self.is_complex = False
        self.depth = 0
        self.bars = 0

    def advance(self) -> None:
        self.at += 1
        self.kind, self.text, self.spaced = self.tokens[self.at]

    def take(self, text: str) -> bool:
        if self.text == text and self.kind in ("op", "cmd"):
            self.advance()
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise CannotParse(f"{text} is missing before {self.text!r}")

    # sums and products

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise CannotParse("nested too deeply")
        terms = [self.signed()]
        while self.kind == "op" and self.text in "+-":
            negative = self.text == "-"
            self.advance()
            term = self.signed()
            terms.append(arithmetic.negated(term) if negative else term)
        self.depth -= 1
        return arithmetic.added(terms)

    def signed(self) -> Node:
        """A product, perhaps behind signs."""
        negative = False
        while self.kind == "op" and self.text in ("+", "-"):
            negative ^= self.text == "-"
            self.advance()
        product = self.product()
        return arithmetic.negated(product) if negative else product

    def product(self) -> Node:
        left = self.factor()
        while True:
            if self.kind == "op" and self.text == "*":
                self.advance()
                left = arithmetic.multiplied(left, self.signed_factor())
            elif self.kind == "op" and self.text == "/":
                self.advance()
                left = arithmetic.divided(left, self.signed_factor())
            elif self.starts_factor():
                left = arithmetic.multiplied(left, self.factor())
            else:
                return left

    def signed_factor(self) -> Node:
        if self.kind == "op" and self.text in ("+", "-"):
            negative = self.text == "-"
            self.advance()
            factor = self.signed_factor()
            return arithmetic.negated(factor) if negative else factor
        return self.factor()

    def starts_factor(self) -> bool:
        if self.kind == "num":  # two numbers side by side are not one product
            before = self.tokens[self.at - 1]
            if before[0] == "num":
                raise CannotParse("two numbers side by side")
            return True
        if self.kind in ("var", "const", "fun"):
            return True
        if self.kind == "cmd":
            return self.text in FIGURES or self.text in _OPENING
        if self.text == "|":
            return self.bars == 0
        return self.kind == "op" and self.text in ("(", "[", "{", r"\{")

    # powers

    def factor(self) -> Node:
        number_at = self.at if self.kind == "num" else None
        base = self.postfixed(self.atom())
        if number_at is not None and self.at == number_at + 1:
            base = self.mixed(base)
        return self.powered(base)

    def powered(self, base: Node) -> Node:
        while self.kind == "op" and self.text == "^":
            self.advance()
            if self.kind == "cmd" and self.text == r"\circ":
                self.advance()
                base = self.degrees(base)
            else:
                base = arithmetic.raised(base, self.exponent())
            base = self.postfixed(base)
        return base

    def exponent(self) -> Node:
        if self.kind == "op" and self.text in ("+", "-"):
            negative = self.text == "-"
            self.advance()
            power = self.exponent()
            return arithmetic.negated(power) if negative else power
        power = self.postfixed(self.atom())
        if self.kind == "op" and self.text == "^":  # a^b^c is a^(b^c)
            self.advance()
            power = arithmetic.raised(power, self.exponent())
        return power

    def postfixed(self, base: Node) -> Node:
        while self.kind == "op" and self.text in ("!", "%"):
            if self.text == "%":
                self.advance()
                base = arithmetic.divided(base, ("num", 100))
                continue
            self.advance()
            if self.kind == "op" and self.text == "!" and not self.spaced:
                raise CannotParse("double factorial")
            base = self.called("factorial", (base,))
        return base

    def degrees(self, base: Node) -> Node:
        return arithmetic.multiplied(base, arithmetic.DEGREE)

    def mixed(self, whole: Node) -> Node:
        r"""`2\frac{1}{2}` and `2 1/2`: a number, and a proper fraction of numbers directly behind."""
        if not isinstance(whole[1], int):
            return whole
        part: Node | None = None
        mark = self.at
        if self.kind == "cmd" and self.text == r"\frac":
            part = self.atom()
        elif self.kind == "num" and self.spaced and self.tokens[self.at + 1][1] == "/":
            top = self.atom()
            self.advance()
            if self.kind == "num":
                part = arithmetic.divided(top, self.atom())
        if part and part[0] == "num" and isinstance(part[1], Fraction) and 0 < part[1] < 1:
            return ("num", whole[1] + part[1])
        self.at = mark
        self.kind, self.text, self.spaced = self.tokens[mark]
        return whole

    # atoms

    def atom(self) -> Node:
        kind, text = self.kind, self.text
        if kind == "num":
            self.advance()
            return ("num", arithmetic.number(text))
        if kind == "const":
            self.advance()
            if text == "i":
                self.is_complex = True
            return ("const", text)
        if kind == "var":
            self.advance()
            return self.variable(text)
        if kind == "fun":
            self.advance()
            return self.function(text)
        if text == "|":
            return self.absolute()
        if text in CLOSING:
            return self.group()
        if kind == "cmd":
            return self.command()
        raise CannotParse(f"{text!r} is out of place")

    def group(self) -> Node:
        opening = self.text
        self.advance()
        bars, self.bars = self.bars, 0
        inner = self.sum()
        self.bars = bars
        self.expect(CLOSING[opening])
        return self.called(_ROUNDING[opening], (inner,)) if opening in _ROUNDING else inner

    def absolute(self) -> Node:
        self.advance()
        self.bars += 1
        inner = self.sum()
        self.bars -= 1
        self.expect("|")
        return self.called("abs", (inner,))

    def command(self) -> Node:
        name = self.text
        self.advance()
        if name == r"\frac":
            top = self.argument()
            return arithmetic.divided(top, self.argument())
        if name == r"\binom":
            top = self.argument()
            return self.called("binomial", (top, self.argument()))
        if name == r"\sqrt":
            return self.root()
        if name in FIGURES:
            return self.figure(name)
        raise CannotParse(f"command {name}")

    def figure(self, name: str) -> Node:
        r"""`\overline{AB}`, `\triangle ABC`: a name of its own."""
        braced = self.take("{")
        letters = ""
        while self.kind == "var":
            letters += self.text
            self.advance()
        if braced:
            self.expect("}")
        return self.variable(f"{name} {letters}")

    def argument(self) -> Node:
        if self.text == "{":
            return self.group()
        raise CannotParse("an argument without braces")

    def root(self) -> Node:
        index: Node = ("num", 2)
        if self.text == "[":
            self.advance()
            index = self.sum()
            self.expect("]")
        inner = self.group() if self.text in CLOSING else self.atom()
        return arithmetic.raised(inner, arithmetic.divided(("num", 1), index))

    def variable(self, name: str) -> Node:
        if self.take("_"):
            name = f"{name}_{self.subscript()}"
        while self.text == "'" and self.kind == "op":
            self.advance()
            name += "'"
        # f(x) is no product: a quantity of its own, of which nothing is known.
        if name.rstrip("'")[:1] in UNKNOWN_FUNCTIONS and self.text in ("(", "["):
            outer, self.names = self.names, set()
            name = f"{name}{self.arguments()!r}"
            self.names = outer
        self.names.add(name)
        return ("var", name)

    def subscript(self) -> str:
        if not self.take("{"):
            text = self.text
            if not self.kind:
                raise CannotParse("an empty subscript")
            self.advance()
            return text
        depth, out = 1, ""
        while depth:
            depth += {"{": 1, "}": -1}.get(self.text, 0)
            if depth:
                out += self.text
            self.advance() if self.kind else self.expect("}")
        return out

    def function(self, name: str) -> Node:
        if name == "sqrt":
            return self.root()
        base: Node | None = None
        if name == "log" and self.take("_"):
            base = self.group() if self.text == "{" else self.atom()
        power: Node | None = None
        if self.take("^"):
            power = self.exponent()
            if power == ("num", -1) and name in INVERSES:
                name, power = INVERSES[name], None
        arguments = self.arguments()
        if base is not None:
            over = self.called("ln", arguments)
            value = arithmetic.divided(over, self.called("ln", (base,)))
        else:
            value = self.called(name, arguments)
        return value if power is None else arithmetic.raised(value, power)

    def arguments(self) -> tuple[Node, ...]:
        """What a function is applied to: a group, or the product that follows."""
        if self.text in ("(", "[", "{"):
            closing = CLOSING[self.text]
            self.advance()
            found = [self.sum()]
            while self.take(","):
                found.append(self.sum())
            self.expect(closing)
            return tuple(found)
        if self.kind == "op" and self.text == "-":
            self.advance()
            return (arithmetic.negated(self.arguments()[0]),)
        product = self.factor()
        while self.kind != "fun" and self.starts_factor():
            if self.text in ("(", "[") and product[0] != "num":  # cos x (y + 1), but cos 2(y + 1)
                break
            product = arithmetic.multiplied(product, self.factor())
        return (product,)

    def called(self, name: str, arguments: tuple[Node, ...]) -> Node:
        if len(arguments) != arithmetic.ARITY.get(name, 1) and name not in arithmetic.VARIADIC:
            raise CannotParse(f"{name} of {len(arguments)} arguments")
        self.functions.add(name)
        return arithmetic.called(name, arguments)


__all__ = ["CannotParse", "Expression", "Node", "parse"]
