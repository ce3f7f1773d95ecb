"""What the first page says of a version, from its manifest."""

from collections.abc import Mapping
from typing import Any

from winnow.pipeline.publish.browse.catalogue import Catalogue
from winnow.pipeline.publish.browse.views import listed
from winnow.pipeline.publish.manifest import flatten


def overview(catalogue: Catalogue) -> dict[str, Any]:
    """Values of the template: the sets with their settings, the views, counts along the way, prompts per band
    of the pass rate, sources, and what it was made with. What the manifest lacks is empty."""
    manifest = catalogue.manifest
    recipe = _mapping(manifest.get("recipe"))
    bands = _rows(manifest.get("pass_rates"), "band", "tasks")
    return {
        "description": recipe.get("description"),
        "sets": [
            (name, catalogue.parts_of(name), _settings(manifest, name))
            for name in dict.fromkeys(part.set for part in catalogue.parts)
        ],
        "views": listed(catalogue),
        "counts": _rows(manifest.get("counts"), "name", "rows"),
        "bands": bands,
        "most": max((row["tasks"] for row in bands), default=0),
        "sources": _rows(manifest.get("sources"), "name", "licence", "prompts"),
        "made": {
            "created": catalogue.version.created,
            "version before it": catalogue.version.parent,
            "winnow": manifest.get("code_version"),
            "seed": recipe.get("seed"),
            **{str(k): v for k, v in _mapping(manifest.get("models")).items()},
            "verifiers": ", ".join(map(str, manifest.get("verifiers") or [])),
        },
    }


def _settings(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings that a set was built with, by their place; those that say nothing are left out."""
    entry = _mapping(_mapping(manifest.get("sets")).get(name))
    settings = _mapping(entry.get("settings"))
    plain = {key: _listed(value) for key, value in settings.items()}
    return {key: value for key, value in flatten(plain).items() if key and value is not None}


def _listed(value: Any) -> Any:
    """A list of numbers or names as one text."""
    if isinstance(value, list) and not any(isinstance(each, list | dict) for each in value):
        return ", ".join(map(str, value))
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _rows(value: Any, *keys: str) -> list[dict[str, Any]]:
    """The rows of a list that have all of `keys`."""
    rows = value if isinstance(value, list) else []
    return [row for row in rows if isinstance(row, dict) and all(key in row for key in keys)]
