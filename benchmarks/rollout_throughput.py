"""Rollouts through winnow against bare `LLM.generate`, on the same prompts and settings.

    python benchmarks/rollout_throughput.py [--prompts 64] [--n 4] [--rounds 3]

Both start the same vLLM engine with the same arguments, in a process of their own, one after the
other in turns (the order alternates), and draw the same n seeded answers per prompt. winnow's share
includes the store's syncs and the verdicts beside. Printed are tokens per second of every round and
the ratio of the medians; the engine's start is in neither.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ARGS: dict[str, Any] = {"enforce_eager": True}
CONTEXT, MAX_TOKENS, TEMPERATURE = 1024, 128, 0.6


def prompts(count: int) -> list[dict[str, str]]:
    """Prompts of several lengths with their references, the same in every process."""
    import reasoning_gym

    families = ("basic_arithmetic", "leg_counting", "gcd", "number_sorting")
    size = -(-count // len(families))
    rows = [
        {"family": family, "index": str(i), "prompt": item["question"]}
        for family in families
        for i, item in enumerate(reasoning_gym.create_dataset(family, size=size, seed=7))
    ]
    return rows[:count]


def bare(count: int, n: int) -> dict[str, float]:
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
    for row in prompts(count):
        messages = [{"role": "user", "content": row["prompt"]}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        for index in range(n):
            requests.append({"prompt_token_ids": ids})
            params.append(
                SamplingParams(
                    temperature=TEMPERATURE,
                    max_tokens=MAX_TOKENS,
                    logprobs=0,
                    seed=rollout_seed(prompt_id(messages), 0, index),
                )
            )
    outputs = llm.generate(requests, params, use_tqdm=False)
    seconds = time.perf_counter() - start
    tokens = sum(len(o.outputs[0].token_ids) for o in outputs)
    return {"tokens": tokens, "seconds": seconds, "answers": len(outputs)}


def winnow(count: int, n: int) -> dict[str, float]:
    """The rollouts stage of a recipe, into an empty home."""
    from winnow.stages import prompts as ingestion
    from winnow.stages import rollouts
    from winnow.stages.base import Context

    with tempfile.TemporaryDirectory() as folder:
        families = sorted({row["family"] for row in prompts(count)})
        size = -(-count // len(families))
        recipe = {
            "dataset": "benchmark",
            "sources": [
                {"type": "reasoning_gym", "family": f, "size": size, "seed": 7} for f in families
            ],
            "engine": {"max_model_len": CONTEXT, "args": ARGS},
            "sampling": {"n": n, "max_tokens": MAX_TOKENS, "temperature": TEMPERATURE},
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("bare", "winnow"), help="one side, once, as JSON")
    options = parser.parse_args()
    if options.only:
        measure = {"bare": bare, "winnow": winnow}[options.only]
        print("RESULT", json.dumps(measure(options.prompts, options.n)))
        return
    speeds: dict[str, list[float]] = {"bare": [], "winnow": []}
    for number in range(options.rounds):
        for side in ("bare", "winnow") if number % 2 == 0 else ("winnow", "bare"):
            found = _measure(side, options.prompts, options.n)
            speeds[side].append(found["tokens"] / found["seconds"])
            print(f"round {number + 1}  {side:<7} {found['answers']:.0f} answers, "
                  f"{found['tokens']:.0f} tokens, {found['seconds']:.1f} s, "
                  f"{speeds[side][-1]:.1f} tokens/s", flush=True)  # fmt: skip
    ratio = statistics.median(speeds["winnow"]) / statistics.median(speeds["bare"])
    print(f"winnow / bare LLM.generate, medians of {options.rounds} rounds: {ratio:.3f}")


def _measure(side: str, count: int, n: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", side, "--prompts", str(count), "--n", str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        sys.exit(done.stderr[-3000:])
    result: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


if __name__ == "__main__":
    main()
