"""What names or reaches a person: addresses, telephone, account, card and insurance numbers.

Prompts are full of numbers that look like such, so each kind asks for more than a form: check digits
(IBAN: ISO 7064 mod 97-10; cards: Luhn, ISO/IEC 7812-1), ranges that are given out, or a word beside
it. Addresses that are set aside for examples (RFC 2606, RFC 5737) are nobody's.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence

from winnow.pipeline.clean.filters.drop import Drop

_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})\b"
)
_RESERVED = ("example.com", "example.org", "example.net", "email.com", "domain.com")
_RESERVED_TOP = ("test", "example", "invalid", "localhost")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{1,4}){3,8}(?!\w)")
_CARD = re.compile(
    r"(?<![\w.,-])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,4}(?:[ -]?\d{3})?(?![\w-]|[.,]\d)"
)
_IP = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]|\.\d)")
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_PHONE_MAY_BE = re.compile(r"\+\s?\d|\d[\d\s().-]{6,}\d")
_SUMS = re.compile(r"[=×÷*/^+]|\\[a-z]")


def _emails(text: str) -> list[str]:
    found = []
    for match in _EMAIL.finditer(text):
        host = match[1].lower()
        reserved = any(host == name or host.endswith(f".{name}") for name in _RESERVED)
        if not reserved and host.rsplit(".", 1)[-1] not in _RESERVED_TOP:
            found.append(match[0])
    return found


def _ibans(text: str) -> list[str]:
    from stdnum import iban

    return [match[0] for match in _IBAN.finditer(text) if iban.is_valid(match[0])]


def _cards(text: str) -> list[str]:
    from stdnum import luhn

    found = []
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if 13 <= len(digits) <= 19 and luhn.is_valid(digits) and len(set(digits)) > 3:
            found.append(match[0])
    return found


def _addresses(text: str) -> list[str]:
    """Public IPv4 addresses: private, loopback and documentation ranges reach nobody."""
    found = []
    for match in _IP.finditer(text):
        try:
            address = ipaddress.IPv4Address(match[0])
        except ValueError:  # a version number or a section, such as 1.2.3.400
            continue
        # Low first numbers are versions and sections ("release 2.4.0.1").
        if address.is_global and address.packed[0] > 10:
            found.append(match[0])
    return found


def _insurance_numbers(text: str) -> list[str]:
    from stdnum.us import ssn

    # 123-45-6789 is everybody's example.
    found = (match[0] for match in _SSN.finditer(text))
    return [number for number in found if ssn.is_valid(number) and number != "123-45-6789"]


def _phones(text: str, region: str | None) -> list[str]:
    if not _PHONE_MAY_BE.search(text):
        return []
    import phonenumbers

    found = []
    for match in phonenumbers.PhoneNumberMatcher(
        text, region, leniency=phonenumbers.Leniency.STRICT_GROUPING, max_tries=50
    ):
        raw = match.raw_string
        around = text[max(match.start - 3, 0) : match.start] + text[match.end : match.end + 3]
        # Bare digits are any number, and what stands in a sum is one of its terms.
        if (raw.isdigit() and len(raw) < 11) or _SUMS.search(around) or " - " in raw:
            continue
        if raw.startswith("+") or re.search(r"[\s().-]", raw.strip("()")):
            found.append(raw)
    return found


_FINDERS: dict[str, Callable[[str], list[str]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
    "ssn": _insurance_numbers,
}


def personal_data(text: str, kinds: Sequence[str], phone_region: str | None = None) -> Drop | None:
    """`personal_data` where one of `kinds` is found: email, phone, iban, card, ip, ssn.

    The ledger is told the kind and the shape of what was found, never the thing itself.
    """
    for kind in kinds:
        found = _phones(text, phone_region) if kind == "phone" else _FINDERS[kind](text)
        if found:
            return Drop(
                "personal_data", kind, "0", f"{len(found)} found, such as {masked(found[0])}"
            )
    return None


def masked(value: str) -> str:
    """The shape of `value`: letters as x, digits as 9."""
    return re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", value))
