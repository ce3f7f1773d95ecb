"""MinHash deduplication beside data-juicer's and datatrove's, on the same prompts in one run.

    python benchmarks/dedup_minhash.py --peer-python PEERS/bin/python [--rows 20000] [--large 1000000]

The prompts are 80 random words each; a fifth of them are copies of others with 2 words replaced.
Beside them stand `--variants` pairs that differ by one number only, which must stay apart. The peers
run in an environment of their own: `pip install py-data-juicer==1.6.1 aiohttp datatrove==0.10.1
spacy "xxhash<4"`. `--large` prompts of 20 words are then deduplicated by winnow alone. Without
`--peer-python` there are no peers.
"""

import argparse
import json
import random
import resource
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from winnow.pipeline.clean.dedup import deduplicate

# Each reads the texts of argv[1] (JSON), deduplicates them in the folder argv[2], and prints the
# seconds that took and the numbers of the rows that it kept, as JSON.
DATA_JUICER = """
import json, sys, time
from data_juicer.core.data import NestedDataset
from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
texts = json.load(open(sys.argv[1]))
data = NestedDataset.from_list([{"text": t, "row": i} for i, t in enumerate(texts)])
best = None
for _ in range(2):  # the first run warms up
    start = time.perf_counter()
    op = DocumentMinhashDeduplicator(window_size=5, num_permutations=128, jaccard_threshold=0.7)
    kept, _ = op.process(data.map(op.compute_hash, num_proc=2, load_from_cache_file=False))
    seconds = time.perf_counter() - start
    best = seconds if best is None else min(best, seconds)
print("RESULT" + json.dumps([best, kept["row"][:]]))
"""
DATATROVE = """
import json, sys, time, glob, gzip
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.text import TextNormConfig
folder = sys.argv[2]
texts = json.load(open(sys.argv[1]))

def documents(data, rank, world):
    for i, text in enumerate(texts):
        yield Document(text=text, id=str(i))

if __name__ == "__main__":
    # Its own default rewrites every number to 0; without that it does not find one row here.
    config = MinhashConfig(n_grams=5, num_buckets=16, hashes_per_bucket=8,
                           norm_config=TextNormConfig(norm_numbers=False))
    steps = [
        [documents, MinhashDedupSignature(output_folder=f"{folder}/sig", config=config)],
        [MinhashDedupBuckets(input_folder=f"{folder}/sig", output_folder=f"{folder}/buckets",
                             config=config)],
        [MinhashDedupCluster(input_folder=f"{folder}/buckets", output_folder=f"{folder}/remove",
                             config=config)],
        [documents, MinhashDedupFilter(input_folder=f"{folder}/remove"),
         JsonlWriter(f"{folder}/out")],
    ]
    start = time.perf_counter()
    for n, pipeline in enumerate(steps):
        tasks = config.num_buckets if n == 1 else 1
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{folder}/log{n}").run()
    seconds = time.perf_counter() - start
    kept = [int(json.loads(line)["id"]) for f in glob.glob(f"{folder}/out/*")
            for line in gzip.open(f)]
    print("RESULT" + json.dumps([seconds, kept]))
"""


def prompts(rows: int, words: int, seed: int) -> tuple[list[str], list[tuple[int, int]]]:
    """Random prompts, a fifth of them copies; and the (original, copy) rows."""
    draw = random.Random(seed)

    def word() -> str:
        return f"w{draw.randrange(50_000)}"

    originals = [[word() for _ in range(words)] for _ in range(rows - rows // 5)]
    texts = [" ".join(each) for each in originals]
    pairs = []
    for row, each in enumerate(originals[: rows // 5]):
        copy = list(each)
        for at in draw.sample(range(words), 2):
            copy[at] = word()
        pairs.append((row, len(texts)))
        texts.append(" ".join(copy))
    return texts, pairs


def number_variants(count: int, words: int, seed: int) -> list[str]:
    """Pairs, one after the other, that differ by one number among `words` words."""
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        frame = [f"v{draw.randrange(50_000)}" for _ in range(words)]
        at = draw.randrange(words)
        for number in draw.sample(range(1, 10_000), 2):
            texts.append(" ".join([*frame[:at], str(number), *frame[at:]]))
    return texts


def peer(python: str, code: str, texts: list[str]) -> tuple[float, set[int]]:
    with tempfile.TemporaryDirectory() as folder:
        source, script = Path(folder, "texts.json"), Path(folder, "peer.py")
        source.write_text(json.dumps(texts))
        script.write_text(code)
        done = subprocess.run(
            [python, str(script), str(source), folder],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not results:
        raise SystemExit(f"the peer failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    seconds, kept = json.loads(results[0].removeprefix("RESULT"))
    return seconds, set(kept)


def report(
    name: str,
    seconds: float,
    kept: set[int],
    pairs: list[tuple[int, int]],
    first_variant: int,
    n: int,
) -> None:
    found = sum(not (a in kept and b in kept) for a, b in pairs)
    merged = sum(not (a in kept and a + 1 in kept) for a in range(first_variant, n, 2))
    of = (n - first_variant) // 2
    print(
        f"{name:12} {seconds:7.2f} s   copies found {found / len(pairs):7.2%}   "
        f"pairs of different numbers merged {merged} of {of}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--variants", type=int, default=500)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--peer-python")
    asked = parser.parse_args()

    texts, pairs = prompts(asked.rows, 80, seed=0)
    first = len(texts)
    texts += number_variants(asked.variants, 80, seed=1)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        table = deduplicate(texts, "minhash")
        times.append(time.perf_counter() - start)
    kept = {row for row, keep in enumerate(table["keep"].to_pylist()) if keep}
    report("winnow", min(times), kept, pairs, first, len(texts))
    groups = defaultdict(set)
    for row, group in enumerate(table["group_id"].to_pylist()):
        groups[group].add(row)
    planted = {frozenset(pair) for pair in pairs}
    wrong = sum(len(g) > 1 and frozenset(g) not in planted for g in groups.values())
    print(f"{'':12} groups that were not planted: {wrong}")
    if asked.peer_python:
        for name, code in (("data-juicer", DATA_JUICER), ("datatrove", DATATROVE)):
            seconds, kept = peer(asked.peer_python, code, texts)
            report(name, seconds, kept, pairs, first, len(texts))
    if asked.large:
        texts, _ = prompts(asked.large, 20, seed=2)
        start = time.perf_counter()
        deduplicate(texts, "minhash")
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"winnow, {asked.large} prompts of 20 words: {seconds:.1f} s, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
