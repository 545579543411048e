"""VQA's questions of the test servers, whose answers nobody publishes."""

import os
from pathlib import Path

from optima_lab.data.formats import Example, Records, must_be_new, task_folder
from optima_lab.data.validation import Root, field, fields_of
from optima_lab.files import expand


def read_questions(folder: str | Path, name: str) -> Records:
    """Questions without answers, of 'test2015' or 'test-dev2015': both with the pictures of `test2015/`.

    Raises DataError for a missing file and for the first bad record.
    """
    place = task_folder("vqa", folder)
    root = Root(place, (os.path.realpath(expand(folder)), os.path.realpath(place)))
    examples: list[Example] = []
    first: dict[str, str] = {}
    for row in root.rows(f"v2_OpenEnded_mscoco_{name}_questions.json", "questions", f"{name} of VQA v2"):
        record = fields_of(row)
        image = field(row, record, "image_id", int)
        path = root.picture(row, "image_id", "test2015", f"COCO_test2015_{image:012d}.jpg")
        text, number = field(row, record, "question", str), field(row, record, "question_id", int)
        examples.append(Example(str(number), (path,), text, (), ""))
        must_be_new(examples[-1], row, first)
    return Records(tuple(examples), ())
