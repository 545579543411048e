"""Feed a policy by hand."""

import numpy as np

from optima_lab.bandits.policies import Policy, State


def fed(policy: Policy, plays: list[tuple[int, float]], arms: int = 2) -> State:
    """The state of one replication after these (arm, reward) pairs, whatever the policy would have chosen."""
    state = policy.init(arms, 1, np.random.default_rng(0))
    for arm, reward in plays:
        state = policy.update(state, np.array([arm]), np.array([reward]))
    return state
