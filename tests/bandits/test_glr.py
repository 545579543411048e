"""GLR-klUCB: entropy, index and test against brute force, thinning, and forced exploration."""

import numpy as np
import pytest

from optima_lab.bandits.environments import Coins, piecewise
from optima_lab.bandits.policies.glr import GlrKlUcb, kl, kl_upper
from optima_lab.bandits.regret import detections
from optima_lab.bandits.simulate import simulate


def test_entropy_of_two_coins_by_hand() -> None:
    assert kl(np.array(0.5), np.array(0.25)) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert kl(np.array(0.0), np.array(0.3)) == pytest.approx(-np.log(0.7), abs=1e-9)
    assert kl(np.array(0.3), np.array(0.3)) == 0.0


def test_the_index_solves_its_equation() -> None:
    p, level = np.array([0.0, 0.1, 0.5, 0.9]), np.array([0.05, 0.5, 0.01, 0.2])
    upper = kl_upper(p, level)
    assert (upper >= p).all() and (upper <= 1).all()
    assert kl(p, upper) == pytest.approx(level, abs=2e-4)
    assert kl_upper(np.array([1.0]), np.array([1.0]))[0] == 1.0


def brute_force(rewards: np.ndarray) -> float:
    """The largest statistic over all splits."""
    n, total = len(rewards), rewards.mean()
    return max(s * kl(rewards[:s].mean(), total) + (n - s) * kl(rewards[s:].mean(), total) for s in range(1, n))


@pytest.mark.parametrize("seed", range(5))
def test_the_alarm_comes_when_brute_force_passes_the_threshold(seed: int) -> None:
    rewards = (np.random.default_rng(seed).random(120) < np.repeat([0.2, 0.7], 60)).astype(float)
    policy = GlrKlUcb(every=1, splits=256, delta=0.05)
    state = policy.init(2, 1, np.random.default_rng(0))
    for n, reward in enumerate(rewards, start=1):
        state = policy.update(state, np.array([0]), np.array([reward]))
        expected = n > 1 and brute_force(rewards[:n]) > np.log(3 * n**1.5 / 0.05)
        assert bool(state["alarm"][0]) == expected
        if expected:
            break
    assert n > 60 and (state["plays"] == 0).all()


def test_thinned_notes_are_still_the_running_sums() -> None:
    rewards = np.random.default_rng(0).random(100) * 0.1 + 0.45
    policy = GlrKlUcb(splits=8)
    state = policy.init(2, 1, np.random.default_rng(0))
    for reward in rewards:
        state = policy.update(state, np.array([1]), np.array([reward]))
    stride = int(state["stride"][0, 1])
    kept = 100 // stride
    assert stride == 16 and state["stride"][0, 0] == 1
    assert state["partial"][0, 1, :kept] == pytest.approx(rewards.cumsum()[stride - 1 :: stride])
    assert (state["partial"][0, 1, kept:] == 0).all()


@pytest.mark.parametrize(("exploration", "period"), [(1.0, 7), (0.5, 14), (0.3, 23)])
def test_forced_exploration_reaches_the_last_arm_too(exploration: float, period: int) -> None:
    policy = GlrKlUcb(exploration=exploration)
    state = policy.init(7, 1, np.random.default_rng(0))
    forced = []
    for turn in range(3 * period):
        state["round"][...] = turn
        forced.append(int(policy.forced(state, np.array([-1]))[0]))
    assert forced == ([*range(7)] + [-1] * (period - 7)) * 3


def test_restart_everywhere_or_of_one_arm() -> None:
    for everywhere, left in ((True, 0.0), (False, 10.0)):
        policy = GlrKlUcb(everywhere=everywhere, every=1)
        state = policy.init(2, 1, np.random.default_rng(0))
        for arm, reward in [(1, 0.5)] * 10 + [(0, 0.0)] * 30 + [(0, 1.0)] * 30:
            state = policy.update(state, np.array([arm]), np.array([reward]))
            if state["alarm"][0]:
                break
        assert state["alarms"][0] == 1 and state["plays"].tolist() == [[0.0, left]]
        assert state["start"][0, 0] == state["round"] and (state["start"][0, 1] > 0) == everywhere


def test_it_finds_changes_of_coins() -> None:
    segments = np.array([[0.1, 0.8], [0.8, 0.1]])
    world = piecewise(segments, (250,), Coins())
    result = simulate(world, {"it": GlrKlUcb(delta=0.03)}, 500, 40, traces=True)
    found = detections(result, "it")
    assert np.isfinite(found.delay).all() and np.median(found.delay) < 40 and found.false_alarms.mean() < 0.2
