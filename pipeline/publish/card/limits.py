"""What a reader of a card must not take a version for: its known limits, told from its own facts."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from winnow.pipeline.publish.card.header import spoken
from winnow.pipeline.publish.card.licences import UNKNOWN, inherit
from winnow.pipeline.publish.manifest import NOTHING_JUDGED, UNTOLD
from winnow.pipeline.publish.markdown import inline

_SIZE_IN_NAME = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([mb])(?![A-Za-z0-9])", re.IGNORECASE)
_SMALL = 3e9  # parameters below which a policy is called small
_WITH_MASKS = ("adp", "openai_chat")  # formats that say which messages not to learn
_LARGE_GROUP = 0.05  # share of the prompts from which one template's group is worth a warning


def limits(manifest: Mapping[str, Any]) -> list[str]:
    """One sentence or two per limit, as markdown text on one line each."""
    parts = (
        _unverified,
        _demonstrated,
        _unmasked,
        _answers,
        _rates,
        _references,
        _prompts,
        _cleaning,
        _models,
        _licence,
        _splits,
    )
    return [limit for part in parts for limit in part(manifest)]


def has_rates(manifest: Mapping[str, Any]) -> bool:
    """Whether anything was judged, so that there are pass rates to speak of."""
    return any(b["tasks"] for b in manifest["pass_rates"] if b["band"] != NOTHING_JUDGED)


def _unverified(manifest: Mapping[str, Any]) -> Iterator[str]:
    taken = {"not_wrong": "those that no verifier calls wrong", "any": "those of any verdict"}
    for name, entry in sorted(manifest["sets"].items()):
        which = taken.get(entry["settings"].get("verdicts", "correct"))
        if which:
            yield (
                f"**Not every answer in the set {inline(name)} is verified**: it takes {which}. The "
                "column `verdict` tells which are; an unjudged answer is one that nobody could judge, "
                "not a correct one."
            )


def _demonstrated(manifest: Mapping[str, Any]) -> Iterator[str]:
    for name, entry in sorted(manifest["sets"].items()):
        if "solution" in entry["settings"].get("offers", ()):
            yield (
                f"Demonstrations in the set {inline(name)} can be solutions that the source keeps: those "
                "that the verifier calls wrong are left out, those that it could not judge are not; the "
                "column `verdict` calls them unjudged."
            )


def _unmasked(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Views of trajectories in formats that have no place for the mask."""
    sets, views = manifest["sets"], manifest.get("views", {})
    for name, view in sorted(views.items()):
        kind = sets.get(view["set"], {}).get("settings", {}).get("type", view["set"])
        if kind == "trajectories" and view["type"] not in _WITH_MASKS:
            yield (
                f"The view {inline(name)} has no place for `loss_mask`: whoever trains on it learns every "
                "action, those that the set masks, too."
            )


def _answers(manifest: Mapping[str, Any]) -> Iterator[str]:
    facts, recipe = manifest.get("facts", {}), manifest["recipe"]
    answers = facts.get("answers", 0)
    truncated, unjudged = facts.get("truncated", 0), facts.get("unjudged", 0)
    verdicts = facts.get("verdicts", 0)
    if truncated:
        limit = recipe.get("sampling", {}).get("max_tokens")
        at = f" of {limit:,} tokens" if isinstance(limit, int) else ""
        yield (
            f"{_share(truncated, answers)} of the answers ({truncated:,} of {answers:,}) were cut off "
            f"at the length limit{at} and were not judged: tasks that need long answers look "
            "easier, or are missing."
        )
    if unjudged and unjudged == verdicts:
        yield "No answer was judged: every verdict is open."
    elif unjudged:
        cut = ", those on answers that were cut off included" if truncated else ""
        yield (
            f"{_share(unjudged, verdicts)} of the verdicts ({unjudged:,} of {verdicts:,}) are open{cut}; "
            "pass rates leave them out."
        )


