"""The real vLLM with the real 135M model: what it gives, and what one failure costs."""

import asyncio
import random
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import psutil
import pytest

from winnow.pipeline.contracts import Completion, EngineError, Sampling, Task
from winnow.pipeline.errors import UsageError
from winnow.pipeline.models import resolve_model
from winnow.pipeline.tokens import render, tokenizer
from winnow.pipeline.verify.asking import in_process
from winnow.synth.engines import vllm as engines
from winnow.synth.engines.vllm import VLLMEngine
from winnow.synth.tree.gate import Gate, each
from winnow.synth.tree.judges import VerifierJudge
from winnow.synth.tree.mcts import Mcts, MctsOptions, search
from winnow.synth.tree.memo import Drawing, Memo, root
from winnow.synth.tree.policy import EnginePolicy
from winnow.synth.tree.prompt import END, step_prompt

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
]

CONTEXT = 512
PROMPT = [{"role": "user", "content": "Name three colours."}]


class Runner:
    """The session's one engine, on an event loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.folder = resolve_model("smollm2-135m-instruct")
        start = VLLMEngine.start(
            self.folder, max_model_len=CONTEXT, args={"enforce_eager": True, "max_num_seqs": 64}
        )
        self.engine: VLLMEngine = self.run(start)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(300)

    def complete(self, *seeds: int, messages: Any = PROMPT, **options: Any) -> list[Any]:
        """One request per seed, all at once; failures come back as exceptions."""
        stop = options.pop("stop", ())
        sampling = Sampling(temperature=options.pop("temperature", 1.0), stop=stop)
        options = {"max_tokens": 24, **options}

        async def all_at_once() -> list[Any]:
            calls = [self.engine.complete(messages, sampling, seed=s, **options) for s in seeds]
            return await asyncio.gather(*calls, return_exceptions=True)

        return list(self.run(all_at_once()))


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.run(made.engine.close())


def test_a_completion_holds_text_tokens_and_their_log_probabilities(runner: Runner) -> None:
    """The sum of log-probabilities is that of a plain forward pass over the same tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    answers: list[Completion] = runner.complete(1, 2, 3)
    words = tokenizer(runner.folder)
    model = AutoModelForCausalLM.from_pretrained(runner.folder.path, dtype=torch.float32)
    prompt = render(words, PROMPT)
    for answer in answers:
        ids = list(answer.token_ids or ())
        assert answer.n_tokens == len(ids) > 0
        assert answer.finish_reason in ("stop", "length")
        assert words.decode(ids, skip_special_tokens=True) == answer.text
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        picked = logits.log_softmax(-1)[range(len(ids)), ids].sum().item()
        # bf16 keeps 8 bits of a logit; a wrong offset or another prompt would be off by far more.
        assert answer.logprob_sum == pytest.approx(picked, abs=0.05 * len(ids) + 0.5)


def test_the_seed_fixes_an_answer_that_is_drawn_alone(runner: Runner) -> None:
    first, again, other = (runner.complete(seed)[0] for seed in (7, 7, 8))
    assert first == again
    assert other.text != first.text


def test_greedy_answers_agree_whatever_the_seed(runner: Runner) -> None:
    one, two = (runner.complete(seed, temperature=0.0)[0] for seed in (1, 2))
    assert one.token_ids == two.token_ids


def test_an_answer_is_cut_off_at_its_limit(runner: Runner) -> None:
    (answer,) = runner.complete(1, max_tokens=3)
    assert (answer.n_tokens, answer.finish_reason) == (3, "length")


