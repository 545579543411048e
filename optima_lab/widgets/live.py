"""The replay of runs that are still being trained: it grows while they do, in this process or in another.

    with optima_lab.live("runs"):
        optima_lab.run("vqa")

Only records are read, so whoever writes them need not know that somebody looks.
"""

import sys
from pathlib import Path
from threading import Event, Lock, Thread
from time import thread_time, time
from types import TracebackType
from typing import Any

from optima_lab.errors import OptimaError
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.experiments.looking import runs_folder
from optima_lab.widgets.recording import RunReader, RunTrace, places, tracks
from optima_lab.widgets.replay import NOTHING, Replay, chosen, handed_over

SHARE = 0.03  # of the time that looking may take, at most
LEAST_SECONDS = 0.25  # between two looks
SETTLED_SECONDS = 2.0  # a file changed so recently may change again within the same tick of its clock


class Live(Replay):
    """The replay of the newest experiment below `runs`, brought up to date by `refresh`, or by itself in a `with`.

    At its last round the view stays at the last; looking back is not disturbed. Where several experiments are trained
    one after another, the one written to last is shown.

    runs: a folder of runs, or of one task's or one experiment.  left, right: strategies, as in `replay`.
    """

    def __init__(self, runs: str | Path = "runs", left: str = "optima", right: str = "random") -> None:
        self._runs, self._wanted = runs_folder(runs), (left, right)
        self._readers: dict[Path, RunReader] = {}
        self._traces: dict[Path, RunTrace] = {}
        self._shown: set[Path] = set()
        self._since, self._sizes, self._lock = 0.0, (), Lock()
        self._ended, self._thread = Event(), Thread(target=self._follow, daemon=True)
        self.looks = 0  # that saw something new
        super().__init__(about=self._waiting())
        self.observe(self._other_chosen, ["left", "right"])
        self.refresh()

    def __enter__(self) -> "Live":
        """Show it, and from now on follow what is begun."""
        self._since, self._sizes = time() - SETTLED_SECONDS, ()
        self._draw(self._waiting(), b"")
        if "IPython" in sys.modules:
            from IPython.display import display

            display(self)
        self.follow()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()
        self.refresh()

    def follow(self) -> None:
        """Go on looking in the background until `stop`; a second call does nothing."""
        if not self._thread.is_alive():
            self._ended.clear()
            self._thread = Thread(target=self._follow, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more; what is drawn stays."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def refresh(self) -> bool:
        """Read what came since the last look; whether anything did."""
        with self._lock:
            files = self._files()
            sizes = tuple((path, path.stat().st_size) for path in files)
            if not files or sizes == self._sizes:
                return False
            self._sizes, self.looks = sizes, self.looks + 1
            try:
                self._show(max(files, key=lambda path: path.stat().st_mtime).parents[1])
            except OptimaError as error:  # no whole round yet, or a run that was begun anew
                if not self.names:
                    self._draw({**self._waiting(), "message": f"waiting: {error}"}, b"")
            return True

    def _show(self, folder: Path) -> None:
        (place,) = places(folder)
        traces, problems = tracks([place], self._read)
        same = [track.name for track in traces] == self.names
        left, right = (self.left, self.right) if same else chosen(traces, *self._wanted)
        about, data = handed_over(traces, (left, right), problems)
        shown = [traces[number].arrays for number in (left, right) if number != NOTHING]
        self._shown = {path for path, track in self._traces.items() if any(track.arrays is arrays for arrays in shown)}
        self._draw({**about, "live": True}, data, left=left, right=right)

    def _draw(self, about: dict[str, Any], data: bytes, **shown: int) -> None:
        """Hand all over in one message."""
        with self.hold_sync():
            for name, value in {**shown, "about": about, "data": data}.items():
                self.set_trait(name, value)

    def _read(self, source: RecordFolder, folder: Path) -> RunTrace:
        """A run as it is now; those that are not looked at as they were."""
        if folder not in self._traces or folder in self._shown:
            self._traces[folder] = self._readers.setdefault(folder, RunReader(folder)).read(source)
        return self._traces[folder]

    def _files(self) -> list[Path]:
        """Records of rounds below the folder that were written since it is followed."""
        paths = (path for depth in ("*", "*/*", "*/*/*") for path in self._runs.glob(f"{depth}/rounds.jsonl"))
        return sorted(path for path in paths if path.stat().st_mtime >= self._since)

    def _other_chosen(self, _: object) -> None:
        """A run that was not looked at is read anew at the next look."""
        if not self._lock.locked():  # by a person, not by a look
            self._shown, self._sizes = set(self._traces), ()

    def _waiting(self) -> dict[str, Any]:
        return {"message": f"waiting for the first round of a run below {self._runs}", "tracks": []}

    def _follow(self) -> None:
        """Rest so long after each look that all looking takes no more than its share of a processor."""
        while not self._ended.is_set():
            begun = thread_time()
            self.refresh()
            self._ended.wait(max(LEAST_SECONDS, (thread_time() - begun) / SHARE))


def live(runs: str | Path = "runs", left: str = "optima", right: str = "random") -> Live:
    """The replay that grows: `with live("runs"): run(…)` around a training, or `live("runs").follow()` of another's.

    Interrupting the cell ends both; what is recorded stays, and the same cell goes on with it.
    """
    return Live(runs, left, right)
