"""Wrong use is told in one clear line on standard error, before anything is trained, and nothing is lost."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optima_lab.cli import main
from optima_lab.config.parameters import flat
from optima_lab.errors import ConfigError
from optima_lab.experiments.records import Writer
from optima_lab.presets import preset

LABELS = ("entailment", "neutral", "contradiction")
STEPS = "--pretrain_steps 1 --base_steps 1 --finetune_steps 1 --steps 2 --probe_size 8"
TINY = f"--preset smoke --jobs 1 --strategies img {STEPS}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small SNLI-VE in the official layout: twelve records a split over three pictures."""
    root = tmp_path / "data" / "snli_ve"
    (root / "flickr30k_images").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (3, 24, 24, 3), np.uint8)
    for number, image in enumerate(noise, 1):
        Image.fromarray(image).save(root / "flickr30k_images" / f"{number}.jpg")
    for split in ("train", "dev", "test"):
        (root / f"snli_ve_{split}.jsonl").write_text("".join(json.dumps(record(n)) + "\n" for n in range(12)))
    return root.parent


def record(number: int) -> dict[str, str]:
    label = LABELS[number % 3]
    words = {"gold_label": label, "sentence2": f"there are {number} small things on the table"}
    return {"Flickr30K_ID": str(number % 3 + 1), "pairID": f"{number}.jpg#0r1{label[0]}", **words}


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A folder with an earlier run; after the test each of its bytes must be what it was."""
    folder = tmp_path / "runs"
    with Writer(folder / "snli_ve" / "smoke-s0-0" / "img", {"strategy": "Img", "arm": "Img"}) as writer:
        writer.append("rounds", [{"round": 1, "step": 2, "reward": 0.1}, {"round": 2, "step": 4, "reward": 0.2}])
    earlier = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield folder
    assert {path: path.read_bytes() for path in earlier} == earlier


@pytest.fixture
def refused(
    data: Path, runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Call the command line with words added; the one line that it says, without 'error: '. Nothing may be trained."""

    def must_not(*_: object, **__: object) -> None:
        raise AssertionError("training began before the refusal")

    def call(words: str) -> str:
        from optima_lab.experiments import teachers

        monkeypatch.setattr(teachers, "pretrain", must_not)
        code = main([*f"train --tasks snli_ve --data {data} --runs {runs} {TINY}".split(), *words.split()])
        lines = capsys.readouterr().err.splitlines()
        assert code != 0
        assert [line.startswith("error: ") for line in lines] == [True], lines
        return lines[0].removeprefix("error: ")

    return call


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--tasks snli", "task must be one of vqa, snli_ve, nlvr2, coco, got 'snli'; did you mean 'snli_ve'?"),
        ("--tasks snli_ve,vqua", "task must be one of vqa, snli_ve, nlvr2, coco, got 'vqua'; did you mean 'vqa'?"),
        ("--preset labtop", "preset must be one of smoke, laptop, study, paper, got 'labtop'; did you mean 'laptop'?"),
        ("--decya 0.9", "unknown parameter '--decya'; did you mean '--decay'?"),
        ("--seeds two", "seeds must be a whole number, got 'two'"),
        ("--seeds 0", "seeds must be at least 1, got 0"),
        ("--decay much", "decay must be a number, got 'much'"),
        ("--decay 1.5", "decay must be between 0 and 1, got 1.5"),
        ("--strict maybe", "strict must be true or false, got 'maybe'"),
        (
            "--steps 3",
            "steps must be a multiple of round_steps=2, got 3; 2 or 4 would fit, or round_steps=1 or 3",
        ),
        (
            "--steps 400 --round_steps 12",
            "steps must be a multiple of round_steps=12, got 400; 396 or 408 would fit, or round_steps=8 or 10",
        ),
        ("--gamma 0.9", "unknown parameter '--gamma'; did you mean '--decay'?"),
        ("--learning-rate 0.9", "unknown parameter '--learning-rate'; did you mean '--lr'?"),
        ("--seed 1", "unknown parameter '--seed'; did you mean '--seeds'?"),
        ("--strategies optma", "unknown strategy 'optma'; did you mean 'optima'?"),
        ("--strategies optima:decy=1", "optima has no parameter 'decy'; did you mean 'decay'?"),
        ("--strategies img,img", "strategies must differ, got img twice"),
    ],
)
def test_a_wrong_word_is_answered_with_what_would_be_right(
    refused: Callable[[str], str], words: str, told: str
) -> None:
    assert refused(words) == told


