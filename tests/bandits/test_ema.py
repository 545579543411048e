"""OPTIMA's sampler against numbers worked out by hand, and its calibrated variant."""

import numpy as np
import pytest
from feeding import fed

from optima_lab.bandits.policies import make_policy
from optima_lab.bandits.policies.ema import CalibratedEmaThompson, EmaThompson, MeanThompson


def test_initial_plays_average_then_equation_7_takes_over() -> None:
    state = fed(EmaThompson(decay=0.5, initial_plays=2), [(0, 1.0), (1, 4.0), (0, 3.0), (1, 6.0)])
    assert state["mean"].tolist() == [[2.0, 5.0]] and state["plays"].tolist() == [[2.0, 2.0]]  # μ0 and T0
    state = fed(EmaThompson(decay=0.5, initial_plays=2), [(0, 1.0), (1, 4.0), (0, 3.0), (1, 6.0), (0, 8.0)])
    assert state["mean"].tolist() == [[5.0, 5.0]] and state["plays"].tolist() == [[3.0, 2.0]]  # 0.5·2 + 0.5·8


def test_without_initial_plays_it_is_algorithm_1_as_printed() -> None:
    state = fed(EmaThompson(decay=0.75, initial_plays=0), [(0, 1.0), (0, 2.0)])
    assert state["mean"].tolist() == [[0.25 * 0.75 + 0.5, 0.0]] and state["plays"].tolist() == [[2.0, 0.0]]


def test_every_arm_is_played_t0_times_first_each_replication_in_its_own_order(generator: np.random.Generator) -> None:
    policy = EmaThompson(initial_plays=10)
    state = policy.init(7, 50, generator)
    for _ in range(70):
        selection = policy.select(state, generator)
        assert selection.initial and np.isnan(selection.scores).all()
        state = policy.update(state, selection.arm, np.full(50, 0.1))
    assert (state["plays"] == 10).all()
    assert not policy.select(state, generator).initial
    assert len(np.unique(state["order"], axis=0)) == 50


def test_the_second_argument_is_a_variance(generator: np.random.Generator) -> None:
    policy = EmaThompson(scale=2.0)
    state = policy.init(1, 200_000, generator) | {"order": np.zeros((200_000, 0), np.int64)}
    state["plays"][:], state["mean"][:] = 15.0, 3.0
    draws = policy.select(state, generator).scores
    assert draws.mean() == pytest.approx(3.0, abs=0.01)
    assert draws.std() == pytest.approx(2.0 / 4.0, rel=0.01)  # √(2² / 16); a variance taken for a deviation gives 0.25
    assert policy.posterior(state).deviation[0, 0] == 0.5


def test_the_simple_mean_never_forgets(generator: np.random.Generator) -> None:
    state = fed(MeanThompson(initial_plays=1), [(0, 1.0), (1, 4.0), (0, 3.0), (0, 8.0)])
    assert state["mean"].tolist() == [[4.0, 4.0]] and state["plays"].tolist() == [[3.0, 1.0]]
    first = [EmaThompson(initial_plays=2).init(7, 1, np.random.default_rng(5))["order"]]
    assert np.array_equal(MeanThompson(initial_plays=2).init(7, 1, np.random.default_rng(5))["order"], first[0])
    assert MeanThompson(scale=2.0).posterior(state).deviation.tolist() == [[1.0, 2.0 / 2**0.5]]


def test_only_the_played_arm_learns() -> None:
    state = fed(EmaThompson(initial_plays=1), [(0, 0.2), (1, 0.4), (1, 0.9)], arms=3)
    assert state["mean"][0, 0] == 0.2 and state["mean"][0, 2] == 0.0


def test_half_life_is_what_the_appendix_says() -> None:
    decay = 0.5 ** (1 / 20)  # half-life −1/log2 γ = 20 plays
    state = fed(EmaThompson(decay=decay, initial_plays=1), [(0, 0.0), (1, 0.0)] + [(0, 1.0)] * 20)
    assert state["mean"][0, 0] == pytest.approx(0.5)


def test_calibrated_noise_by_hand() -> None:
    policy = CalibratedEmaThompson(decay=0.5, initial_plays=2)
    state = fed(policy, [(0, 1.0), (1, 4.0)])
    assert policy.noise(state)[0] == pytest.approx(1.0)  # no surprise yet: scale
    state = fed(policy, [(0, 1.0), (1, 4.0), (0, 3.0)])
    # surprise 2 of a mean of one reward (v = 1): ω = 1/2, σ̂² = (2/2)² / (1/2) = 2, the sample variance of 1 and 3
    assert policy.noise(state)[0] ** 2 == pytest.approx(2.0)
    state = fed(policy, [(0, 1.0), (1, 4.0), (0, 3.0), (1, 6.0), (0, 8.0)])
    # then 2 again, and 6 of a mean of two rewards (v = 1/2, ω = 2/3), with decay 1/2:
    numerator, denominator = 1 / 4 + 1 / 2 + 16, 1 / 8 + 1 / 4 + 2 / 3
    assert policy.noise(state)[0] ** 2 == pytest.approx(numerator / denominator)
    assert state["spread"][0, 0] == pytest.approx(0.25 * 0.5 + 0.25)  # γ² v + (1 − γ)²


@pytest.mark.parametrize("noise", [1e-4, 0.02, 5.0])
def test_calibrated_finds_the_noise_whatever_its_size(noise: float, generator: np.random.Generator) -> None:
    policy = CalibratedEmaThompson()
    state = policy.init(7, 2000, generator)
    for _ in range(200):
        arm = policy.select(state, generator).arm
        policy.learn(state, arm, arm * noise + noise * generator.standard_normal(2000))
    estimate = policy.noise(state) ** 2
    assert estimate.mean() == pytest.approx(noise**2, rel=0.02)  # unbiased: the error of 2,000 replications is 0.5 %
    assert estimate.std() / noise**2 < 0.3


def test_calibrated_differs_from_optima_in_scale_alone(generator: np.random.Generator) -> None:
    calibrated, plain = make_policy("optima_calibrated"), make_policy("optima")
    state = calibrated.init(3, 1, generator)
    for step in range(60):
        state = calibrated.update(state, np.array([step % 3]), np.array([0.1 * generator.random()]))
    wide, narrow = plain.posterior(state), calibrated.posterior(state)
    assert wide is not None and narrow is not None and np.array_equal(wide.mean, narrow.mean)
    assert np.allclose(narrow.deviation / wide.deviation, calibrated.noise(state))  # pyright: ignore[reportAttributeAccessIssue]
