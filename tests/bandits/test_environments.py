"""Worlds: tables by hand, noise with the mean that it claims, and what is refused."""

import numpy as np
import pytest

from optima_lab.bandits.environments import (
    WORLDS,
    Clipped,
    Coins,
    Gaussian,
    from_table,
    make_world,
    piecewise,
    random_walk,
)
from optima_lab.errors import ConfigError


@pytest.mark.parametrize("name", WORLDS)
def test_named_worlds_stay_in_their_range(name: str) -> None:
    table = make_world(name, horizon=500, low=0.2, high=0.8, noise_std=0).table(500, replications=20)
    assert table.shape[0] == 500 and table.shape[1] in (1, 20) and table.shape[2] == 7
    assert table.min() >= 0.2 - 1e-12 and table.max() <= 0.8 + 1e-12


@pytest.mark.parametrize("name", WORLDS)
def test_named_worlds_are_the_same_in_blocks_of_any_size(name: str) -> None:
    world = make_world(name, horizon=100)
    whole, parts = (np.concatenate(list(world.blocks(100, 3, np.random.default_rng(0), size))) for size in (100, 7))
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize("name", ["piecewise", "swap", "sinusoidal"])
def test_the_best_arm_changes(name: str) -> None:
    best = make_world(name).table(1000)[:, 0].argmax(axis=1)
    assert len(np.unique(best)) >= 2
    for change in make_world(name).changes:
        assert best[change - 1] != best[change]


def test_piecewise_by_hand() -> None:
    world = piecewise(np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]), (2, 3), Gaussian())
    assert world.table(5)[:, 0, 0].tolist() == [0.1, 0.1, 0.3, 0.5, 0.5]
    with pytest.raises(ConfigError, match="changes must be 2 increasing rounds for 3 segments"):
        piecewise(np.zeros((3, 2)), (3, 2), Gaussian())


def test_swap_swaps_the_best_and_the_worst_only() -> None:
    table = make_world("swap", horizon=100, clip=False).table(100)[:, 0]
    assert np.array_equal(table[49][1:-1], table[50][1:-1])
    assert table[49][0] == table[50][-1] and table[49][-1] == table[50][0]


def test_walks_are_reflected_and_of_their_own_per_replication() -> None:
    table = random_walk(3, 0.0, 1.0, 0.3, Gaussian()).table(4000, replications=50)
    assert table.min() >= 0 and table.max() <= 1
    assert not np.allclose(table[:, 0], table[:, 1])
    share = np.histogram(table[500:], bins=5, range=(0, 1))[0] / table[500:].size
    assert share == pytest.approx(np.full(5, 0.2), abs=0.01)  # a reflected walk visits all places equally
    assert np.abs(np.diff(table, axis=0)).std() < 0.3


def test_rotting_falls_by_plays_and_no_arm_stays_best() -> None:
    world = make_world("rotting", clip=False)
    table = world.table(1000)[:, 0]
    assert world.rested and (np.diff(table, axis=0) <= 0).all()
    assert table[0].argmax() == 6 and table[400].argmax() != 6


@pytest.mark.parametrize(
    "noise", [Gaussian(0.3), Gaussian((0.1, 0.2, 0.5)), Clipped(0.3), Clipped((0.1, 0.2, 0.5)), Coins()]
)
def test_noise_has_the_mean_that_it_claims(noise: Gaussian | Clipped | Coins, generator: np.random.Generator) -> None:
    means = np.array([0.05, 0.2, 0.7])
    arm = np.repeat([0, 1, 2], 400_000)
    reward = noise.reward(means[arm], noise.draw(arm.shape, generator), arm).reshape(3, -1)
    assert reward.mean(axis=1) == pytest.approx(noise.expected(means), abs=0.004)
    assert isinstance(noise, Gaussian) or reward.min() >= 0


def test_clipping_by_hand() -> None:
    assert Clipped(1.0).expected(np.array([0.0]))[0] == pytest.approx(1 / np.sqrt(2 * np.pi))  # half a normal
    assert Clipped(0.001).expected(np.array([0.5]))[0] == pytest.approx(0.5)


def test_noise_per_arm_goes_with_its_arm() -> None:
    noise = Gaussian((0.0, 2.0))
    assert noise.reward(np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([0, 1])).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"name": "piecwise"}, "'piecwise'; did you mean 'piecewise'"),
        ({"name": "swap", "low": 0.5, "high": 0.1}, "low must be below high, got 0.5 and 0.1"),
        ({"name": "swap", "noise_std": -1.0}, "noise_std must be at least 0"),
        ({"name": "swap", "high": 1.5, "noise_std": 0.0}, r"means of coin tosses must be in \[0, 1\]"),
        ({"name": "swap", "horizon": 3}, "horizon must be at least 10 rounds, got 3"),
        ({"name": "swap", "arms": 1}, "arms must be at least 2, got 1"),
    ],
)
def test_what_makes_no_world_is_refused(parameters: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_world(**parameters)


def test_a_table_ends() -> None:
    world = from_table(np.full((5, 2), 0.1), Gaussian())
    assert world.table(5).shape == (5, 1, 2)
    with pytest.raises(ConfigError, match="horizon must be at most the table's 5 rounds, got 6"):
        world.table(6)
