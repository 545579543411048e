"""Runs that differ in more than the seed are never averaged: their names say what differs, wherever they are shown."""

from dataclasses import replace
from pathlib import Path

import pytest
from asked_runs import record

from optima_lab.bandits.recorded import fixed_arm_rewards
from optima_lab.config.parameters import flat
from optima_lab.errors import ConfigError, RecordError
from optima_lab.experiments import manage, records, run, variants
from optima_lab.experiments.experiment import Experiment
from optima_lab.experiments.ids import experiment_id
from optima_lab.presets import preset
from optima_lab.report import statistics
from optima_lab.report.figures import scores as draw
from optima_lab.report.tables import results as tables
from optima_lab.widgets.recording import tracks


def named(experiments: list[Experiment]) -> dict[str, float]:
    """Mean score of every row of the table of results."""
    table = tables.results(records.read_runs(experiments), experiments)
    rows = table[table["kind"] == "strategy"]
    return dict(zip(rows["name"], rows["mean"], strict=True))


def test_other_numbers_of_steps_are_not_averaged(tmp_path: Path) -> None:
    known = [record(tmp_path, 30.0, steps=32), record(tmp_path, 40.0, steps=64)]
    expected = {f"{name} [steps={steps}]": score for name in ("img", "optima") for steps, score in ((32, 30), (64, 40))}
    assert named(known) == expected
    text = tables.text(tables.results(records.read_runs(known), known))
    assert "35.0" not in text and "One seed" in text


def test_other_memories_of_one_experiment_are_not_averaged(tmp_path: Path) -> None:
    record(tmp_path, 30.0, decay=0.98)
    known = [record(tmp_path, 40.0, decay=0.5)]
    assert {name for name in named(known) if name != "img"} == {"optima [decay=0.5]", "optima [decay=0.98]"}


def test_seeds_are_averaged(tmp_path: Path) -> None:
    assert named([record(tmp_path, 30.0), record(tmp_path, 40.0, seed=1)]) == {"img": 35.0, "optima": 35.0}


def test_seeds_and_settings_together(tmp_path: Path) -> None:
    known = [
        record(tmp_path, 30.0 + 10 * (steps == 64) + seed, steps=steps, seed=seed)
        for steps in (32, 64)
        for seed in (0, 1)
    ]
    assert named(known)["optima [steps=32]"] == 30.5 and named(known)["optima [steps=64]"] == 40.5


def test_other_data_are_not_averaged(tmp_path: Path) -> None:
    known = [record(tmp_path, 30.0, data="aaaa1111"), record(tmp_path, 40.0, data="bbbb2222", seed=1)]
    assert set(named(known)) == {f"{n} [data={d}]" for n in ("img", "optima") for d in ("aaaa1111", "bbbb2222")}


def test_what_no_parameter_tells_apart_is_told_by_its_id(tmp_path: Path) -> None:
    first = record(tmp_path / "a", 30.0)
    other = record(tmp_path / "b", 40.0)
    moved = other.folder.rename(other.folder.with_name("smoke-s0-00000000"))
    found = named([first, replace(other, folder=moved)])
    assert len(found) == 4 and "optima [id=00000000]" in found


def test_presets_say_only_what_is_unusual_for_them(tmp_path: Path) -> None:
    facts = [
        variants.of_summary("vqa", {"config": flat(preset("vqa", *each[:1], **each[1]))}, "x")
        for each in (("smoke", {}), ("laptop", {"steps": 800}))
    ]
    assert variants.of_experiments(facts) == [{"preset": "smoke"}, {"preset": "laptop", "steps": 800}]


def test_figures_replay_and_status_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = [record(tmp_path, 30.0, steps=32), record(tmp_path, 40.0, steps=64)]
    evals = records.read_evals(known)
    figure = draw.module_contribution(evals)
    labels = " ".join(label.get_text().replace("\n", " ") for label in figure.axes[0].get_xticklabels())
    assert "Img [steps=32]" in labels and "Img [steps=64]" in labels
    assert set(statistics.over_seeds(statistics.final_scores(evals))["n"]) == {1}
    assert {track.strategy for track in tracks(known)[0]} == set(named(known))
    text = "\n".join(manage.report(tmp_path))
    assert "  steps=32\n" in text and "  steps=64\n" in text


def test_alike_knows_its_question(tmp_path: Path) -> None:
    config = flat(preset("vqa", "smoke", steps=64, seed=3))
    assert variants.alike(config, {"steps": "64"})
    assert not variants.alike(config, {}) and not variants.alike(config, {"steps": "48"})


def test_a_question_is_found_by_its_changes(tmp_path: Path) -> None:
    for steps in (32, 64):
        record(tmp_path, 30.0, steps=steps)
    assert [each.config.training.steps for each in run.find("vqa", "smoke", tmp_path, "steps=64")] == [64]
    assert [each.config.training.steps for each in run.find("vqa", "smoke", tmp_path)] == [32]
    with pytest.raises(
        RecordError, match=r"no experiment of vqa, smoke, steps=96 is recorded below .* there are: smoke-s0"
    ):
        run.find("vqa", "smoke", tmp_path, "steps=96")


def test_recorded_worlds_have_the_first_plays_of_their_runs(tmp_path: Path) -> None:
    known = [record(tmp_path, 30.0, initial_plays=2)]
    found = run.first_plays(known)
    assert found["optima"] == {"initial_plays": 2} and found["optima_calibrated"] == {"initial_plays": 2}
    assert "random" not in found


def test_rewards_of_two_configurations_are_no_one_world(tmp_path: Path) -> None:
    known = [record(tmp_path, 30.0, steps=32), record(tmp_path, 40.0, steps=64)]
    with pytest.raises(ConfigError, match="must be of one configuration"):
        fixed_arm_rewards(records.read_rounds(known), arms=("img",))


def test_a_parameter_younger_than_a_record_tells_nothing_apart() -> None:
    config = flat(preset("vqa", "smoke"))
    older = {name: value for name, value in config.items() if name != "unchosen_weight"}
    name = experiment_id(preset("vqa", "smoke"), "data")
    summaries = [{"config": older, "data_fingerprint": "data"}, {"config": config, "data_fingerprint": "data"}]
    asked = [variants.of_summary("vqa", summary, name) for summary in summaries]
    assert asked[0] == asked[1] and variants.of_experiments(asked) == [{}, {}]
    assert variants.of_summary("vqa", summaries[0], "smoke-s0-elsewhere").config == older
