"""Readers of the official layouts: VQA v2, SNLI-VE, NLVR2, COCO with Karpathy's splits; and of own tables.

Full downloads, samples, the embedded world and what `tabular` reads all come through `read`. A bad record is refused
with one line that names it; with `strict=False` it is skipped and that line is kept in `Records.skipped`.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from optima_lab.data.tabular import find_table, read_table
from optima_lab.data.validation import Root, Row, field, fields_of, one_of, refuse
from optima_lab.errors import ConfigError, DataError, nearest
from optima_lab.files import expand

SPLITS = ("train", "dev", "test")
_LABELS = {"snli_ve": ("entailment", "neutral", "contradiction"), "nlvr2": ("False", "True")}


@dataclass(frozen=True)
class Example:
    """One example: its pictures (two for NLVR2), its text ("" for captions) and what people answered.

    `answers` holds the ten answers (VQA), the one label (SNLI-VE, NLVR2) or all captions (COCO), `kind` VQA's question
    type.
    """

    id: str
    images: tuple[Path, ...]
    text: str
    answers: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Records:
    """The examples of one split in the file's order, and a one-line reason for each record that was skipped."""

    examples: tuple[Example, ...]
    skipped: tuple[str, ...]


class _Unlabeled(DataError):
    """A record that its own release marks as not to be used: skipped and counted also where strict."""


@dataclass(frozen=True)
class _Layout:
    """How one task's release is laid out: what to know its folder and its files by, and its records as examples."""

    marker: str
    annotations: str
    rows: Callable[[Root, str], Iterator[Row]]
    example: Callable[[Root, str, Row], Example | None]


def labels(task: str) -> tuple[str, ...]:
    """The fixed classes of a task; empty where answers are free (VQA) or captions (COCO)."""
    _layout(task)
    return _LABELS.get(task, ())


def read(task: str, folder: str | Path, split: str, strict: bool = True, links: bool = False) -> Records:
    """The examples of one split; `folder` holds `vqa/ snli_ve/ nlvr2/ coco/`, or is the task's own folder.

    Links to folders are followed; links to single files may lead anywhere inside `folder`, with `links` anywhere.
    Raises DataError for a missing file and, if `strict`, for the first bad record; a file that is no JSON at all is
    refused either way. Pictures are looked for here and opened only by `batches.load`.
    """
    layout = _layout(task)
    if split not in SPLITS:
        raise ConfigError(f"split must be one of {', '.join(SPLITS)}; got {split!r}{nearest(str(split), SPLITS)}")
    place = task_folder(task, folder)
    root = Root(place, None if links else (os.path.realpath(expand(folder)), os.path.realpath(place)))
    table = find_table(task, expand(folder))
    if table is not None:
        items, bad = read_table(task, labels(task), root, table.name, split, strict)
        return Records(tuple(Example(each.id, each.pictures, each.text, each.answers, "") for each in items), bad)
    examples: list[Example] = []
    skipped: list[str] = []
    first: dict[str, str] = {}
    for row in layout.rows(root, split):
        try:
            example = layout.example(root, split, row)
            if example is not None:
                must_be_new(example, row, first)
                examples.append(example)
        except DataError as error:
            if strict and not isinstance(error, _Unlabeled):
                raise
            skipped.append(str(error))
    return Records(tuple(examples), tuple(skipped))


def task_folder(task: str, folder: str | Path) -> Path:
    """The folder that holds the task's files: `folder/<task>`, or `folder` itself where it has the task's layout.

    Raises DataError where there is neither, nor a table, or the official layout and a table.
    """
    layout, root = _layout(task), expand(folder)
    if not root.is_dir():
        raise DataError(f"data folder must exist; got {str(folder)!r}, which is no folder")
    table = find_table(task, root)
    if table is not None:
        official = [path for place in (root / task, root) for path in place.glob(layout.annotations)]
        if official:
            raise DataError(f"{root} must hold {task} once; got the table {table} and the official {official[0]}")
        return table.parent
    if (root / task).is_dir():
        return root / task
    if any(root.glob(layout.marker)):
        return root
    raise DataError(
        f"{root} must hold a folder {task!r}, its files ({layout.marker}), {task}.csv or {task}.jsonl; it has none"
    )


