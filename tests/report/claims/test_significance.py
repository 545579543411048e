"""Estimates by hand, the correction, and the rule: planted effect, planted opposite, noise."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from optima_lab.report.claims.significance import (
    FAILS,
    HOLDS,
    NOTHING,
    UNKNOWN,
    Estimate,
    decide,
    holm,
    pooled,
    single,
    together,
)

NOISE = [0.4, -0.5, 0.1, -0.2, 0.3, -0.1, 0.2, -0.3, 0.5, -0.4, 0.1, -0.1]


def test_signs_are_flipped_exactly() -> None:
    """Of the 16 sign patterns of (1, 2, 3, 4) two have a mean as far from zero as 2.5."""
    estimate = pooled([1, 2, 3, 4])
    assert (estimate.effect, estimate.p, estimate.n) == (2.5, 2 / 16, 4)


def test_three_pairs_never_reach_five_percent_by_flipping_signs() -> None:
    assert pooled([5.0, 5.1, 4.9]).p == 2 / 8
    assert pooled([5.0, 5.1, 4.9, 5.2, 5.0, 4.8]).p == 2 / 64


def test_more_pairs_than_can_be_counted_are_drawn_and_give_the_same_each_time() -> None:
    values = np.linspace(-1, 3, 20)
    assert pooled(values) == pooled(values)
    assert pooled(np.ones(20)).p == pytest.approx(2 / 16384, rel=0.5)


def test_students_interval_by_hand() -> None:
    """(1, 2, 3): mean 2, sd 1, t(2, 97.5 %) = 4.303: 2 ± 2.484; t = 2/(1/√3) = 3.464, p = 0.0742."""
    estimate = single([1.0, 2.0, 3.0])
    assert (estimate.effect, estimate.low, estimate.high) == pytest.approx((2, -0.484, 4.484), abs=1e-3)
    assert estimate.p == pytest.approx(0.0742, abs=1e-4)
    assert estimate.evidence == pytest.approx(2 / 2.484, abs=1e-3)
    assert pooled([1.0, 2.0, 3.0]).low == estimate.low


def test_what_does_not_scatter_has_the_p_of_its_signs() -> None:
    assert single([2.0, 2.0, 2.0]).p == 0.25
    assert single([0.0, 0.0, 0.0]).p == 1
    assert single([2.0, 2.0, 2.0]).evidence == np.inf


@pytest.mark.parametrize("estimator", [pooled, single])
def test_one_value_has_no_interval_and_none_no_effect(estimator: Callable[[Sequence[float]], Estimate]) -> None:
    one = estimator([3.0, np.nan])
    assert (one.effect, one.n) == (3.0, 1) and np.isnan([one.low, one.high, one.p]).all()
    assert estimator([]) is NOTHING and NOTHING.evidence == 0 == one.evidence


def test_holm_by_hand() -> None:
    """0.01·4 = 0.04; 0.02·3 = 0.06; 0.03·2 = 0.06 (not below the one before); 0.5·1."""
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_is_not_recorded_makes_nothing_easier() -> None:
    corrected = holm([0.02, np.nan, 0.04])
    assert corrected[0] == pytest.approx(0.06) and corrected[2] == pytest.approx(0.08) and np.isnan(corrected[1])


@pytest.mark.parametrize(
    ("low", "high", "p", "either", "verdict"),
    [
        (0.1, 0.9, 0.01, False, HOLDS),
        (0.1, 0.9, 0.05, False, HOLDS),
        (0.1, 0.9, 0.051, False, UNKNOWN),
        (-0.1, 0.9, 0.01, False, UNKNOWN),
        (-0.9, -0.1, 0.01, False, FAILS),
        (-0.9, -0.1, 0.2, False, UNKNOWN),
        (-0.9, -0.1, 0.01, True, HOLDS),
        (0.1, 0.9, 0.01, True, HOLDS),
        (-0.9, -0.1, 0.2, True, UNKNOWN),
        (np.nan, np.nan, np.nan, False, UNKNOWN),
    ],
)
def test_the_rule(low: float, high: float, p: float, either: bool, verdict: str) -> None:
    assert decide(Estimate((low + high) / 2, low, high, p, 12), p, either) == verdict


def test_a_planted_effect_holds_its_opposite_does_not_and_noise_cannot_be_told() -> None:
    effect = np.add(NOISE, 1.0)
    for values, verdict in ((effect, HOLDS), (-effect, FAILS), (NOISE, UNKNOWN)):
        estimate = pooled(values)
        assert decide(estimate, estimate.p) == verdict


def test_noise_is_called_an_effect_no_more_often_than_it_may() -> None:
    """200 claims about nothing, 12 pairs with heavy tails in tasks of unlike scatter: at most 5 % get a verdict."""
    generator = np.random.default_rng(1)
    worlds = generator.standard_t(3, size=(200, 12)) * np.repeat([1, 1, 2, 5], 3)
    verdicts = [decide(estimate, estimate.p) for estimate in map(pooled, worlds)]
    assert np.mean([verdict != UNKNOWN for verdict in verdicts]) <= 0.08


@pytest.mark.parametrize(
    ("verdicts", "needs", "verdict"),
    [
        ([HOLDS, HOLDS], "all", HOLDS),
        ([HOLDS, UNKNOWN], "all", UNKNOWN),
        ([HOLDS, FAILS], "all", FAILS),
        ([UNKNOWN, FAILS], "all", FAILS),
        ([HOLDS, FAILS], "any", HOLDS),
        ([UNKNOWN, FAILS], "any", UNKNOWN),
        ([FAILS, FAILS], "any", FAILS),
        ([], "all", UNKNOWN),
        ([], "any", UNKNOWN),
    ],
)
def test_claims_of_several_comparisons(verdicts: list[str], needs: str, verdict: str) -> None:
    assert together(verdicts, needs) == verdict
