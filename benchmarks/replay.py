"""How smooth are the widgets? `python -m benchmarks.replay` drives a real chromium and prints milliseconds a frame.

Every wait has an end: after a minute the benchmark stops and says what it waited for.

What is measured, in one run, in Debian's chromium without a GPU at 1280 × 720:

- the replay of 1,000 rounds of 7 arms, OPTIMA beside random, playing in JupyterLab: the time from one frame to the
  next, every frame another round;
- the same timeline drawn by matplotlib into an `Output` (`clear_output`, `plt.show`), the usual way without a widget of
  one's own: from a key press on its slider until the new picture stands in the page;
- the playground while a slider moves, every frame a new simulation, on its offline page;
- a lesson's film of three policies and 1,000 rounds, playing, on its offline page;
- from the cell's end (the kernel is idle again) to the replay's first picture, on a page where no widget was before;
  beside it ipywidgets' slider, which waits for JupyterLab's widget manager, too (negative: drawn before the end);
- a record of 100,000 rounds: until it is drawn, and playing;
- the live view: frames while two runs grow, updates a second, and the share of the time that reading them takes.
"""

import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import nbformat
import numpy as np
from playwright.sync_api import Error

from optima_lab.bandits.environments import make_world
from optima_lab.bandits.policies import make_policy
from optima_lab.bandits.rollout import follow
from optima_lab.widgets import assets as widgets
from optima_lab.widgets import playground, recording, replay, watch
from optima_lab.widgets.live import Live
from optima_lab.widgets.rollouts import rollouts

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the real browser and JupyterLab of the tests
import browser
import lab
import played

FRAME_MILLISECONDS = 1000 / 40
FIRST_MILLISECONDS = 1000
ROUNDS = 1000
LIVE_ROUNDS = 528  # of a run at the preset `study`
SECONDS = 4  # of frames
STEPS = 15  # of plt.show
OPENINGS = 3  # of a page with a first widget
SLIDER = "import ipywidgets\nipywidgets.IntSlider()"
REPLAY = "import optima_lab\nplayer = optima_lab.replay({folder!r})\nplayer"
OUTPUT = """
import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import IntSlider, Output, VBox
from IPython.display import clear_output, display
from optima_lab.widgets.recording import places, tracks
from pathlib import Path

track = next(track for track in tracks(places(Path({folder!r})))[0] if track.strategy == "optima")
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
    const rounds = new Set();
    const next = (time) => {
        times.push(time);
        rounds.add(document.querySelector('.ol input[aria-label="round"]')?.value);
        if (time - times[0] < 1000 * seconds) requestAnimationFrame(next);
        else done([times.slice(1).map((t, i) => t - times[i]), rounds.size]);
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
    let finished = 0;
    kernel.anyMessage.connect((_, { msg }) => { // as it comes in; iopubMessage tells of it when it is dealt with
        const ours = msg.parent_header.msg_type === "execute_request";
        if (ours && msg.content.execution_state === "idle") finished = performance.now();
    });
    window.jupyterapp.commands.execute("notebook:run-all-cells");
    let shown = 0;
    const look = () => {
        const canvas = document.querySelector(".ol canvas"); // an empty one is 300 wide
        const drawn = document.querySelector(".noUi-handle") || (canvas && canvas.width !== 300);
        if (drawn && !shown) shown = performance.now();
        if (shown && finished) done(shown - finished);
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})"""
NEXT_IMAGE = """() => new Promise((done) => {
    const source = () => document.querySelector(".jp-OutputArea img")?.src;
    const [before, start] = [source(), performance.now()];
    const handle = document.querySelector(".noUi-handle");
    const press = { key: "ArrowRight", bubbles: true };
    handle.dispatchEvent(new KeyboardEvent("keydown", press));
    handle.dispatchEvent(new KeyboardEvent("keyup", press));
    const look = () => {
        const now = source();
        if (now && now !== before) done(performance.now() - start);
        else requestAnimationFrame(look);
    };
    look();
})"""


