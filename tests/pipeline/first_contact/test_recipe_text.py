"""The written recipe: what it says is what was guessed, whatever the columns are called."""

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from winnow.pipeline import recipe as recipes
from winnow.pipeline.first_contact.guess import Guess
from winnow.pipeline.first_contact.judged import Judged
from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.recipe_text import comment, render, scalar
from winnow.pipeline.first_contact.roles import Roles
from winnow.pipeline.first_contact.sizes import Sizes
from winnow.pipeline.recipe import DatasetSource

# All that YAML knows something about, and what it cannot hold as it is.
TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(codec=None, categories=None)),
    st.text("\n\r\t\0\x1b\x7f\x85\u2028:#-?[]{}&*!|>'\"%@`, ", max_size=12),
    st.sampled_from(
        ["null", "~", "yes", "on", "1e3", "0x1f", "1_000", "2024-01-01", "=", "<<", "---"]
    ),
)


@given(st.recursive(TEXTS | st.none() | st.booleans() | st.integers(), lambda inner: st.lists(inner)
                    | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6))  # fmt: skip
def test_a_scalar_reads_as_the_value(value: Any) -> None:
    line = scalar(value)
    assert "\n" not in line and line.isascii()
    assert yaml.safe_load(f"key: {line}\nnext: 1") == {"key": value, "next": 1}
    assert yaml.safe_load(f"{{key: {line}, next: 1}}") == {"key": value, "next": 1}


@given(st.text(st.characters(codec=None, categories=None)), st.integers(0, 8))
def test_a_comment_stays_a_comment(text: str, indent: int) -> None:
    for line in comment(text, indent):
        assert line.startswith(" " * indent + "# ") and line.isprintable()
    assert yaml.safe_load("\n".join([*comment(text, indent), "key: 1"])) == {"key": 1}


NAMES = st.lists(TEXTS, min_size=6, max_size=6, unique=True)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(NAMES, TEXTS, st.sampled_from(["math", "none"]), st.booleans())
def test_the_recipe_says_what_was_guessed(
    names: list[str], path: str, verifier: str, own: bool
) -> None:
    prompt, more, answer, completion, domain, argument = names
    row = dict.fromkeys(names, "some text")
    config = DatasetSource(type="dataset", path=path, name="rows")
    look = Look(config, [row, row], 2, True, 0)
    roles = Roles((prompt, more), (answer,), completion if own else None, domain, (more,),
                  None, {"prompt": f"because of {prompt}"})  # fmt: skip
    judged = Judged(verifier, f"as {answer} says", answer, {"kind": path}, {"tests": argument},
                    {"tests": "folder/{}.sqlite"}, beware=path)  # fmt: skip
    guess = Guess(roles, judged, Sizes(8, 512, 2048, 5, "the usual", 0.1))
    text = render(look, guess, "rows", path)
    recipe = recipes.parse(text)
    (source,) = recipe.sources
    assert isinstance(source, DatasetSource)
    assert (source.path, source.verifier, source.licence) == (path, verifier, None)
    assert source.verifier_args == {"kind": path}
    columns = source.columns
    assert (columns.prompt, columns.answer, columns.domain) == ((prompt, more), answer, domain)
    assert (columns.completion, columns.keep) == (completion if own else None, (more,))
    assert columns.arguments == {"tests": argument}
    assert recipe.engine.type == ("source" if own and verifier == "none" else "vllm")
    assert recipe.clusters.k == 5


@pytest.mark.parametrize("word", ["math", "data/x.parquet", "a_b-c"])
def test_simple_words_need_no_quotes(word: str) -> None:
    assert scalar(word) == word
