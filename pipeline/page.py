"""Pages that need nothing but a browser, made from text that nobody vouches for.

What sources and models wrote is shown as it is and never acts: `visible` takes away what a terminal
or a browser would act on, and `content_policy` forbids a page everything but its own parts, so that
even text that were not escaped could run nothing and load nothing.
"""

import base64
import hashlib
from collections.abc import Iterable


def visible(text: str) -> str:
    """`text` with escapes for characters that would move a cursor, change colours or turn the
    direction of reading; line ends stay."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def one_line(text: str, width: int) -> str:
    """`text` as one visible line of at most `width` characters; what is cut off ends in an ellipsis."""
    # What is far behind the cut is not looked at: texts can be megabytes long.
    line = visible(" ".join(text[: 20 * width].split()))
    whole = len(text) <= 20 * width
    return line if len(line) <= width and whole else line[: width - 1] + "…"


def content_policy(
    styles: Iterable[str], scripts: Iterable[str] = (), more: Iterable[str] = ()
) -> str:
    """Content of the meta tag `Content-Security-Policy` of a page whose style and script blocks hold
    just these texts: nothing else styles, runs or loads, and no form sends anything anywhere. `more`:
    further directives."""
    return "; ".join(
        [
            "default-src 'none'",
            *_allowed("style-src", styles),
            *_allowed("script-src", scripts),
            *more,
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def source(text: str) -> str:
    """What a policy calls a block that holds just `text`."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _allowed(directive: str, blocks: Iterable[str]) -> list[str]:
    """Nothing where there is no block: the default stands."""
    found = " ".join(map(source, blocks))
    return [f"{directive} {found}"] if found else []
