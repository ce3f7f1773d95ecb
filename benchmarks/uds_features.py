"""UDS features by hidden states, against numpy's SVD and FFT of the logits, and on top of a forward.

    python benchmarks/uds_features.py [--positions 512] [--vocab 49152] [--hidden 576] [--repeat 5]
        [--model smollm2-135m-instruct] [--sequences 4] [--threads 2] [--clock wall]

Hidden states H (N, h) and head W (V, h) are standard normal; in the second case the columns of H
fall over four powers of ten, for the logits of a trained model have a steep spectrum, which is what
tells accurate ways from others. Both routes get H and W in float64 and
run in this process, one after the other. "once per model" is what the hidden route computes once
for all sequences; forming the logits is not counted in the literal route. Times are medians. Where
other work runs on the machine, `--threads 1 --clock cpu` counts the processor's time of this process
instead, which that changes little.

Then the same for a real model (`--model ""` leaves it out): random tokens, `--sequences` of
`--positions` each in one batch, float32. Three things alternate, `--repeat` times: the model's own
forward pass with its logits; the pass without its head, which is all that the features need; and
that with the features of every sequence. The share is of the medians. Norm and sketch of the first
sequence are compared with an SVD and FFTs of H W' in float64.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from winnow.pipeline.features import sketch as sk
from winnow.pipeline.features.causal_model import load
from winnow.pipeline.features.uds_signals import UdsOptions, UdsReader
from winnow.pipeline.models import resolve_model

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]


def timed(call: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """Result and median seconds."""
    seconds = []
    for _ in range(repeat):
        start = clock()
        result = call()
        seconds.append(clock() - start)
    return result, statistics.median(seconds)


def literal_sketch(logits: Any, p: sk.Projector) -> Any:
    words = np.real(np.fft.fft(logits * p.s2, axis=1))[:, p.c] * np.sqrt(p.vocab / p.c.size)
    padded = np.zeros((p.positions, p.c.size))
    padded[: len(words)] = words * p.s1[: len(words), None]
    time_ = np.real(np.fft.fft(padded, axis=0))[p.r] * np.sqrt(p.positions / p.r.size)
    return time_.ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("positions", 512), ("vocab", 49_152), ("hidden", 576), ("repeat", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    a = parser.parse_args()
    global clock
    clock = CLOCKS[a.clock]
    torch.set_num_threads(a.threads)
    threadpool_limits(a.threads)

    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((a.positions, a.hidden))
    weight = rng.standard_normal((a.vocab, a.hidden))
    projector = sk.draw(a.vocab, 0, T=max(512, a.positions))
    head, once = timed(lambda: sk.head(weight, projector), 1)
    print(
        f"N={a.positions} V={a.vocab} h={a.hidden}, float64; {a.threads} threads, {a.clock} clock"
    )
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(f"products of the head, once per model: {once:.2f} s")
    for name, scale in (("flat", np.ones(a.hidden)), ("steep", np.logspace(0, -4, a.hidden))):
        compare(name, hidden * scale, weight, head, projector, a.repeat)
    if a.model:
        on_top(a.model, a.sequences, a.positions, a.repeat)


def compare(
    name: str, hidden: Any, weight: Any, head: sk.Head, projector: sk.Projector, repeat: int
) -> None:
    logits = hidden @ weight.T
    norm, norm_s = timed(lambda: sk.nuclear_norm_from_hidden(hidden, head), repeat)
    z, z_s = timed(lambda: sk.sketch_from_hidden(hidden, head, projector), repeat)
    gram, gram_s = timed(lambda: sk.nuclear_norm_from_logits(logits), repeat)
    svd, svd_s = timed(lambda: np.linalg.svd(logits, compute_uv=False).sum(), 1)
    fft, fft_s = timed(lambda: literal_sketch(logits, projector), 1)
    low = logits.astype(np.float32)
    gram32 = np.sqrt(np.clip(np.linalg.eigvalsh(low @ low.T), 0, None).astype(np.float64)).sum()

    print(f"\n{name + ' spectrum':34}{'seconds':>10}{'ratio':>10}{'relative error':>16}")
    for label, seconds, literal, error in (
        ("norm, SVD of the logits", svd_s, svd_s, None),
        ("norm, float64 Gram of the logits", gram_s, svd_s, abs(gram / svd - 1)),
        ("norm, hidden states", norm_s, svd_s, abs(norm / svd - 1)),
        ("sketch, two full FFTs", fft_s, fft_s, None),
        ("sketch, hidden states", z_s, fft_s, np.abs(z - fft).max() / np.abs(fft).max()),
        ("both, literal", svd_s + fft_s, svd_s + fft_s, None),
        ("both, hidden states", norm_s + z_s, svd_s + fft_s, None),
    ):
        shown = "" if error is None else f"{error:.1e}"
        print(f"{label:34}{seconds:10.4f}{literal / seconds:9.0f}x{shown:>16}")
    print(f"(a float32 Gram of the logits is {abs(gram32 / svd - 1):.1e} off)")


def on_top(name: str, sequences: int, positions: int, repeat: int) -> None:
    """A model's forward pass with and without the features."""
    model = load(resolve_model(name))
    if model.head != "hidden":
        raise SystemExit(f"{name} has no linear head")
    options = UdsOptions(max_tokens=positions, T=max(512, positions))
    reader, once = timed(lambda: UdsReader(model, options), 1)
    tokens = np.random.default_rng(0).integers(0, model.vocab, (sequences, positions))
    inputs = {"input_ids": torch.from_numpy(tokens), "use_cache": False}

    def bare() -> Any:
        return model.model(**inputs).logits

    def headless() -> Any:
        return model.forward(tokens.tolist())

    def featured() -> Any:
        return [reader.read(values, 0, positions) for values in model.forward(tokens.tolist())]

    calls = {"forward pass": bare, "without its head": headless, "and with features": featured}
    seconds: dict[str, list[float]] = {label: [] for label in calls}
    with torch.inference_mode():
        featured()
        for _ in range(repeat):
            for label, call in calls.items():
                seconds[label].append(timed(call, 1)[1])
        hidden = headless()[0]
    alone = timed(lambda: reader.read(hidden, 0, positions), repeat)[1]
    median = {label: statistics.median(times) for label, times in seconds.items()}
    print(f"\n{name}, {sequences} sequences of {positions} tokens; once per model: {once:.2f} s")
    for label, value in median.items():
        print(f"{label:34}{value:10.3f} s")
    added = median["and with features"] - median["without its head"]
    print(f"features add {added / median['forward pass']:.1%} of the forward pass")
    print(f"({alone * sequences / median['forward pass']:.1%} by their time alone)")

    found = reader.read(hidden, 0, positions)
    weight = model.weight.detach().double().numpy()
    logits = hidden.double().numpy() @ weight.T
    if model.bias is not None:
        logits += model.bias.detach().double().numpy()
    svd, svd_s = timed(lambda: np.linalg.svd(logits, compute_uv=False).sum(), 1)
    fft = literal_sketch(logits, sk.draw(model.vocab, options.seed, T=options.T))
    print(f"one sequence: {alone:.4f} s, SVD of its logits {svd_s:.2f} s ({svd_s / alone:.0f}x)")
    print(f"norm {abs(found.nuclear_norm / svd - 1):.1e} off, relative;")
    off = np.abs(found.sketch - fft).max() / np.abs(fft).max()
    print(f"sketch {off:.1e} off, relative to its largest entry (it is stored in float32)")


if __name__ == "__main__":
    main()
