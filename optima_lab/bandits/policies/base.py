"""The interface that every policy obeys: a frozen description beside an explicit state of named arrays.

Shapes: R replications are run at once, K arms. A state is a dict of numpy arrays (R, K) unless a policy says otherwise;
`round` is a scalar array that counts finished rounds. One replication is the case R = 1, so the object that drives a
training run is the one that is simulated and replayed.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from optima_lab.errors import RecordError, require
from optima_lab.files import expand, replacing

State = dict[str, np.ndarray]
LISTED_ARMS = 64  # up to here states and records hold numbers of every arm, whatever the policy


class Selection(NamedTuple):
    """One round's choice."""

    arm: np.ndarray  # int64 (R,)
    scores: np.ndarray  # float64 (R, K): draws or indices of this round; NaN where nothing was compared
    initial: bool = False  # True in the forced plays before the policy decides by itself


class Posterior(NamedTuple):
    """What a policy believes of each arm's mean reward: a Gaussian's moments, in units of the reward."""

    mean: np.ndarray  # (R, K)
    deviation: np.ndarray  # standard deviation, not variance; (R, K)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """r̂ (R, K), one independent Gaussian draw per arm: the heart of Thompson sampling."""
        draws = generator.standard_normal(self.mean.shape)
        draws *= self.deviation
        draws += self.mean
        return draws


@dataclass(frozen=True)
class Policy(ABC):
    """How arms are chosen. Subclasses are frozen dataclasses of parameters; whatever changes is in the state."""

    name: ClassVar[str]

    def __init_subclass__(cls, **options: Any) -> None:
        """A policy that says no name is called as its class."""
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    @abstractmethod
    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        """The state before the first round."""

    @abstractmethod
    def select(self, state: State, generator: np.random.Generator) -> Selection:
        """The arm of each replication in the coming round; does not change `state`."""

    @abstractmethod
    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        """`update` in place and unchecked: what a simulation calls on a state that it alone holds."""

    def posterior(self, state: State) -> Posterior | None:
        """What the policy believes of the arms' means, or None if it holds no such belief.

        Its arrays may be views of `state`: copy them to keep them while the state learns on.
        """
        return None

    def sizes(self, state: State) -> tuple[int, int]:
        """R and K of a state."""
        replications, arms = state["plays"].shape
        return replications, arms

    def summary(self, state: State) -> dict[str, np.ndarray]:
        """What a record of a round keeps of the state: arrays (R, …) by name, views of it or new.

        `mean` and `deviation` of every arm's belief and its `plays` (R, K), as far as the policy has them.
        """
        belief = self.posterior(state)
        arrays = {} if belief is None else {"mean": belief.mean, "deviation": belief.deviation}
        return arrays | ({"plays": state["plays"]} if "plays" in state else {})

    def update(self, state: State, arm: np.ndarray, reward: np.ndarray) -> State:
        """The state after `arm` (R,) brought `reward` (R,); `state` itself stays as it was.

        Raises ConfigError if a reward is not finite, an arm does not exist, or an array is not (R,).
        """
        arm, reward = np.asarray(arm), np.asarray(reward, dtype=np.float64)
        replications, arms = self.sizes(state)
        for name, array in (("arm", arm), ("reward", reward)):
            require(array.shape == (replications,), f"{name} must have shape ({replications},), got {array.shape}")
        require(bool(np.isfinite(reward).all()), f"reward must be finite, got {reward}")
        require(bool(((arm >= 0) & (arm < arms)).all()), f"arm must be in 0 … {arms - 1}, got {arm}")
        new = {name: array.copy() for name, array in state.items()}
        self.learn(new, arm, reward)
        return new


def counters(arms: int, replications: int) -> State:
    """`round` () and `plays` (R, K), both zero: what nearly every policy counts."""
    require(arms >= 1, f"arms must be at least 1, got {arms}")
    require(replications >= 1, f"replications must be at least 1, got {replications}")
    return {"round": np.zeros((), np.int64), "plays": np.zeros((replications, arms))}


def initial_order(arms: int, replications: int, plays: int, generator: np.random.Generator) -> np.ndarray:
    """int64 (R, plays·K): every arm `plays` times, in an order of its own for each replication."""
    rows = np.tile(np.repeat(np.arange(arms), plays), (replications, 1))
    return generator.permuted(rows, axis=1)


