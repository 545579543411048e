"""Worlds: tables of known means, one row per round, plus noise.

A world hands out its means in blocks (rounds, R or 1, K), so that a long one never lies in memory as a whole; 1 instead
of R where all replications live in the same world. In a *restless* world row t holds in round t, whatever is played. In
a *rested* world row n holds for an arm that was played n times: it changes only by being played.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from optima_lab.bandits.arms import masks_of
from optima_lab.bandits.policies.base import require_positive
from optima_lab.errors import ConfigError, nearest, require

Blocks = Callable[[int, int, np.random.Generator, int], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Gaussian:
    """r = mean + std · z, z ~ N(0, 1). std in units of the reward: one number, or one per arm."""

    std: float | tuple[float, ...] = 0.02

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """The chance that a world keeps ready for each round and replication, one for all arms."""
        return generator.standard_normal(shape)

    def reward(self, mean: np.ndarray, chance: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Rewards (R,) of arms (R,) with these means and this round's chance."""
        return mean + chance * deviation(self.std, arm)

    def expected(self, means: np.ndarray) -> np.ndarray:
        """True expected rewards (…, K) of a table of means."""
        return means


@dataclass(frozen=True)
class Clipped:
    """r = max(0, mean + std · z): Gaussian noise under the clip of Eq. 6 of arXiv 2310.04550."""

    std: float | tuple[float, ...] = 0.02

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.standard_normal(shape)

    def reward(self, mean: np.ndarray, chance: np.ndarray, arm: np.ndarray) -> np.ndarray:
        return np.maximum(0.0, mean + chance * deviation(self.std, arm))

    def expected(self, means: np.ndarray) -> np.ndarray:
        """E max(0, m + σz) = m Φ(m/σ) + σ φ(m/σ): a little above m."""
        from scipy.special import ndtr  # here: whoever trains needs policies alone, and scipy takes longer than numpy

        std = np.asarray(self.std)
        ratio = means / std
        return means * ndtr(ratio) + std * np.exp(-(ratio**2) / 2) / np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Coins:
    """r = 1 with probability mean, else 0."""

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.random(shape)

    def reward(self, mean: np.ndarray, chance: np.ndarray, arm: np.ndarray) -> np.ndarray:
        return (chance < mean).astype(np.float64)

    def expected(self, means: np.ndarray) -> np.ndarray:
        return means


Noise = Gaussian | Clipped | Coins


def deviation(std: float | tuple[float, ...], arm: np.ndarray) -> float | np.ndarray:
    """The standard deviation that belongs to these arms."""
    return np.asarray(std)[arm] if isinstance(std, tuple) else std


@dataclass(frozen=True)
class World:
    """Means, noise, and what is known of the changes."""

    title: str
    arms: int
    noise: Noise
    blocks: Blocks  # (horizon, replications, generator, size) → arrays (at most size, R or 1, K), `horizon` rows in all
    changes: tuple[int, ...] = ()  # rounds, from 0, that are the first under new means
    rested: bool = False  # row n is for an arm played n times, not for round n

    def table(self, horizon: int, replications: int = 1, seed: int = 0) -> np.ndarray:
        """All true expected rewards (horizon, R or 1, K), to be drawn or checked."""
        generator = np.random.default_rng(seed)
        return self.noise.expected(np.concatenate(list(self.blocks(horizon, replications, generator, horizon))))


def from_table(
    means: np.ndarray, noise: Noise, changes: tuple[int, ...] = (), rested: bool = False, title: str = "table"
) -> World:
    """A world from its table of means (rounds, K), in units of the reward. Raises ConfigError beyond its last row."""
    means = np.asarray(means, dtype=np.float64)
    require(means.ndim == 2 and bool(np.isfinite(means).all()), f"means must be finite (rounds, K), got {means.shape}")
    check_coins(means, noise)

    def blocks(horizon: int, _replications: int, _generator: np.random.Generator, size: int) -> Iterator[np.ndarray]:
        require(horizon <= len(means), f"horizon must be at most the table's {len(means)} rounds, got {horizon}")
        for first in range(0, horizon, size):
            yield means[first : min(first + size, horizon), None]

    return World(title, means.shape[1], noise, blocks, tuple(changes), rested)


