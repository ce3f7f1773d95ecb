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
REPORT_POOL = "reports"  # of many versions, one report at a time


@dataclass(frozen=True)
class Node:
    """One asset: the table of a stage, a set, or the version.

    `path` is its key without the recipe's prefix, `reads` the paths of the assets it depends on, and
    `stage` what makes it: the sets are made by the stage that publishes the version.
    """

    path: tuple[str, ...]
    reads: tuple[tuple[str, ...], ...]
    meaning: str
    kinds: frozenset[str]
    model_pass: bool = False
    stage: str = ""

    def key(self, prefix: str) -> dg.AssetKey:
        return dg.AssetKey([prefix, *self.path])


def _table(
    stage: str, reads: tuple[str, ...], meaning: str, kinds: set[str], model_pass: bool = False
) -> Node:
    read = tuple((name,) for name in reads)
    return Node((stage,), read, meaning, frozenset({*kinds, "parquet"}), model_pass, stage)


TABLES: tuple[Node, ...] = (
    _table("prompts", (), "Every source row as a prompt with its reference and verifier; "
           "`prompts_ledger` says why a row was dropped.", set()),
    _table("rollouts", ("prompts",), "The answers that each prompt should have, drawn where they "
           "are missing and judged beside.", set(), model_pass=True),
    _table("verdicts", ("prompts", "rollouts"), "One verdict per answer and task: correct, wrong "
           "or unjudged.", {"python"}),
    _table("audit", ("verdicts",), "References that the answers agree against: suspects, with the "
           "votes.", {"python"}),
    _table("difficulty", ("verdicts",), "Pass rate of every task, with its Beta posterior and 90 % "
           "interval.", {"polars"}),
    _table("embeddings", ("prompts",), "A normalised sentence embedding per prompt.", {"pytorch"},
           model_pass=True),
    _table("clusters", ("embeddings",), "k-means over the embeddings, with the distance to the "
           "centroid.", {"faiss"}),
    _table("scores", ("verdicts",), "UDS: utility and diversity of every correct answer, from one "
           "forward pass each.", {"pytorch"}, model_pass=True),
)  # fmt: skip

VERSION = "training_set"  # the last asset of a run, and the stage that makes it and the sets
_SET_READS = tuple((name,) for name in
                   ("prompts", "verdicts", "audit", "difficulty", "clusters", "scores"))  # fmt: skip


def nodes(recipe: Recipe) -> tuple[Node, ...]:
    """The assets of a recipe, in the order in which they are made."""
    kinds = frozenset({"huggingface", "parquet"})
    sets = tuple(
        Node(("sets", name), _SET_READS, f"The set `{name}`, of type {config.type}, chosen from the "
             "recorded signals. Made alone, it makes a version that links the other sets as they "
             "were.", kinds, stage=VERSION)
        for name, config in recipe.sets.items()
    )  # fmt: skip
    meaning = "The version that holds the recipe's sets: what `load_dataset` opens."
    reads = tuple(node.path for node in sets)
    return (*TABLES, *sets, Node((VERSION,), reads, meaning, kinds, stage=VERSION))


# Beside the run: it has a partition per version, and no job makes it with the others.
REPORT = Node(
    ("report",),
    ((VERSION,),),
    "The page of `winnow report` on a version; each partition is a published version, old or new. "
    "Signals of the run are on it as long as the recipe has not run again; made later, it shows what "
    "the version alone can tell.",
    frozenset({"html"}),
)


_ENGINE_KINDS = {"vllm": {"vllm"}, "openai": {"openai"}, "replay": set(), "source": set(),
                 "plugin": set()}  # fmt: skip


def kinds(node: Node, recipe: Recipe) -> set[str]:
    """What the UI puts on an asset as labels."""
    if node.path == ("rollouts",):
        return {*node.kinds, *_ENGINE_KINDS[recipe.engine.type]}
    return set(node.kinds)


def prefix(stem: str) -> str:
    """First part of a recipe's asset keys: its file's stem, or what Dagster allows of it."""
    return stem if re.fullmatch(r"[A-Za-z0-9_.-]+", stem) else identifier(stem)


def report_group(stem: str) -> str:
    """The group of a recipe's report asset: one of its own, so that "Materialize all" in the recipe's
    group asks for no partition."""
    return f"{identifier(stem)}_reports"


def identifier(stem: str) -> str:
    """A name of letters, digits and underscores for a recipe, another one for every stem."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    if plain == stem:
        return stem
    return f"{plain}_{hashlib.blake2b(stem.encode(), digest_size=4).hexdigest()}"
