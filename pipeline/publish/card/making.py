"""The part of a card that tells how the version was made: in words, then setting by setting."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from winnow.pipeline.publish.card.citations import citations
from winnow.pipeline.publish.card.licences import OWN_TERMS, UNKNOWN, asks_for, inherit
from winnow.pipeline.publish.markdown import fenced, inline, table

NO_VERIFIER = "none"  # name of the verifier that judges nothing
_OUTSIDE_THE_DISTRIBUTION = ("concurrency", "max_attempts")
_WITHOUT_SAMPLING = ("replay", "source")  # engines whose answers exist already


def making(manifest: Mapping[str, Any]) -> list[str]:
    """The section "How it was made"."""
    return ["## How it was made", " ".join(_story(manifest)), _settings(manifest)]


def licence(manifest: Mapping[str, Any]) -> list[str]:
    """The sources, what each allows, and what follows for the whole."""
    sources = manifest["sources"]
    rows = [
        (
            s["name"],
            s.get("hub_id"),
            s["licence"] or "not stated",
            asks_for(s["licence"]),
            s["prompts"],
        )
        for s in sources
    ]
    return [
        "## Sources and licence",
        table(("Source", "On the Hub", "Licence", "Asks for", "Prompts"), rows),
        " ".join(_inherited(manifest)),
    ]


def bibliography(manifest: Mapping[str, Any]) -> list[str]:
    """The papers whose methods this version used, and what for."""
    found = citations(manifest["recipe"])
    if not found:
        return []
    return [
        "## Citations",
        "Methods that decided about these rows, beside the sources themselves:",
        "\n".join(f"- {inline(c.work.title)}: {c.used_for}" for c in found),
        fenced("\n\n".join(c.work.bibtex(c.key) for c in found), "bibtex"),
    ]


def _story(manifest: Mapping[str, Any]) -> Iterator[str]:
    recipe, sources = manifest["recipe"], manifest["sources"]
    engine, sampling = recipe.get("engine", {}).get("type"), recipe.get("sampling", {})
    prompts = sum(source["prompts"] for source in sources)
    one = "one source" if len(sources) == 1 else f"{len(sources)} sources"
    yield f"{prompts:,} prompts came from {one}{_cleaned(recipe)}."
    policy = inline(manifest["models"].get("policy", "unknown"))
    if engine == "source":
        yield "The answers came with them; nothing was sampled."
    elif engine == "replay":
        yield f"Stored answers of {policy} were used; nothing was sampled."
    else:
        yield f"{policy} answered them, at most {sampling.get('n', 1):,} times each{_rules(sampling)}."
    judges = [each for each in manifest["verifiers"] if each.partition("@")[0] != NO_VERIFIER]
    if judges:
        yield (
            f"Answers were judged by {inline(', '.join(judges))}: correct, wrong or unjudged, which is "
            "never taken for wrong."
        )
    else:
        yield "No verifier judged the answers."
    yield (
        "The sets were chosen from these recorded signals by the rules of the recipe below, and "
        "`ledger.parquet` says of every row by which rule it was kept or dropped, with value and "
        "threshold."
    )


def _cleaned(recipe: Mapping[str, Any]) -> str:
    names = {"filters": "filters", "decontaminate": "decontamination", "dedup": "de-duplication"}
    clean = recipe.get("clean") or {}
    done = [name for key, name in names.items() if clean.get(key)]
    return f", after {_listed(done)}" if done else ""


def _listed(names: Sequence[str]) -> str:
    """One, two and three."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def _rules(sampling: Mapping[str, Any]) -> str:
    stop = [rule.get("type") for rule in sampling.get("stop") or ()]
    steer = (sampling.get("steer") or {}).get("type")
    rules = f", until a rule was content ({inline(', '.join(map(str, stop)))})" if stop else ""
    return rules + (f", steered by {inline(steer)}" if steer else "")


def _settings(manifest: Mapping[str, Any]) -> str:
    recipe = manifest["recipe"]
    engine, sampling = recipe.get("engine", {}).get("type"), recipe.get("sampling", {})
    if engine in _WITHOUT_SAMPLING:
        sampling = {"n": sampling.get("n")}
    facts = {
        **{f"Model: {role}": model for role, model in sorted(manifest["models"].items())},
        "Engine": engine,
        **{
            f"Sampling: {key}": _shown(value)
            for key, value in sampling.items()
            if key not in _OUTSIDE_THE_DISTRIBUTION and _shown(value)
        },
        "Verifiers": ", ".join(manifest["verifiers"]),
        **{f"Seed: {key}": value for key, value in manifest["seeds"].items()},
        "winnow": manifest["code_version"],
        **manifest["libraries"],
    }
    return table(("", "Value"), ((key, str(value)) for key, value in facts.items()))


def _shown(value: Any) -> str:
    """A setting on one line; nothing where nothing is set."""
    if isinstance(value, Mapping):
        parts = [(key, _shown(each)) for key, each in value.items()]
        return ", ".join(f"{key} {each}" for key, each in parts if each)
    if isinstance(value, list | tuple):
        return "; ".join(map(_shown, value))
    return "" if value is None else str(value)


def _inherited(manifest: Mapping[str, Any]) -> Iterator[str]:
    sources = manifest["sources"]
    found = inherit(source["licence"] for source in sources)
    names = inline(", ".join(found.binding))
    if found.asks == UNKNOWN:
        silent = [s["name"] for s in sources if asks_for(s["licence"]) == UNKNOWN]
        yield (
            f"**The licence of the whole is unknown**: {inline(_listed(silent)) if silent else 'no source'} "
            f"{'state' if len(silent) > 1 else 'states'} none, and none was guessed."
        )
        stated = inherit(s["licence"] for s in sources if asks_for(s["licence"]) != UNKNOWN)
        if stated.binding:
            rest = inline(", ".join(stated.binding))
            yield f"Of those that are stated, the most restrictive is {rest} ({stated.asks})."
    elif found.asks == OWN_TERMS:
        yield f"The most restrictive licence holds for the whole: {names}, with terms of its own to read."
    else:
        yield f"The most restrictive licence holds for the whole: **{names}** ({found.asks})."
    if found.also:
        yield f"Rows under {inline(', '.join(found.also))} ask for share-alike as well."
    if found.asks.startswith("no derivatives"):
        yield "It does not allow to share adapted material: ask its owner before you publish this."
    views = " (views do not have it)" if manifest.get("views") else ""
    yield (
        f"The column `licence` of each set holds each row's own{views}. The models that wrote text here "
        "may bind its use by terms of their own, which are not recorded."
    )
