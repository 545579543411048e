"""How smooth are the widgets? `python -m benchmarks.replay` drives a real chromium and prints milliseconds a frame.

What is measured, in one run, in Debian's chromium without a GPU at 1280 × 720:

- the replay of 1,000 rounds of 7 arms, OPTIMA beside random, playing in JupyterLab: the time from one frame to the
  next, every frame another round;
- the same timeline drawn by matplotlib into an `Output` (`clear_output`, `plt.show`), the usual way without a widget of
  one's own: from a key press on its slider until the new picture stands in the page;
- the playground while a slider moves, every frame a new simulation, on its offline page;
- from the cell's end to the replay's first picture; and a record of 100,000 rounds: until it is drawn, and playing.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import nbformat
import numpy as np

from optima_lab.views import playground, recording, replay, widgets
from tests.views import browser, lab, played

WANTED_FRAMES = 40  # a second
ROUNDS = 1000
REPLAY = "import optima_lab\nplayer = optima_lab.replay({folder!r})\nplayer"
OUTPUT = """
import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import IntSlider, Output, VBox
from IPython.display import clear_output, display
from optima_lab.views.recording import places, tracks
from pathlib import Path

track = next(track for track in tracks(places(Path({folder!r})))[0] if track.name == "OPTIMA")
slider, output = IntSlider(0, 0, track.rounds - 1), Output()

def draw(change):
    with output:
        clear_output(wait=True)
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
        left.plot(track.arrays["mean"][: slider.value + 2])
        right.plot(track.arrays["loss"][: slider.value + 1])
        plt.show()

slider.observe(draw, "value")
draw(None)
display(VBox([slider, output]))
"""
FRAMES = """(seconds) => new Promise((done) => {
    const times = [];
    const next = (time) => {
        times.push(time);
        if (time - times[0] < 1000 * seconds) requestAnimationFrame(next);
        else done(times.slice(1).map((t, i) => t - times[i]));
    };
    requestAnimationFrame(next);
})"""
DRAG = """(seconds) => new Promise((done) => {
    const slider = document.querySelector('.ol input[aria-label^="gap"]');
    const times = [];
    const next = (time) => {
        times.push(time);
        slider.value = -1.5 + Math.sin(times.length / 20);
        slider.dispatchEvent(new Event("input"));
        if (time - times[0] < 1000 * seconds) requestAnimationFrame(next);
        else done(times.slice(1).map((t, i) => t - times[i]));
    };
    requestAnimationFrame(next);
})"""
FIRST_PICTURE = """() => new Promise((done) => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    let idle = 0;
    kernel.statusChanged.connect((_, status) => { if (status === "idle") idle = performance.now(); });
    window.jupyterapp.commands.execute("notebook:run-all-cells");
    const look = () => {
        const canvas = document.querySelector(".ol canvas");
        const drawn = canvas && canvas.width > 300;
        if (drawn && idle) done(Math.max(0, performance.now() - idle));
        else requestAnimationFrame(look);
    };
    look();
})"""
NEXT_IMAGE = """() => new Promise((done) => {
    const source = () => document.querySelector(".jp-OutputArea img")?.src;
    const [before, start] = [source(), performance.now()];
    const handle = document.querySelector(".noUi-handle");
    const press = { key: "ArrowRight", bubbles: true };
    handle.dispatchEvent(new KeyboardEvent("keydown", press));
    handle.dispatchEvent(new KeyboardEvent("keyup", press));
    const look = () => (source() !== before ? done(performance.now() - start) : requestAnimationFrame(look));
    look();
})"""


def line(what: str, milliseconds: list[float], wanted: bool = False) -> None:
    """Print the median and the slowest twentieth, and whether it is smooth enough."""
    middle, slow = median(milliseconds), float(np.quantile(milliseconds, 0.95))
    smooth = "yes" if 1000 / middle >= WANTED_FRAMES else "NO"
    goal = f"  wanted {WANTED_FRAMES} a second: {smooth}" if wanted else ""
    print(f"{what:46s} {middle:8.1f} {slow:8.1f} {1000 / middle:8.0f}{goal}", flush=True)


@contextmanager
def notebook(page: Any, address: str, folder: Path, name: str, source: str) -> Iterator[None]:
    """A notebook of one cell, open with an idle kernel."""
    cell = nbformat.v4.new_code_cell(source.format(folder=str(folder / "runs")))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}  # else: a dialog
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), folder / name)
    lab.open_notebook(page, address.format(name))
    yield
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


def in_jupyterlab(chromium: Any, folder: Path) -> None:
    """The replay and matplotlib's way, in the same JupyterLab."""
    played.write(folder / "runs", "OPTIMA", "Random", rounds=ROUNDS)
    with lab.server(folder) as address, browser.watched(chromium) as page:
        with notebook(page, address, folder, "replay.ipynb", REPLAY):
            first = page.evaluate(FIRST_PICTURE)
            page.get_by_role("combobox", name="speed").select_option("200")
            page.get_by_role("button", name="Play").click()
            line(f"replay, {ROUNDS} rounds, two runs, playing", page.evaluate(FRAMES, 4), wanted=True)
            print(f"{'first picture after the cell has finished':46s} {first:8.1f}")
        with notebook(page, address, folder, "output.ipynb", OUTPUT):
            page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
            page.wait_for_selector(".jp-OutputArea img")
            line("Output + plt.show, one step", [page.evaluate(NEXT_IMAGE) for _ in range(15)])


