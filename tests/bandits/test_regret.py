"""Measures by hand on tiny worlds."""

import numpy as np
import pytest

from optima_lab.bandits.environments import Gaussian, make_world, piecewise
from optima_lab.bandits.policies import make_policy
from optima_lab.bandits.regret import (
    arm_shares,
    band,
    best_arm_share,
    bootstrap,
    detections,
    dynamic_regret,
    hit_rates,
    paired_difference,
    recovery_rounds,
    segment_regret,
    static_regret,
)
from optima_lab.bandits.simulate import History, Outcome, Simulation, simulate
from optima_lab.errors import ConfigError

WORLD = piecewise(np.array([[0.1, 0.3], [0.4, 0.2]]), (10,), Gaussian())
FIXED = simulate(WORLD, {"0": make_policy("fixed", arm=0), "1": make_policy("fixed", arm=1)}, 30, 2, traces=True)


def test_regrets_of_fixed_arms_by_hand() -> None:
    # 10 rounds of 0.1 / 0.3, then 20 of 0.4 / 0.2: arm 0 earns 9, arm 1 earns 7, the best of each round 11.
    assert dynamic_regret(FIXED, "0")[-1] == pytest.approx([2, 2])
    assert dynamic_regret(FIXED, "1")[-1] == pytest.approx([4, 4])
    assert static_regret(FIXED, "0")[-1] == pytest.approx([0, 0], abs=1e-12)
    assert static_regret(FIXED, "1")[-1] == pytest.approx([2, 2])
    assert segment_regret(FIXED, "1") == pytest.approx(np.array([[0, 0], [4, 4]]), abs=1e-12)
    assert segment_regret(FIXED, "0") == pytest.approx(np.array([[2, 2], [0, 0]]), abs=1e-12)


def test_shares_by_hand() -> None:
    assert best_arm_share(FIXED, "0") == pytest.approx([2 / 3, 2 / 3])
    assert best_arm_share(FIXED, "0", first=10) == pytest.approx([1, 1])
    assert hit_rates(FIXED, "0")[:, 0].tolist() == [0] * 10 + [1] * 20
    assert arm_shares(FIXED, "1") == pytest.approx(np.tile([0.0, 1.0], (30, 1)))
    with pytest.raises(ConfigError, match="first must be one of the simulation's points, got 31, near 30"):
        best_arm_share(FIXED, "0", first=31)


def test_rested_regret_is_against_the_best_player() -> None:
    world = make_world("rotting")
    result = simulate(world, {"oracle": make_policy("oracle"), "fixed": make_policy("fixed", arm=6)}, 500, 2)
    assert dynamic_regret(result, "oracle")[-1] == pytest.approx([0, 0], abs=1e-9)
    assert (dynamic_regret(result, "fixed")[-1] > 0.5).all()
    with pytest.raises(ConfigError, match="got a rested one"):
        segment_regret(result, "fixed")


def traced(hit: np.ndarray, alarm: np.ndarray) -> Simulation:
    """A simulation of `WORLD` with a trace made by hand, (T, R)."""
    empty = np.zeros((1, hit.shape[1]))
    trace = History(np.zeros(hit.shape, np.int16), np.zeros(hit.shape), hit, alarm)
    outcome = Outcome(empty, empty, np.zeros((1, hit.shape[1], 2), np.int32), {}, trace)
    return Simulation(WORLD, np.array([len(hit)]), empty, np.zeros((1, 1, 2)), {"it": outcome})


def test_recovery_by_hand() -> None:
    hit = np.zeros((30, 3), bool)
    hit[13:, 0] = True  # settles 3 rounds after the change at 10
    hit[10::2, 1] = True  # plays it every second round: half of any window
    result = traced(hit, np.zeros_like(hit))
    assert recovery_rounds(result, "it", 10, window=4, share=1.0).tolist() == [3, np.inf, np.inf]
    assert recovery_rounds(result, "it", 10, window=4, share=0.5).tolist() == [1, 0, np.inf]
    with pytest.raises(ConfigError, match="window must fit before the next change or the end, 20 rounds after"):
        recovery_rounds(result, "it", 10, window=21)


def test_detections_by_hand() -> None:
    alarm = np.zeros((30, 3), bool)
    alarm[[12, 20], 0] = True  # one right, 3 rounds after the change's first round; one false
    alarm[5, 1] = True  # before the change: false, and the change is missed
    found = detections(traced(alarm, alarm), "it")
    assert found.delay.tolist() == [[3, np.inf, np.inf]] and found.false_alarms.tolist() == [1, 1, 0]


def test_measures_of_rounds_need_traces() -> None:
    result = simulate(WORLD, {"it": make_policy("random")}, 30, 2)
    with pytest.raises(ConfigError, match="simulate with traces=True"):
        recovery_rounds(result, "it", 10, window=5)
    with pytest.raises(ConfigError, match="no policy 'itt' in this simulation; did you mean 'it'"):
        dynamic_regret(result, "itt")


def test_bootstrap_covers_as_often_as_it_says(generator: np.random.Generator) -> None:
    intervals = [bootstrap(generator.normal(size=60), resamples=400, seed=i) for i in range(300)]
    assert 0.89 <= np.mean([it.low <= 0 <= it.high for it in intervals]) <= 0.98


def test_pairing_takes_out_shared_luck(generator: np.random.Generator) -> None:
    luck = generator.normal(size=100)
    first, second = luck + 0.1 + 0.01 * generator.normal(size=100), luck + 0.01 * generator.normal(size=100)
    difference = paired_difference(first, second)
    assert difference.low > 0 and difference.mean == pytest.approx(0.1, abs=0.01)
    apart = bootstrap(first), bootstrap(second)
    assert apart[0].low < apart[1].high  # unpaired intervals overlap
    with pytest.raises(ConfigError, match="pairs must match"):
        paired_difference(first, second[:-1])


def test_band_by_hand() -> None:
    mean, low, high = band(np.array([[1.0, 3.0], [2.0, 2.0]]))
    assert mean.tolist() == [2.0, 2.0] and high[0] == pytest.approx(2 + 1.959964 * np.sqrt(2) / np.sqrt(2))
    assert low[1] == high[1] == 2.0
