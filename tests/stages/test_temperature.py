"""Entropy by temperature over a recipe's prompts: answers from a server, logits of a tiny model; or
estimates from what a server tells of the most likely tokens."""

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.pipeline.features.tiny_models import tiny, tokenizer
from winnow.cli import main as cli
from winnow.pipeline.errors import UsageError
from winnow.stages import temperature
from winnow.stages.base import Context

VOCABULARY = 40
CHAT = "{% for m in messages %}<|u|>{{ m['content'] }}\n{% endfor %}<|a|>"


def context(folder: Path, engine: str) -> Context:
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(12)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = folder / "sums.yaml"
    recipe.write_text(
        f"""
dataset: sums
sources: [{{type: dataset, name: sums, path: {folder / "sums.jsonl"}, verifier: math}}]
engine: {engine}
sampling: {{n: 4, max_tokens: 64}}
sets: {{rl: {{}}}}
"""
    )
    return Context.of(recipe, folder / "home")


def test_answers_are_drawn_once_and_hotter_ones_have_more_entropy(
    tmp_path: Path, stub_server: Any
) -> None:
    model = tmp_path / "model"
    tiny("llama", model)
    tokenizer(model, chat=CHAT)
    ctx = context(tmp_path, f'{{type: openai, model: stub, base_url: "{stub_server.url}"}}')
    found = temperature.measure(ctx, [0.5, 1.0], prompts=5, answers=2, model=str(model))
    assert [(p.temperature, p.answers) for p in found] == [(0.5, 10), (1.0, 10)]
    # The stub answers by the seed alone, so that only the division of the logits differs.
    assert found[0].entropy < found[1].entropy
    assert found[0].tokens == found[1].tokens > 10
    asked = len(stub_server.seeds())
    assert asked == 20
    more = temperature.measure(ctx, [0.5, 1.0, 2.0], prompts=5, answers=2, model=str(model))
    assert len(stub_server.seeds()) == asked + 10
    assert more[:2] == found


@pytest.mark.parametrize(
    ("engine", "temperatures", "said"),
    [
        ("{type: replay, policy: teacher}", [1.0], "replay samples nothing"),
        ('{type: openai, model: m, base_url: "http://127.0.0.1:9/v1"}', [0.0], "must be above 0"),
    ],
)
def test_what_makes_no_sense(
    tmp_path: Path, engine: str, temperatures: list[float], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        temperature.measure(context(tmp_path, engine), temperatures)


@dataclass
class Teller:
    """A server with a vocabulary of 40 that tells its most likely tokens: `style` says how. Its logits
    depend on the seed alone."""

    style: str
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        k = body.get("top_logprobs") or 0
        if self.style == "refuses" and k:
            return 400, {"error": {"message": "logprobs are not enabled", "type": "x"}}
        if k > 20:
            return 400, {"error": {"message": f"top_logprobs is {k}, at most 20", "type": "x"}}
        random = np.random.default_rng(body["seed"])
        content = []
        for p in distributions(body["seed"]):
            q = p ** (1 / body["temperature"])
            token = int(random.choice(VOCABULARY, p=q / q.sum()))
            listed = np.argsort(-p)[:k].tolist()
            if self.style == "vllm":  # the drawn token, then the others; k in all
                listed = [token, *(each for each in listed if each != token)][:k]
            logs = np.log(p) + (50 if self.style == "logits" else 0)
            told = [{"token": f"t{i}", "logprob": logs[i], "bytes": None} for i in listed]
            content.append({"token": f"t{token}", "logprob": logs[token], "bytes": None,
                            "top_logprobs": [] if self.style == "is silent" else told})  # fmt: skip
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": " ".join(t["token"] for t in content)},
            "logprobs": None if self.style == "ignores" else {"content": content},
        }
        n = len(content)
        usage = {"prompt_tokens": 1, "completion_tokens": n, "total_tokens": n + 1}
        return 200, {"id": "1", "object": "chat.completion", "created": 0, "model": "m",
                     "choices": [choice], "usage": usage}  # fmt: skip

    def mean(self, at: float, k: int, drawn: list[dict[str, Any]]) -> float:
        """What the estimate over the answers to these requests should be."""
        found = []
        for body in drawn:
            for p in distributions(body["seed"]) if body["temperature"] == at else ():
                q = np.sort(p)[-k:] ** (1 / at)
                q /= q.sum()
                found.append(-(q * np.log(q)).sum())
        return float(np.mean(found))


