"""One colour and one name for each strategy, arm, policy and task, told apart also by colour-blind readers."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from optima_lab import display
from optima_lab.bandits.arms import KEYS
from optima_lab.bandits.policies import POLICIES
from optima_lab.display import colour, in_order

# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB as seen with one kind of cone missing.
VISION = {
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def cielab(colour: str, vision: str) -> np.ndarray:
    """CIELAB (D65) of a colour as seen with this vision."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_arms_stay_apart_for_colour_blind_readers(vision: str) -> None:
    for one, other in combinations([*KEYS, "optima", "random"], 2):
        distance = np.linalg.norm(cielab(colour(one), vision) - cielab(colour(other), vision))
        assert distance > 20, (one, other, distance)


def test_what_shares_a_colour_differs_in_hatch_and_dashes() -> None:
    assert display.look("optima_calibrated").hatch and not display.look("optima").hatch
    for looks in (display.STRATEGIES, display.POLICIES):
        drawn = [(look.colour, look.dash, look.hatch, look.marker) for look in looks.values()]
        assert len(set(drawn)) == len(drawn)
    assert len({display.look(arm).marker for arm in KEYS}) == len(KEYS)


def test_every_policy_has_a_look_and_a_name_of_its_own() -> None:
    assert set(display.POLICIES) == set(POLICIES)
    labels = [look.label for look in display.POLICIES.values()]
    assert all(labels) and len(set(labels)) == len(labels)
    assert display.POLICIES["optima"].colour == colour("optima") and display.arm_colour(0) == colour(KEYS[0])
    assert display.policy_look("γ = 0.9", 0) != display.policy_look("γ = 0.5", 1)
    assert display.arm_colour(7) == display.arm_colour(0)


def test_names_are_looked_up_and_what_is_unknown_keeps_its_own() -> None:
    assert display.called("img+txt+multi", ()) == "Img+Txt+Multi (LWD)" and display.called("new") == "new"
    assert display.called("none", {"none": "why"}) == "no distillation †"
    assert display.task_title("coco") == "COCO Caption" and display.task_title("mine") == "mine"
    assert display.task_metric("coco") == "CIDEr × 100" and display.task_metric("mine") == "score (%)"
    assert display.tasks_in_order(["mine", "coco", "vqa", "a"]) == ["vqa", "coco", "a", "mine"]


def test_order_puts_unknown_strategies_last() -> None:
    assert in_order(["new", "optima", "txt", "none", "optima"]) == ["none", "txt", "optima", "new"]
