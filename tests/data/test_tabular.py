"""Own tables: what their columns mean, which split a record is in, and what a bad one is told."""

import json
from pathlib import Path

import pytest
from folders import lines, picture

from optima_lab.data.datasets import load, locate
from optima_lab.data.formats import Example, read
from optima_lab.data.tabular import find_table
from optima_lab.errors import DataError
from optima_lab.presets import preset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in "abc":
        picture(tmp_path / "data" / "photos" / f"{name}.jpg", 10 * ord(name) - 900)
    return tmp_path / "data"


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def examples(task: str, data: Path, split: str = "train", **strict: bool) -> tuple[Example, ...]:
    return read(task, data, split, **strict).examples


# --- what a table means -----------------------------------------------------------------------------------------------


def test_a_csv_of_questions(data: Path) -> None:
    table(
        data / "vqa.csv",
        "\ufeffpicture, text ,answer,split,extra\r\n"
        'photos/a.jpg,"How many, in\nall?",two,train,x\r\n'
        "\r\n"
        "photos/b.jpg,What is it?,a cat,VAL,y\r\n"
        "photos/c.jpg,Is it?, yes ,test,z\r\n",
    )
    (one,) = examples("vqa", data)
    assert one == Example("2", (data / "photos/a.jpg",), "How many, in\nall?", ("two",) * 10, "")
    assert [(each.id, each.answers[0]) for each in examples("vqa", data, "dev")] == [("5", "a cat")]
    assert [each.answers for each in examples("vqa", data, "test")] == [("yes",) * 10]


def test_json_lines_may_hold_lists_and_truth_values(data: Path) -> None:
    ten = [*["two"] * 7, *["2"] * 3]
    lines(data / "vqa.jsonl", [{"picture": "photos/a.jpg", "text": "How many?", "answer": ten, "split": "train"}])
    assert examples("vqa", data)[0].answers == tuple(ten)
    pair = {"picture": "photos/a.jpg", "picture2": "photos/b.jpg", "text": "Both.", "split": "dev"}
    lines(data / "nlvr2.jsonl", [{**pair, "answer": True}, {**pair, "answer": "FALSE", "id": 7}])
    found = examples("nlvr2", data, "dev")
    assert [each.answers for each in found] == [("True",), ("False",)]
    assert [each.id for each in found] == ["1", "7"]
    assert [path.name for path in found[0].images] == ["a.jpg", "b.jpg"]


def test_labels_are_the_tasks_own(data: Path) -> None:
    table(data / "snli_ve.csv", "picture,text,answer,split\nphotos/a.jpg,A dog.,Entailment,train\n")
    assert examples("snli_ve", data)[0].answers == ("entailment",)


def test_captions_of_one_picture_are_one_example(data: Path) -> None:
    table(
        data / "coco.csv",
        "picture,answer,split,id\nphotos/a.jpg,one,train,9\nphotos/b.jpg,two,train,8\nphotos/a.jpg,three,train,9\n",
    )
    assert [(each.id, each.answers, each.text) for each in examples("coco", data)] == [
        ("9", ("one", "three"), ""),
        ("8", ("two",), ""),
    ]
    (data / "coco.csv").unlink()
    lines(data / "coco.jsonl", [{"picture": "photos/a.jpg", "answer": ["one", "three"], "split": "test"}])
    assert [(e.id, e.answers) for e in examples("coco", data, "test")] == [("photos/a.jpg", ("one", "three"))]


def test_without_a_split_the_pictures_name_decides(data: Path) -> None:
    """CRC-32 modulo 10: 0 is test, 1 dev; one picture never lies in two splits."""
    names = [f"photos/{number}.jpg" for number in range(200)]
    for name in names:
        picture(data / name)
    records = [{"picture": name, "text": f"{n}?", "answer": "yes"} for name in names for n in (1, 2)]
    lines(data / "vqa.jsonl", records)
    found = {
        split: {each.images[0].name for each in examples("vqa", data, split)} for split in ("train", "dev", "test")
    }
    assert sum(map(len, found.values())) == len(set.union(*found.values())) == 200
    assert 140 <= len(found["train"]) <= 180 and len(found["dev"]) >= 10 and len(found["test"]) >= 10
    assert "19.jpg" in found["test"] and {"17.jpg", "20.jpg"} <= found["dev"] and "2.jpg" in found["train"]  # for good