def distributions(seed: int) -> NDArray[np.float64]:
    """(tokens, 40) probabilities at temperature 1 of the answer with this seed."""
    random = np.random.default_rng(seed)
    p = np.exp(random.normal(0, 3, (random.integers(2, 7), VOCABULARY)))
    normal: NDArray[np.float64] = p / p.sum(axis=1, keepdims=True)
    return normal


@pytest.fixture
def teller(request: pytest.FixtureRequest) -> Iterator[Teller]:
    made = Teller(getattr(request, "param", "openai"))
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                made.asked.append(body)
            status, reply = made.reply(body)
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield made
    server.shutdown()
    server.server_close()


def served(folder: Path, teller: Teller) -> Context:
    return context(folder, f'{{type: openai, model: m, base_url: "{teller.url}"}}')


def test_an_estimate_is_of_what_the_engine_told_and_nothing_is_drawn_again(
    tmp_path: Path, teller: Teller
) -> None:
    ctx = served(tmp_path, teller)
    found = temperature.measure(ctx, [0.5, 1.0], prompts=5, answers=2)
    assert len(teller.asked) == 20
    assert {body["top_logprobs"] for body in teller.asked} == {20}
    for at, point in zip((0.5, 1.0), found, strict=True):
        assert (point.temperature, point.answers, point.top_k) == (at, 10, 20)
        assert point.entropy == pytest.approx(teller.mean(at, 20, teller.asked), rel=1e-5)
    outside = [1 - np.sort(p)[-20:].sum() for b in teller.asked for p in distributions(b["seed"])]
    tokens = sum(point.tokens for point in found)
    assert tokens == len(outside)
    assert sum(p.outside * p.tokens for p in found) / tokens == pytest.approx(np.mean(outside))
    assert 0 < found[0].short < 0.1 and found[1].short == np.inf

    again = temperature.measure(ctx, [0.5, 1.0], prompts=5, answers=2)
    assert (again, len(teller.asked)) == (found, 20)
    more = temperature.measure(ctx, [0.5, 1.0, 0.2], prompts=5, answers=3)
    assert len(teller.asked) == 20 + 10 + 15
    assert [point.answers for point in more] == [15, 15, 15]
    assert more[0].entropy == pytest.approx(teller.mean(0.5, 20, teller.asked), rel=1e-5)
    fewer = temperature.measure(ctx, [0.5], prompts=5, answers=1, top_k=4)
    told = teller.asked[45:]
    assert [body["top_logprobs"] for body in told] == [4] * 5
    assert fewer[0].entropy == pytest.approx(teller.mean(0.5, 4, told), rel=1e-5)
    assert len({(body["seed"], body["temperature"]) for body in teller.asked}) == 50


@pytest.mark.parametrize("teller", ["vllm"], indirect=True)
def test_a_drawn_token_that_stands_in_for_the_least_likely_one_is_left_out(
    tmp_path: Path, teller: Teller
) -> None:
    """As vLLM's server lists them; of few tokens, so that it is often so."""
    (found,) = temperature.measure(served(tmp_path, teller), [1.2], prompts=12, answers=4, top_k=4)
    replies = [teller.reply(body)[1]["choices"][0]["logprobs"]["content"] for body in teller.asked]
    least, entropies = 0, []
    for body, content in zip(teller.asked, replies, strict=True):
        for p, token in zip(distributions(body["seed"]), content, strict=True):
            stands_in = token["logprob"] <= np.log(np.sort(p)[-4]) + 1e-9
            least += stands_in
            q = np.sort(p)[-3 if stands_in else -4 :] ** (1 / 1.2)
            q /= q.sum()
            entropies.append(-(q * np.log(q)).sum())
    assert least > 10
    assert found.entropy == pytest.approx(float(np.mean(entropies)), rel=1e-5)


def test_an_answer_that_was_stored_without_its_estimate_is_passed_over(
    tmp_path: Path, teller: Teller
) -> None:
    """As after a kill between the two, or where a run of the recipe drew it."""
    ctx = served(tmp_path, teller)
    before = temperature.measure(ctx, [0.5], prompts=5, answers=2)
    with ctx.workspace.features(write=True) as features, ctx.workspace.rollouts() as rollouts:
        table = features.all(["row_id", "feature"]).to_pylist()
        assert {row["feature"] for row in table} == {
            "entropy_topk", "outside_topk", "entropy_topk_short",
        }  # fmt: skip
        first = [row for row in rollouts.all().to_pylist() if row["index"] == 0]
        lost = min(row["rollout_id"] for row in first)
        features.delete([r["feature_id"] for r in table if r["row_id"] == lost][:1])
        stored = rollouts.all()
    after = temperature.measure(ctx, [0.5], prompts=5, answers=2)
    assert after[0].answers == before[0].answers == 10
    assert len(teller.asked) == 11
    with ctx.workspace.rollouts() as rollouts:
        now = rollouts.all().to_pylist()
    assert [row for row in now if row["index"] < 2] == stored.to_pylist()
    (new,) = [row for row in now if row["index"] == 2]
    (old,) = [row for row in now if row["rollout_id"] == lost]
    assert new["prompt_id"] == old["prompt_id"]
    counted = [body for body in teller.asked if body["seed"] != old["seed"]]
    assert after[0].entropy == pytest.approx(teller.mean(0.5, 20, counted), rel=1e-5)
    assert temperature.measure(ctx, [0.5], prompts=5, answers=2) == after
    assert len(teller.asked) == 11


