"""The playground in Python: chance that the browser shares, sliders that make worlds and policies, errors told."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from cells import cell
from scipy import stats

from optima_lab.bandits.policies.gaussian import DiscountedGaussianThompson
from optima_lab.bandits.policies.greedy import EpsilonGreedy
from optima_lab.bandits.policies.ucb import DiscountedUcb
from optima_lab.errors import ConfigError
from optima_lab.report.notebooks import execute
from optima_lab.widgets import playground
from optima_lab.widgets.luck import POLICIES, HashRng, mix, quantiles
from optima_lab.widgets.playground import SCENES, Settings, play, policy, world


def test_the_hash_is_lowbias32() -> None:
    """Step by step for 1, in whole numbers of any size: 1 ^ (1 >> 16) is 1, so the first product is the constant."""
    x = 0x7FEB352D ^ (0x7FEB352D >> 15)
    x = (x * 0x846CA68B) % 2**32
    assert mix(np.array([0, 1])).tolist() == [0, x ^ (x >> 16)]
    assert len(np.unique(mix(np.arange(100_000)))) == 100_000, "it is one to one"


def test_shared_chance_is_normal_uniform_and_fresh() -> None:
    luck = HashRng(seed=3, stream="optima")
    normal, uniform, whole = luck.standard_normal((4000, 7)), luck.random((4000, 7)), luck.integers(5, size=4000)
    assert stats.kstest(normal.ravel(), "norm").pvalue > 0.01
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 0.01
    assert stats.chisquare(np.bincount(whole)).pvalue > 0.01
    assert abs(np.corrcoef(normal[:, 0], normal[:, 1])[0, 1]) < 0.05
    assert abs(np.corrcoef(normal[1:, 0], normal[:-1, 0])[0, 1]) < 0.05
    assert np.unique(luck.standard_normal((4000, 7)) == normal).tolist() == [False, True], "another call, other numbers"


def test_streams_and_seeds_do_not_touch_each_other() -> None:
    first = HashRng(0, "optima").random((500, 3))
    for other in (HashRng(1, "optima"), HashRng(0, "random")):
        assert abs(np.corrcoef(first.ravel(), other.random((500, 3)).ravel())[0, 1]) < 0.06
    np.testing.assert_array_equal(HashRng(0, "optima").random((10, 3)), first[:10], "more replications change none")


def test_orders_are_permutations() -> None:
    rows = np.tile(np.repeat(np.arange(4), 2), (300, 1))
    orders = HashRng(0, "optima").permuted(rows, axis=1)
    assert (np.sort(orders, axis=1) == rows).all()
    assert stats.chisquare(np.bincount(orders[:, 0])).pvalue > 0.01


def test_quantiles_are_those_of_the_normal_distribution() -> None:
    table = quantiles()
    assert table[0] == pytest.approx(stats.norm.ppf(0.5 + 0.5 / 65536))
    assert table[-1] == pytest.approx(stats.norm.ppf(1 - 0.5 / 65536))


def test_worlds_have_the_means_of_the_sliders() -> None:
    settings = Settings("still", arms=3, gap=0.04, horizon=100)
    np.testing.assert_allclose(world(settings).table(100)[[0, 99], 0], [[0.02, 0.04, 0.06]] * 2)
    swapped = world(replace(settings, world="swap", first_change=80, second_change=90)).table(100)[:, 0]
    np.testing.assert_allclose(swapped[[79, 80]], [[0.02, 0.04, 0.06], [0.06, 0.04, 0.02]])
    pieces = replace(settings, world="pieces", first_change=10, second_change=55)
    assert pieces.changes == (10, 55)
    np.testing.assert_allclose(world(pieces).table(100)[[9, 10, 54, 55], 0, 2], [0.06, 0.02, 0.02, 0.04])
    waves = world(replace(settings, world="waves")).table(100)[:, 0]
    assert waves.min() == pytest.approx(0.02, abs=1e-4) and waves.max() == pytest.approx(0.06, abs=1e-4)
    assert set(waves.argmax(axis=1)) == {0, 1, 2}, "every arm is the best for a while"


def test_policies_get_the_sliders_and_the_worlds_sizes() -> None:
    settings = Settings(decay=0.9, initial_plays=0, gap=0.04, noise=0.01)
    assert policy("gaussian_dts", settings) == DiscountedGaussianThompson(decay=0.9, initial_plays=1)
    greedy = policy("epsilon_greedy", settings)
    assert isinstance(greedy, EpsilonGreedy) and greedy.step == pytest.approx(0.1)
    bound = policy("discounted_ucb", settings)
    assert isinstance(bound, DiscountedUcb) and bound.bound == pytest.approx((0.06 + 0.04) / 2)
    assert {name: policy(name, settings).name for name in POLICIES} == {name: name for name in POLICIES}


def test_scenes_show_what_their_names_say() -> None:
    small, large = (
        play(replace(SCENES[f"rewards {name}"], replications=20)) for name in ("too small to see", "large enough")
    )
    regret = [{name: one.regret[-1].mean() for name, one in played.items()} for played in (small, large)]
    assert regret[0]["optima"] > 0.8 * regret[0]["random"], "small rewards: close to random"
    assert regret[0]["optima_calibrated"] < 0.3 * regret[0]["random"]
    assert regret[1]["optima"] < 0.3 * regret[1]["random"], "large rewards: it learns"


def test_regret_is_what_the_best_arm_would_have_brought_more() -> None:
    settings = Settings("still", ("random",), arms=2, gap=0.5, horizon=200, replications=5)
    one = play(settings)["random"]
    np.testing.assert_allclose(one.regret[-1], 0.5 * (one.arm == 0).sum(axis=0))
    assert np.isnan(one.mean).all() and one.mean.shape == (201, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"world": "swop"}, "no 'swop'; did you mean 'swap'"),
        ({"policies": ("optimo",)}, "no 'optimo'; did you mean 'optima'"),
        ({"policies": ()}, "one to three, got 0"),
        ({"arms": 8}, "arms must be 2 to 7, got 8"),
        ({"first_change": 95}, "first < second < 100 per cent, got"),
        ({"decay": 1.0}, "decay must be in"),
        ({"noise": 0.0}, "noise must be positive"),
        ({"horizon": 5}, "horizon must be at least 10"),
        ({"gamma": 0.9}, "unexpected keyword argument 'gamma'"),
    ],
)
def test_wrong_settings_are_told_in_one_line(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        playground.playground("a change comes late", **changes)
    assert "\n" not in str(raised.value)


def test_a_scene_that_does_not_exist_is_told() -> None:
    with pytest.raises(ConfigError, match=r"scene must be one of .*did you mean 'two changes'"):
        playground.playground("two change")


def test_the_widget_begins_with_its_scene() -> None:
    widget = playground.playground("two changes", horizon=900)
    assert Settings(**{**widget.settings, "policies": tuple(widget.settings["policies"])}) == replace(
        SCENES["two changes"], horizon=900
    )
    assert list(widget.about["scenes"]) == list(SCENES)
    assert set(widget.about["policies"]) == set(POLICIES)
    assert asdict(SCENES["two changes"])["horizon"] == 500, "scenes stay as they are"


def test_the_executed_notebook_is_small(tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "notebooks" / "15_playground.ipynb"
    assert execute(path, tmp_path / path.name, {"figures": tmp_path}).stat().st_size < 1_000_000
    assert (tmp_path / "playground.html").stat().st_size < 2_000_000


OWN = cell("""
import numpy as np
from optima_lab.bandits.policies import Policy, Selection
from optima_lab.bandits.policies.base import count_play, counters, flat_index
class Last(Policy):
    def init(self, arms, replications, generator): return counters(arms, replications)
    def select(self, state, generator):
        R, K = self.sizes(state)
        return Selection(np.full(R, K - 1), np.zeros((R, K)))
    def learn(self, state, arm, reward): count_play(state, flat_index(state, arm))
