"""A multivariate Gaussian over all arms: what one arm teaches about those that share modules with it (Remark 3.2)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from optima_lab.bandits.arms import masks_of, module_count
from optima_lab.bandits.policies.base import (
    Policy,
    Posterior,
    Selection,
    State,
    best,
    count_play,
    counters,
    flat_index,
    require_fraction,
)
from optima_lab.bandits.policies.gaussian import KalmanThompson


@dataclass(frozen=True)
class SharedGaussianThompson(Policy):
    """Thompson sampling with dependent arms: the sampler that Remark 3.2 of arXiv 2310.04550 sets aside as costly.

    The K = 2^c − 1 arms are the sets of c modules. Their means start as one Gaussian N(prior_mean, prior_std² C),

        C_jk = sharing · |j ∩ k| / √(|j| |k|) + (1 − sharing) · 1[j = k]

    that is, each arm is a normalised sum of its modules' contributions plus something of its own. They walk together,
    with variance drift² C a round. A reward of arm a moves them all, by Bayes' rule:

        predict:  V ← V + drift² C
        correct:  g = V_:a / (V_aa + noise²),   μ ← μ + g (r − μ_a),   V ← V − g V_a:
        choose:   r̂ ~ N(μ, V) jointly, by Cholesky

    sharing = 0 is KalmanThompson. Linear-Gaussian bandits: Agrawal and Goyal (ICML 2013), Russo and Van Roy (2014).
    Assumes that arms with modules in common have similar means; where they do not, sharing misleads.

    sharing: part of the prior variance that modules explain, in [0, 1].  noise, drift, prior_mean, prior_std: as in
    KalmanThompson, in units of the reward.
    State: mean, plays (R, K); covariance (R, K, K), at the coming choice.
    """

    sharing: float = 0.8
    noise: float = 0.02
    drift: float = 0.001
    prior_mean: float = 0.05
    prior_std: float = 0.05
    name: ClassVar[str] = "shared_ts"

    def __post_init__(self) -> None:
        require_fraction("sharing", self.sharing, zero=True, one=True)
        KalmanThompson(self.noise, self.drift, self.prior_mean, self.prior_std)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        prior = self.prior_std**2 * self.correlation(arms)
        return counters(arms, replications) | {
            "mean": np.full((replications, arms), float(self.prior_mean)),
            "covariance": np.tile(prior, (replications, 1, 1)),
        }

    def correlation(self, arms: int) -> np.ndarray:
        """C (K, K): how alike two arms are believed to be before anything is seen."""
        return self.sharing * likeness(arms) + (1 - self.sharing) * np.eye(arms)

    def posterior(self, state: State) -> Posterior:
        variance = np.diagonal(state["covariance"], axis1=1, axis2=2)
        return Posterior(state["mean"], np.sqrt(variance))

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        draws = generator.standard_normal(state["mean"].shape)
        jitter = 1e-10 * self.prior_std**2 * np.eye(draws.shape[1])  # rounding may leave V a hair below semi-definite
        root = np.linalg.cholesky(state["covariance"] + jitter)
        return best(state["mean"] + (root @ draws[..., None])[..., 0], generator)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        covariance, cell = state["covariance"], flat_index(state, arm)
        column = covariance.reshape(-1, covariance.shape[2])[cell]  # a row, which symmetry makes the column
        total = column.ravel()[cell] + self.noise**2
        surprise = reward - state["mean"].ravel()[cell]
        state["mean"] += column * (surprise / total)[:, None]
        covariance -= column[:, :, None] * (column / total[:, None])[:, None, :]
        covariance += self.drift**2 * self.correlation(arm_count(state))
        count_play(state, cell)


@lru_cache(maxsize=8)
def likeness(arms: int) -> np.ndarray:
    """|j ∩ k| / √(|j| |k|) (K, K) for the non-empty sets of c modules, K = 2^c − 1, in the order of `Arms.sets`."""
    member = masks_of(np.arange(arms), module_count(arms)).astype(np.float64)
    unit = member / np.sqrt(member.sum(axis=1, keepdims=True))
    return unit @ unit.T


def arm_count(state: State) -> int:
    """K of a state."""
    return state["plays"].shape[1]