def initial_selection(state: State) -> Selection | None:
    """The forced play of this round, or None once the initial plays of `state["order"]` are over."""
    played = int(state["round"])
    if played >= state["order"].shape[1]:
        return None
    return Selection(state["order"][:, played].copy(), np.full(state["plays"].shape, np.nan), True)


def best(scores: np.ndarray, generator: np.random.Generator) -> Selection:
    """The arm of the highest score (R, K) in each replication; among equals any with equal chance."""
    return Selection(top_arm(scores, generator), scores)


def best_draw(belief: Posterior, generator: np.random.Generator) -> Selection:
    """Thompson sampling: draw from every arm's posterior and play the highest.

    Draws are looked through for equals only where their spread is lost in the rounding of the means; elsewhere two are
    equal once in 10⁹ rounds.
    """
    draws, mean = belief.draw(generator), belief.mean.ravel()
    narrowest = belief.deviation.item(belief.deviation.argmin())
    if narrowest**2 > 1e-12 * float(mean.dot(mean)):  # the sum of squares is at least the largest
        return Selection(draws.argmax(axis=1), draws)
    return best(draws, generator)


def top_arm(scores: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """int64 (R,): the arm of the highest score (R, K); among equals any with equal chance.

    `generator` is asked only where there are equals, so a policy whose scores differ draws what it always drew.
    """
    arm = scores.argmax(axis=1)
    equal = scores == scores.ravel()[row_starts(*scores.shape) + arm][:, None]
    if np.count_nonzero(equal) == len(arm):
        return arm
    count = equal.sum(axis=1)
    tied = np.flatnonzero(count > 1)
    place = np.floor(generator.random(tied.size) * count[tied])[:, None]
    arm[tied] = (equal[tied].cumsum(axis=1) > place).argmax(axis=1)
    return arm


def flat_index(state: State, arm: np.ndarray) -> np.ndarray:
    """int64 (R,): where each replication's arm lies in `array.ravel()` of an (R, K) array.

    One flat index is twice as fast as a pair. A state's arrays are C-contiguous, so `ravel()` is a view of them.
    """
    return row_starts(*state["plays"].shape) + arm


@lru_cache(maxsize=8)
def row_starts(replications: int, arms: int) -> np.ndarray:
    """0, K, 2K, …: where the rows of an (R, K) array start."""
    starts = np.arange(replications) * arms
    starts.flags.writeable = False
    return starts


def count_play(state: State, cell: np.ndarray) -> None:
    """n_a ← n_a + 1 and one more round, in place."""
    state["plays"].ravel()[cell] += 1
    count_round(state)


def count_round(state: State) -> None:
    """One more round, in place; `+= 1` on a scalar array takes five times as long."""
    state["round"].fill(int(state["round"]) + 1)


def require_fraction(name: str, value: float, zero: bool = False, one: bool = False) -> None:
    """`value` must lie in (0, 1); `zero` and `one` admit the ends."""
    inside = (value >= 0 if zero else value > 0) and (value <= 1 if one else value < 1)
    require(inside, f"{name} must be in {'[' if zero else '('}0, 1{']' if one else ')'}, got {value}")


def require_positive(name: str, value: float, zero: bool = False) -> None:
    """`value` must be finite and above zero (or not below, with `zero`)."""
    inside = bool(np.isfinite(value)) and (value >= 0 if zero else value > 0)
    require(inside, f"{name} must be {'at least 0' if zero else 'positive'} and finite, got {value}")


def save_state(path: str | Path, state: State) -> None:
    """Write a state as .npz, exactly and at once (a reader sees the old file or the new one, never half of it)."""
    with replacing(expand(path), durable=True) as part, part.open("wb") as file:
        np.savez(file, **state)  # pyright: ignore[reportArgumentType]


def load_state(path: str | Path) -> State:
    """Read what `save_state` wrote: the same names, types, shapes and bits. Raises RecordError if it cannot be read."""
    try:
        with np.load(expand(path), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise RecordError(f"{path} is not a saved bandit state: {error}") from error