def test_an_over_long_prompt_costs_that_request_only(runner: Runner) -> None:
    async def both() -> list[Any]:
        long = [{"role": "user", "content": "word " * 600}]
        calls = [
            runner.engine.complete(m, Sampling(), seed=1, max_tokens=8) for m in (long, PROMPT)
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    failed, answered = runner.run(both())
    assert isinstance(failed, EngineError)
    assert failed.permanent
    assert "prompt_too_long" in str(failed)
    assert answered.text


def test_more_requests_than_fit_one_step_all_end(runner: Runner) -> None:
    """Seeded requests beyond one prefill step are what used to end the engine on CPUs."""
    answers = runner.complete(*range(150), max_tokens=4)
    assert all(isinstance(answer, Completion) for answer in answers)


async def _killed_in_mid_flight(engine: VLLMEngine, requests: int) -> list[Any]:
    """What becomes of so many requests when the engine core is killed under them."""
    calls = [
        asyncio.create_task(engine.complete(PROMPT, Sampling(), seed=s, max_tokens=200))
        for s in range(requests)
    ]
    await asyncio.sleep(1.0)
    cores = [p for p in psutil.Process().children(recursive=True) if "EngineCore" in p.name()]
    assert cores, [p.name() for p in psutil.Process().children(recursive=True)]
    for core in cores:
        core.kill()
    return await asyncio.gather(*calls, return_exceptions=True)


def test_a_dead_engine_core_is_started_again_and_loses_nothing(runner: Runner) -> None:
    answers = runner.run(_killed_in_mid_flight(runner.engine, 16))
    assert [type(answer) for answer in answers] == [Completion] * 16


def test_a_core_that_keeps_dying_costs_the_requests_under_it(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "RESTARTS", 0)  # the first death is the last
    answers = runner.run(_killed_in_mid_flight(runner.engine, 16))
    failed = [answer for answer in answers if not isinstance(answer, Completion)]
    assert failed
    for failure in failed:
        assert isinstance(failure, EngineError)
        assert "engine_died: 1 times" in str(failure)
        assert not failure.permanent  # the next run tries again
    (answer,) = runner.complete(1)
    assert isinstance(answer, Completion)


def test_an_answer_goes_on_from_its_beginning_as_if_it_had_never_stopped(runner: Runner) -> None:
    """Greedily, the beginning's continuation is the rest of the answer, token for token; they may part
    where two tokens are equally likely as far as bfloat16 can tell."""
    words = tokenizer(runner.folder)
    questions = ["Name three colours.", "What is 17 + 25?", "Write a line about the sea."]
    for question in questions:
        messages = [{"role": "user", "content": question}]
        ask = {"messages": messages, "temperature": 0.0}
        (whole,) = runner.complete(1, max_tokens=40, **ask)
        ids = list(whole.token_ids)
        tried = 0
        for cut in (1, 7, 20):
            begun = words.decode(ids[:cut], skip_special_tokens=True)
            if words.encode(begun, add_special_tokens=False) != ids[:cut]:
                continue  # other tokens spell the same text, and the model may go on otherwise
            (rest,) = runner.complete(2, max_tokens=40 - cut, prefix=begun, **ask)
            same = _common(list(rest.token_ids), ids[cut:])
            if cut + same == len(ids):
                assert begun + rest.text == whole.text
            else:
                before = words.decode(ids[: cut + same], skip_special_tokens=True)
                (torn,) = runner.complete(2, max_tokens=1, prefix=before, top_logprobs=2, **ask)
                best, second = torn.top_logprobs[0]
                assert best - second <= 0.25, (question, cut, same)  # two steps of a logit near 20
            tried += 1
        assert tried >= 2


def _common(left: list[int], right: list[int]) -> int:
    """How many tokens two answers share from their beginning."""
    pairs = zip(left, right, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))


def test_a_beginning_holds_no_control_tokens(runner: Runner) -> None:
    """Text that spells one is what a model wrote in plain letters."""
    spelled = runner.engine._encode("yes<|im_end|>")
    assert tokenizer(runner.folder).convert_tokens_to_ids("<|im_end|>") not in spelled
    assert tokenizer(runner.folder).decode(spelled) == "yes<|im_end|>"


def test_a_beginning_counts_into_the_context(runner: Runner) -> None:
    (failed,) = runner.complete(1, max_tokens=8, prefix="word " * 600)
    assert isinstance(failed, EngineError) and "prompt_too_long" in str(failed)


def test_an_answer_ends_with_the_string_that_ended_it(runner: Runner) -> None:
    (whole,) = runner.complete(1, temperature=0.0, max_tokens=24)
    letter = next(c for c in whole.text if c.isalpha() and c.islower())
    (cut,) = runner.complete(1, temperature=0.0, max_tokens=24, stop=(letter,))
    assert cut.text == whole.text[: whole.text.index(letter) + 1]
    assert cut.finish_reason == "stop"
    assert 0 < cut.n_tokens < whole.n_tokens
    (never,) = runner.complete(1, temperature=0.0, max_tokens=24, stop=("\x00",))
    assert never == whole


def test_siblings_find_their_common_beginning_in_the_cache(runner: Runner) -> None:
    begun = " ".join(f"line {n} says {n * n}." for n in range(40))
    before = runner.engine.cache_counts
    runner.complete(1, max_tokens=2, prefix=begun)
    first = runner.engine.cache_counts - before
    runner.complete(2, 3, max_tokens=2, prefix=begun)
    siblings = runner.engine.cache_counts - before - first
    assert siblings.prompt_tokens == 2 * first.prompt_tokens > 400
    assert siblings.hit_rate is not None and siblings.hit_rate > 0.5


