"""Inference speed: what is timed and kept; no test looks at a clock."""

import json
from pathlib import Path

import pytest
import torch
from small import shape

from optima_lab.cli import main
from optima_lab.coca.model import CoCaConfig
from optima_lab.errors import ConfigError
from optima_lab.experiments import inference_speed as speed
from optima_lab.experiments.inference_speed import REPORTED, Timing, measure, run, speedups, table

RECORD = {
    "device": "a device",
    "pixels": 576,
    "text_tokens": 64,
    "batch": 2,
    "models": {"Large": [8.0, 12.0, 10.0], "Tiny12": [2.0, 4.0, 4.0], "Tiny6": [1.0, 2.0, 4.0]},
}


def small(name: str, timing: Timing) -> CoCaConfig:
    """A few layers instead of the paper's."""
    layers = {"Large": (2, 2, 2), "Tiny12": (1, 1, 1), "Tiny6": (1, 1, 1)}[name]
    return shape(layers, image_size=timing.pixels, patch_size=18, text_tokens=timing.text_tokens)


def test_the_papers_shapes_are_what_is_timed():
    timing = Timing()
    found = {name: speed.shape(name, timing) for name in REPORTED}
    assert {name: (s.layers, s.width) for name, s in found.items()} == {
        "Large": ((24, 12, 12), 1024),
        "Tiny12": ((6, 3, 3), 768),
        "Tiny6": ((3, 1, 2), 768),
    }
    assert {(s.image_size // s.patch_size, s.text_tokens, s.decoder) for s in found.values()} == {(32, 64, "paper")}
    assert speed.shape("Large", Timing(pixels=36)).image_size == 36


def test_every_model_is_timed_as_often_and_the_warm_up_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []

    def forward(model, images, tokens) -> float:
        calls.append(model.depth("image"))
        assert images.shape == (3, 1, 3, 36, 36) and tokens.shape == (3, 9)
        assert images.min() >= -1 and (tokens != 0).all() and not model.training
        return float(len(calls))

    monkeypatch.setattr(speed, "_forward_seconds", forward)
    shapes = {"Large": shape((3, 1, 1)), "Tiny12": shape((2, 1, 1)), "Tiny6": shape((1, 1, 1))}
    timing = Timing(batch=3, repeats=8, pixels=36, text_tokens=9)
    seconds = measure(shapes, timing)
    assert sorted(s for own in seconds.values() for s in own) == [
        float(n) for n in range(4, 28)
    ]  # the first three are the warm-up
    rounds = [calls[n : n + 3] for n in range(0, 27, 3)]
    assert all(sorted(turn) == [1, 2, 3] for turn in rounds)
    assert len({tuple(turn) for turn in rounds}) > 1  # each repetition in an order of its own


def test_a_speed_up_is_of_one_repetition():
    assert speedups(RECORD["models"]) == {
        "Large": [1.0, 1.0, 1.0],
        "Tiny12": [4.0, 3.0, 2.5],
        "Tiny6": [8.0, 6.0, 2.5],
    }


def test_the_table_by_hand():
    lines = table(RECORD).splitlines()
    assert lines[2].split() == ["Tiny12", "2", "(1.5", "to", "2)", "3.00", "(2.75", "to", "3.50)", "3.4×"]
    assert lines[3].split()[-5:] == ["6.00", "(4.25", "to", "7.00)", "6.2×"]
    assert lines[-1] == "a device, 576 px, 64 tokens, batch 2: median (quartiles) of 3 interleaved repetitions"


def test_what_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(speed, "shape", small)
    command = f"speed --runs {tmp_path / 'new' / 'runs'} --batch 2 --repeats 3 --pixels 36"
    assert main(command.split()) == 0
    record = json.loads((tmp_path / "new" / "runs" / "speed.json").read_text())
    assert {k: record[k] for k in ("pixels", "text_tokens", "batch")} == {"pixels": 36, "text_tokens": 64, "batch": 2}
    assert list(record) == list(RECORD) and list(record["models"]) == list(REPORTED)
    assert all(len(values) == 3 and min(values) > 0 for values in record["models"].values())
    assert capsys.readouterr().out == table(record) + "\n"
    assert [path.name for path in (tmp_path / "new" / "runs").iterdir()] == ["speed.json"]


def test_defaults_follow_the_device():
    assert Timing().on(torch.device("cpu")) == Timing(1, 5, 576, 64)
    assert Timing(repeats=7).on(torch.device("cuda")) == Timing(32, 7, 576, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--batch -1", "error: batch must be at least 1 (or 0: as the device is), got -1"),
        ("--repeats x", "error: repeats must be a whole number, got 'x'"),
        ("--pixels 100", "error: pixels must be a multiple of the patch size, 18; got 100"),
        ("--pixel 36", "error: unknown parameter '--pixel'; did you mean '--pixels'?"),
    ],
)
def test_wrong_options(options: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["speed", "--runs", str(tmp_path / "runs"), *options.split()]) == 2
    assert capsys.readouterr().err.splitlines() == [message]
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="runs must be a folder that can be written"):
        run(Timing(1, 1, 36), tmp_path / "file" / "runs")
