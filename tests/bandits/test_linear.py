"""Beliefs about modules: Bayes' rule by hand, the sampler over arms that it equals, and the best of all sets."""

import numpy as np
import pytest
from feeding import fed

from optima_lab.bandits.arms import Arms, index_of, masks_of
from optima_lab.bandits.environments import Gaussian, shared_modules
from optima_lab.bandits.policies import load_state, make_policy, save_state
from optima_lab.bandits.policies.linear import LinearThompson, best_set, features
from optima_lab.bandits.policies.shared import SharedGaussianThompson
from optima_lab.bandits.regret import dynamic_regret
from optima_lab.bandits.simulate import simulate
from optima_lab.errors import ConfigError


def test_one_reward_by_hand() -> None:
    """Variances 1 of θ and 4 of b; arm {0, 1} has x = (1/√2, 1/√2, 1): xᵀVx = 1/2 + 1/2 + 4, plus noise 1 makes 6."""
    policy = LinearThompson(noise=1.0, drift=0.0, prior_mean=10.0, prior_std=1.0, base_std=2.0)
    state = fed(policy, [(2, 16.0)], arms=3)
    root = 1 / np.sqrt(2)
    assert state["theta"][0] == pytest.approx([root, root, 14.0])  # the surprise 6 times V x / 6
    column = np.array([root, root, 4.0])
    assert state["covariance"][0] == pytest.approx(np.diag([1.0, 1.0, 4.0]) - np.outer(column, column) / 6)
    assert state["module_plays"].tolist() == [[1, 1]] and state["plays"].tolist() == [[0, 0, 1]]


def test_drift_widens_modules_and_base_in_proportion() -> None:
    policy = LinearThompson(noise=1e9, drift=0.5, prior_std=1.0, base_std=2.0)
    state = fed(policy, [(0, 0.05)] * 3, arms=3)  # noise drowns what the rewards say
    assert np.diag(state["covariance"][0]) == pytest.approx([1.75, 1.75, 4 + 3 * 0.25 * 4])


@pytest.mark.parametrize("modules", [1, 2, 3, 5])
def test_without_a_base_it_is_the_sampler_over_arms_that_share_all(
    modules: int, generator: np.random.Generator
) -> None:
    arms = 2**modules - 1
    linear = LinearThompson(noise=0.03, drift=0.004, prior_mean=0.02, prior_std=0.06, base_std=0.0)
    shared = SharedGaussianThompson(1.0, linear.noise, linear.drift, linear.prior_mean, linear.prior_std)
    states = [policy.init(arms, 4, generator) for policy in (linear, shared)]
    for _ in range(300):
        arm, reward = generator.integers(arms, size=4), 0.05 + 0.03 * generator.standard_normal(4)
        states = [policy.update(it, arm, reward) for policy, it in zip((linear, shared), states, strict=True)]
        design = linear.design(states[0])
        belief = linear.posterior(states[0])
        assert belief is not None and np.abs(belief.mean - states[1]["mean"]).max() < 1e-12
        covariance = design @ states[0]["covariance"] @ design.T
        assert np.abs(covariance - states[1]["covariance"]).max() < 1e-12
        assert belief.deviation**2 == pytest.approx(np.diagonal(states[1]["covariance"], axis1=1, axis2=2), abs=1e-12)


class SameDraws:
    """Normal draws for θ; a sampler over arms, whose first c are the single modules, gets 0 for what is left."""

    def __init__(self, seed: int, modules: int) -> None:
        self.generator, self.modules = np.random.default_rng(seed), modules

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        draws = np.zeros(shape)
        draws[:, : self.modules] = self.generator.standard_normal((shape[0], self.modules))
        return draws


def test_and_plays_the_same_arms_on_the_same_draws() -> None:
    linear, shared = LinearThompson(base_std=0.0), SharedGaussianThompson(sharing=1.0)
    luck, states = (
        np.random.default_rng(3),
        [policy.init(15, 5, np.random.default_rng(0)) for policy in (linear, shared)],
    )
    for seed in range(200):
        first, second = (
            policy.select(state, SameDraws(seed, 4))  # pyright: ignore[reportArgumentType]
            for policy, state in zip((linear, shared), states, strict=True)
        )
        assert np.array_equal(first.arm, second.arm) and first.scores == pytest.approx(second.scores, abs=1e-8)
        reward = 0.04 + 0.02 * luck.standard_normal(5)
        for policy, state in zip((linear, shared), states, strict=True):
            policy.learn(state, first.arm, reward)


@pytest.mark.parametrize("modules", range(1, 9))
def test_sorting_finds_the_best_of_all_sets(modules: int, generator: np.random.Generator) -> None:
    everything = masks_of(np.arange(2**modules - 1), modules)
    x = features(everything, modules)
    for shift in (-2.0, 0.0, 2.0):  # all contributions negative, mixed, positive
        theta = generator.standard_normal((300, modules)) + shift
        assert np.array_equal(index_of(best_set(theta, generator)), (theta @ x.T).argmax(axis=1))


