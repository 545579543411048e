"""Many replications of many policies at once, in one world.

Randomness comes in streams with names of their own: the world's means, the rewards' chance (one number per round and
replication, the same for all policies and arms), and each policy's own draws. So all policies meet the same luck, which
makes their differences sharp, and adding or removing a policy changes no number of the others.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from optima_lab.bandits.environments import World
from optima_lab.bandits.policies.base import Policy, State
from optima_lab.errors import require


@dataclass(frozen=True)
class History:
    """Everything that happened to one policy: T·R numbers each, so only kept on demand."""

    arm: np.ndarray  # int16 (T, R)
    reward: np.ndarray  # float64 (T, R)
    hit: np.ndarray  # bool (T, R): the arm was the best of its round
    alarm: np.ndarray  # bool (T, R): the policy reported a change after this round; all False if it detects none


@dataclass(frozen=True)
class Outcome:
    """What one policy earned. Cumulated over the rounds before each of the P points."""

    earned: np.ndarray  # (P, R): expected rewards of the arms played, in units of the reward
    hits: np.ndarray  # (P, R): rounds in which the arm with the highest mean was played
    plays: np.ndarray  # int32 (P, R, K)
    state: State  # at the end
    trace: History | None


@dataclass(frozen=True)
class Simulation:
    """What simulate returns. `points` are numbers of finished rounds; every change and the horizon are among them."""

    world: World
    points: np.ndarray  # int64 (P,)
    best: np.ndarray  # (P, R or 1): cumulated expected reward of always playing the best arm of the round
    fixed: np.ndarray  # (P, R or 1, K): cumulated expected reward of playing one arm throughout
    outcomes: dict[str, Outcome]


def simulate(
    world: World,
    policies: Mapping[str, Policy],
    horizon: int = 1000,
    replications: int = 200,
    seed: int = 0,
    traces: bool = False,
    points: int = 200,
) -> Simulation:
    """Play every policy in the same world with the same luck.

    policies: by the name that results carry; a name also names its stream. horizon: rounds. points: at how many rounds,
    evenly spaced, cumulated numbers are kept. Memory grows with replications · (points · arms + a block of rounds),
    with `traces` also with horizon · replications. Time is linear in policies · replications · horizon · arms.
    """
    require(horizon >= 1, f"horizon must be at least 1 round, got {horizon}")
    require(replications >= 1, f"replications must be at least 1, got {replications}")
    require(points >= 1, f"points must be at least 1, got {points}")
    marks = choose_points(horizon, points, world.changes)
    size = block_rounds(replications, world.arms)
    truth = Recorder(marks)
    players = {
        name: PolicyRunner(policy, world, marks, replications, horizon if traces else 0, stream(seed, "policy", name))
        for name, policy in policies.items()
    }
    for first, means, chance in blocks(world, horizon, replications, seed, size):
        expected = world.noise.expected(means)
        truth.add(first, best=expected.max(axis=2), fixed=expected)
        for player in players.values():
            player.play(first, means, expected, chance)
    best = best_rested(world, horizon)[marks - 1] if world.rested else truth.cumulative["best"]
    outcomes = {name: player.outcome() for name, player in players.items()}
    return Simulation(world, marks, best, truth.cumulative["fixed"], outcomes)


def block_rounds(replications: int, arms: int) -> int:
    """How many rounds of a world are made at a time: about 2 MB of means, and enough that making them costs little."""
    return int(np.clip(2**18 // (replications * arms), 16, 1024))


def stream(seed: int, *names: str) -> np.random.Generator:
    """The generator of this name under this seed; other names give independent ones."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    key = tuple(int.from_bytes(digest[i : i + 4], "little") for i in (0, 4, 8, 12))
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))


def choose_points(horizon: int, points: int, changes: tuple[int, ...]) -> np.ndarray:
    """At most `points` evenly spaced numbers of finished rounds, the horizon the last, and every change besides."""
    even = np.linspace(0, horizon, min(points, horizon) + 1).round().astype(np.int64)[1:]
    return np.unique(np.concatenate([even, [change for change in changes if 0 < change < horizon]]).astype(np.int64))


