"""What this machine lacks is refused in a line, and Apple's GPU is asked for nothing that it cannot do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_run import ask
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from optima_lab.cli import main
from optima_lab.distill import parallel
from optima_lab.distill.parallel import device
from optima_lab.errors import ConfigError
from optima_lab.experiments.records import read_json
from optima_lab.experiments.reproduce import rerun

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("cuda", "mps", "name", "found"),
    [
        (False, False, "auto", "cpu"),
        (True, False, "auto", "cuda"),
        (False, True, "auto", "cpu"),  # numbers of Apple's GPU are not these: it is asked for by name
        (True, True, "cpu", "cpu"),
        (True, False, "cuda", "cuda"),
        (False, True, "mps", "mps"),
        (False, False, "mps", "auto, cpu; got 'mps'"),
        (True, False, "mps", "auto, cpu, cuda; got 'mps'"),
        (False, True, "cuda", "auto, cpu, mps; got 'cuda'"),
    ],
)
def test_a_device_is_what_the_machine_has(
    cuda: bool, mps: bool, name: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if "got" not in found:
        assert device(name).type == found
        return
    with pytest.raises(ConfigError, match=f"device must be one that this machine has: {found}$"):
        device(name)


def test_several_processes_choose_theirs_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    for name in ("mps", "cpu"):
        with pytest.raises(ConfigError, match=f"device must be auto where torchrun starts 2 processes; got '{name}'"):
            device(name)
    assert device().type in ("cpu", "cuda")


def test_what_is_not_there_is_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--preset", "smoke", "--device", "mps"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith("error: device must be one that this machine has: auto, cpu")
    assert not list(tmp_path.iterdir())


class PretendedGpu(TorchFunctionMode):
    """Whoever asks for 'mps' gets the CPU; what Apple's GPU lacks is refused as it would be there."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, known = list(args), dict(kwargs or {})
        name = getattr(func, "__name__", "")
        for place, value in [*enumerate(args), *known.items()]:
            if isinstance(value, torch.device) and value.type == "mps":
                self.sent += 1
                assert known.get("generator") is None, f"{name}: a CPU's generator cannot draw there"
                (known if isinstance(place, str) else args)[place] = torch.device("cpu")
        assert name != "pin_memory", "memory is pinned for CUDA alone"
        return func(*args, **known)


class SinglePrecision(TorchDispatchMode):
    """Apple's GPU has no float64 and no complex128."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in [found, *args] if isinstance(found, torch.Tensor) else args:
            if isinstance(tensor, torch.Tensor):
                assert tensor.dtype not in (torch.float64, torch.complex128), f"{func} in {tensor.dtype}"
        return found


@pytest.mark.parametrize("task", ["vqa", "coco"])
def test_apples_gpu_is_asked_for_nothing_that_it_lacks(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole run: pre-training, teacher, a student, Adafactor, bfloat16, augmented pictures, evaluation."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("torch.nn.utils.clip_grad._device_has_foreach_support", lambda where: False)
    known = {"optimizer": "adafactor", "precision": "bf16", "rand_augment": True, "clip": 1.0}
    with PretendedGpu() as gpu, SinglePrecision():
        (experiment,) = ask(tmp_path / "runs", "optima", task, device="mps", **known)
    assert gpu.sent > 30
    assert read_json(experiment.folder / "experiment.json")["device"] == "mps"

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    (again,) = ask(tmp_path / "runs", "optima", task, **known)
    assert again.folder == experiment.folder, "the device is no part of the question"
    if task == "vqa":
        assert rerun(experiment.folder, tmp_path / "elsewhere").config.model.device == "auto"


def test_pictures_are_augmented_before_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pictures as on a CPU, from bytes to floats over there."""
    import numpy as np
    from small import task_data

    from optima_lab.tasks import objectives

    seen = []
    monkeypatch.setattr(objectives, "rand_augment", lambda images, seed: seen.append(images.device.type) or images)
    batch = task_data().train.take(np.arange(3))
    with PretendedGpu() as gpu:
        made = objectives.to_device(batch, torch.device("mps"), (0, 1))
    assert seen == ["cpu"] and gpu.sent == 3 and len(made) == 3