def test_a_table_may_lie_in_the_tasks_folder(data: Path) -> None:
    text = "picture,text,answer,split\nphotos/a.jpg,A dog.,neutral,train\n"
    (data / "snli_ve").mkdir()
    (data / "photos").rename(data / "snli_ve" / "photos")
    assert find_table("snli_ve", data) is None
    path = table(data / "snli_ve" / "snli_ve.csv", text)
    assert find_table("snli_ve", data) == path
    assert examples("snli_ve", data) == examples("snli_ve", data / "snli_ve")


def test_two_tables_or_a_table_beside_the_release_are_refused(data: Path, snli_ve: Path) -> None:
    table(data / "snli_ve.csv", "picture,text,answer\n")
    table(data / "snli_ve.jsonl", "")
    with pytest.raises(DataError, match=r"must hold one table of snli_ve; got .*snli_ve\.csv and .*snli_ve\.jsonl"):
        read("snli_ve", data, "train")
    (data / "snli_ve.jsonl").unlink()
    snli_ve.rename(data / "snli_ve")
    with pytest.raises(DataError, match=r"must hold snli_ve once; got the table .*snli_ve\.csv and the official"):
        read("snli_ve", data, "train")


def test_a_table_is_trained_on_like_any_data(data: Path, tmp_path: Path) -> None:
    rows = [
        f"photos/{'abc'[n % 3]}.jpg,thing number {n} is {'yes' if n % 2 else 'no'}?,{'yes' if n % 2 else 'no'}"
        for n in range(30)
    ]
    splits = ["train", "dev", "test"]
    table(
        data / "vqa.csv",
        "\n".join(["picture,text,answer,split", *(f"{r},{splits[n % 3]}" for n, r in enumerate(rows))]),
    )
    table(data / "coco.csv", "picture,answer,split\n" + "".join(f"photos/a.jpg,caption {n},train\n" for n in range(9)))
    config = preset("vqa", "smoke", data=str(data))
    source = locate(config, tmp_path / "runs")
    found = load(config, source)
    assert [len(split) for split in (found.train, found.dev, found.test)] == [10, 10, 10]
    assert found.classes == ("no", "yes")
    assert found.train.targets.max() == 1, "a single answer counts like ten equal ones"
    edit_answer = (data / "vqa.csv").read_text().replace("0 is no?,no,train", "0 is no?,on,train")
    table(data / "vqa.csv", edit_answer)
    assert locate(config, tmp_path / "runs").fingerprint != source.fingerprint


# --- what a bad one is told -------------------------------------------------------------------------------------------

