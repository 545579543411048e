"""The interface: what every policy promises, whichever it is."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from optima_lab.bandits.environments import make_world
from optima_lab.bandits.policies import POLICIES, Policy, State, load_state, make_policy, save_state, sized_policy
from optima_lab.bandits.simulate import blocks, simulate, stream
from optima_lab.errors import ConfigError, RecordError

NAMES = list(POLICIES)
PLAYABLE = [name for name in NAMES if name != "oracle"]
MEANS = np.linspace(0.02, 0.06, 7)


def play(policy: Policy, rounds: int, replications: int = 3, seed: int = 0) -> State:
    """The state after `rounds` rounds of clipped Gaussian rewards."""
    generator = np.random.default_rng(seed)
    state = policy.init(7, replications, generator)
    for _ in range(rounds):
        arm = policy.select(state, generator).arm
        state = policy.update(state, arm, np.maximum(0, MEANS[arm] + 0.02 * generator.standard_normal(replications)))
    return state


def equal(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and np.array_equal(first[name], second[name]) for name in first
    )


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(name: str) -> None:
    text = POLICIES[name].__doc__ or ""
    assert "State:" in text  # the arrays that it leaves behind
    assert all(f"{field.name}:" in text or f"{field.name}," in text for field in fields(POLICIES[name]))


@pytest.mark.parametrize("name", PLAYABLE)
def test_selects_one_arm_per_replication(name: str, generator: np.random.Generator) -> None:
    policy = make_policy(name)
    state = policy.init(7, 5, generator)
    for _ in range(30):
        selection = policy.select(state, generator)
        assert selection.arm.shape == (5,) and selection.arm.dtype == np.int64
        assert selection.scores.shape == (5, 7) and selection.scores.dtype == np.float64
        assert ((selection.arm >= 0) & (selection.arm < 7)).all()
        state = policy.update(state, selection.arm, np.full(5, 0.05))
    assert state["round"] == 30 and state["plays"].shape == (5, 7)


@pytest.mark.parametrize("name", PLAYABLE)
def test_neither_select_nor_update_changes_the_state_it_is_given(name: str) -> None:
    policy, generator = make_policy(name), np.random.default_rng(1)
    state = play(policy, 90)
    before = {key: array.copy() for key, array in state.items()}
    arm = policy.select(state, generator).arm
    policy.update(state, arm, np.full(3, 0.05))
    policy.posterior(state)
    assert equal(state, before)


@pytest.mark.parametrize("name", PLAYABLE)
def test_same_seed_same_play(name: str) -> None:
    assert equal(play(make_policy(name), 120), play(make_policy(name), 120))


@pytest.mark.parametrize("name", PLAYABLE)
def test_reset_forgets(name: str) -> None:
    policy = make_policy(name)
    fresh = policy.init(7, 3, np.random.default_rng(5))
    play(policy, 100)
    assert equal(policy.init(7, 3, np.random.default_rng(5)), fresh)  # nothing is kept in the policy itself


@pytest.mark.parametrize("name", PLAYABLE)
def test_replications_do_not_touch_each_other(name: str, generator: np.random.Generator) -> None:
    policy = make_policy(name)
    state = policy.init(7, 2, generator)
    if "order" in state:
        state["order"][:] = state["order"][0]
    for arm in (3, 3, 5, 0, 3):
        state = policy.update(state, np.array([arm, 1]), np.array([0.05, 0.9]))
    alone = policy.init(7, 1, generator)
    if "order" in state:
        alone["order"][:] = state["order"][:1]
    for arm in (3, 3, 5, 0, 3):
        alone = policy.update(alone, np.array([arm]), np.array([0.05]))
    assert np.array_equal(state["plays"][:1], alone["plays"])
    if "mean" in state:
        assert np.array_equal(state["mean"][:1], alone["mean"])


@pytest.mark.parametrize("name", PLAYABLE)
def test_a_loop_of_select_and_update_is_what_a_simulation_does(name: str) -> None:
    world, policy = make_world("piecewise", horizon=60), make_policy(name)
    result = simulate(world, {"it": policy}, 60, 4, seed=3).outcomes["it"]
    generator = stream(3, "policy", "it")
    state = policy.init(7, 4, generator)
    for _, means, chance in blocks(world, 60, 4, 3, 60):
        for row, luck in zip(means, chance, strict=True):
            arm = policy.select(state, generator).arm
            state = policy.update(state, arm, world.noise.reward(row[0, arm], luck, arm))
    assert equal(state, result.state)


@pytest.mark.parametrize("name", PLAYABLE)
def test_a_state_survives_saving(name: str, tmp_path: Path) -> None:
    state = play(make_policy(name), 100)
    save_state(tmp_path / "state.npz", state)
    assert equal(load_state(tmp_path / "state.npz"), state)
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


@pytest.mark.parametrize("name", PLAYABLE)
def test_play_goes_on_from_a_saved_state_as_if_nothing_had_been(name: str, tmp_path: Path) -> None:
    policy = make_policy(name)
    state = play(policy, 80)
    save_state(tmp_path / "state.npz", state)
    loaded = load_state(tmp_path / "state.npz")
    arms = [policy.select(it, np.random.default_rng(9)) for it in (state, loaded)]
    assert np.array_equal(arms[0].arm, arms[1].arm)
    after = [policy.update(it, arms[0].arm, np.full(3, 0.04)) for it in (state, loaded)]
    assert equal(*after)


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"PK not really")
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    for name in ("bad.npz", "objects.npz", "absent.npz"):
        with pytest.raises(RecordError, match=name):
            load_state(tmp_path / name)


def test_a_misspelt_name_or_parameter_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'optma'; did you mean 'optima'"):
        make_policy("optma")
    with pytest.raises(ConfigError, match="'decy'; did you mean 'decay'"):
        make_policy("optima", decy=0.9)
    with pytest.raises(ConfigError, match="no parameter 'window'"):
        make_policy("optima", window=3)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("optima", {"decay": 1.2}, r"decay must be in \(0, 1\), got 1.2"),
        ("optima", {"decay": True}, "optima.decay must be float, got bool True"),
        ("optima", {"decay": "0.9"}, "optima.decay must be float, got str '0.9'"),
        ("optima", {"initial_plays": 1.5}, "optima.initial_plays must be int, got float 1.5"),
        ("optima", {"initial_plays": -1}, "initial_plays must be at least 0, got -1"),
        ("optima_calibrated", {"scale": 0.0}, "scale must be positive and finite, got 0.0"),
        ("gaussian_swts", {"window": 1}, "window must be at least 2 rounds, got 1"),
        ("beta_ts", {"reward_max": -1.0}, "reward_max must be positive"),
        ("glr_klucb", {"splits": 7}, "splits must be even, got 7"),
        ("glr_klucb", {"everywhere": 1}, "everywhere must be bool, got int 1"),
        ("epsilon_greedy", {"epsilon": 1.1}, r"epsilon must be in \[0, 1\], got 1.1"),
        ("fixed", {"arm": -1}, "arm must be at least 0, got -1"),
        ("shared_ts", {"sharing": 2.0}, r"sharing must be in \[0, 1\], got 2.0"),
    ],
)
def test_a_parameter_out_of_range_is_refused_at_construction(name: str, parameters: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_policy(name, **parameters)


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_are_sized_for_rewards_up_to_a_fifth(name: str) -> None:
    sized = sized_policy(name, reward_max=0.2, noise=0.02)
    if hasattr(sized, "reward_max"):  # by default the range of Eq. 6, which no reward leaves
        assert sized == make_policy(name, reward_max=0.2)
    else:
        assert sized == make_policy(name)


def test_sizes_follow_the_rewards_and_given_parameters_stay() -> None:
    assert sized_policy("kalman_ts", 1.0, 0.5) == make_policy(
        "kalman_ts", noise=0.5, drift=0.025, prior_mean=0.25, prior_std=0.25
    )
    assert sized_policy("discounted_ucb", 1.0, 0.5, decay=0.9) == make_policy("discounted_ucb", bound=0.5, decay=0.9)
    assert sized_policy("optima", 1.0, 0.5) == make_policy("optima")
    assert sized_policy("gaussian_dts", 1.0, 0.5) == make_policy("gaussian_dts")
    with pytest.raises(ConfigError, match="did you mean 'optima'"):
        sized_policy("optma", 1.0, 0.5)
    with pytest.raises(ConfigError, match="reward_max must be positive"):
        sized_policy("optima", 0.0, 0.5)


def test_an_int_passes_for_a_float() -> None:
    assert make_policy("optima", scale=2) == make_policy("optima", scale=2.0)


@pytest.mark.parametrize(
    ("arm", "reward", "message"),
    [
        ([0, 7], [0.1, 0.1], r"arm must be in 0 … 6, got \[0 7\]"),
        ([0], [0.1], r"arm must have shape \(2,\), got \(1,\)"),
        ([0, 1], [0.1], r"reward must have shape \(2,\), got \(1,\)"),
        ([0, 1], [0.1, np.nan], "reward must be finite, got"),
    ],
)
def test_update_refuses_what_does_not_fit(
    arm: list[int], reward: list[float], message: str, generator: np.random.Generator
) -> None:
    policy = make_policy("optima")
    with pytest.raises(ConfigError, match=message):
        policy.update(policy.init(7, 2, generator), np.array(arm), np.array(reward))


def test_simple_policies() -> None:
    generator = np.random.default_rng(0)
    fixed, uniform, oracle = make_policy("fixed", arm=6), make_policy("random"), make_policy("oracle")
    assert (fixed.select(fixed.init(7, 4, generator), generator).arm == 6).all()
    with pytest.raises(ConfigError, match="arm must be below the number of arms, 7, got 7"):
        make_policy("fixed", arm=7).init(7, 1, generator)
    counts = np.bincount(uniform.select(uniform.init(7, 70_000, generator), generator).arm)
    assert np.abs(counts - 10_000).max() < 400  # 4 standard deviations are 370
    state = oracle.init(7, 2, generator)
    with pytest.raises(ConfigError, match="'oracle' must be told the true means"):
        oracle.select(state, generator)
    state["truth"][:] = MEANS
    assert (oracle.select(state, generator).arm == 6).all()