@pytest.mark.parametrize("modules", range(1, 9))
def test_a_choice_is_the_best_of_all_sets_under_its_draws(modules: int, generator: np.random.Generator) -> None:
    policy = LinearThompson()
    state = policy.init(2**modules - 1, 300, generator)
    for _ in range(3):
        selection = policy.select(state, generator)
        scores = selection.scores if "plays" in state else selection.scores @ policy.design(state).T
        assert np.array_equal(selection.arm, scores.argmax(axis=1))
        policy.learn(state, selection.arm, 0.1 * generator.random(300))


def test_draws_have_the_covariance(generator: np.random.Generator) -> None:
    policy = LinearThompson(prior_mean=0.3, prior_std=1.0, base_std=0.5)
    draws = policy.select(policy.init(7, 100_000, generator), generator).scores
    member = Arms(("a", "b", "c")).masks / np.sqrt(Arms(("a", "b", "c")).masks.sum(axis=1, keepdims=True))
    assert np.cov(draws.T) == pytest.approx(member @ member.T + 0.25, abs=0.03)
    assert draws.mean(axis=0) == pytest.approx(np.full(7, 0.3), abs=0.02)


def test_arms_of_equally_many_modules_are_equal(generator: np.random.Generator) -> None:
    """Equal noiseless arms: no module is preferred for its place."""
    world = shared_modules((0.0,) * 4, 0.05, Gaussian(0.0))
    plays = simulate(world, {"it": LinearThompson()}, 200, 200).outcomes["it"].plays[-1].sum(axis=0)
    for size in (slice(0, 4), slice(4, 10), slice(10, 14)):
        assert np.ptp(plays[size]) < 0.2 * plays[size].mean()


@pytest.mark.parametrize("modules", [7, 24])
def test_many_modules_need_no_number_of_every_arm(modules: int, generator: np.random.Generator, tmp_path) -> None:
    policy, arms = LinearThompson(), 2**modules - 1
    state = policy.init(arms, 2, generator)
    for _ in range(20):
        selection = policy.select(state, generator)
        assert selection.scores.shape == (2, modules + 1) and (selection.arm < arms).all()
        state = policy.update(state, selection.arm, np.array([0.05, 0.1]))
    assert max(array.size for array in state.values()) == 2 * (modules + 1) ** 2
    assert policy.sizes(state) == (2, arms) and policy.posterior(state) is None and state["round"] == 20
    told = policy.summary(state)
    assert {name: array.shape for name, array in told.items()} == {
        "theta": (2, modules + 1),
        "theta_deviation": (2, modules + 1),
        "module_plays": (2, modules),
    }
    save_state(tmp_path / "state.npz", state)
    assert np.array_equal(load_state(tmp_path / "state.npz")["theta"], state["theta"])
    with pytest.raises(ConfigError, match=f"arm must be in 0 … {arms - 1}"):
        policy.update(state, np.array([0, arms]), np.array([0.05, 0.1]))


def test_summaries_of_few_arms_hold_every_arm() -> None:
    states = {name: fed(make_policy(name), [(0, 0.1), (6, 0.2)], arms=7) for name in ("linear_ts", "optima", "random")}
    told = {name: make_policy(name).summary(state) for name, state in states.items()}
    assert set(told["random"]) == {"plays"} and set(told["optima"]) == {"mean", "deviation", "plays"}
    assert set(told["linear_ts"]) == {"mean", "deviation", "plays", "theta", "theta_deviation", "module_plays"}
    assert told["linear_ts"]["mean"].shape == (1, 7) and told["linear_ts"]["module_plays"].tolist() == [[2, 1, 1]]


@pytest.mark.parametrize("base", [0.02, 0.05, 0.2])
def test_eight_modules_are_learnt_in_300_rounds(base: float) -> None:
    """255 arms: optima is still busy with its first plays, what is believed of modules is known after a few dozen."""
    contributions = (0.03, 0.02, 0.01, 0.005, 0.0, -0.005, -0.01, -0.02)
    names = ("random", "optima", "linear_ts")
    run = simulate(shared_modules(contributions, base, Gaussian(0.02)), {n: make_policy(n) for n in names}, 300, 40)
    regret = {name: dynamic_regret(run, name)[-1].mean() for name in names}
    assert regret["optima"] >= 0.95 * regret["random"] and regret["linear_ts"] <= 0.7 * regret["random"]


def test_a_base_that_is_wrongly_taken_for_known_costs() -> None:
    world = shared_modules((0.02, 0.01, 0.0, -0.01, -0.02), 0.3, Gaussian(0.02))
    run = simulate(world, {"with": LinearThompson(), "without": LinearThompson(base_std=0.0)}, 300, 60)
    regret = {name: dynamic_regret(run, name)[-1].mean() for name in run.outcomes}
    assert regret["with"] < 0.7 * regret["without"]


@pytest.mark.parametrize(
    ("arms", "message"), [(4, "got 4"), (0, "got 0"), (2**24, "got 16777216"), (2**63 - 1, "got ")]
)
def test_arms_must_be_all_sets(arms: int, message: str, generator: np.random.Generator) -> None:
    with pytest.raises(ConfigError, match=rf"arms must be all 2\^c - 1 sets of c modules .*{message}"):
        LinearThompson().init(arms, 1, generator)


def test_a_negative_base_spread_is_refused() -> None:
    with pytest.raises(ConfigError, match="base_std must be at least 0"):
        make_policy("linear_ts", base_std=-0.1)
