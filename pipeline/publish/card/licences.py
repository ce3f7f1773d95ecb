"""Which licence a version inherits from its sources: the most restrictive one, by name.

The table holds the Hub's own identifiers, grouped by what they forbid; a later group forbids more.
It is a reading aid and no legal advice. What is not in it is never guessed at: a source that states
no licence, or one that nobody here knows, makes the whole unclear, and the card says so.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OWN_TERMS = "terms of its own"
UNKNOWN = "unknown"

# (what the group asks for, the Hub's identifiers), from the freest to the most restrictive.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "permissive",
        ("afl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause",
         "bsd-3-clause-clear", "bsl-1.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
         "ecl-2.0", "isc", "lppl-1.3c", "mit", "ms-pl", "ncsa", "pddl", "postgresql", "unlicense",
         "wtfpl", "zlib"),
    ),
    (
        "attribution",
        ("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "etalab-2.0", "odc-by"),
    ),
    (
        "share-alike",
        ("agpl-3.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cdla-sharing-1.0", "epl-1.0", "epl-2.0",
         "eupl-1.1", "eupl-1.2", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1",
         "lgpl-3.0", "lgpl-lr", "mpl-2.0", "odbl", "ofl-1.1", "osl-3.0"),
    ),
    (
        "restrictions on what it is used for",
        ("bigcode-openrail-m", "bigscience-bloom-rail-1.0", "bigscience-openrail-m", "c-uda",
         "creativeml-openrail-m", "gemma", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3",
         "openrail", "openrail++"),
    ),
    (
        "no commercial use",
        ("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "deepfloyd-if-license"),
    ),
    (
        "no commercial use, share-alike",
        ("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    ),
    ("no derivatives", ("cc-by-nd-4.0",)),
    ("no derivatives, no commercial use", ("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0")),
    # A family without its member, and what the Hub does not list.
    (OWN_TERMS, ("cc", "other")),
    (UNKNOWN, ("unknown",)),
)  # fmt: skip
_RANK = {name: rank for rank, (_, ids) in enumerate(GROUPS) for name in ids}
_SHARE_ALIKE = frozenset(name for what, ids in GROUPS if "share-alike" in what for name in ids)
_OWN = len(GROUPS) - 2
_LINK = re.compile(r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/%+-]*)?")
_LONGEST = 80  # characters of a `license_name`


@dataclass(frozen=True)
class Inherited:
    """What follows from the sources' licences.

    `binding`: the most restrictive of them, as the Hub spells it or as the source states it; several
    where they are equally strict, and none where a source states nothing. `asks`: what their group
    asks for. `also`: share-alike licences among the others, which ask for more than `binding` says.
    """

    binding: tuple[str, ...]
    asks: str
    also: tuple[str, ...] = ()

    @property
    def header(self) -> dict[str, str | list[str]]:
        """`license`, and `license_name` and `license_link` where the Hub does not list it."""
        if self.asks == UNKNOWN:
            return {"license": "unknown"}
        known = [name for name in self.binding if name in _RANK]
        if len(known) == len(self.binding):
            return {"license": known[0] if len(known) == 1 else known}
        own = [name for name in self.binding if name not in _RANK]
        links = [found[0] for name in own if (found := _LINK.fullmatch(name.strip()))]
        return {
            "license": "other",
            "license_name": "-and-".join(map(_slug, own))[:_LONGEST].strip("-."),
            **({"license_link": links[0]} if len(links) == len(self.binding) == 1 else {}),
        }


def inherit(licences: Iterable[str | None]) -> Inherited:
    """The licence that binds rows of all these sources; one entry per source."""
    stated = [identifier(licence) for licence in licences]
    ranks = {name: _rank(name) for name in stated}
    highest = max(ranks.values(), default=len(GROUPS) - 1)
    asks = GROUPS[highest][0]
    binding = tuple(sorted({n for n, rank in ranks.items() if rank == highest and n is not None}))
    also: Sequence[str] = ()
    if "share-alike" not in asks:
        also = sorted(name for name in stated if name in _SHARE_ALIKE and name is not None)
    return Inherited(() if asks == UNKNOWN else binding, asks, tuple(dict.fromkeys(also)))


def identifier(licence: str | None) -> str | None:
    """The Hub's identifier where `licence` spells one (whatever its case, spaces for hyphens);
    else the text as it stands, and None where there is none."""
    text = (licence or "").strip()
    spelled = re.sub(r"[\s_]+", "-", text.lower())
    return spelled if spelled in _RANK else text or None


def asks_for(licence: str | None) -> str:
    """What a source's licence asks for, in the words of `GROUPS`."""
    return GROUPS[_rank(identifier(licence))][0]


def _rank(name: str | None) -> int:
    return len(GROUPS) - 1 if name is None else _RANK.get(name, _OWN)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "unnamed"
