"""Widgets in a real browser: they draw, listen, tell the record's numbers, and ask for nothing."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import browser
import numpy as np
import played
import pytest

from optima_lab.display import POLICIES
from optima_lab.widgets import assets as widgets
from optima_lab.widgets import playground, recording, replay

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of OPTIMA and one of random play, 40 rounds each, with their page."""
    folder = played.write(tmp_path_factory.mktemp("runs"), "OPTIMA", "Random", "Img")
    replay.write_page(folder, folder / "replay.html")
    return folder


def table_row(page: Any, side: int, arm: str) -> list[float]:
    """The numbers of an arm in the table of a side: n, μ, deviation, draw, μ after."""
    row = page.locator(".ol-side").nth(side).locator("tr", has=page.get_by_role("rowheader", name=arm, exact=True))
    return [browser.number(text) for text in row.locator("td").all_inner_texts()]


def same(shown: float, known: float | None) -> bool:
    """Whether the page writes this number."""
    return shown == browser.written(math.nan if known is None else known)


def test_the_offline_replay_tells_the_records_numbers(chromium: Any, recorded: Path) -> None:
    rows = played.lines(recorded / "optima")
    with browser.watched(chromium, offline=True) as page:
        page.goto((recorded / "replay.html").as_uri())
        slider = page.get_by_role("slider", name="round")
        page.get_by_text("all numbers of this round").first.click()
        slider.focus()
        before = browser.pixels(page)
        for number in (1, 20, 21, 40):
            slider.fill(str(number - 1))
            row = rows[number - 1]
            text = page.get_by_role("status").inner_text()
            assert f"Round {number} (step {row['step']}): {row['arm']}" in text
            reward = browser.number(text.split("Reward ")[1].split(",")[0])
            assert same(reward, row["reward"])
            for k, arm in enumerate(("Img", "Txt", "Multi", "Img+Txt", "Img+Multi", "Txt+Multi", "Img+Txt+Multi")):
                shown = table_row(page, 0, f"▸ {arm}" if arm == row["arm"] else arm)
                columns = ("plays_before", "mean_before", None, "draws", "mean_after")
                assert all(same(shown[c], row[name][k]) for c, name in enumerate(columns) if name), (number, arm)
                assert same(shown[2], (row["plays_before"][k] + 1) ** -0.5)
        assert browser.pixels(page) != before
        browser.shot(page, "replay_offline")


def test_the_replay_is_played_by_mouse_and_by_keys(chromium: Any, recorded: Path) -> None:
    arms = [[row["arm"] for row in played.lines(recorded / name)] for name in ("optima", "random")]
    with browser.watched(chromium, offline=True) as page:
        page.goto((recorded / "replay.html").as_uri())
        slider = page.get_by_role("slider", name="round")
        slider.focus()
        for key, value in (("ArrowRight", 1), ("End", 39), ("ArrowLeft", 38), ("Home", 0)):
            page.keyboard.press(key)
            assert slider.input_value() == str(value), key
        same = next(i for i in range(1, 38) if all(arm[i + 1] == arm[i] for arm in arms))
        change = next(i for i in range(same + 1, 40) if any(arm[i] != arm[i - 1] for arm in arms))
        slider.fill(str(same))
        page.keyboard.press("n")
        assert slider.input_value() == str(change) != str(same + 1), "to the next change of arm, not to the next round"
        page.keyboard.press("p")
        assert int(slider.input_value()) <= same
        box = slider.bounding_box()
        page.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=5)
        page.mouse.up()
        middle = int(slider.input_value())
        assert 15 <= middle <= 25 and page.locator(".ol-where").inner_text() == f"round {middle + 1} of 40"
        before, here = browser.pixels(page), int(slider.input_value())
        page.keyboard.press(" ")
        page.wait_for_function("(here) => Number(document.querySelector('.ol input').value) > here + 2", arg=here)
        page.get_by_role("button", name="Pause").click()
        assert browser.pixels(page) != before
        page.get_by_role("combobox", name="right").select_option(label="no second run")
        assert page.locator(".ol-side:visible").count() == 1
        hover(page, 0.3, 240, "mean μ")
        browser.shot(page, "replay_alone")