class Narrow(Last):
    def select(self, state, generator): return Selection(np.zeros(1, int), np.zeros((1, 7)))
""")


def arrays_of(widget: playground.Playground) -> dict[str, np.ndarray]:
    kinds = {"f4": np.float32, "u4": np.uint32, "u1": np.uint8}
    return {
        part["name"]: np.frombuffer(
            widget.data, kinds[part["kind"]], int(np.prod(part["shape"])), part["offset"]
        ).reshape(part["shape"])
        for part in widget.about["layout"]
    }


def test_policies_of_ones_own_are_played_here_and_handed_over_whenever_settings_change() -> None:
    widget = playground.playground("two changes", own=[OWN["Last"]()], replications=5)
    assert widget.settings["policies"] == ["Last", "optima_calibrated", "gaussian_dts"]
    assert widget.about["policies"]["Last"]["title"] == "Last" and widget.about["own"]["names"] == ["Last"]
    first = arrays_of(widget)
    assert first["0 arms"].shape == (500, 5) and (first["0 arms"] == 6).all()
    settings = Settings(**{**widget.settings, "policies": ("random",)})
    means = world(settings).table(500)[:, 0]
    np.testing.assert_allclose(first["0 regret"][:, 0], (means.max(axis=1) - means[:, 6]).cumsum(), rtol=1e-5)
    widget.settings = {**widget.settings, "horizon": 50, "arms": 3}
    assert (arrays_of(widget)["0 arms"] == 2).all() and widget.about["own"]["settings"]["horizon"] == 50


def test_ones_own_policy_meets_the_luck_of_ours() -> None:
    """The library's own uniform policy as a user's: other arms, the same rewards for the same arm."""
    settings = Settings("still", ("random",), arms=3, horizon=40, replications=4)
    again = [play(settings, {"mine": OWN["Last"]()})["mine"].regret for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert (again[0] == 0).all(), "the last arm is the best where nothing changes"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (["optima"], "own must hold policies, got 'optima'"),
        ([OWN["Narrow"]()], "Narrow.select must return a Selection whose arm is 2 whole numbers below 5"),
        ([OWN["Last"]()] * 4, r"policies must be one to three, got Last, Last \(2\), Last \(3\), Last \(4\)"),
    ],
)
def test_what_is_no_policy_of_ones_own_is_told(own: list, message: str) -> None:
    changes = {"policies": ("optima",)} if len(own) > 3 else {}
    with pytest.raises(ConfigError, match=message):
        playground.playground(own=own, **changes)
