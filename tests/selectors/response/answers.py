"""Small tables of answers, and what a selector makes of them, by row."""

from typing import Any

import numpy as np
import pyarrow as pa

from winnow.selectors.run import select

Row = dict[str, Any]


def table(rows: list[Row]) -> pa.Table:
    """Rows named a, b, c ... (aa, ab ... beyond 26), so that their order here is the canonical one."""
    names = [chr(97 + i // 26) + chr(97 + i % 26) if len(rows) > 26 else chr(97 + i)
             for i in range(len(rows))]  # fmt: skip
    named = [
        {"row_id": name, "prompt_id": "p"} | row for name, row in zip(names, rows, strict=True)
    ]
    keys = list(dict.fromkeys(key for row in named for key in row))
    return pa.table({key: pa.array([row.get(key) for row in named]) for key in keys})


def choose(
    name: str, rows: list[Row] | pa.Table, *, budget: Any = None, seed: int = 0, **parameters: Any
) -> dict[str, Row]:
    """The selection, by row_id."""
    given = rows if isinstance(rows, pa.Table) else table(rows)
    result = select(name, given, budget=budget, seed=seed, **parameters)
    return {row["row_id"]: row for row in result.to_pylist()}


def selected(found: dict[str, Row]) -> list[str]:
    """Names of the selected rows, best first."""
    return sorted((r for r in found if found[r]["selected"]), key=lambda r: found[r]["rank"])


def column(found: dict[str, Row], name: str) -> list[Any]:
    return [row[name] for row in found.values()]


def prompt_turns(seed: int, prompts: int) -> list[int]:
    """Place of each prompt in the seeded order that selectors of this family take."""
    import zlib

    generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(b"prompts")]))
    return [int(place) for place in generator.permutation(prompts)]
