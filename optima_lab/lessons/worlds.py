"""The worlds of lessons and exercises that `environments.WORLDS` has not."""

import numpy as np

from optima_lab.bandits.environments import Coins, Gaussian, World, piecewise, shared_modules


def three_coins() -> World:
    """Lesson 10's world: coins of 0.3, 0.5 and 0.7 that never change."""
    return piecewise(np.array([0.3, 0.5, 0.7]), (), Coins(), "three coins")


def late_riser(change: int) -> World:
    """Rewards of order one: seven means from 0.3 to 0.6 with noise 0.2, until the worst arm rises to 0.9."""
    before = np.linspace(0.3, 0.6, 7)
    after = before.copy()
    after[0] = 0.9
    return piecewise(np.stack([before, after]), (change,), Gaussian(0.2), "late riser")


def five_modules() -> World:
    """Lesson 14's large world: 31 arms of five modules of which two are worth distilling."""
    return shared_modules((0.03, 0.02, 0.0, -0.01, -0.02), 0.04, Gaussian(0.02), "five modules")


def eight_modules() -> World:
    """Lesson 14's largest world: 255 arms of eight modules, fewer rounds than arms."""
    contributions = (0.03, 0.02, 0.01, 0.005, 0.0, -0.005, -0.01, -0.02)
    return shared_modules(contributions, 0.04, Gaussian(0.02), "eight modules")
