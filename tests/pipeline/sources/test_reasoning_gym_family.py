import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from winnow.pipeline.contracts import SourceRow
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import ReasoningGymSource
from winnow.pipeline.sources import reasoning_gym_family
from winnow.pipeline.sources.reasoning_gym_family import ReasoningGymFamily


def source(family: str = "basic_arithmetic", size: int = 5, **more: Any) -> ReasoningGymFamily:
    return ReasoningGymFamily(
        ReasoningGymSource(type="reasoning_gym", family=family, size=size, **more)
    )


def items(opened: ReasoningGymFamily, limit: int | None = None) -> list[SourceRow]:
    return list(opened.rows(limit))


def test_rows_hold_what_prompt_and_verifier_need() -> None:
    import reasoning_gym

    config = {"min_terms": 2, "max_terms": 2}
    rows = items(source(seed=3, config=config))
    made = reasoning_gym.create_dataset("basic_arithmetic", size=5, seed=3, **config)
    for at, row in enumerate(rows):
        assert row == SourceRow(
            at,
            {
                "question": made[at]["question"],
                "answer": made[at]["answer"],
                "domain": "arithmetic/basic_arithmetic",
                "verifier_args": {
                    "family": "basic_arithmetic", "config": config, "seed": 3, "index": at,
                },
            },
        )  # fmt: skip


def test_every_family_grows_without_changing() -> None:
    """Items 0 and 1 of two are items 0 and 1 of three."""
    families = reasoning_gym_family.WORKER.describe("")["families"]
    assert len(families) > 100
    for family in families:
        if family == "composite":  # a mixture of others, which a recipe names one by one
            continue
        two, three = items(source(family, 2, seed=7)), items(source(family, 3, seed=7))
        assert [row.error for row in three] == [None] * 3, family
        assert all(isinstance(row.values["answer"], str | None) for row in three), family
        assert two == three[:2], family


def test_the_verifier_makes_the_same_entry_again() -> None:
    """Also in a family whose items depend on the dataset's size."""
    from winnow.pipeline.procedural import entry

    for family in ("acre", "leg_counting", "graph_color"):
        for row in items(source(family, 4, seed=1)):
            again = entry(**row.values["verifier_args"])
            assert again["question"] == row.values["question"], family
            assert again["answer"] == row.values["answer"], family


def test_another_process_makes_the_same_items() -> None:
    """Families that walk over sets of words differ where the process has another hash seed."""
    code = (
        "from winnow.pipeline.recipe import ReasoningGymSource as S\n"
        "from winnow.pipeline.sources.reasoning_gym_family import ReasoningGymFamily as F\n"
        "for family in ('isomorphic_strings', 'ransom_note', 'word_ladder'):\n"
        "    source = F(S(type='reasoning_gym', family=family, size=4))\n"
        "    print([row.values for row in source.rows()])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    for family, line in zip(
        ("isomorphic_strings", "ransom_note", "word_ladder"), done.stdout.splitlines(), strict=True
    ):
        assert line == str([row.values for row in items(source(family, 4))])


def test_a_limit_makes_only_what_it_shows() -> None:
    assert len(items(source(size=10**9), limit=3)) == 3
    assert len(items(source(size=2), limit=3)) == 2


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("basic_aritmetic", {}, "family: reasoning-gym has no family 'basic_aritmetic'; did you"),
        ("zzz", {}, "there are 10"),
        ("basic_arithmetic", {"min_term": 1}, "config.min_term: unknown; did you mean 'min_terms'"),
        ("basic_arithmetic", {"zzz": 1}, "basic_arithmetic has: allow_negation, "),
        ("basic_arithmetic", {"size": 9}, "config.size: stands one level up"),
        ("basic_arithmetic", {"min_terms": 9, "max_terms": 2}, "config: basic_arithmetic refuses"),
        ("basic_arithmetic", {"min_terms": "two"}, "config: basic_arithmetic refuses it: TypeErr"),
        ("basic_arithmetic", {"operators": {1: "+"}}, "config: is no plain JSON"),
        ("composite", {}, "refuses it: AssertionError: Must specify at least one dataset"),
    ],
)
def test_wrong_settings(family: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        items(source(family, config=config))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"source {family!r}: ")
    assert "\n" not in str(caught.value)


def test_an_item_that_ends_the_process_costs_that_item() -> None:
    """The process is killed after three items of a slow family have been asked for."""
    items(source("sokoban", 1))  # the process is there
    rows, worker = [], reasoning_gym_family.WORKER
    assert worker._process is not None
    ask, killed = worker._ask, worker._process.pid

    def ask_and_kill(request: dict[str, Any]) -> dict[str, Any] | None:
        reply = ask(request)
        if request["start"] == 0:
            os.kill(killed, signal.SIGKILL)
        return reply

    try:
        worker._ask = ask_and_kill  # type: ignore[method-assign]
        rows = list(worker.items(
            {"family": "sokoban", "seed": 5, "config": {}}, 0, 8))  # fmt: skip
    finally:
        del worker._ask
    errors = [reply["error"] for reply in rows if "error" in reply]
    assert errors == ["its generator ended the process (killed by signal 9)"]
    kept = [reply["question"] for reply in rows if "error" not in reply]
    assert len(kept) == 7
    assert set(kept) < {row.values["question"] for row in items(source("sokoban", 8, seed=5))}


def test_a_process_that_was_killed_while_idle_is_replaced() -> None:
    worker = reasoning_gym_family.WORKER
    before = items(source(size=2))
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    assert items(source(size=2)) == before


def test_a_slow_item_is_an_error(tmp_path: Any) -> None:
    """The alarm, in the real process, with its limit lowered and a family that takes longer."""
    code = (
        "import winnow.pipeline.sources.reasoning_gym_worker as w, time, reasoning_gym\n"
        "w.ITEM_SECONDS = 1\n"
        "make = reasoning_gym.create_dataset\n"
        "class Slow(type(make('basic_arithmetic'))):\n"
        "    def __getitem__(self, i):\n"
        "        while i == 1: pass\n"
        "        return super().__getitem__(i)\n"
        "def slow(*a, **k):\n"
        "    made = make(*a, **k); made.__class__ = Slow; return made\n"
        "reasoning_gym.create_dataset = slow\n"
        "w.main()\n"
    )
    request = '{"family": "basic_arithmetic", "seed": 0, "config": {}, "start": 0, "stop": 3}'
    done = subprocess.run(
        [sys.executable, "-c", code], input=request + "\n", capture_output=True, text=True,
        check=True, timeout=120,
    )  # fmt: skip
    replies = done.stdout.splitlines()
    assert ["error" in reply for reply in replies] == [False, True, False]
    assert "TimeoutError: no item after 1 s" in replies[1]


def test_fingerprint() -> None:
    base = source(seed=1).fingerprint()
    assert base == source(seed=1, name="another").fingerprint()
    others = [source(seed=2), source(seed=1, size=6), source(seed=1, config={"min_terms": 3})]
    assert len({base, *(other.fingerprint() for other in others)}) == 4