@pytest.mark.parametrize(
    ("teller", "asked", "kept"),
    [("refuses", 1, 0), ("ignores", 1, 1), ("is silent", 1, 1), ("logits", 1, 1)],
    indirect=["teller"],
)
def test_a_server_that_does_not_tell_costs_one_answer(
    tmp_path: Path, teller: Teller, asked: int, kept: int
) -> None:
    ctx = served(tmp_path, teller)
    with pytest.raises(UsageError, match="--model"):
        temperature.measure(ctx, [0.5, 1.0], prompts=5, answers=2)
    assert len(teller.asked) == asked
    with ctx.workspace.rollouts() as rollouts, ctx.workspace.features() as features:
        assert (rollouts.count(), features.count()) == (kept, 0)


def test_more_than_the_server_tells_and_both_ways_at_once_are_refused(
    tmp_path: Path, teller: Teller
) -> None:
    ctx = served(tmp_path, teller)
    with pytest.raises(UsageError, match="top_logprobs is 30, at most 20; ask for fewer with"):
        temperature.measure(ctx, [0.5], top_k=30)
    with pytest.raises(UsageError, match="name one"):
        temperature.measure(ctx, [0.5], model="m", top_k=3)
    with ctx.workspace.rollouts() as rollouts:
        assert rollouts.count() == 0


def test_the_command_says_that_it_estimates(
    tmp_path: Path, teller: Teller, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    pytest.importorskip("matplotlib")
    ctx = served(tmp_path, teller)
    monkeypatch.setattr(sys, "argv", [
        "winnow", "tune-temperature", str(tmp_path / "sums.yaml"), "--home", str(ctx.workspace.home),
        "--temperatures", "0.4,1.0", "--prompts", "4", "--top-k", "6", "--target", "0.5",
    ])  # fmt: skip
    with pytest.raises(SystemExit) as done:
        cli.main()
    printed = capsys.readouterr()
    assert not done.value.code, printed.err
    said = " ".join(printed.out.split())
    title = "entropy of a token, nats: estimate from the engine's 6 most likely tokens; "
    assert title in said and "% of the probability lies outside them" in said
    assert said.count("at most") == 1 and said.count("unknown") == 1
    assert (ctx.workspace.home / "sums" / "temperature.png").read_bytes().startswith(b"\x89PNG")
    assert len(teller.asked) == 8


@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_the_estimate_of_a_real_model_lies_below_its_entropy_and_near_it(tmp_path: Path) -> None:
    """Estimates come from what vLLM told as it drew; then the scorer reads the same answers."""
    pytest.importorskip("vllm")
    ctx = context(
        tmp_path,
        "{type: vllm, model: smollm2-135m-instruct, max_model_len: 512, "
        "args: {enforce_eager: true, max_num_seqs: 32, kv_cache_memory_bytes: 536870912}}",
    )
    at = [0.3, 0.6, 1.0]
    told = temperature.measure(ctx, at, prompts=8, answers=1, top_k=20)
    read = temperature.measure(ctx, at, prompts=8, answers=1)
    with ctx.workspace.rollouts() as rollouts:
        assert rollouts.count() == 8 * len(at)  # none was drawn for the second way
    print([(p.entropy, p.short, p.outside) for p in told], [p.entropy for p in read])
    for estimate, full in zip(told, read, strict=True):
        assert (estimate.answers, estimate.tokens) == (full.answers, full.tokens)
        assert full.tokens > 100
        # vLLM computes in bf16, the scorer in float32.
        assert estimate.entropy <= full.entropy + 0.01
        assert full.entropy <= estimate.entropy + estimate.short + 0.01
        assert 0 < estimate.outside < 0.5
        if full.temperature < 1:
            assert estimate.entropy > 0.9 * full.entropy
            assert estimate.short < 0.3
