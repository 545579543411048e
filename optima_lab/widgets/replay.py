"""Replay of recorded runs: a widget for notebooks and the same widget as an offline page.

`replay.js` draws; Python only hands over arrays. What cannot be shown is said in the widget's place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from optima_lab.bandits.arms import COCA, KEYS
from optima_lab.display import base, task_metric, task_title
from optima_lab.errors import OptimaError, RecordError
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.experiments.looking import runs_folder
from optima_lab.widgets import assets as widgets
from optima_lab.widgets.recording import RunTrace, places, tracks

NOTHING = -1  # in place of a run's number: show no second run
LIMIT_BYTES = 1_350_000  # of arrays in a page: a third more as text, and the script stays below PAGE_BYTES
Experiments = RecordFolder | Sequence[RecordFolder] | str | Path


class Replay(anywidget.AnyWidget):
    """A recorded run, or two side by side, round by round.

    round: row of the timeline, from 0.  left, right: numbers of the runs shown, as in `names`; right = -1: only one.
    All three follow the page and can be set or linked.
    """

    _esm = widgets.script("replay")
    _css = widgets.stylesheet()
    about = traitlets.Dict().tag(sync=True)
    data = traitlets.Bytes().tag(sync=True)
    round = traitlets.Int(0).tag(sync=True)
    left = traitlets.Int(0).tag(sync=True)
    right = traitlets.Int(NOTHING).tag(sync=True)

    def __repr__(self) -> str:
        return f"Replay of {len(self.names)} recorded runs: drawn in JupyterLab, and on the page replay.html"

    @property
    def names(self) -> list[str]:
        """The runs that can be shown."""
        return [track["name"] for track in self.about.get("tracks", [])]


def replay(experiment: Experiments, left: str = "optima", right: str = "random") -> Replay:
    """A widget that replays recorded runs: of an experiment, of several, or of a folder of either.

    left, right: the strategies to begin with ('' for right: only one); others are chosen in the widget. Several
    experiments stand beside each other: of two tasks, `left` of the first is shown beside `left` of the second.
    Whatever cannot be read is said in the widget's place; nothing is raised.
    """
    try:
        traces, problems = tracks(sources(experiment))
    except OptimaError as error:
        return Replay(about=widgets.readable({"message": str(error), "tracks": []}))
    shown = chosen(traces, left, right)
    about, data = handed_over(traces, shown, problems)
    return Replay(about=about, data=data, left=shown[0], right=shown[1])


def write_page(experiment: Experiments, path: str | Path, left: str = "optima", right: str = "random") -> Path:
    """The replay as one HTML file below 2 MB that needs no network; a longer record is thinned, and the page says so.

    Raises RecordError where nothing can be read or the file cannot be written.
    """
    traces, problems = tracks(sources(experiment))
    wanted = [number for number in chosen(traces, left, right) if number != NOTHING]
    fitting = fit(traces, wanted, LIMIT_BYTES)
    shown = chosen(fitting, left, right)
    left_out = len(traces) - len(fitting)
    problems += [f"{left_out} more runs are recorded; this page holds those that fit"] if left_out else []
    about, data = handed_over(fitting, shown, problems)
    title = f"{' and '.join(dict.fromkeys(task_title(track.task) for track in fitting))}: replay of recorded runs"
    return widgets.write_page(path, widgets.page(title, "replay", about, data, home="../index.html"))


def sources(experiment: Experiments) -> Sequence[RecordFolder]:
    """Experiments as they come: one, several, or a folder. Raises RecordError where a folder holds none."""
    if isinstance(experiment, str | Path):
        return places(runs_folder(experiment))
    if isinstance(experiment, Sequence):
        return experiment
    if not hasattr(experiment, "folder"):
        raise RecordError(
            f"experiment must be an experiment, a list of them or a folder, got {type(experiment).__name__}"
        )
    return [experiment]


def chosen(traces: Sequence[RunTrace], left: str, right: str) -> tuple[int, int]:
    """The numbers of the two runs to begin with; the nearest there is where a strategy is not recorded."""
    first = _find(traces, left, "random") if left else 0
    first = max(first, 0)
    if not right:
        return first, NOTHING
    others = [n for n, track in enumerate(traces) if track.task != traces[first].task and base(track.strategy) == left]
    second = others[0] if others else _find(traces, right, KEYS[-1])
    return first, second if second != first else NOTHING


def _find(traces: Sequence[RunTrace], *strategies: str) -> int:
    whole = [track.strategy for track in traces]
    names = [*whole, *map(base, whole)]  # the first of several variants where none is named
    return next((names.index(name) % len(whole) for name in strategies if name in names), NOTHING)


def handed_over(
    traces: Sequence[RunTrace], shown: tuple[int, int], problems: Sequence[str]
) -> tuple[dict[str, Any], bytes]:
    """What the browser gets: facts about the runs with where their arrays lie, and the arrays' bytes."""
    arrays = {f"{number}.{name}": array for number, track in enumerate(traces) for name, array in track.arrays.items()}
    layout, data = widgets.pack(arrays)
    about = {
        "arms": widgets.arms(),
        "tracks": [_facts(track) for track in traces],
        "layout": layout,
        "problems": [*_smoke(traces), *problems],
        "shown": list(shown),
    }
    return widgets.readable(about), data


