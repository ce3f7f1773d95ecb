"""Decontamination of a million prompts against 12,000 evaluation items, with known truth.

    python benchmarks/decontamination.py [--rows 1000000] [--items 12000] [--rules coverage,exact]
        [--peer-python PYTHON] [--peer-rows 20000]

Prompts of 40 to 60 words are drawn from a vocabulary of 50,000 with Zipf frequencies; one in a
hundred is planted, in equal parts: an item word for word, an item inside other text, 60 % of an
item's words in one piece, 40 % of them (not contamination by the coverage rule), and an item with
other numbers. Half the items begin with one instruction header that also stands before one clean
prompt in twenty. Found and planted are compared for each kind.

The peer is datatrove's `NGramsDecontFilter` (12-grams, one process) where --peer-python names a
Python that has datatrove and spacy, and beside it always a plain set of 8-grams as open-r1's
decontaminate.py uses, written here again. Both see the first --peer-rows prompts, and their search
time is scaled up to all rows (it is linear).
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from winnow.pipeline.clean.decontaminate import (
    DecontaminateConfig,
    Decontaminator,
    EvaluationSet,
)

HEADER = (
    "Answer the following question with care. Reason step by step, check your work, "
    "and write only the final result on the last line after four hash marks."
)
KINDS = ("verbatim", "embedded", "partial 60 %", "partial 40 %", "other numbers")


class Maker:
    """Seeded texts that look like prompts: sentences of Zipf-distributed words and numbers."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
        share = 1 / np.arange(1, 27) ** 0.7
        length = self.random.integers(2, 10, 50_000)
        drawn = self.random.choice(letters, length.sum(), p=share / share.sum())
        cut = np.cumsum(length)[:-1]
        self.vocabulary = np.array(["".join(w) for w in np.split(drawn, cut)], dtype=object)
        frequency = 1 / np.arange(10, len(self.vocabulary) + 10)
        self._cumulative = np.cumsum(frequency / frequency.sum())

    def words(self, count: int) -> list[str]:
        drawn = np.searchsorted(self._cumulative, self.random.random(count))
        drawn = np.minimum(drawn, len(self.vocabulary) - 1)
        words: list[str] = self.vocabulary[drawn].tolist()
        for place in np.flatnonzero(self.random.random(count) < 0.06):
            words[place] = str(int(self.random.integers(2, 1000)))
        return words

    def texts(self, count: int, low: int, high: int) -> list[list[str]]:
        lengths = self.random.integers(low, high + 1, count)
        flat = self.words(int(lengths.sum()))
        ends = np.cumsum(lengths)
        return [flat[e - n : e] for e, n in zip(ends.tolist(), lengths.tolist(), strict=True)]


def sentence(words: list[str]) -> str:
    return " ".join(words).capitalize() + "?"


def make(rows: int, items: int) -> tuple[list[str], list[str], list[tuple[str, int] | None]]:
    """Prompts, items, and per prompt what was planted: the kind and the item."""
    maker = Maker(0)
    plain_items = maker.texts(items, 20, 60)
    for words in plain_items:  # what "other numbers" needs
        words[5], words[12] = "17", "23"
    evaluation = [
        f"{HEADER} {sentence(w)}" if i % 2 else sentence(w) for i, w in enumerate(plain_items)
    ]
    prompts: list[str] = []
    truth: list[tuple[str, int] | None] = []
    for row, words in enumerate(maker.texts(rows, 40, 60)):
        if row % 100:
            header = row % 20 == 7
            prompts.append(f"{HEADER} {sentence(words)}" if header else sentence(words))
            truth.append(None)
            continue
        number = row // 100
        kind = KINDS[number % len(KINDS)]
        item = int(maker.random.integers(items))
        source = plain_items[item]
        if kind == "verbatim":
            text = evaluation[item]
        elif kind == "embedded":
            text = f"{sentence(words[:10])} {sentence(source).upper()} {sentence(words[10:20])}"
        elif kind.startswith("partial"):
            size = int(len(source) * (0.6 if "60" in kind else 0.4)) + ("60" in kind)
            text = sentence(words[:10] + source[:size] + words[10:30])
        else:
            text = evaluation[item].replace("17", "31").replace("23", "47")
        prompts.append(text)
        truth.append((kind, item))
    return prompts, evaluation, truth