def hover(page: Any, across: float, down: float, told: str) -> None:
    """Hold the mouse over the first picture until its tip says so; a picture laid out anew meanwhile hides its tip."""
    tip = page.locator(".ol-tip:visible", has_text=told)
    for n in range(100):
        canvas = page.locator(".ol canvas").first.bounding_box()
        page.mouse.move(canvas["x"] + across * canvas["width"] + n % 2, canvas["y"] + down)
        if tip.count():
            return
        page.wait_for_timeout(100)
    browser.shot(page, "no_tip")
    raise AssertionError(f"no tip with {told!r} at {across}, {down}")


def test_what_is_missing_is_told_on_the_page(chromium: Any, tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random", done=False)
    rows = played.lines(folder / "optima")[:1]
    rows[0]["reward"] = float("nan")
    played.rewrite(folder / "optima", rows, '{"round": 2, "ar')
    page_of = replay.write_page(folder, tmp_path / "replay.html")
    message = {"message": replay.replay(tmp_path / "<b>nothing</b>").about["message"]}
    nothing = widgets.write_page(tmp_path / "nothing.html", widgets.page("Nothing", "replay", message, b""))
    with browser.watched(chromium, offline=True) as page:
        page.goto(page_of.as_uri())
        notes = "\n".join(page.locator(".ol-note").all_inner_texts())
        for said in (
            "1 of 40 rounds",
            "half written",
            "1 of 1 rewards are not finite",
            "only one round",
            "stopped: 40",
        ):
            assert said in notes
        page.get_by_role("slider", name="round").focus()
        page.keyboard.press("End")
        assert "OPTIMA has only 1 rounds" in page.locator(".ol-head").first.inner_text()
    with browser.watched(chromium, offline=True) as page:
        page.goto(nothing.as_uri())
        assert "no such run" in page.get_by_role("alert").inner_text()
        assert "<b>nothing</b>" in page.get_by_role("alert").inner_text(), "text is never read as HTML"
        browser.shot(page, "replay_message")


def test_a_stopped_student_says_so_in_its_last_round(chromium: Any, tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random")
    played.stop(folder / "optima", 12)
    with browser.watched(chromium, offline=True) as page:
        page.goto(replay.write_page(folder, tmp_path / "replay.html").as_uri())
        slider, said = page.get_by_role("slider", name="round"), page.get_by_role("status")
        assert "stopped in round 12: kl loss" in page.locator(".ol-note").inner_text(), "from the start"
        assert "went wrong" not in said.inner_text()
        slider.fill("11")
        assert "Its numbers went wrong: stopped in round 12: kl loss: overflow of float16." in said.inner_text()
        slider.fill("12")
        assert page.locator(".ol-head").first.inner_text() == "OPTIMA stopped in round 12: kl loss: overflow of float16"
        canvas = page.locator(".ol canvas").first.bounding_box()
        page.mouse.move(canvas["x"] + 0.6 * canvas["width"], canvas["y"] + canvas["height"] - 40)
        tip = page.locator(".ol-tip:visible")
        assert tip.inner_text() == "round 24: none in this run", "one timeline for both runs"
        tops = [page.locator(".ol canvas").nth(side).bounding_box()["y"] for side in (0, 1)]
        assert tops[0] == tops[1], "pictures stand side by side"
        browser.shot(page, "replay_stopped")


def test_a_record_of_100000_rounds_stays_usable(chromium: Any, tmp_path: Path) -> None:
    generator, rounds = np.random.default_rng(0), 100_000
    arm = generator.integers(7, size=rounds).astype(np.uint8)
    walk = np.cumsum(generator.normal(size=(rounds + 1, 7)), axis=0)
    arrays = {
        "round": np.arange(1, rounds + 1),
        "step": np.arange(rounds),
        "arm": arm,
        "initial": arm * 0,
        "mean": walk,
    }
    arrays |= {"reward": walk[1:, 0], "ratio": walk[1:, :3], "loss": np.exp(-(walk[1:, :4] ** 2)), "draws": walk[1:]}
    track = recording.RunTrace("long", "vqa", 0, "long", {"policy": "optima"}, arrays)
    path = widgets.write_page(
        tmp_path / "long.html", widgets.page("Long", "replay", *replay.handed_over([track], (0, replay.NOTHING), []))
    )
    with browser.watched(chromium, offline=True) as page:
        page.goto(path.as_uri())
        before = browser.pixels(page)
        page.get_by_role("slider", name="round").fill("53216")
        text = page.get_by_role("status").inner_text()
        assert "Round 53217 " in text
        assert same(browser.number(text.split("Reward ")[1].split(",")[0]), walk[53217, 0])
        assert browser.pixels(page) != before


@pytest.mark.parametrize("widget", ["replay", "playground"])
def test_everybody_can_use_it(chromium: Any, recorded: Path, tmp_path: Path, widget: str) -> None:
    path = recorded / "replay.html" if widget == "replay" else playground.write_page(tmp_path / "playground.html")
    with browser.watched(chromium, offline=True, reduced_motion="reduce", color_scheme="dark") as page:
        page.goto(path.as_uri())
        page.wait_for_selector(".ol canvas")
        controls = "[...document.querySelectorAll('.ol button, .ol input, .ol select')]"
        named = "e.ariaLabel || (e.tagName === 'BUTTON' ? e.textContent.trim() : e.labels.length)"
        assert page.evaluate(f"{controls}.filter((e) => !({named})).length") == 0
        small = "[...document.querySelectorAll('body *')].filter((e) => parseFloat(getComputedStyle(e).fontSize) < 16)"
        assert page.evaluate(f"{small}.map((e) => e.outerHTML.slice(0, 60))") == []
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        lowest = (
            "Math.max(...[...document.querySelectorAll('.ol canvas')].map((e) => e.getBoundingClientRect().bottom))"
        )
        assert page.evaluate(lowest) <= 720, "it fits a projector of 1280 × 720"
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert page.get_by_role("status").count() == 1
        assert min(browser.contrasts(page).values()) >= 4.5, browser.contrasts(page)
        if widget == "replay":
            assert page.get_by_role("combobox", name="speed").input_value() == "1", "slow where motion is unwelcome"
        browser.shot(page, f"{widget}_dark")


# --- playground ------------------------------------------------------------------------------------------------------

AGREED = [
    playground.Settings("swap", ("optima", "optima_calibrated", "random"), arms=5),
    playground.Settings(
        "pieces", ("gaussian_dts", "discounted_ucb", "epsilon_greedy"), 7, 0.08, 0.02, 30, 60, 0.95, 10
    ),
    playground.Settings("waves", ("optima", "optima_calibrated", "epsilon_greedy"), 3, decay=0.9, initial_plays=0),
    playground.Settings("still", ("gaussian_dts", "discounted_ucb", "optima_calibrated"), 2, 1.0, 0.3, decay=0.999),
]


@pytest.mark.parametrize("given", AGREED, ids=lambda given: given.world)
def test_the_browser_chooses_as_python_does_for_1000_rounds(chromium: Any, given: playground.Settings) -> None:
    settings = replace(given, horizon=1000, replications=4, seed=7)
    source = Path(playground.__file__).with_name("bandits.js").read_text()
    with browser.watched(chromium) as page:
        runs = browser.call(
            page,
            source,
            "simulate(settings, streams, Float32Array.from(table)).runs.map((run) => [run.name, "
            "...[run.arms, run.regret, run.mean, run.deviation].map("
            "(array) => Array.from(array, (value) => (Number.isFinite(value) ? value : null)))])",
            settings=playground.listed(settings),
            streams=playground.STREAMS,
            table=playground.quantiles().astype(float).tolist(),
        )
    known = playground.play(settings)
    assert [name for name, *_ in runs] == list(known)
    for name, arm, regret, mean, deviation in runs:
        ours = known[name]
        np.testing.assert_array_equal(np.reshape(arm, (1000, 4)), ours.arm, err_msg=name)
        np.testing.assert_allclose(np.reshape(regret, (1000, 4)), ours.regret, rtol=1e-12)
        np.testing.assert_allclose(np.array(mean, float).reshape(1001, -1), ours.mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.array(deviation, float).reshape(1001, -1), ours.deviation, rtol=1e-9)


def told_regrets(text: str) -> list[float]:
    """The regrets in the playground's sentence."""
    return [browser.number(part.split(" ±")[0]) for part in text.split("regret ")[1:]]


def test_the_offline_playground_answers_while_it_is_dragged(chromium: Any, tmp_path: Path) -> None:
    path = playground.write_page(tmp_path / "playground.html")
    assert path.stat().st_size < widgets.PAGE_BYTES
    with browser.watched(chromium, offline=True) as page:
        page.goto(path.as_uri())
        words = page.locator(".ol-why")
        known = playground.play(playground.STILL)
        assert told_regrets(words.inner_text()) == [browser.written(one.regret[-1].mean()) for one in known.values()]
        browser.shot(page, "playground_offline")
        gap = page.get_by_role("slider", name="gap: best minus worst mean reward")
        box, seen = gap.bounding_box(), {browser.pixels(page)}
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
        page.mouse.down()
        for step in range(4, 8):
            page.mouse.move(box["x"] + step / 10 * box["width"], box["y"] + box["height"] / 2)
            seen.add(browser.pixels(page))
        assert len(seen) == 5, "every step of the drag is another picture"
        page.mouse.up()
        assert page.get_by_role("combobox", name="scene").input_value() == ""
        page.get_by_role("combobox", name="scene").select_option("a change comes late")
        page.get_by_role("slider", name="γ").focus()
        page.keyboard.press("ArrowLeft")
        changed = replace(playground.SCENES["a change comes late"], decay=0.979)
        assert told_regrets(words.inner_text()) == [
            browser.written(one.regret[-1].mean()) for one in playground.play(changed).values()
        ]
        browser.shot(page, "playground_late")


def test_you_play_against_the_policies_with_the_same_luck(chromium: Any, tmp_path: Path) -> None:
    settings = replace(playground.STILL, horizon=20, replications=2, initial_plays=2)  # half of 20 rounds, 5 arms
    means = playground.world(settings).table(20)[:, 0]
    pulls = [1, 2, 3, 4, 5] * 4
    known = {"you": float(sum(means[0].max() - means[0, pull - 1] for pull in pulls))}
    for name, one in playground.play(settings).items():
        known[POLICIES[name].label] = float(one.regret[-1, 0])
    with browser.watched(chromium, offline=True) as page:
        page.goto(playground.write_page(tmp_path / "playground.html").as_uri())
        page.get_by_role("button", name="You play").click()
        page.get_by_role("combobox", name="rounds").select_option("20")
        page.get_by_role("button", name="arm 1").click()
        for pull in pulls[1:]:
            page.keyboard.press(str(pull))
        rows = page.locator("tbody tr")
        shown = {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows.all()}
        regrets = {name: browser.number(text) for name, text in shown.items()}
        assert regrets == {name: browser.written(regret) for name, regret in known.items()}
        assert list(shown) == sorted(known, key=lambda name: known[name])
        browser.shot(page, "playground_game")
        assert "was best at the start" in page.locator(".ol").inner_text()


def test_a_game_hides_the_truth_and_is_ended_by_its_player_alone(chromium: Any, tmp_path: Path) -> None:
    with browser.watched(chromium, offline=True) as page:
        page.goto(playground.write_page(tmp_path / "playground.html").as_uri())
        page.get_by_role("button", name="You play").click()
        assert page.locator(".ol-controls input:visible, .ol-controls select:visible").count() == 0
        page.keyboard.press("1")
        for asked in (
            lambda: page.get_by_role("button", name="new luck").click(),
            lambda: page.get_by_role("combobox", name="rounds").select_option("20"),
        ):
            asked()
            assert "This game is not over." in page.get_by_role("alert").inner_text()
            browser.shot(page, "playground_question")
            page.get_by_role("button", name="go on with this one").click()
            assert "Round 2 of 40" in page.locator(".ol-head").inner_text()
        page.get_by_role("button", name="new luck").click()
        page.get_by_role("button", name="start a new game").click()
        assert "Round 1 of 40" in page.locator(".ol-head").inner_text()
        page.get_by_role("button", name="back to the playground").click()
        assert page.get_by_role("slider", name="gap: best minus worst mean reward").is_visible()
