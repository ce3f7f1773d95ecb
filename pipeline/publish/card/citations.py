"""Which papers a version rests on, told from its recipe.

How to cite one more method: an entry in `bibliography.WORKS`, and a line in `_USES` that says from
the recipe when the method decided about rows, and what for.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.publish.card.bibliography import WORKS, Work

Recipe = Mapping[str, Any]


@dataclass(frozen=True)
class Citation:
    """A paper that a version has used, and what for."""

    key: str
    work: Work
    used_for: str


def citations(recipe: Recipe) -> list[Citation]:
    """What a version of this recipe (`recipe.dump`) has used, in the order of `_USES`."""
    found: dict[str, list[str]] = {}
    for key, used_for, used in _USES:
        if used(recipe):
            found.setdefault(key, []).append(used_for)
    return [Citation(key, WORKS[key], "; ".join(what)) for key, what in found.items()]


def _source(type_: str) -> Callable[[Recipe], bool]:
    return lambda recipe: any(source["type"] == type_ for source in recipe["sources"])


def _engine(type_: str) -> Callable[[Recipe], bool]:
    return lambda recipe: recipe.get("engine", {}).get("type") == type_


def _stops(type_: str) -> Callable[[Recipe], bool]:
    return lambda recipe: any(rule["type"] == type_ for rule in _stop_rules(recipe))


def _confident_majority(recipe: Recipe) -> bool:
    return any(r["type"] == "majority" and r.get("confidence") for r in _stop_rules(recipe))


def _steers(type_: str) -> Callable[[Recipe], bool]:
    return lambda recipe: (_at(recipe, "sampling", "steer") or {}).get("type") == type_


def _decontaminates(rule: str) -> Callable[[Recipe], bool]:
    def used(recipe: Recipe) -> bool:
        rules = (_at(recipe, "clean", "decontaminate") or {}).get("rules", ())
        return rule in rules or "all" in rules

    return used


def _dedups(method: str) -> Callable[[Recipe], bool]:
    return lambda recipe: (_at(recipe, "clean", "dedup") or {}).get("method") == method


def _filters_repetition(recipe: Recipe) -> bool:
    return (_at(recipe, "clean", "filters") or {}).get("max_repetition") is not None


def _set_of(type_: str, **wanted: object) -> Callable[[Recipe], bool]:
    """Whether there is a set of this type with these settings."""
    return lambda recipe: any(
        settings.get("type", name) == type_
        and all(settings.get(key) == value for key, value in wanted.items())
        for name, settings in _sets(recipe)
    )


def _searched(recipe: Recipe) -> bool:
    return any(settings.get("mcts") for _, settings in _sets(recipe))


def _long_answers(recipe: Recipe) -> bool:
    return any(
        s.get("majority") == "correct" or s.get("min_answer_tokens") for _, s in _sets(recipe)
    )


def _paired_by_reward(recipe: Recipe) -> bool:
    return any(
        settings.get("contrast") == "reward" or str(settings.get("pairing")).startswith("max_")
        for _, settings in _sets(recipe)
    )


def _iterated(recipe: Recipe) -> bool:
    return any(settings.get("iteration") is not None for _, settings in _sets(recipe))


def _masks_actions(recipe: Recipe) -> bool:
    return any(
        settings.get("type", name) == "trajectories" and settings.get("train_on") != "all_actions"
        for name, settings in _sets(recipe)
    )


def _masks_tokens(recipe: Recipe) -> bool:
    return any(settings.get("token_masks") for _, settings in _sets(recipe))


def _hinted(recipe: Recipe) -> bool:
    return any("hinted" in settings.get("offers", ()) for _, settings in _sets(recipe))


def _uds(recipe: Recipe) -> bool:
    return any(s.get("type", n) == "sft" and s.get("uds", True) for n, s in _sets(recipe))


def _judges(name: str, **wanted: object) -> Callable[[Recipe], bool]:
    """Whether a source's verifier, or a member of its ensemble, is `name` with these arguments."""
    return lambda recipe: any(
        judge == name and all(args.get(key) == value for key, value in wanted.items())
        for judge, args in _verifiers(recipe)
    )


