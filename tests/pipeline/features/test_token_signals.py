"""Log-probabilities, entropies and ranks against the full logits, word by word in float64."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.features.tiny_models import LINEAR, TINY, VOCAB, items, smollm2, tiny
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.features.causal_model import CausalModel, load
from winnow.pipeline.features.scorer import CausalScorer, RowSignals, TokenRow, Want
from winnow.pipeline.features.token_signals import token_signals
from winnow.pipeline.features.uds_signals import UdsOptions
from winnow.pipeline.models import ModelFolder

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

ALL: tuple[Want, ...] = ("logprobs", "entropies", "ranks")
NATS = 2e-5  # what float32 may be off where the hidden states are the same
FORWARD = 1e-4  # and where they come from a batch of another shape


def literal(logits: list[float], word: int) -> tuple[float, float, int]:
    """Log-probability, entropy and rank of a word by their definitions."""
    largest = max(logits)
    exponentials = [math.exp(z - largest) for z in logits]
    total = math.fsum(exponentials)
    probabilities = [e / total for e in exponentials]
    entropy = -math.fsum(p * math.log(p) for p in probabilities if p > 0)
    rank = 1 + sum(z > logits[word] for z in logits)
    return logits[word] - largest - math.log(total), entropy, rank


def assert_literal(model: Any, row: TokenRow, got: RowSignals, temperature: float = 1.0) -> None:
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([row.tokens])).logits[0].double()
        logits = (logits / temperature).tolist()
    at = range(max(row.first, 1), row.stop)
    expected = [literal(logits[t - 1], row.tokens[t]) for t in at]
    assert len(got.tokens.logprobs) == len(at)
    np.testing.assert_allclose(got.tokens.logprobs, [e[0] for e in expected], atol=FORWARD)
    np.testing.assert_allclose(got.tokens.entropies, [e[1] for e in expected], atol=FORWARD)
    assert got.tokens.ranks.tolist() == [e[2] for e in expected]


def scorer(folder: Path, **options: Any) -> CausalScorer:
    uds = UdsOptions(max_tokens=20, T=40, r1=4, r2=16)
    return CausalScorer(ModelFolder("tiny", "1", str(folder)), uds, **options)


@pytest.mark.parametrize("kind", TINY)
def test_every_kind_of_head(kind: str, tmp_path: Path) -> None:
    model = tiny(kind, tmp_path)
    scored = scorer(tmp_path, batch_tokens=100)
    rows = [*items(9), TokenRow.of([], [5, 6, 7]), TokenRow((3, 4, 5, 6, 7), 2, 4)]
    for row, got in zip(rows, scored.score(rows, ALL), strict=True):
        assert_literal(model, row, got)
        assert got.uds is None
    assert (scored.head == "hidden") == (kind in LINEAR)


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("temperature", [0.5, 1.7])
def test_at_a_temperature(kind: str, temperature: float, tmp_path: Path) -> None:
    model = tiny(kind, tmp_path)
    rows = items(5)
    found = scorer(tmp_path).score(rows, ALL, temperature=temperature)
    for row, got in zip(rows, found, strict=True):
        assert_literal(model, row, got, temperature)


def test_one_pass_gives_what_single_passes_give(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    rows = items(9)
    scored = scorer(tmp_path)
    both = scored.score(rows, ("uds", "logprobs", "entropies"))
    for got, uds, tokens in zip(both, scored.score(rows), scored.score(rows, ALL), strict=True):
        assert got.uds is not None and uds.uds is not None
        assert got.uds.nuclear_norm == pytest.approx(uds.uds.nuclear_norm, rel=1e-6)
        np.testing.assert_allclose(got.uds.sketch, uds.uds.sketch, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(got.tokens.logprobs, tokens.tokens.logprobs, atol=NATS)
        np.testing.assert_allclose(got.tokens.entropies, tokens.tokens.entropies, atol=NATS)
        assert not len(got.tokens.ranks)


def test_batch_mates_change_nothing(tmp_path: Path) -> None:
    tiny("phi", tmp_path)
    rows = items(12)
    together = scorer(tmp_path, batch_tokens=10_000).score(rows + rows[:2], ALL)
    assert together[0] is together[12]  # computed once
    alone = scorer(tmp_path)
    for row, got in zip(rows, together, strict=False):
        one = alone.score([row], ALL)[0]
        np.testing.assert_allclose(got.tokens.logprobs, one.tokens.logprobs, atol=NATS)
        assert got.tokens.ranks.tolist() == one.tokens.ranks.tolist()


def test_rows_without_a_token_to_score(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    rows = [TokenRow.of([], []), TokenRow.of([3], []), TokenRow.of([], [4])]
    for got in scorer(tmp_path).score([*rows, TokenRow.of([3], [4])], ALL)[:3]:
        assert not len(got.tokens.logprobs)
    with pytest.raises(WinnowError, match="row 1 has 65 tokens, the model reads 64"):
        scorer(tmp_path).score([rows[0], TokenRow.of([1] * 60, [2] * 5)], ALL)


class _Fixed:
    """A head that gives chosen logits: W is the identity."""

    def __init__(self, words: int) -> None:
        self.weight = torch.eye(words)
        self.bias = None

    def get_output_embeddings(self) -> Any:
        return self


@pytest.mark.parametrize("head", ["hidden", "logits"])
@pytest.mark.parametrize("tile", [(1, 1), (2, 7), (3, VOCAB), (64, 100)])
def test_tiles_change_nothing(head: Any, tile: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((8, VOCAB)) * 8
    z[3] = 0.0  # all words alike: rank 1, entropy log V
    z[4, 5] = 90.0  # one certain word: entropy 0
    z[5] -= 1e4
    words = rng.integers(0, VOCAB, 8)
    words[4] = 5
    z = z.astype(np.float32)
    model = CausalModel(_Fixed(VOCAB), VOCAB, head)
    got = token_signals(
        model, torch.tensor(z), torch.tensor(words), entropies=True, ranks=True, tile=tile
    )
    expected = [literal(r.astype(float).tolist(), int(w)) for r, w in zip(z, words, strict=True)]
    np.testing.assert_allclose(got.logprobs, [e[0] for e in expected], atol=NATS)
    np.testing.assert_allclose(got.entropies, [e[1] for e in expected], atol=NATS)
    assert got.ranks.tolist() == [e[2] for e in expected]
    assert got.ranks[3] == 1
    assert got.entropies[3] == pytest.approx(math.log(VOCAB))
    assert got.entropies[4] == pytest.approx(0, abs=1e-9)


def test_a_forbidden_word_has_no_part_in_the_entropy() -> None:
    z = torch.tensor([[0.0, 0.0, -math.inf]])
    model = CausalModel(_Fixed(3), 3, "logits")
    got = token_signals(model, z, torch.tensor([1]), entropies=True, ranks=True)
    assert got.entropies[0] == pytest.approx(math.log(2))
    assert got.logprobs[0] == pytest.approx(-math.log(2))
    assert torch.isinf(z[0, 2])  # the model's own values are left as they are


def test_overflow_is_not_a_number() -> None:
    model = CausalModel(_Fixed(3), 3, "hidden")
    z = torch.tensor([[0.0, math.inf, 0.0], [0.0, 1.0, 0.0]])
    got = token_signals(model, z, torch.tensor([0, 0]), entropies=True, ranks=False)
    assert np.isnan(got.logprobs[0]) and np.isnan(got.entropies[0])


def test_the_default_model() -> None:
    folder = smollm2()
    words = transformers.AutoTokenizer.from_pretrained(folder.path, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder.path, dtype=torch.float32, local_files_only=True
    ).eval()
    rows = [
        TokenRow.of(words(prompt).input_ids, words(answer).input_ids)
        for prompt, answer in [
            ("What is six times seven?", " It is 42."),
            ("Say it again, at length. " * 4, " It is forty-two, zyx!"),
        ]
    ]
    for row, got in zip(rows, CausalScorer(folder).score(rows, ALL), strict=True):
        assert_literal(model, row, got)


def test_float32_of_the_default_head_is_enough() -> None:
    model = load(smollm2())
    tokens = [504, 2820, 28, 260, 1109, 11, 253, 18, 7, 30, 1] * 6
    with torch.inference_mode():
        values = model.forward([tokens])[0, :-1]
        targets = torch.tensor(tokens[1:])
        got = token_signals(model, values, targets, entropies=True, ranks=True)
        log = torch.log_softmax(values.double() @ model.weight.double().T, dim=1)
        logprobs = log.gather(1, targets[:, None])
        ranks = (log > logprobs).sum(dim=1) + 1
        entropies = -(log.exp() * log).sum(dim=1)
    np.testing.assert_allclose(got.logprobs, logprobs[:, 0], rtol=0, atol=NATS)
    np.testing.assert_allclose(got.entropies, entropies, rtol=0, atol=NATS)
    # two words a rounding apart may change places
    assert np.abs(got.ranks - ranks.numpy()).max() <= 1 + ranks.max() // 1000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["phi", "gemma2"])
def test_on_a_gpu(kind: str, tmp_path: Path) -> None:
    model = tiny(kind, tmp_path)
    rows = items(9)
    for row, got in zip(rows, scorer(tmp_path).score(rows, (*ALL, "uds")), strict=True):
        assert_literal(model, row, got)
        assert got.uds is not None and got.uds.nuclear_norm > 0