def line(what: str, milliseconds: list[float], wanted: float | None = None, repeats: bool = True) -> None:
    """Print the median and the slowest twentieth, what `repeats` also a second; and whether it is as wanted."""
    middle, slow = median(milliseconds), float(np.quantile(milliseconds, 0.95))
    rate = f"{1000 / middle:8.0f}" if repeats else f"{'':8s}"
    goal = f"  wanted at most {wanted:g}: {'yes' if middle <= wanted else 'NO'}" if wanted else ""
    print(f"{what:46s} {middle:8.1f} {slow:8.1f} {rate}{goal}", flush=True)


def playing(page: Any, what: str, speed: str, wanted: float | None = None) -> None:
    """Play at a speed in rounds a second for four seconds; every frame must have shown another round."""
    page.get_by_role("combobox", name="speed").select_option(speed)
    page.get_by_role("button", name="Play").click()
    times, rounds = browser.wait(page, f"{what}: frames", FRAMES, SECONDS)
    assert rounds > 0.9 * len(times), f"{what}: only {rounds} rounds were shown in {len(times)} frames"
    line(what, times, wanted)


@contextmanager
def notebook(page: Any, address: Callable[[str], str], folder: Path, name: str, source: str) -> Iterator[None]:
    """A notebook of one cell, open with an idle kernel, on a page of its own."""
    cell = nbformat.v4.new_code_cell(source.format(folder=str(folder / "runs")))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}  # else: a dialog
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), folder / name)
    lab.open_notebook(page, address(name))
    yield
    browser.wait(
        page, f"{name} ends", "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown().then(() => true)"
    )