def set_of_grams(prompts: list[str], evaluation: list[str], n: int = 8) -> tuple[float, float, int]:
    """open-r1's way: a set of n-grams of lower-cased words split at white space.

    Seconds to index, seconds to search, prompts marked.
    """
    start = time.perf_counter()
    grams: set[str] = set()
    for text in evaluation:
        words = text.lower().split()
        grams.update(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    indexed = time.perf_counter() - start
    start = time.perf_counter()
    hits = 0
    for text in prompts:
        words = text.lower().split()
        hits += any(" ".join(words[i : i + n]) in grams for i in range(len(words) - n + 1))
    return indexed, time.perf_counter() - start, hits


# The indexer's `run` wants lighteval and its tasks; its `compute_hashes` is all that is needed here.
DATATROVE = """
import json, pathlib, sys, tempfile, time, types
import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont.n_grams import NGramsDecontFilter, NGramsDecontIndexer
prompts, evaluation = json.load(open(sys.argv[1]))
with tempfile.TemporaryDirectory() as folder:
    step = NGramsDecontFilter(folder)
    like_indexer = types.SimpleNamespace(
        tokenizer=step.tokenizer, config=step.config, hash_func=step.hash_func)
    start = time.perf_counter()
    hashes = set()
    for text in evaluation:
        hashes.update(NGramsDecontIndexer.compute_hashes(like_indexer, text))
    np.array(list(hashes), dtype=step.config.hash_config.np_descr).tofile(
        pathlib.Path(folder) / "evaluation.index.hashes")
    indexed = time.perf_counter() - start
    start = time.perf_counter()
    hits = sum(step.filter(Document(text=t, id=str(i))) is not True for i, t in enumerate(prompts))
    print(json.dumps([indexed, time.perf_counter() - start, hits]))
"""


def datatrove(python: str, prompts: list[str], evaluation: list[str]) -> tuple[float, float, int]:
    """Seconds to index, seconds to filter, prompts marked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps([prompts, evaluation]))
        done = subprocess.run(
            [python, "-c", DATATROVE, str(path)], stdout=subprocess.PIPE, check=True, text=True
        )
    indexed, seconds, hits = json.loads(done.stdout.splitlines()[-1])
    return float(indexed), float(seconds), int(hits)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--rules", default="coverage,exact")
    parser.add_argument("--peer-python")
    parser.add_argument("--peer-rows", type=int, default=20_000)
    args = parser.parse_args()
    prompts, evaluation, truth = make(args.rows, args.items)
    made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(prompts):,} prompts, {len(evaluation):,} items; {made:.2f} GiB to make them")

    start = time.perf_counter()
    config = DecontaminateConfig(rules=args.rules.split(","))
    index = Decontaminator([EvaluationSet("evaluation", evaluation)], config)
    built = time.perf_counter() - start
    hits = index.check(prompts)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"winnow {args.rules}: {seconds:.1f} s ({built:.1f} s to index), peak {peak:.2f} GiB")

    found = hits["contaminated"].to_pylist()
    hit_row = hits["hit_row"].to_pylist()
    for kind in KINDS:
        planted = [r for r, t in enumerate(truth) if t is not None and t[0] == kind]
        got = sum(found[r] for r in planted)
        right = sum(hit_row[r] == truth[r][1] for r in planted)  # type: ignore[index]
        print(f"  {kind:<14} {got:>6,} of {len(planted):,} found, {right:,} with the right item")
    clean = [r for r, t in enumerate(truth) if t is None]
    print(f"  {'clean':<14} {sum(found[r] for r in clean):>6,} of {len(clean):,} marked")

    part = prompts[: args.peer_rows]
    scale = len(prompts) / len(part)
    peers = [("set of 8-grams (open-r1's way)", set_of_grams(part, evaluation))]
    if args.peer_python:
        peers.append(("datatrove NGramsDecont", datatrove(args.peer_python, part, evaluation)))
    wanted = sum(t is not None and t[0] != "partial 40 %" for t in truth[: len(part)])
    for name, (indexed, took, marked) in peers:
        print(f"{name}: {indexed:.1f} s to index, {took:.1f} s for {len(part):,} prompts, "
              f"{indexed + took * scale:.0f} s scaled to all; "
              f"{marked:,} marked where {wanted:,} are contaminated")  # fmt: skip


if __name__ == "__main__":
    main()
