"""Which numbers are independent, by hand: pairs, averages of seeds, tasks left out or judged alone, all of it said."""

import numpy as np
import pandas as pd
import pytest

from optima_lab.report.claims.pooling import AVERAGED, FLIPPED, SINGLE, pool


def rows(**tasks: tuple[float, list[float]]) -> pd.DataFrame:
    """A scale and a value for every seed of each task."""
    cells = [
        (task, seed, value, scale)
        for task, (scale, values) in tasks.items()
        for seed, value in enumerate(values)
        if np.isfinite(value)
    ]
    return pd.DataFrame(cells, columns=["task", "seed", "value", "scale"])


TWO = rows(vqa=(2.0, [2.0, 4.0, 6.0]), coco=(1.0, [3.0, 1.0, 2.0]))


def test_pairs_of_streams_of_their_own_are_numbers_of_their_own() -> None:
    """2, 4, 6 in units of 2, and 3, 1, 2 in units of 1; tested by √(56/3) and √(14/3)."""
    found = pool(TWO, independent=True)
    assert found.values.tolist() == [1, 2, 3, 3, 1, 2] and found.statistic == FLIPPED
    assert found.tested.tolist() == pytest.approx(
        [*(np.array([2, 4, 6]) / 4.3205), *(np.array([3, 1, 2]) / 2.1602)], 1e-4
    )
    assert (found.seeds, found.tasks, found.estimate.n, found.estimate.effect) == (3, 2, 6, 2.0)
    assert found.estimate.p == 2 / 64


def test_pairs_of_shared_streams_are_averaged_by_seed() -> None:
    """(1 + 3)/2, (2 + 1)/2, (3 + 2)/2."""
    found = pool(TWO, independent=False)
    assert found.values.tolist() == [2.0, 1.5, 2.5] and found.statistic == AVERAGED
    assert (found.estimate.n, found.estimate.effect) == (3, 2.0)


def test_one_task_has_a_number_a_seed() -> None:
    for independent in (True, False):
        found = pool(rows(vqa=(2.0, [2.0, 4.0, 6.0])), independent)
        assert (found.statistic, found.values.tolist()) == (SINGLE, [1, 2, 3])
        assert found.estimate.p == pytest.approx(0.0742, abs=1e-4), "of (1, 2, 3), see test_inference"


def test_seeds_that_lack_a_task_and_tasks_of_one_seed_are_left_out_in_words() -> None:
    """Only seeds 0 and 2 have both tasks; NLVR2 has one seed, and thereby no scatter."""
    cells = rows(vqa=(1.0, [1.0, 9.0, 3.0]), coco=(1.0, [1.0, np.nan, 5.0]), nlvr2=(np.nan, [7.0]))
    found = pool(cells, independent=False)
    assert found.values.tolist() == [1.0, 4.0]
    assert found.left_out == ("NLVR2 (one seed has no scatter)", "seed 1 (not all tasks)")
    assert pool(cells, independent=True).values.tolist() == [1, 9, 3, 1, 5], "pairs need no partner"


@pytest.mark.parametrize("independent", [True, False])
def test_a_task_without_scatter_counts_as_zero_or_is_judged_alone(independent: bool) -> None:
    equal = pool(rows(vqa=(1.0, [1.0, 2.0]), nlvr2=(0.0, [0.0, 0.0])), independent)
    assert equal.alone == () and equal.values.tolist() == ([1, 2, 0, 0] if independent else [0.5, 1])
    apart = pool(rows(vqa=(1.0, [1.0, 2.0]), nlvr2=(0.0, [-10.0, -10.0])), independent)
    assert apart.alone == ("nlvr2",) and apart.values.tolist() == [1, 2]
    nothing = pool(rows(nlvr2=(0.0, [-10.0, -10.0])), independent)
    assert nothing.alone == ("nlvr2",) and nothing.estimate.n == 0


@pytest.mark.parametrize("independent", [True, False])
def test_what_is_tested_does_not_depend_on_the_scale_that_was_estimated(independent: bool) -> None:
    wider = TWO.assign(scale=TWO["scale"] * TWO["task"].map({"vqa": 5.0, "coco": 0.1}))
    assert pool(wider, independent).tested.tolist() == pool(TWO, independent).tested.tolist()
