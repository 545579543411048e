"""Records as arrays: the record's own numbers, rebuilt beliefs, and a line for whatever is missing or damaged."""

from pathlib import Path

import numpy as np
import played
import pytest

from optima_lab.bandits.arms import LABELS
from optima_lab.errors import RecordError
from optima_lab.experiments.records import write_json
from optima_lab.widgets.recording import NO_ARM, RunTrace, places, tracks
from optima_lab.widgets.replay import fit, packed_bytes


def opened(runs: Path) -> dict[str, RunTrace]:
    return {track.name: track for track in tracks(places(runs))[0]}


def test_arrays_are_the_record(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random", "None", "Img+Txt+Multi")
    found = opened(tmp_path)
    assert list(found) == ["no distillation", "Img+Txt+Multi (LWD)", "Random", "OPTIMA"], "in the order of figures"
    rows, track = played.lines(folder / "optima"), found["OPTIMA"]
    arrays = track.arrays
    assert (track.task, track.seed, track.rounds, track.notes) == ("vqa", 0, 40, ())
    assert [LABELS[arm] for arm in arrays["arm"]] == [row["arm"] for row in rows]
    assert arrays["step"].tolist() == [row["step"] for row in rows]
    assert arrays["reward"].tolist() == [row["reward"] for row in rows]
    assert arrays["ratio"][7].tolist() == [rows[7][f"ratio_{name}"] for name in ("kl", "hidden", "attention")]
    assert arrays["loss"][7].tolist() == [rows[7][f"probe_{n}"] for n in ("train", "kl", "hidden", "attention")]
    assert arrays["draws"][20].tolist() == rows[20]["draws"]
    assert np.isnan(arrays["draws"][3]).all(), "forced plays draw nothing"
    assert arrays["mean"][7].tolist() == rows[7]["mean_before"]
    assert arrays["mean"][40].tolist() == rows[39]["mean_after"], "the last row is after the last round"
    assert arrays["plays"][40].tolist() == rows[39]["plays_after"]
    assert track.score == ((10, 40.0), (20, 50.0), (30, 60.0), (40, 70.0))
    assert set(found["no distillation"].arrays["arm"]) == {NO_ARM}
    assert "mean" not in found["Random"].arrays and "draws" not in found["no distillation"].arrays


def test_optimas_deviation_is_that_of_the_paper(tmp_path: Path) -> None:
    played.write(tmp_path, "OPTIMA")
    arrays = opened(tmp_path)["OPTIMA"].arrays
    np.testing.assert_allclose(arrays["deviation"], 1 / np.sqrt(arrays["plays"] + 1))
    assert arrays["deviation"][0].tolist() == [1.0] * 7, "n = 0: N(0, 1)"


def test_the_calibrated_deviation_is_rebuilt_by_playing_the_record_again(tmp_path: Path) -> None:
    played.write(tmp_path, "OPTIMA calibrated", rounds=200)
    arrays = opened(tmp_path)["OPTIMA calibrated"].arrays
    assert arrays["deviation"].shape == (201, 7)
    noise = arrays["deviation"] * np.sqrt(arrays["plays"] + 1)
    np.testing.assert_allclose(noise, noise[:, :1] * np.ones(7), err_msg="one noise for all arms")
    assert 0.005 < noise[200, 0] < 0.05, "rewards here scatter by 0.01 to 0.04"


def test_beliefs_of_another_policy_than_the_recorded_are_not_shown(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "D-UCB")
    rows = played.lines(folder / "optima")
    rows[30]["mean_before"][2] += 0.01
    played.rewrite(folder / "optima", rows)
    found = opened(tmp_path)
    assert "deviation" not in found["OPTIMA"].arrays and "mean" in found["OPTIMA"].arrays
    assert "deviation" not in found["D-UCB"].arrays, "an index is no belief"


def test_what_is_unfinished_damaged_or_alone_is_said(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random", "Img", "Txt")
    (folder / "optima" / "done.json").unlink()
    played.rewrite(folder / "optima", played.lines(folder / "optima")[:12])
    played.rewrite(folder / "random", played.lines(folder / "random"), '{"round": 41, "st')
    played.rewrite(folder / "img", played.lines(folder / "img")[:1])
    rows = played.lines(folder / "txt")
    rows[5]["reward"] = rows[9]["reward"] = float("nan")
    played.rewrite(folder / "txt", rows)
    write_json(folder / "txt" / "done.json", {"stopped": {"round": 6, "where": "train loss: overflow of float32"}})
    found = opened(tmp_path)
    assert found["OPTIMA"].notes == ("still training, or stopped: 12 of 40 rounds are recorded so far",)
    assert found["Random"].notes == ("the last line of its record was only half written; it is left out",)
    assert found["Random"].rounds == 40
    assert found["Img"].notes == ("only one round is recorded",)
    assert found["Txt"].notes == (
        "its numbers went wrong and it stopped in round 6: train loss: overflow of float32",
        "2 of 40 rewards are not finite numbers: gaps",
    )


def test_a_student_whose_numbers_went_wrong_says_where(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random")
    played.stop(folder / "optima", 12)
    found = opened(tmp_path)
    assert found["OPTIMA"].rounds == 12
    assert found["OPTIMA"].stopped == "round 12: kl loss: overflow of float16"
    assert found["OPTIMA"].notes == (f"its numbers went wrong and it stopped in {found['OPTIMA'].stopped}",)
    assert found["Random"].stopped == "" and found["Random"].notes == ()


@pytest.mark.parametrize("content", ["{}", '{"stopped": {}}'])
def test_what_is_done_and_names_no_stop_went_to_its_end(tmp_path: Path, content: str) -> None:
    folder = played.write(tmp_path, "OPTIMA")
    (folder / "optima" / "done.json").write_text(content)
    assert (opened(tmp_path)["OPTIMA"].stopped, opened(tmp_path)["OPTIMA"].notes) == ("", ())


def test_a_score_that_is_not_recorded_is_left_out(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA")
    path = folder / "optima" / "evals.jsonl"
    path.write_text(path.read_text().replace("40.0", "null"))
    assert opened(tmp_path)["OPTIMA"].score == ((20, 50.0), (30, 60.0), (40, 70.0))
    path.write_text('{"step": 6, "metric": "score", "value": 1.0}\n')
    with pytest.raises(RecordError, match=r"evals.jsonl: every line must hold 'split'"):
        tracks(places(tmp_path))


def test_beliefs_end_where_a_reward_is_not_finite(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA")
    rows = played.lines(folder / "optima")
    rows[20]["reward"] = float("nan")
    played.rewrite(folder / "optima", rows)
    deviation = opened(tmp_path)["OPTIMA"].arrays["deviation"]
    assert np.isfinite(deviation[:21]).all() and np.isnan(deviation[21:]).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows[4].pop("reward"), "must hold the same numbers in every round: KeyError"),
        (lambda rows: rows[4].update(round=2**40), "must hold the same numbers in every round: OverflowError"),
        (lambda rows: rows[4].update(arm="Audio"), "must hold the same numbers"),
        (lambda rows: [row.update(draws=[0.1, 0.2]) for row in rows], "draws must have 7 numbers a round"),
    ],
)
def test_a_record_of_another_kind_is_refused(tmp_path: Path, spoil, message: str) -> None:
    folder = played.write(tmp_path, "OPTIMA")
    rows = played.lines(folder / "optima")
    spoil(rows)
    played.rewrite(folder / "optima", rows)
    with pytest.raises(RecordError, match=message):
        tracks(places(tmp_path))


def test_one_unreadable_run_leaves_the_others(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Random")
    text = (folder / "random" / "rounds.jsonl").read_text()
    (folder / "random" / "rounds.jsonl").write_text("{broken\n" + text)
    found, problems = tracks(places(tmp_path))
    assert [track.name for track in found] == ["OPTIMA"]
    assert problems == [problem for problem in problems if "rounds.jsonl:1 must be a JSON object" in problem] != []


@pytest.mark.parametrize("content", ["[]", "{", '{"strategy": 3}', '{"config": []}'])
def test_a_run_that_does_not_say_what_it_is_leaves_the_others(tmp_path: Path, content: str) -> None:
    folder = played.write(tmp_path, "OPTIMA", "Img", seed=3)
    (folder / "img" / "run.json").write_text(content)
    found, (problem,) = tracks(places(tmp_path))
    assert [(track.name, track.seed) for track in found] == [("OPTIMA", 3)]
    assert "run.json must " in problem and "\n" not in problem


def test_experiments_are_found_at_any_depth(tmp_path: Path) -> None:
    folder = played.write(tmp_path, "OPTIMA", seed=3)
    for path in (tmp_path, folder.parent, folder):
        assert [(place.task, place.seed, place.only, place.id) for place in places(path)] == [
            ("vqa", 3, ("optima",), folder.name)
        ]
    with pytest.raises(RecordError, match=r"no such run: .*nothing"):
        places(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match=r"no run in .*empty"):
        places(tmp_path / "empty")


def test_names_tell_tasks_and_seeds_apart(tmp_path: Path) -> None:
    played.write(tmp_path, "OPTIMA", task="nlvr2")
    played.write(tmp_path, "OPTIMA", "Random", seed=1)
    played.write(tmp_path, "OPTIMA", task="nlvr2", seed=1)
    assert list(opened(tmp_path)) == [
        "VQA · Random, seed 1", "VQA · OPTIMA, seed 1", "NLVR2 · OPTIMA, seed 0", "NLVR2 · OPTIMA, seed 1",
    ]  # fmt: skip


def test_what_does_not_fit_is_left_out_or_thinned_and_said(tmp_path: Path) -> None:
    played.write(tmp_path, "OPTIMA", "Random", "Img", rounds=100)
    found = tracks(places(tmp_path))[0]  # Img, Random, OPTIMA
    sizes = [packed_bytes(track) for track in found]
    assert fit(found, [2], sum(sizes)) == found
    assert [track.name for track in fit(found, [2], sizes[2] + sizes[0])] == ["Img", "OPTIMA"]
    (thin,) = fit(found, [2], sizes[2] // 3)
    assert packed_bytes(thin) < sizes[2] / 3
    assert thin.notes == ("every 4th of 100 rounds is in this page; the notebook shows all of them",)
    assert thin.arrays["round"].tolist() == [*range(1, 101, 4), 100]
    np.testing.assert_array_equal(thin.arrays["mean"][-1], found[2].arrays["mean"][-1])
