"""Equal arms are played equally: no policy prefers an arm for the place where it stands."""

import numpy as np
import pytest
from scipy.stats import chi2, chisquare

from optima_lab.bandits.environments import Coins, Gaussian, World, piecewise
from optima_lab.bandits.policies import POLICIES, make_policy
from optima_lab.bandits.policies.base import Posterior, best_draw, top_arm
from optima_lab.bandits.regret import dynamic_regret
from optima_lab.bandits.simulate import simulate

MODULAR = {"shared_ts", "linear_ts"}  # its arms are sets of modules, equal only where they have as many
NAMES = [name for name in POLICIES if name not in MODULAR | {"fixed"}]


def equal_arms(value: float, arms: int = 4) -> World:
    """Arms that always bring the same; 0.05 is what samplers with a prior expect."""
    return piecewise(np.full(arms, value), (), Gaussian(0.0))


def unequal(plays: np.ndarray) -> float:
    """Probability that equal chances give plays (R, K) this uneven, by their scatter over replications."""
    shares = plays / plays.sum(axis=1, keepdims=True)
    arms = shares.shape[1]
    error = np.maximum(shares.std(axis=0, ddof=1), 1e-3) / np.sqrt(len(shares))
    statistic = ((shares.mean(axis=0) - 1 / arms) ** 2 / error**2).sum() * (arms - 1) / arms
    return float(chi2.sf(statistic, arms - 1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.05, 0.0])
def test_four_equal_noiseless_arms_are_played_equally(name: str, value: float) -> None:
    plays = simulate(equal_arms(value), {"it": make_policy(name)}, 300, 100).outcomes["it"].plays[-1]
    assert unequal(plays) > 1e-4, plays.sum(axis=0)
    assert plays.max() < 150, "in no replication is one of four equal arms played in half of the rounds"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "glr_klucb"])
def test_the_first_play_is_any_arm(name: str) -> None:
    """GLR-klUCB begins with its forced plays, whose order its authors give."""
    plays = simulate(equal_arms(0.05, 5), {"it": make_policy(name)}, 1, 500).outcomes["it"].plays[-1]
    assert chisquare(plays.sum(axis=0)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("epsilon_greedy", {"epsilon": 0.0, "step": 0.0, "initial_plays": 1}),
        ("epsilon_greedy", {"epsilon": 0.0, "step": 1.0}),
        ("softmax", {"temperature": 1e-300}),
        ("cusum_ucb", {"exploration": 0.0, "bound": 1e-300}),
        ("discounted_ucb", {"bound": 1e-300}),
        ("sliding_ucb", {"bound": 1e-300, "window": 20}),
        ("gaussian_dts", {"noise": 1e-300}),
        ("gaussian_swts", {"noise": 1e-300}),
        ("kalman_ts", {"noise": 1e-12, "drift": 0.0, "prior_mean": 1.0, "prior_std": 1e-12}),
        ("optima", {"scale": 1e-300}),
        ("glr_klucb", {"exploration": 1e-6}),
    ],
)
def test_ties_that_nothing_else_decides_are_even(name: str, parameters: dict) -> None:
    """Coins that always fall on the same side, and policies whose scores then differ in nothing."""
    world = piecewise(np.ones(4), (), Coins())
    plays = simulate(world, {"it": make_policy(name, **parameters)}, 200, 100).outcomes["it"].plays[-1]
    assert unequal(plays) > 1e-4, plays.sum(axis=0)
    assert plays.max() < 120


def test_only_the_highest_are_drawn_from(generator: np.random.Generator) -> None:
    scores = np.tile([[1.0, 3.0, 3.0, 2.0], [np.inf, 0.0, np.inf, np.inf], [0.0, -1.0, -2.0, -np.inf]], (5000, 1))
    arms = top_arm(scores, generator).reshape(5000, 3)
    counts = [np.bincount(column, minlength=4).tolist() for column in arms.T]
    assert counts[0][0] == counts[0][3] == counts[1][1] == 0 and counts[2] == [5000, 0, 0, 0]
    assert chisquare(counts[0][1:3]).pvalue > 1e-3 and chisquare([counts[1][k] for k in (0, 2, 3)]).pvalue > 1e-3
    assert abs(np.corrcoef(arms[:, 0], arms[:, 1])[0, 1]) < 0.06, "every replication draws its own"


def test_chance_is_asked_only_where_there_are_equals() -> None:
    """So a sampler whose draws differ plays what it played when the first of equals won."""
    scores = np.random.default_rng(1).standard_normal((50, 7))
    used, fresh = np.random.default_rng(0), np.random.default_rng(0)
    assert np.array_equal(top_arm(scores, used), scores.argmax(axis=1)) and used.random() == fresh.random()
    scores[3, 2:4] = 9.0
    assert top_arm(scores, used)[3] in (2, 3)
    fresh.random(1)
    assert used.random() == fresh.random(), "one number for the one replication with equals"


@pytest.mark.parametrize("name", ["optima", "optima_calibrated", "optima_mean", "gaussian_dts", "kalman_ts", "random"])
def test_samplers_take_one_number_an_arm_and_no_more(name: str) -> None:
    policy = make_policy(name, **({"initial_plays": 1} if name not in ("kalman_ts", "random") else {}))
    state, used = policy.init(7, 3, np.random.default_rng(0)), np.random.default_rng(5)
    for step in range(14):
        state = policy.update(state, np.full(3, step % 7), np.full(3, 0.01 * step))
    selection, fresh = policy.select(state, used), np.random.default_rng(5)
    assert np.array_equal(selection.arm, selection.scores.argmax(axis=1))
    _ = fresh.random((3, 7)) if name == "random" else fresh.standard_normal((3, 7))
    assert used.random() == fresh.random()


@pytest.mark.parametrize("deviation", [0.0, 1e-320, 1e-17])
@pytest.mark.parametrize("mean", [0.0, 1.0, -3e8])
def test_draws_whose_spread_is_lost_in_rounding_are_ties(deviation: float, mean: float) -> None:
    belief = Posterior(np.full((4000, 3), mean), np.full((4000, 3), deviation))
    arm = best_draw(belief, np.random.default_rng(2)).arm
    assert chisquare(np.bincount(arm, minlength=3)).pvalue > 1e-4


def test_regret_does_not_hang_on_the_order_of_the_arms() -> None:
    """Greedy play in lesson 10's world and its mirror image: 31.4 and 16.2 while the first of equals won."""
    greedy, regret = make_policy("epsilon_greedy", epsilon=0.0, step=0.0, initial_plays=1), []
    for means in ([0.3, 0.5, 0.7], [0.7, 0.5, 0.3], [0.5, 0.7, 0.3]):
        run = simulate(piecewise(np.array(means), (), Coins()), {"it": greedy}, 300, 1500)
        regret.append(dynamic_regret(run, "it")[-1])
    error = np.hypot(regret[0].std(), regret[1].std()) / np.sqrt(1500)
    assert np.ptp([each.mean() for each in regret]) < 4 * error
