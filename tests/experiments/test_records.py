"""What a run leaves on disk comes back as it was; ids change with the question and with nothing else."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optima_lab.config import Config
from optima_lab.config.parameters import flat, override
from optima_lab.distill.strategies import parse_strategies, parse_strategy
from optima_lab.errors import RecordError
from optima_lab.experiments.ids import content_hash, experiment_id
from optima_lab.experiments.records import (
    VECTORS,
    Writer,
    read_evals,
    read_json,
    read_lines,
    read_rounds,
    read_runs,
    read_steps,
    write_json,
)
from optima_lab.experiments.run import open_experiments
from optima_lab.presets import preset

SMOKE = preset("vqa", "smoke")


@dataclass(frozen=True)
class Recorded:
    """What reading asks of an experiment."""

    folder: Path
    only: tuple[str, ...] = ("optima",)
    task: str = "vqa"
    seed: int = 3
    id: str = "smoke-s3-0"


def round_record(number: int, **changed: Any) -> dict[str, Any]:
    vectors = {key: [0.125 * k for k in range(7)] for key in VECTORS}
    return {"round": number, "step": 2 * number, "arm": "Img", "initial": False, **vectors, "reward": 0.1, **changed}


def score(split: str, value: float, step: int = 4) -> dict[str, Any]:
    return {"step": step, "round": step // 2, "split": split, "metric": "score", "value": value}


@pytest.fixture
def run(tmp_path: Path) -> Recorded:
    """One strategy's records: two rounds of two steps, judged twice."""
    with Writer(tmp_path / "optima", {"strategy": "OPTIMA", "arm": ""}) as writer:
        writer.append("rounds", [round_record(1), round_record(2, reward=1 / 3)])
        writer.append("steps", [{"step": n, "train": 1.0 / n, "kl": None, "lr": 1e-3} for n in (1, 2, 3, 4)])
        writer.append("evals", [score("dev", 40.0, 2), score("test", 41.0, 2), score("dev", 50.0), score("test", 51.0)])
        writer.append("evals", [{**score("test", 0.7), "metric": "prediction_loss"}])
        writer.flush()
    return Recorded(tmp_path)


def test_what_is_written_is_read_back(run: Recorded) -> None:
    rounds = read_rounds([run])
    assert list(rounds["reward"]) == [0.1, 1 / 3], "numbers come back to the last bit"
    assert list(rounds.columns[:4]) == ["task", "experiment", "seed", "strategy"]
    assert set(rounds["strategy"]) == {"optima"} and set(rounds["arm"]) == {"img"}
    for column in VECTORS:
        np.testing.assert_array_equal(rounds[column][1], [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75])
    assert list(read_steps([run])["train"]) == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert list(read_evals([run])["metric"]) == ["score"] * 4 + ["prediction_loss"]


def test_a_runs_row_has_its_last_scores(run: Recorded) -> None:
    row = read_runs([run]).iloc[0]
    assert (row.task, row.experiment, row.seed, row.strategy, row.arm) == ("vqa", "smoke-s3-0", 3, "optima", "")
    assert (row.score_dev, row.score_test, row.steps, row.done) == (50.0, 51.0, 4, False)
    write_json(run.folder / "optima" / "done.json", {})
    assert read_runs([run]).done.all()


