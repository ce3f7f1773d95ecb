"""Whether a program printed what it should."""

from decimal import Decimal


def same_output(expected: str, printed: str, tolerance: float = 0.0) -> bool:
    """Line by line, without blanks at the end of lines and blank lines at the end. With a tolerance,
    words that are numbers on both sides may differ by it, absolutely or relatively."""
    left, right = _lines(expected), _lines(printed)
    if left == right:
        return True
    if not tolerance or len(left) != len(right):
        return False
    return all(
        len(one.split()) == len(other.split())
        and all(_close(a, b, tolerance) for a, b in zip(one.split(), other.split(), strict=True))
        for one, other in zip(left, right, strict=True)
    )


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").rstrip().split("\n")]
    return [] if lines == [""] else lines


def _close(one: str, other: str, tolerance: float) -> bool:
    if one == other:
        return True
    limit = Decimal(repr(tolerance))
    try:
        a, b = Decimal(one), Decimal(other)
        if not (a.is_finite() and b.is_finite()):
            return False
        return abs(a - b) <= max(limit, limit * abs(a))
    except ArithmeticError:  # no numbers, or beyond what decimals reach
        return False
