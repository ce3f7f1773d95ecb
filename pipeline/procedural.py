"""Entries of reasoning-gym's task families: the same wherever and whenever they are made.

The source draws prompts from them in one process, the verifier makes them again in another. Both
processes run with `PYTHONHASHSEED=0`, since some generators walk over sets of words.
"""

import json
import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from winnow.pipeline.names import canonical_json

# Families that draw all items at once, so that item i changes with the dataset's size. Theirs is
# item i of the dataset that ends with it, whatever size a source asks for.
SIZE_DEPENDENT = frozenset({"acre"})
_BLOCK = 1_000


def dataset(family: str, config: Mapping[str, Any], seed: int, index: int) -> Any:
    """The family's dataset that entry `index` is taken from.

    Raises what reasoning-gym raises for an unknown family or a config that it refuses.
    """
    size = index + 1 if family in SIZE_DEPENDENT else (index // _BLOCK + 1) * _BLOCK
    return _dataset(family, canonical_json(dict(config)), seed, size)


def entry(family: str, config: Mapping[str, Any], seed: int, index: int) -> dict[str, Any]:
    """Entry `index`: `question`, `answer` and `metadata`. Raises as `dataset`, and what the family's
    generator raises."""
    return _entry(family, canonical_json(dict(config)), seed, index)


@lru_cache(maxsize=32)
def _dataset(family: str, config: str, seed: int, size: int) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of a package that reasoning-gym imports
        import reasoning_gym

    return reasoning_gym.create_dataset(
        family, **{**json.loads(config), "seed": seed, "size": size}
    )


@lru_cache(maxsize=1024)
def _entry(family: str, config: str, seed: int, index: int) -> dict[str, Any]:
    items = dataset(family, json.loads(config), seed, index)
    # One family draws from Python's global generator too.
    state = random.getstate()
    random.seed(index)
    try:
        item: dict[str, Any] = items[index]
    finally:
        random.setstate(state)
    return item