def test_the_shell_gets_one_line_and_exit_code_2(runs: Path) -> None:
    command = [sys.executable, "-m", "optima_lab", "figures", "--seeds", "two", "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: seeds must be a whole number, got 'two'\n"


def test_a_missing_data_folder(refused: Callable[[str], str], tmp_path: Path) -> None:
    line = refused(f"--data {tmp_path / 'nowhere'}")
    assert line.startswith("data must be a folder") and line.endswith(f"got '{tmp_path / 'nowhere'}'")


def test_a_folder_without_the_task(refused: Callable[[str], str], data: Path) -> None:
    assert refused("--tasks vqa").startswith(f"{data} must hold a folder 'vqa'")


def edit_line(data: Path, split: str, number: int, line: str) -> str:
    """Put `line` at a place of a split; the place as it is told."""
    path = data / "snli_ve" / f"snli_ve_{split}.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[: number - 1], line, *lines[number:]]) + "\n")
    return f"snli_ve: {path}:{number}: "


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"gold_label": "neut', "must be JSON; got a break at column"),
        ("[]", "a record must be a JSON object; got []"),
        (json.dumps({**record(0), "gold_label": "entails"}), "field 'gold_label' must be one of 'entailment', "),
        (json.dumps({**record(0), "gold_label": 1}), "field 'gold_label' must be a string; got 1"),
        (json.dumps({**record(0), "Flickr30K_ID": "4"}), "field 'Flickr30K_ID' must name a picture inside "),
        (json.dumps({**record(0), "Flickr30K_ID": "../../1"}), "field 'Flickr30K_ID' must name a picture inside "),
        (json.dumps({"gold_label": "neutral"}), "field 'Flickr30K_ID' must be there; got fields ['gold_label']"),
    ],
)
@pytest.mark.parametrize(("split", "number"), [("train", 5), ("test", 12)])
def test_a_bad_record_is_told_with_file_and_line(
    refused: Callable[[str], str], data: Path, split: str, number: int, line: str, told: str
) -> None:
    where = edit_line(data, split, number, line)
    assert refused("").startswith(where + told)


def test_why_a_picture_is_refused(refused: Callable[[str], str], data: Path) -> None:
    edit_line(data, "dev", 2, json.dumps({**record(0), "Flickr30K_ID": "../../secret"}))
    assert refused("").endswith("got '../../secret.jpg', which leaves that folder")
    edit_line(data, "dev", 2, json.dumps({**record(0), "Flickr30K_ID": "4"}))
    assert refused("").endswith("got '4.jpg', which is missing")


def test_a_truncated_picture(refused: Callable[[str], str], data: Path) -> None:
    path = data / "snli_ve" / "flickr30k_images" / "2.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    assert refused("").startswith(f"snli_ve: {path}: must be a whole picture; got 'image file is truncated")


def test_bad_records_can_be_skipped_and_are_counted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other way out, which every refusal leaves: `--strict no`; then the disk is full, and the run stays."""
    edit_line(data, "train", 5, "{")
    runs = tmp_path / "new"
    command = f"train --tasks snli_ve --data {data} --runs {runs} {TINY} --strict no".split()
    assert main(command) == 0
    (about,) = runs.glob("snli_ve/*/experiment.json")
    skipped = json.loads(about.read_text())["skipped"]
    assert skipped["count"] == 1
    assert "snli_ve_train.jsonl:5: must be JSON" in skipped["first"][0]

    before = {path: path.read_bytes() for path in about.parent.rglob("*") if path.is_file()}
    capsys.readouterr()
    monkeypatch.setattr(Writer, "flush", full_disk)
    assert main([*command, "--strategies", "txt"]) != 0
    folder = about.parent
    told = (
        f"error: snli_ve: records must be writable at {folder}: No space left on device; nothing finished was changed"
    )
    assert capsys.readouterr().err.splitlines() == [told]
    assert {path: path.read_bytes() for path in before} == before


def full_disk(_: Writer) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_records_that_cannot_be_written(refused: Callable[[str], str], tmp_path: Path) -> None:
    """A file stands where the folder should be (permissions would not stop the root user of a container)."""
    (tmp_path / "file").write_text("mine")
    line = refused(f"--runs {tmp_path / 'file'}")
    assert "records must be writable at" in line and str(tmp_path / "file") in line
    assert (tmp_path / "file").read_text() == "mine"


def test_a_broken_record_of_an_earlier_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs / "snli_ve" / "smoke-s0-1"
    with Writer(folder / "img", {"strategy": "Img", "arm": "Img"}) as writer:
        writer.append("rounds", [{"round": 1}])
    (folder / "experiment.json").write_text(json.dumps({"config": flat(preset("snli_ve", "smoke"))}))
    (folder / "img" / "evals.jsonl").write_text('{"metric": "score"\n{}\n')
    assert main(["table", "--runs", str(runs), "--preset", "smoke", "--tasks", "snli_ve"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {folder / 'img' / 'evals.jsonl'}:1 must be a JSON object")


def test_teacher_and_student_with_different_token_counts() -> None:
    from optima_lab.coca.grids import require_same_tokens
    from optima_lab.coca.model import coca_config, student_config

    config = preset("vqa", "smoke")
    teacher, student = coca_config(config, "teacher", 100), student_config(config, 100)
    require_same_tokens(student, teacher, config)
    require_same_tokens(replace(student, image_size=48, patch_size=16), teacher, config)  # the same grid, other patches
    with pytest.raises(ConfigError, match="must have the same image tokens, got 2² and 3²; choose patch_size"):
        require_same_tokens(replace(student, patch_size=12), teacher, config)
    with pytest.raises(ConfigError, match="must have the same text_tokens, got 20 and 18"):
        require_same_tokens(replace(student, text_tokens=20), teacher, config)
