"""Playground: worlds and policies that answer while sliders are dragged, in notebooks and on an offline page.

The browser plays by itself (`bandits.js`), with chance that Python computes, too: `play` lets the library's policies
meet the same luck, and a test holds both to the very same choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import anywidget
import numpy as np
import traitlets

from optima_lab import display
from optima_lab.bandits.arms import LABELS
from optima_lab.bandits.environments import Gaussian, World, from_function, piecewise
from optima_lab.bandits.policies import Policy, sized_policy
from optima_lab.bandits.policies.base import require, require_fraction, require_positive
from optima_lab.bandits.policies.trial import try_out
from optima_lab.errors import ConfigError, nearest
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.widgets import assets as widgets
from optima_lab.widgets.luck import POLICIES, STREAMS, HashRng, quantiles
from optima_lab.widgets.recorded_game import RecordedGame, recorded_games

WORLDS = {"still": "nothing changes", "swap": "best and worst swap", "pieces": "two changes", "waves": "waves"}


@dataclass(frozen=True)
class Settings:
    """One state of the sliders.

    gap: best minus worst mean; the worst is half of it.  noise: standard deviation of a reward; both in units of the
    reward.  first_change, second_change: per cent of the horizon.  decay: γ; ε-greedy's step is 1 − γ.
    initial_plays: T0.  Raises ConfigError for what is out of range.
    """

    world: str = "swap"
    policies: tuple[str, ...] = ("optima", "optima_calibrated", "random")
    arms: int = 5
    gap: float = 0.04
    noise: float = 0.02
    first_change: int = 50
    second_change: int = 75
    decay: float = 0.98
    initial_plays: int = 2
    horizon: int = 500
    replications: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, valid in ((self.world, WORLDS), *((policy, POLICIES) for policy in self.policies)):
            if name not in valid:
                raise ConfigError(f"the playground has no {name!r}{nearest(name, list(valid))}")
        require(1 <= len(self.policies) <= 3, f"policies must be one to three, got {len(self.policies)}")
        require(2 <= self.arms <= len(LABELS), f"arms must be 2 to {len(LABELS)}, got {self.arms}")
        changes = self.first_change, self.second_change
        require(0 < changes[0] < changes[1] < 100, f"changes must be 0 < first < second < 100 per cent, got {changes}")
        require_positive("gap", self.gap)
        require_positive("noise", self.noise)
        require_fraction("decay", self.decay)
        require(self.initial_plays >= 0, f"initial_plays must be at least 0, got {self.initial_plays}")
        require(self.horizon >= 10, f"horizon must be at least 10 rounds, got {self.horizon}")
        require(self.replications >= 2, f"replications must be at least 2, got {self.replications}")

    @property
    def changes(self) -> tuple[int, ...]:
        """The first rounds, from 0, under new means."""
        shares = {"swap": (self.first_change,), "pieces": (self.first_change, self.second_change)}
        return tuple((share * self.horizon + 50) // 100 for share in shares.get(self.world, ()))


STILL = Settings(world="still", initial_plays=10, horizon=600)
SCENES: Mapping[str, Settings] = {
    "rewards too small to see": STILL,
    "rewards large enough": replace(STILL, gap=2.0, noise=0.5),
    "a change comes late": Settings(
        policies=("optima_calibrated", "gaussian_dts", "discounted_ucb"),
        first_change=80,
        second_change=90,
        horizon=1500,
    ),
    "two changes": Settings("pieces", ("optima_calibrated", "gaussian_dts", "epsilon_greedy"), 7, 0.08, 0.02, 30, 60),
    "it never rests": Settings("waves", ("optima_calibrated", "gaussian_dts", "random"), gap=0.1, decay=0.95),
    "hardly any noise": Settings("swap", ("optima", "optima_calibrated", "epsilon_greedy"), 3, 0.04, 0.001),
}


def world(settings: Settings) -> World:
    """The world of the sliders: means from gap/2 to 3·gap/2 with Gaussian noise."""
    low, noise = settings.gap / 2, Gaussian(settings.noise)
    means = np.linspace(low, low + settings.gap, settings.arms)
    if settings.world == "waves":
        middle, swing = low + settings.gap / 2, settings.gap / 2
        offset = np.arange(settings.arms) / settings.arms

        def waves(rounds: np.ndarray) -> np.ndarray:
            return middle + swing * np.sin(2 * np.pi * (2 * rounds / settings.horizon + offset))

        return from_function(waves, settings.arms, noise, title="waves")
    after = [means, means[[-1, *range(1, settings.arms - 1), 0]]]  # best and worst swapped
    if settings.world == "pieces":
        shift = max(1, (2 * settings.arms) // 5)
        after = [np.roll(means, -shift * piece) for piece in range(3)]
    return piecewise(np.stack(after[: 1 + len(settings.changes)]), settings.changes, noise, settings.world)


def policy(name: str, settings: Settings) -> Policy:
    """The library's policy, its parameters from the sliders, its sizes from the world's."""
    forced = {"initial_plays": max(settings.initial_plays, 0 if name.startswith("optima") else 1)}
    parameters: dict[str, dict[str, Any]] = {
        "random": {},
        "discounted_ucb": {"decay": settings.decay},
        "epsilon_greedy": {"step": 1 - settings.decay, **forced},
    }
    top = 1.5 * settings.gap + 4 * settings.noise
    return sized_policy(name, top, settings.noise, **parameters.get(name, {"decay": settings.decay, **forced}))


@dataclass(frozen=True)
class Played:
    """What one policy did: arm (T, R); regret (T, R) summed up; mean and deviation (T + 1, K) of the first replication.

    Beliefs are those before each round, and after the last; NaN for a policy without.
    """

    arm: np.ndarray
    regret: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def play(
    settings: Settings, own: Mapping[str, Policy] | None = None, rewards: np.ndarray | None = None
) -> dict[str, Played]:
    """What `bandits.js` plays, played by the library's own policies and world: by name, each with the same luck.

    `own`: policies of a user's, which no browser knows; they play instead, and draw from numpy's generator.
    `rewards` (T, K): recorded ones, which a pull brings as they are, in place of the sliders' world.
    """
    means = world(settings).table(settings.horizon)[:, 0] if rewards is None else rewards[: settings.horizon]
    luck = HashRng(settings.seed, "world")
    chance = np.stack([luck.standard_normal(settings.replications) for _ in range(settings.horizon)])
    chance *= rewards is None
    if own is not None:
        lucks = [np.random.default_rng([settings.seed, number]) for number in range(len(own))]
        return {n: _play(p, settings, means, chance, luck) for (n, p), luck in zip(own.items(), lucks, strict=True)}
    draws = {name: cast(np.random.Generator, HashRng(settings.seed, name)) for name in settings.policies}
    return {name: _play(policy(name, settings), settings, means, chance, luck) for name, luck in draws.items()}


def _play(
    player: Policy, settings: Settings, means: np.ndarray, chance: np.ndarray, luck: np.random.Generator
) -> Played:
    state = player.init(settings.arms, settings.replications, luck)
    noise, arm = Gaussian(settings.noise), np.zeros(chance.shape, np.int64)
    beliefs = np.full((2, settings.horizon + 1, settings.arms), np.nan)
    for t in range(settings.horizon + 1):
        if (belief := player.posterior(state)) is not None:
            beliefs[:, t] = belief.mean[0], belief.deviation[0]
        if t < settings.horizon:
            arm[t] = player.select(state, luck).arm
            player.learn(state, arm[t], noise.reward(means[t, arm[t]], chance[t], arm[t]))
    lost = means.max(axis=1)[:, None] - np.take_along_axis(means, arm, axis=1)
    return Played(arm, lost.cumsum(axis=0), *beliefs)


class Playground(anywidget.AnyWidget):
    """Sliders, worlds and policies. `settings` follows the page (`Settings(**…)` of it is shown) and can be set.

    `own` policies, by name, are played here whenever the settings change, and drawn by the page.
    """

    _esm = widgets.script("playground")
    _css = widgets.stylesheet()
    about = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)

    def __init__(
        self, settings: Mapping[str, Any], own: Mapping[str, Policy], games: Sequence[RecordedGame] = ()
    ) -> None:
        self.own, self.games = own, games
        about, data = handed_over(settings, own, games)
        super().__init__(about=about, data=data, settings={**settings})
        if own:
            self.observe(self._play_own, "settings")

    def _play_own(self, change: Any) -> None:
        about, data = handed_over(self.settings, self.own, self.games)
        with self.hold_sync():
            self.about, self.data = about, data

    def __repr__(self) -> str:
        return "Playground of bandits: drawn in JupyterLab, and on the page playground.html"


def playground(
    scene: str = "rewards too small to see",
    own: Sequence[Policy] = (),
    recorded: Sequence[RecordFolder] | str | Path = (),
    **changes: Any,
) -> Playground:
    """The playground as a widget, beginning with a scene of `SCENES`; `changes` are fields of Settings.

    `own`: up to three policies of one's own; they are shown first.  `recorded`: finished experiments, or a folder of
    runs, whose rewards can be played (`recorded_games`). Raises ConfigError for a scene or a value that does
    not exist, and for policies that do not play.
    """
    if scene not in SCENES:
        raise ConfigError(f"scene must be one of {', '.join(SCENES)}, got {scene!r}{nearest(scene, list(SCENES))}")
    try:
        settings = replace(SCENES[scene], **changes)
    except TypeError as error:
        raise ConfigError(f"the playground's settings are {', '.join(asdict(SCENES[scene]))}: {error}") from None
    mine = _named(own, settings)
    shown = listed(settings)
    room = max(0, 3 - len(mine)) if "policies" not in changes else None
    shown["policies"] = [*mine, *shown["policies"][:room]]
    require(len(shown["policies"]) <= 3, f"policies must be one to three, got {', '.join(shown['policies'])}")
    return Playground(shown, mine, recorded_games(recorded))


def _named(own: Sequence[Policy], settings: Settings) -> dict[str, Policy]:
    """A user's policies by names that none of ours has, tried out."""
    policies: dict[str, Policy] = {}
    for player in own:
        if not isinstance(player, Policy):
            raise ConfigError(f"own must hold policies, got {player!r}")
        try_out(player, settings.arms, 2)
        name = type(player).__name__
        taken = [other for other in (*policies, *POLICIES) if other.partition(" (")[0] == name]
        policies[f"{name} ({len(taken) + 1})" if taken else name] = player
    return policies