def test_why_a_student_stopped_is_in_every_frame(run: Recorded) -> None:
    assert set(read_evals([run])["stopped"]) == {""}
    stopped = {"round": 2, "step": 3, "arm": "Txt", "where": "train loss: overflow of float16", "good": 2}
    write_json(run.folder / "optima" / "done.json", {"steps": 4, "stopped": stopped})
    for read in (read_runs, read_rounds, read_evals, read_steps):
        assert set(read([run])["stopped"]) == {"round 2: train loss: overflow of float16"}
    write_json(run.folder / "optima" / "done.json", {"steps": 4, "stopped": {}})
    assert read_runs([run])["stopped"].tolist() == [""]
    for broken in ([], {"stopped": 1}, {"stopped": {"round": "2", "where": "x"}}, {"stopped": {"round": 2}}):
        write_json(run.folder / "optima" / "done.json", broken)
        with pytest.raises(
            RecordError, match=r"done\.json must hold a round and where it stopped under 'stopped', got"
        ):
            read_runs([run])


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ({}, {"decay": 0.98, "round_steps": 2, "reward": "all", "own": {}}),
        ({"parameters": {"decay": 0.5}}, {"decay": 0.5, "own": {"decay": 0.5}}),
        ({"reward": "kl"}, {"reward": "kl", "own": {"reward": "kl"}}),
        ({"round_steps": 8, "config": {"round_steps": 8}}, {"round_steps": 8, "own": {"round_steps": 8}}),
        ({"attention": "weights", "alpha_kl": None}, {"attention": "weights", "own": {"attention": "weights"}}),
    ],
)
def test_a_runs_settings_are_its_own_or_its_configurations(run: Recorded, about: dict, found: dict) -> None:
    base: dict[str, Any] = {"strategy": "named by nobody", "policy": "optima", "config": flat(SMOKE)}
    write_json(run.folder / "experiment.json", {"config": flat(SMOKE)})
    about = about | {"config": base["config"] | about.get("config", {})}
    write_json(run.folder / "optima" / "run.json", base | about)
    row = read_runs([run]).iloc[0]
    assert row.policy == "optima"
    assert {name: row[name] for name in found} == found


def test_every_seed_and_strategy_has_rows_of_its_own(run: Recorded) -> None:
    both = [run, replace(run, seed=4, id="smoke-s4-0")]
    assert list(read_rounds(both)["seed"]) == [3, 3, 4, 4]
    assert list(read_runs(both)["experiment"]) == ["smoke-s3-0", "smoke-s4-0"]


@pytest.mark.parametrize("half", ["{", '{"round": 3, "step"', "{}x", "nul"])
def test_a_half_written_last_line_is_left_out(run: Recorded, half: str) -> None:
    with (run.folder / "optima" / "rounds.jsonl").open("a") as file:
        file.write(half)
    assert list(read_rounds([run])["round"]) == [1, 2]


@pytest.mark.parametrize("broken", ["{", "[]", "3", "null", "\ufffd", '"text"'])
def test_a_broken_line_elsewhere_is_refused_with_its_place(run: Recorded, broken: str) -> None:
    path = run.folder / "optima" / "rounds.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{broken}\n{second}\n")
    with pytest.raises(RecordError) as refused:
        read_rounds([run])
    assert str(refused.value).startswith(f"{path}:2 must be a JSON object")
    assert "\n" not in str(refused.value)


def test_bytes_cut_within_a_letter_are_a_half_written_line(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    path.write_bytes(b'{"arm": "Img"}\n' + '{"arm": "γ'.encode()[:-1])
    assert read_lines(path) == [{"arm": "Img"}]


def test_vectors_may_be_missing(run: Recorded) -> None:
    """A fixed arm has no draws (null); a file of such lines only, a mix, and one without the key all read as None."""
    path = run.folder / "optima" / "rounds.jsonl"
    without = {key: value for key, value in round_record(3).items() if key != "draws"}
    lines = [round_record(1), round_record(2, draws=None, mean_after=None), without]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rounds = read_rounds([run])
    assert [value is None for value in rounds["draws"]] == [False, True, True]
    assert [value is None for value in rounds["mean_after"]] == [False, True, False]
    path.write_text(json.dumps(round_record(1, draws=None)) + "\n")
    assert read_rounds([run])["draws"].tolist() == [None]


def test_numbers_that_are_none_survive(run: Recorded) -> None:
    """JSON has no infinity of its own; Python's spelling of NaN and Infinity comes back as written."""
    vector = [float("nan"), float("inf"), 0.0, 0.0, 0.0, 0.0, 0.0]
    (run.folder / "optima" / "rounds.jsonl").write_text(json.dumps(round_record(1, draws=vector)) + "\n")
    np.testing.assert_array_equal(read_rounds([run])["draws"][0], vector)


def test_what_is_missing_has_no_rows(run: Recorded, tmp_path: Path) -> None:
    assert read_lines(tmp_path / "none.jsonl") == []
    assert read_rounds([]).empty
    assert read_rounds([replace(run, only=("random",))]).empty, "a strategy that has not begun"
    (run.folder / "optima" / "evals.jsonl").unlink()
    row = read_runs([run]).iloc[0]
    assert pd.isna(row.score_test)
    assert row.steps == 4


def test_a_missing_or_broken_json_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"run\.json cannot be read: No such file"):
        read_json(tmp_path / "run.json")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RecordError, match=r"run\.json must be JSON"):
        read_json(tmp_path / "run.json")