def on_pages(chromium: Any, folder: Path) -> None:
    """The playground's drag and a very long record, on offline pages."""
    with browser.watched(chromium, offline=True) as page:
        page.goto(playground.write_page(folder / "playground.html").as_uri())
        page.wait_for_selector(".ol canvas")
        line("playground, 3 policies, dragging", page.evaluate(DRAG, 4), wanted=True)
    path = folder / "long.html"
    about, data = replay.handed_over([long_track(100_000)], (0, replay.NOTHING), [])
    widgets.write_page(path, widgets.page("Long", "replay", about, data))
    with browser.watched(chromium, offline=True) as page:
        page.goto(path.as_uri())
        page.wait_for_selector(".ol canvas")
        opened = page.evaluate("() => new Promise((done) => requestAnimationFrame((time) => done(time)))")
        print(f"{'100,000 rounds: page opened and drawn':46s} {opened:8.1f}")
        page.get_by_role("combobox", name="speed").select_option("5000")
        page.get_by_role("button", name="Play").click()
        line("100,000 rounds, playing", page.evaluate(FRAMES, 4))


def long_track(rounds: int) -> recording.Track:
    """A record with all arrays, of random numbers."""
    generator = np.random.default_rng(0)
    walk = 0.05 + np.abs(np.cumsum(generator.normal(size=(rounds + 1, 7)) / 1000, axis=0))
    arm = generator.integers(7, size=rounds).astype(np.uint8)
    arrays = {"round": np.arange(1, rounds + 1), "step": np.arange(rounds), "arm": arm, "initial": arm * 0}
    arrays |= {"reward": walk[1:, 0], "ratio": walk[1:, :3], "loss": 1 / walk[1:, :4], "draws": walk[1:] + 0.1}
    arrays |= {"mean": walk, "deviation": walk * 0 + 0.1, "plays": np.ones_like(walk)}
    return recording.Track("long", "vqa", 0, "long", {"policy": "optima"}, arrays)


def main() -> None:
    """Print the table; where there is no chromium, say so."""
    if not shutil.which("chromium"):
        print("benchmarks.replay needs Debian's chromium (apt-get install chromium): nothing is measured")
        return
    print(f"{'milliseconds':46s} {'median':>8s} {'95 %':>8s} {'a second':>8s}")
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        on_pages(chromium, Path(folder))
        in_jupyterlab(chromium, Path(folder))


if __name__ == "__main__":
    main()
