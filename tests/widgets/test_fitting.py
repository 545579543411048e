"""Widgets on a telephone, a small screen and a projector: no words on words, nothing cut; and playing is steered.

What is written on a canvas is overheard, and a script compares the boxes of all texts (`browser.overlaps`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import played
import pytest

from optima_lab.bandits.environments import make_world
from optima_lab.bandits.policies import make_policy
from optima_lab.bandits.rollout import follow
from optima_lab.errors import ConfigError
from optima_lab.widgets import playground, replay
from optima_lab.widgets.rollouts import rollouts

pytestmark = pytest.mark.browser
SCREENS = [(390, 844, "light"), (390, 844, "dark"), (1024, 768, "light"), (1024, 768, "dark"), (1280, 720, "light")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with replay.html, of OPTIMA beside Random, and playground.html."""
    folder = tmp_path_factory.mktemp("pages")
    replay.write_page(played.write(folder, "OPTIMA", "Random", "Img"), folder / "replay.html")
    playground.write_page(folder / "playground.html")
    world = make_world("piecewise", 200)
    paths = {name: follow(make_policy(name), world, 200) for name in ("optima", "gaussian_dts", "random")}
    rollouts(paths, world.changes, page=folder / "film.html")
    return folder


def opened(page: Any, path: Path, width: int, height: int) -> None:
    page.add_init_script(f"({browser.WATCH_TEXT})()")
    page.set_viewport_size({"width": width, "height": height})
    page.goto(path.as_uri())
    browser.pixels(page)


