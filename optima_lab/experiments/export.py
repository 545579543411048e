"""A student by itself: opened from the folder of its run, and exported so that it needs neither run nor data.

An exported folder holds `model.safetensors`, `config.json` (task, classes, shape, tokenizer) and, for SentencePiece,
`tokenizer.model`. `open_student` reads both kinds of folder. Where asked for it holds `model.onnx`, too, for runtimes
other than torch.
"""

import shutil
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import torch
from torch import Tensor, nn

from optima_lab.coca.forward import walk
from optima_lab.coca.model import CoCaConfig, TaskModel, build, for_task, student_config
from optima_lab.config import TASKS, Config, Task
from optima_lab.data.answers import answer_vocabulary
from optima_lab.data.datasets import locate
from optima_lab.data.datasets import tokenizer as tokenizer_of
from optima_lab.data.formats import labels, read
from optima_lab.data.synthetic.write import write_world
from optima_lab.data.tokenizers import OpenClipTokenizer, SentencePieceTokenizer, Tokenizer
from optima_lab.distill.parallel import device
from optima_lab.errors import ConfigError, OptimaError, RecordError
from optima_lab.experiments.records import read_json, write_json
from optima_lab.experiments.schema import check_run, check_summary, recorded_config
from optima_lab.experiments.teachers import load_model, save_model
from optima_lab.files import replacing
from optima_lab.tasks.objectives import logits

FORMAT = 1  # of an exported config.json; raised when an older version could not read it
WEIGHTS, CONFIG, TOKENIZER, ONNX = "model.safetensors", "config.json", "tokenizer.model", "model.onnx"


@dataclass(frozen=True)
class LoneStudent:
    """A trained student with all that it needs to answer; `classes` is empty for captions."""

    task: Task
    model: TaskModel
    size: CoCaConfig
    tokenizer: Tokenizer
    classes: tuple[str, ...]
    strategy: str


def open_student(folder: Path) -> LoneStudent:
    """The student of a run's folder or of an exported one, ready to predict.

    Raises RecordError where the folder is neither or broken, DataError or ConfigError where the data that a run's
    classes and tokenizer come from are gone or no longer the same.
    """
    if (folder / CONFIG).exists():
        return _exported(folder)
    if (folder / "run.json").exists():
        return _of_run(folder)
    raise RecordError(f"{folder} must be the folder of a run (run.json) or an exported one ({CONFIG}); it has neither")