def _smoke(traces: Sequence[RunTrace]) -> list[str]:
    """A line where runs are of the preset smoke."""
    smoke = any(dict(track.record.get("config") or {}).get("preset") == "smoke" for track in traces)
    return ["A smoke run: it shows that everything works; its numbers mean nothing."] if smoke else []


def _facts(track: RunTrace) -> Mapping[str, Any]:
    return {
        "name": track.name,
        "title": f"{task_title(track.task)}, {track.name}" if task_title(track.task) not in track.name else track.name,
        "strategy": track.strategy,
        **({} if track.arms == COCA else {"arms": widgets.arms(track.arms)}),
        "policy": str(track.record.get("policy", "")),
        "variant": str(track.record.get("reward", "all")),
        "metric": task_metric(track.task),
        "score": [list(pair) for pair in track.score],
        "notes": list(track.notes),
        "stopped": track.stopped,
    }


def fit(traces: Sequence[RunTrace], wanted: Sequence[int], limit_bytes: int) -> list[RunTrace]:
    """As many tracks as fit in `limit_bytes`, those numbered in `wanted` always; if these are too large, fewer rounds.

    What is left out is said in the notes of what stays.
    """
    sizes = [packed_bytes(track) for track in traces]
    numbers, room = set(wanted), limit_bytes - sum(sizes[number] for number in wanted)
    for number, size in enumerate(sizes):
        if number not in numbers and size <= room:
            numbers, room = numbers | {number}, room - size
    every = int(np.ceil(sum(sizes[number] for number in numbers) / limit_bytes))
    return [_thinned(traces[number], every) if every > 1 else traces[number] for number in sorted(numbers)]


def packed_bytes(track: RunTrace) -> int:
    """Size of a track in the browser: four bytes a number, one for arms and flags."""
    return sum(array.size * (1 if array.dtype == np.uint8 else 4) for array in track.arrays.values())


def _thinned(track: RunTrace, every: int) -> RunTrace:
    rounds = track.rounds
    rows = np.unique([*range(0, rounds, every), rounds - 1])
    arrays = {
        name: array[rows] if len(array) == rounds else array[[*rows, rounds]] for name, array in track.arrays.items()
    }
    ordinal = {2: "2nd", 3: "3rd"}.get(every, f"{every}th")
    note = f"every {ordinal} of {rounds:,} rounds is in this page; the notebook shows all of them"
    return replace(track, arrays=arrays, notes=(*track.notes, note))
