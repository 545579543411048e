"""Own data as one table a task: `vqa.csv` or `vqa.jsonl` with the columns picture, text and answer.

| column | holds |
|---|---|
| picture | a file, relative to the table's folder; `picture2` the second one of NLVR2 |
| text | question, hypothesis or statement; none for captions |
| answer | the answer, label or caption; in JSON also a list: ten answers (VQA), all captions (COCO) |
| split | train, dev or test; where no record has one, the picture's name decides: 80, 10 and 10 % |
| id | optional: unique, for captions the picture's |
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from optima_lab.data.validation import Root, Row, field, fields_of, one_of, read_bytes, refuse
from optima_lab.errors import DataError

SPLITS = {"train": "train", "dev": "dev", "val": "dev", "validation": "dev", "test": "test"}
_SUFFIXES = (".csv", ".jsonl")
_VQA_ANSWERS = 10  # that the official accuracy counts


@dataclass(frozen=True)
class Item:
    """One checked record of a table."""

    id: str
    pictures: tuple[Path, ...]
    text: str
    answers: tuple[str, ...]


def find_table(task: str, folder: Path) -> Path | None:
    """`<task>.csv` or `.jsonl` in `folder` or in its folder `<task>`; None where there is none.

    Raises DataError where there is more than one.
    """
    places = (place / (task + suffix) for place in (folder, folder / task) for suffix in _SUFFIXES)
    tables = [path for path in places if path.is_file()]
    if len(tables) > 1:
        raise DataError(f"{folder} must hold one table of {task}; got {' and '.join(map(str, tables))}")
    return tables[0] if tables else None


def read_table(
    task: str, labels: Sequence[str], root: Root, name: str, split: str, strict: bool
) -> tuple[list[Item], tuple[str, ...]]:
    """The records of one split of the table `name` in `root`, and a line for each that was skipped.

    `labels` are the classes of the task, if fixed. Raises DataError where the file is no table or lacks a column, and
    if `strict` for the first bad record.
    """
    items: list[Item] = []
    skipped: list[str] = []
    first: dict[str, str] = {}
    for row in _rows(task, root, name):
        try:
            item = _item(task, labels, root, split, row)
            if item is not None and task != "coco" and first.setdefault(item.id, row.where) != row.where:
                raise refuse(row.where, f"field 'id' must be unique, {first[item.id]} has it too", item.id)
            items += [item] if item is not None else []
        except DataError as error:
            if strict:
                raise
            skipped.append(str(error))
    return (_one_a_picture(items) if task == "coco" else items), tuple(skipped)


def _one_a_picture(items: Sequence[Item]) -> list[Item]:
    """All captions of a picture in one record, called as the first of them."""
    merged: dict[tuple[Path, ...], Item] = {}
    for item in items:
        first = merged.get(item.pictures, replace(item, answers=()))
        merged[item.pictures] = replace(first, answers=(*first.answers, *item.answers))
    return list(merged.values())


def _rows(task: str, root: Root, name: str) -> Iterator[Row]:
    """The records, unchecked: the value of each is (fields, or bytes of JSON; whether records have splits)."""
    if name.endswith(".jsonl"):
        lines = list(root.lines(name, f"the table of {task}"))
        yield from (Row(row.where, (row.value, _has_split(lines))) for row in lines)
    else:
        yield from _csv_rows(task, root, name)


def _has_split(lines: Sequence[Row]) -> bool:
    """Whether the first record that can be read has a split: then all must."""
    for row in lines:
        try:
            return "split" in fields_of(row)
        except DataError:
            continue
    return False


def _csv_rows(task: str, root: Root, name: str) -> Iterator[Row]:
    path = root.path / name
    text = read_bytes(path, f"the table of {task}", root.places).decode("utf-8-sig", "surrogateescape")
    cells = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    start = 1
    try:
        for row in cells:
            where = f"{path}:{start}"
            start = cells.line_num + 1
            if not row:
                continue
            if not header:
                header = _header(task, where, row)
            else:
                yield Row(where, (_record(header, row), "split" in header))
    except csv.Error as error:
        raise DataError(f"{path}:{start}: must be CSV with commas and double quotes; {error}") from None
    if not header:
        raise DataError(f"{path}: must begin with a line of column names; it is empty")


def _header(task: str, where: str, row: list[str]) -> list[str]:
    names = [name.strip() for name in row]
    for name in ("picture", "answer", *_more_columns(task)):
        if names.count(name) != 1:
            came = f"twice {name!r}" if name in names else f"{', '.join(map(repr, names))[:100]}"
            raise DataError(f"{where}: the columns must be named and hold {name!r} once; got {came}")
    return names


def _more_columns(task: str) -> tuple[str, ...]:
    return {"nlvr2": ("text", "picture2"), "coco": ()}.get(task, ("text",))


def _record(header: list[str], row: list[str]) -> dict[str, str] | list[str]:
    """A list, which is no record, where there are more or fewer cells than columns."""
    return dict(zip(header, row, strict=True)) if len(header) == len(row) else row


def _item(task: str, labels: Sequence[str], root: Root, split: str, row: Row) -> Item | None:
    """The record if it is of the split, else None. What cannot be told to be of a split belongs to train."""
    value, has_split = row.value
    inner = Row(row.where, value)
    try:
        if isinstance(value, list):
            raise refuse(row.where, "a line must have as many cells as there are columns", value)
        record = fields_of(inner)
        name = field(inner, record, "picture", str)
        own = _split(inner, record, name, has_split)
    except DataError:
        if split == "train":
            raise
        return None
    if own != split:
        return None
    names = {"picture": name} | ({"picture2": field(inner, record, "picture2", str)} if task == "nlvr2" else {})
    pictures = tuple(root.picture(inner, key, "", each) for key, each in names.items())
    text = "" if task == "coco" else field(inner, record, "text", str)
    usual = name if task == "coco" else row.where.rpartition(":")[2]
    identifier = str(record["id"]).strip() if record.get("id") not in (None, "") else usual
    return Item(identifier, pictures, text, _answers(task, labels, inner, record))


def _split(row: Row, record: dict[str, Any], picture: str, has_split: bool) -> str:
    if has_split:
        return SPLITS[one_of(row, "split", field(row, record, "split", str).lower(), tuple(SPLITS))]
    if "split" in record:
        raise refuse(row.where, "field 'split' must be in all records or in none", record["split"])
    return {0: "test", 1: "dev"}.get(crc32(picture.encode(errors="replace")) % 10, "train")


def _answers(task: str, labels: Sequence[str], row: Row, record: dict[str, Any]) -> tuple[str, ...]:
    value = record.get("answer")
    if task in ("vqa", "coco") and isinstance(value, list):
        places = [Row(f"{row.where}.answer[{number}]", each) for number, each in enumerate(value)]
        answers = tuple(field(place, {"answer": place.value}, "answer", str) for place in places)
        if len(answers) != _VQA_ANSWERS if task == "vqa" else not answers:
            must = "ten answers, or one that is no list" if task == "vqa" else "at least one caption"
            raise refuse(row.where, f"field 'answer' must hold {must}", value)
        return answers
    if labels and isinstance(value, bool):
        record = {**record, "answer": str(value)}
    answer = field(row, record, "answer", str)
    if labels:
        close = next((label for label in labels if label.lower() == answer.lower()), answer)
        return (one_of(row, "answer", close, tuple(labels)),)
    return (answer,) * _VQA_ANSWERS if task == "vqa" else (answer,)
