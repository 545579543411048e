"""A game on recorded rewards: the record's numbers, hidden arms, the library's own sampler beside the player."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import numpy as np
import played
import pytest

from optima_lab.bandits.arms import LABELS
from optima_lab.bandits.posterior import departures
from optima_lab.display import POLICIES
from optima_lab.widgets.playground import SCENES, Settings, play, playground, write_page
from optima_lab.widgets.recorded_game import recorded_games
from optima_lab.widgets.recording import places

ROUNDS, SEEN = 60, 20  # rounds of the runs, and of the game
SCREENS = [(390, 844, "dark"), (1024, 768, "light"), (1280, 720, "light"), (1280, 720, "dark")]
TITLE = "recorded: VQA, seed 0"
LONG = "recorded: COCO Caption, laptop, lr=0.001, seed 0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of every arm and of OPTIMA (T0 = 2)."""
    runs = tmp_path_factory.mktemp("runs")
    played.write(runs, *LABELS, "OPTIMA", "Random", rounds=ROUNDS)
    for number, label in enumerate(LABELS):  # not all in step
        folder = runs / "vqa" / "laptop-s0-0000" / label.lower()
        rows = played.lines(folder)
        noise = np.random.default_rng(number).normal(size=ROUNDS)
        played.rewrite(
            folder, [{**row, "reward": row["reward"] + 0.01 * z} for row, z in zip(rows, noise, strict=True)]
        )
    return runs


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as running:
        yield running


def test_a_games_rewards_are_those_of_the_runs_that_played_one_arm(runs: Path) -> None:
    (game,) = recorded_games(runs)
    assert (game.title, game.decay, game.initial_plays, game.smoke) == ("VQA, seed 0", 0.98, 2, False)
    for number, label in enumerate(LABELS):
        rows = played.lines(runs / "vqa" / "laptop-s0-0000" / label.lower())
        np.testing.assert_array_equal(game.rewards[:, number], np.float32([row["reward"] for row in rows]))
    widget = playground(recorded=places(runs))
    assert widget.about["games"][0]["title"] == "VQA, seed 0" and playground().about["games"] == []


def test_what_is_no_whole_population_is_no_game(runs: Path, tmp_path: Path) -> None:
    assert recorded_games(tmp_path / "nothing") == []
    played.write(tmp_path, *LABELS[1:], "OPTIMA", rounds=ROUNDS)
    assert recorded_games(tmp_path) == [], "an arm is missing"
    played.write(tmp_path, LABELS[0], rounds=9)
    assert recorded_games(tmp_path) == [], "nine rounds"
    played.write(tmp_path, LABELS[0], rounds=30)
    assert [len(game.rewards) for game in recorded_games(tmp_path)] == [30], "as long as the shortest"
    folder = tmp_path / "vqa" / "laptop-s0-0000"
    about = json.loads((folder / "optima" / "run.json").read_text())
    (folder / "optima" / "run.json").write_text(json.dumps({**about, "policy": "optima_calibrated"}))
    assert recorded_games(tmp_path) == [], "OPTIMA is missing"
    (folder / "optima" / "run.json").write_text("{")
    assert recorded_games(tmp_path) == []


def shown_numbers(page: Any) -> dict[str, float]:
    rows = page.locator("tbody tr").all()
    return {row.locator("th").inner_text(): browser.number(row.locator("td").inner_text()) for row in rows}


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_one_is_the_bandit_on_recorded_rewards(
    chromium: Any, runs: Path, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    (game,) = recorded_games(runs)
    with browser.watched(chromium, offline=True, color_scheme=scheme) as page:
        page.add_init_script(f"({browser.WATCH_TEXT})()")
        page.set_viewport_size({"width": width, "height": height})
        page.goto(write_page(tmp_path / "playground.html", runs).as_uri())
        page.get_by_role("button", name="You play").click()
        page.get_by_role("combobox", name="rounds").select_option(str(SEEN))
        page.get_by_role("combobox", name="rewards").select_option(label=TITLE)
        assert "would have got something else" in page.locator(".ol").inner_text()
        pads = page.get_by_role("button", name=re.compile("^arm [1-7]: "))
        assert pads.count() == 7
        pulls = [0, 1, 2, 3, 4, 5, 6, *(number * 3 % 7 for number in range(SEEN - 7))]  # every arm first
        for pull in pulls[:-1]:
            page.keyboard.press(str(pull + 1))
        browser.shot(page, f"recorded_game_{width}_{scheme}_before")
        assert not any(label in page.locator(".ol").inner_text() for label in LABELS), "hidden to the end"
        page.keyboard.press(str(pulls[-1] + 1))
        texts = page.locator(".ol-row button[aria-keyshortcuts]").all_inner_texts()
        order = [LABELS.index(text.partition(":")[0]) for text in texts]
        assert sorted(order) == list(range(7)), "named at the end"

        arm = np.array([order[pull] for pull in pulls])
        rewards = game.rewards[np.arange(SEEN), arm].astype(np.float64)
        seed = SCENES["rewards too small to see"].seed
        settings = Settings(arms=7, policies=("optima", "random"), decay=0.98, initial_plays=1, horizon=SEEN, seed=seed)
        known = {"you": rewards.sum(), "LWD": game.rewards[:SEEN, 6].sum()}
        for name, one in play(settings, rewards=game.rewards).items():
            known[POLICIES[name].label] = game.rewards[np.arange(SEEN), one.arm[:, 0]].sum()
        shown = shown_numbers(page)
        assert shown == {name: browser.written(total) for name, total in known.items()}
        assert list(shown) == sorted(known, key=lambda name: -known[name])

        plays = np.cumsum(np.eye(7)[arm], axis=0) - np.eye(7)[arm]
        totals = np.cumsum(np.eye(7)[arm] * rewards[:, None], axis=0) - np.eye(7)[arm] * rewards[:, None]
        mean = totals / np.maximum(plays, 1)
        away = departures(mean, plays, arm)
        page.get_by_text(f"You left the arm of the largest mean {len(away)} times").click()
        told = page.locator("details p").inner_text()
        told_rounds = re.findall(r"round (\d+): (\S+) \((\S+)\) instead of (\S+) \((\S+)\)", told)
        assert [(int(t) - 1, LABELS.index(best)) for t, _, _, best, _ in told_rounds] == away
        for t, mine, own, best, top in told_rounds:
            row = mean[int(t) - 1]
            assert browser.number(own) == browser.written(row[LABELS.index(mine)])
            assert browser.number(top) == browser.written(row[LABELS.index(best)])
        page.evaluate("window.scrollTo(0, 0)")  # the sliders' bar stays in sight above what is scrolled
        browser.pixels(page, page.locator(".ol canvas").count() - 1)
        assert browser.overlaps(page) == []
        box = page.get_by_role("combobox", name="rewards")
        box.evaluate("(select, name) => { for (const each of select.options) each.text = name; }", LONG)
        assert box.evaluate("select => select.getBoundingClientRect().right") <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.shot(page, f"recorded_game_{width}_{scheme}")
