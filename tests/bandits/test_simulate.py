"""Simulation: streams apart, memory bounded, cost linear, books right."""

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from optima_lab import bandits
from optima_lab.bandits import simulate as module
from optima_lab.bandits.environments import WORLDS, Gaussian, make_world, piecewise
from optima_lab.bandits.policies import POLICIES, make_policy
from optima_lab.bandits.simulate import choose_points, simulate, stream
from optima_lab.errors import ConfigError

FEW = {name: make_policy(name) for name in ("optima", "gaussian_dts", "discounted_ucb")}


@pytest.mark.parametrize("world", WORLDS)
def test_adding_a_policy_changes_no_others_numbers(world: str) -> None:
    made = make_world(world, horizon=80)
    alone = simulate(made, {"it": FEW["gaussian_dts"]}, 80, 10, traces=True)
    among = simulate(
        made, {"a": FEW["optima"], "it": FEW["gaussian_dts"], "z": make_policy("random")}, 80, 10, traces=True
    )
    first, second = alone.outcomes["it"], among.outcomes["it"]
    assert np.array_equal(first.earned, second.earned) and np.array_equal(first.plays, second.plays)
    assert first.trace and second.trace and np.array_equal(first.trace.reward, second.trace.reward)
    assert np.array_equal(alone.best, among.best)


def test_policies_meet_the_same_luck() -> None:
    result = simulate(
        make_world("piecewise"),
        {"a": make_policy("fixed", arm=2), "b": make_policy("fixed", arm=2)},
        50,
        10,
        traces=True,
    )
    a, b = (result.outcomes[name].trace for name in "ab")
    assert a and b and np.array_equal(a.reward, b.reward)


def test_but_not_the_same_draws() -> None:
    result = simulate(make_world("stationary"), {"a": FEW["optima"], "b": FEW["optima"]}, 50, 10)
    assert not np.array_equal(result.outcomes["a"].plays, result.outcomes["b"].plays)


def test_streams_are_told_apart_by_name_and_seed() -> None:
    draws = {
        stream(seed, *names).random() for seed in (0, 1) for names in [("world",), ("policy", "a"), ("policy", "b")]
    }
    assert len(draws) == 6 and stream(3, "x").random() == stream(3, "x").random()


@pytest.mark.parametrize("world", WORLDS)
def test_results_do_not_depend_on_the_block(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_world(world, horizon=150)
    expected = simulate(made, FEW, 150, 5)
    monkeypatch.setattr(module, "block_rounds", lambda *_: 17)
    result = simulate(made, FEW, 150, 5)
    for name in FEW:
        assert result.outcomes[name].earned == pytest.approx(expected.outcomes[name].earned, rel=1e-12)
        assert np.array_equal(result.outcomes[name].plays, expected.outcomes[name].plays)


@pytest.mark.parametrize("world", WORLDS)
def test_the_books_agree_with_the_trace(world: str) -> None:
    made = make_world(world, horizon=120)
    result = simulate(made, {"it": make_policy("gaussian_dts")}, 120, 6, traces=True, points=10)
    it = result.outcomes["it"]
    assert it.trace is not None
    for index, point in enumerate(result.points):
        arms = it.trace.arm[:point]
        assert np.array_equal(it.plays[index], (arms[:, :, None] == np.arange(7)).sum(axis=0))
        assert np.array_equal(it.hits[index], it.trace.hit[:point].sum(axis=0))
    if not made.rested:
        generator = stream(0, "world")
        table = made.noise.expected(np.concatenate(list(made.blocks(120, 6, generator, 120))))
        earned = np.take_along_axis(np.broadcast_to(table, (120, 6, 7)), it.trace.arm[:, :, None].astype(int), 2)
        assert it.earned[-1] == pytest.approx(earned.sum(axis=(0, 2)))
        assert result.best[-1] == pytest.approx(table.max(axis=2).sum(axis=0))
        assert result.fixed[-1] == pytest.approx(table.sum(axis=0))


@pytest.mark.parametrize("world", WORLDS)
def test_the_oracle_loses_nothing(world: str) -> None:
    result = simulate(make_world(world), {"it": make_policy("oracle")}, 1000, 3)
    assert result.best[-1] - result.outcomes["it"].earned[-1] == pytest.approx(np.zeros(3), abs=1e-9)
    assert (result.outcomes["it"].hits[-1] == 1000).all()


def test_a_fixed_arm_earns_its_column() -> None:
    for world in WORLDS:
        result = simulate(make_world(world), {"it": make_policy("fixed", arm=4)}, 300, 2)
        assert result.outcomes["it"].earned[-1] == pytest.approx(np.broadcast_to(result.fixed[-1][:, 4], 2))


def test_rewards_of_a_rested_world_wear_only_what_is_played() -> None:
    world = make_world("rotting", clip=False, noise_std=1e-9)
    result = simulate(world, {"it": make_policy("fixed", arm=6)}, 100, 1, traces=True)
    trace = result.outcomes["it"].trace
    assert trace and trace.reward[:, 0] == pytest.approx(world.table(100)[:, 0, 6], abs=1e-7)


def test_points_hold_every_change_and_the_horizon() -> None:
    assert choose_points(1000, 4, (300, 600, 5000)).tolist() == [250, 300, 500, 600, 750, 1000]
    assert choose_points(3, 200, ()).tolist() == [1, 2, 3]


def test_memory_is_bounded_without_traces() -> None:
    world = make_world("walk", horizon=100)
    peaks = []
    for horizon in (2_000, 20_000):
        tracemalloc.start()
        simulate(world, {"it": make_policy("random")}, horizon, 50, points=20)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 40e6


@pytest.mark.parametrize("parameters", [{"horizon": 0}, {"replications": 0}, {"points": 0}])
def test_empty_simulations_are_refused(parameters: dict) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(parameters))} must be at least 1"):
        simulate(make_world("swap"), FEW, **parameters)


@pytest.mark.slow
def test_cost_is_linear_in_rounds_and_replications_and_arms() -> None:
    base = seconds(2000, 1000, 7)
    assert seconds(8000, 1000, 7) < 6 * base  # 4 times the work, and room for a busy machine
    assert seconds(2000, 4000, 7) < 6 * base
    assert seconds(2000, 1000, 28) < 6 * base


def seconds(horizon: int, replications: int, arms: int) -> float:
    """CPU time of the fastest of three runs."""
    world, times = piecewise(np.linspace(0.02, 0.06, arms), (), Gaussian()), []
    for _ in range(3):
        start = time.process_time()
        simulate(world, {"it": make_policy("optima", initial_plays=1)}, horizon, replications, points=10)
        times.append(time.process_time() - start)
    return min(times)


def test_every_policy_plays_in_the_default_world() -> None:
    result = simulate(make_world("piecewise"), {name: make_policy(name) for name in POLICIES}, 200, 4)
    assert all((outcome.plays[-1].sum(axis=1) == 200).all() for outcome in result.outcomes.values())


def test_importing_the_laboratory_loads_numpy_alone() -> None:
    """Every module of it, in a fresh interpreter; scipy comes with the first world whose rewards are cut."""
    folder = Path(bandits.__file__).parent
    parts = [path.relative_to(folder).with_suffix("").parts for path in folder.rglob("*.py")]
    names = {".".join(("optima_lab.bandits", *part)).removesuffix(".__init__") for part in parts}
    code = (
        f"import sys; before = set(sys.modules); import {', '.join(sorted(names))}; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names
    ours = {"numpy", "optima_lab", "cython_runtime"}  # the last is numpy.random's
    assert {name for name in loaded if not name.startswith("_")} == ours and len(names) > 20
