"""Every selector by name.

How to add one: write a `Selector` (`base.py`) in the folder of its family, a line in `SELECTORS`, and
a test with its formulas' vectors; the tests in `tests/selectors/test_every_selector.py` then hold it
to what all selectors promise. Another package adds its own through the entry point group
`winnow.selectors` (name = "module:Class"); built-in names cannot be taken over.
"""

from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from winnow.pipeline.errors import UsageError
from winnow.selectors.base import Selector

GROUP = "winnow.selectors"

# name: module and class, imported when first asked for; by family.
SELECTORS: dict[str, str] = {
    # difficulty
    "pass_rate": "winnow.selectors.difficulty.pass_rate:PassRate",
    "mopps": "winnow.selectors.difficulty.mopps:Mopps",
    "mcts": "winnow.selectors.difficulty.mcts:Mcts",
    "dart": "winnow.selectors.difficulty.dart:Dart",
    "curriculum": "winnow.selectors.difficulty.curriculum:Curriculum",
    # learning trajectory
    "limr": "winnow.selectors.trajectory.limr:Limr",
    "s2l": "winnow.selectors.trajectory.s2l:S2l",
    # utility
    "uds": "winnow.selectors.utility.uds:Uds",
    "max_loss": "winnow.selectors.utility.max_loss:MaxLoss",
    "perplexity_band": "winnow.selectors.utility.perplexity_band:PerplexityBand",
    "ifd": "winnow.selectors.utility.ifd:Ifd",
    # response choice
    "grape": "winnow.selectors.response.grape:Grape",
    "s3ft": "winnow.selectors.response.s3ft:S3ft",
    "best_of_n": "winnow.selectors.response.best_of_n:BestOfN",
    "preference_pairs": "winnow.selectors.response.preference_pairs:PreferencePairs",
    "dedupe_paths": "winnow.selectors.response.dedupe_paths:DedupePaths",
    # verifier-free
    "rlpr": "winnow.selectors.verifier_free.rlpr:Rlpr",
    "dro": "winnow.selectors.verifier_free.dro:Dro",
    # pruning
    "q_tuning": "winnow.selectors.pruning.q_tuning:QTuning",
    # skills
    "stat_sel": "winnow.selectors.skills.stat_sel:StatSel",
    # diversity
    "kmeans": "winnow.selectors.diversity.kmeans:KMeans",
    "kmq": "winnow.selectors.diversity.kmq:Kmq",
    "iterative_kmq": "winnow.selectors.diversity.iterative_kmq:IterativeKmq",
    "facility_location": "winnow.selectors.diversity.facility_location:FacilityLocation",
    "k_center": "winnow.selectors.diversity.k_center:KCenter",
    "max_min_relevance": "winnow.selectors.diversity.max_min_relevance:MaxMinRelevance",
    "template": "winnow.selectors.diversity.template:Template",
    # mixing
    "c_rlft": "winnow.selectors.mixing.c_rlft:CRlft",
    "klear": "winnow.selectors.mixing.klear:Klear",
    "random": "winnow.selectors.mixing.random_rows:RandomRows",
    "mix": "winnow.selectors.mixing.mix:Mix",
    "compose": "winnow.selectors.mixing.compose:Compose",
}


def selector_names() -> list[str]:
    """Every name that `get_selector` knows: ours by family, then those of other packages."""
    others = {point.name for point in entry_points(group=GROUP)} - set(SELECTORS)
    return [*SELECTORS, *sorted(others)]


@cache
def get_selector(name: str) -> Selector[Any]:
    """The selector `name`. Raises UsageError for an unknown one."""
    if name in SELECTORS:
        module, _, attribute = SELECTORS[name].partition(":")
        found: Selector[Any] = getattr(import_module(module), attribute)()
        return found
    points = entry_points(group=GROUP, name=name)
    if not points:
        known = ", ".join(selector_names())
        raise UsageError(f"selector {name!r} is not known; known here: {known}")
    return _load(next(iter(points)))


def family(name: str) -> str:
    """The folder that a selector lives in, with blanks; the package of one that is not ours."""
    if name in SELECTORS:
        return SELECTORS[name].removeprefix("winnow.selectors.").partition(".")[0].replace("_", " ")
    return type(get_selector(name)).__module__.partition(".")[0]


def _load(point: EntryPoint) -> Selector[Any]:
    try:
        loaded = point.load()()
        if not isinstance(loaded, Selector):
            raise TypeError("is no winnow.selectors.base.Selector")
    except Exception as error:  # another package's code can raise whatever it likes
        package = point.dist.name if point.dist else point.value
        raise UsageError(
            f"selector {point.name!r} of package {package} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    return loaded
