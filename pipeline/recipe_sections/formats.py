"""The views that a recipe publishes: its sets in the formats of trainers."""

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.formats.base import unfit
from winnow.pipeline.publish.formats.registry import get_format, the_set
from winnow.pipeline.publish.views import ViewRequest
from winnow.pipeline.recipe_sections.part import Name, Part


class FormatConfig(Part):
    """A set in the format `type` (`winnow formats` lists them).

    `set` can be left out where one set fits better than all others, `type` where the view has its name.
    `style`: messages (conversational) or plain text (standard), for TRL's formats. `provenance`: say of
    each row which policy, template, sampler and verifier it is from, and the name of the row of the
    set; null: as the recipe's own `provenance`.
    """

    type: str
    set: Name | None = None
    style: Literal["conversational", "standard"] | None = None
    provenance: bool | None = None


def requests(
    formats: Mapping[str, FormatConfig], sets: Mapping[str, pa.Schema], *, provenance: bool
) -> dict[str, ViewRequest]:
    """What is to be published under each view's name. `sets` maps a set's name to its columns.

    Raises UsageError, which names the view, for an unknown format, a set that is not there or does not
    fit, a style that the format does not have, or a name that is a set's.
    """
    found = {}
    for name, config in formats.items():
        try:
            found[name] = _request(name, config, sets, provenance)
        except UsageError as error:
            raise UsageError(f"formats.{name}: {error}") from None
    return found


def _request(
    name: str, config: FormatConfig, sets: Mapping[str, pa.Schema], provenance: bool
) -> ViewRequest:
    if name.lower() in {each.lower() for each in sets}:
        raise UsageError("a set has that name; give the view its own")
    format = get_format(config.type)
    if config.set is not None and config.set not in sets:
        raise UsageError(f"there is no set {config.set!r}; the sets are: {', '.join(sets)}")
    chosen = config.set or the_set(format, sets)
    if reason := unfit(format, sets[chosen], config.style):
        raise UsageError(f"set {chosen}: {reason}")
    shown = provenance if config.provenance is None else config.provenance
    return ViewRequest(chosen, config.type, config.style, shown)
