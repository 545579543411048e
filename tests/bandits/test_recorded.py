"""A world from recorded rewards: means and noise recovered, and frames read."""

import numpy as np
import pandas as pd
import pytest

from optima_lab.bandits.arms import KEYS, Arms
from optima_lab.bandits.environments import Clipped
from optima_lab.bandits.policies import make_policy
from optima_lab.bandits.recorded import fixed_arm_rewards, moving_average, recorded_world, uncut
from optima_lab.bandits.simulate import simulate
from optima_lab.errors import ConfigError


def frame(tasks: tuple[str, ...] = ("vqa",), seeds: int = 2, rounds: int = 40) -> pd.DataFrame:
    """Rounds as records give them: arm k brings (k + 1) / 100 and a wave that tells the seed and task."""
    rows = [
        {
            "task": task,
            "experiment": f"smoke-{seed}",
            "strategy": strategy,
            "round": t + 1,
            "reward": (k + 1) / 100 + 1e-4 * seed,
        }
        for task in tasks
        for seed in range(seeds)
        for k, strategy in enumerate((*KEYS, "optima"))
        for t in range(rounds + (k == 3))
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_moving_average_by_hand() -> None:
    curve = np.array([[1.0, 2.0, 6.0, 3.0, 8.0]])
    assert moving_average(curve, 3)[0].tolist() == pytest.approx([1.5, 3.0, 11 / 3, 17 / 3, 5.5])
    assert moving_average(curve, 1)[0].tolist() == curve[0].tolist()


def test_means_and_noise_are_recovered(generator: np.random.Generator) -> None:
    truth = np.linspace(0.02, 0.06, 7)[:, None] * np.exp(-np.arange(400) / 300)
    std = np.linspace(0.005, 0.02, 7)
    rewards = truth + std[:, None] * generator.standard_normal((3, 7, 400))
    world = recorded_world(rewards, smooth_rounds=21)
    assert np.abs(world.table(400)[:, 0].T - truth).max() < 4 * 0.02 / np.sqrt(3 * 11)
    assert np.array(world.noise.std) == pytest.approx(std, rel=0.1)  # pyright: ignore[reportAttributeAccessIssue]
    result = simulate(world, {"it": make_policy("optima_calibrated")}, 400, 20)
    assert result.outcomes["it"].earned.shape == (200, 20)


@pytest.mark.parametrize(("runs", "window"), [(1, 2), (1, 3), (2, 1), (2, 2), (3, 5)])
def test_noise_that_smoothing_takes_is_given_back(runs: int, window: int, generator: np.random.Generator) -> None:
    """A reward is 1/(runs · window) of its own average m: Var(r − m) = σ² (1 − 1/(runs · window)), half of σ² for 2."""
    rewards = 1 + 0.05 * generator.standard_normal((runs, 7, 6000))
    std = recorded_world(rewards, window).noise.std  # pyright: ignore[reportAttributeAccessIssue]
    assert std == pytest.approx([0.05] * 7, rel=0.04)


def test_rewards_that_are_their_own_average_have_no_noise() -> None:
    wave = np.tile(np.where(np.arange(30) % 2 == 0, 1.01, 0.99), (1, 7, 1))
    world = recorded_world(wave, 1)
    assert world.noise.std == pytest.approx([1e-9] * 7)  # pyright: ignore[reportAttributeAccessIssue]
    assert pytest.approx(wave[0]) == world.table(30)[:, 0].T


def test_what_the_clip_adds_is_taken_off_again() -> None:
    expected, std = np.array([[0.0, 1e-6, 0.01, 0.3], [0.5, 0.02, 0.1, 0.1]]), np.array([0.05, 1e-9])
    back = Clipped(tuple(std)).expected(uncut(expected, std).T).T
    assert back == pytest.approx(expected, abs=1e-8)


def test_fixed_arm_runs_are_found_in_a_frame() -> None:
    rewards = fixed_arm_rewards(frame())
    assert rewards.shape == (2, 7, 40)  # the shortest run's length
    assert rewards[1, 4] == pytest.approx(np.full(40, 0.05 + 1e-4))


def test_a_frame_of_several_tasks_must_be_told_which() -> None:
    both = frame(("vqa", "nlvr2"))
    with pytest.raises(ConfigError, match="task must be one of nlvr2, vqa, got ''"):
        fixed_arm_rewards(both)
    assert fixed_arm_rewards(both, "nlvr2").shape == (2, 7, 40)


def test_experiments_without_all_fixed_runs_are_left_out_and_named_if_none_is_left() -> None:
    rounds = frame()
    gap = rounds[(rounds["strategy"] != "txt+multi") | (rounds["experiment"] != "smoke-1")]
    assert fixed_arm_rewards(gap).shape == (1, 7, 40)
    with pytest.raises(ConfigError, match=r"got none: smoke-1 lacks txt\+multi"):
        fixed_arm_rewards(gap[gap["experiment"] == "smoke-1"])


def test_broken_rewards_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rewards must be finite and \(runs, K, T\), got \(7, 40\)"):
        recorded_world(np.zeros((7, 40)))


def test_arms_of_other_modules_are_read_by_their_labels() -> None:
    labels = Arms(("encoder", "decoder")).labels
    table = pd.DataFrame(
        [("own", "e", label, t, 0.1 * k + t) for k, label in enumerate(labels) for t in range(3)],
        columns=["task", "experiment", "strategy", "round", "reward"],
    )
    assert fixed_arm_rewards(table, "own", labels)[0, :, 0] == pytest.approx([0, 0.1, 0.2])
    with pytest.raises(ConfigError, match="e lacks img, txt"):
        fixed_arm_rewards(table, "own")
