"""Merging of sibling steps that say the same, in a running search: FETCH, arXiv 2502.11183.

The clustering itself is `winnow.pipeline.estimate.state_merging`; here its embeddings are made, off the
event loop, and what it merged is counted.
"""

import asyncio
from collections.abc import Hashable, Sequence

import numpy as np

from winnow.pipeline.contracts import Embedder
from winnow.pipeline.estimate.state_merging import DISTANCE, merge_states


class Merger:
    """Clusters siblings by the embeddings of their own texts. One for many searches.

    `seen` counts the siblings that came by, `merged` those that became part of another one.
    """

    def __init__(self, embedder: Embedder, *, distance: float = DISTANCE) -> None:
        self._embedder, self._distance = embedder, distance
        self._lock = asyncio.Lock()  # one model, and a thread at a time in it
        self.seen = self.merged = 0

    async def labels(
        self, texts: Sequence[str], *, apart: Sequence[Hashable] | None = None
    ) -> list[int]:
        """A cluster number for each of the siblings' last steps, from 0 by first members.

        Siblings with different values in `apart` never merge. Texts of white space alone, which have
        no meaning that an embedding could hold, are equal.
        """
        blank = [not text.strip() for text in texts]
        worded = [text for text, empty in zip(texts, blank, strict=True) if not empty]
        keys = [None] * len(texts) if apart is None else list(apart)
        found = iter(await self._clusters(worded, [k for k, e in zip(keys, blank) if not e]))  # noqa: B905
        kinds: list[Hashable] = [
            ("blank", key) if empty else next(found) for key, empty in zip(keys, blank, strict=True)
        ]
        numbers: dict[Hashable, int] = {}
        labels = [numbers.setdefault(kind, len(numbers)) for kind in kinds]
        self.seen += len(labels)
        self.merged += len(labels) - len(numbers)
        return labels

    async def _clusters(self, texts: Sequence[str], apart: Sequence[Hashable]) -> list[int]:
        if len(texts) < 2:
            return [0] * len(texts)
        async with self._lock:
            vectors = await asyncio.to_thread(self._embedder.embed, texts)
        found: list[int] = np.asarray(
            merge_states(vectors, distance=self._distance, apart=apart)
        ).tolist()
        return found
