"""Runs of other modules than the paper's: arms, labels and panels are data of the run."""

import json
from pathlib import Path

import numpy as np
import pytest

from optima_lab.bandits.arms import Arms
from optima_lab.bandits.policies import make_policy
from optima_lab.distill.rewards import ProbeLosses
from optima_lab.distill.rounds import Rounds
from optima_lab.errors import RecordError
from optima_lab.experiments.experiment import RecordFolder
from optima_lab.experiments.records import read_rounds
from optima_lab.experiments.watch import scalars
from optima_lab.report.figures import dynamics
from optima_lab.report.figures import modules as draw
from optima_lab.report.figures.style import save
from optima_lab.widgets import assets
from optima_lab.widgets.recording import RunReader, places, read_track, tracks
from optima_lab.widgets.replay import replay

FOUR = ("image", "text", "audio", "decoder")
SIX = tuple(f"layer{n}" for n in range(1, 7))


def recorded(folder: Path, modules: tuple[str, ...], policy: str, count: int = 30, **parameters) -> Rounds:
    """What `Optima.records` writes, after rounds in which the first module alone brings anything."""
    rounds = Rounds(Arms(modules), make_policy(policy, **parameters), "all", 0)
    for number in range(count):
        left = 0.9 if modules[0] in rounds.arm else 0.995
        rounds.learn(2 * (number + 1), ProbeLosses(None, None, 1.0, None), ProbeLosses(None, None, left, None))
    folder.mkdir(parents=True, exist_ok=True)
    run = {"strategy": policy, "arm": "", "policy": policy, "parameters": parameters, "reward": "all"}
    (folder / "run.json").write_text(json.dumps(run | {"modules": modules}))
    (folder / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in rounds.records))
    return rounds


def test_four_modules_are_fifteen_arms_of_the_lattice(tmp_path: Path) -> None:
    rounds = recorded(tmp_path / "mine", FOUR, "optima")
    ((track,), problems) = tracks(places(tmp_path / "mine"))
    assert not problems and track.arms.modules == FOUR and track.notes == ()
    assert [track.arms.labels[arm] for arm in track.arrays["arm"]] == [line["arm"] for line in rounds.records]
    assert track.arrays["mean"].shape == track.arrays["deviation"].shape == (31, 15)
    (facts,) = replay(tmp_path / "mine").about["tracks"]
    labels = [arm["label"] for arm in facts["arms"]]
    assert labels[:5] == [*FOUR, "ima+tex"] and len(labels) == 15
    assert facts["arms"][-1]["modules"] == [0, 1, 2, 3] and labels[-1] == "all four"
    assert facts["arms"][-2]["brief"] == "t+a+d"


def test_more_modules_are_rows_of_their_own(tmp_path: Path) -> None:
    rounds = recorded(tmp_path, SIX, "linear_ts")
    ((track,), _) = tracks(places(tmp_path))
    member = track.arrays["member"].astype(bool)
    assert [{SIX[m] for m in np.flatnonzero(row)} for row in member] == [
        set(line["arm"].split("+")) for line in rounds.records
    ]
    assert track.arrays["mean"][-1].tolist() == rounds.records[-1]["theta_after"][:6]
    assert track.arrays["plays"][-1].sum() == member.sum() and track.arrays["deviation"].shape == (31, 6)
    assert [arm["modules"] for arm in replay(tmp_path).about["tracks"][0]["arms"]] == [[n] for n in range(6)]


def test_they_grow_round_by_round(tmp_path: Path) -> None:
    recorded(tmp_path / "whole", SIX, "linear_ts")
    recorded(tmp_path / "mine", SIX, "linear_ts", count=1)
    lines = (tmp_path / "whole" / "rounds.jsonl").read_text().splitlines(keepends=True)
    reader, source = RunReader(tmp_path / "mine"), RecordFolder(tmp_path, ("mine",), 0)
    for count in range(1, len(lines) + 1):
        (tmp_path / "mine" / "rounds.jsonl").write_text("".join(lines[:count]))
        grown, whole = reader.read(source).arrays, read_track(source, tmp_path / "mine").arrays
        assert list(grown) == list(whole) and len(grown["mean"]) == count + 1
        for name, array in whole.items():
            np.testing.assert_array_equal(grown[name], array, err_msg=name)


