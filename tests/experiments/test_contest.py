"""A person as the bandit of a real student: the arms are hers, the batches everybody's, and it is no run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from optima_lab.errors import ConfigError
from optima_lab.experiments import contest as module
from optima_lab.experiments.contest import Contest
from optima_lab.experiments.records import read_json, read_lines
from optima_lab.experiments.run import open_experiments, run
from optima_lab.widgets.contest import CLOCK, BeTheBandit
from optima_lab.widgets.replay import replay

ARMS = ("img", "txt+multi", "img", "", "", "img+txt+multi")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def played(runs: Path) -> Contest:
    contest = Contest("vqa", "smoke", rounds=len(ARMS), runs=runs)
    for arm in ARMS:
        contest.play(arm)
    return contest


def test_the_arms_are_the_persons(played: Contest) -> None:
    mine = read_lines(next(played.folder.glob("you-*")) / "rounds.jsonl")
    assert [row["arm"] for row in mine][:3] == ["Img", "Txt+Multi", "Img"] and mine[5]["arm"] == "Img+Txt+Multi"
    for row in mine[3:5]:  # left to the clock: the highest draw
        assert (
            row["arm"]
            == ("Img", "Txt", "Multi", "Img+Txt", "Img+Multi", "Txt+Multi", "Img+Txt+Multi")[
                int(np.argmax(row["draws"]))
            ]
        )
    assert mine[2]["mean_after"][0] == pytest.approx((mine[0]["reward"] + mine[2]["reward"]) / 2)


def test_others_play_as_in_a_run_of_their_own(played: Contest, runs: Path) -> None:
    steps = len(ARMS) * 2
    (alone,) = run("vqa", "smoke", 1, "", str(runs), "random,img+txt+multi", steps=steps, warmup_steps=1, evaluations=1)
    for name in ("random", "img+txt+multi"):
        (path,) = alone.folder.glob(f"{name}*/rounds.jsonl")
        ours, theirs = (read_lines(p) for p in (played.folder / path.parent.name / "rounds.jsonl", path))
        assert [row["arm"] for row in ours] == [row["arm"] for row in theirs]
        assert [row["reward"] for row in ours] == pytest.approx([row["reward"] for row in theirs], rel=1e-4)
        score = read_lines(path.with_name("evals.jsonl"))[-1]["value"]
        assert np.isfinite(score)


def test_the_end_says_what_was_won_and_where_one_left_the_best(played: Contest) -> None:
    result, away = played.result(), played.departures()
    mine = read_lines(next(played.folder.glob("you-*")) / "rounds.jsonl")
    assert list(result.index) == ["you", "optima", "random", "img+txt+multi"]
    assert result.loc["you", "rewards"] == pytest.approx(sum(row["reward"] for row in mine))
    assert result["score"].between(0, 100).all()
    for row in away.to_dict("records"):
        before = mine[row["round"] - 1]["mean_before"]
        assert row["mean"] < row["best_mean"] == max(before) and row["arm"] == mine[row["round"] - 1]["arm"]
    with pytest.raises(ConfigError, match="all 6 rounds are played"):
        played.play("img")


def test_it_is_replayed_but_is_no_run(played: Contest, runs: Path) -> None:
    assert sorted(replay(played.folder).names) == ["Img+Txt+Multi (LWD)", "OPTIMA", "Random", "You"]
    assert not [each for each in open_experiments(runs) if each.folder == played.folder]


def test_what_is_no_arm_is_refused_and_nothing_is_played(runs: Path) -> None:
    contest = Contest("vqa", "smoke", rounds=3, runs=runs, beside="random")
    with pytest.raises(ConfigError, match="arm"):
        contest.play("image")
    assert contest.left == 3 and contest.folder.name.endswith("-2")


def test_buttons_play_it(runs: Path) -> None:
    contest = Contest("vqa", "smoke", rounds=2, runs=runs, beside="random")
    game = BeTheBandit(contest)
    buttons = {button.description: button for button in game.buttons}
    assert "waiting" in game.view.about["message"] and "2 rounds of 2 steps" in game.status.value
    buttons["Img+Txt"].click()
    assert "Img+Txt brought you" in game.status.value and "1 round left" in game.status.value
    assert game.view.names == ["Random", "You"] and not buttons[CLOCK].disabled
    buttons[CLOCK].click()
    assert "<table" in game.status.value and "You" in game.status.value and all(b.disabled for b in game.buttons)


def test_a_student_that_goes_wrong_ends_alone_and_is_said_to(runs: Path) -> None:
    contest = Contest("vqa", "smoke", rounds=3, runs=runs, beside="random:decoder_attention=cross")
    contest.play("img")
    with torch.no_grad():
        for parameter in contest._students[0].model.parameters():
            parameter.fill_(float("nan"))
    last = contest.play("txt")
    assert contest.play("multi") == last and contest.left == 0, "yours ended in round 2"
    mine, other = (read_json(writer.folder / "done.json")["stopped"] for writer in contest._writers)
    assert mine["round"] == 2 and other == {}
    assert len(contest.rounds[0]) == 2 and len(contest.rounds[1]) == 3
    assert ":" not in "".join(folder.name for folder in contest.folder.iterdir()), "names that every disk takes"


def test_a_score_that_there_is_not_is_a_gap(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contest = Contest("vqa", "smoke", rounds=1, runs=runs, beside="random")
    monkeypatch.setattr(module, "evaluation_records", lambda *_: [[], []])
    contest.play("img")
    assert contest.left == 0 and contest.result()["score"].isna().all()
