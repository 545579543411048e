"""What watchers are told, live and afterwards; that they change nothing; TensorBoard, Weights & Biases, MLflow."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import played
import pytest

from optima_lab.cli import main
from optima_lab.errors import ConfigError, RecordError
from optima_lab.experiments import watchers as module
from optima_lab.experiments.records import write_json
from optima_lab.experiments.watch import WatchedRun, Watching, check_watchers, scalars
from optima_lab.experiments.watchers import SWITCH, enabled_watchers, send, switch_on
from optima_lab.presets import preset

ROUND = {"round": 1, "step": 2, "arm": "Txt", "reward": 0.5, "mean_after": [0.0] * 6 + [1.5], "plays_after": [1.0] * 7}
STEPS = [{"step": 1, "train": 2.0, "kl": None, "lr": 0.1}, {"step": 2, "train": 1.0, "kl": None, "lr": 0.2}]
EVAL = {"step": 2, "round": 1, "split": "dev", "metric": "score", "value": 40.0}
ABOUT = {"strategy": "OPTIMA (decay=0.5)", "policy": "optima", "parameters": {"decay": 0.5}, "reward": "all", "arm": ""}
ABOUT |= {"config": {"task": "vqa", "preset": "smoke", "seed": 3, "lr": 0.1}}


class Notes:
    """Everything it was told, by moment."""

    def __init__(self) -> None:
        self.found: list[tuple] = []

    def __getattr__(self, moment: str) -> Any:
        if moment.startswith("_") or moment not in ("start", "round", "evaluation", "end"):
            raise AttributeError(moment)
        return lambda run, *what: self.found.append((moment, *what))


def run_of(folder: Path) -> WatchedRun:
    return WatchedRun(folder / "vqa" / "smoke-s3-0a1b2c3d" / "optima-b663be", ABOUT)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run of one round with everything that a finished one has."""
    folder = run_of(tmp_path).folder
    write_json(folder / "run.json", ABOUT)
    for name, lines in (("rounds", [ROUND]), ("steps", STEPS), ("evals", [EVAL])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_json(folder / "done.json", {"steps": 2, "stopped": {}})
    return folder


def test_every_number_has_a_name_and_a_step() -> None:
    found = {(name, step): value for name, value, step in scalars(ROUND, STEPS, [EVAL])}
    assert found["loss/train", 1] == 2.0 and ("loss/kl", 1) not in found and found["lr", 2] == 0.2
    assert found["reward", 2] == 0.5 and found["arm", 2] == 1
    assert found["posterior mean/Img+Txt+Multi", 2] == 1.5 and found["plays/Img", 2] == 1.0
    assert found["dev/score", 2] == 40.0


def test_a_run_has_a_readable_name_an_id_of_its_own_and_its_hyper_parameters(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    assert run.name == "VQA smoke seed 3: OPTIMA (decay=0.5)"
    assert run.id == "vqa-smoke-s3-0a1b2c3d-optima-b663be"
    assert run.parameters["policy.decay"] == 0.5 and run.parameters["lr"] == 0.1 and run.parameters["seed"] == 3


def test_the_four_moments(tmp_path: Path) -> None:
    notes, second = Notes(), {**ROUND, "round": 2, "step": 4}
    later = [{**line, "step": line["step"] + 2} for line in STEPS]
    with Watching(run_of(tmp_path), [notes]) as watching:
        watching.tell_records([ROUND, second], [*STEPS, *later], [EVAL])
    watching.tell("end", "")
    told = [("start",), ("round", ROUND, STEPS), ("round", second, later), ("evaluation", [EVAL]), ("end", "")]
    assert notes.found == told
    with pytest.raises(KeyboardInterrupt), Watching(run_of(tmp_path), [notes]):
        raise KeyboardInterrupt
    assert notes.found[-1] == ("end", "interrupted")


def test_a_watcher_that_fails_is_told_once_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(run: Any, record: Any, steps: Any) -> None:
        raise ValueError("no\nserver")

    notes = Notes()
    with Watching(run_of(tmp_path), [broken, notes]) as watching:
        watching.tell_records([ROUND], STEPS, [])
        watching.tell_records([ROUND], STEPS, [])
    (line,) = capsys.readouterr().err.splitlines()
    name = "VQA smoke seed 3: OPTIMA (decay=0.5)"
    assert line == f"note: broken failed at the round of {name} and is left out: ValueError: no\\nserver"
    assert [moment for moment, *_ in notes.found] == ["start", "round", "round"]


def test_a_watcher_gets_copies(tmp_path: Path) -> None:
    record, steps = json.loads(json.dumps(ROUND)), json.loads(json.dumps(STEPS))

    def tampers(run: Any, record: Any, steps: Any) -> None:
        record["plays_after"][0] = steps[0]["train"] = 99.0

    Watching(run_of(tmp_path), [tampers]).tell_records([record], steps, [])
    assert (record, steps) == (ROUND, STEPS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Notes], r"a callback must be a function or have one of our methods, got .*; give an object: Notes\(\)"),
        ([7], "valid: start, round, evaluation, end"),
        (print, "callbacks must be a list of watchers or functions"),
    ],
)
def test_what_is_no_watcher_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_watchers(given)


