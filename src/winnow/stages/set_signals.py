"""What single sets are chosen from beside a run's own tables: read only where a set asks for it.

Tables of commands of their own (`winnow rest-mcts`, `winnow hint-infer`), the trajectories that sources
bring, verdicts on their solutions, answers of other policies and samplers that the store holds, files of
token features, and the policy's tokenizer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.models import ModelFolder, resolve_model
from winnow.pipeline.recipe import DemonstrationsSet, HardestSet, VLLMEngine
from winnow.pipeline.row_files import RowFile
from winnow.pipeline.workspace import content_hash
from winnow.stages import solutions
from winnow.stages.base import Context
from winnow.stages.judges import tasks_of
from winnow.stages.tree_parts import is_stale

# The command that makes a table, and whether it works before the recipe has run.
_COMMANDS = {"stepwise": ("rest-mcts", True), "hinted": ("hint-infer", False)}
_ANSWER = ("rollout_id", "prompt_id", "policy", "template", "sampler", "completion", "logprob_sum",
           "n_tokens", "finish_reason")  # fmt: skip


@dataclass(frozen=True)
class Further:
    """`signals`: arguments of `winnow.selectors.sets.signals.Signals`; `versions`: what each of them
    was, for the manifest's inputs."""

    signals: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def check(ctx: Context, *, has_run: bool) -> None:
    """Raises UsageError where a set asks for a table that is not there; before the recipe `has_run`
    only for those that need no run."""
    for name, config in ctx.recipe.sets.items():
        for table in sorted(config.reads):
            command, early = _COMMANDS.get(table, ("", False))
            path = ctx.workspace.table_path(table)
            if command and (early or has_run) and not path.is_file():
                raise UsageError(
                    f"sets.{name}: reads the table {table}, and {path} is not there: "
                    f"`winnow {command} RECIPE` makes it, and this run then goes on"
                )


def gather(ctx: Context) -> Further:
    """All that some set of the recipe asks for. Raises UsageError where it is not there."""
    check(ctx, has_run=True)
    signals: dict[str, Any] = {}
    versions: dict[str, str] = {}
    asked = {table for config in ctx.recipe.sets.values() for table in config.reads}
    for table in sorted(asked):
        if table == "recorded":
            signals[table] = recorded(ctx)
            versions[table] = content_hash(signals[table])
        elif table == "solutions":
            signals[table] = solutions.judged(ctx)
            versions[table] = ctx.workspace.data_version(table)
        else:
            signals[table] = ctx.workspace.read(table)
            versions[table] = ctx.workspace.data_version(table)
            if table in _COMMANDS and is_stale(ctx, signals[table]):
                raise UsageError(
                    f"the table {table} was made from other prompts than the recipe has now (or with another "
                    f"--limit); `winnow {_COMMANDS[table][0]} RECIPE` brings it up to date"
                )
    for path, table in _token_features(ctx).items():
        signals.setdefault("token_features", {})[path] = table
        versions[f"token features {path}"] = content_hash(table)
    folder = _tokenizer(ctx)
    if folder is not None:
        signals["token_spans"] = token_spans(folder)
        versions["tokenizer"] = folder.identity
    return Further(signals, versions)


def recorded(ctx: Context) -> pa.Table:
    """Answers to this run's prompts that the store holds from other policies, templates or samplers,
    with the verdicts that this recipe's verifiers have given them (RECORDED), sorted by name.

    Nothing is judged here: an answer has verdicts where some recipe has judged it by the same verifier
    and reference.
    """
    from winnow.selectors.sets.signals import RECORDED

    prompts = ctx.workspace.read("prompts")
    own = ctx.workspace.read("rollouts", ["policy", "template", "sampler"]).to_pylist()
    mine = {tuple(row.values()) for row in own}
    with ctx.workspace.rollouts() as store:
        found = store.get(set(prompts["prompt_id"].to_pylist()), "prompt_id", columns=_ANSWER)
    answers = [
        row
        for row in found.to_pylist()
        if row["finish_reason"] == "stop"
        and (row["policy"], row["template"], row["sampler"]) not in mine
    ]
    tasks = tasks_of(ctx, prompts)
    wanted = {
        name: answer
        for answer in answers
        for name in tasks.verdict_ids(answer["rollout_id"], answer["prompt_id"])
    }
    with ctx.workspace.verdicts() as store:
        verdicts = store.get(wanted, columns=["task_id", "verifier", "verdict"]).to_pylist()
    rows = [
        {**wanted[row["verdict_id"]], **{k: row[k] for k in ("task_id", "verifier", "verdict")}}
        for row in verdicts
    ]
    rows.sort(key=lambda row: (row["rollout_id"], row["task_id"]))
    picked = [{name: row[name] for name in RECORDED.names} for row in rows]
    return pa.Table.from_pylist(picked, schema=RECORDED)


def token_spans(folder: ModelFolder) -> Callable[[str], Sequence[tuple[int, int]]]:
    """Text to the character spans of its tokens, by the model's tokenizer, which is loaded at the first
    call. Special tokens in a text are text."""
    loaded: list[Any] = []

    def spans(text: str) -> Sequence[tuple[int, int]]:
        if not loaded:
            from winnow.pipeline.tokens import tokenizer

            loaded.append(tokenizer(folder))
        found = loaded[0](
            text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True
        )
        return [(start, end) for start, end in found["offset_mapping"]]

    return spans


def _tokenizer(ctx: Context) -> ModelFolder | None:
    """The policy's, where it has weights here and a set counts tokens."""
    engine = ctx.recipe.engine
    counts = (HardestSet, DemonstrationsSet)
    if not any(isinstance(each, counts) for each in ctx.recipe.sets.values()):
        return None
    return resolve_model(engine.model, engine.revision) if isinstance(engine, VLLMEngine) else None


def _token_features(ctx: Context) -> dict[str, pa.Table]:
    """By path, `row_id` and the features that some set reads of a file that `winnow features` wrote."""
    wanted: dict[str, set[str]] = {}
    files: dict[str, RowFile] = {}
    for name, config in ctx.recipe.sets.items():
        if config.token_features_read is None:
            continue
        path, columns = config.token_features_read
        files.setdefault(path, RowFile(Path(path)))
        for column in ("row_id", *columns):
            files[path].require(column, f"sets.{name}")
        wanted.setdefault(path, set()).update(columns)
    return {path: _features(file, sorted(wanted[path])) for path, file in files.items()}


def _features(file: RowFile, columns: Sequence[str]) -> pa.Table:
    batches = list(file.batches(["row_id", *columns]))
    ids = [str(value) for batch in batches for value in batch.column("row_id")]
    arrays = {"row_id": pa.array(ids, pa.string())}
    for name in columns:
        values = [value for batch in batches for value in batch.column(name)]
        arrays[name] = pa.array(values, pa.list_(pa.float64()))
    return pa.table(arrays)
