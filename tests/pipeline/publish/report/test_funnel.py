"""The funnel conserves what flows through it, whatever the ledger holds."""

import colorsys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.publish.report.conftest import Reported
from winnow.pipeline.publish.report.blocks import Note
from winnow.pipeline.publish.report.charts import DROPPED, PENDING
from winnow.pipeline.publish.report.funnel import Flow, flow_into, section
from winnow.pipeline.publish.report.signals import Signals
from winnow.pipeline.publish.version import Version

Publish = Callable[..., Version]
Rows = Any


def conserved(flow: Flow) -> None:
    """What comes into a node goes out of it, unless it is an end."""
    came = [0.0] * len(flow.labels)
    went = [0.0] * len(flow.labels)
    for source, target, share, _ in flow.links:
        assert 0 < share <= 1 + 1e-9
        went[source] += share
        came[target] += share
    for at, label in enumerate(flow.labels):
        if came[at] and went[at]:
            assert went[at] == pytest.approx(came[at]), label
    starts = sum(out for out, into in zip(went, came, strict=True) if not into)
    assert starts == pytest.approx(1)


def test_a_real_run_is_conserved(ran: Reported) -> None:
    for workspace in (ran.workspace, None):
        with Signals(ran.version, workspace) as signals:
            for each in signals.sets:
                flow = flow_into(signals, each)
                conserved(flow)
                assert any(label.startswith("answers ") for label in flow.labels) is (
                    each.name == "sft"
                )


decisions = st.lists(
    st.tuples(
        st.sampled_from(("kept", "dropped", "pending")), st.sampled_from(("a", "b", "selected"))
    ),
    max_size=12,
)


@given(ingested=decisions, sft=decisions, rl=decisions)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_ledger_is_conserved(
    tmp_path: Path,
    published: Publish,
    rows: Rows,
    ingested: list[tuple[str, str]],
    sft: list[tuple[str, str]],
    rl: list[tuple[str, str]],
) -> None:
    stages = (("prompts", ingested), ("training_set/sft", sft), ("training_set/rl", rl))
    ledger = rows["ledger"](
        *((f"{stage}{at}", stage, *each) for stage, of in stages for at, each in enumerate(of))
    )
    sets: dict[str, dict[str, pa.Table]] = {
        "sft": {"train": rows["sft"](range(3)), "holdout": rows["sft"](range(3, 4))},
        "rl": {"train": rows["rl"](range(2))},
    }
    version = published(tmp_path / "demo", sets, ledger=ledger)
    with Signals(version, None) as signals:
        for each, of in zip(signals.sets, (rl, sft), strict=True):
            flow = flow_into(signals, each)
            if of:
                conserved(flow)
            else:
                assert not flow.links


def test_the_words_name_the_colours(ran: Reported) -> None:
    """By hue, in degrees: what is called orange is orange, and what is called blue is blue."""
    with Signals(ran.version, ran.workspace) as signals:
        note = section(signals).blocks[0]
    assert isinstance(note, Note)
    assert "Orange ends are what a rule dropped, blue ones may still change." in note.text
    for colour, low, high in ((DROPPED, 15, 45), (PENDING, 190, 250)):
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        assert low < 360 * colorsys.rgb_to_hsv(red, green, blue)[0] < high, colour
