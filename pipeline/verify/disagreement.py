"""Where two verifiers disagree about the same answers, and how much.

`compare` takes the verdicts of both as tables with the columns that `winnow verify` adds (`verdict`,
and where they are there `reward`, `extracted`, `detail`), row by row about the same answers. Pure
functions; `lines` puts a report into words.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

VALUES = ("correct", "wrong", "unjudged")

# What a row in which they differ is called, by (first verdict, second verdict).
KINDS = {
    ("correct", "wrong"): "first_accepts",
    ("wrong", "correct"): "second_accepts",
    ("correct", "unjudged"): "only_first_judges",
    ("wrong", "unjudged"): "only_first_judges",
    ("unjudged", "correct"): "only_second_judges",
    ("unjudged", "wrong"): "only_second_judges",
}
ROWS = pa.schema(
    [
        ("row", pa.int64()),
        ("kind", pa.string()),
        ("first_verdict", pa.string()),
        ("second_verdict", pa.string()),
        ("first_extracted", pa.string()),
        ("second_extracted", pa.string()),
        ("first_detail", pa.string()),
        ("second_detail", pa.string()),
    ]
)


@dataclass(frozen=True)
class Comparison:
    """Two verifiers side by side over n rows.

    `counts` holds the rows by (first verdict, second verdict), all nine of them. `agreement` is the
    share of equal verdicts, and `kappa` Cohen's kappa, over the `n_both` rows that both judged; the
    two with `_all` count `unjudged` as a third value. None where there is nothing to divide by.
    `rows` lists the rows in which they differ, in the order of the rows (schema `ROWS`, and after it
    the columns of the texts that were given).
    """

    first: str
    second: str
    n: int
    n_both: int
    counts: dict[tuple[str, str], int]
    agreement: float | None
    kappa: float | None
    agreement_all: float | None
    kappa_all: float | None
    rows: pa.Table

    @property
    def cross(self) -> pa.Table:
        """The 3 x 3 table: one row per verdict of the first, one column per verdict of the second."""
        columns = {
            other: pa.array([self.counts[value, other] for value in VALUES], pa.int64())
            for other in VALUES
        }
        return pa.table({"first": list(VALUES), **columns})


def compare(
    first: pa.Table,
    second: pa.Table,
    *,
    names: tuple[str, str] = ("first", "second"),
    texts: pa.Table | None = None,
) -> Comparison:
    """Compare two verifiers' verdicts on the same rows. `texts` (prompt, completion, answer, ...; as
    many rows) go beside the rows in which they differ. Raises ValueError where the tables differ in
    length, or hold what is no verdict."""
    lengths = {table.num_rows for table in (first, second, texts) if table is not None}
    if len(lengths) != 1:
        raise ValueError(f"the tables differ in length: {sorted(lengths)}")
    one, two = (table["verdict"].to_pylist() for table in (first, second))
    if strange := sorted({str(value) for value in {*one, *two} - set(VALUES)}):
        raise ValueError(f"not a verdict: {', '.join(strange)}")
    pairs = list(zip(one, two, strict=True))
    seen = Counter(pairs)
    counts = {(a, b): seen[a, b] for a in VALUES for b in VALUES}
    both = {pair: count for pair, count in counts.items() if "unjudged" not in pair}
    return Comparison(
        *names,
        n=len(pairs),
        n_both=sum(both.values()),
        counts=counts,
        agreement=agreement(both),
        kappa=cohen_kappa(both),
        agreement_all=agreement(counts),
        kappa_all=cohen_kappa(counts),
        rows=_rows(first, second, pairs, texts),
    )


def agreement(counts: dict[tuple[str, str], int]) -> float | None:
    """Share of rows with equal values, from counts by (first, second); None without rows."""
    n = sum(counts.values())
    return sum(k for (a, b), k in counts.items() if a == b) / n if n else None


def cohen_kappa(counts: dict[tuple[str, str], int]) -> float | None:
    """Cohen's kappa, from counts by (first, second): (p_o - p_e) / (1 - p_e).

    p_o is the share of equal values and p_e the share that two independent judges with the same
    margins would have, sum over values of p(first) p(second) (Cohen, A coefficient of agreement for
    nominal scales, Educational and Psychological Measurement 20, 1960). None without rows, and where
    both say one and the same value throughout, when chance alone agrees fully.
    """
    n = sum(counts.values())
    firsts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for (a, b), k in counts.items():
        firsts[a] += k
        seconds[b] += k
    # In whole numbers, so that 1 - p_e = 0 is seen exactly.
    chance = sum(firsts[value] * seconds[value] for value in firsts)
    if n == 0 or chance == n * n:
        return None
    equal = sum(k for (a, b), k in counts.items() if a == b)
    return (n * equal - chance) / (n * n - chance)


def lines(found: Comparison, limit: int = 20, width: int = 60) -> Iterator[str]:
    """The comparison in words, with at most `limit` rows of each kind. Texts of models are quoted as
    JSON strings of `width` characters: no control character reaches the terminal."""
    yield f"{found.n} rows; both judged {found.n_both}"
    yield f"agreement {_share(found.agreement)}, Cohen's kappa {_number(found.kappa)} (both judged)"
    yield (
        f"agreement {_share(found.agreement_all)}, Cohen's kappa {_number(found.kappa_all)} "
        "(unjudged as a third value)"
    )
    label = max(len(found.first), len("unjudged")) + 1
    yield " " * label + "".join(f"{value:>10}" for value in VALUES) + f"   ({found.second})"
    for value in VALUES:
        numbers = "".join(f"{found.counts[value, other]:>10}" for other in VALUES)
        yield f"{value:<{label}}{numbers}"
    yield f"(rows: {found.first})"
    for kind, title in _titles(found).items():
        rows = [row for row in found.rows.to_pylist() if row["kind"] == kind]
        if rows:
            yield f"{title}: {len(rows)}"
        for row in rows[:limit]:
            sides = (
                f"{row[f'{side}_verdict']} {_quoted(row[f'{side}_extracted'], width)}"
                + (f" ({_quoted(detail, width)})" if (detail := row[f"{side}_detail"]) else "")
                for side in ("first", "second")
            )
            yield f"  row {row['row']}: {' | '.join(sides)}"
        if len(rows) > limit:
            yield f"  and {len(rows) - limit} more"


def _titles(found: Comparison) -> dict[str, str]:
    return {
        "first_accepts": f"{found.first} accepts what {found.second} rejects",
        "second_accepts": f"{found.second} accepts what {found.first} rejects",
        "only_first_judges": f"only {found.first} judges",
        "only_second_judges": f"only {found.second} judges",
    }


def _rows(
    first: pa.Table, second: pa.Table, pairs: Sequence[tuple[str, str]], texts: pa.Table | None
) -> pa.Table:
    at = [row for row, pair in enumerate(pairs) if pair in KINDS]
    picked = pa.array(at, pa.int64())
    columns = {
        "row": picked,
        "kind": pa.array([KINDS[pairs[row]] for row in at], pa.string()),
        "first_verdict": first["verdict"].take(picked),
        "second_verdict": second["verdict"].take(picked),
    }
    for name in ("extracted", "detail"):
        for side, table in (("first", first), ("second", second)):
            there = name in table.column_names
            columns[f"{side}_{name}"] = (
                table[name].take(picked) if there else pa.nulls(len(at), pa.string())
            )
    found = pa.table([columns[f.name] for f in ROWS], names=ROWS.names).cast(ROWS)
    if texts is not None:
        for name in texts.column_names:
            found = found.append_column(
                name if name not in ROWS.names else f"{name}_given", texts[name].take(picked)
            )
    return found


def _quoted(text: str | None, width: int) -> str:
    if text is None:
        return "-"
    return json.dumps(text if len(text) <= width else text[: width - 1] + "…")


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
