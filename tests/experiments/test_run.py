"""Ask twice, train once: what is trained, kept and completed; on the embedded world at a size that means nothing."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from optima_lab.cli import main
from optima_lab.config import Config
from optima_lab.config.parameters import flat, override, parameters
from optima_lab.data.datasets import locate
from optima_lab.distill import checkpoint
from optima_lab.distill.checkpoint import Checkpointer
from optima_lab.errors import ConfigError, DataError, RecordError
from optima_lab.experiments import population, teachers
from optima_lab.experiments.code_fingerprint import TOLD, code_fingerprint
from optima_lab.experiments.ids import experiment_id
from optima_lab.experiments.records import read_evals, read_json, read_lines, read_rounds, read_runs, read_steps
from optima_lab.experiments.run import open_experiments, pending, run
from optima_lab.presets import preset
from optima_lab.tasks.metrics import evaluate
from optima_lab.tasks.recipes import new_student

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "scenes": 64,
    "limit": 24,
    "pretrain_steps": 1,
    "base_steps": 1,
    "pretrain_batch": 8,
    "finetune_steps": 1,
    "finetune_batch": 8,
    "steps": 6,
    "round_steps": 2,
    "initial_plays": 0,
    "probe_size": 8,
    "batch_size": 4,
    "evaluations": 2,
    "eval_examples": 10,
}


def ask(runs: Path, strategies: str = "none,img", task: str = "vqa", seeds: int = 1, **changes):
    return run(task, "smoke", seeds, runs=str(runs), strategies=strategies, **(SMALL | changes))


def files(folder: Path) -> dict[str, int]:
    """When each file below a folder was last written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which 'none' and 'img' of VQA have been trained together; nobody changes it."""
    runs = tmp_path_factory.mktemp("first") / "runs"
    ask(runs)
    return runs


@pytest.fixture
def runs(first: Path, tmp_path: Path) -> Path:
    """A copy that a test may go on with; times of writing are kept."""
    shutil.copytree(first, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def untrained(first: Path, tmp_path: Path) -> Path:
    """World and teacher are there, no student is."""
    shutil.copytree(first / "cache", tmp_path / "untrained" / "cache")
    return tmp_path / "untrained"


# ---- asking again ---------------------------------------------------------------------------------------------------


def test_asking_twice_trains_once(runs: Path, monkeypatch):
    before = files(runs)
    monkeypatch.setitem(sys.modules, "optima_lab.experiments.population", None)  # importing it now fails
    (experiment,) = ask(runs)
    assert files(runs) == before
    assert experiment.only == ("none", "img")
    (part,) = ask(runs, "img")
    assert part.folder == experiment.folder
    assert part.only == ("img",)


def test_a_new_strategy_is_trained_alone(runs: Path, monkeypatch):
    before, asked = files(runs), []
    original = population.train_population

    def counted(config, runs, folder, strategies, *more):
        asked.append([strategy.id for strategy in strategies])
        return original(config, runs, folder, strategies, *more)

    monkeypatch.setattr(population, "train_population", counted)
    (experiment,) = ask(runs, "img,multi,none")
    assert asked == [["multi"]]
    after = files(runs)
    old = [name for name in before if Path(name).parent.name in ("none", "img") or name.startswith("cache")]
    assert len(old) > 12
    assert all(after[name] == before[name] for name in old)
    assert read_runs([experiment])["done"].tolist() == [True] * 3
    assert pending(experiment.config, runs, "img,multi,none") == []


def test_new_seeds_keep_the_old_ones(runs: Path):
    before = files(runs)
    zero, one = ask(runs, "img", seeds=2)
    after = files(runs)
    assert {name: after[name] for name in before} == before  # teacher and world among them
    assert (zero.seed, one.seed) == (0, 1)
    assert zero.folder != one.folder
    frames = read_steps([zero, one])
    assert frames.groupby("seed").size().tolist() == [6, 6]
    losses = [frames[frames["seed"] == seed]["train"].tolist() for seed in (0, 1)]
    assert losses[0] != losses[1]


def test_a_changed_parameter_is_a_new_folder(runs: Path):
    before = files(runs)
    (old,), (new,) = ask(runs, "img"), ask(runs, "img", lr=1e-3)
    after = files(runs)
    assert {name: after[name] for name in before} == before
    assert new.folder != old.folder
    assert new.config.training.lr == read_json(new.folder / "experiment.json")["config"]["lr"] == 1e-3
    assert read_steps([new])["lr"].max() == pytest.approx(1e-3)


def test_a_bandits_parameter_is_a_new_strategy_of_the_same_experiment(runs: Path):
    (one,), (other,) = ask(runs, "optima"), ask(runs, "optima", decay=0.5)
    (text,) = ask(runs, "optima:decay=0.5")
    assert one.folder == other.folder
    assert one.only != other.only == text.only
    for experiment, decay in ((one, 0.98), (other, 0.5)):
        about = read_json(experiment.folder / experiment.only[0] / "run.json")
        assert about["parameters"]["decay"] == about["config"]["decay"] == decay


# ---- interrupted ----------------------------------------------------------------------------------------------------


def interrupted_after(rounds: int, runs: Path, written: list[int]):
    """Algorithm 1 until Ctrl-C; `written` then has the rounds that were on disk at that moment, files still open."""
    original = population.distill

    def distill(*args):
        for record in original(*args):
            yield record
            if record[0] == 2 * rounds:
                written.extend(len(read_lines(path)) for path in runs.glob("vqa/*/txt/rounds.jsonl"))
                raise KeyboardInterrupt

    return distill


def test_ctrl_c_leaves_what_is_finished_and_a_later_call_completes(runs: Path, untrained: Path, monkeypatch):
    before, written = files(runs), []
    with monkeypatch.context() as patch:
        patch.setattr(population, "distill", interrupted_after(2, runs, written))
        with pytest.raises(KeyboardInterrupt):
            ask(runs, "none,img,txt")
    after = files(runs)
    assert {name: time for name, time in after.items() if "/none/" in name or "/img/" in name} == {
        name: time for name, time in before.items() if "/none/" in name or "/img/" in name
    }
    folder = next((runs / "vqa").iterdir())
    assert not (folder / "txt" / "done.json").exists()
    assert written == [2]  # flushed round by round
    assert len(read_lines(folder / "txt" / "rounds.jsonl")) == 2
    (opened,) = open_experiments(runs)
    assert read_runs([opened]).set_index("strategy")["done"].to_dict() == {"none": True, "img": True, "txt": False}

    (experiment,) = ask(runs, "none,img,txt")
    assert read_runs([experiment])["done"].all()
    ask(untrained, "txt")
    assert lines_of(runs, "txt") == lines_of(untrained, "txt")  # as if nothing had happened


def lines_of(runs: Path, strategy: str) -> list[str]:
    return [(path.name, path.read_text()) for path in sorted(runs.glob(f"vqa/*/{strategy}/*.jsonl"))]


def test_ctrl_c_while_the_teacher_is_made_leaves_no_half_teacher(untrained: Path, monkeypatch):
    models = untrained / "cache" / "models"
    (teacher,) = models.glob("vqa-teacher-*")
    shutil.rmtree(teacher)

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(teachers, "save_file", stop)
        with pytest.raises(KeyboardInterrupt):
            ask(untrained, "img")
    assert not (untrained / "vqa").exists() or not list((untrained / "vqa").glob("*/*/done.json"))
    (experiment,) = ask(untrained, "img")
    assert read_runs([experiment])["done"].all()


# ---- what a run leaves ----------------------------------------------------------------------------------------------


def test_frames_hold_every_round_step_and_evaluation(first: Path):
    (experiment,) = ask(first)
    rounds, steps, evals, summary = (read([experiment]) for read in (read_rounds, read_steps, read_evals, read_runs))
    assert rounds.groupby("strategy")["round"].apply(list).to_dict() == {"img": [1, 2, 3], "none": [1, 2, 3]}
    assert steps.groupby("strategy")["step"].apply(list).to_dict()["img"] == [1, 2, 3, 4, 5, 6]
    assert set(evals["round"]) == {2, 3}  # round(3 · ½) = 2 and the last
    assert set(zip(evals["split"], evals["metric"], strict=True)) == {
        (split, metric) for split in ("dev", "test") for metric in ("score", "prediction_loss", "kl")
    }
    assert summary["arm"].tolist() == ["", "img"]
    last = evals.query("round == 3 and split == 'test' and metric == 'score' and strategy == 'img'")
    assert summary.set_index("strategy").loc["img", "score_test"] == last["value"].item()


def test_the_summary_says_what_the_scores_are_measured_against(first: Path):
    (experiment,) = ask(first)
    summary = experiment.summary
    assert summary["counts"] == {"train": 24, "dev": 24, "test": 24}
    assert summary["baseline"]["name"] == "majority"
    assert {"score_test", "score_dev", "prediction_loss_test"} <= set(summary["teacher"])
    assert 0 <= summary["text_only"]["score"] <= 100
    assert override(Config(), summary["config"]) == experiment.config
    assert summary["skipped"] == {"count": 0, "first": []}


def test_a_saved_student_has_the_recorded_scores(first: Path):
    (experiment,) = ask(first)
    config = experiment.config
    shop = population.TeacherCache(config, locate(config, first))
    teacher, _ = shop.teacher()
    student = new_student(config, shop.pretrained("base"), shop.data, seed=123)
    student.load_state_dict(load_file(experiment.folder / "img" / "student.safetensors"))
    found = evaluate([student], teacher, shop.data, shop.data.test, np.arange(24), 7)[0]
    lines = read_lines(experiment.folder / "img" / "evals.jsonl")
    recorded = {e["metric"]: e["value"] for e in lines if e["round"] == 3 and e["split"] == "test"}
    assert found.metrics() == pytest.approx(recorded, rel=1e-4)


def test_a_teacher_kept_is_the_teacher_made(first: Path):
    """The second cache opens the files; what it opens scores as the summary says."""
    (experiment,) = ask(first)
    shop = population.TeacherCache(experiment.config, locate(experiment.config, first))
    teacher, facts = shop.teacher()
    assert "teacher" not in shop.stages.seconds
    found = evaluate([teacher], None, shop.data, shop.data.test, np.arange(24), 24)[0]
    assert found.score == pytest.approx(facts["teacher"]["score_test"])
    assert found.prediction_loss == pytest.approx(facts["teacher"]["prediction_loss_test"], rel=1e-5)
    assert not any(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize("task", ["snli_ve", "nlvr2", "coco"])
def test_the_other_tasks_run_to_their_end(task: str, untrained: Path):
    (experiment,) = ask(untrained, "img+txt+multi,optima", task=task, teacher_width=48)  # wider than the student
    found = read_runs([experiment])
    assert found["done"].all()
    assert found[["score_test", "score_dev"]].notna().all(axis=None)
    assert read_rounds([experiment])[["reward", "probe_train", "probe_kl", "probe_hidden"]].notna().all(axis=None)
    summary = experiment.summary
    assert summary["baseline"]["name"] == ("retrieval" if task == "coco" else "majority")
    assert summary["baseline"]["score"] >= 0
    assert ("text_only" in summary) == (task != "coco")
    assert ("human" in summary) == (task == "coco")


def test_what_is_pre_trained_is_shared_by_all_tasks(untrained: Path):
    before = {p.name for p in (untrained / "cache" / "models").iterdir()}
    ask(untrained, "img", task="coco")
    new = {p.name for p in (untrained / "cache" / "models").iterdir()} - before
    kinds = sorted(name.rsplit("-", 1)[0] for name in new)
    assert kinds == ["coco-baselines", "coco-teacher"]  # what is fine-tuned, nothing pre-trained


# ---- ids ------------------------------------------------------------------------------------------------------------

OTHER = {
    "world": "study",
    "task": "coco",
    "preset": "laptop",
    "data": "elsewhere",
    "decoder": "paper",
    "teacher_layers": "3/1/1",
    "base_layers": "3/1/1",
    "student_layers": "2/1/1",
    "assistant_layers": "2/1/1",
    "assistant": "random",
    "attention": "weights",
    "decoder_attention": "cross",
    "noise_module": "text",
    "probe_split": "dev",
    "precision": "bf16",
    "optimizer": "adafactor",
    "image_size": 48,
    "patch_size": 4,
    "head_width": 8,
    "teacher_width": 64,
    "student_width": 64,
    "decay": 0.5,
    "dropout": 0.3,
    "device": "cpu",
}


WEIGHTS = ("teacher_weights", "base_weights")  # named by their content: tests/coca/test_checkpoints.py


@pytest.mark.parametrize("name", [name for name in parameters() if name not in WEIGHTS])
def test_every_parameter_that_changes_a_record_changes_the_id(name: str):
    config = preset("vqa", "smoke")
    value = flat(config)[name]
    other = OTHER.get(name, not value if isinstance(value, bool) else value * 2 if value else 1)
    other = other if not isinstance(value, float) else float(min(other, 0.9))
    changed = override(config, {name: other})
    same = experiment_id(changed, "data").split("-")[-1] == experiment_id(config, "data").split("-")[-1]
    elsewhere = ("preset", "data", "decay", "initial_plays")
    computed = ("eval_batch", "accumulate", "workers", "grad_checkpointing", "device")
    assert same == (name in (*elsewhere, *computed))
    assert flat(changed) != flat(config)


def test_the_data_decide_too():
    config = preset("vqa", "smoke")
    assert experiment_id(config, "one") != experiment_id(config, "other")
    assert experiment_id(config, "one").startswith("smoke-s0-")


@pytest.mark.parametrize(
    ("rounds", "evaluations", "expected"),
    [
        (16, 3, {5, 11, 16}),  # 5.33, 10.67, 16
        (3, 10, {1, 2, 3}),  # 0.3 … 3: nothing before the first round
        (100, 1, {100}),
        (4, 4, {1, 2, 3, 4}),
    ],
)
def test_evaluations_are_evenly_spaced_and_the_last_is_at_the_end(rounds: int, evaluations: int, expected: set[int]):
    config = preset("vqa", "smoke", steps=2 * rounds, evaluations=evaluations)
    assert population.evaluation_steps(config) == {2 * number for number in expected}


# ---- wrong use ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": 0}, "seeds must be a whole number of at least 1, got 0"),
        ({"seeds": "two"}, "seeds must be a whole number of at least 1, got 'two'"),
        ({"seeds": True}, "seeds must be a whole number of at least 1, got True"),
        ({"task": "vqq"}, "task must be one of .*; did you mean 'vqa'"),
        ({"preset": "smok"}, "preset must be one of .*; did you mean 'smoke'"),
        ({"changes": "seeds=3"}, "changes must not hold seeds, which is a parameter of its own; got 'seeds=3'"),
        ({"stepz": 3}, "unknown parameter 'stepz'; did you mean 'steps'"),
        ({"steps": "many"}, "steps must be a whole number, got 'many'"),
        ({"strategies": "optma"}, "unknown strategy 'optma'; did you mean 'optima'"),
    ],
)
def test_wrong_words_are_told_before_anything_is_made(wrong: dict, message: str, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optima_lab.experiments.population", None)
    arguments = {"task": "vqa", "preset": "smoke", "runs": str(tmp_path / "runs")} | wrong
    with pytest.raises(ConfigError, match=message):
        run(**arguments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["nowhere", "x" * 20_000])
def test_a_missing_data_folder_is_told(name: str, tmp_path: Path):
    with pytest.raises(DataError, match="data must be a folder with vqa, snli_ve, nlvr2, coco"):
        run("vqa", "smoke", data=str(tmp_path / name), runs=str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "runs").write_text("a file, no folder")
    with pytest.raises(RecordError, match=r"records must be writable at .*runs.*nothing finished was changed"):
        ask(tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "a file, no folder"


def test_a_full_disk_is_told_and_earlier_runs_stay(runs: Path, monkeypatch):
    before = files(runs)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "rounds.jsonl")

    monkeypatch.setattr(population.Writer, "flush", full)
    with pytest.raises(RecordError, match=r"records must be writable at rounds\.jsonl: No space left on device"):
        ask(runs, "none,img,txt")
    after = files(runs)
    assert all(after[name] == time for name, time in before.items() if "/none/" in name or "/img/" in name)
    assert not list(runs.glob("vqa/*/txt/done.json"))


# ---- two stages -----------------------------------------------------------------------------------------------------


def test_the_first_stages_student_teaches_the_second(runs: Path, monkeypatch):
    """A.4: large → assistant → student; the assistant is an experiment of its own, the teacher is paid once."""
    taught = {}
    original = population.distill

    def distill(config, task, *rest):
        taught[config.training.student_layers] = (task.teacher.depth("image"), task.teacher.width("image"))
        return original(config, task, *rest)

    monkeypatch.setattr(population, "distill", distill)
    monkeypatch.setattr(teachers, "finetune", None)  # the fine-tuned teacher is there
    two = {"student_layers": "1/1/1", "assistant_layers": "2/1/1", "assistant": "img"}
    (second,) = ask(runs, "img,multi", **two)
    assert taught == {"2/1/1": (2, 32), "1/1/1": (2, 32)}
    (first,) = ask(runs, "img", student_layers="2/1/1")
    assert second.summary["assistant"] == {"experiment": first.id}
    assert len(taught) == 2  # nothing was trained again
    (single,) = ask(runs, "img", student_layers="1/1/1")
    assert single.folder != second.folder


def test_an_assistant_is_one_strategy(runs: Path):
    with pytest.raises(ConfigError, match="assistant must be one strategy, got 'img,txt'"):
        ask(runs, "img", assistant_layers="2/1/1", assistant="img,txt")


# ---- which code, and numbers that are none --------------------------------------------------------------------------


def test_records_say_by_which_code_they_were_made(runs: Path, monkeypatch, capsys):
    monkeypatch.setenv(TOLD, "")
    (known,) = ask(runs)
    paths = [
        known.folder / "experiment.json",
        *known.folder.glob("*/run.json"),
        *runs.glob("cache/models/*/about.json"),
    ]
    assert len(paths) == 7 and {read_json(path)["code"] for path in paths} == {code_fingerprint()}
    assert "code" not in known.summary["teacher"] and capsys.readouterr().err == ""

    for name in (
        "optima_lab.experiments.records",
        "optima_lab.experiments.population",
        "optima_lab.experiments.teachers",
    ):
        monkeypatch.setattr(f"{name}.code_fingerprint", lambda: "0123456789abcdef")
    before = files(runs)
    ask(runs)
    assert files(runs) == before, "what is finished is used"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: 2 finished runs were made by other code than this, in {known.folder}: ")

    monkeypatch.setenv(TOLD, "")
    ask(runs, "txt")  # a student of this code, taught by a teacher of the other
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert "cache/models/" in line and "students taught now may differ" in line
    assert read_json(known.folder / "txt" / "run.json")["code"] == "0123456789abcdef"
    assert read_json(known.folder / "img" / "run.json")["code"] == code_fingerprint()


def test_a_run_of_other_code_is_not_gone_on_with(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", -1.0)
    model = torch.nn.Linear(2, 2)
    Checkpointer(tmp_path / "resume.pt", "this").keep(4, {"model": model})
    assert Checkpointer(tmp_path / "resume.pt", "this").restore({"model": model}) == 4
    assert Checkpointer(tmp_path / "resume.pt", "other").restore({"model": model}) == 0
    assert Checkpointer(tmp_path / "resume.pt").restore({"model": model}) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("step", ["finetune", "pretrain"])
def test_a_teacher_of_broken_numbers_is_not_kept(step: str, value: float, runs: Path, monkeypatch):
    for folder in (runs / "cache" / "models").iterdir():
        if step == "pretrain" or "vqa-teacher" in folder.name:
            shutil.rmtree(folder)
    shutil.rmtree(runs / "vqa")
    whole = getattr(teachers, step)

    def spoiled(*arguments, **known):
        model = whole(*arguments, **known)
        next(model.parameters()).data.view(-1)[0] = value
        return model

    monkeypatch.setattr(teachers, step, spoiled)
    with pytest.raises(ConfigError, match=r"must end with finite numbers; .* holds 1 numbers of .*; smaller"):
        ask(runs)
    assert not list(runs.glob("vqa/*/*/run.json"))
    broken = "*teacher-*" if step == "finetune" else "*"
    kept = [path for path in runs.glob(f"cache/models/{broken}/*") if path.parent.name.startswith(("teacher", "vqa-t"))]
    assert not [path for path in kept if path.name != ".lock" and (step == "pretrain" or "vqa" in path.parent.name)]


@pytest.mark.parametrize("which", ["vqa-teacher", "teacher", "base"])
def test_kept_weights_that_are_broken_numbers_are_refused(which: str, runs: Path):
    (path,) = (p for p in runs.glob("cache/models/*/model.safetensors") if p.parent.name.rpartition("-")[0] == which)
    state = load_file(path)
    next(iter(state.values())).view(-1)[0] = float("nan")
    save_file(state, path)
    shutil.rmtree(runs / "vqa")
    if which == "teacher":  # it is only looked at to make the task's
        shutil.rmtree(next(p for p in (runs / "cache" / "models").iterdir() if p.name.startswith("vqa-teacher")))
    with pytest.raises(RecordError, match=r"model\.safetensors must hold finite numbers; .*\(nan\); remove "):
        ask(runs)


def test_a_text_only_model_that_went_wrong_is_a_gap(runs: Path, monkeypatch):
    (folder,) = runs.glob("cache/models/vqa-baselines-*")
    shutil.rmtree(folder)
    whole = teachers.text_only

    def spoiled(*arguments, **known):
        model = whole(*arguments, **known)
        next(model.parameters()).data.fill_(float("nan"))
        return model

    monkeypatch.setattr(teachers, "text_only", spoiled)
    (found,) = ask(runs, "txt")
    assert found.summary["text_only"]["score"] is None
    assert "NaN" not in (folder / "about.json").read_text()


@pytest.mark.parametrize("python", [True, False])
def test_home_is_expanded_wherever_a_path_is_taken(python: bool, runs: Path, monkeypatch, capsys):
    """Nothing is trained: what lies below the home folder is found."""
    monkeypatch.setenv("HOME", str(runs.parent))
    monkeypatch.chdir(runs.parent)
    before = files(runs)
    if python:
        (found,) = run("vqa", "smoke", runs="~/runs", strategies="none,img", **SMALL)
        assert found.folder.is_relative_to(runs)
        assert [each.id for each in open_experiments("~/runs")] == [found.id]
        assert pending(found.config, "~/runs", "none,img") == []
    else:
        changes = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
        command = ["train", "--tasks", "vqa", "--preset", "smoke", "--runs", "~/runs", "--strategies", "none,img"]
        assert main([*command, *changes]) == 0
        assert main(["table", "--preset", "smoke", "--runs", "~/runs"]) == 0
        assert "no distillation" in capsys.readouterr().out
        assert main([*command, *changes, "--data", "~/no-data"]) == 2
        assert "data must be a folder" in capsys.readouterr().err
    assert files(runs) == before and not (runs.parent / "~").exists()


def test_who_was_killed_between_the_ends_of_two_students_trains_no_step_twice(runs: Path, monkeypatch):
    """One is done, the other's last rounds are kept in the file of both; with that done, too, nothing is left."""
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", -1.0)
    original, begun = population.write_json, []

    def dies(path: Path, content) -> None:
        if path.name == "done.json" and path.parent.name == "img+txt":
            raise KeyboardInterrupt
        original(path, content)

    monkeypatch.setattr(population, "write_json", dies)
    with pytest.raises(KeyboardInterrupt):
        ask(runs, "txt+multi,img+txt")
    monkeypatch.setattr(population, "write_json", original)
    (folder,) = {path.parent for path in runs.rglob("resume-*.pt")}
    assert (folder / "txt+multi" / "done.json").exists() and not (folder / "img+txt" / "done.json").exists()
    distill = population.distill

    def counted(config, task, students, done):
        begun.append(done)
        return distill(config, task, students, done)

    monkeypatch.setattr(population, "distill", counted)
    (experiment,) = ask(runs, "txt+multi,img+txt")
    assert begun and 0 < begun[0] < experiment.config.training.steps
    assert [*runs.rglob("resume-*.pt")] == []
    assert read_runs([experiment])["done"].tolist() == [True, True]
