"""Stored signals as the columns of a feature file, row by row of the table they belong to."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.features import stored
from winnow.pipeline.schema import column
from winnow.pipeline.store.store import Store

METADATA = b"winnow.features"  # of each column: model and form, JSON

_BATCH = 4_096  # rows
_NUMBERS = pa.list_(pa.float32())
_WHY = "`unscored` says why"

FIELDS: Mapping[str, pa.Field] = {
    field.name: field
    for field in [
        column("n_tokens", pa.int32(), "Prompt and response, tokens of the model.",
               null="the row has no text"),
        column("logprob_mean", pa.float64(), "Mean log-probability of the response's tokens given "
               "the prompt, nats.", null=_WHY),
        column("token_logprobs", _NUMBERS, "Log-probability of each of them, nats.", null=_WHY),
        column("token_entropies", _NUMBERS, "Entropy of the next-token distribution there, full "
               "vocabulary, nats.", null=_WHY),
        column("n_response_tokens", pa.int32(), "Tokens of the response that were scored.",
               null=_WHY),
        column("nuclear_norm", pa.float64(), "Sum of the singular values of the row's logits.",
               null=_WHY),
        column("sketch", _NUMBERS, "Random sketch of the row's logits (UDS).", null=_WHY),
        column("embedding", _NUMBERS, "Embedding of the row's text, of length 1.", null=_WHY),
        column("logprob_mean_alone", pa.float64(), "logprob_mean without the prompt, nats. The first "
               "token counts only where the tokenizer begins every text with one of its own.",
               null=_WHY),
        column("reference_logprobs", _NUMBERS, "Log-probability of each token of the reference "
               "after the response's reasoning, nats.", null=_WHY),
        column("reference_ranks", _NUMBERS, "Place of each of them in the vocabulary by "
               "probability, from 1.", null=_WHY),
        column("reference_logprobs_alone", _NUMBERS, "reference_logprobs with the reference "
               "directly after the prompt, nats.", null=_WHY),
        column("answer_tokens", pa.int32(), "Tokens of the response's own answer, between its tags.",
               null="it has no answer between tags"),
        column("format_ok", pa.bool_(), "Whether the response has one block of reasoning and one "
               "of an answer.", null="there is no response"),
    ]
}  # fmt: skip

_UNSCORED = column(
    "unscored", pa.string(), "need:reason of what has no value, with commas.", null="all have one"
)


@dataclass(frozen=True)
class Source:
    """Where one group of columns comes from: pieces by row, None with a reason in `problems`.

    `need` is what `unscored` calls it; None: it says nothing about these.
    """

    need: str | None
    columns: tuple[str, ...]
    kind: stored.Kind
    names: Sequence[str | None]
    problems: Sequence[str | None]


@dataclass
class FeatureTable:
    """The features of rows of the given names; `unscored` counts (need, reason) as it is read."""

    row_ids: Sequence[str]
    sources: Sequence[Source]
    flags: Mapping[str, Sequence[bool | None]] = field(default_factory=dict)
    unscored: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def schema(self) -> pa.Schema:
        fields = [column("row_id", pa.string(), "Row that the signals are of.")]
        from_: dict[str, dict[str, object]] = {}
        for source in self.sources:
            for name in source.columns:
                fields.append(FIELDS[name])
                form = json.loads(source.kind.form)
                from_[name] = {"model": source.kind.model, "form": form}
        fields += [FIELDS[name] for name in self.flags]
        metadata = {METADATA: json.dumps(from_, sort_keys=True)}
        return pa.schema([*fields, _UNSCORED], metadata=metadata)

    def batches(self, store: Store) -> Iterator[pa.RecordBatch]:
        """All rows, some at a time; all that has no problem must be stored."""
        schema = self.schema
        for start in range(0, len(self.row_ids), _BATCH):
            stop = min(start + _BATCH, len(self.row_ids))
            values: dict[str, pa.Array] = {"row_id": pa.array(self.row_ids[start:stop])}
            why: list[set[tuple[str, str]]] = [set() for _ in range(start, stop)]
            for source in self.sources:
                found, problems = _read(store, source, start, stop)
                values |= found
                for at, problem in enumerate(problems):
                    if problem is not None and source.need is not None:
                        why[at].add((source.need, problem))
            values |= {name: pa.array(flag[start:stop]) for name, flag in self.flags.items()}
            self.unscored.update(reason for each in why for reason in each)
            values["unscored"] = pa.array([_told(each) for each in why], pa.string())
            arrays = [values[f.name].cast(f.type) for f in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _told(reasons: set[tuple[str, str]]) -> str | None:
    return ",".join(f"{need}:{problem}" for need, problem in sorted(reasons)) or None


def _read(
    store: Store, source: Source, start: int, stop: int
) -> tuple[dict[str, pa.Array], list[str | None]]:
    """Columns of some rows, null where there is a problem, and the problems."""
    problems = list(source.problems[start:stop])
    names = [
        name if problem is None else None
        for name, problem in zip(source.names[start:stop], problems, strict=True)
    ]
    scalars: dict[str, NDArray[np.float64]] = {}
    lists: dict[str, pa.ListArray] = {}
    for feature in source.kind.features:
        if feature in ("n_tokens", "nuclear_norm"):
            scalars[feature] = stored.optional_scalars(store, source.kind, feature, names)
        else:
            lists[feature] = stored.optional_lists(store, source.kind, feature, names)
    bad = np.array([name is None for name in names])
    finite = np.ones(len(names), bool)
    for values in scalars.values():
        finite &= np.isfinite(values)
    for vectors in lists.values():
        finite &= _finite(vectors)
    empty = np.zeros(len(names), bool)
    if "token_logprobs" in lists:
        empty = _lengths(lists["token_logprobs"]) == 0
    for at in np.flatnonzero(~bad & ~finite):
        problems[at] = "not_finite"
    for at in np.flatnonzero(~bad & empty):
        problems[at] = "no_token"
    good = ~bad & finite & ~empty
    return {name: _column(name, scalars, lists, good) for name in source.columns}, problems


def _column(
    name: str,
    scalars: Mapping[str, NDArray[np.float64]],
    lists: Mapping[str, pa.ListArray],
    good: NDArray[np.bool_],
) -> pa.Array:
    """A column from the features that it is made of."""
    if name in ("logprob_mean", "logprob_mean_alone"):
        return pa.array(_means(lists["token_logprobs"]), mask=~good)
    if name == "n_response_tokens":
        return pa.array(_lengths(lists["token_logprobs"]), mask=~good)
    if name == "answer_tokens":
        return pa.array(scalars["n_tokens"], mask=~good)
    if name in scalars:
        return pa.array(scalars[name], mask=~good)
    feature = {
        "reference_logprobs": "token_logprobs",
        "reference_logprobs_alone": "token_logprobs",
        "reference_ranks": "token_ranks",
    }.get(name, name)
    at = pa.array(np.arange(len(good)), mask=~good)
    return lists[feature].take(at)


def _lengths(lists: pa.ListArray) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64)


def _means(lists: pa.ListArray) -> NDArray[np.float64]:
    """Means of lists, in float64; 0 of an empty one."""
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    means: NDArray[np.float64] = _sums(flat, _lengths(lists)) / np.maximum(_lengths(lists), 1)
    return means


def _finite(lists: pa.ListArray) -> NDArray[np.bool_]:
    """Whether all values of a list are numbers."""
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    good: NDArray[np.bool_] = _sums((~np.isfinite(flat)).astype(np.float64), _lengths(lists)) == 0
    return good


def _sums(flat: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums over segments of these lengths."""
    starts = np.cumsum(lengths) - lengths
    found = np.zeros(len(lengths))
    filled = lengths > 0
    if filled.any():  # reduceat gives an empty segment the value at its start
        found[filled] = np.add.reduceat(flat, starts[filled])
    return found
