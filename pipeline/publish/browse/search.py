"""Finding rows: by words, by text as it stands, by meaning."""

from collections.abc import Collection
from dataclasses import dataclass

from winnow.pipeline.publish.browse.asked import NotFound
from winnow.pipeline.publish.browse.catalogue import Catalogue
from winnow.pipeline.publish.browse.database import Database
from winnow.pipeline.publish.browse.meaning import Meaning
from winnow.pipeline.publish.browse.rows import PAGE, last_page
from winnow.pipeline.publish.browse.words import Hit, Words, containing

MODES = {
    "words": "rows with these words, the best first (BM25)",
    "text": "rows that hold just this text",
    "meaning": "rows whose prompt means something like it",
}
_PATIENCE = 1.0  # seconds that a page waits for an index that is being built


@dataclass(frozen=True)
class Found:
    """`total` hits fit, of which `hits` are on this page; `rows` counts rows, where a hit stands for all
    those of a prompt. `marked` are texts to mark in them, `note` says what people should know, and
    `working` whether another look soon will show more."""

    hits: list[Hit]
    total: int
    number: int
    marked: list[str]
    note: str = ""
    working: bool = False
    rows: int | None = None

    @property
    def last(self) -> int:
        return last_page(self.total)


class Search:
    """The three ways to find rows."""

    def __init__(self, db: Database, catalogue: Catalogue, words: Words, meaning: Meaning) -> None:
        self._db, self._catalogue, self._words, self._meaning = db, catalogue, words, meaning

    def find(
        self, mode: str, text: str, like: str | None, parts: Collection[int], number: int
    ) -> Found:
        """One page of what is found, in some parts; `like` names a prompt that others are compared
        with. Raises NotFound behind the last page, and for a prompt without a vector."""
        found = (
            self._like(like, parts, number)
            if like is not None
            else {"words": self._by_words, "text": self._by_text, "meaning": self._by_meaning}[
                mode
            ](text, parts, number)
        )
        if number > 1 and not found.hits and not found.working:
            raise NotFound("the list of what was found ends before this page")
        return found

    def _by_words(self, text: str, parts: Collection[int], number: int) -> Found:
        words = self._words
        if words.ready.wait(0 if words.problem else _PATIENCE):
            hits, total, rows = words.search(text, parts, PAGE, PAGE * (number - 1))
            return Found(hits, total, number, words.marked(text), rows=rows)
        plain = self._by_text(text, parts, number)
        if words.problem:
            return Found(plain.hits, plain.total, number, plain.marked,
                         f"{words.problem}; these rows hold just this text")  # fmt: skip
        note = f"the index of words is being built ({words.done:,} of {words.total:,} rows)"
        return Found(plain.hits, plain.total, number, plain.marked,
                     f"{note}; until then, these rows hold just this text", working=True)  # fmt: skip

    def _by_text(self, text: str, parts: Collection[int], number: int) -> Found:
        hits, total = containing(self._db, self._catalogue, text, parts, PAGE, PAGE * (number - 1))
        return Found(hits, total, number, [text])

    def _by_meaning(self, text: str, parts: Collection[int], number: int) -> Found:
        if not self._awake():
            return self._not_yet(number)
        if not self._meaning.reads_text:
            return Found([], 0, number, [], self._meaning.note)
        return self._nearest(self._meaning.of_text(text), parts, number)

    def _like(self, prompt_id: str, parts: Collection[int], number: int) -> Found:
        if not self._awake():
            return self._not_yet(number)
        vector = self._meaning.like(prompt_id)
        if vector is None:
            raise NotFound(f"no vector of a prompt {prompt_id}")
        return self._nearest(vector, parts, number)

    def _nearest(self, vector: list[float], parts: Collection[int], number: int) -> Found:
        hits, total, rows = self._meaning.search(vector, parts, PAGE, PAGE * (number - 1))
        return Found(hits, total, number, [], self._meaning.note, rows=rows)

    def _awake(self) -> bool:
        self._meaning.wake()
        self._meaning.ended.wait(_PATIENCE)
        return self._meaning.state == "ready"

    def _not_yet(self, number: int) -> Found:
        meaning = self._meaning
        if meaning.state == "unavailable":
            return Found([], 0, number, [], meaning.note)
        note = f"the prompts' vectors are being gathered ({meaning.done:,} of {meaning.total:,})"
        return Found([], 0, number, [], note, working=True)
