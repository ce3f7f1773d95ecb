"""Filters over prompts: each rule is a small pure function, and every drop says why.

To add one: a function from text (or a column's value) to `Drop | None` in a file of its own, a key
in `config.FiltersConfig`, and its line in `check`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa

from winnow.pipeline.clean.filters.config import FiltersConfig as FiltersConfig
from winnow.pipeline.clean.filters.drop import Drop as Drop
from winnow.pipeline.clean.filters.language import foreign
from winnow.pipeline.clean.filters.length import outside, repetitive
from winnow.pipeline.clean.filters.licence import unlicensed
from winnow.pipeline.clean.filters.personal_data import personal_data
from winnow.pipeline.clean.filters.residue import residue
from winnow.pipeline.clean.filters.residue import stripped as strip_residue
from winnow.pipeline.clean.filters.unicode import broken_unicode
from winnow.pipeline.clean.normalise import is_blank

__all__ = ["Drop", "FiltersConfig", "check", "filter_prompts", "strip_residue"]


def filter_prompts(prompts: pa.Table, config: FiltersConfig) -> dict[int, Drop]:
    """Row number and reason of every prompt (a table of schema.PROMPTS) that is dropped."""
    columns = (prompts[name].to_pylist() for name in ("messages", "licence", "n_tokens"))
    drops = {}
    for row, (messages, licence, tokens) in enumerate(zip(*columns, strict=True)):
        drop = check([m["content"] for m in messages], config, licence=licence, n_tokens=tokens)
        if drop:
            drops[row] = drop
    return drops


def check(
    texts: Sequence[str],
    config: FiltersConfig,
    *,
    licence: str | None = None,
    n_tokens: int | None = None,
) -> Drop | None:
    """The first rule that drops a prompt of these turns, cheap rules first; None: it stays."""
    whole = "\n\n".join(texts)
    rules: list[Callable[[], Drop | None]] = [
        lambda: unlicensed(
            licence, config.licences, config.denied_licences, config.unknown_licence
        ),
        lambda: Drop("blank") if is_blank(whole) else None,
        lambda: outside("characters", len(whole), config.min_characters, config.max_characters),
        lambda: outside("words", len(whole.split()), config.min_words, config.max_words),
        lambda: outside("tokens", n_tokens, None, config.max_tokens),
    ]
    if config.unicode:
        rules.append(lambda: broken_unicode(whole))
    if config.residue:
        rules += [partial(residue, text) for text in texts]
    if config.personal_data:
        rules.append(lambda: personal_data(whole, config.personal_data, config.phone_region))
    most = config.max_repetition
    if most is not None:
        rules.append(lambda: repetitive(whole, most))
    languages = config.languages
    if languages is not None:
        rules.append(lambda: foreign(whole, languages, config.language_confidence))
    return next((drop for rule in rules if (drop := rule())), None)
