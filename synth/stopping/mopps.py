"""MoPPS: which prompts are sampled next, by the discounted Beta posterior (arXiv 2507.04632).

Each round takes `candidates` times as many prompts as are wanted at random, draws a pass rate from
each one's posterior (`winnow.pipeline.estimate.mopps`) and samples those nearest the target, or those
within the band. What was learnt moves the posteriors of the sampled prompts only. Choices are pure
functions of the posteriors, the seed and the round, so that a log of them can be replayed.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.pipeline.estimate.mopps import (
    BAND,
    TARGET,
    Posterior,
    inside_first,
    nearest_first,
    update,
)


@dataclass(frozen=True)
class Mopps:
    """`prompts` are wanted each round. Published: 8 candidates for each, target 0.5, band [0.3, 0.7],
    discount 0.5 in the task scripts (1, which forgets nothing, in the configuration); 8 answers for
    each prompt chosen, which whoever draws them decides.

    A discount below 1 is for a policy that learns; one that stays as it is forgets nothing with 1.
    Raises ValueError for parameters without sense.
    """

    prompts: int
    candidates: int = 8
    choose_by: Literal["topk", "threshold"] = "topk"
    target: float = TARGET
    band: tuple[float, float] = BAND
    discount: float = 1.0

    def __post_init__(self) -> None:
        if self.prompts < 1 or self.candidates < 1:
            raise ValueError("prompts and candidates must be at least 1")
        if not 0 <= self.target <= 1 or not 0 <= self.band[0] <= self.band[1] <= 1:
            raise ValueError(f"target ({self.target}) and band {self.band} must be rates")
        if not 0 <= self.discount <= 1:
            raise ValueError(f"discount ({self.discount}) must be at least 0 and at most 1")

    def choose(
        self,
        posterior: Posterior,
        *,
        seed: int,
        round_: int,
        eligible: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """Indices of the prompts to sample in this round, best first; fewer where fewer are eligible.

        `posterior` is (alpha, beta), (n,) each; `eligible` (n,) leaves out prompts that have stopped.
        """
        alpha, beta = posterior
        pool = np.arange(len(alpha)) if eligible is None else np.flatnonzero(eligible)
        rng = np.random.default_rng([seed, round_])
        size = min(len(pool), self.candidates * self.prompts)
        drawn = np.sort(rng.choice(pool, size, replace=False))
        rates = rng.beta(alpha[drawn], beta[drawn])
        if self.choose_by == "topk":
            order = nearest_first(rates, self.target)
        else:
            order = inside_first(rates, rng, self.band, self.target)
        return drawn[order[: self.prompts]]

    def learn(
        self,
        posterior: Posterior,
        chosen: NDArray[np.int64],
        correct: ArrayLike,
        wrong: ArrayLike,
        *,
        prior: tuple[float, float] | Posterior = (1.0, 1.0),
    ) -> Posterior:
        """The posteriors after the chosen prompts (m,) had so many right and wrong answers (m,).

        `prior` is one for all prompts, or (n,) each. A prompt must not stand in `chosen` twice.
        """
        alpha, beta = (np.array(each, np.float64) for each in posterior)
        start_alpha, start_beta = (np.broadcast_to(each, alpha.shape)[chosen] for each in prior)
        alpha[chosen], beta[chosen] = update(
            alpha[chosen], beta[chosen], correct, wrong,
            discount=self.discount, prior=(start_alpha, start_beta),
        )  # fmt: skip
        return alpha, beta
