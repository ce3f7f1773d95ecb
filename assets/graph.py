"""The asset graph of one recipe, in words: which stages there are, what each reads and means.

`reads` names the stages whose data version decides about a table. What a table takes from a stage
further up is left out where a stage in between changes with it (a rollout's name says its prompt,
policy and sampler), so that the picture stays one that a person can follow.
"""

import hashlib
import re
from dataclasses import dataclass

import dagster as dg

from winnow.pipeline.recipe import Recipe

MODEL_POOL = "gpu"  # the pool: one model pass at a time


@dataclass(frozen=True)
class Node:
    """One stage as an asset."""

    stage: str
    reads: tuple[str, ...]
    meaning: str
    kinds: frozenset[str]
    model_pass: bool = False

    def key(self, prefix: str) -> dg.AssetKey:
        return dg.AssetKey([prefix, self.stage])


NODES: tuple[Node, ...] = (
    Node("prompts", (), "Every source row as a prompt with its reference and verifier; "
         "`prompts_ledger` says why a row was dropped.", frozenset({"parquet"})),
    Node("rollouts", ("prompts",), "The answers that each prompt should have, drawn where they "
         "are missing and judged beside.", frozenset({"parquet"}), model_pass=True),
    Node("verdicts", ("prompts", "rollouts"), "One verdict per answer and task: correct, wrong or "
         "unjudged.", frozenset({"python", "parquet"})),
    Node("audit", ("verdicts",), "References that the answers agree against: suspects, with the "
         "votes.", frozenset({"python", "parquet"})),
    Node("difficulty", ("verdicts",), "Pass rate of every task, with its Beta posterior and 90 % "
         "interval.", frozenset({"polars", "parquet"})),
    Node("embeddings", ("prompts",), "A normalised sentence embedding per prompt.",
         frozenset({"pytorch", "parquet"}), model_pass=True),
    Node("clusters", ("embeddings",), "k-means over the embeddings, with the distance to the "
         "centroid.", frozenset({"faiss", "parquet"})),
    Node("scores", ("verdicts",), "UDS: utility and diversity of every correct answer, from one "
         "forward pass each.", frozenset({"pytorch", "parquet"}), model_pass=True),
    Node("training_set", ("prompts", "verdicts", "audit", "difficulty", "clusters", "scores"),
         "The sets "
         "of the recipe, chosen from the recorded signals and published as a version.",
         frozenset({"huggingface", "parquet"})),
)  # fmt: skip

_ENGINE_KINDS = {"vllm": {"vllm"}, "openai": {"openai"}, "replay": set(), "plugin": set()}


def kinds(node: Node, recipe: Recipe) -> set[str]:
    """What the UI puts on an asset as labels."""
    if node.stage == "rollouts":
        return {*node.kinds, *_ENGINE_KINDS[recipe.engine.type]}
    return set(node.kinds)


def prefix(stem: str) -> str:
    """First part of a recipe's asset keys: its file's stem, or what Dagster allows of it."""
    return stem if re.fullmatch(r"[A-Za-z0-9_.-]+", stem) else identifier(stem)


def identifier(stem: str) -> str:
    """A name of letters, digits and underscores for a recipe, another one for every stem."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    if plain == stem:
        return stem
    return f"{plain}_{hashlib.blake2b(stem.encode(), digest_size=4).hexdigest()}"
