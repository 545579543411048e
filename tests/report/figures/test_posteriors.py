"""A draw is shown with the posterior that the sampler itself held: widths worked out by hand for each kind."""

from pathlib import Path

import numpy as np
import pandas as pd
import played
import pytest

from optima_lab.bandits.arms import KEYS
from optima_lab.display import name_of
from optima_lab.experiments import records
from optima_lab.report.figures import dynamics
from optima_lab.report.figures.posteriors import draw_of
from optima_lab.widgets.recording import places


def drawn_deviations(figure) -> list[float]:
    """The standard deviations of the hills in a figure of one draw: a grid reaches from μ − 3.5 σ to μ + 3.5 σ."""
    hills = [line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) > 9]
    return [float(np.ptp(hill)) / 7 for hill in hills]


def rounds_of(policy: str, parameters: dict, rewards: list[tuple[int, float]], mean: list[float]) -> pd.DataFrame:
    """The rounds of arms and rewards, and one more in which the sampler of this `mean` draws 0.1, 0.2, … 0.7."""
    base = {"task": "vqa", "experiment": "e", "seed": 0, "strategy": "S", "stopped": ""}
    base |= {"policy": policy, "parameters": parameters, "draws": None, "mean_before": None, "plays_before": None}
    rows = [base | {"arm": KEYS[arm], "reward": reward, "initial": True} for arm, reward in rewards]
    plays = np.bincount([arm for arm, _ in rewards], minlength=7).astype(float)
    last = {"draws": np.arange(1, 8) / 10, "mean_before": np.array(mean), "plays_before": plays}
    rows.append(base | last | {"arm": KEYS[6], "reward": 0.0, "initial": False})
    return pd.DataFrame(rows).assign(round=range(1, len(rows) + 1), step=range(1, len(rows) + 1))


# Every arm twice: rewards 0.1 and 0.3 for the first, 0.2 and 0.2 for the others, so μ = 0.2 for all. By hand: an arm's
# first reward surprises nothing (v = ∞). Its second surprises by e = 0.2 (first arm) or 0, with v = 1 and ω = 1/2, so
# that without forgetting σ̂² would be (0.2/2)² / (7/2). Forgotten by γ = 1/2 a round, the first arm's, the 8th of 14
# rounds, weighs 2⁻⁶: σ̂² = 2⁻⁶ · 0.01 / (½ · (2⁻⁶ + … + 1)) = 2⁻⁶ · 0.01 · 2 / (2 − 2⁻⁶).
TWICE = [*((arm, 0.1 if arm == 0 else 0.2) for arm in range(7)), *((arm, 0.3 if arm == 0 else 0.2) for arm in range(7))]
SIGMA = np.sqrt(0.02 / 64 / (2 - 1 / 64))  # 0.01255


@pytest.mark.parametrize(
    ("policy", "parameters", "sigma", "said"),
    [
        (
            "optima_calibrated",
            {"decay": 0.5, "initial_plays": 2},
            SIGMA,
            "σ = 0.0125 estimated from the rewards so far",
        ),
        ("optima", {"decay": 0.5, "initial_plays": 2}, 1.0, "σ = 1 set beforehand"),
        ("optima", {"decay": 0.5, "initial_plays": 2, "scale": 0.05}, 0.05, "σ = 0.05 set beforehand; the paper has"),
        ("optima_mean", {"initial_plays": 2, "scale": 3.0}, 3.0, "σ = 3 set beforehand; the paper has σ = 1"),
    ],
)
def test_the_width_is_the_samplers_own(policy: str, parameters: dict, sigma: float, said: str) -> None:
    figure = dynamics.thompson_draw(rounds_of(policy, parameters, TWICE, [0.2] * 7), "S")
    assert drawn_deviations(figure) == pytest.approx([sigma / np.sqrt(3)] * 7)  # n = 2
    assert said in " ".join(figure.get_supxlabel().split())
    assert ("the paper has" in figure.get_supxlabel()) == (sigma != 1)


def test_a_calibrated_sampler_that_has_nothing_to_estimate_from_says_so() -> None:
    """Every arm once: no surprise, so σ̂ is still `scale`, and n = 1."""
    once = rounds_of("optima_calibrated", {"initial_plays": 1, "scale": 0.4}, TWICE[:7], [0.1, *[0.2] * 6])
    figure = dynamics.thompson_draw(once, "S")
    assert drawn_deviations(figure) == pytest.approx([0.4 / np.sqrt(2)] * 7)
    assert "σ = 0.4 to begin with: no arm has two rewards yet" in " ".join(figure.get_supxlabel().split())


def test_a_posterior_of_another_form_is_named_by_its_policy() -> None:
    """A Kalman filter's variance by hand: V = 0.04; twice g = V/(V + 0.01), V ← (1 − g) V: 0.008, then 0.04/9."""
    parameters = {"noise": 0.1, "drift": 0.0, "prior_mean": 0.2, "prior_std": 0.2}
    rewards = [(0, 0.2), (0, 0.2), (1, 0.2)]
    figure = dynamics.thompson_draw(rounds_of("kalman_ts", parameters, rewards, [0.2] * 7), "S")
    assert drawn_deviations(figure) == pytest.approx([np.sqrt(0.04 / 9), np.sqrt(0.008), *[0.2] * 5])
    assert "as wide as kalman_ts held them: standard deviations 0.0667 to 0.2" in figure.get_supxlabel()


@pytest.mark.parametrize(
    "change",
    [
        lambda rounds: rounds.drop(columns=["policy", "parameters"]),  # an older record
        lambda rounds: rounds.assign(policy="no_such_policy"),
        lambda rounds: rounds[rounds["round"] != 3],  # what it learnt in between is not there
        lambda rounds: rounds.assign(reward=rounds["reward"] + 0.01),  # means that these rewards do not lead to
        lambda rounds: rounds.assign(reward=rounds["reward"].where(rounds["round"] != 3)),
    ],
)
def test_a_width_that_is_not_known_is_not_drawn_and_that_is_said(change) -> None:
    rounds = change(rounds_of("optima", {"initial_plays": 2}, TWICE, [0.2] * 7))
    figure = dynamics.thompson_draw(rounds, "S")
    assert drawn_deviations(figure) == []
    assert "how wide its posteriors were is not recorded" in figure.get_supxlabel()
    assert "Img+Txt+Multi drew the highest" in figure.get_supxlabel()


@pytest.mark.parametrize("name", ["optima", "optima_calibrated"])
def test_records_on_disk_lead_to_the_width_that_the_draws_were_made_with(name: str, tmp_path: Path) -> None:
    """The sampler's own luck, drawn again: draws are μ + deviation · z with the same z as in the run."""
    played.write(tmp_path, name_of(name))
    draw = draw_of(records.read_rounds(places(tmp_path)), name, 30)
    assert draw is not None and draw.round == 30
    normal = (draw.draws - draw.mean) / draw.deviation
    assert 0.2 < np.std(normal) < 2.5
    assert draw.noise == pytest.approx(1.0) if name == "optima" else 0.001 < draw.noise < 0.1
