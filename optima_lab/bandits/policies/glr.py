"""GLR-klUCB: kl-UCB with a test for a change that needs no knowledge of its size."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optima_lab.bandits.policies.base import (
    Policy,
    Selection,
    State,
    count_play,
    counters,
    flat_index,
    require,
    require_fraction,
    require_positive,
    top_arm,
)
from optima_lab.bandits.policies.beta import in_range


@dataclass(frozen=True)
class GlrKlUcb(Policy):
    """GLR-klUCB of Besson, Kaufmann, Maillard and Seznec (JMLR 23, 2022; arXiv 1902.01575).

    With y = r / reward_max and kl the relative entropy of two coins, the rewards y_1 … y_n of an arm since its restart
    raise an alarm if

        max_s  s kl(ȳ_{1:s}, ȳ_{1:n}) + (n − s) kl(ȳ_{s+1:n}, ȳ_{1:n})  >  log(3 n^{3/2} / delta)

    An alarm restarts all arms, or with `everywhere=False` that arm alone. After k alarms, with α = min(1, exploration
    √(k+1)), each arm, the last one too, is forced once in every ⌊K/α⌋ rounds. Else the highest index is played,

        index_k = max{q : N_k kl(μ_k, q) ≤ log t_k},   t_k rounds since the restart; an unplayed arm comes first

    Assumes piecewise-stationary rewards in [0, reward_max]. Advised: exploration = √(K log T / T), delta = 1/√T.
    Departure: the maximum runs over at most `splits` values of s, every one while n ≤ splits, then evenly thinned
    (the authors thin too), so memory and time are bounded; every `every`-th play is tested.

    exploration: rate of forced plays, no unit.  delta: probability of a false alarm.  reward_max: in units of the
    reward.  everywhere: yes or no.  splits: number.  every: plays.
    State: plays, sums since restart, start = round of the restart, stride = s between kept splits (R, K); partial
    (R, K, splits) sums of the first stride, 2 stride, … rewards; alarms (R,) so far; alarm (R,) of the last round.
    """

    exploration: float = 0.1
    delta: float = 0.03
    reward_max: float = 1.0
    everywhere: bool = True
    splits: int = 128
    every: int = 5
    name: ClassVar[str] = "glr_klucb"

    def __post_init__(self) -> None:
        require_fraction("exploration", self.exploration, one=True)
        require_fraction("delta", self.delta)
        require_positive("reward_max", self.reward_max)
        require(self.splits >= 2, f"splits must be at least 2, got {self.splits}")
        require(self.splits % 2 == 0, f"splits must be even, got {self.splits}")
        require(self.every >= 1, f"every must be at least 1 play, got {self.every}")

    def init(self, arms: int, replications: int, generator: np.random.Generator) -> State:
        shape = replications, arms
        return counters(arms, replications) | {
            "sums": np.zeros(shape),
            "start": np.zeros(shape, np.int64),
            "stride": np.ones(shape, np.int64),
            "partial": np.zeros((*shape, self.splits)),
            "alarms": np.zeros(replications, np.int64),
            "alarm": np.zeros(replications, bool),
        }

    def select(self, state: State, generator: np.random.Generator) -> Selection:
        plays = state["plays"]
        elapsed = np.maximum(int(state["round"]) - state["start"], 1)
        level = np.log(elapsed) / np.maximum(plays, 1.0)
        index = self.reward_max * kl_upper(state["sums"] / np.maximum(plays, 1.0), level)
        scores = np.where(plays > 0, index, np.inf)
        return Selection(self.forced(state, top_arm(scores, generator)), scores)

    def forced(self, state: State, otherwise: np.ndarray) -> np.ndarray:
        """The arm (R,) whose forced turn it is in this round, `otherwise` where it is none's."""
        arms = state["plays"].shape[1]
        rate = np.minimum(1.0, self.exploration * np.sqrt(state["alarms"] + 1))
        turn = int(state["round"]) % np.floor(arms / rate).astype(np.int64)
        return np.where(turn < arms, turn, otherwise)

    def learn(self, state: State, arm: np.ndarray, reward: np.ndarray) -> None:
        cell = flat_index(state, arm)
        state["sums"].ravel()[cell] += in_range(reward, self.reward_max)
        count_play(state, cell)
        keep_split(state, cell)
        due = np.flatnonzero(state["plays"].ravel()[cell] % self.every == 0)
        state["alarm"] = np.zeros(arm.shape[0], bool)
        state["alarm"][due] = self.changed(state, due, arm[due])
        state["alarms"] += state["alarm"]
        self.restart(state, np.flatnonzero(state["alarm"]), arm)

    def changed(self, state: State, row: np.ndarray, arm: np.ndarray) -> np.ndarray:
        """Whether the test raises an alarm, for the arm (n,) of each replication in `row` (n,)."""
        n, total = state["plays"][row, arm][:, None], state["sums"][row, arm][:, None]
        s = state["stride"][row, arm][:, None] * np.arange(1, self.splits + 1)
        first = state["partial"][row, arm]
        inside = s < n
        before = first / s
        after = (total - first) / np.where(inside, n - s, 1)
        statistic = s * kl(before, total / n) + (n - s) * kl(after, total / n)
        return np.where(inside, statistic, 0.0).max(axis=1) > np.log(3 * n[:, 0] ** 1.5 / self.delta)

    def restart(self, state: State, row: np.ndarray, arm: np.ndarray) -> None:
        """Forget what replications `row` (n,) know: of all arms, or only of the one just played. In place."""
        where = (row,) if self.everywhere else (row, arm[row])
        state["plays"][where], state["sums"][where], state["partial"][where] = 0.0, 0.0, 0.0
        state["stride"][where], state["start"][where] = 1, int(state["round"])


