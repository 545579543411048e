"""Notebooks 08 and 15 in a real JupyterLab: opened, run, played and dragged, in both themes, and asked by Python."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import lab
import played
import pytest

from optima_lab.presets import preset
from optima_lab.widgets import playground

pytestmark = pytest.mark.browser
STRATEGIES = "img,random,optima"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def record(folder: Path) -> Path:
    """Runs that notebook 08 finds finished."""
    return played.finish(folder / "runs", preset("vqa", "smoke"), *STRATEGIES.split(","))


@pytest.fixture
def address(folder: Path) -> Iterator[Callable[[str], str]]:
    """A server and home of its own for each test: JupyterLab opens again what was open before."""
    shutil.rmtree(folder / "home", ignore_errors=True)
    with lab.server(folder) as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


def dark(page: Any) -> None:
    """Change to JupyterLab's dark theme; text is legible in both."""
    assert min(browser.contrasts(page).values()) >= 4.5, browser.contrasts(page)
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    page.wait_for_selector('body[data-jp-theme-light="false"]', state="attached")
    assert min(browser.contrasts(page).values()) >= 4.5, browser.contrasts(page)


def test_the_replay_in_jupyterlab(chromium: Any, address: Callable[[str], str], folder: Path, record: Path) -> None:
    given = {"preset": "smoke", "runs": str(folder / "runs"), "figures": str(folder / "figures")}
    name = lab.copy("08_replay.ipynb", folder, given | {"strategies": STRATEGIES}, extra="player.round = 12")
    rows = played.lines(next(record.glob("optima-*")))
    with browser.watched(chromium) as page:
        lab.run_all(page, address(name))
        slider = page.get_by_role("slider", name="round")
        slider.wait_for()
        page.wait_for_function("() => document.querySelector('.ol-where').textContent.startsWith('round 13 ')")
        slider.focus()
        slider.scroll_into_view_if_needed()
        before = browser.pixels(page)
        page.keyboard.press("ArrowRight")
        # JupyterLab leaves the keys to the widget.
        page.wait_for_function("slider => slider.value === '13'", arg=slider.element_handle())
        text = page.locator(".ol [role=status]").inner_text()
        assert f"Round 14 (step {rows[13]['step']}): {rows[13]['arm']}" in text
        assert browser.number(text.split("Reward ")[1].split(",")[0]) == browser.written(rows[13]["reward"])
        assert browser.pixels(page) != before
        assert lab.ask(page, "print(player.round)") == "13", "Python follows the picture"
        box = slider.bounding_box()
        page.mouse.move(box["x"] + 13 / 39 * box["width"], box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        assert int(slider.input_value()) >= 38
        page.keyboard.press("Home")
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("() => Number(document.querySelector('.ol input').value) > 3")
        page.get_by_role("button", name="Pause").click()
        browser.shot(page, "lab_replay_light")
        light = browser.pixels(page)
        dark(page)
        assert browser.pixels(page) != light
        browser.shot(page, "lab_replay_dark")
    assert (folder / "figures" / "vqa" / "replay.html").stat().st_size < 2_000_000


def test_the_playground_in_jupyterlab(chromium: Any, address: Callable[[str], str], folder: Path) -> None:
    name = lab.copy("15_playground.ipynb", folder, {"figures": str(folder / "figures")})
    with browser.watched(chromium) as page:
        lab.run_all(page, address(name))
        gamma = page.get_by_role("slider", name="γ")
        gamma.wait_for()
        gamma.focus()
        before = browser.pixels(page)
        page.keyboard.press("ArrowLeft")
        assert browser.pixels(page) != before
        assert lab.ask(page, "print(lab.settings['decay'])") == "0.979", "Python follows the sliders"
        known = lab.ask(page, "print(*(one.regret[-1].mean() for one in play(Settings(**lab.settings)).values()))")
        told = page.locator(".ol-why").inner_text()
        shown = [browser.number(part.split(" ±")[0]) for part in told.split("regret ")[1:]]
        assert shown == [browser.written(float(text)) for text in known.split()]
        lab.ask(page, "lab.settings = lab.settings | {'world': 'swap'}")
        page.wait_for_function("() => [...document.querySelectorAll('.ol select')][1].value === 'swap'")
        assert list(playground.WORLDS)[1] == "swap"
        browser.shot(page, "lab_playground_light")
        dark(page)
        browser.shot(page, "lab_playground_dark")


def test_the_playground_is_an_app_under_voila(chromium: Any, folder: Path) -> None:
    pytest.importorskip("voila", reason="needs the extra voila")
    name = lab.copy("15_playground.ipynb", folder, {"figures": str(folder / "figures")})
    with lab.app(folder, name) as address, browser.watched(chromium) as page:
        page.goto(address)
        page.get_by_role("slider", name="γ").focus()
        before = browser.pixels(page)
        page.keyboard.press("ArrowLeft")
        assert browser.pixels(page) != before
        page.get_by_role("button", name="You play").click()
        page.keyboard.press("2")
        assert "Arm 2 brought" in page.locator(".ol-head").inner_text()
        page.get_by_role("button", name="back to the playground").click()
        app_shows_no_code(page, "Playground")
        browser.shot(page, "voila_playground")


def test_the_replay_is_an_app_under_voila(chromium: Any, folder: Path, record: Path) -> None:
    pytest.importorskip("voila", reason="needs the extra voila")
    given = {"preset": "smoke", "runs": str(folder / "runs"), "figures": str(folder / "figures")}
    name = lab.copy("08_replay.ipynb", folder, given | {"strategies": STRATEGIES})
    rows = played.lines(next(record.glob("optima-*")))
    with lab.app(folder, name) as address, browser.watched(chromium) as page:
        page.goto(address)
        page.get_by_role("slider", name="round").focus()
        before = browser.pixels(page)
        page.keyboard.press("n")
        text = page.locator(".ol-head").first.inner_text()
        number = int(text.split()[1])
        assert number > 1 and text == f"Round {number} (step {rows[number - 1]['step']}): {rows[number - 1]['arm']}"
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("() => Number(document.querySelector('.ol input').value) > 20")
        page.get_by_role("button", name="Pause").click()
        assert browser.pixels(page) != before
        app_shows_no_code(page, "Replay of a run")
        browser.shot(page, "voila_replay")


def app_shows_no_code(page: Any, title: str) -> None:
    assert page.title() == title
    assert page.locator(".jp-CodeCell .jp-OutputArea").count() > 0 == page.locator(".jp-CodeCell .jp-InputArea").count()
    assert "go_home()" not in page.content()
