"""Finding released weights: files, folders, tags; what is missing is told with what to do."""

from pathlib import Path
from urllib.error import URLError

import huggingface_hub
import pytest

from optima_lab.cli import main
from optima_lab.coca import checkpoints
from optima_lab.coca.checkpoints import Checkpoint, find, fingerprint
from optima_lab.errors import ConfigError
from optima_lab.presets import preset

TAG = "open_clip:coca_ViT-L-14/mscoco_finetuned_laion2b_s13b_b90k"


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_file_with_and_without_a_configuration(tmp_path: Path):
    path = files(tmp_path, "any.pt") / "any.pt"
    assert find(str(path), "teacher_weights") == Checkpoint(path)
    files(tmp_path, "open_clip_config.json")
    assert find(str(path), "teacher_weights") == Checkpoint(path, tmp_path / "open_clip_config.json")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("open_clip_model.safetensors", "open_clip_pytorch_model.bin"), "open_clip_model.safetensors"),
        (("open_clip_pytorch_model.bin", "zebra.safetensors"), "open_clip_pytorch_model.bin"),
        (("zebra.safetensors", "notes.txt"), "zebra.safetensors"),
        (("model.pt", "model.safetensors"), "model.safetensors"),
    ],
)
def test_a_folders_checkpoint(names: tuple[str, ...], chosen: str, tmp_path: Path):
    assert find(str(files(tmp_path, *names)), "base_weights").weights.name == chosen


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        ((), ".", r"base_weights must be a folder with a checkpoint \(.safetensors, .bin, .pt, .pth\); .* has none"),
        (("a.pt", "b.pt"), ".", r"base_weights must name one of the checkpoints of .*; it holds a.pt, b.pt"),
        (
            (),
            "c.pt",
            r"base_weights must be a checkpoint file, a folder with one, or open_clip:MODEL/TAG; got '.*c\.pt'",
        ),
        (("c.npz",), "c.npz", r"base_weights must be a file that ends in .safetensors, .bin, .pt, .pth; got"),
    ],
)
def test_what_is_not_there(names: tuple[str, ...], asked: str, message: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=message):
        find(str(files(tmp_path, *names) / asked), "base_weights")


def test_an_unknown_tag_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=f"got '{TAG[:-1]}'; did you mean '{TAG}'"):
        find(TAG[:-1], "teacher_weights")


def test_offline_the_error_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(checkpoints, "urlopen", unreachable)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    with pytest.raises(ConfigError) as said:
        find(TAG, "teacher_weights")
    line = str(said.value)
    assert line.startswith(f"teacher_weights='{TAG}' could not be downloaded (URLError)")
    assert "open_clip_model.safetensors (or open_clip_pytorch_model.bin) and open_clip_config.json" in line
    assert "laion/mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k" in line
    assert line.endswith("put both into a folder here and give that folder as teacher_weights")


def test_a_tag_that_was_downloaded_before_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = files(tmp_path, "open_clip_model.safetensors") / "open_clip_model.safetensors"
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda _, name: str(path) if name == path.name else None
    )
    assert find(TAG, "teacher_weights") == Checkpoint(path, None, "coca_ViT-L-14")


def test_weights_are_told_by_their_content(tmp_path: Path):
    path = files(tmp_path, "model.pt") / "model.pt"
    settings = preset("vqa", "smoke", teacher_weights=str(path))
    before = fingerprint(settings.pretraining)
    assert set(before) == {"teacher_weights"}
    assert fingerprint(preset("vqa", "smoke", teacher_weights=str(tmp_path)).pretraining) == before
    path.write_bytes(b"other weights")
    after = fingerprint(settings.pretraining)
    assert after != before
    files(tmp_path, "open_clip_config.json")
    assert fingerprint(settings.pretraining) not in (before, after)
    assert fingerprint(preset("vqa", "smoke", base_weights=TAG).pretraining) == {"base_weights": TAG}
    assert fingerprint(preset("vqa", "smoke").pretraining) == {}


def test_the_command_line_refuses_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = f"train --tasks vqa --preset smoke --runs {tmp_path / 'runs'} --teacher_weights {tmp_path / 'no.pt'}"
    assert main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: teacher_weights must be a checkpoint file")
    assert not (tmp_path / "runs").exists()
