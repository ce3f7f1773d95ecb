"""In which language a prompt is written, told by py3langid from its words alone.

Of the detectors with a model in their package, py3langid names the fewest mathematical and code
prompts wrongly, and its probabilities say when it does not know.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from winnow.pipeline.clean.filters.drop import Drop

# Formulas, code, markup, addresses: they are in no language.
_NOT_WORDS = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$[^$]*\$\$|\$[^$\n]*\$"
    r"|\\\[(?:(?!\\[\[\]]).)*\\\]|\\\((?:(?!\\[()]).)*\\\)|\\[a-zA-Z]+(?:\{[a-z*]+\})?"
    r"|https?://\S+|\S+@\S+|<[^<>\n]{1,200}>|[^\W\d_]*[\d_]\w*",
    re.DOTALL,
)
# What a prompt quotes is not the language that it asks in: "Translate 'Guten Tag' into English".
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|«[^»]*»|„[^“”]*[“”]')
_WORD = re.compile(r"[^\W\d_]{2,}(?:['’][^\W\d_]+)*")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_FEWEST = 5  # different words, or letters of a script without spaces
_ASIDE = 3  # words around a quotation that make it one
_MOST = 2000  # characters that are looked at: more do not change the answer
# Languages that are written so alike that a short text cannot tell them apart; the second is
# counted as the first.
_ALIKE = {"pcm": "en", "sco": "en", "nb": "no", "nn": "no"}


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def known_languages() -> frozenset[str]:
    """The ISO 639-1 codes (639-3 where there is none) that can be told."""
    return frozenset(label.lower() for label in _identifier().labels)


def probabilities(text: str) -> dict[str, float]:
    """Probability of each language; empty where the text has too few words to tell."""
    text = _NOT_WORDS.sub(" ", text)
    words = _WORD.findall(_QUOTED.sub(" ", text))
    if len(words) < _ASIDE:
        words = _WORD.findall(text)
    if len(set(words)) + len(set(_UNSPACED.findall(" ".join(words)[:_MOST]))) < _FEWEST:
        return {}
    out: dict[str, float] = {}
    for label, share in _identifier().rank(" ".join(words)[:_MOST]):
        name = _ALIKE.get(label.lower(), label.lower())
        out[name] = out.get(name, 0.0) + float(share)
    return out


def foreign(text: str, languages: Sequence[str], confidence: float) -> Drop | None:
    """`language` where the text is in none of `languages` with at least that probability.

    What cannot be told stays.
    """
    found = probabilities(text)
    allowed = sum(found.get(_ALIKE.get(name, name), 0.0) for name in set(languages))
    if not found or 1 - allowed < confidence:
        return None
    likely = max(found, key=lambda name: found[name])
    return Drop("language", likely, ",".join(languages), f"probability {1 - allowed:.3f}")
