"""Characters that no author wrote: lost ones, control codes, and text read in a wrong encoding."""

import re

from winnow.pipeline.clean.filters.drop import Drop

# Lone surrogates, unassigned and control characters other than white space.
_BROKEN = re.compile("[\ud800-\udfff\ufffe\uffff\x00-\x08\x0e-\x1b\x7f\x80-\x84\x86-\x9f]")


def broken_unicode(text: str) -> Drop | None:
    """`replacement_character` for U+FFFD, `control_character`, `mojibake` (`Ã©` for `é`).

    Mojibake is told by ftfy's `badness` (R. Speer, "ftfy", Zenodo 2591652), and only where ftfy also
    knows how to undo it, so that odd but meant combinations stay.
    """
    if text.isascii() and text.isprintable():
        return None
    at = text.find("\ufffd")
    if at >= 0:
        return Drop("replacement_character", str(text.count("\ufffd")), "0", _around(text, at))
    broken = _BROKEN.search(text)
    if broken:
        name = f"U+{ord(broken[0]):04X}"
        return Drop("control_character", name, None, _around(text, broken.start()))
    if not text.isascii():
        import ftfy
        from ftfy.badness import is_bad

        if is_bad(text):
            mended = ftfy.fix_encoding(text)
            if mended != text:
                return Drop("mojibake", None, None, _difference(text, mended))
    return None


def _around(text: str, at: int) -> str:
    """The text on both sides of `at`, without what no encoder takes."""
    return text[max(at - 20, 0) : at + 21].encode("utf-8", "replace").decode()


def _difference(text: str, mended: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(text, mended, strict=False)) if a != b), 0)
    return f"{text[at : at + 20]} reads {mended[at : at + 20]}"
