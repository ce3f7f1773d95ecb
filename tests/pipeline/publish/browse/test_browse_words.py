"""Full-text search: BM25 against the formula written out, and the two ways to find a text."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import Catalogue, catalogue
from winnow.pipeline.publish.browse.database import Database
from winnow.pipeline.publish.browse.rows import Rows
from winnow.pipeline.publish.browse.words import Hit, Words, containing
from winnow.pipeline.publish.version import Version

TEXTS = [
    "the cat sat on the mat",
    "the cat and the dog",
    "a dog barks; the dog sleeps, the dog eats",
    "Ein Café in Łódź — caffè",
    "数学 の 問題",
    "",
    "cat " * 40,
]

Publish = Callable[..., Version]
Found = tuple[Words, Database, Catalogue]


def _sft(texts: list[str], rows: Callable[..., pa.Table]) -> pa.Table:
    table = rows(range(len(texts))).to_pylist()
    for row, text in zip(table, texts, strict=True):
        row["messages"] = [{"role": "user", "content": text}]
    return pa.Table.from_pylist(table, rows(range(0)).schema)


@pytest.fixture
def indexed(
    tmp_path: Path, published: Publish, rows: dict[str, Callable[..., pa.Table]]
) -> Iterator[Found]:
    version = published(
        tmp_path / "demo",
        {"sft": {"train": _sft(TEXTS, rows["sft"])}, "rl": {"train": rows["rl"](range(3))}},
    )
    found = catalogue(version, tmp_path)
    db = Database(found.files)
    Rows(db, found)
    words = Words(db, found)
    words.start()
    assert words.ready.wait(60)
    yield words, db, found
    db.close()


def _bm25(texts: list[str], query: list[str]) -> dict[int, float]:
    """Okapi BM25 over texts whose tokens stand between spaces."""
    bags = [Counter(text.split()) for text in texts]
    mean = sum(bag.total() for bag in bags) / len(bags)
    scores: dict[int, float] = {}
    for term in query:
        holding = [at for at, bag in enumerate(bags) if bag[term]]
        rarity = math.log(1 + (len(bags) - len(holding) + 0.5) / (len(holding) + 0.5))
        for at in holding:
            tf = bags[at][term]
            spread = tf + 1.2 * (1 - 0.75 + 0.75 * bags[at].total() / mean)
            scores[at] = scores.get(at, 0.0) + rarity * tf * 2.2 / spread
    return scores


def test_scores_are_bm25(indexed: Found) -> None:
    words, _, _ = indexed
    texts = [
        *(f"question {n}" for n in range(3)),
        "the cat sat on the mat", "the cat and the dog",
        "a dog barks the dog sleeps the dog eats", "ein cafe in lodz caffe", "数学 の 問題", "",
        ("cat " * 40).strip(),
    ]  # fmt: skip
    # The parts' order: rl before sft; a row's place within its part is that of its id.
    ids = [*(f"rl-{n:06d}" for n in range(3)), *(f"sft-{n:06d}" for n in range(len(TEXTS)))]
    for query in ("cat", "the dog", "cat dog dog", "Cat MAT nothing"):
        expected = _bm25(texts, list(dict.fromkeys(query.lower().split())))
        hits, total, _ = words.search(query, range(2), 50, 0)
        assert total == len(expected)
        assert {hit.id: hit.score for hit in hits} == pytest.approx(
            {ids[at]: score for at, score in expected.items()}
        )
        scores = [hit.score or 0.0 for hit in hits]
        assert scores == sorted(scores, reverse=True)


def test_case_accents_and_other_scripts(indexed: Found) -> None:
    words, _, _ = indexed
    for query in ("cafe", "CAFÉ", "łódź", "数学"):
        hits, total, _ = words.search(query, range(2), 50, 0)
        assert total == 1, query
        assert hits[0].id in ("sft-000003", "sft-000004")
    assert words.search("", range(2), 50, 0) == ([], 0, 0)
    assert words.search("'; --", range(2), 50, 0) == ([], 0, 0)
    assert words.search("cat", [], 50, 0) == ([], 0, 0)


@pytest.mark.parametrize(
    ("one", "more"),
    [("cat", "cats"), ("bark", "barks"), ("city", "cities"), ("movie", "movies"), ("box", "boxes"),
     ("case", "cases"), ("tie", "ties"), ("class", "classes")],
)  # fmt: skip
def test_a_word_and_its_plural_are_one(indexed: Found, one: str, more: str) -> None:
    words, _, _ = indexed
    assert words.tokens(one.upper()) == words.tokens(more)
    assert {one, more} <= set(words.marked(one)) & set(words.marked(more))


def test_words_that_only_look_like_plurals_stay(indexed: Found) -> None:
    words, _, _ = indexed
    assert words.tokens("a gas bus is glass") == ["a", "gas", "bus", "is", "glass"]
    assert words.search("dogs", range(2), 50, 0) == words.search("dog", range(2), 50, 0)
    assert words.search("bark", range(2), 50, 0)[0][0].id == "sft-000002"


def test_only_the_parts_asked_for(indexed: Found) -> None:
    words, _, found = indexed
    names = {part.set: part.number for part in found.parts}
    hits = words.search("question dog", range(2), 50, 0)[0]
    assert {each.part for hit in hits for each in (hit, *hit.others)} == {0, 1}
    assert {hit.part for hit in words.search("question dog", [names["rl"]], 50, 0)[0]} == {
        names["rl"]
    }


def test_the_rows_of_a_prompt_are_one_hit(indexed: Found) -> None:
    """Its best row; those of other sets stand behind it, and rows that are not asked for do not."""
    words, _, found = indexed
    names = {part.number: part.set for part in found.parts}
    hits, prompts, rows = words.search("question dog", range(2), 50, 0)
    told = [
        [(names[each.part], each.id) for each in (hit, *hit.others)] for hit in hits if hit.others
    ]
    assert sorted(map(sorted, told)) == [
        [("rl", f"rl-00000{n}"), ("sft", f"sft-00000{n}")] for n in (1, 2)
    ]
    assert [hit.more for hit in hits if hit.others] == [1, 1]
    assert (len(hits), prompts, rows) == (3, 3, 5)
    assert words.search("question dog", [0], 50, 0)[1:] == (3, 3)


def test_pages_of_hits_fit_together(indexed: Found) -> None:
    words, _, _ = indexed
    whole, total, _ = words.search("the cat dog question", range(2), 50, 0)
    parts = [words.search("the cat dog question", range(2), 2, at)[0] for at in range(0, total, 2)]
    assert [hit for part in parts for hit in part] == whole


def test_text_as_it_stands(indexed: Found) -> None:
    _, db, found = indexed
    hits, total = containing(db, found, "DOG SLEEPS,", range(2), 50, 0)
    assert (hits, total) == ([Hit(hits[0].part, "sft-000002")], 1)
    assert containing(db, found, "dog% _", range(2), 50, 0) == ([], 0)


def test_the_page_marks_what_was_found(
    client: TestClient, browsed: Browser, version: Version
) -> None:
    page = client.get("/search", params={"q": "thought answer", "mode": "words"}).text
    assert "<mark>answer</mark>" in page
    assert "<mark>thought</mark>" in page
    tables = [version.table(name).to_pylist() for name in version.rows if name != "rl"]
    prompts = [row["prompt_id"] for table in tables for row in table]
    assert f"{len(prompts)} rows of {len(set(prompts))} prompts" in page
    assert page.count('<li class="row">') == len(set(prompts)) < len(prompts)
    assert "further row" in page
    assert page.count('href="/row?') == len(prompts)
    planted = client.get("/search", params={"q": "<script>document", "mode": "text"}).text
    assert "<mark>&lt;script&gt;document</mark>" in planted


def test_a_plural_is_marked_and_nothing_leads_to_the_other_ways(
    client: TestClient, links_of: Callable[[str], list[str]]
) -> None:
    for query in ("thoughts", "answers"):
        page = client.get("/search", params={"q": query, "mode": "words"}).text
        assert f"<mark>{query[:-1]}</mark>" in page
    page = client.get("/search", params={"q": "nowhere & <xyz>", "set": "sft"}).text
    assert "Nothing fits." in page
    offered = [link for link in links_of(page) if link.startswith("/search?")]
    assert offered == [
        f"/search?q=nowhere+%26+%3Cxyz%3E&mode={mode}&set=sft" for mode in ("text", "meaning")
    ]
    assert client.get(offered[0]).status_code == 200


def test_an_index_that_is_not_ready_says_so_and_finds_text(
    version: Version, browse_home: Path
) -> None:
    browser = Browser(catalogue(version, browse_home))  # not started: never ready
    try:
        client = TestClient(browser.app(), base_url="http://localhost")
        page = client.get("/search", params={"q": "some thought"}).text
        assert "the index of words is being built" in page
        assert 'http-equiv="refresh"' in page
        assert "<mark>some thought</mark>" in page
    finally:
        browser.close()
