"""A student by itself: its answers are those that training judged, from the run's folder and from an exported one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from test_run import ask
from torch.nn import functional as F

from optima_lab.cli import main
from optima_lab.data.batches import pack
from optima_lab.data.datasets import locate
from optima_lab.data.formats import read
from optima_lab.errors import ConfigError, RecordError
from optima_lab.experiments.export import export, open_student
from optima_lab.experiments.predict import predict_split
from optima_lab.experiments.records import read_evals, read_json, write_json
from optima_lab.experiments.run import Experiment
from optima_lab.tasks.metrics import vqa_accuracy
from optima_lab.tasks.objectives import predict, to_device

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Experiment, Path]]:
    """One finished student ('img') of every task with the folder of its data; nobody changes them."""
    runs = tmp_path_factory.mktemp("predict") / "runs"
    found = {}
    for task in ("vqa", "coco", "snli_ve", "nlvr2"):
        (experiment,) = ask(runs, "img", task, limit=0)
        found[task] = (experiment, locate(experiment.config, runs).folder)
    return found


def answers(trained: dict[str, tuple[Experiment, Path]], task: str, out: Path) -> list[dict]:
    experiment, data = trained[task]
    arguments = ["predict", str(experiment.folder / "img"), "--data", str(data), "--out", str(out)]
    assert main(arguments) == 0
    return json.loads(out.read_text())


def score(experiment: Experiment) -> float:
    evals = read_evals([experiment])
    return float(evals[(evals["metric"] == "score") & (evals["split"] == "test")]["value"].iloc[-1])


def test_answers_for_vqas_server_are_those_that_were_judged(trained, tmp_path: Path) -> None:
    found = answers(trained, "vqa", tmp_path / "OpenEnded.json")
    experiment, data = trained["vqa"]
    people = {int(e.id): e.answers for e in read("vqa", data, "test").examples}
    assert [set(each) for each in found] == [{"question_id", "answer"}] * len(people)
    assert [each["question_id"] for each in found] == list(people)
    scores = [vqa_accuracy(each["answer"], people[each["question_id"]]) for each in found]
    assert 100 * np.mean(scores) == pytest.approx(score(experiment))


def test_captions_for_cocos_evaluation_are_read_by_pycocotools(trained, tmp_path: Path) -> None:
    found = answers(trained, "coco", tmp_path / "results.json")
    ids = [int(e.id) for e in read("coco", trained["coco"][1], "test").examples]
    assert [each["image_id"] for each in found] == ids
    assert all(set(each) == {"image_id", "caption"} and isinstance(each["caption"], str) for each in found)
    truth = COCO()
    truth.dataset = {"info": {}, "images": [{"id": number} for number in ids], "annotations": []}
    truth.createIndex()
    assert sorted(truth.loadRes(str(tmp_path / "results.json")).getImgIds()) == sorted(ids)


@pytest.mark.parametrize(("task", "key"), [("snli_ve", "pairID"), ("nlvr2", "identifier")])
def test_labels_of_the_other_tasks(trained, tmp_path: Path, task: str, key: str) -> None:
    found = answers(trained, task, tmp_path / "out.json")
    experiment, data = trained[task]
    labels = {e.id: e.answers[0] for e in read(task, data, "test").examples}
    right = [labels[each[key]] == each["prediction"] for each in found]
    assert len(right) == len(labels) and 100 * np.mean(right) == pytest.approx(score(experiment))


@pytest.mark.parametrize("task", ["vqa", "coco", "nlvr2"])
def test_an_exported_student_needs_neither_run_nor_training_data(trained, tmp_path: Path, task: str) -> None:
    experiment, data = trained[task]
    away = tmp_path / "runs" / task / experiment.id
    shutil.copytree(experiment.folder, away)
    shutil.copytree(experiment.folder.parents[1] / "cache", tmp_path / "runs" / "cache")
    assert main(["export", str(away / "img"), "--out", str(tmp_path / "student")]) == 0
    shutil.rmtree(tmp_path / "runs")
    assert {path.name for path in (tmp_path / "student").iterdir()} == {
        *("model.safetensors", "config.json", "tokenizer.model")
    }
    predict_split(tmp_path / "student", data, tmp_path / "a.json", batch_size=7)
    predict_split(experiment.folder / "img", data, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_run_that_is_older_than_parameters_is_opened(trained, tmp_path: Path) -> None:
    experiment, data = trained["vqa"]
    away = tmp_path / "runs" / "vqa" / experiment.id
    shutil.copytree(experiment.folder, away)
    shutil.copytree(experiment.folder.parents[1] / "cache", tmp_path / "runs" / "cache")
    for path in (away / "experiment.json", away / "img" / "run.json"):
        content = json.loads(path.read_text())
        for younger in ("unchosen_weight", "module_cost", "workers"):
            del content["config"][younger]
        path.write_text(json.dumps(content))
    predict_split(away / "img", data, tmp_path / "a.json")
    predict_split(experiment.folder / "img", data, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["vqa", "nlvr2", "coco"])
def test_onnx_computes_what_torch_does(trained, tmp_path: Path, task: str) -> None:
    """Other numbers of examples than the two that were traced, texts of every length."""
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
    experiment, data = trained[task]
    assert main(["export", str(experiment.folder / "img"), "--out", str(tmp_path / "out"), "--onnx"]) == 0
    student = open_student(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.onnx*")) == ["model.onnx"]
    session = runtime.InferenceSession(tmp_path / "out" / "model.onnx")
    size, classes = student.size.image_size, student.classes or None
    arrays = pack(task, "dev", read(task, data, "dev"), student.tokenizer, size, vocabulary=classes)
    for rows in (np.arange(1), np.arange(5)):
        batch = to_device(arrays.take(rows), student.model.device)
        assert batch.tokens.shape[1] <= student.tokenizer.tokens
        tokens = F.pad(batch.tokens, (0, student.tokenizer.tokens - batch.tokens.shape[1]), value=student.tokenizer.pad)
        (found,) = session.run(None, {"images": batch.images.numpy(), "tokens": tokens.numpy()})
        expected = predict(student.model, replace(batch, tokens=tokens)).numpy()
        assert found.shape == expected.shape and found.std() > 0
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_onnx_without_its_packages_is_told_before_anything_is_written(
    trained, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("optima_lab.experiments.export.find_spec", lambda name: None if name == missing else name)
    folder = trained["vqa"][0].folder / "img"
    assert main(["export", str(folder), "--out", str(tmp_path / "out"), "--onnx"]) == 2
    told = f"error: onnx needs the package {missing}, got none: pip install 'optima-lab[all,onnx]'\n"
    assert capsys.readouterr().err == told and not (tmp_path / "out").exists()


def test_questions_without_answers_are_answered(trained, tmp_path: Path) -> None:
    folder = tmp_path / "vqa"
    (folder / "test2015").mkdir(parents=True)
    questions = [{"question_id": 70 + n, "image_id": 5, "question": "what colour is it?"} for n in (2, 1)]
    (folder / "v2_OpenEnded_mscoco_test-dev2015_questions.json").write_text(json.dumps({"questions": questions}))
    Image.new("RGB", (30, 20), "red").save(folder / "test2015" / "COCO_test2015_000000000005.jpg")
    student = trained["vqa"][0].folder / "img"
    assert predict_split(student, tmp_path, tmp_path / "out.json", "test-dev2015") == 2
    assert [each["question_id"] for each in read_json(tmp_path / "out.json")] == [72, 71]


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_a_folder_without_a_student_is_refused(trained, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"must be the folder of a run \(run\.json\) or an exported one"):
        open_student(tmp_path)
    shutil.copytree(trained["vqa"][0].folder, tmp_path / "runs" / "vqa" / "x")
    (tmp_path / "runs" / "vqa" / "x" / "img" / "student.safetensors").unlink()
    with pytest.raises(RecordError, match=r"finished run; it has no student\.safetensors yet"):
        open_student(tmp_path / "runs" / "vqa" / "x" / "img")


def test_other_data_than_the_runs_gives_no_classes(trained, tmp_path: Path) -> None:
    place = tmp_path / "runs" / "vqa" / "x"
    shutil.copytree(trained["vqa"][0].folder, place)
    write_json(place / "experiment.json", read_json(place / "experiment.json") | {"data_fingerprint": "0123"})
    with pytest.raises(ConfigError, match=r"data must be what the run saw \(0123\), for its classes"):
        open_student(place / "img")


def test_nothing_is_written_over_and_a_wrong_split_is_named(trained, tmp_path: Path) -> None:
    (experiment, data) = trained["coco"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for out in (tmp_path / "full", tmp_path / "full" / "mine.txt"):
        with pytest.raises(ConfigError, match="out must be a new or empty folder"):
            export(experiment.folder / "img", out)
    for split in ("tests", "test2015"):
        with pytest.raises(ConfigError, match=f"split must be one of train, dev, test; got '{split}'"):
            predict_split(experiment.folder / "img", data, tmp_path / "a.json", split)
    with pytest.raises(RecordError, match="cannot be written"):
        predict_split(experiment.folder / "img", data, tmp_path / "full")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"task": "vqb"},
        {"classes": 3},
        {"classes": ["red"]},
        {"tokenizer": None},
        {"tokenizer": {"kind": "sentencepiece", "tokens": 1 << 40}},
        {"tokenizer": {"kind": "open_clip", "name": "no", "tokens": 9}},
        {"size": {}},
        {"size": {"width": 0}},
        {"size": {"layers": [1, 1]}},
        {"size": {"head_width": 0}},
        {"size": {"vocabulary": 1 << 40}},
        {"size": {"architecture": "{"}},
    ],
)
def test_a_damaged_export_is_refused_in_one_line(trained, tmp_path: Path, change: dict) -> None:
    export(trained["vqa"][0].folder / "img", tmp_path / "student")
    about = read_json(tmp_path / "student" / "config.json")
    if change.get("size"):
        change = {"size": about["size"] | change["size"]}
    write_json(tmp_path / "student" / "config.json", about | change)
    with pytest.raises((RecordError, ConfigError)) as refused:
        open_student(tmp_path / "student")
    assert "\n" not in str(refused.value)