def export(folder: Path, out: Path, onnx: bool = False) -> Path:
    """Write the student of `folder` into the new or empty folder `out`, which then suffices to predict.

    Raises ConfigError where the folder is not empty, or `onnx` is asked for without the packages that it needs.
    """
    lacking = [name for name in ("onnx", "onnxscript") if onnx and find_spec(name) is None]
    if lacking:
        raise ConfigError(f"onnx needs the package {lacking[0]}, got none: pip install 'optima-lab[all,onnx]'")
    student = open_student(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"out must be a new or empty folder, got {str(out)!r}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        config = {"format": FORMAT, "task": student.task.name, "strategy": student.strategy}
        config |= {"classes": list(student.classes), "size": asdict(student.size)}
        config |= {"tokenizer": _keep_tokenizer(student.tokenizer, out)}
        save_model(student.model, out / WEIGHTS)
        if onnx:
            _write_onnx(student, out / ONNX)
        write_json(out / CONFIG, config)  # last: a folder that has it is whole
    except OSError as error:
        raise RecordError(f"{out} must be writable: {error.strerror or error}") from None
    return out


def _keep_tokenizer(tokenizer: Tokenizer, out: Path) -> dict[str, Any]:
    if isinstance(tokenizer, SentencePieceTokenizer):
        shutil.copyfile(tokenizer.path, out / TOKENIZER)
        return {"kind": "sentencepiece", "tokens": tokenizer.tokens}
    assert isinstance(tokenizer, OpenClipTokenizer)
    return {"kind": "open_clip", "name": tokenizer.name, "tokens": tokenizer.tokens}


class _Logits(nn.Module):
    """What ONNX computes: (batch, classes); for captions (batch, token - 1, vocabulary) of the next tokens."""

    def __init__(self, model: TaskModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        return logits(self.model, walk(self.model.coca, images, tokens))


def _write_onnx(student: LoneStudent, path: Path) -> None:
    """`images` (batch, pictures, 3, height, width) from -1 to 1 and `tokens` (batch, token) → `logits`, any batch."""
    size, batch = student.size, torch.export.Dim("batch", min=1)
    images = torch.zeros(2, student.task.pictures, 3, size.image_size, size.image_size)
    tokens = torch.zeros(2, student.tokenizer.tokens, dtype=torch.long)
    kwargs = {"input_names": ["images", "tokens"], "output_names": ["logits"], "external_data": False, "verbose": False}
    axes = {"images": {0: batch}, "tokens": {0: batch}}
    quiet = StringIO()  # torch and onnxscript tell of their passes
    with catch_warnings(action="ignore"), redirect_stdout(quiet), redirect_stderr(quiet), replacing(path) as part:
        model = _Logits(student.model.cpu()).eval()
        torch.onnx.export(model, (images, tokens), part, dynamo=True, dynamic_shapes=axes, **kwargs)


def _exported(folder: Path) -> LoneStudent:
    path = folder / CONFIG
    config = read_json(path)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise RecordError(f"{path} must be what `export` of this version writes (format {FORMAT})")
    try:
        task, classes = TASKS[config["task"]], tuple(map(str, config["classes"]))
        shape, saved = _shape(config["size"]), config["tokenizer"]
        tokens = _whole(saved["tokens"])
        if saved["kind"] == "open_clip":
            tokenizer: Tokenizer = OpenClipTokenizer.open(saved["name"], tokens)
        else:
            tokenizer = SentencePieceTokenizer.open(folder / TOKENIZER, tokens)
        model = for_task(build(shape, 0), shape, task.pictures, len(classes), 0)
    except OptimaError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, AssertionError, RuntimeError, ArithmeticError) as error:
        raise RecordError(f"{path} must describe a student: {type(error).__name__} {error}") from None
    return _ready(task, model, folder / WEIGHTS, shape, tokenizer, classes, str(config.get("strategy", "")))


_MOST = 1 << 20  # no number of a shape is larger; a stranger's could ask for all memory


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError(f"needs whole numbers from 0 to {_MOST}, got {value!r}")
    return value


def _shape(size: Mapping[str, Any]) -> CoCaConfig:
    names = {field.name for field in fields(CoCaConfig)}
    if set(size) != names:
        raise ValueError(f"its size must have {', '.join(sorted(names))}")
    texts = {name: str(size[name]) for name in ("decoder", "architecture")}
    image, text, decoder = map(_whole, size["layers"])
    numbers = {name: _whole(size[name]) for name in names - set(texts) - {"layers", "position_scale"}}
    scale = size["position_scale"]  # of first parameters alone
    if type(scale) is not float or not 0.0 < scale < 100.0:
        raise ValueError(f"needs a position_scale between 0 and 100, got {scale!r}")
    return CoCaConfig((image, text, decoder), position_scale=scale, **numbers, **texts)  # pyright: ignore[reportArgumentType]


def _of_run(folder: Path) -> LoneStudent:
    run_info = check_run(read_json(folder / "run.json"), folder / "run.json")
    if not (folder / "student.safetensors").exists():
        raise RecordError(f"{folder} must be the folder of a finished run; it has no student.safetensors yet")
    place = folder.resolve().parent / "experiment.json"
    summary = check_summary(read_json(place), place)
    config = recorded_config(folder / "run.json", run_info, recorded_config(place, summary))
    source = locate(config, folder.resolve().parents[2])
    if source.fingerprint != summary.get("data_fingerprint"):
        raise ConfigError(
            f"data must be what the run saw ({summary.get('data_fingerprint')}), for its classes and tokens; got "
            f"{config.data.folder or 'the embedded world'}: {source.fingerprint}"
        )
    if source.world is not None:
        write_world(source.folder, source.world)
    tokenizer = tokenizer_of(config, source)
    shape = student_config(config, tokenizer.vocab_size)
    classes, task = _classes(config, source.folder), TASKS[config.task]
    model = for_task(build(shape, 0), shape, task.pictures, len(classes), 0)
    return _ready(task, model, folder / "student.safetensors", shape, tokenizer, classes, run_info["strategy"])


def _classes(config: Config, folder: Path) -> tuple[str, ...]:
    """What the head's columns mean, as in training."""
    if config.task != "vqa":
        return labels(config.task)
    return answer_vocabulary(read("vqa", folder, "train", config.data.strict).examples, config.data.answer_count)


def _ready(
    task: Task,
    model: TaskModel,
    weights: Path,
    shape: CoCaConfig,
    tokenizer: Tokenizer,
    classes: tuple[str, ...],
    strategy: str,
) -> LoneStudent:
    load_model(model, weights)
    model = model.to(device()).eval().requires_grad_(False)
    return LoneStudent(task, model, shape, tokenizer, classes, strategy)