def has_task(task: str, folder: Path) -> bool:
    """Whether `folder` holds the task, as a folder of its own or as a table."""
    return (folder / task).is_dir() or find_table(task, folder) is not None


def _layout(task: str) -> _Layout:
    if task not in _LAYOUTS:
        raise ConfigError(
            f"task must be one of {', '.join(_LAYOUTS)}; got {task!r}{nearest(str(task), tuple(_LAYOUTS))}"
        )
    return _LAYOUTS[task]


def must_be_new(example: Example, row: Row, first: dict[str, str]) -> None:
    """Note where an example stands; raises DataError where its id stands somewhere already."""
    if example.id in first:
        raise DataError(
            f"{row.where}: its id must be unique; got {example.id!r}, which stands at {first[example.id]} too"
        )
    first[example.id] = row.where


# --- VQA v2 -----------------------------------------------------------------------------------------------------------


def _vqa_rows(root: Root, split: str) -> Iterator[Row]:
    """Question and annotation side by side; what has no partner comes with None in its place."""
    subset = "val2014" if split == "test" else "train2014"
    purpose = f"the {split} split of VQA v2"
    annotations: dict[int, Row] = {}
    alone: list[Row] = []
    for row in root.rows(f"v2_mscoco_{subset}_annotations.json", "annotations", purpose):
        key = row.value.get("question_id") if isinstance(row.value, dict) else None
        if type(key) is not int or key in annotations:
            alone.append(row)
        else:
            annotations[key] = row
    for row in root.rows(f"v2_OpenEnded_mscoco_{subset}_questions.json", "questions", purpose):
        key = row.value.get("question_id") if isinstance(row.value, dict) else None
        yield Row(row.where, (row, annotations.pop(key, None) if type(key) is int else None))
    for row in [*annotations.values(), *alone]:
        yield Row(row.where, (None, row))


def _vqa_example(root: Root, split: str, row: Row) -> Example | None:
    question_row, annotation_row = row.value
    if question_row is None:
        return _alone(
            split, refuse(row.where, "field 'question_id' must be that of one question", annotation_row.value)
        )
    try:
        question = fields_of(question_row)
        image = field(row, question, "image_id", int)
    except DataError as error:
        return _alone(split, error)
    if split != "test" and (split == "dev") != is_held_out(image):
        return None
    name = field(row, question, "question_id", int)
    if annotation_row is None:
        raise refuse(row.where, "field 'question_id' must have an annotation of its own", name)
    annotation = fields_of(annotation_row)
    subset = "val2014" if split == "test" else "train2014"
    path = root.picture(row, "image_id", subset, f"COCO_{subset}_{image:012d}.jpg")
    text = field(row, question, "question", str)
    kind = field(annotation_row, annotation, "question_type", str) if "question_type" in annotation else ""
    return Example(str(name), (path,), text, _ten_answers(annotation_row, annotation), kind)


def is_held_out(image_id: int) -> bool:
    """Whether a picture of train2014 belongs to the dev split: a tenth of them, by a checksum of the number."""
    return crc32(str(image_id).encode()) % 10 == 0


def _alone(split: str, error: DataError) -> None:
    """A record without a usable picture number belongs to train, so that it is counted once."""
    if split != "dev":
        raise error


def _ten_answers(row: Row, annotation: dict[str, Any]) -> tuple[str, ...]:
    answers = field(row, annotation, "answers", list)
    if len(answers) != 10:
        raise refuse(row.where, "field 'answers' must hold ten answers", f"{len(answers)} of them")
    places = [Row(f"{row.where}.answers[{number}]", answer) for number, answer in enumerate(answers)]
    return tuple(field(place, fields_of(place), "answer", str, empty=True) for place in places)


# --- SNLI-VE ----------------------------------------------------------------------------------------------------------

_PICTURE_KEYS = ("Flickr30K_ID", "Flikr30kID", "Flickr30kID")  # the last two: older releases, which keep the ".jpg"


