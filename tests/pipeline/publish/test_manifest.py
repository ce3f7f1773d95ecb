import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline import recipe
from winnow.pipeline.publish import manifest as manifests

Manifest = Callable[..., dict[str, Any]]
Rows = Mapping[str, Callable[..., pa.Table]]
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEY = st.from_regex("[a-z]{1,3}", fullmatch=True) | st.just("name")
NESTED = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=8,
)


def test_what_a_manifest_says(manifest: Manifest, recipe_text: str) -> None:
    built = manifest()
    assert set(built) == {
        "schema", "dataset", "recipe", "code_version", "libraries", "models", "verifiers", "seeds",
        "inputs", "counts", "sources", "pass_rates", "decontamination", "languages", "clusters",
        "facts",
    }  # fmt: skip
    assert built["seeds"] == {"seed": 3, "sources[leg_counting].seed": 5}
    assert built["sources"] == [
        {"name": "leg_counting", "licence": "apache-2.0", "hub_id": None, "prompts": 20},
        {"name": "file", "licence": "mit", "hub_id": None, "prompts": 16},
    ]
    assert built["counts"] == [{"name": "rows in", "rows": 40}, {"name": "sampled", "rows": 36}]
    assert built["verifiers"] == ["math@1", "reasoning_gym@1"]
    assert built["libraries"] == {
        "pyarrow": pa.__version__, "matplotlib": version("matplotlib"), "pillow": version("pillow")
    }  # fmt: skip
    # The recipe in it is the recipe: it gives the same run again.
    again = recipe.parse(json.dumps(built["recipe"]))
    assert again == recipe.parse(recipe_text)


def test_bytes_do_not_depend_on_the_order_of_keys(manifest: Manifest) -> None:
    built = manifest()
    assert manifests.dumps(built) == manifests.dumps(dict(reversed(built.items())))
    assert json.loads(manifests.dumps(built)) == built


def test_text_without_utf8_form_and_numbers_without_json_form() -> None:
    data = manifests.dumps({"a": "\ud800 € \n"})
    assert json.loads(data.decode("utf-8")) == {"a": "\ud800 € \n"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        manifests.dumps({"a": float("nan")})


@pytest.mark.parametrize(
    ("rate", "band"),
    [(0.0, "0"), (1 / 8, "above 0, below 0.2"), (1 / 5, "0.2 to 0.4"), (2 / 5, "0.4 to 0.6"),
     (1 / 2, "0.4 to 0.6"), (3 / 5, "0.6 to 0.8"), (4 / 5, "0.8 to below 1"),
     (99 / 100, "0.8 to below 1"), (1.0, "1"), (None, "nothing judged")],
)  # fmt: skip
def test_bands(rate: float | None, band: str) -> None:
    found = manifests.histogram([rate])
    assert [entry["band"] for entry in found if entry["tasks"]] == [band]


@given(st.integers(1, 200), st.data())
def test_bands_agree_with_whole_numbers(n: int, data: Any) -> None:
    """c / n lies in a band exactly when 5 c, in whole numbers, lies between its ends times n."""
    c = data.draw(st.integers(0, n))
    found = [at for at, entry in enumerate(manifests.histogram([c / n])) if entry["tasks"]]
    assert found == [0 if c == 0 else 6 if c == n else 1 + 5 * c // n]


def test_decisions_are_counted_in_running_order(rows: Rows) -> None:
    ledger = rows["ledger"](
        ("a", "training_set/sft", "dropped", "budget"),
        ("a", "scores", "kept", "uds"),
        ("b", "prompts", "dropped", "empty"),
        ("c", "prompts", "dropped", "empty"),
        ("c", "from a plugin", "kept", "x"),
        ("a", "rollouts", "pending", "not sampled"),
    )
    found = [tuple(entry.values()) for entry in manifests.decisions(ledger)]
    assert found == [
        ("prompts", "dropped", "empty", 2),
        ("rollouts", "pending", "not sampled", 1),
        ("scores", "kept", "uds", 1),
        ("training_set/sft", "dropped", "budget", 1),
        ("from a plugin", "kept", "x", 1),
    ]
    assert manifests.decisions(ledger.slice(0, 0)) == []


def test_made_with_depends_on_what_a_set_depends_on(manifest: Manifest, recipe_text: str) -> None:
    def made(text: str = recipe_text, **changes: Any) -> str:
        return manifests.made_with(manifest(text, **changes), "rl")

    base = made()
    same = {
        made(recipe_text.replace("A demonstration", "Other words")),
        made(recipe_text.replace("per_prompt: 2", "per_prompt: 1")),
        made(counts={"x": 1}, pass_rates=[], prompts_by_source={}),
    }
    assert same == {base}
    other = [
        made(recipe_text.replace("0.9]", "1.0]")),
        made(recipe_text.replace("seed: 3", "seed: 4")),
        made(recipe_text.replace("holdout: 0.2", "holdout: 0.1")),
        made(code_version="0.2.0"),
        made(models={"policy": "model@2"}),
        made(inputs={"prompts": "cc"}),
        made(verifiers=["math@2"]),
    ]
    assert len({base, *other}) == 8


def test_no_row_depends_on_what_pictures_are_drawn_with(manifest: Manifest) -> None:
    built = manifest()
    other = {**built, "libraries": {**built["libraries"], "matplotlib": "0"}}
    assert manifests.made_with(other, "rl") == manifests.made_with(built, "rl")
    other = {**built, "libraries": {**built["libraries"], "pyarrow": "0"}}
    assert manifests.made_with(other, "rl") != manifests.made_with(built, "rl")


def test_flatten_names_list_members() -> None:
    value = {"a": [{"name": "x", "k": 1}, {"name": "y"}], "b": [{"k": 1}], "c": {}, "d": [1, [2]]}
    assert manifests.flatten(value) == {
        "a[x].name": "x", "a[x].k": 1, "a[y].name": "y", "b[0].k": 1, "c": {}, "d[0]": 1,
        "d[1][0]": 2,
    }  # fmt: skip


@given(st.dictionaries(KEY, NESTED, min_size=1))
def test_flatten_keeps_every_leaf(value: dict[str, Any]) -> None:
    def leaves(part: Any) -> list[Any]:
        inner = list(part.values()) if isinstance(part, dict) else part
        if isinstance(part, dict | list) and inner:
            return [leaf for each in inner for leaf in leaves(each)]
        return [part]

    # repr tells 1 from True and 0.0 from -0.0
    assert [repr(x) for x in manifests.flatten(value).values()] == [repr(x) for x in leaves(value)]
