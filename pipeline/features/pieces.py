"""The texts of a table's rows that a model sees, and their names.

From a row come up to six *pieces*, called by their roles:

- `row`: prompt and response; log-probabilities, entropies, nuclear norm and sketch, in one pass
- `alone`: the response without the prompt
- `reference`: prompt, reasoning and the reference in place of the answer
- `reference_alone`: prompt and reference
- `own_answer`: prompt and response, with the answer between its tags as what is counted
- `embedded`: what the embedder reads
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from winnow.pipeline.features.answer_tags import Reference, Tags, directly, with_reference
from winnow.pipeline.features.pair_tokens import Pair, PairTokenizer
from winnow.pipeline.features.row_text import RowColumns, RowText
from winnow.pipeline.names import digest
from winnow.pipeline.progress import Progress, Step

Role = Literal["row", "alone", "reference", "reference_alone", "own_answer", "embedded"]
Embed = Literal["prompt", "response", "both"]

_BATCH = 8_192  # rows that are plain Python at one time


@dataclass(frozen=True)
class ReferenceOptions:
    """Where the reference stands and what goes around it (`answer_tags`)."""

    column: str = "answer"
    tags: Tags = field(default_factory=Tags)
    blank: bool = True
    alone_tagged: bool = False


class Reader:
    """Rows of a table as pieces, one at a time: the table stays Arrow's."""

    def __init__(
        self,
        table: Mapping[str, pa.ChunkedArray],
        columns: RowColumns,
        tokenizer: PairTokenizer | None,
        *,
        end: bool,
        embed: Embed,
        reference: ReferenceOptions,
    ) -> None:
        self._table, self._columns, self._tokenizer = table, columns, tokenizer
        self._end, self._embed, self._reference = end, embed, reference
        self._length = len(next(iter(table.values())))

    def __len__(self) -> int:
        return self._length

    def rows(self, at: Sequence[int]) -> Iterator["Row"]:
        """The rows of these numbers."""
        index = pa.array(at, pa.int64())
        values = {name: column.take(index).to_pylist() for name, column in self._table.items()}
        for i in range(len(at)):
            row = {name: column[i] for name, column in values.items()}
            yield Row(self, self._columns.read(row), row)

    def piece(self, row: "Row", role: Role) -> Pair | str:
        """What a model sees of a row. Raises LookupError with the reason where that is nothing."""
        text = row.text
        if role == "embedded":
            return self._embedded(text)
        if role in ("alone", "reference", "own_answer") and text.response is None:
            raise LookupError("no_response")
        if role == "alone":
            return Pair("", text.response or "", end=self._end)
        if not text.messages and text.response is None:
            raise LookupError("empty_text")
        if role == "row":
            has_answer = text.response is not None
            return Pair(row.before(), text.response or "", end=self._end and has_answer)
        if role == "own_answer":
            place = self._place(text.response or "")
            if place.replaced is None:
                raise LookupError("no_answer_tags")
            return Pair(row.before() + place.before, place.replaced, place.after, end=False)
        answer = row.values.get(self._reference.column)
        if not isinstance(answer, str) or not answer.strip():
            raise LookupError("no_reference")
        if role == "reference":
            assert text.response is not None
            place = self._place(text.response)
        else:
            place = directly(self._reference.tags, tagged=self._reference.alone_tagged)
        before = row.before() + place.before
        return Pair(before, answer.encode("utf-8", "replace").decode(), place.after, end=False)

    def _place(self, response: str) -> Reference:
        return with_reference(response, self._reference.tags, blank=self._reference.blank)

    def _embedded(self, text: RowText) -> str:
        parts = {
            "prompt": [text.prompt],
            "response": [text.response or ""],
            "both": [text.prompt, text.response or ""],
        }[self._embed]
        joined = "\n\n".join(part for part in parts if part)
        if not joined:
            raise LookupError("no_response" if self._embed == "response" else "empty_text")
        return joined

    def before(self, text: RowText) -> str:
        """What stands before the response; raises LookupError as `piece`."""
        assert self._tokenizer is not None
        if not text.messages:
            return ""
        try:
            return self._tokenizer.before(text.messages)
        except ValueError:
            raise LookupError("template_refused") from None

    def well_formed(self, row: "Row") -> bool | None:
        """Whether the response has its tags in place; None where there is none."""
        if row.text.response is None:
            return None
        return self._place(row.text.response).well_formed


@dataclass
class Row:
    """One row; what stands before its response is rendered once."""

    _reader: Reader
    text: RowText
    values: Mapping[str, Any]
    _before: str | None = None

    def before(self) -> str:
        if self._before is None:
            self._before = self._reader.before(self.text)
        return self._before

    def piece(self, role: Role) -> Pair | str:
        return self._reader.piece(self, role)


@dataclass
class Pieces:
    """Names of the rows' pieces by role, None where there is none, for which `reasons` say why."""

    names: dict[Role, list[str | None]]
    reasons: dict[Role, list[str | None]]
    prompted: list[bool]  # whether the row has a prompt
    answered: list[bool]  # whether it has a response
    well_formed: list[bool | None]

    def __len__(self) -> int:
        return len(self.prompted)

    def first_rows(self, role: Role) -> dict[str, int]:
        """The first row that has each piece."""
        found: dict[str, int] = {}
        for at, name in enumerate(self.names[role]):
            if name is not None:
                found.setdefault(name, at)
        return found


def name_of(piece: Pair | str) -> str:
    """Name of what the model sees; which form it takes stands in the signal's name."""
    if isinstance(piece, str):
        return digest("text/1", [piece])
    return digest("text/1", [piece.before, piece.response, piece.after])


def pieces_of(reader: Reader, roles: Collection[Role], progress: Progress) -> Pieces:
    """Name every piece of every row."""
    found = Pieces({role: [] for role in roles}, {role: [] for role in roles}, [], [], [])
    for start in range(0, len(reader), _BATCH):
        at = range(start, min(start + _BATCH, len(reader)))
        for row in reader.rows(at):
            found.prompted.append(bool(row.text.messages))
            found.answered.append(row.text.response is not None)
            found.well_formed.append(reader.well_formed(row) if "reference" in roles else None)
            for role in roles:
                name, reason = None, None
                try:
                    name = name_of(row.piece(role))
                except LookupError as error:
                    reason = str(error.args[0])
                found.names[role].append(name)
                found.reasons[role].append(reason)
        progress.step(Step("reading", at.stop, len(reader)))
    return found