def _snli_ve_rows(root: Root, split: str) -> Iterator[Row]:
    return root.lines(f"snli_ve_{split}.jsonl", f"the {split} split of SNLI-VE")


def _snli_ve_example(root: Root, split: str, row: Row) -> Example | None:
    record = fields_of(row)
    label = field(row, record, "gold_label", str)
    if label == "-":
        raise _Unlabeled(f"{row.where}: field 'gold_label' is '-': the annotators did not agree, so there is no label")
    key = next((key for key in _PICTURE_KEYS if key in record), _PICTURE_KEYS[0])
    stem = field(row, record, key, str).removesuffix(".jpg")
    path = root.picture(row, key, "flickr30k_images", f"{stem}.jpg")
    name = field(row, record, "pairID", str)
    text = field(row, record, "sentence2", str)
    return Example(name, (path,), text, (one_of(row, "gold_label", label, _LABELS["snli_ve"]),), "")


# --- NLVR2 ------------------------------------------------------------------------------------------------------------

_NLVR2_FILES = {"train": "train", "dev": "dev", "test": "test1"}
_IDENTIFIER = re.compile(r"(train|dev|test1)(-[0-9]+){3}")


def _nlvr2_rows(root: Root, split: str) -> Iterator[Row]:
    return root.lines(f"{_NLVR2_FILES[split]}.json", f"the {split} split of NLVR2")


def _nlvr2_example(root: Root, split: str, row: Row) -> Example | None:
    record = fields_of(row)
    name = field(row, record, "identifier", str)
    file = _NLVR2_FILES[split]
    if not _IDENTIFIER.fullmatch(name) or not name.startswith(file + "-"):
        raise refuse(row.where, f"field 'identifier' must read '{file}-<set>-<pair>-<sentence>'", name)
    inner = f"{field(row, record, 'directory', int)}/" if split == "train" else ""
    stem = name.rsplit("-", 1)[0]
    sides = [root.picture(row, "identifier", f"images/{file}", f"{inner}{stem}-img{side}.png") for side in (0, 1)]
    label = one_of(row, "label", field(row, record, "label", str), _LABELS["nlvr2"])
    return Example(name, (sides[0], sides[1]), field(row, record, "sentence", str), (label,), "")


# --- COCO captions ----------------------------------------------------------------------------------------------------

_KARPATHY = {"train": "train", "restval": "train", "val": "dev", "test": "test"}


def _coco_rows(root: Root, split: str) -> Iterator[Row]:
    return root.rows("dataset_coco.json", "images", f"the {split} split of COCO captions")


def _coco_example(root: Root, split: str, row: Row) -> Example | None:
    try:
        record = fields_of(row)
        part = one_of(row, "split", field(row, record, "split", str), tuple(_KARPATHY))
    except DataError as error:
        return _alone("train" if split == "train" else "dev", error)
    if _KARPATHY[part] != split:
        return None
    name = field(row, record, "cocoid", int)
    folder, file = field(row, record, "filepath", str), field(row, record, "filename", str)
    official = folder in ("train2014", "val2014")
    place = ("filename", folder, file) if official else ("filepath", "", f"{folder}/{file}")
    path = root.picture(row, *place)
    sentences = field(row, record, "sentences", list)
    if not sentences:
        raise refuse(row.where, "field 'sentences' must hold at least one caption", sentences)
    places = [Row(f"{row.where}.sentences[{number}]", sentence) for number, sentence in enumerate(sentences)]
    return Example(str(name), (path,), "", tuple(field(place, fields_of(place), "raw", str) for place in places), "")


_LAYOUTS = {
    "vqa": _Layout("v2_*_questions.json", "v2_*.json", _vqa_rows, _vqa_example),
    "snli_ve": _Layout("snli_ve_*.jsonl", "snli_ve_*.jsonl", _snli_ve_rows, _snli_ve_example),
    "nlvr2": _Layout("images/*/", "dev.json", _nlvr2_rows, _nlvr2_example),
    "coco": _Layout("dataset_coco.json", "dataset_coco.json", _coco_rows, _coco_example),
}