def from_function(
    means: Callable[[np.ndarray], np.ndarray],
    arms: int,
    noise: Noise,
    changes: tuple[int, ...] = (),
    rested: bool = False,
    title: str = "function",
) -> World:
    """A world from a function of round numbers (n, 1), from 0, to means (n, K)."""
    check_coins(means(np.zeros((1, 1))), noise)

    def blocks(horizon: int, _replications: int, _generator: np.random.Generator, size: int) -> Iterator[np.ndarray]:
        for first in range(0, horizon, size):
            rounds = np.arange(first, min(first + size, horizon))
            yield np.broadcast_to(means(rounds[:, None]), (len(rounds), arms))[:, None]

    return World(title, arms, noise, blocks, tuple(changes), rested)


def shared_modules(contributions: tuple[float, ...], base: float, noise: Noise, title: str = "shared modules") -> World:
    """A still world of all 2^c − 1 arms: an arm's mean is base + the sum of its modules' contributions.

    In the order of `Arms.sets`; base and contributions in units of the reward.
    """
    modules = len(contributions)
    member = masks_of(np.arange(2**modules - 1), modules)
    return piecewise(base + member @ np.array(contributions), (), noise, title)


def check_coins(means: np.ndarray, noise: Noise) -> None:
    """Coins have probabilities."""
    inside = not isinstance(noise, Coins) or (means.min() >= 0 and means.max() <= 1)
    require(inside, f"means of coin tosses must be in [0, 1], got {means.min():g} … {means.max():g}")


def piecewise(segments: np.ndarray, changes: tuple[int, ...], noise: Noise, title: str = "piecewise") -> World:
    """Means (S, K) that hold from one change to the next; `changes` are S − 1 rounds, increasing."""
    segments = np.atleast_2d(np.asarray(segments, dtype=np.float64))
    right = len(segments) == len(changes) + 1 and list(changes) == sorted(set(changes))
    require(right, f"changes must be {len(segments) - 1} increasing rounds for {len(segments)} segments, got {changes}")
    bounds = np.array(changes, dtype=np.int64)

    def means(rounds: np.ndarray) -> np.ndarray:
        return segments[np.searchsorted(bounds, rounds[:, 0], side="right")]

    check_coins(segments, noise)
    return from_function(means, segments.shape[1], noise, changes, title=title)


def random_walk(arms: int, low: float, high: float, step_std: float, noise: Noise, title: str = "random walk") -> World:
    """Independent walks between reflecting walls `low` and `high`, from a uniform start, of their own per replication.

    step_std: standard deviation of a mean's step per round, in units of the reward.
    """
    require(low < high, f"low must be below high, got {low:g} and {high:g}")
    require_positive("step_std", step_std, zero=True)
    check_coins(np.array([low, high]), noise)

    def blocks(horizon: int, replications: int, generator: np.random.Generator, size: int) -> Iterator[np.ndarray]:
        position = generator.uniform(0, high - low, (1, replications, arms))
        for first in range(0, horizon, size):
            steps = step_std * generator.standard_normal((min(size, horizon - first), replications, arms))
            path = np.cumsum(np.concatenate([position, steps]), axis=0)[1:]
            position = path[-1:]
            yield high - np.abs(
                path % (2 * (high - low)) - (high - low)
            )  # a walk folded at its walls is a reflected one

    return World(title, arms, noise, blocks)