def test_json_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "about.json"
    write_json(path, {"γ": 0.98})
    assert read_json(path) == {"γ": 0.98}
    with pytest.raises(TypeError):
        write_json(path, {"no": object()})
    assert read_json(path) == {"γ": 0.98}
    assert [p.name for p in tmp_path.iterdir()] == ["about.json"]


def test_experiments_are_opened_in_order(tmp_path: Path) -> None:
    for task, seed in (("vqa", 1), ("coco", 0), ("vqa", 0)):
        config = preset(task, "smoke", seed=seed)
        folder = tmp_path / task / f"smoke-s{seed}-x"
        write_json_into(folder / "optima-1" / "run.json", {"strategy": "OPTIMA"})
        write_json_into(folder / "experiment.json", {"config": flat(config)})
    found = open_experiments(tmp_path)
    assert [(e.task, e.seed, e.id, e.only) for e in found] == [
        ("coco", 0, "smoke-s0-x", ("optima-1",)),
        ("vqa", 0, "smoke-s0-x", ("optima-1",)),
        ("vqa", 1, "smoke-s1-x", ("optima-1",)),
    ]
    assert open_experiments(tmp_path / "none") == []


@pytest.mark.parametrize("content", [{}, {"config": {"task": "vqa", "gamma": 1}}, {"config": {"task": "vqa2"}}])
def test_another_versions_experiment_is_refused_by_name(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "vqa" / "x" / "experiment.json"
    write_json_into(path, content)
    with pytest.raises(RecordError, match=f"^{path} must hold a configuration of this version"):
        open_experiments(tmp_path)


@pytest.mark.parametrize("later", ["device", "eval_batch", "accumulate", "workers"])
def test_a_parameter_that_changes_no_record_may_be_younger_than_it(tmp_path: Path, later: str) -> None:
    config = preset("vqa", "smoke")
    folder = tmp_path / "vqa" / "smoke-s0-x"
    write_json_into(folder / "experiment.json", {"config": {n: v for n, v in flat(config).items() if n != later}})
    (found,) = open_experiments(tmp_path)
    assert flat(found.config)[later] == flat(Config())[later]


@pytest.mark.parametrize("later", ["lr", "noise_module", "depth"])
def test_a_parameter_that_changes_records_must_be_recorded(tmp_path: Path, later: str) -> None:
    config = preset("vqa", "smoke")
    path = tmp_path / "vqa" / "smoke-s0-x" / "experiment.json"
    write_json_into(path, {"config": {name: value for name, value in flat(config).items() if name != later}})
    with pytest.raises(RecordError, match=f"{later} are not recorded: train it anew in another folder of runs$"):
        open_experiments(tmp_path)


def test_a_record_older_than_a_parameter_is_read_where_its_id_says_that_the_default_is_meant(tmp_path: Path) -> None:
    config = preset("vqa", "smoke")
    older = {name: value for name, value in flat(config).items() if name not in ("unchosen_weight", "noise_module")}
    folder = tmp_path / "vqa" / experiment_id(config, "data")
    write_json_into(folder / "experiment.json", {"config": older, "data_fingerprint": "data"})
    (found,) = open_experiments(tmp_path)
    assert found.config == config and found.summary["config"] == flat(config)
    write_json_into(folder / "experiment.json", {"config": older | {"lr": 0.5}, "data_fingerprint": "data"})
    with pytest.raises(RecordError, match="noise_module, unchosen_weight are not recorded"):
        open_experiments(tmp_path)


def write_json_into(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)


def test_the_same_question_has_the_same_id() -> None:
    known = experiment_id(SMOKE, "data")
    assert known == experiment_id(preset("vqa", "smoke"), "data")
    assert known.startswith("smoke-s0-")
    assert content_hash(1, {"a": 1, "b": 2}) == content_hash(1, {"b": 2, "a": 1})


# One other valid value for every parameter that may change a student's records.
OTHER: dict[str, Any] = {
    "task": "nlvr2", "seed": 1, "strict": False, "image_size": 32, "patch_size": 12, "text_tokens": 20,
    "vocabulary": 1000, "decoder": "paper", "image_queries": 4, "head_width": 8, "teacher_layers": "3/1/1",
    "teacher_width": 48, "base_layers": "3/1/1", "student_layers": "2/1/1", "assistant_layers": "2/1/1",
    "assistant": "random", "student_width": 48, "world_seed": 1,
    "scenes": 300, "limit": 100, "answer_count": 2, "pretrain_steps": 21, "base_steps": 21, "pretrain_batch": 33,
    "pretrain_lr": 1e-3, "finetune_steps": 21, "finetune_batch": 33, "encoder_lr": 2e-3, "pooler_lr": 1e-3,
    "finetune_warmup_steps": 6, "steps": 34, "round_steps": 4, "alpha_kl": 1.0, "alpha_hidden": 2.0,
    "alpha_attention": 1.0, "attention": "weights", "decoder_attention": "cross", "probe_size": 33, "batch_size": 17,
    "student_texts": 100, "noise_module": "text", "full_rounds": 1, "probe_split": "dev",
    "unchosen_weight": 0.5, "module_cost": 0.5,
    "optimizer": "adafactor", "lr": 1e-3, "warmup_steps": 5, "weight_decay": 0.2, "clip": 0.5, "dropout": 0.2,
    "rand_augment": True, "evaluations": 4, "eval_examples": 49, "resample": True, "precision": "bf16",
    "task_weight": 0.5, "kl_temperature": 2.0, "links": True,
    "world": "study", "depth": 0.5, "test_scenes": 70, "position_scale": 2.0,
    "compiled": True, "stacked": True,
    "teacher_weights": "open_clip:coca_ViT-L-14/laion2b_s13b_b90k", "base_weights": "open_clip:coca_ViT-B-32/laion2b",
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_a_changed_parameter_is_another_experiment(name: str) -> None:
    assert flat(SMOKE)[name] != OTHER[name]
    assert experiment_id(override(SMOKE, {name: OTHER[name]}), "data") != experiment_id(SMOKE, "data")


def test_other_data_is_another_experiment() -> None:
    assert experiment_id(SMOKE, "data") != experiment_id(SMOKE, "other")


# What changes no record, or only those of strategies that say so in their own ids.
SAME: dict[str, Any] = {
    "data": "elsewhere",
    "decay": 0.9,
    "initial_plays": 2,
    "eval_batch": 65,
    "accumulate": 2,
    "workers": 2,
    "grad_checkpointing": True,
    "device": "mps",
}


@pytest.mark.parametrize("name", SAME)
def test_what_changes_nothing_for_all_is_the_same_experiment(name: str) -> None:
    assert flat(SMOKE)[name] != SAME[name]
    assert experiment_id(override(SMOKE, {name: SAME[name]}), "data") == experiment_id(SMOKE, "data")


def test_every_parameter_is_in_an_id_or_named_as_not() -> None:
    assert {*OTHER, *SAME, "preset"} == set(flat(SMOKE))


@pytest.mark.parametrize("name", ["decay", "initial_plays"])
def test_the_bandits_parameters_change_the_ids_of_bandits_alone(name: str) -> None:
    other = override(SMOKE, {name: SAME[name]})
    pairs = list(zip(parse_strategies("all", SMOKE), parse_strategies("all", other), strict=True))
    changed = {before.id.split("-")[0] for before, after in pairs if before.id != after.id}
    assert changed == {"optima", "optima_calibrated"}


def test_a_strategys_options_are_in_its_id() -> None:
    ids = [parse_strategy(text, SMOKE).id for text in ("optima", "optima:decay=0.9", "optima:reward=kl", "none", "kl")]
    assert len(set(ids)) == len(ids)
    assert parse_strategy("optima:decay=0.98", SMOKE).id == parse_strategy("optima", SMOKE).id