def in_jupyterlab(chromium: Any, folder: Path) -> None:
    """The replay and matplotlib's way, in the same JupyterLab."""
    played.write(folder / "runs", "OPTIMA", "Random", rounds=ROUNDS)
    with lab.server(folder) as address, browser.watched(chromium) as page:
        first: dict[str, list[float]] = {"a plain slider": [], "the replay": []}
        for number in range(OPENINGS):
            with notebook(page, address, folder, f"slider{number}.ipynb", SLIDER):
                first["a plain slider"].append(browser.wait(page, "a slider is drawn", FIRST_PICTURE))
            with notebook(page, address, folder, f"replay{number}.ipynb", REPLAY):
                first["the replay"].append(browser.wait(page, "the replay is drawn", FIRST_PICTURE))
                if number + 1 == OPENINGS:
                    playing(page, f"replay, {ROUNDS:,} rounds, two runs, playing", "200", FRAME_MILLISECONDS)
        with notebook(page, address, folder, "output.ipynb", OUTPUT):
            browser.wait(page, "the cell has run", "() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
            page.wait_for_selector(".jp-OutputArea img")
            line(
                "Output + plt.show, one step",
                [browser.wait(page, "the next picture of plt.show", NEXT_IMAGE) for _ in range(STEPS)],
            )
        for what, times in first.items():
            line(f"cell finished → first picture of {what}", times, FIRST_MILLISECONDS, repeats=False)


def on_pages(chromium: Any, folder: Path) -> None:
    """The playground's drag and a very long record, on offline pages."""
    with browser.watched(chromium, offline=True) as page:
        page.goto(playground.write_page(folder / "playground.html").as_uri())
        page.wait_for_selector(".ol canvas")
        line("playground, 3 policies, dragging", browser.wait(page, "dragging", DRAG, SECONDS), FRAME_MILLISECONDS)
    film(chromium, folder)
    path = folder / "long.html"
    about, data = replay.handed_over([long_track(100_000)], (0, replay.NOTHING), [])
    widgets.write_page(path, widgets.page("Long", "replay", about, data))
    with browser.watched(chromium, offline=True) as page:
        page.goto(path.as_uri())
        page.wait_for_selector(".ol canvas")
        opened = browser.wait(page, "a first frame", "() => new Promise((done) => requestAnimationFrame(done))")
        line("100,000 rounds: page opened and drawn", [opened], repeats=False)
        playing(page, "100,000 rounds, playing", "5000")


def live_view(chromium: Any, folder: Path) -> None:
    """Frames while two runs of `LIVE_ROUNDS` rounds grow by two rounds a second, and what looking at them takes."""
    place = played.write(folder / "live", "OPTIMA", "Random", rounds=LIVE_ROUNDS, done=False)
    waiting = {run: played.lines(run) for run in (place / "optima", place / "random")}
    for run, rows in waiting.items():
        played.rewrite(run, rows[: LIVE_ROUNDS // 2])
        del rows[: LIVE_ROUNDS // 2]
    spent: list[float] = []
    view = Live(folder / "live")
    server = watch.WatchServer(view)
    look = view.refresh
    view.refresh = lambda: (begun := time.thread_time(), look(), spent.append(time.thread_time() - begun))[1]
    thread = threading.Thread(target=server.serve)
    thread.start()
    with browser.watched(chromium) as page:
        page.goto(server.address)
        page.wait_for_selector(".ol canvas")
        ended = threading.Event()
        grower = threading.Thread(target=_grow, args=(waiting, ended))
        grower.start()
        begun, looks = time.perf_counter(), view.looks
        times = [frame for _ in range(3) for frame in browser.wait(page, "live: frames", FRAMES, SECONDS)[0]]
        wall, seen = time.perf_counter() - begun, view.looks - looks
        ended.set()
        grower.join()
    server.idle = 0.0
    thread.join()
    line(f"live view, {LIVE_ROUNDS:,} rounds, two runs, growing", times, FRAME_MILLISECONDS)
    share, rate = 100 * sum(spent) / wall, seen / wall
    good = "yes" if share <= 3 and rate >= 1 else "NO"
    print(f"live view: {rate:.1f} updates a second take {share:.1f} % of it  wanted at least 1, at most 3 %: {good}")


def _grow(waiting: dict[Path, list[played.Row]], ended: threading.Event) -> None:
    """A round more in every file, twice a second."""
    while not ended.wait(0.5):
        for run, rows in waiting.items():
            with (run / "rounds.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows.pop(0)) + "\n")


def film(chromium: Any, folder: Path) -> None:
    """The film of lesson 11."""
    world = make_world("piecewise", ROUNDS, low=0.2, high=0.8, noise_std=0.0)
    paths = {name: follow(make_policy(name), world, ROUNDS) for name in ("beta_ts", "beta_dts", "random")}
    rollouts(paths, world.changes, page=folder / "film.html")
    with browser.watched(chromium, offline=True) as page:
        page.goto((folder / "film.html").as_uri())
        page.wait_for_selector(".ol canvas")
        page.get_by_role("button", name="Play").click()
        times, rounds = browser.wait(page, "the film's frames", FRAMES, SECONDS)
        assert rounds > 0.5 * len(times), f"film: only {rounds} rounds were shown in {len(times)} frames"
        line(f"film, 3 policies, {ROUNDS:,} rounds, playing", times, FRAME_MILLISECONDS)


def long_track(rounds: int) -> recording.RunTrace:
    """A record with all arrays, of random numbers."""
    generator = np.random.default_rng(0)
    walk = 0.05 + np.abs(np.cumsum(generator.normal(size=(rounds + 1, 7)) / 1000, axis=0))
    arm = generator.integers(7, size=rounds).astype(np.uint8)
    arrays = {"round": np.arange(1, rounds + 1), "step": np.arange(rounds), "arm": arm, "initial": arm * 0}
    arrays |= {"reward": walk[1:, 0], "ratio": walk[1:, :3], "loss": 1 / walk[1:, :4], "draws": walk[1:] + 0.1}
    arrays |= {"mean": walk, "deviation": walk * 0 + 0.1, "plays": np.ones_like(walk)}
    return recording.RunTrace("long", "vqa", 0, "long", {"policy": "optima"}, arrays)


def main() -> None:
    """Print the table; where there is no chromium, or something was waited for in vain, say so."""
    if not shutil.which("chromium"):
        print("benchmarks.replay needs Debian's chromium (apt-get install chromium): nothing is measured")
        return
    print(f"{'milliseconds':46s} {'median':>8s} {'95 %':>8s} {'a second':>8s}")
    try:
        with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
            on_pages(chromium, Path(folder))
            live_view(chromium, Path(folder))
            in_jupyterlab(chromium, Path(folder))
    except (TimeoutError, Error) as error:
        sys.exit(f"benchmarks.replay: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
