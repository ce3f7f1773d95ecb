"""Random tables for any selector, made from the columns that it declares."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from winnow.selectors.base import Column, Selector
from winnow.selectors.columns import N_TOKENS
from winnow.selectors.run import declared

# Parameters for selectors that have some without a default, or whose defaults fit no small table.
PARAMETERS: dict[str, dict[str, Any]] = {
    "iterative_kmq": {"round": 1, "form": "product"},
    "compose": {"steps": [{"name": "random", "budget": 0.8}, {"name": "mix"}]},
    "dart": {"fail_rate_from": "rows"},  # rows of one prompt agree on its counts only by design
}

_WIDTH = 4  # of vectors


def table(
    selector: Selector[Any], n: int, seed: int = 0, *, equal: bool = False, tokens: bool = False
) -> pa.Table:
    """`n` rows with `row_id` and every declared column, optional ones too; all rows alike if `equal`."""
    rng = np.random.default_rng(seed)
    columns = declared(selector, parameters(selector))
    if tokens and N_TOKENS.name not in {c.name for c in columns}:
        columns.append(N_TOKENS)
    values: dict[str, Any] = {"row_id": [f"r{i:05d}" for i in rng.permutation(n)]}
    for column in columns:
        drawn = [draw(column, rng) for _ in range(n)]
        values[column.name] = [drawn[0]] * n if equal and n else drawn
    return pa.table(values) if n else _empty(columns)


def parameters(selector: Selector[Any]) -> Mapping[str, Any]:
    return PARAMETERS.get(selector.name, {})


def draw(column: Column, rng: np.random.Generator) -> Any:
    """A value that makes sense for a column of this name."""
    if column.name in _BY_NAME:
        return _BY_NAME[column.name](rng)
    match column.kind:
        case "number":
            return float(rng.normal())
        case "integer":
            return int(rng.integers(0, 9))
        case "flag":
            return bool(rng.integers(2))
        case "text":
            return f"{column.name} {rng.integers(5)}"
        case "vector":
            return rng.normal(size=_WIDTH).astype(np.float32).tolist()
        case "numbers":
            return rng.normal(size=int(rng.integers(1, 6))).tolist()
        case "texts":
            return [f"{column.name} {i}" for i in rng.integers(0, 5, int(rng.integers(1, 4)))]
        case _:
            return None


def _share(rng: np.random.Generator) -> float:
    return float(rng.integers(0, 9)) / 8


def _below_zero(rng: np.random.Generator) -> float:
    return -float(rng.exponential())


def _list_of(value: Any, length: int | None = None) -> Any:
    return lambda rng: [value(rng) for _ in range(length or int(rng.integers(1, 6)))]


# Where a random number of the kind would not do. Lists that must be of one length are.
_BY_NAME: dict[str, Any] = {
    "n_tokens": lambda rng: int(rng.integers(1, 50)),
    "pass_rate": _share,
    "rewards": _list_of(_share),
    "reward": _share,
    "n": lambda rng: 8,
    "n_correct": lambda rng: int(rng.integers(0, 5)),
    "n_wrong": lambda rng: int(rng.integers(0, 5)),
    "alpha": lambda rng: 1.0 + float(rng.integers(0, 9)),
    "beta": lambda rng: 1.0 + float(rng.integers(0, 9)),
    "verdict": lambda rng: str(rng.choice(["correct", "wrong", "unjudged"])),
    "origin": lambda rng: str(rng.choice(["model", "paraphrase", "gold"])),
    "mcts_iterations": lambda rng: int(rng.integers(1, 51)),
    "n_truncated": lambda rng: int(rng.integers(0, 3)),
    "n_format_fail": lambda rng: int(rng.integers(0, 3)),
    "pass_rate_weak": _share,
    "pass_rate_strong": _share,
    "round_correct": _list_of(lambda rng: int(rng.integers(0, 9)), 3),
    "round_wrong": _list_of(lambda rng: int(rng.integers(0, 9)), 3),
    "demonstration_verdict": lambda rng: str(rng.choice(["correct", "wrong"])),
    "class": lambda rng: str(rng.choice(["expert", "sub_optimal"])),
    "losses": _list_of(lambda rng: float(rng.exponential()), 6),
    "accuracies": _list_of(_share, 6),
    "logprob_mean": _below_zero,
    "logprob_mean_alone": _below_zero,
    "nuclear_norm": lambda rng: float(rng.exponential()),
    "sketch": lambda rng: rng.normal(size=16).tolist(),
    "token_logprobs": _list_of(_below_zero, 5),
    "token_entropies": _list_of(lambda rng: float(rng.exponential()), 5),
    "reference_logprobs": _list_of(_below_zero, 4),
    "reference_logprobs_alone": _list_of(_below_zero, 4),
    "missing_skills": lambda rng: (
        None if rng.random() < 0.7 else [f"skills {i}" for i in rng.integers(0, 5, 2)]
    ),
    "step_scores": _list_of(_share),
    "reference_logprobs_masked": _list_of(_below_zero, 4),
    "answer_tokens": lambda rng: int(rng.integers(1, 9)),
    "reference_ranks": _list_of(lambda rng: int(rng.integers(1, 200)), 4),
    "scores": _list_of(_share, 3),
    "cluster_weight": lambda rng: 0.25,
}


def _empty(columns: list[Column]) -> pa.Table:
    types = {
        "number": pa.float64(), "integer": pa.int64(), "flag": pa.bool_(), "text": pa.string(),
        "vector": pa.list_(pa.float32()), "numbers": pa.list_(pa.float64()),
        "texts": pa.list_(pa.string()), "any": pa.string(),
    }  # fmt: skip
    fields = [("row_id", pa.string()), *((c.name, types[c.kind]) for c in columns)]
    return pa.schema(fields).empty_table()