def write_page(path: str | Path, recorded: Sequence[RecordFolder] | str | Path = ()) -> Path:
    """The playground as one HTML file that needs no network; `recorded` as in `playground`.

    Raises RecordError where it cannot be written.
    """
    about, data = handed_over(games=recorded_games(recorded))
    text = widgets.page("Playground: bandits in a changing world", "playground", about, data, home="index.html")
    return widgets.write_page(path, text)


def handed_over(
    shown: Mapping[str, Any] | None = None,
    own: Mapping[str, Policy] | None = None,
    games: Sequence[RecordedGame] = (),
) -> tuple[dict, bytes]:
    """What the browser gets: worlds, policies with their looks, scenes, games; and the table of normal quantiles.

    With a user's `own` policies also what they did under the settings `shown`.
    """
    arrays, played = {"quantiles": quantiles()}, {}
    if shown and own:
        settings = Settings(**{**shown, "policies": ("random",)})  # what is ours is played by the browser
        played = play(settings, own)
        arrays |= {
            f"{number} {kind}": array for number, one in enumerate(played.values()) for kind, array in _flat(one)
        }
    arrays |= {f"game {number}": game.rewards for number, game in enumerate(games)}
    layout, data = widgets.pack(arrays)
    entries = {name: display.POLICIES[name] for name in POLICIES}
    looks = {name: {"title": it.label, "colour": it.colour, "dash": it.dash} for name, it in entries.items()}
    about = {
        "arms": widgets.arms(),
        "layout": layout,
        "worlds": WORLDS,
        "policies": looks | {name: {"title": name, **_own_look(place)} for place, name in enumerate(played)},
        "games": [{name: value for name, value in vars(game).items() if name != "rewards"} for game in games],
        "own": {"settings": dict(shown or {}), "names": [*played]},
        "streams": STREAMS,
        "scenes": {name: listed(settings) for name, settings in SCENES.items()},
    }
    return about, data


def _flat(one: Played) -> list[tuple[str, np.ndarray]]:
    """A policy's play as the browser keeps it."""
    return [
        ("arms", one.arm.astype(np.uint8)),
        *((kind, getattr(one, kind)) for kind in ("regret", "mean", "deviation")),
    ]


def _own_look(place: int) -> dict[str, str]:
    look = display.SPARE[place]
    return {"colour": look.colour, "dash": look.dash}


def listed(settings: Settings) -> dict[str, Any]:
    """Settings as the browser keeps them."""
    return asdict(settings) | {"policies": list(settings.policies)}
