r"""Units of measurement, so that 5 cm is not 5 m, and 5 m is 500 cm.

A unit is a product of powers of base dimensions with an exact size: `m/s^2`, `square feet`,
`dollars per hour`. Words that are no unit of this table ("apples") say nothing about the value.
Sizes are exact: the international foot and pound (1959), the US gallon.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache


@dataclass(frozen=True)
class Unit:
    """`dimensions`: (name, power), sorted; `size` in the base units of its dimensions."""

    dimensions: tuple[tuple[str, int], ...]
    size: Fraction

    def __mul__(self, other: "Unit") -> "Unit":
        powers = dict(self.dimensions)
        for name, power in other.dimensions:
            powers[name] = powers.get(name, 0) + power
        kept = tuple(sorted((name, power) for name, power in powers.items() if power))
        return Unit(kept, self.size * other.size)

    def __pow__(self, power: int) -> "Unit":
        return Unit(tuple((name, p * power) for name, p in self.dimensions), self.size**power)


# dimension: {size in its base unit: spellings}; a plural needs no spelling of its own.
_SIZES: dict[str, dict[str, str]] = {
    "length": {
        "1/1000000000": "nm nanometer",
        "1/1000": "mm millimeter millimetre 毫米",
        "1/100": "cm centimeter centimetre 厘米",
        "1/10": "dm decimeter 分米",
        "1": "m meter metre 米",
        "1000": "km kilometer kilometre 千米 公里",
        "0.0254": "inch inches in",
        "0.3048": "ft foot feet",
        "0.9144": "yd yard",
        "1609.344": "mi mile",
    },
    "time": {
        "1": "s sec second 秒",
        "60": "min minute 分钟",
        "3600": "h hr hour 小时",
        "86400": "day 天",
        "604800": "week 周",
    },
    "years": {"1": "month 月", "12": "yr year 年"},
    "mass": {
        "1/1000": "mg milligram",
        "1": "g gm gram 克",
        "1000": "kg kilogram 千克 公斤",
        "453.59237": "lb pound",
        "28.349523125": "oz ounce",
    },
    "volume": {
        "1/1000": "ml milliliter millilitre 毫升",
        "1": "l liter litre 升",
        "3.785411784": "gal gallon",
        "0.946352946": "quart",
        "0.473176473": "pint",
    },
    "dollars": {"1": "dollar usd $", "1/100": "cent ¢ \\cents"},
    "euros": {"1": "euro eur €"},
    "sterling": {"1": "£ gbp"},
    "yuan": {"1": "元 ¥ yuan", "1/10": "角"},
    "rupees": {"1": "₹ rupee rs inr"},
    "degrees": {"1": "degree deg 度"},
    "radians": {"1": "radian rad"},
}
UNITS: dict[str, Unit] = {
    spelling: Unit(((dimension, 1),), Fraction(size))
    for dimension, sizes in _SIZES.items()
    for size, spellings in sizes.items()
    for spelling in spellings.split()
}
_LENGTH, _TIME = UNITS["m"], UNITS["s"]
UNITS["mph"] = UNITS["mile"] * UNITS["hour"] ** -1
UNITS["kph"] = UNITS["km"] * UNITS["hour"] ** -1
UNITS["acre"] = Unit((("length", 2),), Fraction("4046.8564224"))

# Words that give the next or the last unit a power.
POWERS = {"square": 2, "sq": 2, "cubic": 3, "平方": 2, "立方": 3}
AFTER = {"squared": 2, "cubed": 3}
PER = frozenset({"per"})
# One-letter spellings and short words are units only where something else says so ("5 m").
_WORD = re.compile(
    r"(?P<name>[a-zA-Z]+|\\cents|[$€£¥₹¢]|[一-鿿]+)\.?(?:\s*\^?\s*\{?(?P<power>-?[0-9])\}?)?|(?P<slash>/)|[*]"
)
_HAN = re.compile("[一-鿿]")


@lru_cache(maxsize=4096)
def unit(text: str) -> Unit | None:
    r"""The unit that `text` begins with ("square feet of paper"); None where it names none, or
    begins with a word that is no unit. `\text` wrappers must be gone."""
    product: Unit | None = None
    sign, power, at = 1, 1, 0
    text = text.strip()
    while match := _WORD.match(text, at):
        name = match["name"]
        at = match.end()
        while at < len(text) and text[at] in " -":
            at += 1
        if match["slash"] or (name and name.lower() in PER):
            sign = -1
            continue
        if name is None:
            continue
        if name.lower() in POWERS:
            power = POWERS[name.lower()]
            continue
        if product is not None and name.lower() in AFTER:
            product = product ** AFTER[name.lower()]
            continue
        known, raised = _named(name)
        if known is None:
            break
        power *= int(match["power"] or raised)
        factor = known ** (power * sign)
        product = factor if product is None else product * factor
        power = 1
    return product


def _named(name: str) -> tuple[Unit | None, int]:
    """(unit, power) of one word; Chinese writes the power into it (平方米)."""
    if _HAN.match(name):
        for prefix in ("平方", "立方"):
            if name.startswith(prefix) and prefix in POWERS:
                return UNITS.get(name[2:]), POWERS[prefix]
        return UNITS.get(name), 1
    for spelling in (name, name.lower(), name.lower().removesuffix("s")):
        if spelling in UNITS:
            return UNITS[spelling], 1
    return None, 1
