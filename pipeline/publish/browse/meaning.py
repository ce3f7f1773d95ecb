"""Search by meaning: cosine similarity of prompts' sentence embeddings.

Vectors that the run stored are taken from the home's store, by content: a name says which prompt,
which model and which form of the text a vector is of. What is not stored is computed when somebody
first asks, if the weights of the recipe's embedder are on this machine; nothing is ever downloaded.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.contracts import Embedder
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.features import stored
from winnow.pipeline.features.embedding import PROMPT_FORM, prompt_text
from winnow.pipeline.publish.browse.catalogue import Catalogue
from winnow.pipeline.publish.browse.database import Database, quoted
from winnow.pipeline.publish.browse.parts import Part
from winnow.pipeline.publish.browse.rows import prompt_messages
from winnow.pipeline.publish.browse.words import Hit, by_prompt
from winnow.pipeline.workspace import open_store

State = Literal["asleep", "working", "ready", "unavailable"]
_LOOK_UP = 512  # prompts looked up in the store together
_COMPUTE = 64  # texts embedded together

OpenEmbedder = Callable[[Mapping[str, Any]], Embedder]


class Meaning:
    """The prompts' vectors. They are loaded, and computed where they are missing, at the first
    `wake`; `note` says what people should know about the state."""

    def __init__(
        self, db: Database, catalogue: Catalogue, open_embedder: OpenEmbedder | None = None
    ) -> None:
        self._db, self._catalogue = db, catalogue
        self._open = open_embedder or local_embedder
        self._embedder: Embedder | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._width = 0
        self.state: State = "asleep"
        self.ended = threading.Event()  # ready or unavailable
        self.done, self.total = 0, 0
        self.note = ""

    def wake(self) -> None:
        """Begin, where nobody has."""
        with self._lock:
            if self.state == "asleep":
                self.state = "working"
                self._thread = threading.Thread(target=self._load, name="vectors", daemon=True)
                self._thread.start()

    def stop(self, seconds: float | None = None) -> bool:
        """Give up whatever is being computed; whether that has ended after so many seconds (None:
        wait for it). Weights that are being read cannot be given up."""
        self._stopping.set()
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def like(self, prompt_id: str) -> list[float] | None:
        """The vector of a prompt; None where it has none."""
        row = self._db.row("SELECT vector FROM vectors WHERE prompt_id = ?", [prompt_id])
        return list(row["vector"]) if row else None

    @property
    def reads_text(self) -> bool:
        """Whether any text can be compared with the prompts, and not only a prompt."""
        return self.state == "ready" and self._embedder is not None

    def of_text(self, text: str) -> list[float]:
        """The vector of a text; only where `reads_text`."""
        assert self._embedder is not None
        with self._lock:
            return [float(value) for value in self._embedder.embed([text])[0]]

    def search(
        self, vector: Sequence[float], parts: Collection[int], limit: int, offset: int
    ) -> tuple[list[Hit], int, int]:
        """Rows by the cosine of their prompt's vector with `vector` (unit length), as `by_prompt` has
        them."""
        if len(vector) != self._width:
            return [], 0, 0
        scored = (
            f"SELECT document, array_inner_product(vector, ?::FLOAT[{self._width}]) AS score "
            "FROM vectors JOIN documents USING (prompt_id)"
        )
        return by_prompt(self._db, scored, [list(vector)], parts, limit, offset)

    def _load(self) -> None:
        try:
            self._write(*self._gathered())
            self.state = "ready"
            self.ended.set()
            self._warm()
        except WinnowError as error:
            self.state, self.note = "unavailable", str(error)
        except Exception as error:
            self.state = "unavailable"
            self.note = f"the prompts' vectors could not be made: {type(error).__name__}"
            raise
        finally:
            self.ended.set()

    def _gathered(self) -> tuple[list[str], NDArray[np.float32]]:
        """Prompts with their vectors, stored or computed; WinnowError where there are none."""
        found = self._db.rows(
            "SELECT DISTINCT prompt_id FROM documents WHERE prompt_id IS NOT NULL ORDER BY ALL"
        )
        ids = [row["prompt_id"] for row in found]
        if not ids:
            raise WinnowError("no row of this version names its prompt")
        self.total = len(ids)
        model = str((self._catalogue.manifest.get("models") or {}).get("embedder"))
        kept, values = self._stored(model, ids)
        self._embedder, why = self._weights(model if kept else None)
        if self._embedder is not None:
            model = self._embedder.identity
            for names, made in self._computed(self._embedder, sorted(set(ids) - set(kept))):
                kept += names
                values.append(made)
        if not kept:
            raise WinnowError(
                f"no vector of a prompt is stored here, and none can be computed: {why}"
            )
        self.note = f"cosine of the prompts' embeddings by {model}"
        if why:
            self.note += f"; only prompts can be compared, because {why}"
        if len(kept) < len(ids):
            self.note += f"; {len(ids) - len(kept):,} of {len(ids):,} prompts have no vector"
        return kept, np.concatenate(values)

    def _warm(self) -> None:
        """Read the embedder's weights before somebody waits for them."""
        if self._embedder is not None:
            with self._lock:
                self._embedder.embed([])

    def _stored(self, model: str, ids: list[str]) -> tuple[list[str], list[NDArray[np.float32]]]:
        """Those of the prompts that the home's store has vectors of, and the vectors."""
        kept: list[str] = []
        values: list[NDArray[np.float32]] = []
        workspace = self._catalogue.workspace
        if workspace is None:
            return kept, values
        kind = stored.Kind(("embedding",), model, PROMPT_FORM)
        with open_store(workspace.home, "features") as store:
            for at in range(0, len(ids), _LOOK_UP):
                if self._stopping.is_set():
                    break
                asked = ids[at : at + _LOOK_UP]
                lacking = set(stored.missing(store, kind, asked))
                known = [name for name in asked if name not in lacking]
                if known:
                    values.append(stored.vectors(store, kind, "embedding", known))
                    kept += known
                self.done = len(kept)
        return kept, values

    def _weights(self, model: str | None) -> tuple[Embedder | None, str]:
        """The recipe's embedder, or why it is not here; where vectors by `model` are stored, only if
        it is that one."""
        try:
            embedder = self._open(self._catalogue.manifest)
        except WinnowError as error:
            return None, str(error)
        if model is not None and embedder.identity != model:
            return None, f"the vectors are by {model}, and this machine has {embedder.identity}"
        return embedder, ""

    def _computed(
        self, embedder: Embedder, ids: list[str]
    ) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Vectors of prompts, some at a time."""
        for at in range(0, len(ids), _COMPUTE):
            if self._stopping.is_set():
                return
            texts = self._texts(ids[at : at + _COMPUTE])
            if texts:
                yield list(texts), embedder.embed(list(texts.values()))
            self.done += len(ids[at : at + _COMPUTE])

    def _texts(self, ids: list[str]) -> dict[str, str]:
        """What is embedded of prompts."""
        found: dict[str, str] = {}
        if "prompts" in self._catalogue.stages:
            for row in self._db.among("stage_prompts", "prompt_id", ids, "prompt_id, messages"):
                found[row["prompt_id"]] = prompt_text(row["messages"])
        for part in self._catalogue.parts:
            lacking = [name for name in ids if name not in found]
            if lacking and _has_prompts(part):
                what = ", ".join(quoted(c.name) for c in part.of_kind("conversation"))
                for row in self._db.among(part.view, "prompt_id", lacking, f"prompt_id, {what}"):
                    messages = prompt_messages(part, row)
                    if messages:
                        found[row["prompt_id"]] = prompt_text(messages)
        return found

    def _write(self, ids: list[str], vectors: NDArray[np.float32]) -> None:
        self._width = vectors.shape[1]
        flat = pa.array(vectors.reshape(-1))
        table = pa.table(
            {
                "prompt_id": pa.array(ids, pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(flat, self._width),
            }
        )
        self._db.run("CREATE TABLE vectors AS SELECT * FROM batch", batch=table)
        self.done = len(ids)


def _has_prompts(part: Part) -> bool:
    kinds = {name: part.by_name[name].kind for name in part.by_name}
    return kinds.get("prompt_id") == "text" and "conversation" in (
        kinds.get("prompt"),
        kinds.get("messages"),
    )


def local_embedder(manifest: Mapping[str, Any]) -> Embedder:
    """The embedder that the manifest's recipe names; WinnowError where its weights are not here."""
    import importlib.util

    from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
    from winnow.pipeline.models import resolve_embedder

    name = ((manifest.get("recipe") or {}).get("embedding") or {}).get("model")
    if not isinstance(name, str):
        raise WinnowError("the manifest names no embedder")
    if importlib.util.find_spec("sentence_transformers") is None:
        raise WinnowError("sentence-transformers is not installed")
    return SentenceTransformerEmbedder(resolve_embedder(name, download=False))
