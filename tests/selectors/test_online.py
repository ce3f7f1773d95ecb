"""UDS inside a training loop, against numpy's SVD and FFT and against the choice over stored signals."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from winnow.pipeline.features import sketch as sk
from winnow.selectors.online import OnlineSelector
from winnow.selectors.utility.uds import uds

V, T = 40, 16


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two pools of threads that wait for one another take far longer than these small products."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


class Literal:
    """The definition in numpy: full transforms, an SVD, a list as the buffer."""

    def __init__(self, p: sk.Projector, *, keep: int, alpha: float, buffer: int) -> None:
        self.p, self.keep, self.alpha, self.buffer = p, keep, alpha, buffer
        self.slots: list[Any] = []
        self.pushed = 0

    def sketch(self, logits: Any) -> Any:
        p = self.p
        padded = np.zeros((p.s1.size, p.s2.size))
        padded[: len(logits)] = logits
        words = np.real(np.fft.fft(padded * p.s2, axis=1))[:, p.c] * math.sqrt(p.s2.size / p.c.size)
        time = np.real(np.fft.fft(words * p.s1[:, None], axis=0))[p.r]
        return (time * math.sqrt(p.s1.size / p.r.size)).ravel()

    def __call__(self, batch: Any) -> list[int]:
        scores, sketches = [], []
        for logits in batch:
            z = self.sketch(logits)
            u = math.fsum(np.linalg.svd(logits, compute_uv=False))
            v = math.fsum(math.dist(z, q) for q in self.slots) / max(len(self.slots), 1)
            scores.append(u + self.alpha * v)
            sketches.append(z)
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[: self.keep]
        for i in best:
            if len(self.slots) < self.buffer:
                self.slots.append(sketches[i])
            else:
                self.slots[self.pushed % self.buffer] = sketches[i]
            self.pushed += 1
        self.scores = scores
        return best


def batches(count: int, size: int = 6, positions: int = 9, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn((size, positions, V), generator=generator) for _ in range(count)]


def small(**changes: Any) -> OnlineSelector:
    given: dict[str, Any] = {
        "keep": 2, "alpha": 0.05, "buffer": 7, "projector": sk.draw(V, 3, r1=3, r2=5, T=T)
    }  # fmt: skip
    return OnlineSelector(V, **(given | changes))


def test_a_stream_against_the_definition() -> None:
    selector = small()
    literal = Literal(sk.draw(V, 3, r1=3, r2=5, T=T), keep=2, alpha=0.05, buffer=7)
    for logits in batches(12):
        kept = selector(logits)
        assert kept.tolist() == literal(logits.double().numpy())
        assert selector.last is not None
        np.testing.assert_allclose(selector.last.score, literal.scores, rtol=1e-6)
    assert selector.last is not None and (selector.last.diversity > 0).all()
    assert selector.step == 12


def test_a_vocabulary_of_several_pieces_and_few_words() -> None:
    for vocab, positions in ((20_000, 4), (3, 9)):
        p = sk.draw(vocab, 1, r1=2, r2=4, T=T)
        logits = torch.randn((3, positions, vocab), generator=torch.Generator().manual_seed(0))
        selector = OnlineSelector(vocab, keep=3, projector=p)
        selector(logits)
        assert selector.last is not None
        for i, sample in enumerate(logits.double().numpy()):
            wanted = np.linalg.svd(sample, compute_uv=False).sum()
            assert float(selector.last.utility[i]) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("projection", ["official", "orthonormal"])
def test_the_choice_is_that_of_uds_over_stored_signals(projection: sk.Projection) -> None:
    n, batch, keep = 96, 8, 3
    p = sk.draw(V, 3, r1=3, r2=5, T=T)
    logits = torch.randn((n, 9, V), generator=torch.Generator().manual_seed(1))
    ids = [f"{i:03}" for i in range(n)]
    norms = np.array([sk.nuclear_norm_from_logits(sample) for sample in logits.numpy()])
    sketches = np.array(
        [sk.sketch_from_logits(sample, p, projection) for sample in logits.numpy()], np.float32
    )
    stored = uds(
        ids, norms, sketches, alpha=0.05, buffer=10, batch=batch, keep=keep, seed=5,
        projection=projection, vocab=V, T=T,
    )  # fmt: skip
    selector = small(keep=keep, buffer=10, projection=projection)
    changed = 0
    for step in range(n // batch):
        rows = np.flatnonzero(stored.step == step)
        kept = rows[selector(logits[rows]).numpy()]
        wanted = sorted(rows[stored.selected[rows]], key=lambda i: stored.rank[i])
        assert kept.tolist() == wanted
        assert selector.last is not None
        np.testing.assert_allclose(selector.last.score, stored.score[rows], rtol=1e-12)
        changed += rows[np.argsort(-norms[rows])[:keep]].tolist() != wanted
    assert changed > 3, "the buffer should matter here"


@pytest.mark.parametrize("biased", [False, True])
def test_hidden_states_and_a_linear_head_give_the_same_choice(biased: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn((V, 6), generator=generator, dtype=torch.float64)
    bias = torch.randn(V, generator=generator, dtype=torch.float64) if biased else None
    by_logits, by_hidden = small(), small()
    head = by_hidden.products(weight, bias)
    for _ in range(8):
        hidden = torch.randn((5, 9, 6), generator=generator, dtype=torch.float64)
        logits = torch.nn.functional.linear(hidden, weight, bias)
        assert by_hidden.from_hidden(hidden, head).tolist() == by_logits(logits).tolist()
        assert by_logits.last is not None and by_hidden.last is not None
        # zero eigenvalues of a Gram matrix of low rank round to 1e-16, their roots to 1e-8
        np.testing.assert_allclose(by_hidden.last.score, by_logits.last.score, rtol=1e-6)


def test_rows_all_reads_padding_and_attended_does_not() -> None:
    logits = batches(1)[0]
    mask = torch.ones(logits.shape[:2], dtype=torch.long)
    mask[:, :4] = 0  # on the left
    everything, attended, cut = small(), small(rows="attended"), small()
    everything(logits, mask)
    attended(logits, mask)
    cut(logits[:, 4:])
    assert everything.last is not None and attended.last is not None and cut.last is not None
    plain = small()
    plain(logits)
    assert plain.last is not None
    assert everything.last.score.tolist() == plain.last.score.tolist()
    assert everything.last.score.tolist() != attended.last.score.tolist()
    assert attended.last.score.tolist() == cut.last.score.tolist()
    assert (attended._buffer == cut._buffer).all()


def test_rows_response_counts_what_predicts_a_label_where_it_stands() -> None:
    logits = batches(1)[0]
    labels = torch.full(logits.shape[:2], -100)
    labels[:, 5:8] = 1  # predicted by the logits at 4, 5 and 6
    padding = torch.zeros((6, 2), dtype=torch.long)
    mask = torch.cat([padding, torch.ones_like(labels)], dim=1)
    padded = torch.cat([torch.ones((6, 2, V)), logits], dim=1)
    selector, zeroed = small(rows="response"), small()
    kept = selector(padded, mask, torch.cat([padding - 100, labels], dim=1))
    alone = torch.zeros_like(logits)
    alone[:, 4:7] = logits[:, 4:7]
    assert kept.tolist() == zeroed(alone).tolist()
    assert selector.last is not None and zeroed.last is not None
    np.testing.assert_allclose(selector.last.utility, zeroed.last.utility, rtol=1e-7)
    np.testing.assert_allclose(selector._buffer, zeroed._buffer, rtol=1e-5, atol=1e-5)


def test_a_short_batch_is_kept_whole_and_enters_the_buffer() -> None:
    selector = small(keep=4)
    assert sorted(selector(batches(1, size=3)[0]).tolist()) == [0, 1, 2]
    assert selector.state_dict()["filled"] == 3


def test_more_than_the_buffer_holds() -> None:
    selector = small(keep=5, buffer=2)
    kept = selector(batches(1)[0])
    single = small(keep=6, buffer=6)
    single(batches(1)[0])
    # slots 0, 1, 0, 1, 0: the fifth and the fourth best remain
    assert (selector._buffer == single._buffer[[4, 3]]).all()
    assert selector.state_dict()["next"] == 1 and len(kept) == 5


def test_equal_scores_go_by_the_lower_index() -> None:
    logits = batches(1)[0][:1].expand(5, -1, -1)
    selector = small(keep=3)
    for _ in range(3):
        assert selector(logits).tolist() == [0, 1, 2]


def test_before_the_first_step_everything_is_kept_and_nothing_remembered() -> None:
    selector, fresh = small(first_step=3), small()
    stream = batches(5)
    assert not selector.due
    assert selector(stream[0]).tolist() == [0, 1, 2, 3, 4, 5]
    selector.skip()
    assert selector(stream[2]).tolist() == [0, 1, 2, 3, 4, 5]
    assert selector.due and selector.last is None
    for logits in stream[3:]:
        assert selector(logits).tolist() == fresh(logits).tolist()


def test_a_sample_that_is_not_finite_is_never_kept() -> None:
    selector = small(keep=5)
    logits = batches(1)[0].clone()
    logits[1, 2, 3] = torch.nan
    logits[4, 0, 0] = torch.inf
    assert sorted(selector(logits).tolist()) == [0, 2, 3, 5]
    assert torch.isfinite(selector._buffer).all()
    with pytest.raises(ValueError, match="no sample of the batch has finite logits"):
        selector(torch.full((2, 3, V), torch.nan))


def test_half_precision_logits_are_read_in_float64() -> None:
    logits = batches(1)[0].bfloat16()
    low, high = small(), small()
    assert low(logits).tolist() == high(logits.double()).tolist()
    assert low.last is not None and high.last is not None
    assert low.last.score.tolist() == high.last.score.tolist()


def test_a_stream_goes_on_where_its_state_was_saved(tmp_path: Any) -> None:
    stream = batches(14)
    whole = small(first_step=2)
    wanted = [whole(logits).tolist() for logits in stream]
    first = small(first_step=2)
    for logits in stream[:6]:
        first(logits)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    for logits in stream[6:9]:  # what comes later does not reach into the state
        first(logits)
    # another projector, which the state replaces
    second = small(first_step=2, projector=sk.draw(V, 99, r1=3, r2=5, T=T))
    second(stream[0])
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [second(logits).tolist() for logits in stream[6:]] == wanted[6:]


def test_gradients_are_not_recorded() -> None:
    logits = batches(1)[0].requires_grad_()
    selector = small()
    selector(logits)
    assert not selector._buffer.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep": 0}, "at least 1"),
        ({"buffer": 0}, "at least 1"),
        ({"alpha": -1.0}, "at least 0"),
        ({"alpha": math.inf}, "at least 0"),
        ({"first_step": -1}, "at least 0"),
        ({"rows": "some"}, "rows must be"),
        ({"projection": "other"}, "projection must be"),
        ({"projector": sk.draw(V + 1, 0)}, "the projector is for 41 words, not 40"),
    ],
)
def test_impossible_parameters(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**change)


def test_impossible_input() -> None:
    logits, mask = torch.zeros((2, 5, V)), torch.ones((2, 5))
    calls: dict[str, Callable[[], Any]] = {
        r"shape \(2, 5\), but V is 40": lambda: small()(logits[..., 0]),
        r"shape \(2, 5, 39\), but V is 40": lambda: small()(logits[..., 1:]),
        "17 positions, but the projector takes at most 16": lambda: small()(torch.zeros(1, 17, V)),
        r"attention_mask has shape \(2, 4\)": lambda: small()(logits, mask[:, 1:]),
        r"labels has shape \(2, 4\)": lambda: small()(logits, mask, mask[:, 1:]),
        "needs the attention mask": lambda: small(rows="attended")(logits),
        "needs the labels": lambda: small(rows="response")(logits, mask),
        "no samples": lambda: small()(logits[:0]),
        "h is 3": lambda: small().from_hidden(logits, small().products(torch.zeros(V, 3))),
        "a head of shape": lambda: small().products(torch.zeros(V + 1, 3)),
    }
    for message, call in calls.items():
        with pytest.raises(ValueError, match=message):
            call()
    for other in (small(buffer=8), small(projection="orthonormal"),
                  small(projector=sk.draw(V, 3, r1=3, r2=6, T=T))):  # fmt: skip
        with pytest.raises(ValueError, match="the state is of a selector with"):
            small().load_state_dict(other.state_dict())


def test_the_defaults_are_those_of_the_trainer_class() -> None:
    selector = OnlineSelector(V)
    assert (selector.keep, selector.alpha, selector.first_step, selector.rows) == (
        4, 2.5e-3, 0, "all"
    )  # fmt: skip
    assert selector.state_dict()["buffer"].shape == (1024, 1024)
