"""One policy in one world, once, with everything it believed on the way: for looking closely, not for statistics."""

from dataclasses import dataclass

import numpy as np

from optima_lab.bandits.environments import World
from optima_lab.bandits.policies.base import Policy
from optima_lab.bandits.simulate import Rested, blocks, stream


@dataclass(frozen=True)
class Rollout:
    """What happened round by round; beliefs are those before the round's choice, NaN where a policy holds none."""

    arm: np.ndarray  # int64 (T,)
    reward: np.ndarray  # float64 (T,)
    scores: np.ndarray  # (T, K): draws or indices compared; NaN in initial plays
    mean: np.ndarray  # (T, K): posterior means
    deviation: np.ndarray  # (T, K): posterior standard deviations
    truth: np.ndarray  # (T, K): the world's means in each round


def follow(policy: Policy, world: World, horizon: int = 1000, seed: int = 0) -> Rollout:
    """Play one replication and note every round. The luck is that of the first replication of `simulate(…, 1)`."""
    generator = stream(seed, "policy", "followed")
    state = policy.init(world.arms, 1, generator)
    worn = Rested(world, horizon, 1) if world.rested else None
    notes: list[tuple[np.ndarray, ...]] = []
    unknown = np.full((1, world.arms), np.nan)
    for _, means, chance in blocks(world, horizon, 1, seed, horizon):
        for now, luck in zip(means, chance, strict=True):
            truth = worn.means() if worn else now
            if "truth" in state:
                state["truth"][:] = truth
            belief = [it.copy() for it in policy.posterior(state) or (unknown, unknown)]  # learning moves the state
            selection = policy.select(state, generator)
            reward = world.noise.reward(truth[0, selection.arm], luck, selection.arm)
            policy.learn(state, selection.arm, reward)
            if worn:
                worn.wear(selection.arm)
            notes.append(tuple(it[0] for it in (selection.arm, reward, selection.scores, *belief, truth)))
    return Rollout(*(np.array(column) for column in zip(*notes, strict=True)))
