"""Selectors in processes of their own: what runs, what is left out, what fails, what is measured."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Step
from winnow.pipeline.row_files import RowFile
from winnow.selectors.comparison.runs import Contender, Run, contenders, run_all
from winnow.selectors.registry import get_selector
from winnow.selectors.run import select

BAD = '''
import os, time
import numpy as np
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.parameters import NoParameters


class Bad(Selector[NoParameters]):
    """Fails."""

    name = "bad"
    paper = "none"
    parameters = NoParameters

    def inputs(self, parameters):
        return ()

    def choose(self, pool, room, parameters):
        print("not of ours: {}")
        print('{"selected": "everything"')
        raise RuntimeError("fell over")


class Killed(Bad):
    name = "killed"

    def choose(self, pool, room, parameters):
        os.kill(os.getpid(), 9)


class Heavy(Bad):
    name = "heavy"

    def choose(self, pool, room, parameters):
        print("a library says hello")
        big = np.ones(2**23 if len(pool) > 100 else 1)  # 64 MiB
        pool.progress.note(f"{big.sum():.0f}")
        del big
        if len(pool) > 100:
            time.sleep(0.3)
        return Choice(np.arange(len(pool)), np.zeros(len(pool)))
'''


class Listener:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.notes: list[str] = []

    def step(self, step: Step) -> None:
        self.steps.append(step)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Selectors of another package, installed on the path."""
    (tmp_path / "others.py").write_text(BAD)
    info = tmp_path / "others-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1\n")
    points = "".join(f"{name} = others:{name.title()}\n" for name in ("bad", "killed", "heavy"))
    (info / "entry_points.txt").write_text(f"[winnow.selectors]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    get_selector.cache_clear()


@pytest.fixture
def pool(tmp_path: Path) -> RowFile:
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "row_id": [f"r{i}" for i in rng.permutation(200)],
            "accuracies": rng.random((200, 4)).tolist(),
            "rate": rng.random(200),
        }
    )
    pq.write_table(table, tmp_path / "pool.parquet")
    return RowFile(tmp_path / "pool.parquet")


def run(pool: RowFile, chosen: list[Contender], heard: Listener | None = None) -> list[Run]:
    return run_all(
        chosen, pool, budget="0.1", seed=3, columns={"pass_rate": "rate"},
        progress=heard or Listener(),
    )  # fmt: skip


def test_what_a_child_chooses_is_what_select_chooses(pool: RowFile) -> None:
    chosen = contenders(["limr"], {})
    found = run(pool, chosen)
    table = pq.read_table(pool.path)
    assert [each.label for each in found] == ["limr", "random"]
    for each in found:
        assert each.status == "ran" and each.table is not None
        assert each.table.equals(select(each.label, table, budget=0.1, seed=3))
        assert each.seconds is not None and each.seconds > 0


def test_what_fails_costs_no_other(pool: RowFile, others: None) -> None:
    heard = Listener()
    found = {
        each.label: each for each in run(pool, contenders(["bad", "killed", "grape"], {}), heard)
    }
    assert found["bad"].status == "failed" and found["bad"].why == "RuntimeError: fell over"
    assert found["killed"].status == "failed"
    assert found["killed"].why == "stopped by signal 9 (out of memory?)"
    assert found["grape"].status == "not_run" and "no column" in (found["grape"].why or "")
    assert found["random"].status == "ran"
    last = [s for s in heard.steps if s.stage == "selectors"][-1]
    assert last.done == last.total == 4


def test_time_and_memory_are_those_of_choosing(pool: RowFile, others: None) -> None:
    heard = Listener()
    found = {each.label: each for each in run(pool, contenders(["heavy"], {}), heard)}
    heavy, random = found["heavy"], found["random"]
    assert heavy.peak_bytes is not None and random.peak_bytes is not None
    assert 60 * 2**20 < heavy.peak_bytes < 90 * 2**20, (
        "freed memory counts, the interpreter does not"
    )
    assert random.peak_bytes < 20 * 2**20
    assert heavy.seconds is not None and heavy.seconds >= 0.3
    assert heard.notes == ["heavy: 8388608"], "the few rows that load libraries say nothing"


def test_none_that_can_run(pool: RowFile) -> None:
    with pytest.raises(UsageError, match="none of the selectors could run.*grape: no column"):
        run(pool, contenders(["grape"], {}, baseline=None))


def test_a_value_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    bad = pa.table({"row_id": ["a", "b"], "accuracies": ["x", "y"]})
    pq.write_table(bad, tmp_path / "bad.parquet")
    found = run(RowFile(tmp_path / "bad.parquet"), contenders(["limr"], {}))
    assert found[0].status == "not_run" and "accuracies" in (found[0].why or "")


def test_labels_parameters_and_the_baseline() -> None:
    found = contenders(["low=pass_rate", "pass_rate"], {"low.low": 0.1, "low.high": 0.2})
    assert [(c.label, c.selector.name) for c in found] == [
        ("low", "pass_rate"), ("pass_rate", "pass_rate"), ("random", "random"),
    ]  # fmt: skip
    assert found[0].parameters == {"low": 0.1, "high": 0.2} and found[1].parameters == {}
    assert [c.label for c in contenders(["r=random"], {})] == ["r"], "it is the baseline already"
    assert [c.label for c in contenders(["limr"], {}, baseline=None)] == ["limr"]


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (["nobody"], {}, "selector 'nobody' is not known"),
        (["limr", "limr"], {}, "first=limr,second=limr"),
        (["=limr"], {}, "neither NAME nor LABEL=NAME"),
        (["pool=limr"], {}, "stands for all rows"),
        (["limr"], {"low": 1}, "NAME.key=value"),
        (["limr"], {"grape.low": 1}, "one of the selectors: limr, random"),
        (["limr"], {"limr.nothing": 1}, "limr: nothing.*--set limr.key=value"),
    ],
)
def test_wrong_use(names: list[str], settings: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        contenders(names, settings)