def blocks(
    world: World, horizon: int, replications: int, seed: int, size: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(first round, means (n, R or 1, K), chance (n, R)) of the world, whoever plays in it."""
    luck, first = stream(seed, "rewards"), 0
    for means in world.blocks(horizon, replications, stream(seed, "world"), size):
        yield first, means, world.noise.draw((len(means), replications), luck)
        first += len(means)


def best_rested(world: World, horizon: int) -> np.ndarray:
    """(T, 1): what the best player of a rested, falling world has earned: the highest values of the table, in order."""
    table = world.table(horizon)[:, 0]
    falling = bool((np.diff(table, axis=0) <= 1e-12).all())
    require(falling, "a rested world's means must never rise by being played, got a table that rises")
    return np.sort(table, axis=None)[::-1][:horizon].cumsum()[:, None]


class Recorder:
    """Keeps cumulated sums at the points, and no more: the rounds in between are forgotten."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = points
        self.total: dict[str, np.ndarray] = {}
        self.cumulative: dict[str, np.ndarray] = {}

    def add(self, first: int, **values: np.ndarray) -> None:
        """Rounds first … first + n − 1, each value (n, …)."""
        for name, value in values.items():
            sums = np.concatenate([self.total.get(name, np.zeros_like(value[:1], np.float64)), value]).cumsum(axis=0)
            self.total[name] = sums[-1:]
            inside = (self.points > first) & (self.points <= first + len(value))
            if name not in self.cumulative:
                self.cumulative[name] = np.zeros((len(self.points), *value.shape[1:]))
            self.cumulative[name][inside] = sums[self.points[inside] - first]


class PolicyRunner:
    """One policy at play: the mutable side of a simulation, gone when it is over."""

    def __init__(
        self,
        policy: Policy,
        world: World,
        points: np.ndarray,
        replications: int,
        traced_rounds: int,
        generator: np.random.Generator,
    ) -> None:
        self.policy, self.world, self.generator = policy, world, generator
        self.state = policy.init(world.arms, replications, generator)
        self.sums = Recorder(points)
        self.plays = np.zeros((len(points), replications, world.arms), np.int32)
        self.row = np.arange(replications)
        shape = traced_rounds, replications
        self.trace = History(np.zeros(shape, np.int16), np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool))
        self.rested = Rested(world, int(points[-1]), replications) if world.rested else None

    def play(self, first: int, means: np.ndarray, expected: np.ndarray, chance: np.ndarray) -> None:
        """One block of rounds: select, be rewarded, learn; then the books."""
        arm, reward = np.zeros(chance.shape, np.int64), np.zeros(chance.shape)
        alarm = np.zeros(chance.shape, bool)
        for t in range(len(chance)):
            now = self.rested.means() if self.rested else means[t]
            if "truth" in self.state:
                self.state["truth"][:] = now
            arm[t] = chosen = self.policy.select(self.state, self.generator).arm
            mean = now[0].take(chosen) if len(now) == 1 else now[self.row, chosen]
            reward[t] = self.world.noise.reward(mean, chance[t], chosen)
            self.policy.learn(self.state, chosen, reward[t])
            if self.rested:
                self.rested.wear(chosen)
            if "alarm" in self.state:
                alarm[t] = self.state["alarm"]
        self.book(first, arm, reward, alarm, expected)

    def book(self, first: int, arm: np.ndarray, reward: np.ndarray, alarm: np.ndarray, expected: np.ndarray) -> None:
        """Note what the block's rounds were worth in expectation, and how often each arm was played."""
        if self.rested:
            earned, best = self.rested.settle()
        else:
            earned = np.take_along_axis(expected, arm[:, :, None], axis=2)[:, :, 0]
            best = expected.max(axis=2)
        hit = earned >= best - 1e-12
        self.sums.add(first, earned=earned, hits=hit)
        self.count(first, arm)
        for name, value in (("arm", arm), ("reward", reward), ("hit", hit), ("alarm", alarm)):
            getattr(self.trace, name)[first : first + len(arm)] = value[: len(self.trace.arm)]

    def count(self, first: int, arm: np.ndarray) -> None:
        """Add the block's arms (n, R) to the first point that comes after each round."""
        cell = self.row * self.plays.shape[2] + arm
        index, start = int(np.searchsorted(self.sums.points, first, side="right")), 0
        while start < len(arm):
            end = min(int(self.sums.points[index]) - first, len(arm))
            played = np.bincount(cell[start:end].ravel(), minlength=self.plays[0].size)
            self.plays[index] += played.reshape(self.plays.shape[1:]).astype(np.int32)
            index, start = index + 1, end

    def outcome(self) -> Outcome:
        """The books, closed."""
        sums = self.sums.cumulative
        trace = self.trace if len(self.trace.arm) else None
        return Outcome(sums["earned"], sums["hits"], self.plays.cumsum(axis=0, dtype=np.int32), self.state, trace)


class Rested:
    """How worn each arm of a rested world is for one player."""

    def __init__(self, world: World, horizon: int, replications: int) -> None:
        rows = list(world.blocks(horizon + 1, 1, np.random.default_rng(0), horizon + 1))
        self.means_by_play = np.concatenate(rows)[:, 0]
        self.expected_by_play = world.noise.expected(self.means_by_play)
        self.played = np.zeros((replications, world.arms), np.int64)
        self.row, self.column = np.arange(replications), np.arange(world.arms)
        self.earned: list[np.ndarray] = []
        self.best: list[np.ndarray] = []

    def means(self) -> np.ndarray:
        """Current means (R, K)."""
        return self.means_by_play[self.played, self.column]

    def wear(self, arm: np.ndarray) -> None:
        """Book the arms (R,) just played at what they were worth, and wear them."""
        worth = self.expected_by_play[self.played, self.column]
        self.earned.append(worth[self.row, arm])
        self.best.append(worth.max(axis=1))
        self.played[self.row, arm] += 1

    def settle(self) -> tuple[np.ndarray, np.ndarray]:
        """Expected rewards (n, R) of the arms played since the last call, and the best there were."""
        earned, best = np.array(self.earned), np.array(self.best)
        self.earned, self.best = [], []
        return earned, best
