"""Trajectories of agents are told from other conversations, and their first recipe runs."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.test_init_command import User, user
from tests.pipeline.publish.formats.test_adp import VALID
from tests.pipeline.sources.test_trajectories_source import conversation, write
from winnow.pipeline.first_contact.agents import Agents, agents, render
from winnow.pipeline.first_contact.look import Look, look
from winnow.pipeline.publish.formats import adp
from winnow.pipeline.publish.formats.adp_schema import parse
from winnow.pipeline.recipe import DatasetSource, TrajectoriesSource
from winnow.pipeline.recipe import parse as recipe

__all__ = ["user"]  # a fixture

EXAMPLE = Path(__file__).parents[3] / "data" / "examples" / "agent_trajectories.jsonl"


def seen(path: Path) -> Look:
    return look(DatasetSource(type="dataset", path=str(path), name="acts"))


def test_what_a_sample_says(tmp_path: Path) -> None:
    found = agents(seen(EXAMPLE))
    assert found is not None
    assert (found.rows, found.marked, found.per_prompt) == (19, 3, 2)
    assert sorted(set(found.rewards)) == [0.0, 1.0] and len(found.rewards) == 19
    pq.write_table(
        pa.Table.from_pylist([adp.message_row(parse(VALID, "f"))]), tmp_path / "m.parquet"
    )
    assert agents(seen(tmp_path / "m.parquet")) == Agents(1, [-1.0], 0, 1)


def test_n_is_guessed_from_all_rows_that_were_read(tmp_path: Path) -> None:
    """A sample of many prompts hardly holds one twice."""
    asked = [f"What is {at} + 2?" for at in range(900)]
    asked[40:900:100] = ["What is 1 + 1?"] * 9
    rows = ({"messages": conversation(question=each)} for each in asked)
    sample = seen(write(tmp_path / "many.jsonl", *rows))
    found = agents(sample)
    assert found is not None and len(sample.rows) == 200
    assert recipe(render(sample, found, "acts", "r.yaml"), "r.yaml").sampling.n == 9


PLAIN = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": "q", "answer": "2"}],
        [PLAIN, {"messages": [{"role": "user", "content": "q"}]}],
        [{"messages": conversation()}, *[{"prompt": str(at)} for at in range(3)]],
        [{"messages": "text"}, {"messages": 7}, {"content": None}],
    ],
)
def test_other_rows_are_none(rows: list[Any], tmp_path: Path) -> None:
    assert agents(seen(write(tmp_path / "rows.jsonl", *rows))) is None


def test_its_recipe_is_one(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a # b.jsonl",
        *({"messages": conversation(f"It is {at}."), "reward": at / 4} for at in range(5)),
        {"messages": [PLAIN]},
    )
    sample = seen(path)
    found = agents(sample)
    assert found is not None
    text = render(sample, found, "acts", "r.yaml")
    made = recipe(text, "r.yaml")
    (source,) = made.sources
    assert isinstance(source, TrajectoriesSource) and source.path == str(path)
    assert (made.sampling.n, made.sets["trajectories"].min_reward) == (5, 1.0)  # type: ignore[union-attr]
    assert "5 of all 6 rows are trajectories" in text and "1 are none" in text
    assert "It is" not in text, "nothing of the rows' text"
    bare = render(sample, Agents(6, [], 0, 1), "acts", "r.yaml")
    assert "min_reward: " not in bare
    assert set(recipe(bare, "r.yaml").formats) == {"adp", "openai_chat"}


def test_init_writes_it_and_check_accepts_it(user: User) -> None:
    file = user.folder / "acts.jsonl"
    file.write_text(EXAMPLE.read_text())
    made, text = user.inits(file)
    assert isinstance(made.sources[0], TrajectoriesSource)
    assert "19 of all 20 rows" in text
    # Who names a column means rows of another kind.
    again = user.types("init", str(file), "--overwrite", "--prompt", "messages")
    assert "trajectories of agents" not in again.out
    lines = [json.loads(line) for line in EXAMPLE.read_text().splitlines()]
    assert len(lines) == 20
