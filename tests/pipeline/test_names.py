"""Names depend on what determines a thing and on nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline import names

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def _reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed_keys(value[key]) for key in reversed(list(value))}
    return [_reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert names.digest("t", value) == names.digest("t", _reversed_keys(value))


@given(JSON, JSON)
def test_different_values_have_different_names(a: Any, b: Any) -> None:
    same = names.canonical_json(a) == names.canonical_json(b)
    assert (names.digest("t", a) == names.digest("t", b)) == same


def test_a_digest_is_128_bits_of_blake2b() -> None:
    import hashlib

    data = 'tag\n{"a":[1,"\u00e9"],"b":null}'.encode()
    expected = hashlib.blake2b(data, digest_size=16).hexdigest()
    assert names.digest("tag", {"b": None, "a": [1, "\u00e9"]}) == expected
    assert len(expected) == 32


def test_the_schema_tag_is_part_of_a_name() -> None:
    assert names.digest("a", 1) != names.digest("b", 1)


def test_nan_has_no_name() -> None:
    with pytest.raises(ValueError):
        names.digest("t", float("nan"))


def test_a_lone_surrogate_has_a_name() -> None:
    assert names.digest("t", "\ud800") != names.digest("t", "\ud801")


MESSAGES = [{"role": "user", "content": "1 + 1?"}]


def test_a_corrected_reference_is_a_new_task_of_the_same_prompt() -> None:
    prompt = names.prompt_id(MESSAGES)
    assert names.task_id(prompt, "2", "math", {}) != names.task_id(prompt, "3", "math", {})


def test_a_prompt_is_named_by_role_and_content_alone() -> None:
    more = [{"role": "user", "content": "1 + 1?", "name": "x"}]
    assert names.prompt_id(MESSAGES) == names.prompt_id(more)
    assert names.prompt_id(MESSAGES) != names.prompt_id(MESSAGES, ["image"])


@given(st.integers(0, 10**6), st.integers(0, 1000), st.integers(0, 3))
def test_a_rollouts_seed_fits_31_bits_and_follows_its_name(
    seed: int, index: int, tries: int
) -> None:
    drawn = names.rollout_seed("p", seed, index, tries)
    assert 0 <= drawn < 2**31
    assert drawn == names.rollout_seed("p", seed, index, tries)


def test_every_determinant_changes_a_rollouts_name() -> None:
    base: tuple[Any, ...] = ("p", "m@1", "t", "{}", 0, 0, 0)
    first = names.rollout_id(*base)
    others: list[Any] = ["q", "m@2", "u", '{"temperature":1.0}', 1, 1, 1]
    for at, other in enumerate(others):
        changed = (*base[:at], other, *base[at + 1 :])
        assert names.rollout_id(*changed) != first