def _rates(manifest: Mapping[str, Any]) -> Iterator[str]:
    facts, recipe = manifest.get("facts", {}), manifest["recipe"]
    n = recipe.get("sampling", {}).get("n")
    if isinstance(n, int) and n > 0 and has_rates(manifest):
        rests = "one answer" if n == 1 else f"at most {n:,} answers"
        yield (
            f"A pass rate rests on {rests} of one policy: its standard error can be "
            f"{0.5 / n**0.5:.2f}. Another model, template or sampler finds other tasks hard."
        )
    if unsampled := facts.get("unsampled", 0):
        yield f"{unsampled:,} of {facts.get('tasks', 0):,} tasks were not sampled and are in no set."
    if has_rates(manifest):
        yield (
            "A verdict is on what the verifier looks at, mostly the final answer: an answer that is right "
            "for wrong reasons counts as right."
        )


def _references(manifest: Mapping[str, Any]) -> Iterator[str]:
    suspects = manifest.get("facts", {}).get("suspects", 0)
    if not suspects:
        return
    keep = sorted(
        name
        for name, entry in manifest["sets"].items()
        if entry["settings"].get("suspects", "keep") == "keep"
    )
    kept = f"the sets {inline(', '.join(keep))} keep them" if keep else "every set drops them"
    yield (
        f"{suspects:,} tasks have a reference that the answers agree against, so that it may be wrong; "
        f"{kept}."
    )


def _prompts(manifest: Mapping[str, Any]) -> Iterator[str]:
    facts, languages = manifest.get("facts", {}), manifest.get("languages", {})
    prompts = sum(source["prompts"] for source in manifest["sources"])
    largest, templates = facts.get("largest_template", 0), facts.get("templates", 0)
    if largest > 1 and largest >= _LARGE_GROUP * prompts:
        yield (
            f"The {prompts:,} prompts follow {templates:,} templates, and the commonest alone makes "
            f"{_share(largest, prompts)} of them: they differ by numbers, names or the order of options."
        )
    columns = (source.get("columns") or {} for source in manifest["recipe"]["sources"])
    if any(each.get("images") for each in columns):
        yield (
            "The prompts show images, which only the policy saw: languages, near-duplicates, "
            "decontamination, clusters and scores are of the text alone."
        )
    told = spoken(languages)
    sample, untold = sum(languages.values()), languages.get(UNTOLD, 0)
    if told:
        names = inline(", ".join(told))
        yield (
            f"Languages: {names}, told by py3langid from a sample of {sample:,} prompts "
            f"({untold:,} of them with too few words to tell, or in doubt). Others are not covered."
        )
    elif sample:
        yield f"The language of none of {sample:,} prompts could be told from its words."


def _cleaning(manifest: Mapping[str, Any]) -> Iterator[str]:
    clean = manifest["recipe"].get("clean") or {}
    if not clean.get("decontaminate"):
        yield (
            "The prompts were not decontaminated: evaluation items may be among them, and scores on "
            "public benchmarks may be too high after training."
        )
    if not clean.get("dedup"):
        yield "Near-duplicates among the prompts were not looked for."
    if not (clean.get("filters") or {}).get("personal_data"):
        yield "Personal data was not looked for."


def _models(manifest: Mapping[str, Any]) -> Iterator[str]:
    policy = str(manifest["models"].get("policy", ""))
    sizes = [float(n) * (1e9 if unit in "bB" else 1e6) for n, unit in _SIZE_IN_NAME.findall(policy)]
    if sizes and max(sizes) < _SMALL:
        yield (
            f"The answers are those of a small model ({inline(policy)}: about {_parameters(max(sizes))} "
            "parameters, as its name says), with its style and its errors."
        )


def _licence(manifest: Mapping[str, Any]) -> Iterator[str]:
    if inherit(source["licence"] for source in manifest["sources"]).asks == UNKNOWN:
        yield "Nobody has said under which licence some of the prompts may be used."


def _splits(manifest: Mapping[str, Any]) -> Iterator[str]:
    if not manifest["recipe"].get("holdout"):
        yield "There is no holdout split: nothing here measures what a model has learnt by heart."


def _share(part: int, whole: int) -> str:
    share = part / whole if whole else 0.0
    return "less than 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"


def _parameters(count: float) -> str:
    return f"{count / 1e9:g} billion" if count >= 1e9 else f"{count / 1e6:g} million"
