"""Thompson sampling that believes in modules and not in arms: c + 1 numbers where there are 2^c − 1 arms."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.arms import index_of, masks_of, module_count
from optima_lab.bandits.policies.base import (
    LISTED_ARMS,
    Policy,
    Posterior,
    Selection,
    State,
    count_round,
    counters,
    require_positive,
    top_arm,
)
from optima_lab.bandits.policies.gaussian import KalmanThompson


@dataclass(frozen=True)
class LinearThompson(Policy):
    """Linear Thompson sampling over the sets of c modules (Agrawal and Goyal, ICML 2013, with forgetting by drift).

    An arm's mean is a base and the normalised sum of its modules' contributions, all Gaussian before anything is seen:

        r(S) = b + Σ_{m∈S} θ_m / √|S|,   b ~ N(prior_mean, base_std²),   θ_m ~ N(0, prior_std²)

    Both walk at random, as in KalmanThompson; a reward corrects them by Bayes' rule with x = (1[m∈S] / √|S|, 1):

        predict:  V ← V + drift² diag(1, …, 1, base_std² / prior_std²)
        correct:  g = V x / (xᵀ V x + noise²),   w ← w + g (r − xᵀ w),   V ← V − g xᵀ V        with w = (θ, b)
        choose:   ŵ ~ N(w, V); the best set of k modules has the k largest θ̂, so sorting θ̂ finds the best of all sets

    base_std = 0 takes b for known; it is then SharedGaussianThompson with sharing = 1, at c numbers instead of 2^c − 1.
    Assumes contributions that add up. Where what any arm brings is not known beforehand, it takes b: else modules are
    credited with it, and the largest sets look best.

    noise, drift, prior_mean, prior_std, base_std: in units of the reward, as in KalmanThompson.
    State: theta = w (R, c + 1), covariance = V (R, c + 1, c + 1), both without the last where base_std = 0;
    module_plays (R, c); plays (R, K) only up to 64 arms. Above, a selection's scores are ŵ and there is no posterior of
    every arm; `summary` says what to record.
    """

    noise: float = 0.02
    drift: float = 0.001
    prior_mean: float = 0.05
    prior_std: float = 0.05
    base_std: float = 0.05
    name: ClassVar[str] = "linear_ts"

    def __post_init__(self) -> None:
        KalmanThompson(self.noise, self.drift, self.prior_mean, self.prior_std)
        require_positive("base_std", self.base_std, zero=True)

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        modules = module_count(arms)
        state = counters(arms if arms <= LISTED_ARMS else 1, replications)
        if arms > LISTED_ARMS:
            del state["plays"]
        variance = self.prior_std**2 * self.walks(modules)
        theta = np.zeros((replications, len(variance)))
        theta[:, modules:] = self.prior_mean
        return state | {
            "theta": theta,
            "covariance": np.tile(np.diag(variance), (replications, 1, 1)),
            "module_plays": np.zeros((replications, modules)),
        }

    def walks(self, modules: int) -> np.ndarray:
        """(c + 1,): prior variances of θ and b, in units of prior_std²; (c,) where b is known."""
        return np.append(np.ones(modules), (self.base_std / self.prior_std) ** 2)[: modules + (self.base_std > 0)]

    def sizes(self, state: State) -> tuple[int, int]:
        replications, modules = state["module_plays"].shape
        return replications, 2**modules - 1

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        theta, covariance = state["theta"], state["covariance"]
        draws = generator.standard_normal(theta.shape)
        jitter = 1e-12 * self.prior_std**2 * np.eye(theta.shape[1])  # rounding may leave V a hair below definite
        draws = theta + (np.linalg.cholesky(covariance + jitter) @ draws[..., None])[..., 0]
        arm = index_of(best_set(draws[:, : state["module_plays"].shape[1]], generator))
        return Selection(arm, self.means(state, draws) if "plays" in state else draws)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        theta, covariance = state["theta"], state["covariance"]
        modules = state["module_plays"].shape[1]
        member = masks_of(arm, modules)
        x = features(member, theta.shape[1])
        gain = (covariance @ x[:, :, None])[:, :, 0]
        total = (gain * x).sum(axis=1) + self.noise**2
        surprise = reward - (theta * x).sum(axis=1) - self.fixed_base
        theta += gain * (surprise / total)[:, None]
        covariance -= gain[:, :, None] * (gain / total[:, None])[:, None, :]
        covariance += self.drift**2 * np.diag(self.walks(modules))
        state["module_plays"] += member
        if "plays" in state:
            state["plays"][np.arange(len(arm)), arm] += 1
        count_round(state)

    @property
    def fixed_base(self) -> float:
        """What of the base is not among the believed numbers."""
        return 0.0 if self.base_std else self.prior_mean

    def means(self, state: State, weights: np.ndarray) -> np.ndarray:
        """Mean rewards (R, K) of all arms under weights (R, c + 1)."""
        return weights @ self.design(state).T + self.fixed_base

    def design(self, state: State) -> np.ndarray:
        """x of every arm (K, c + 1)."""
        modules = state["module_plays"].shape[1]
        return features(masks_of(np.arange(2**modules - 1), modules), state["theta"].shape[1])

    def posterior(self, state: State) -> Posterior | None:
        if "plays" not in state:
            return None
        design = self.design(state)
        variance = ((design @ state["covariance"]) * design).sum(axis=2)
        return Posterior(self.means(state, state["theta"]), np.sqrt(np.maximum(variance, 0.0)))

    def summary(self, state: State) -> dict[str, np.ndarray]:
        deviation = np.sqrt(np.diagonal(state["covariance"], axis1=1, axis2=2))
        weights = {"theta": state["theta"], "theta_deviation": deviation, "module_plays": state["module_plays"]}
        return super().summary(state) | weights


def features(member: np.ndarray, columns: int) -> np.ndarray:
    """x (R, columns) of arms with these modules (R, c): 1/√|S| for those that are in, and 1 for the base."""
    x = np.ones((len(member), columns))
    x[:, : member.shape[1]] = member / np.sqrt(member.sum(axis=1, keepdims=True))
    return x


def best_set(theta: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """bool (R, c): the non-empty set S of the largest Σ_{m∈S} θ_m / √|S|, for contributions (R, c).

    Of all sets of k modules that with the k largest θ is the best, so c sets are compared and not 2^c − 1.
    """
    order = np.argsort(-theta, axis=1)
    size = np.arange(1, theta.shape[1] + 1)
    values = np.take_along_axis(theta, order, axis=1).cumsum(axis=1) / np.sqrt(size)
    best = np.zeros(theta.shape, bool)
    np.put_along_axis(best, order, size <= top_arm(values, generator)[:, None] + 1, axis=1)
    return best
