"""Full-text search in DuckDB: an inverted index in memory, and BM25 over it.

DuckDB's own extension `fts` does the same with the same kind of tables, but has to be downloaded for
each version of DuckDB; this needs nothing. A token is a run of letters and digits, in lower case and
without accents; an English plural counts as its singular (much like the S-stemmer of Harman, "How
effective is suffixing?", 1991), in any language, since both sides are treated alike. Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
Beyond", 2009) with k1 = 1.2, b = 0.75, and an inverse document frequency that is never negative.
"""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline.publish.browse.catalogue import Catalogue
from winnow.pipeline.publish.browse.database import Database, marks
from winnow.pipeline.publish.browse.parts import Part
from winnow.pipeline.publish.browse.rows import prose

K1, B = 1.2, 0.75
_BATCH = 4_096  # rows read at a time
_OTHERS = 100  # rows of a prompt that are listed beside its best one


@dataclass(frozen=True)
class Hit:
    """A row that was found, in part number `part`; `score` is larger for a better one. `others` are the
    first of `more` rows of the same prompt that were found too and are no better."""

    part: int
    id: str
    score: float | None = None
    others: tuple["Hit", ...] = ()
    more: int = 0


class Words:
    """The index. `start` builds it beside whatever else goes on; `ready` is set when it can be asked,
    and `problem` says what kept it from being built."""

    def __init__(self, db: Database, catalogue: Catalogue) -> None:
        self._db, self._catalogue = db, catalogue
        self.ready = threading.Event()
        self.done, self.total = 0, sum(part.rows for part in catalogue.parts)
        self.problem: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._build, name="word index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float | None = None) -> bool:
        """Give the building up; whether it has ended after so many seconds (None: wait for it)."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def tokens(self, text: str) -> list[str]:
        """The different tokens of a text, in their order."""
        found = self._db.rows(
            f"SELECT list_transform({_tokens('?::VARCHAR')}, lambda t: {_singular('t')}) AS tokens",
            [text],
        )
        return list(dict.fromkeys(found[0]["tokens"]))

    def marked(self, text: str) -> list[str]:
        """What stands in rows that `search` finds: the tokens of a text and their plurals, the longer
        ones first."""
        marked = []
        for token in self.tokens(text):
            if token.endswith("y"):
                marked += [token[:-1] + "ies", token[:-1] + "ie"]
            marked += [token + "es", token + "s", token]
        return marked

    def search(
        self, text: str, parts: Collection[int], limit: int, offset: int
    ) -> tuple[list[Hit], int, int]:
        """Rows that hold one of the words, as `by_prompt` has them."""
        tokens = self.tokens(text)
        terms = self._db.rows(
            f"SELECT number, documents FROM terms WHERE term IN ({marks(tokens)})", tokens
        ) if tokens else []  # fmt: skip
        if not terms:
            return [], 0, 0
        frequency = " ".join("WHEN ? THEN ?" for _ in terms)
        known = [value for term in terms for value in (term["number"], term["documents"])]
        numbers = [term["number"] for term in terms]
        rarity = f"CASE number {frequency} END"
        scored = (
            f"SELECT document, sum(ln(1 + (n - df + 0.5) / (df + 0.5)) * tf * {K1 + 1} "
            f"/ (tf + {K1} * (1 - {B} + {B} * length / mean))) AS score "
            f"FROM (SELECT document, tf, {rarity} AS df FROM postings WHERE number IN ({marks(numbers)})) "
            f"JOIN lengths USING (document), (SELECT count(*) AS n, avg(length) AS mean FROM lengths) "
            f"GROUP BY document"
        )
        return by_prompt(self._db, scored, [*known, *numbers], parts, limit, offset)

    def _build(self) -> None:
        try:
            self._db.run("CREATE TABLE raw (document UINTEGER, term VARCHAR, tf UINTEGER)")
            for part in self._catalogue.parts:
                self._read(part)
            if self._stopping.is_set():
                return
            self._db.run(
                "CREATE TABLE lengths AS SELECT document, coalesce(sum(tf), 0)::UINTEGER AS length "
                "FROM documents LEFT JOIN raw USING (document) GROUP BY document"
            )
            self._db.run(
                "CREATE TABLE terms AS SELECT term, row_number() OVER (ORDER BY term)::UINTEGER "
                "AS number, count(*) AS documents FROM raw GROUP BY term"
            )
            self._db.run(
                "CREATE TABLE postings AS SELECT number, document, tf FROM raw JOIN terms "
                "USING (term) ORDER BY number, document"
            )
            self._db.run("DROP TABLE raw")
            self.ready.set()
        except Exception as error:
            self.problem = f"the index of words could not be built: {type(error).__name__}"
            raise

    def _read(self, part: Part) -> None:
        columns = [column for column in part.columns if column.prose]
        if not columns:
            self.done += part.rows
            return
        text = f"concat_ws(chr(10), {', '.join(prose(column) for column in columns)})"
        names = ["id", *(column.name for column in columns)]
        with pq.ParquetFile(part.path) as file:
            for batch in file.iter_batches(batch_size=_BATCH, columns=names):
                if self._stopping.is_set():
                    return
                self._db.run(
                    f"INSERT INTO raw SELECT document, {_singular('term')}, count(*) FROM "
                    f"(SELECT d.document, unnest(b.tokens) AS term "
                    f"FROM (SELECT id, {_tokens(text)} AS tokens FROM batch) AS b "
                    f"JOIN documents AS d ON d.id = b.id WHERE d.part = {part.number}) GROUP BY ALL",
                    batch=pa.Table.from_batches([batch]),
                )
                self.done += batch.num_rows


def _tokens(text: str) -> str:
    """SQL for the tokens of a text, as a list."""
    pattern = r"'[\p{L}\p{N}]+'"
    whole = f"replace({text}, chr(0), ' ')"  # which would end the text for strip_accents
    return f"regexp_extract_all(lower(strip_accents({whole})), {pattern})"


def _singular(token: str) -> str:
    """SQL for a token without the ending of a plural. `ie` becomes `y` too, because `movies` may be of
    `movie` and `cities` of `city`; words of three letters keep their s."""
    return (
        f"CASE WHEN ends_with({token}, 'ie') THEN {token}[:-3] || 'y' "
        f"WHEN length({token}) < 4 OR NOT ends_with({token}, 's') THEN {token} "
        f"WHEN ends_with({token}, 'ies') THEN {token}[:-4] || 'y' "
        f"WHEN regexp_matches({token}, '(ss|x|ch|sh)es$') THEN {token}[:-3] "
        f"WHEN regexp_matches({token}, '[us]s$') THEN {token} ELSE {token}[:-2] END"
    )


def by_prompt(
    db: Database,
    scored: str,
    values: Sequence[Any],
    parts: Collection[int],
    limit: int,
    offset: int,
) -> tuple[list[Hit], int, int]:
    """The best row of each prompt, the best prompt first, how many prompts there are, and how many rows.

    `scored` is a query for (document, score) with these `values`; a row that names no prompt stands for
    itself.
    """
    if not parts:
        return [], 0, 0
    found = db.rows(
        f"SELECT list({{'part': part, 'id': id}} ORDER BY score DESC, document)[:{_OTHERS + 1}] AS hits, "
        f"max(score) AS score, count(*) AS n, count(*) OVER () AS prompts, sum(count(*)) OVER () AS rows "
        f"FROM ({scored}) JOIN documents USING (document) WHERE part IN ({marks(list(parts))}) "
        f"GROUP BY prompt_id, CASE WHEN prompt_id IS NULL THEN document END "
        f"ORDER BY max(score) DESC, min(document) LIMIT {int(limit)} OFFSET {int(offset)}",
        [*values, *parts],
    )
    hits = []
    for row in found:
        first, *others = [Hit(each["part"], each["id"]) for each in row["hits"]]
        hits.append(Hit(first.part, first.id, row["score"], tuple(others), row["n"] - 1))
    return hits, found[0]["prompts"] if found else 0, int(found[0]["rows"]) if found else 0


def containing(
    db: Database, catalogue: Catalogue, text: str, parts: Collection[int], limit: int, offset: int
) -> tuple[list[Hit], int]:
    """Rows that hold `text` as it stands, but for upper and lower case, and how many there are."""
    asked: list[str] = []
    for part in catalogue.parts:
        columns = [column for column in part.columns if column.prose]
        if part.number in parts and columns:
            test = " OR ".join(
                f"contains(lower({prose(column)}), lower(?::VARCHAR))" for column in columns
            )
            asked += [f"SELECT {part.number} AS part, id FROM {part.view} WHERE {test}"]
    values: list[Any] = [
        text
        for part in catalogue.parts
        if part.number in parts
        for column in part.columns
        if column.prose
    ]
    if not asked:
        return [], 0
    found = db.rows(
        f"SELECT part, id, count(*) OVER () AS total FROM ({' UNION ALL '.join(asked)}) "
        f"ORDER BY part, id LIMIT {int(limit)} OFFSET {int(offset)}",
        values,
    )
    return [Hit(row["part"], row["id"]) for row in found], found[0]["total"] if found else 0


def texts_of(db: Database, catalogue: Catalogue, hits: Collection[Hit]) -> dict[Hit, str]:
    """All words of the rows that were found, as one text each."""
    found: dict[tuple[int, str], str] = {}
    for part in catalogue.parts:
        ids = [hit.id for hit in hits if hit.part == part.number]
        columns = [column for column in part.columns if column.prose]
        if ids and columns:
            text = f"concat_ws(chr(10), {', '.join(map(prose, columns))})"
            rows = db.among(part.view, "id", ids, f"id, {text} AS text")
            found |= {(part.number, row["id"]): row["text"] for row in rows}
    return {hit: found[hit.part, hit.id] for hit in hits if (hit.part, hit.id) in found}
