"""What a policy's play cost, how it got over changes, and how sure we are of it.

Regret is in units of the reward and always in expectation: true means of the arms played, not what luck made of them.
All per-replication arrays end in (R,), so that policies can be compared replication by replication.
"""

from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from optima_lab.bandits.policies.base import require_fraction
from optima_lab.bandits.simulate import History, Outcome, Simulation
from optima_lab.errors import ConfigError, nearest, require


def dynamic_regret(simulation: Simulation, policy: str) -> np.ndarray:
    """(P, R): what always playing the round's best arm would have earned more, up to each point.

    Σ_t max_k m_tk − m_t,a_t. In a rested world compared with that world's best player, who wears arms too.
    """
    return simulation.best - outcome(simulation, policy).earned


def static_regret(simulation: Simulation, policy: str) -> np.ndarray:
    """(P, R): what the one arm that is best over the whole horizon would have earned more; below 0 if it was beaten."""
    best = simulation.fixed[-1].argmax(axis=-1)
    return fixed_earned(simulation, best) - outcome(simulation, policy).earned


def segment_regret(simulation: Simulation, policy: str) -> np.ndarray:
    """(S, R): regret within each segment between changes, against the best arm of that segment."""
    require(not simulation.world.rested, "segment_regret needs a world that changes at known rounds, got a rested one")
    earned, fixed = outcome(simulation, policy).earned, simulation.fixed
    ends = segment_ends(simulation)
    gained = np.diff(np.concatenate([np.zeros_like(earned[:1]), earned[ends]]), axis=0)
    possible = np.diff(np.concatenate([np.zeros_like(fixed[:1]), fixed[ends]]), axis=0)
    return possible.max(axis=2) - gained


def segment_ends(simulation: Simulation) -> np.ndarray:
    """Indices into `points` at which a segment ends: every change within the horizon, and the horizon."""
    horizon = simulation.points[-1]
    ends = [change for change in simulation.world.changes if 0 < change < horizon] + [horizon]
    return np.searchsorted(simulation.points, ends)


def fixed_earned(simulation: Simulation, arm: np.ndarray) -> np.ndarray:
    """(P, R or 1): what playing `arm` (R or 1,) throughout would have earned."""
    return np.take_along_axis(simulation.fixed, arm[None, :, None], axis=2)[:, :, 0]


def best_arm_share(simulation: Simulation, policy: str, first: int = 0) -> np.ndarray:
    """(R,): part of the rounds after the first `first` in which the round's best arm was played; `first` is a point."""
    hits = outcome(simulation, policy).hits
    start = point_index(simulation, first)
    before = hits[start] if start >= 0 else 0.0
    return (hits[-1] - before) / (simulation.points[-1] - first)


def hit_rates(simulation: Simulation, policy: str) -> np.ndarray:
    """(P, R): part of the rounds between one point and the next in which the round's best arm was played."""
    hits = outcome(simulation, policy).hits
    between = np.diff(np.concatenate([np.zeros_like(hits[:1]), hits]), axis=0)
    return between / np.diff(simulation.points, prepend=0)[:, None]


def arm_shares(simulation: Simulation, policy: str) -> np.ndarray:
    """(P, K): part of the plays between one point and the next that each arm had, over all replications."""
    plays = outcome(simulation, policy).plays.mean(axis=1)
    between = np.diff(np.concatenate([np.zeros_like(plays[:1]), plays]), axis=0)
    return between / between.sum(axis=1, keepdims=True)


def recovery_rounds(
    simulation: Simulation, policy: str, change: int, window: int = 50, share: float = 0.5
) -> np.ndarray:
    """(R,): rounds after `change` until the best arm is played in at least `share` of the next `window` rounds.

    Infinite where that does not happen before the next change or the horizon. Needs a simulation with traces.
    """
    require_fraction("share", share, one=True)
    hit = traced(simulation, policy).hit
    later = [c for c in simulation.world.changes if c > change]
    end = min([*later, len(hit)])
    require(change + window <= end, f"window must fit before the next change or the end, {end - change} rounds after")
    sums = np.concatenate([np.zeros((1, hit.shape[1])), hit[change:end].cumsum(axis=0)])
    settled = (sums[window:] - sums[:-window]) >= share * window
    return np.where(settled.any(axis=0), settled.argmax(axis=0), np.inf)


@dataclass(frozen=True)
class Detections:
    """How a change detector did. Rounds are counted from the change's first round, 1 for an alarm after that round."""

    delay: np.ndarray  # (changes, R): rounds from a change to the first alarm before the next; infinite if none came
    false_alarms: np.ndarray  # (R,): alarms besides the first after each change


def detections(simulation: Simulation, policy: str) -> Detections:
    """Delays and false alarms of a policy that reports changes. Needs a simulation with traces."""
    alarm = traced(simulation, policy).alarm
    bounds = [*(change for change in simulation.world.changes if change < len(alarm)), len(alarm)]
    delay = np.full((len(bounds) - 1, alarm.shape[1]), np.inf)
    for row, (start, end) in enumerate(pairwise(bounds)):
        segment = alarm[start:end]
        delay[row] = np.where(segment.any(axis=0), segment.argmax(axis=0) + 1, np.inf)
    return Detections(delay, alarm.sum(axis=0) - np.isfinite(delay).sum(axis=0))


@dataclass(frozen=True)
class Interval:
    """A mean over replications and its bootstrap confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap(values: np.ndarray, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean of (R,) replications (Efron 1979). level: coverage of the interval."""
    require_fraction("level", level)
    values = np.asarray(values, dtype=np.float64)
    require(values.ndim == 1 and values.size >= 2, f"values must be (R,) with R of at least 2, got {values.shape}")
    generator = np.random.default_rng(seed)
    picks = generator.integers(values.size, size=(resamples, values.size))
    low, high = np.quantile(values[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def paired_difference(first: np.ndarray, second: np.ndarray, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean of first − second over replications that met the same luck; an interval without 0 tells the two apart.

    Pairing takes out what both owe to the luck that they share, so it is sharper than comparing two intervals.
    """
    require(np.shape(first) == np.shape(second), f"pairs must match, got {np.shape(first)} and {np.shape(second)}")
    return bootstrap(np.asarray(first) - np.asarray(second), level, seed=seed)


def band(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (P,) over replications of (P, R), and the ends of its normal-theory confidence band."""
    mean = values.mean(axis=1)
    half = NormalDist().inv_cdf((1 + level) / 2) * values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return mean, mean - half, mean + half


def outcome(simulation: Simulation, policy: str) -> Outcome:
    """The outcome of one policy by its name. Raises ConfigError with the nearest one for a name that did not play."""
    if policy not in simulation.outcomes:
        raise ConfigError(f"no policy {policy!r} in this simulation{nearest(policy, list(simulation.outcomes))}")
    return simulation.outcomes[policy]


def traced(simulation: Simulation, policy: str) -> History:
    """The trace of one policy. Raises ConfigError if none was kept."""
    trace = outcome(simulation, policy).trace
    if trace is None:
        raise ConfigError("this measure needs every round: simulate with traces=True, got a simulation without")
    return trace


def point_index(simulation: Simulation, rounds: int) -> int:
    """Where `rounds` finished rounds are among the points; −1 for 0. Raises ConfigError if they are no point."""
    if rounds == 0:
        return -1
    near = int(np.abs(simulation.points - rounds).argmin())
    is_point = simulation.points[near] == rounds
    require(
        bool(is_point), f"first must be one of the simulation's points, got {rounds}, near {simulation.points[near]}"
    )
    return near