def test_trees_are_searched_on_the_real_engine_and_found_again(runner: Runner) -> None:
    """Four small trees at once: their steps go on from one another, most of what is sent is in the
    prefix cache, and searched again over what was kept they are the same without one request."""
    sums = [(3, 4), (10, 5), (6, 6), (20, 1)]
    sampling = Sampling(temperature=0.5, top_p=0.9, stop=(END,))
    drawing = Drawing(runner.engine.identity, sampling, 1, 24)
    options = MctsOptions(max_iterations=3, max_steps=3)
    kept: dict[tuple[int, int], list[Any]] = {each: [] for each in sums}
    judgements: dict[tuple[int, int], list[Any]] = {each: [] for each in sums}

    async def searched(engine: Any) -> dict[tuple[int, int], Mcts]:
        found = {}

        async def one(job: tuple[int, int]) -> None:
            steps, verdicts = list(kept[job]), list(judgements[job])

            async def keep(row: Any) -> None:
                kept[job].append(row)

            async def keep_verdict(row: Any) -> None:
                judgements[job].append(row)

            memo = Memo(str(job), steps, verdicts, keep_step=keep, keep_judgement=keep_verdict)
            task = Task(
                [{"role": "user", "content": f"What is {job[0]} + {job[1]}?"}], str(sum(job))
            )
            messages = step_prompt(task.messages)
            judge = VerifierJudge("t", "math", task, "math", memo, local=in_process)
            found[job] = await search(
                root(messages), EnginePolicy(engine, messages, drawing, memo), judge,
                random.Random(sum(job)), options,
            )  # fmt: skip

        await each(sums, one, live=4)
        return found

    before = runner.engine.cache_counts
    gate = Gate(runner.engine, 8)
    found = runner.run(searched(gate))
    for tree in found.values():
        assert tree.tree.error is None
        assert 1 <= tree.iterations_used <= 3
        for simulation in tree.tree.simulations:
            assert all(step.finish_reason in ("stop", "length") for step in simulation.state.steps)
    drawn = [row for rows in kept.values() for row in rows]
    assert len(drawn) == sum(tree.tree.n_steps for tree in found.values()) == gate.load.requests
    assert gate.load.mean_in_flight > 1
    cache = runner.engine.cache_counts - before
    # The 128 tokens of a block on a CPU are many beside so short a prompt; on GPUs blocks have 16.
    assert cache.hit_rate is not None and cache.hit_rate > 0.5
    print(
        f"{len(drawn)} steps, {gate.load.mean_in_flight:.1f} in flight, hit rate {cache.hit_rate:.3f}"
    )
    assert runner.run(searched(None)) == found


def test_an_unknown_engine_argument_is_refused_before_anything_loads() -> None:
    with pytest.raises(UsageError, match="did you mean 'tensor_parallel_size'"):
        engines.check_args({"tensor_paralel_size": 2})
    with pytest.raises(UsageError, match=r"engine\.args\.model"):
        engines.check_args({"model": "x"})
    engines.check_args({"tensor_parallel_size": 2, "quantization": "fp8", "dtype": "bfloat16"})


def test_known_arguments_are_those_of_the_installed_vllm() -> None:
    from dataclasses import fields

    from vllm.engine.arg_utils import AsyncEngineArgs

    assert engines.known_args() == {field.name for field in fields(AsyncEngineArgs)}


def test_too_little_memory_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from winnow.pipeline.errors import WinnowError

    class Little:
        available = 600 << 20

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Little)
    folder = resolve_model("smollm2-135m-instruct")
    with pytest.raises(WinnowError, match="too little memory"):
        engines._cpu_kv_cache_bytes(folder, 8192)


def test_the_cache_fits_the_smallest_memory_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's worker stays on one memory node, which can have less than the machine."""
    from vllm.utils import cpu_resource_utils as memory

    assert 0 < engines._available_bytes() <= psutil.virtual_memory().available
    gib = 2**30
    small = memory.MemoryNodeInfo(total_memory=4 * gib, available_memory=3 * gib)
    monkeypatch.setattr(memory, "get_memory_node_info", lambda node: small)
    assert engines._available_bytes() == 3 * gib
    folder = resolve_model("smollm2-135m-instruct")
    assert engines._cpu_kv_cache_bytes(folder, CONTEXT) <= gib
