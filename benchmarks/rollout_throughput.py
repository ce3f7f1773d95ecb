"""Rollouts through winnow against vLLM's own `LLM.generate`, on the same prompts and settings.

    python benchmarks/rollout_throughput.py [--prompts 64] [--n 4] [--rounds 3]
    python benchmarks/rollout_throughput.py --tail [--in-flight 32]

Both start the same vLLM engine with the same arguments, in a process of their own, one after the
other in turns (the order alternates), and draw the same n seeded answers per prompt. winnow's share
includes the store's syncs and the verdicts beside. Printed are tokens per second of every round and
the ratio of the medians; the engine's start is in neither.

Without `--tail`, answers have mixed lengths and `LLM.generate` gets all requests as one batch: the most
that this engine gives. With it, few answers are very long, and `LLM.generate` gets so many requests
at a time as winnow has in flight, one batch after the other, as a plain sampling loop does; the loop
waits for the slowest answer of each batch. Printed beside is the share of its slots (requests that
could have been running, summed over the steps) that stood empty.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARGS: dict[str, Any] = {"enforce_eager": True}
CONTEXT, TEMPERATURE = 1024, 0.6
SMALL = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}


@dataclass(frozen=True)
class Work:
    """What is sampled: the sources' shares are equal. `batch`: requests that are in flight, or None for
    as many as the engine takes."""

    families: tuple[dict[str, Any], ...]
    max_tokens: int
    prompts: int
    n: int
    batch: int | None

    def sources(self) -> list[dict[str, Any]]:
        size = -(-self.prompts // len(self.families))
        return [
            {
                "type": "reasoning_gym",
                "name": f"part-{seed}",
                "size": size,
                "seed": 1000 * seed,
                **family,
            }
            for seed, family in enumerate(self.families)
        ]

    def questions(self) -> list[str]:
        """The prompts, the same in every process."""
        import reasoning_gym

        items = [
            item["question"]
            for source in self.sources()
            for item in reasoning_gym.create_dataset(
                source["family"], size=source["size"], seed=source["seed"],
                **source.get("config", {}),
            )
        ]  # fmt: skip
        return list(dict.fromkeys(items))


MIXED: tuple[dict[str, Any], ...] = tuple(
    {"family": f} for f in ("basic_arithmetic", "gcd", "leg_counting", "number_sorting")
)
# Seven short ones, and one that a small model often does not come to an end with.
TAIL: tuple[dict[str, Any], ...] = (
    *({"family": "products", "config": SMALL} for _ in range(4)),
    *({"family": "chain_sum", "config": SMALL} for _ in range(3)),
    {"family": "ransom_note"},
)


def generate(work: Work) -> dict[str, float]:
    """`LLM.generate` on token ids, with the seeds that winnow gives."""
    import os

    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM, SamplingParams

    from winnow.pipeline.models import resolve_model
    from winnow.pipeline.names import prompt_id, rollout_seed
    from winnow.synth.engines.vllm import _machine_defaults

    folder = resolve_model("smollm2-135m-instruct")
    settings = _machine_defaults(folder, CONTEXT) | ARGS
    settings.pop("enable_log_requests")
    llm = LLM(model=folder.path, max_model_len=CONTEXT, **settings)
    tokenizer = llm.get_tokenizer()
    requests, params = [], []
    start = time.perf_counter()
    for question in work.questions():
        messages = [{"role": "user", "content": question}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        for index in range(work.n):
            requests.append({"prompt_token_ids": ids})
            params.append(
                SamplingParams(
                    temperature=TEMPERATURE,
                    max_tokens=work.max_tokens,
                    logprobs=0,
                    seed=rollout_seed(prompt_id(messages), 0, index),
                )
            )
    size = work.batch or len(requests)
    lengths, slots = [], 0
    for at in range(0, len(requests), size):
        part = slice(at, at + size)
        done = llm.generate(requests[part], params[part], use_tqdm=False)
        drawn = [len(output.outputs[0].token_ids) for output in done]
        slots += len(drawn) * max(drawn)
        lengths += drawn
    seconds = time.perf_counter() - start
    tokens = sum(lengths)
    found = {"tokens": tokens, "seconds": seconds, "answers": len(lengths)}
    return found | {"empty": 1 - tokens / slots, "longest": max(lengths)}


def winnow(work: Work) -> dict[str, float]:
    """The rollouts stage of a recipe, into an empty home."""
    from winnow.stages import prompts as ingestion
    from winnow.stages import rollouts
    from winnow.stages.base import Context

    with tempfile.TemporaryDirectory() as folder:
        sampling = {"n": work.n, "max_tokens": work.max_tokens, "temperature": TEMPERATURE}
        recipe = {
            "dataset": "benchmark",
            "sources": work.sources(),
            "engine": {"max_model_len": CONTEXT, "args": ARGS},
            "sampling": sampling | ({"concurrency": work.batch} if work.batch else {}),
            "sets": {"rl": {}},
        }
        path = Path(folder) / "benchmark.yaml"
        path.write_text(json.dumps(recipe))  # JSON is YAML
        ctx = Context.of(path, Path(folder) / "home")
        ingestion.run(ctx)
        cost = rollouts.run(ctx).cost
    return {
        "tokens": cost["tokens_drawn"],
        "seconds": cost["sampling_seconds"],
        "answers": cost["answers_drawn"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tail", action="store_true", help="few answers are very long")
    parser.add_argument("--in-flight", type=int, default=32, help="requests at a time, with --tail")
    parser.add_argument("--only", choices=("generate", "winnow"), help="one side, once, as JSON")
    a = parser.parse_args()
    mixed = Work(MIXED, 128, a.prompts, a.n, None)
    work = Work(TAIL, 768, a.prompts, a.n, a.in_flight) if a.tail else mixed
    if a.only:
        print("RESULT", json.dumps({"generate": generate, "winnow": winnow}[a.only](work)))
        return
    speeds: dict[str, list[float]] = {"generate": [], "winnow": []}
    for number in range(a.rounds):
        for side in ("generate", "winnow") if number % 2 == 0 else ("winnow", "generate"):
            found = _measure(side)
            speeds[side].append(found["tokens"] / found["seconds"])
            print(f"round {number + 1}  {side:<8} {found['answers']:.0f} answers, "
                  f"{found['tokens']:.0f} tokens, {found['seconds']:.1f} s, "
                  f"{speeds[side][-1]:.1f} tokens/s", flush=True)  # fmt: skip
            if a.tail and "empty" in found:
                print(f"         longest {found['longest']:.0f} tokens, mean "
                      f"{found['tokens'] / found['answers']:.1f}; empty slots "
                      f"{found['empty']:.3f}", flush=True)  # fmt: skip
    ratio = statistics.median(speeds["winnow"]) / statistics.median(speeds["generate"])
    print(f"winnow / LLM.generate, medians of {a.rounds} rounds: {ratio:.3f}")


def _measure(side: str) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--only", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        sys.exit(done.stderr[-3000:])
    result: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


if __name__ == "__main__":
    main()
