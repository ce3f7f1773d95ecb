"""Tree searches per hour: many trees at once over vLLM, against one at a time with transformers.

    python benchmarks/tree_search.py [--prompts 64] [--one-by-one 4] [--iterations 6]

Both sides run the same search (`winnow mcts`: the same code, prompts, limits and seeds) over the same
small model, each in a process of its own. The other side is the way the published code goes: one
request at a time, each a `generate` of its own that reads the whole text so far (two trees take turns,
which leaves the time of each request as it is). As that takes long, it searches only some of the
prompts, an equal share of every family. Texts, and with them trees, are not the same, as the engines differ in their
random numbers; so steps and tokens per hour stand beside prompts per hour. The start of the engine is
in neither. That a scripted policy gives the same trees either way is a test
(`tests/synth/tree/test_mcts.py`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from winnow.pipeline.contracts import Completion, Identity, Sampling
from winnow.pipeline.names import Message

FAMILIES: tuple[dict[str, Any], ...] = (
    {"family": "gsm_symbolic"},
    {"family": "leg_counting"},
    {"family": "chain_sum", "config": {"max_terms": 3, "max_digits": 2}},
    {"family": "products", "config": {"max_terms": 2, "max_digits": 1}},
)
MODEL = "smollm2-135m-instruct"


class OneByOne:
    """An engine over transformers that answers one request, and then the next."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from winnow.pipeline.models import resolve_model

        folder = resolve_model(MODEL)
        self.identity = Identity(folder.identity, folder.template_hash())
        torch.set_num_threads(os.cpu_count() or 1)
        self._torch = torch
        self._tokenizer = AutoTokenizer.from_pretrained(folder.path)
        self._model = AutoModelForCausalLM.from_pretrained(folder.path, dtype=torch.bfloat16).eval()

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        seed: int,
        max_tokens: int,
        prefix: str = "",
    ) -> Completion:
        text = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        read = self._tokenizer(text + prefix, add_special_tokens=False, return_tensors="pt")
        self._torch.manual_seed(seed)
        with self._torch.inference_mode():
            written = self._model.generate(
                **read,
                do_sample=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=0,
                max_new_tokens=max_tokens,
                stop_strings=list(sampling.stop),
                tokenizer=self._tokenizer,
                pad_token_id=self._tokenizer.eos_token_id,
            )
        ids = written[0, read["input_ids"].shape[1] :].tolist()
        answer = self._tokenizer.decode(ids, skip_special_tokens=True)
        ended = ids[-1:] == [self._tokenizer.eos_token_id] or any(
            m in answer for m in sampling.stop
        )
        return Completion(answer, ids, None, len(ids), "stop" if ended else "length")

    async def close(self) -> None: ...


def search(side: str, prompts: int, iterations: int, step_tokens: int) -> dict[str, float]:
    """Search trees into an empty home."""
    from winnow.stages import prompts as ingestion
    from winnow.stages import trees
    from winnow.stages.base import Context
    from winnow.synth.engines import registry
    from winnow.synth.tree.gate import Gate
    from winnow.synth.tree.mcts import MctsOptions

    sources = [
        {"type": "reasoning_gym", "size": -(-prompts // len(FAMILIES)), "seed": 7, **family}
        for family in FAMILIES
    ]
    recipe = {
        "dataset": "benchmark",
        "sources": sources,
        "engine": {"model": MODEL, "args": {"enforce_eager": True, "block_size": 32}},
        "sampling": {"concurrency": 256 if side == "winnow" else 1},
        "sets": {"rl": {}},
    }
    options = trees.TreeOptions(MctsOptions(iterations), step_tokens=step_tokens, needs_final=True)
    if side == "one by one":
        engine = OneByOne()

        async def start(config: object) -> OneByOne:
            del config
            return engine

        registry.start = start
    gates: list[Gate] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "benchmark.yaml"
        path.write_text(json.dumps(recipe))  # JSON is YAML
        ctx = Context.of(path, Path(folder) / "home")
        ingestion.run(ctx)
        done = trees.run(ctx, options, opened=gates.append)
        table = ctx.workspace.read("trees")
    load = gates[0].load
    found = {name: float(sum(table[name].to_pylist())) for name in ("steps", "tokens", "unjudged")}
    found |= {"trees": done.counts["trees"], "solved": done.counts["solved"]}
    found |= {"not measured": done.counts["not_measured"], "seconds": load.seconds}
    found |= {"mean in flight": load.mean_in_flight}
    if load.cache is not None and load.cache.hit_rate is not None:
        found["prefix-cache hit rate"] = load.cache.hit_rate
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--one-by-one", type=int, default=4, help="prompts of the other side")
    parser.add_argument("--iterations", type=int, default=6, help="most iterations of a tree")
    parser.add_argument("--step-tokens", type=int, default=64)
    parser.add_argument("--only", choices=("winnow", "one by one"), help="one side, as JSON")
    a = parser.parse_args()
    if a.only:
        print("RESULT", json.dumps(search(a.only, a.prompts, a.iterations, a.step_tokens)))
        return
    sides = {"winnow": a.prompts, "one by one": a.one_by_one}
    per_hour = {}
    for side, prompts in sides.items():
        found = _measure(side, prompts, a.iterations, a.step_tokens)
        scale = 3600 / found["seconds"]
        per_hour[side] = {name: found[name] * scale for name in ("trees", "steps", "tokens")}
        print(f"{side}: " + ", ".join(f"{value:,.4g} {name}" for name, value in found.items()))
        print(
            f"{side}: "
            + ", ".join(f"{v:,.0f} {name} per hour" for name, v in per_hour[side].items()),
            flush=True,
        )
    for name in ("trees", "steps", "tokens"):
        ratio = per_hour["winnow"][name] / per_hour["one by one"][name]
        print(f"{name} per hour, winnow / one by one: {ratio:.1f}")


def _measure(side: str, prompts: int, iterations: int, step_tokens: int) -> dict[str, float]:
    command = [
        sys.executable, __file__, "--only", side, "--prompts", str(prompts),
        "--iterations", str(iterations), "--step-tokens", str(step_tokens),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        sys.exit(done.stderr[-3000:])
    result: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


if __name__ == "__main__":
    main()
