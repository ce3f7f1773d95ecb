"""The scorer against logits of the same model, one sequence at a time, by numpy's SVD and FFT."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.features import tiny_models
from tests.pipeline.features.tiny_models import LINEAR, TINY, VOCAB, items, tiny
from winnow.pipeline.features.scorer import CausalScorer, RowSignals, TokenRow
from winnow.pipeline.features.sketch import Projector, draw, norm_ratio
from winnow.pipeline.features.uds_signals import UdsOptions
from winnow.pipeline.models import ModelFolder
from winnow.pipeline.names import canonical_json

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")


def norm(signals: RowSignals) -> float:
    assert signals.uds is not None
    return signals.uds.nuclear_norm


def sketch(signals: RowSignals) -> Any:
    assert signals.uds is not None
    return signals.uds.sketch


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


def assert_close(got: RowSignals, expected: float, z: Any, tolerance: float) -> None:
    assert norm(got) == pytest.approx(expected, rel=tolerance)
    assert sketch(got).dtype == np.float32
    assert np.abs(sketch(got) - z).max() <= tolerance * np.abs(z).max()


def scorer(folder: Path, batch_tokens: int = 4096, **options: Any) -> CausalScorer:
    return CausalScorer(
        ModelFolder("tiny", "1", str(folder)),
        UdsOptions(**{"max_tokens": 40, "T": 40, "r1": 4, "r2": 16, "seed": 5} | options),
        batch_tokens=batch_tokens,
    )


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("rows", ["all", "response"])
def test_every_kind_of_head(kind: str, rows: Any, tmp_path: Path) -> None:
    model = tiny(kind, tmp_path)
    scored = scorer(tmp_path, rows=rows, batch_tokens=100)
    batch = items(9)
    p = draw(VOCAB, 5, r1=4, r2=16, T=40)
    for row, got in zip(batch, scored.score(batch), strict=True):
        tokens = list(row.tokens[:40])
        counted = range(len(tokens))
        if rows == "response":  # logits at t predict the token at t + 1
            counted = range(row.first - 1, len(tokens) - 1)
        assert_close(got, *literal(model, tokens, p, counted), tolerance=1e-4)
    assert (scored.head == "hidden") == (kind in LINEAR)


def test_soft_capping_is_seen_where_logits_are_too_small_to_show_it(tmp_path: Path) -> None:
    def shrink(model: Any) -> None:
        model.model.norm.weight.data.fill_(-1 + 1e-4)  # Gemma multiplies by 1 + weight

    model = tiny("gemma2", tmp_path, shrink)
    assert model(torch.arange(16)[None]).logits.abs().max() < 0.01
    assert scorer(tmp_path).head == "logits"


def test_batch_mates_padding_and_repeats_change_nothing(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    batch = items(12)
    together = scorer(tmp_path, batch_tokens=10_000).score(batch + batch[:3])
    assert together[0] is together[12]  # computed once
    alone = scorer(tmp_path)
    for row, got in zip(batch, together, strict=False):
        one = alone.score([row])[0]
        assert_close(got, norm(one), sketch(one), 1e-5)


def test_orthonormal_sketches_differ_by_the_norm_ratio(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    batch = items(2)
    official, orthonormal = (
        scorer(tmp_path, projection=name).score(batch) for name in ("official", "orthonormal")
    )
    for a, b in zip(official, orthonormal, strict=True):
        np.testing.assert_allclose(sketch(a), sketch(b) * norm_ratio(VOCAB, 40), rtol=1e-5)
        assert norm(a) == norm(b)


def test_sequences_without_rows(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    everything = scorer(tmp_path)
    assert everything.score([]) == []
    empty, rest = everything.score([TokenRow.of([], []), TokenRow.of([], [3, 4])])
    assert norm(empty) == 0
    assert not sketch(empty).any()
    assert norm(rest) > 0
    response = scorer(tmp_path, rows="response")
    pairs = [([5] * 60, [1]), ([5], []), ([], [7]), ([], [7, 8]), ([5], [7])]
    got = response.score([TokenRow.of(*pair) for pair in pairs])
    assert [norm(g) > 0 for g in got] == [False, False, False, True, True]
    assert not sketch(got[0]).any()


def test_an_unknown_token_is_refused(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    for bad in (VOCAB, -1):
        with pytest.raises(ValueError, match=f"row 1 holds a token id outside 0..{VOCAB - 1}"):
            scorer(tmp_path).score([TokenRow.of([1], [2]), TokenRow.of([1], [bad])])


def test_an_overflowing_model_gives_nan(tmp_path: Path) -> None:
    def overflow(model: Any) -> None:
        model.model.norm.weight.data[3] = float("inf")

    tiny("llama", tmp_path, overflow)
    got = scorer(tmp_path).score([TokenRow.of([1, 2], [3])])[0]
    assert np.isnan(norm(got))
    assert np.isnan(sketch(got)).all()


def test_what_is_known_without_weights(tmp_path: Path) -> None:
    tiny("llama", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    plain = scorer(tmp_path)
    assert plain.vocab == VOCAB
    with pytest.raises(OSError):
        plain.score([TokenRow.of([1], [2])])


def test_what_names_the_signals() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"projection": "orthonormal"}, {"rows": "response"}, {"max_tokens": 39}, {"seed": 6},
        {"r1": 5}, {"r2": 17}, {"T": 541},
    ]  # fmt: skip
    forms = [canonical_json(UdsOptions(**c).form("hidden")) for c in changes]
    forms.append(canonical_json(UdsOptions().form("logits")))
    assert len(set(forms)) == len(changes) + 1
    for limit in (0, 41):
        with pytest.raises(ValueError, match="must be in 1..40"):
            UdsOptions(max_tokens=limit, T=40)


@pytest.fixture(scope="module")
def smollm2() -> Iterator[CausalScorer]:
    made = CausalScorer(tiny_models.smollm2())
    yield made
    made.close()


def test_the_default_model_gives_the_same_by_hidden_states_and_by_logits(
    smollm2: CausalScorer,
) -> None:
    assert smollm2.head == "hidden"
    assert smollm2.vocab == 49_152
    path = smollm2.folder.path
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, local_files_only=True
    ).eval()
    answer = tokenizer(" The answer is 42, since six times seven is 42.").input_ids
    prompts = ["Hi", "What is six times seven? " * 3, "Explain it again, at length. " * 20]
    batch = [TokenRow.of(tokenizer(prompt).input_ids, answer) for prompt in prompts]
    p = draw(49_152, 0)
    for row, got in zip(batch, smollm2.score(batch), strict=True):
        tokens = list(row.tokens)
        assert_close(got, *literal(model, tokens, p, range(len(tokens))), tolerance=1e-4)


def test_a_closed_scorer_loads_again(smollm2: CausalScorer) -> None:
    row = TokenRow.of([1, 2, 3], [4, 5])
    first = smollm2.score([row])[0]
    assert sketch(first).shape == (1024,)
    smollm2.close()
    smollm2.close()
    again = smollm2.score([row])[0]
    assert_close(again, norm(first), sketch(first), 1e-5)