def fits(page: Any, width: int) -> None:
    browser.pixels(page, page.locator(".ol canvas:visible").count() - 1)
    assert browser.overlaps(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_the_replay_fits(chromium: Any, pages: Path, width: int, height: int, scheme: str) -> None:
    with browser.watched(chromium, offline=True, color_scheme=scheme) as page:
        opened(page, pages / "replay.html", width, height)
        fits(page, width)
        page.get_by_role("slider", name="round").fill("30")
        for summary in page.get_by_text("all numbers of this round").all():
            summary.click()
        fits(page, width)
        sides = [side.bounding_box() for side in page.locator(".ol-side").all()]
        for side, box in zip(page.locator(".ol-side").all(), sides, strict=True):
            inner = side.locator(".ol-scroll").bounding_box()
            assert inner["x"] >= box["x"] - 1 and inner["x"] + inner["width"] <= box["x"] + box["width"] + 1
        browser.shot(page, f"fit_replay_{width}_{scheme}")


@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_the_playground_and_its_game_fit(chromium: Any, pages: Path, width: int, height: int, scheme: str) -> None:
    with browser.watched(chromium, offline=True, color_scheme=scheme) as page:
        opened(page, pages / "playground.html", width, height)
        for scene in ("two changes", "it never rests", "rewards too small to see"):
            page.get_by_role("combobox", name="scene").select_option(scene)
            fits(page, width)
        page.get_by_role("button", name="You play").click()
        page.get_by_role("button", name="arm 2").click()
        fits(page, width)
        shown = [
            each.bounding_box() for each in page.locator(".ol-side canvas:visible, .ol-head, button:visible").all()
        ]
        assert all(box["y"] >= 0 and box["y"] + box["height"] <= height for box in shown), "the game is on the screen"
        browser.shot(page, f"fit_game_{width}_{scheme}")


def test_the_overlap_script_sees_words_on_words_and_cut_words(chromium: Any) -> None:
    with browser.watched(chromium) as page:
        page.add_init_script(f"({browser.WATCH_TEXT})()")
        page.goto(
            "data:text/html,<p style='margin:0'>one</p><p style='margin-top:-15px'>two</p><canvas width=300 height=150>"
        )
        page.evaluate("document.querySelector('canvas').getContext('2d').fillText('much too far', 280, 20)")
        assert browser.overlaps(page) == ["'much too far' is cut", "'two' lies on 'one'"]
        page.evaluate("document.querySelector('canvas').getContext('2d').clearRect(0, 0, 300, 150)")
        assert browser.overlaps(page) == ["'two' lies on 'one'"]


def test_one_can_go_elsewhere_while_it_plays(chromium: Any, pages: Path) -> None:
    with browser.watched(chromium, offline=True) as page:
        opened(page, pages / "replay.html", 1280, 720)
        slider = page.get_by_role("slider", name="round")
        page.get_by_role("combobox", name="speed").select_option("2")
        page.get_by_role("button", name="Play").click()
        slider.fill("20")
        page.wait_for_timeout(700)
        assert 20 <= int(slider.input_value()) <= 26, "it goes on from there"
        slider.focus()
        page.keyboard.press("Home")
        page.wait_for_timeout(700)
        assert int(slider.input_value()) <= 6
        page.get_by_role("button", name="Pause").wait_for()
        page.keyboard.press("End")
        page.get_by_role("button", name="Play").wait_for()
        assert slider.input_value() == "39"


PAINTED = """([from, to]) => { // how dark the darkest pixel is between two parts of the losses' width, on white paper
  const { width, height } = document.querySelector('.ol canvas');
  const pen = document.querySelector('.ol canvas').getContext('2d');
  const [left, wide] = [Math.round(from * width), Math.round((to - from) * width)];
  const { data } = pen.getImageData(left, Math.round(0.86 * height), wide, Math.round(0.09 * height));
  let most = 0;
  for (let i = 0; i < data.length; i += 4) most = Math.max(most, (255 - data[i]) * data[i + 3] / 255);
  return most;
}"""


def test_the_replay_opens_with_its_future_faint(chromium: Any, pages: Path) -> None:
    with browser.watched(chromium, offline=True) as page:
        opened(page, pages / "replay.html", 1280, 720)
        faint = page.evaluate(PAINTED, [0.5, 0.95])
        page.get_by_role("slider", name="round").fill("39")
        browser.pixels(page)
        drawn = page.evaluate(PAINTED, [0.5, 0.95])
        assert 45 < faint < 0.5 * drawn, "seen before it comes, and clearly less than what has come"


def test_the_playground_plays_its_rounds(chromium: Any, pages: Path) -> None:
    with browser.watched(chromium, offline=True) as page:
        opened(page, pages / "playground.html", 1280, 720)
        slider = page.get_by_role("slider", name="round looked at")
        slider.fill("100")
        page.get_by_role("button", name="▶ Play").click()
        page.wait_for_function(
            "() => Number(document.querySelector('.ol input[aria-label=\"round looked at\"]').value) > 110"
        )
        slider.fill("590")
        page.get_by_role("button", name="▶ Play").wait_for()
        assert slider.input_value() == "600", "to its end"


@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_a_film_fits_and_moves(chromium: Any, pages: Path, width: int, height: int, scheme: str) -> None:
    with browser.watched(chromium, offline=True, color_scheme=scheme) as page:
        opened(page, pages / "film.html", width, height)
        fits(page, width)
        slider, before = page.get_by_role("slider", name="round"), browser.pixels(page)
        page.get_by_role("button", name="▶ Play").click()
        page.wait_for_function("() => Number(document.querySelector('.ol input').value) > 20")
        page.get_by_role("button", name="Pause").click()
        assert browser.pixels(page) != before
        fits(page, width)
        browser.shot(page, f"fit_film_{width}_{scheme}")
        slider.focus()
        page.keyboard.press("End")
        assert "Round 200 of 200: OPTIMA plays arm " in page.locator(".ol-why").inner_text()


def test_a_film_tells_the_rollouts_numbers(chromium: Any, pages: Path) -> None:
    world = make_world("piecewise", 200)
    path = follow(make_policy("optima"), world, 200)
    lost = (path.truth.max(axis=1) - path.truth[range(200), path.arm]).cumsum()
    with browser.watched(chromium, offline=True) as page:
        opened(page, pages / "film.html", 1280, 720)
        for t in (0, 57, 199):
            page.get_by_role("slider", name="round").fill(str(t))
            told = page.locator(".ol-why").inner_text()
            assert f"OPTIMA plays arm {path.arm[t] + 1} (reward " in told
            numbers = told.split("(reward ")[1].split(")")[0].split(", regret so far ")
            assert list(map(browser.number, numbers)) == list(map(browser.written, [path.reward[t], lost[t]]))


def test_a_film_shows_few_rollouts_of_one_size() -> None:
    world = make_world("swap", 20)
    path, longer = (follow(make_policy("random"), world, rounds) for rounds in (20, 30))
    for paths in ({}, {"a": path, "b": longer}, dict.fromkeys("abcd", path)):
        with pytest.raises(ConfigError, match="a film shows 1 to 3 rollouts of one size"):
            rollouts(paths)
    film = rollouts({"a": path})
    assert repr(film) == "Film of 1 policies: drawn in JupyterLab" and film.round == 0
