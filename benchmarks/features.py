"""What features cost beside the bare forward pass of the same rows, and beside the naive way.

    python benchmarks/features.py [--model smollm2-135m-instruct] [--rows 16] [--tokens 512]
                                  [--response 256] [--repeat 3]

Rows are random tokens, the last `--response` of `--tokens` are the response. Every way runs in a
process of its own, after the model is loaded and one row has gone through; the ways take turns
`--repeat` times, and the least seconds count. Memory is the peak beyond what stood there before.

- forward: hidden states, nothing read from them
- uds: nuclear norm and sketch of all positions; logprob: log-probability and entropy of the
  response's tokens; both: the two in one pass
- naive: the model's float32 logits of a whole batch, log_softmax over them, entropy from that
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WAYS = ("forward", "uds", "logprob", "both", "naive")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    for name, default in (("rows", 16), ("tokens", 512), ("response", 256), ("repeat", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.way:
        print(json.dumps(measure(a.way, a)))
        return
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    cpu: dict[str, list[float]] = {way: [] for way in WAYS}
    memory: dict[str, float] = {}
    for _ in range(a.repeat):
        for way in WAYS:
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            seconds[way].append(found["seconds"])
            cpu[way].append(found["cpu"])
            memory[way] = found["mib"]
    tokens = a.rows * a.tokens
    print(f"{a.model}: {a.rows} rows of {a.tokens} tokens, {a.response} of them the response")
    print(f"{'':10}{'seconds':>9}{'CPU s':>9}{'tokens/s':>10}{'on top (CPU)':>14}{'MiB':>8}")
    bare = min(cpu["forward"])
    for way in WAYS:
        least, work = min(seconds[way]), min(cpu[way])
        print(
            f"{way:10}{least:9.2f}{work:9.2f}{tokens / least:10.0f}{work / bare - 1:14.1%}"
            f"{memory[way]:8.0f}"
        )


def measure(way: str, a: argparse.Namespace) -> dict[str, float]:
    import torch

    from winnow.pipeline.features.scorer import CausalScorer, TokenRow
    from winnow.pipeline.models import resolve_model

    scorer = CausalScorer(resolve_model(a.model))
    rng = np.random.default_rng(0)
    prompt = a.tokens - a.response
    ids = rng.integers(0, scorer.vocab, (a.rows + 1, a.tokens)).tolist()
    rows = [TokenRow.of(each[:prompt], each[prompt:]) for each in ids]
    wants: dict[str, Any] = {
        "uds": ["uds"],
        "logprob": ["logprobs", "entropies"],
        "both": ["uds", "logprobs", "entropies"],
    }
    call: Callable[[list[Any]], Any]
    if way in wants:
        call = lambda part: scorer.score(part, wants[way])
    else:
        model = scorer._load()
        read = _naive if way == "naive" else _forward
        call = lambda part: read(model, part)
    with torch.inference_mode():
        call(rows[:1])
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of loading
        before = _memory("VmRSS")
        start, work = time.perf_counter(), time.process_time()
        call(rows[1:])
        seconds, cpu = time.perf_counter() - start, time.process_time() - work
    return {"seconds": seconds, "cpu": cpu, "mib": _memory("VmHWM") - before}


def _memory(what: str) -> float:
    """MiB of this process, as Linux tells them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def _batches(rows: list[Any]) -> list[list[Any]]:
    size = max(1, 4096 // len(rows[0].tokens))  # as the scorer's
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def _forward(model: Any, rows: list[Any]) -> None:
    for batch in _batches(rows):
        model.forward([row.tokens for row in batch])


def _naive(model: Any, rows: list[Any]) -> None:
    import torch

    for batch in _batches(rows):
        tokens = torch.tensor([row.tokens for row in batch])
        log = torch.log_softmax(model.model(input_ids=tokens, use_cache=False).logits, dim=-1)
        entropies = -(log.exp() * log).sum(dim=-1)
        for at, row in enumerate(batch):
            log[at, :-1].gather(1, tokens[at, 1:, None])[row.first - 1 :].numpy()
            entropies[at, row.first - 1 : -1].numpy()


if __name__ == "__main__":
    main()
