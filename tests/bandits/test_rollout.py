"""One run looked at closely."""

import numpy as np
import pytest

from optima_lab.bandits.environments import WORLDS, make_world
from optima_lab.bandits.policies import make_policy
from optima_lab.bandits.rollout import follow


@pytest.mark.parametrize("world", WORLDS)
def test_a_path_is_played_in_its_world(world: str) -> None:
    made = make_world(world, horizon=200)
    path = follow(make_policy("optima", initial_plays=2), made, 200, seed=4)
    assert path.arm.shape == path.reward.shape == (200,)
    assert path.scores.shape == path.mean.shape == path.deviation.shape == path.truth.shape == (200, 7)
    assert np.isnan(path.scores[:14]).all() and (path.scores[14:].argmax(axis=1) == path.arm[14:]).all()
    residual = path.reward - path.truth[np.arange(200), path.arm]
    assert np.abs(residual).mean() < 0.05 and np.unique(path.arm[:14]).size == 7


def test_beliefs_are_those_before_the_choice() -> None:
    path = follow(make_policy("optima", initial_plays=1, scale=2.0), make_world("stationary"), 10)
    assert (path.mean[0] == 0).all() and (path.deviation[0] == 2).all()
    first = path.arm[0]
    assert path.mean[1, first] == path.reward[0] and path.deviation[1, first] == pytest.approx(2 / np.sqrt(2))


def test_policies_without_beliefs_have_none() -> None:
    assert np.isnan(follow(make_policy("random"), make_world("swap"), 20).mean).all()
    assert np.array_equal(*(follow(make_policy("oracle"), make_world("swap"), 20).arm for _ in range(2)))
