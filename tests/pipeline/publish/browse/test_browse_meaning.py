"""Search by meaning: with the vectors that the run stored, with none, and without an embedder."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from winnow.pipeline.contracts import Embedder
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.features.embedding import prompt_text
from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.browse.meaning import local_embedder
from winnow.pipeline.publish.version import Version, open_version
from winnow.pipeline.workspace import Workspace

WAIT = 120.0


def _no_weights(manifest: Mapping[str, Any]) -> Embedder:
    raise WinnowError("the weights are on another machine")


def _awake(browser: Browser) -> TestClient:
    browser.meaning.wake()
    assert browser.meaning.ended.wait(WAIT)
    return TestClient(browser.app(), base_url="http://localhost")


def _similar(page: str, links_of: Any) -> list[str]:
    hits = page.split('class="hits"')[1]
    return [link.rsplit("id=", 1)[1] for link in links_of(hits) if link.startswith("/row?")]


def test_rows_like_one_come_by_the_stored_vectors(
    version: Version, browse_home: Path, links_of: Any
) -> None:
    browser = Browser(catalogue(version, browse_home), _no_weights)
    try:
        client = _awake(browser)
        table = Workspace(browse_home, "sums").read("embeddings").to_pylist()
        vectors = {row["prompt_id"]: np.array(row["embedding"]) for row in table}
        rows = version.table("rl").to_pylist()
        asked = rows[0]["prompt_id"]
        nearness = {row["id"]: float(vectors[row["prompt_id"]] @ vectors[asked]) for row in rows}
        page = client.get("/search", params={"like": asked, "set": "rl"}).text
        shown = _similar(page, links_of)
        assert shown[0] == rows[0]["id"]
        assert sorted(shown) == sorted(nearness)
        assert [nearness[row] for row in shown] == pytest.approx(
            sorted(nearness.values(), reverse=True), abs=1e-6
        )
        # In all sets, all rows of a prompt are one hit.
        page = client.get("/search", params={"like": asked}).text
        everywhere = [row for name in version.rows for row in version.table(name).to_pylist()]
        assert sorted(_similar(page, links_of)) == sorted(row["id"] for row in everywhere)
        assert page.count('<li class="row">') == len({row["prompt_id"] for row in everywhere})
        text = client.get("/search", params={"q": "a sum", "mode": "meaning"}).text
        assert "only prompts can be compared, because the weights are on another machine" in text
        assert client.get("/search", params={"like": "nobody"}).status_code == 404
    finally:
        browser.close()


def test_vectors_are_computed_where_none_are_stored(
    version: Version, tmp_path: Path, links_of: Any
) -> None:
    pytest.importorskip("sentence_transformers")
    alone = tmp_path / version.dataset / version.id
    shutil.copytree(version.path, alone)
    browser = Browser(catalogue(open_version(alone), tmp_path))
    try:
        client = _awake(browser)
        assert browser.meaning.state == "ready", browser.meaning.note
        query = "What is 7 + 7?"
        embedder = local_embedder(version.manifest())
        rows = version.table("rl").to_pylist()
        vectors = embedder.embed([query, *(prompt_text(row["prompt"]) for row in rows)])
        nearness = dict(
            zip((row["id"] for row in rows), (vectors[1:] @ vectors[0]).tolist(), strict=True)
        )
        page = client.get("/search", params={"q": query, "mode": "meaning", "set": "rl"}).text
        assert [nearness[row] for row in _similar(page, links_of)] == pytest.approx(
            sorted(nearness.values(), reverse=True), abs=1e-4
        )
        assert embedder.identity in page
    finally:
        browser.close()


def test_without_vectors_and_weights_the_page_says_why(version: Version, tmp_path: Path) -> None:
    alone = tmp_path / version.dataset / version.id
    shutil.copytree(version.path, alone)
    browser = Browser(catalogue(open_version(alone), tmp_path), _no_weights)
    try:
        client = _awake(browser)
        page = client.get("/search", params={"q": "a sum", "mode": "meaning"}).text
        assert "none can be computed: the weights are on another machine" in page
        assert "Nothing fits." in page
    finally:
        browser.close()


def test_an_embedder_that_is_not_here_is_never_fetched(version: Version) -> None:
    manifest = {"recipe": {"embedding": {"model": "nobody/no-such-model"}}}
    with pytest.raises(WinnowError, match="nobody/no-such-model"):
        local_embedder(manifest)
    with pytest.raises(WinnowError, match="names no embedder"):
        local_embedder({})
