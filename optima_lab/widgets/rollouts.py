"""A film of bandits at play: rollouts of any policies in any world, round by round, in the playground's panels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from optima_lab.bandits.arms import KEYS
from optima_lab.bandits.rollout import Rollout
from optima_lab.display import arm_look, policy_look
from optima_lab.errors import ConfigError
from optima_lab.files import expand
from optima_lab.widgets import assets as widgets

MOST = 3  # policies beside one another


class Rollouts(anywidget.AnyWidget):
    """Rollouts of one to three policies. round: the round shown, from 0; it follows the picture and can be set."""

    _esm = widgets.script("rollouts")
    _css = widgets.stylesheet()
    about = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    round = traitlets.Int(0).tag(sync=True)
    page: Path | None = None

    def __repr__(self) -> str:
        where = f", and on the page {self.page.name}" if self.page else ""
        return f"Film of {len(self.about['names'])} policies: drawn in JupyterLab{where}"


def rollouts(
    paths: Mapping[str, Rollout],
    changes: Sequence[int] = (),
    arms: Sequence[str] = (),
    page: str | Path = "",
) -> Rollouts:
    """Rollouts (`bandits.rollout.follow`) by what their policies are called, as a widget that plays.

    changes: the first rounds under new means.  arms: their names; 'arm 1', … where there are none.  page: also written
    as this HTML file, which needs no server. Raises ConfigError for other than one to three rollouts of one size or
    more than seven arms, RecordError where the page cannot be written.
    """
    sizes = {path.truth.shape for path in paths.values()}
    if not 1 <= len(paths) <= MOST or len(sizes) != 1 or max(sizes)[1] > len(KEYS):
        raise ConfigError(f"a film shows 1 to {MOST} rollouts of one size and at most {len(KEYS)} arms, got {sizes}")
    about, data = _handed_over(paths, changes, arms)
    film = Rollouts(about=about, data=data)
    if page:
        film.page = expand(page)
        text = widgets.page("Bandits at play", "rollouts", about, data, home="../index.html")
        widgets.write_page(film.page, text)
    return film


def _handed_over(
    paths: Mapping[str, Rollout], changes: Sequence[int], arms: Sequence[str]
) -> tuple[dict[str, Any], bytes]:
    first = next(iter(paths.values()))
    arrays = {"truth": first.truth}
    for number, path in enumerate(paths.values()):
        got = np.take_along_axis(path.truth, path.arm[:, None], axis=1)[:, 0]
        arrays |= {
            f"{number}.arm": path.arm.astype(np.uint8),
            f"{number}.regret": (path.truth.max(axis=1) - got).cumsum(),
            f"{number}.reward": path.reward,
            f"{number}.mean": path.mean,
            f"{number}.deviation": path.deviation,
        }
    layout, data = widgets.pack(arrays)
    named = {name: policy_look(name, place) for place, name in enumerate(paths)}
    looks = {name: {"title": it.label or name, "colour": it.colour, "dash": it.dash} for name, it in named.items()}
    labels = [arms[k] if k < len(arms) else f"arm {k + 1}" for k in range(first.truth.shape[1])]
    arm_looks = [arm_look(number) for number in range(len(labels))]
    drawn = [{"name": n, "colour": it.colour, "marker": it.marker} for n, it in zip(labels, arm_looks, strict=True)]
    about = {"names": list(paths), "policies": looks, "arms": drawn, "layout": layout}
    return widgets.readable(about | {"changes": [int(change) for change in changes]}), data
