"""The store's durable writes against a bare append-only file with a sync per batch.

    python benchmarks/store.py [--rows 60000]

Rows of about 1.2 kB come from 256 and from 1024 coroutines that each wait for their row to be on
disk. The alternative appends length-prefixed JSON records with a CRC to one file and calls
`fdatasync` once for whatever has come in: the least that any durable log must do, with no index, no
reader and no name that is written once.
"""

import argparse
import asyncio
import json
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from winnow.pipeline import schema
from winnow.pipeline.names import digest
from winnow.pipeline.store.store import AsyncWriter, Store


class PlainLog:
    """What the store is measured against; shaped like it, so that one driver serves both."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def put(self, rows: Sequence[Any]) -> None:
        parts = []
        for row in rows:
            data = json.dumps(row).encode()
            parts += [struct.pack("<II", len(data), zlib.crc32(data)), data]
        os.write(self._handle, b"".join(parts))
        os.fdatasync(self._handle)

    def close(self) -> None:
        os.close(self._handle)


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "rollout_id": digest("row", i), "prompt_id": digest("prompt", i // 8), "policy": "m@1",
            "template": "t", "sampler": "{}", "recipe_seed": 0, "index": i % 8, "attempt": 0,
            "completion": "word " * 140, "token_ids": list(range(100)), "logprob_sum": -12.5,
            "n_tokens": 100, "finish_reason": "stop", "max_tokens": 512, "seed": i, "error": None,
        }
        for i in range(count)
    ]  # fmt: skip


async def drive(store: Any, work: list[dict[str, Any]], in_flight: int) -> float:
    """Rows per second that `in_flight` coroutines get on disk."""
    left = iter(work)

    async def worker(writer: AsyncWriter) -> None:
        for row in left:
            await writer.put(row)

    start = time.perf_counter()
    async with AsyncWriter(store) as writer:
        await asyncio.gather(*(worker(writer) for _ in range(in_flight)))
    return len(work) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    work = rows(parser.parse_args().rows)
    with tempfile.TemporaryDirectory() as name:
        for in_flight in (256, 1024):
            folder = Path(name) / str(in_flight)
            folder.mkdir()
            store = Store(
                folder / "s", schema.ROLLOUTS, "rollout_id", index=("prompt_id",), write=True
            )
            log = PlainLog(folder / "log")
            speed = {
                "plain log": asyncio.run(drive(log, work, in_flight)),
                "store": asyncio.run(drive(store, work, in_flight)),
            }
            store.close()
            log.close()
            print(f"{in_flight:>5} in flight: store {speed['store']:,.0f} rows/s, "
                  f"plain log {speed['plain log']:,.0f} rows/s, "
                  f"ratio {speed['store'] / speed['plain log']:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
