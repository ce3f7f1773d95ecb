"""Content addresses: a name says what determines a thing and nothing else.

Every name is the BLAKE2b-128 hash, as 32 hex digits, of canonical JSON with a schema tag, so that
two kinds of things never share a name and a changed definition changes the tag.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

# `role`, `content`; where the text shows images, `images` too (a `contracts.Images`).
Message = Mapping[str, Any]

_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal text."""
    return _CANONICAL.encode(value)


def digest(tag: str, value: Any) -> str:
    """Name of `value` under the schema `tag`."""
    # A lone surrogate can stand in hostile text; it must not keep the row from having a name.
    data = f"{tag}\n{canonical_json(value)}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def prompt_id(messages: Sequence[Message], images: Sequence[str] = ()) -> str:
    """Name of what the model sees. `images` are digests of the image bytes."""
    plain = [{"role": m["role"], "content": m["content"]} for m in messages]
    return digest("prompt/1", [plain, list(images)])


def task_id(
    prompt: str, answer: str | None, verifier: str, verifier_args: Mapping[str, Any]
) -> str:
    """Name of a prompt with its reference: a corrected reference is a new task."""
    return digest("task/1", [prompt, answer, verifier, dict(verifier_args)])


def rollout_id(
    prompt: str, policy: str, template: str, sampler: str, seed: int, index: int, attempt: int = 0
) -> str:
    """Name of one answer.

    `policy` is the model with its revision, `template` the hash of its chat template, `sampler`
    the canonical JSON of the distribution parameters. The length limit, the number of answers and
    the stop rule are no part of the name; an answer that must be drawn again (it was cut off at
    another limit, or its engine failed) is a new `attempt` at the same `index`.
    """
    return digest("rollout/1", [prompt, policy, template, sampler, seed, index, attempt])


def rollout_seed(prompt: str, seed: int, index: int, failures: int = 0) -> int:
    """Random stream of one answer, in [0, 2^31): a function of the recipe's seed and the index.

    An answer that was cut off and is drawn again under another limit keeps its stream, since a fresh
    one would give long answers a second chance to be short; only after failures of the engine is
    there another.
    """
    return int(digest("seed/1", [prompt, seed, index, failures])[:8], 16) & 0x7FFF_FFFF


def verdict_id(
    rollout: str, task: str, verifier: str, version: str, verifier_args: Mapping[str, Any]
) -> str:
    """Name of one judgement by one version of a verifier."""
    return digest("verdict/1", [rollout, task, verifier, version, dict(verifier_args)])


def feature_id(row: str, feature: str, model: str, form: str) -> str:
    """Name of one signal of one row; `form` says which text of the row the model saw, and how."""
    return digest("feature/1", [row, feature, model, form])
