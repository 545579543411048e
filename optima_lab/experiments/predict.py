"""A student's answers to a split as a file: in the form that the tasks' own evaluation servers take.

VQA v2   [{"question_id": 42, "answer": "red"}]        as `OpenEnded_mscoco_test2015_…_results.json`
COCO     [{"image_id": 42, "caption": "a red star"}]    as `results.json` of pycocotools' `loadRes`
SNLI-VE  [{"pairID": "…", "prediction": "neutral"}]     NLVR2  [{"identifier": "…", "prediction": "True"}]
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from optima_lab.data.batches import Split, pack
from optima_lab.data.formats import SPLITS, read
from optima_lab.data.unanswered import read_questions
from optima_lab.errors import ConfigError, RecordError, nearest
from optima_lab.experiments.export import LoneStudent, open_student
from optima_lab.experiments.records import write_json
from optima_lab.tasks.metrics import write_captions
from optima_lab.tasks.objectives import predict, to_device

QUESTIONS = ("test2015", "test-dev2015")  # of VQA v2: questions whose answers only the server knows
_KEYS = {
    "vqa": ("question_id", "answer"),
    "coco": ("image_id", "caption"),
    "snli_ve": ("pairID", "prediction"),
    "nlvr2": ("identifier", "prediction"),
}


def predict_split(folder: Path, data: Path, out: Path, split: str = "test", batch_size: int = 128) -> int:
    """Write what the student of `folder` answers to a split of `data` as `out`; how many answers that are.

    Raises ConfigError for an unknown split, DataError for bad data, and RecordError for a folder that holds no student
    or a file that cannot be written.
    """
    if batch_size < 1:
        raise ConfigError(f"batch must be at least 1, got {batch_size}")
    student = open_student(folder)
    name, splits = student.task.name, (*SPLITS, *(QUESTIONS if student.task.name == "vqa" else ()))
    if split not in splits:
        raise ConfigError(f"split must be one of {', '.join(splits)}; got {split!r}{nearest(split, splits)}")
    records = read_questions(data, split) if split in QUESTIONS else read(name, data, split)
    arrays = pack(name, split, records, student.tokenizer, student.size.image_size, vocabulary=student.classes or None)
    answers = results(student, arrays, batch_size)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, answers)
    except OSError as error:
        raise RecordError(f"{out} must be a file that can be written: {error.strerror}") from None
    return len(answers)


@torch.inference_mode()
def results(student: LoneStudent, split: Split, batch_size: int) -> list[dict[str, Any]]:
    """One record for each example, in the task's official form."""
    rows = split.first_rows()
    if student.task.captions:
        answers = write_captions(student.model, student.tokenizer, split, rows, batch_size)
    else:
        answers = [student.classes[number] for number in _chosen(student, split, rows, batch_size)]
    key, value = _KEYS[student.task.name]
    number = int if key in ("question_id", "image_id") else str
    ids = [number(split.ids[split.examples[row]]) for row in rows]
    return [{key: each, value: answer} for each, answer in zip(ids, answers, strict=True)]


def _chosen(student: LoneStudent, split: Split, rows: np.ndarray, batch_size: int) -> list[int]:
    chosen: list[int] = []
    for start in range(0, len(rows), batch_size):
        batch = to_device(split.take(rows[start : start + batch_size]), student.model.device)
        chosen += predict(student.model, batch).argmax(-1).tolist()
    return chosen