def test_finished_runs_are_sent_as_if_they_trained_now(tmp_path: Path, finished: Path) -> None:
    notes = Notes()
    assert send(tmp_path, [notes]) == ["VQA smoke seed 3: OPTIMA (decay=0.5)"]
    assert notes.found == [("start",), ("round", ROUND, STEPS), ("evaluation", [EVAL]), ("end", "")]
    (finished / "done.json").unlink()
    with pytest.raises(RecordError, match=r"must hold a finished run .* got 1 begun"):
        send(finished, [notes])


def test_recorded_runs_are_sent_whole(tmp_path: Path) -> None:
    folder, notes = played.finish(tmp_path / "runs", preset("vqa", "smoke"), "img", "optima"), Notes()
    assert len(send(folder, [notes])) == 2
    rounds = [what[1]["round"] for what in notes.found if what[0] == "round"]
    assert rounds == [*range(1, len(rounds) // 2 + 1)] * 2


def test_the_environment_hands_watchers_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    assert enabled_watchers() == []
    monkeypatch.setattr(module, "find_spec", lambda name: name != "wandb" or None)
    with pytest.raises(ConfigError, match=r"wandb needs the optional extra: pip install 'optima-lab\[wandb\]'"):
        switch_on(["wandb"])
    monkeypatch.setenv(SWITCH, "")
    switch_on(["mlflow", "tensorboard"])
    assert [type(each).__name__ for each in enabled_watchers()] == ["MLflow", "TensorBoard"]


def test_send_must_be_told_where_to(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", str(finished)]) == 2
    assert capsys.readouterr().err == "error: send must be told where to: --tensorboard, --wandb, --mlflow\n"


@pytest.mark.filterwarnings("default")
def test_tensorboard_reads_what_it_was_sent(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra 'tensorboard'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv(SWITCH, "")
    assert main(["send", str(finished), "--tensorboard"]) == 0
    log = EventAccumulator(str(finished / "tensorboard"))
    log.Reload()
    assert [(event.step, event.value) for event in log.Scalars("loss/train")] == [(1, 2.0), (2, 1.0)]
    assert [(event.step, event.value) for event in log.Scalars("arm")] == [(2, 1.0)]
    assert "loss/kl" not in log.Tags()["scalars"]
    assert log.Tensors("run/text_summary")[0].tensor_proto.string_val == [b"VQA smoke seed 3: OPTIMA (decay=0.5)"]
    assert b"policy.decay" in log.SummaryMetadata("_hparams_/session_start_info").plugin_data.content


@pytest.mark.filterwarnings("default")
def test_mlflow_holds_what_it_was_sent(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="needs the extra 'mlflow'")
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv(SWITCH, "")
    for _ in range(2):  # the second time they go on in the same run
        assert main(["send", str(finished), "--mlflow"]) == 0
    client = MlflowClient()
    place = client.get_experiment_by_name("optima-lab")
    (run,) = client.search_runs([place.experiment_id])
    assert run.info.run_name == "VQA smoke seed 3: OPTIMA (decay=0.5)" and run.info.status == "FINISHED"
    assert run.data.params["policy.decay"] == "0.5" and run.data.params["seed"] == "3"
    assert run.data.metrics["plays/Img-Txt"] == 1.0 and run.data.metrics["dev/score"] == 40.0
    assert {(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss/train")} == {(1, 2.0), (2, 1.0)}


def logged(content: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log, blocks of 2^15 bytes, each piece with checksum, length and kind."""
    at, whole = 7, b""  # after the file's own header
    while at + 7 <= len(content):
        room = 2**15 - at % 2**15
        if room < 7:
            at += room
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield whole
            whole = b""


@pytest.mark.filterwarnings("default")
def test_weights_and_biases_keeps_what_it_was_sent_offline(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="needs the extra 'wandb'")
    from wandb.proto import wandb_internal_pb2

    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true", "DISABLE_GIT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv(SWITCH, "")
    assert main(["send", str(finished), "--wandb"]) == 0
    wandb.teardown()  # its own process writes the file, and may be a moment behind
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    steps, run = dict[int, dict[str, Any]](), None
    for content in logged(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "run":
            run = record.run
        for item in record.history.item if record.WhichOneof("record_type") == "history" else ():
            key = item.key or "/".join(item.nested_key)
            steps.setdefault(record.history.step.num, {})[key] = json.loads(item.value_json)
    assert run is not None and run.display_name == "VQA smoke seed 3: OPTIMA (decay=0.5)"
    assert run.run_id == "vqa-smoke-s3-0a1b2c3d-optima-b663be" and run.project == "optima-lab"
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["policy.decay"] == 0.5 and config["seed"] == 3
    assert steps[1]["loss/train"] == 2.0 and steps[2]["loss/train"] == 1.0
    assert steps[2]["plays/Img"] == 1.0 and steps[2]["dev/score"] == 40.0
    assert not [name for name in os.listdir() if name == "wandb"], "nothing lies in this folder"
