"""UDS features of one sequence by hidden states, against numpy's SVD and FFT of its logits.

    python benchmarks/uds_features.py [--positions 512] [--vocab 49152] [--hidden 576] [--repeat 5]

Hidden states H (N, h) and head W (V, h) are standard normal; in the second case the columns of H
fall over four powers of ten, for the logits of a trained model have a steep spectrum, which is what
tells accurate ways from others. Both routes get H and W in float64 and
run in this process, one after the other. "once per model" is what the hidden route computes once
for all sequences; forming the logits is not counted in the literal route. Times are medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from winnow.pipeline.features import sketch as sk


def timed(call: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """Result and median seconds."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
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
    a = parser.parse_args()

    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((a.positions, a.hidden))
    weight = rng.standard_normal((a.vocab, a.hidden))
    projector = sk.draw(a.vocab, 0, T=max(512, a.positions))
    head, once = timed(lambda: sk.head(weight, projector), 1)
    print(f"N={a.positions} V={a.vocab} h={a.hidden}, float64")
    print(f"products of the head, once per model: {once:.2f} s")
    for name, scale in (("flat", np.ones(a.hidden)), ("steep", np.logspace(0, -4, a.hidden))):
        compare(name, hidden * scale, weight, head, projector, a.repeat)


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


if __name__ == "__main__":
    main()
