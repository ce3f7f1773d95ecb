"""What a comparison reads of the rows, and what it makes where a column is not there."""

import numpy as np
import pyarrow as pa
import pytest

from winnow.pipeline.errors import UsageError
from winnow.selectors.comparison.traits import traits
from winnow.selectors.rows import TableRows


def test_columns_in_the_order_of_the_input() -> None:
    table = pa.table(
        {
            "row_id": ["c", "a", "b"],
            "pass_rate": [0.5, None, 1.0],
            "n_tokens": [30, 10, 20],
            "source": ["s", None, "t"],
            "cluster": [7, 3, None],
        }
    )
    found = traits(TableRows(table))
    assert found.difficulty is not None and found.length is not None and found.cluster is not None
    np.testing.assert_array_equal(found.difficulty, [0.5, np.nan, 1.0])
    np.testing.assert_array_equal(found.length, [30, 10, 20])
    assert found.tokens is not None and found.length_name == "length (tokens)"
    assert found.source == ["s", None, "t"]
    assert found.cluster.tolist() == [1, 0, -1]
    assert found.plane is None


def test_the_loss_where_there_is_no_pass_rate() -> None:
    table = pa.table({"row_id": ["b", "a"], "logprob_mean": [-2.0, -0.5]})
    found = traits(TableRows(table))
    assert found.difficulty is not None and found.difficulty_name.startswith("loss")
    assert found.difficulty.tolist() == [2.0, 0.5]


def test_a_pass_rate_that_no_row_has_gives_way_to_the_loss() -> None:
    values = {"row_id": ["a"], "pass_rate": pa.array([None], pa.float64()), "logprob_mean": [-1.0]}
    assert traits(TableRows(pa.table(values))).difficulty_name.startswith("loss")


def test_features_renamed_columns_and_named_clusters() -> None:
    table = pa.table({"row_id": ["b", "a"], "topic": ["law", "art"], "rate": [0.1, 0.9]})
    features = pa.table({"row_id": ["a", "b"], "n_tokens": [5, 6]})
    renamed = {"cluster": "topic", "pass_rate": "rate", "of_a_selector_only": "x"}
    found = traits(TableRows(table), [TableRows(features)], columns=renamed)
    assert found.cluster is not None and found.cluster.tolist() == [1, 0]
    assert found.difficulty is not None and found.difficulty.tolist() == [0.1, 0.9]
    assert found.length is not None and found.length.tolist() == [6, 5]


def test_characters_where_there_are_no_tokens() -> None:
    table = pa.table(
        {
            "messages": [[{"role": "user", "content": "12345"}], [], None],
            "completion": ["abc", None, "é"],
            "other": ["long text that does not count"] * 3,
        }
    )
    found = traits(TableRows(table))
    assert found.length is not None and found.length.tolist() == [8, 0, 1]
    assert found.length_name == "length (characters)" and found.tokens is None


def test_clusters_and_places_from_embeddings() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 90)
    vectors = np.eye(3, dtype=np.float32)[group] * 10 + rng.normal(size=(90, 3), scale=0.1)
    values = [v.tolist() for v in vectors.astype(np.float32)]
    values[5], values[6] = None, [float("nan")] * 3
    table = pa.table({"row_id": [f"{i:03d}" for i in range(90)][::-1], "embedding": values})
    found = traits(TableRows(table), clusters=3)
    assert found.cluster is not None and found.plane is not None
    assert found.cluster[5] == found.cluster[6] == -1
    assert np.isnan(found.plane[5]).all() and np.isnan(found.plane[6]).all()
    known = np.array([i for i in range(90) if i not in (5, 6)])
    pairs = set(zip(group[known].tolist(), found.cluster[known].tolist(), strict=True))
    assert len(pairs) == len({cluster for _, cluster in pairs}) == 3, "each group is a cluster"


def test_at_most_a_cluster_for_every_ten_rows() -> None:
    rng = np.random.default_rng(0)
    table = pa.table(
        {"row_id": [f"{i}" for i in range(40)], "embedding": list(rng.random((40, 4)))}
    )
    found = traits(TableRows(table), clusters=100)
    assert found.cluster is not None and len(set(found.cluster.tolist())) <= 4


def test_more_rows_than_kmeans_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("winnow.selectors.comparison.traits._TRAINED_ON", 100)
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 400)
    centres = np.array([[1.0, 0.0], [4.0, 0.0], [30.0, 0.0]])  # of unequal lengths
    vectors = centres[group] + rng.normal(size=(400, 2), scale=0.1)
    table = pa.table({"row_id": [f"{i:03d}" for i in range(400)], "embedding": list(vectors)})
    found = traits(TableRows(table), clusters=3)
    assert found.cluster is not None
    pairs = set(zip(group.tolist(), found.cluster.tolist(), strict=True))
    assert len(pairs) == len({cluster for _, cluster in pairs}) == 3


def test_places_that_the_pool_brings() -> None:
    table = pa.table({"row_id": ["b", "a"], "x": [1.0, 2.0], "y": [3.0, None]})
    found = traits(TableRows(table))
    assert found.plane is not None
    np.testing.assert_array_equal(found.plane, [[1, 3], [2, np.nan]])


def test_no_rows_and_a_wrong_type() -> None:
    with pytest.raises(UsageError, match="no rows to choose from"):
        traits(TableRows(pa.table({"row_id": pa.array([], pa.string())})))
    with pytest.raises(UsageError, match="pass_rate"):
        traits(TableRows(pa.table({"row_id": ["a"], "pass_rate": ["high"]})))