def test_a_policy_of_arms_has_no_number_for_each_of_many_modules(tmp_path: Path) -> None:
    recorded(tmp_path, SIX, "random")
    ((track,), _) = tracks(places(tmp_path))
    assert not {"mean", "deviation", "draws"} & set(track.arrays)


@pytest.mark.parametrize("modules", [["image"], ["image", "image"], "image", [3], ["a+b", "c"]])
def test_modules_that_the_rounds_do_not_have_are_refused(tmp_path: Path, modules: object) -> None:
    recorded(tmp_path, FOUR, "random")
    run = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(run | {"modules": modules}))
    with pytest.raises(RecordError) as caught:
        tracks(places(tmp_path))
    assert "\n" not in str(caught.value)


def test_labels_are_cut_as_short_as_tells_them_apart() -> None:
    labels = [arm["label"] for arm in assets.arms(Arms(("encoder", "end", "encdec")))]
    assert labels == ["encoder", "end", "encdec", "enco+end", "enco+encd", "end+encd", "all three"]
    whole = assets.arms()[-1]
    assert (whole["label"], whole["brief"]) == ("Img+Txt+Multi", "all three")


def test_tensorboard_shows_the_runs_own_arms(tmp_path: Path) -> None:
    rounds = recorded(tmp_path, FOUR, "linear_ts", 3)
    last = rounds.records[-1]
    shown = {(name, step): value for name, value, step in scalars(last, (), (), rounds.arms)}
    assert shown["arm", 6] == rounds.arms.labels.index(last["arm"])
    assert [shown[f"in the arm/{name}", 6] for name in FOUR] == [float(name in last["arm"].split("+")) for name in FOUR]
    assert shown["contribution/audio", 6] == last["theta_after"][2]
    assert shown["plays/image+text", 6] == last["plays_after"][4]


def test_the_papers_figures_draw_fifteen_arms(tmp_path: Path) -> None:
    rounds = recorded(tmp_path, FOUR, "optima", 40, initial_plays=1)
    frame = read_rounds(places(tmp_path))
    named = list(frame["strategy"].unique())
    figure = dynamics.arm_frequency(frame, named, windows=1)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(rounds.arms.labels)
    share = 100 * np.mean(frame["arm"] == "audio")
    assert figure.axes[0].collections[0].get_array()[2] == pytest.approx(share)
    figure = dynamics.reward_means(frame, named)
    means = {line.get_label(): line.get_ydata()[-1] for line in figure.axes[0].get_lines()}
    assert len(means) == 15 and means["image+text"] == pytest.approx(rounds.records[-1]["mean_after"][4])
    figure = dynamics.thompson_draw(frame, named[0])
    assert len(figure.axes[0].get_yticklabels()) == 15
    won = next(line["arm"] for line in rounds.records if not line["initial"])
    assert f"{won} drew the highest" in figure._supxlabel.get_text()


def test_figures_draw_what_was_played(tmp_path: Path) -> None:
    few, many = (recorded(tmp_path, names, "linear_ts") for names in (FOUR, SIX))
    figure = draw.played(few.records, FOUR)
    texts = [text.get_text() for text in figure.axes[0].texts]
    count = sum(line["arm"] == "image" for line in few.records)
    assert f"image\nn {count}\nr 0.100" in texts and len(texts) == 15
    figure = draw.played(many.records, SIX, windows=1)
    often, brings = figure.axes[:2]
    share = 100 * np.mean(["layer1" in line["arm"].split("+") for line in many.records])
    assert often.collections[0].get_array()[0] == pytest.approx(share)
    widths = [bar.get_width() for bar in brings.patches]
    assert widths == many.records[-1]["theta_after"][:6] and max(widths) == widths[0]
    save(figure, tmp_path, "many")
    spread = draw.agreement(np.arange(9.0), {"same": np.arange(9.0), "turned": -np.arange(9.0)})
    assert [axes.get_title(loc="left") for axes in spread.axes] == ["same: ρ = 1.00", "turned: ρ = -1.00"]