def _stop_rules(recipe: Recipe) -> list[Mapping[str, Any]]:
    return list(_at(recipe, "sampling", "stop") or ())


def _sets(recipe: Recipe) -> list[tuple[str, Mapping[str, Any]]]:
    return list(recipe.get("sets", {}).items())


def _verifiers(recipe: Recipe) -> Iterator[tuple[str, Mapping[str, Any]]]:
    waiting = [(s.get("verifier"), s.get("verifier_args") or {}) for s in recipe["sources"]]
    while waiting:
        name, args = waiting.pop()
        yield str(name), args
        members = args.get("verifiers", ()) if name == "ensemble" else ()
        waiting += [(m.get("name"), m.get("args") or {}) for m in members if isinstance(m, Mapping)]


def _at(recipe: Recipe, *keys: str) -> Any:
    value: Any = recipe
    for key in keys:
        value = (value or {}).get(key)
    return value


# (entry, what it was used for, whether the recipe does).
_USES: tuple[tuple[str, str, Callable[[Recipe], bool]], ...] = (
    ("reasoning_gym", "procedural prompts and their scorers", _source("reasoning_gym")),
    ("gopher", "the filter of repeated words", _filters_repetition),
    ("tulu3", "decontamination by coverage", _decontaminates("coverage")),
    ("light_r1", "decontamination without digits", _decontaminates("exact")),
    ("minhash", "near-duplicates among the prompts", _dedups("minhash")),
    ("vllm", "the engine that sampled the answers", _engine("vllm")),
    ("dart", "sampling until k answers are right", _stops("until_k_correct")),
    ("dart", "right answers in proportion to difficulty", _steers("prop2diff")),
    ("self_consistency", "sampling until an answer has the majority", _stops("majority")),
    ("adaptive_consistency", "ending that early", _confident_majority),
    ("mopps", "which prompts were sampled next", _steers("mopps")),
    ("self_consistency", "the judge's majority of votes", _judges("judge")),
    ("judge_bias", "the judge's two orders of answers", _judges("judge", compare=True)),
    ("spotlighting", "marking what the judge must not obey", _judges("judge")),
    ("toolrl", "graded rewards of tool calls", _judges("tool_call", mode="graded")),
    ("think2sql", "rewards of queries", _judges("sql")),
    ("visual_rft", "rewards of boxes", _judges("iou", reward="visual_rft")),
    ("temporal_rlt", "rewards of time spans", _judges("iou", reward="temporal_rlt")),
    ("ranked_lists", "rewards of rankings", _judges("ranked_list")),
    ("swe_rl", "rewards of edits", _judges("patch")),
    ("format_and_length", "the prior from an answer's length", _judges("length")),
    ("deepseek_r1", "the check of an answer's form", _judges("format")),
    ("uds", "which of the answers were taken", _uds),
    ("q_tuning", "which tokens of an answer are learned", _masks_tokens),
    ("acereason", "which prompts are worth rolling out", _long_answers),
    ("thinklite", "difficulty by tree search", _searched),
    ("rlhf_workflow", "pairs by reward", _paired_by_reward),
    ("dpo", "pairs of an iteration", _iterated),
    ("specs", "pairs that differ in form", _set_of("preference", contrast="form")),
    ("nft", "groups of right and wrong answers", _set_of("groups")),
    ("kto", "single answers with a label", _set_of("unpaired")),
    ("c_rlft", "classes of answers and their weights", _set_of("c_rlft")),
    ("light_r1", "stages of a curriculum", _set_of("curriculum")),
    ("relift", "the hardest prompts, with demonstrations", _set_of("hardest")),
    ("prefix_rft", "demonstrations and where they are cut", _set_of("demonstrations")),
    ("start", "demonstrations that a hint brought", _hinted),
    ("r_tuning", "rows that say what the policy knows", _set_of("sure_unsure")),
    ("rest_mcts", "values of steps", _set_of("step_values")),
    ("fault_aware", "where right and wrong code differ", _set_of("fait")),
    ("critique_fine_tuning", "critiques of solutions", _set_of("critique")),
    ("agent_data_protocol", "the form of the trajectories", _source("trajectories")),
    ("eef", "which actions of a trajectory are trained on", _masks_actions),
)
