"""CUSUM-UCB: its sums by hand, what it detects, and that it looks everywhere."""

import numpy as np
from feeding import fed

from optima_lab.bandits.environments import Gaussian, piecewise
from optima_lab.bandits.policies.cusum import CusumUcb
from optima_lab.bandits.regret import detections
from optima_lab.bandits.simulate import simulate


def test_sums_by_hand() -> None:
    policy = CusumUcb(warmup=2, slack=0.1, threshold=5.0, bound=2.0)
    state = fed(
        policy, [(0, 0.8), (0, 1.2), (0, 1.6)]
    )  # y: 0.4, 0.6, average 0.5; then 0.8 is 0.3 above, less the slack 0.2
    assert np.allclose(state["rise"][0], [0.2, 0]) and np.allclose(state["fall"][0], [0, 0])
    state = fed(policy, [(0, 0.8), (0, 1.2), (0, 1.6), (0, 0.2)])  # y = 0.1: 0.4 below
    assert np.allclose(state["rise"][0], [0, 0]) and np.allclose(state["fall"][0], [0.3, 0])


def test_an_alarm_restarts_that_arm_alone() -> None:
    policy = CusumUcb(warmup=2, slack=0.0, threshold=0.5, bound=1.0)
    state = policy.init(2, 1, np.random.default_rng(0))
    for arm, reward in [(1, 0.3), (0, 0.1), (0, 0.1), (0, 0.4), (0, 0.4)]:
        state = policy.update(state, np.array([arm]), np.array([reward]))
        alarm = bool(state["alarm"][0])
    assert alarm and state["plays"].tolist() == [[0.0, 1.0]]
    assert state["rise"][0, 0] == state["base"][0, 0] == state["mean"][0, 0] == 0.0
    state = policy.update(state, np.array([0]), np.array([0.4]))
    assert not state["alarm"][0]  # the alarm is of one round


def test_exploration_reaches_every_arm(generator: np.random.Generator) -> None:
    policy = CusumUcb(exploration=1.0)
    state = policy.init(7, 7000, generator)
    counts = np.bincount(policy.select(state, generator).arm, minlength=7)
    assert np.abs(counts - 1000).max() < 120  # 4 standard deviations


def test_it_finds_a_change_and_leaves_a_quiet_world_alone() -> None:
    policy = {"it": CusumUcb(bound=0.1, warmup=20, slack=0.1, threshold=2.0)}
    still = np.array([0.02, 0.06])
    quiet = simulate(piecewise(still, (), Gaussian(0.01)), policy, 600, 50, traces=True)
    loud = simulate(piecewise(np.stack([still, still[::-1]]), (300,), Gaussian(0.01)), policy, 600, 50, traces=True)
    assert detections(quiet, "it").false_alarms.mean() < 0.1
    found = detections(loud, "it")
    assert np.isfinite(found.delay).mean() > 0.95 and np.median(found.delay) < 40
    assert found.false_alarms.mean() < 1.2  # the other arm's own change comes second
