"""The picture: drawn, of the right size, not blank, and with names as they are."""

import io
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.histogram import bins
from winnow.selectors.comparison import picture
from winnow.selectors.comparison.picture import DPI, Picture, colours, draw, literal
from winnow.selectors.comparison.runs import Contender, Run
from winnow.selectors.comparison.tables import Comparison, compare
from winnow.selectors.comparison.traits import Traits
from winnow.selectors.registry import get_selector

N = 300
HOSTILE = ["<script>alert(1)</script>", "$math$ & $x^2$", "_hidden", "$", "a\nb\x1b[31m", "数学",
           "x" * 300, "%s {0} \\alpha", "s9", "s10"]  # fmt: skip


def comparison(labels: list[str], *, names: list[str] | None = None, **without: None) -> Comparison:
    rng = np.random.default_rng(0)
    parts: dict[str, Any] = {
        "difficulty": rng.integers(0, 9, N) / 8,
        "difficulty_name": "pass rate",
        "length": np.exp(rng.normal(5, 1, N)),
        "source": rng.choice(names or ["a", "b"], N).tolist(),
        "cluster": rng.integers(0, 9, N),
        "plane": rng.normal(size=(N, 2)),
    }
    runs = []
    for label in labels:
        chosen = rng.random(N) < 0.2
        table = pa.table(
            {
                "row_id": [str(i) for i in range(N)],
                "score": pa.array(rng.random(N)),
                "selected": chosen,
                "rank": pa.array(np.arange(N)),
                "weight": chosen.astype(float),
                "reason": ["selected"] * N,
            }
        )
        runs.append(Run(Contender(label, get_selector("random")), "ran", table, None, 0.2, 10**7))
    return compare(Traits(rows=N, **(parts | without)), runs)


def pixels(drawn: Picture) -> np.ndarray[Any, Any]:
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(drawn.png), format="png"))


def check(drawn: Picture) -> None:
    """A PNG of a page's size with much on it in colour, and an SVG that parses."""
    image = pixels(drawn)
    height, width = image.shape[:2]
    assert width >= 9 * DPI - 1 and 3 * DPI < height < 60 * DPI
    inked = (image[:, :, :3] < 0.95).any(axis=2)
    assert 0.01 < inked.mean() < 0.9
    spread = image[:, :, :3].max(axis=2) - image[:, :, :3].min(axis=2)
    assert (spread > 0.2).mean() > 0.003, "bars and points have colours"
    assert ElementTree.fromstring(drawn.svg.decode()).tag.endswith("svg")


def test_a_page() -> None:
    check(draw(comparison(["a", "b", "c", "random"]), "300 rows"))


@pytest.mark.parametrize("count", [1, 24])
def test_one_selector_and_many(count: int) -> None:
    check(draw(comparison([f"selector_{i}" for i in range(count)]), "title"))


@pytest.mark.parametrize(
    "without",
    [
        ["plane"], ["cluster"], ["source"], ["difficulty"], ["length"],
        ["plane", "cluster", "source", "difficulty", "length"],
    ],
)  # fmt: skip
def test_traits_that_are_not_there(without: list[str]) -> None:
    drawn = draw(comparison(["a", "b"], **dict.fromkeys(without)), "title")
    assert pixels(drawn).std() > 0


def test_hostile_names_stand_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # As text and not as outlines, so that they can be read back.
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    labels = ["$a$", "<b>bold</b>", "$\\frac{1}{0}$", "random"]
    drawn = draw(comparison(labels, names=HOSTILE), "$title$ <script>")
    check(drawn)
    texts = {"".join(t.itertext()).strip() for t in ElementTree.fromstring(drawn.svg).iter()
             if t.tag.endswith("}text")}  # fmt: skip
    for label in (*labels, "$title$ <script>"):
        assert label in texts
    shown = {literal(name, 34) for name in HOSTILE}
    assert len(shown & texts) == picture._SOURCES, "the largest sources, one by one"
    assert "3 more" in texts
    assert not any("\x1b" in text or "\n" in text for text in texts)


def test_literal() -> None:
    assert literal("$x$ <b> _y", 30) == "$x$ <b> _y"
    assert literal("a\x1b[31m\u202eb", 40) == "a\\x1b[31m\\u202eb"
    assert literal("数", 40) == "\\u6570"
    assert literal("a  \n b", 40) == "a b"
    assert literal("x" * 50, 10) == "x" * 9 + "…"
    assert literal("\ud800", 10) == "\\ud800"


def test_the_same_comparison_gives_the_same_picture() -> None:
    first, second = (draw(comparison(["a", "b"]), "t") for _ in range(2))
    assert first.png == second.png and first.svg == second.svg


def test_colours() -> None:
    nine = [f"s{i}" for i in range(9)]
    found = colours([*nine, "random"])
    assert len(set(found.values())) == 10
    assert colours(["random", *nine])["s3"] == found["s3"], "the baseline takes none"


def test_a_selector_that_chose_nothing() -> None:
    found = comparison(["a", "b"])
    table = found.runs[0].table
    assert table is not None
    none = table.set_column(2, "selected", pa.array([False] * N))
    empty = Run(found.runs[0].contender, "ran", none, None, 0.0, 0)
    check(draw(compare(found.traits, [empty, found.runs[1]]), "t"))


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install matplotlib.*--no-picture"):
        draw(comparison(["a"]), "t")


@given(
    # As far apart as what is measured: the bins of denormal numbers fall together.
    values=st.lists(
        st.floats(-1e6, 1e6).map(lambda v: round(v, 6)) | st.integers(0, 8).map(float),
        min_size=1,
        max_size=60,
    ),
    bounded=st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_every_value_has_a_bin(values: list[float], bounded: bool) -> None:
    edges, log = bins(np.array(values), (-1e6, 1e6) if bounded else None)
    assert (np.diff(edges) > 0).all() and 2 <= len(edges) <= 36
    assert not log or edges[0] > 0
    shares = picture._shares(np.array(values), np.ones(len(values), bool), edges)
    assert shares.sum() == pytest.approx(1)


def test_bins() -> None:
    eighths, log = bins(np.array([0, 1, 2, 5, 8]) / 8)
    assert not log and np.allclose(eighths, (np.arange(10) - 0.5) / 8), "a bar for each eighth"
    edges, log = bins(np.exp(np.random.default_rng(0).normal(size=1000) * 1.5))
    assert log and len(edges) == 25
    edges, log = bins(np.random.default_rng(0).random(1000), (0.0, 1.0))
    assert not log and np.allclose(edges, np.linspace(0, 1, 21))
    assert len(bins(np.array([3.0, 3.0, np.nan]))[0]) == 4
