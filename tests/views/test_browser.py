"""Widgets in a real browser: they draw, listen, tell the record's numbers, and ask for nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optima_lab.views import playground

from . import browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


@pytest.fixture
def paper(chromium: Any) -> Iterator[Any]:
    """An empty page that may ask for nothing."""
    with browser.watched(chromium) as page:
        yield page


AGREED = [
    playground.Settings("swap", ("optima", "optima_calibrated", "random"), arms=5),
    playground.Settings(
        "pieces", ("gaussian_dts", "discounted_ucb", "epsilon_greedy"), 7, 0.08, 0.02, 30, 60, 0.95, 10
    ),
    playground.Settings("waves", ("optima", "optima_calibrated", "epsilon_greedy"), 3, decay=0.9, initial_plays=0),
    playground.Settings("still", ("gaussian_dts", "discounted_ucb", "optima_calibrated"), 2, 1.0, 0.3, decay=0.999),
]


@pytest.mark.parametrize("given", AGREED, ids=lambda given: given.world)
def test_the_browser_chooses_as_python_does_for_1000_rounds(paper: Any, given: playground.Settings) -> None:
    settings = replace(given, horizon=1000, replications=4, seed=7)
    source = Path(playground.__file__).with_name("bandits.js").read_text()
    table = playground.quantiles().astype(float).tolist()
    runs = browser.call(
        paper,
        source,
        "simulate(settings, streams, Float32Array.from(table)).runs.map((r) => [r.name, ...[r.arms, r.regret, r.mean, "
        "r.deviation].map((array) => Array.from(array, (v) => (Number.isFinite(v) ? v : null)))])",
        settings=playground.listed(settings),
        streams=playground.STREAMS,
        table=table,
    )
    known = playground.play(settings)
    assert [name for name, *_ in runs] == list(known)
    for name, arm, regret, mean, deviation in runs:
        ours = known[name]
        np.testing.assert_array_equal(np.reshape(arm, (1000, 4)), ours.arm, err_msg=name)
        np.testing.assert_allclose(np.reshape(regret, (1000, 4)), ours.regret, rtol=1e-12)
        np.testing.assert_allclose(np.array(mean, float).reshape(1001, -1), ours.mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.array(deviation, float).reshape(1001, -1), ours.deviation, rtol=1e-9)