GOOD = {"picture": "photos/a.jpg", "text": "A dog.", "answer": "neutral", "split": "train"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"picture": "photos/none.jpg"}, "field 'picture' must name a picture inside .*which is missing"),
        ({"picture": "../secret.jpg"}, "leaves that folder"),
        ({"picture": "/etc/passwd"}, "leaves that folder"),
        ({"picture": ""}, "field 'picture' must not be empty"),
        ({"text": " "}, "field 'text' must not be empty"),
        ({"answer": "neutrall"}, "field 'answer' must be one of .*did you mean 'neutral'"),
        ({"answer": ""}, "field 'answer' must not be empty"),
        ({"split": "training"}, "field 'split' must be one of .*did you mean 'train'"),
        ({"split": ""}, "field 'split' must not be empty"),
        ({"id": "1"}, "field 'id' must be unique, .*:1 has it too"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_bad_record_is_refused_by_file_and_line(data: Path, changes: dict, told: str, suffix: str) -> None:
    path = data / f"snli_ve{suffix}"
    first, second, third = {**GOOD, "id": "1"}, {**GOOD, "id": "2", **changes}, {**GOOD, "id": "3"}
    if suffix == ".csv":
        rows = [",".join(each.values()) for each in (first, second, third)]
        table(path, "\n".join([",".join(first), *rows]) + "\n")
    else:
        lines(path, [first, second, third])
    line = 3 if suffix == ".csv" else 2
    if "unique" in told and suffix == ".csv":
        told = told.replace(":1", ":2")
    with pytest.raises(DataError, match=rf"snli_ve\{suffix}:{line}: {told}" if "must" in told else told) as caught:
        read("snli_ve", data, "train")
    assert "\n" not in str(caught.value)
    found = read("snli_ve", data, "train", strict=False)
    assert [each.id for each in found.examples] == ["1", "3"] and found.skipped == (str(caught.value),)
    assert read("snli_ve", data, "dev") == read("snli_ve", data, "test")  # counted once, in train


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"vqa\.csv: must begin with a line of column names; it is empty"),
        ("image,text,answer\n", r"vqa\.csv:1: the columns must be named and hold 'picture' once; got 'image', 'text'"),
        ("picture,text\n", r"vqa\.csv:1: .* hold 'answer' once"),
        ("picture,text,text,answer\n", r"vqa\.csv:1: .* hold 'text' once; got twice 'text'"),
        ("picture;text;answer\n", r"vqa\.csv:1: .*got 'picture;text;answer'"),
        ("picture,text,answer\nphotos/a.jpg,x\n", r"vqa\.csv:2: a line must have as many cells as there are columns"),
        ('picture,text,answer\nphotos/a.jpg,"x\n', r"vqa\.csv:2: must be CSV with commas and double quotes"),
        ('picture,text,answer\nphotos/a.jpg,"x"y,z\n', r"vqa\.csv:2: must be CSV with commas and double quotes"),
    ],
)
def test_a_broken_csv_is_told(data: Path, text: str, told: str) -> None:
    table(data / "vqa.csv", text)
    with pytest.raises(DataError, match=told):
        read("vqa", data, "train")


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("{broken", r"vqa\.jsonl:2: must be JSON"),
        ("[1]", r"vqa\.jsonl:2: a record must be a JSON object"),
        (json.dumps({**GOOD, "answer": ["yes"] * 9}), r"vqa\.jsonl:2: field 'answer' must hold ten answers, or one"),
        (json.dumps({**GOOD, "answer": 3}), r"vqa\.jsonl:2: field 'answer' must be a string; got 3"),
        (json.dumps({"picture": "photos/a.jpg", "text": "x", "answer": "y"}), r"jsonl:2: field 'split' must be there"),
        (json.dumps({**GOOD, "text": "a\x00b"}), r"vqa\.jsonl:2: field 'text' must be clean text"),
    ],
)
def test_a_broken_line_of_json_spoils_itself_alone(data: Path, record: str, told: str) -> None:
    lines(data / "vqa.jsonl", [GOOD, record, GOOD])
    with pytest.raises(DataError, match=told):
        read("vqa", data, "train")
    assert len(examples("vqa", data, strict=False)) == 2


def test_bytes_that_are_no_text_spoil_their_line_alone(data: Path) -> None:
    good = b"photos/a.jpg,x?,yes,train\n"
    (data / "vqa.csv").write_bytes(b"picture,text,answer,split\n" + good + b"photos/a.jpg,\xff\xfe,no,train\n" + good)
    with pytest.raises(DataError, match=r"vqa\.csv:3: field 'text' must be clean text"):
        read("vqa", data, "train")
    assert len(examples("vqa", data, strict=False)) == 2


def test_splits_in_some_records_are_refused(data: Path) -> None:
    plain = {key: value for key, value in GOOD.items() if key != "split"}
    lines(data / "vqa.jsonl", [plain, GOOD])
    with pytest.raises(DataError, match=r"vqa\.jsonl:2: field 'split' must be in all records or in none"):
        read("vqa", data, "train")