def keep_split(state: State, cell: np.ndarray) -> None:
    """Note the arm's running sum where n is a multiple of its stride; when the notes are full, keep every second."""
    splits, stride = state["partial"].shape[2], state["stride"].ravel()
    partial = state["partial"].reshape(-1, splits)
    n = state["plays"].ravel()[cell].astype(np.int64)
    full = cell[n > stride[cell] * splits]
    if full.size:
        every_second = partial[full, 1::2]
        partial[full] = np.concatenate([every_second, np.zeros_like(every_second)], axis=1)
        stride[full] *= 2
    due = n % stride[cell] == 0
    partial[cell[due], n[due] // stride[cell[due]] - 1] = state["sums"].ravel()[cell[due]]


def kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Relative entropy p log(p/q) + (1 − p) log((1 − p)/(1 − q)) of two coins, in nats; 0 log 0 = 0."""
    tiny = 1e-12
    p, q = np.clip(p, tiny, 1 - tiny), np.clip(q, tiny, 1 - tiny)
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def kl_upper(p: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The largest q ≥ p with kl(p, q) ≤ level, by six steps of Newton's method from the right.

    kl is convex in q and rises from p on, so steps from an upper bound of q fall towards it and never pass it. Bounds
    are Pinsker's p + √(level/2), and what is left if p log(p/q) is bounded by p log p.
    """
    tiny = 1e-12
    p = np.clip(p, tiny, 1 - 3 * tiny)  # leaves room for q between p and 1
    rest, p_log_p = 1 - p, p * np.log(p)
    goal = level - p_log_p - rest * np.log(rest)
    q = np.minimum(p + np.sqrt(level / 2), 1 - rest * np.exp(-(level - p_log_p) / rest))
    for _ in range(6):
        q = np.clip(q, p + tiny, 1 - tiny)
        over = -p * np.log(q) - rest * np.log(1 - q) - goal
        q -= over * q * (1 - q) / (q - p)
    return np.clip(q, p, 1.0)