def make_world(
    name: str,
    horizon: int = 1000,
    arms: int = 7,
    low: float = 0.02,
    high: float = 0.06,
    noise_std: float = 0.02,
    clip: bool = True,
) -> World:
    """One of `WORLDS` by name, with means between low and high (OPTIMA's rewards by default).

    noise_std: of one reward, in units of the reward; 0 makes rewards coin tosses.  clip: cut rewards at 0, as Eq. 6.
    Raises ConfigError for a name that does not exist or means out of order.
    """
    if name not in WORLDS:
        raise ConfigError(f"world must be one of {', '.join(WORLDS)}, got {name!r}{nearest(name, list(WORLDS))}")
    require(low < high, f"low must be below high, got {low:g} and {high:g}")
    require(horizon >= 10, f"horizon must be at least 10 rounds, got {horizon}")
    require(arms >= 2, f"arms must be at least 2, got {arms}")
    require_positive("noise_std", noise_std, zero=True)
    noise = Coins() if noise_std == 0 else Clipped(noise_std) if clip else Gaussian(noise_std)
    return WORLDS[name](horizon, arms, low, high, noise)


def stationary(horizon: int, arms: int, low: float, high: float, noise: Noise) -> World:
    """Evenly spaced means that never change; the last arm is the best."""
    return piecewise(np.linspace(low, high, arms), (), noise, "stationary")


def three_pieces(horizon: int, arms: int, low: float, high: float, noise: Noise) -> World:
    """Evenly spaced means, handed round at 30 % and 60 % of the horizon so that the best arm changes each time."""
    means, shift = np.linspace(low, high, arms), max(1, (2 * arms) // 5)
    segments = np.stack([np.roll(means, -shift * piece) for piece in range(3)])
    return piecewise(segments, (3 * horizon // 10, 6 * horizon // 10), noise, "piecewise stationary")


def swap(horizon: int, arms: int, low: float, high: float, noise: Noise) -> World:
    """The best and the worst arm change places half-way; the others stay."""
    before = np.linspace(low, high, arms)
    after = before.copy()
    after[[0, -1]] = before[[-1, 0]]
    return piecewise(np.stack([before, after]), (horizon // 2,), noise, "abrupt swap")


def walk(horizon: int, arms: int, low: float, high: float, noise: Noise) -> World:
    """A bounded random walk that crosses about the whole range in the horizon: step = 2 (high − low) / √horizon."""
    return random_walk(arms, low, high, 2 * (high - low) / np.sqrt(horizon), noise)


def sinusoidal(horizon: int, arms: int, low: float, high: float, noise: Noise) -> World:
    """Waves of two periods in the horizon, evenly out of phase: every arm is the best for a while."""

    def means(rounds: np.ndarray) -> np.ndarray:
        phase = 2 * rounds / horizon + np.arange(arms) / arms
        return (low + high) / 2 + (high - low) / 2 * np.sin(2 * np.pi * phase)

    return from_function(means, arms, noise, title="sinusoidal")


def rotting(horizon: int, arms: int, low: float, high: float, noise: Noise) -> World:
    """Rested rotting: an arm falls only by being played, as what a module has left to learn shrinks by distilling it.

        mean_k(n) = low + (start_k − low) exp(−n / life_k)   after n plays

    Starts rise from the middle of the range to `high`; the higher the start, the shorter the life: no arm stays best.
    Playing the arm of the highest current mean is optimal (Heidari, Kearns and Roth, IJCAI 2016).
    """
    start, life = np.linspace((low + high) / 2, high, arms), horizon / np.linspace(2, 10, arms)

    def means(plays: np.ndarray) -> np.ndarray:
        return low + (start - low) * np.exp(-plays / life)

    return from_function(means, arms, noise, rested=True, title="rotting (rested)")


WORLDS: dict[str, Callable[[int, int, float, float, Noise], World]] = {
    "stationary": stationary,
    "piecewise": three_pieces,
    "swap": swap,
    "walk": walk,
    "sinusoidal": sinusoidal,
    "rotting": rotting,
}
