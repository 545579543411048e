"""The readers: what the official layouts mean, and what a bad record is told."""

import json
import os
from pathlib import Path

import pytest
from folders import edit, lines, picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optima_lab.data.formats import labels, read, task_folder
from optima_lab.errors import ConfigError, DataError

TASKS = ("vqa", "snli_ve", "nlvr2", "coco")


def first_line(root: Path, **changes: object) -> Path:
    """Change (or with None remove) fields of the first dev record of SNLI-VE."""
    path = root / "snli_ve_dev.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[0] = {key: value for key, value in {**records[0], **changes}.items() if value is not None}
    lines(path, records)
    return path


# --- what the layouts mean --------------------------------------------------------------------------------------------


def test_snli_ve_in_all_three_spellings_of_the_picture_key(snli_ve: Path) -> None:
    examples = read("snli_ve", snli_ve, "train").examples
    assert [example.images[0].name for example in examples] == ["11.jpg", "22.jpg", "22.jpg"]
    assert [example.answers for example in examples] == [("entailment",), ("neutral",), ("contradiction",)]
    assert examples[1].text == "A cat." and examples[1].id == "22.jpg#0r1n" and examples[1].kind == ""


LABELS = ("entailment", "neutral", "contradiction")
SPELLINGS = [(key, end) for key in ("Flickr30K_ID", "Flikr30kID", "Flickr30kID") for end in ("", ".jpg")]


@pytest.mark.parametrize(
    ("key", "end", "label", "wanted"),
    [
        *[(key, end, label, label) for key, end in SPELLINGS for label in LABELS],
        ("Flickr30K_ID", "", "-", "did not agree"),
        ("Flikr30kID", ".jpg", "-", "did not agree"),
        ("Flickr30K_ID", "", "Entailment", "field 'gold_label' must be one of 'entailment', "),
        ("flickr30k_id", "", "neutral", "field 'Flickr30K_ID' "),
    ],
)
def test_snli_ve_in_every_spelling_of_key_and_label(snli_ve: Path, key: str, end: str, label: str, wanted: str) -> None:
    record = {key: f"22{end}", "gold_label": label, "pairID": "22.jpg#0r1x", "sentence2": "A cat."}
    lines(snli_ve / "snli_ve_dev.jsonl", [record])
    found = read("snli_ve", snli_ve, "dev", strict=False)
    if wanted in LABELS:
        (example,) = found.examples
        assert example.images[0].name == "22.jpg" and example.answers == (wanted,) and found.skipped == ()
        return
    (reason,) = found.skipped
    assert found.examples == () and wanted in reason and "snli_ve_dev.jsonl:1" in reason


def test_a_pair_without_agreement_is_skipped_and_counted_even_when_strict(snli_ve: Path) -> None:
    first_line(snli_ve, gold_label="-")
    records = read("snli_ve", snli_ve, "dev")
    assert len(records.examples) == 2
    assert len(records.skipped) == 1 and "snli_ve_dev.jsonl:1" in records.skipped[0]


def test_nlvr2_pictures_of_train_stand_in_directories(nlvr2: Path) -> None:
    train = read("nlvr2", nlvr2, "train").examples
    names = [path.relative_to(nlvr2).as_posix() for path in train[0].images]
    assert names == ["images/train/7/train-5-2-img0.png", "images/train/7/train-5-2-img1.png"]
    assert [example.answers[0] for example in train] == ["True", "False"]
    assert read("nlvr2", nlvr2, "test").examples[0].images[1].name == "test1-5-2-img1.png"


def test_coco_restval_is_train_and_captions_are_answers(coco: Path) -> None:
    train = read("coco", coco, "train").examples
    assert [example.id for example in train] == ["1", "2"]
    assert train[0].answers == ("caption 0 of 1 .", "caption 1 of 1 .", "caption 2 of 1 .") and train[0].text == ""
    assert [example.id for example in read("coco", coco, "dev").examples] == ["3"]
    assert read("coco", coco, "test").examples == ()


def test_karpathys_oddities(coco: Path) -> None:
    """One number in both folders, more than five captions, the same twice, spaces, keys that nobody needs."""
    picture(coco / "val2014" / "COCO_val2014_000000000001.jpg", 200)
    raw = ["A dog.", "A dog.", " Two  dogs\n", "Dogs", "dogs", "A « dog »", "No."]
    more = {"filepath": "val2014", "filename": "COCO_val2014_000000000001.jpg", "cocoid": 4, "split": "restval"}
    more |= {"imgid": 0, "sentids": [1], "sentences": [{"raw": text, "imgid": 9, "tokens": None} for text in raw]}
    edit(coco / "dataset_coco.json", lambda content: content["images"].insert(0, more))
    first, second, third = read("coco", coco, "train").examples
    assert [first.id, second.id, third.id] == ["4", "1", "2"], (
        "in the file's order, by COCO's number and not Karpathy's"
    )
    assert first.images[0].parent.name == "val2014" and second.images[0].parent.name == "train2014"
    assert len(first.answers) == 7 and first.answers[:2] == ("A dog.", "A dog.") and first.answers[5] == "A « dog »"


def test_vqa_dev_is_held_out_by_picture(vqa: Path) -> None:
    train, dev = (read("vqa", vqa, split).examples for split in ("train", "dev"))
    assert len(train) + len(dev) == 40 and 1 <= len(dev) <= 8
    assert {example.images for example in train}.isdisjoint(example.images for example in dev)
    assert train[0].answers == ("two",) * 7 + ("2.",) * 3 and train[0].kind == "how many"
    assert [example.id for example in read("vqa", vqa, "test").examples] == ["1000", "1001"]


def test_the_root_or_the_task_folder_may_be_named(snli_ve: Path) -> None:
    assert read("snli_ve", snli_ve, "dev") == read("snli_ve", snli_ve.parent, "dev")
    assert task_folder("snli_ve", str(snli_ve)) == snli_ve


def test_labels_are_fixed_where_a_task_has_classes() -> None:
    assert labels("nlvr2") == ("False", "True") and labels("vqa") == labels("coco") == ()
    assert labels("snli_ve") == ("entailment", "neutral", "contradiction")


# --- what a bad record is told ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gold_label": "entails"}, ["'gold_label'", "'neutral'", "'entails'", "did you mean 'entailment'"]),
        ({"gold_label": 3}, ["'gold_label'", "a string", "3"]),
        ({"gold_label": None}, ["'gold_label'", "must be there"]),
        ({"sentence2": "  "}, ["'sentence2'", "not be empty"]),
        ({"sentence2": "a\x00b"}, ["'sentence2'", "clean text"]),
        ({"Flickr30K_ID": "99"}, ["'Flickr30K_ID'", "99.jpg", "missing"]),
        ({"Flickr30K_ID": "../../secret"}, ["'Flickr30K_ID'", "leaves that folder"]),
        ({"Flickr30K_ID": "/etc/passwd"}, ["'Flickr30K_ID'", "leaves that folder"]),
        ({"Flickr30K_ID": "x" * 5000}, ["'Flickr30K_ID'"]),
        ({"Flickr30K_ID": None}, ["'Flickr30K_ID'", "must be there"]),
        ({"pairID": "22.jpg#0r1n"}, ["unique", "snli_ve_dev.jsonl:1"]),
    ],
)
def test_a_bad_field_is_refused_by_file_line_and_name(snli_ve: Path, changes: dict, words: list[str]) -> None:
    first_line(snli_ve, **changes)
    with pytest.raises(DataError) as caught:
        read("snli_ve", snli_ve, "dev")
    message = str(caught.value)
    line = 2 if "pairID" in changes else 1
    assert all(word in message for word in [f"snli_ve_dev.jsonl:{line}: ", *words]) and "\n" not in message
    assert len(message) < 400 + len(str(snli_ve)) * 2
    records = read("snli_ve", snli_ve, "dev", strict=False)
    assert len(records.examples) == 2 and records.skipped == (message,)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('{"Flickr30K_ID": "11", ', "JSON"),
        ("[1, 2]", "JSON object"),
        ('{"pairID": "a", "pairID": "b"}', "stands twice"),
        ("[" * 100_000, "JSON"),
        ("9" * 10_000, "JSON"),
    ],
)
def test_a_broken_line_is_refused_by_number(snli_ve: Path, line: str, word: str) -> None:
    path = snli_ve / "snli_ve_dev.jsonl"
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(DataError, match=r"snli_ve_dev\.jsonl:5: .*" + word):
        read("snli_ve", snli_ve, "dev")
    assert len(read("snli_ve", snli_ve, "dev", strict=False).examples) == 3


def test_bytes_that_are_no_text_spoil_their_line_alone(snli_ve: Path) -> None:
    path = snli_ve / "snli_ve_dev.jsonl"
    path.write_bytes(b'{"pairID": "\xff\xfe"}\n' + path.read_bytes())
    records = read("snli_ve", snli_ve, "dev", strict=False)
    assert len(records.examples) == 3 and "snli_ve_dev.jsonl:1" in records.skipped[0]


def test_a_picture_link_that_leaves_the_folder_is_refused(snli_ve: Path, tmp_path: Path) -> None:
    picture(tmp_path / "outside.jpg")
    os.symlink(tmp_path / "outside.jpg", snli_ve / "flickr30k_images" / "33.jpg")
    first_line(snli_ve, Flickr30K_ID="33")
    with pytest.raises(DataError, match="leaves that folder"):
        read("snli_ve", snli_ve, "dev")


def test_a_folder_link_that_leaves_the_pictures_is_refused(nlvr2: Path, tmp_path: Path) -> None:
    (nlvr2 / "images" / "train" / "7").rename(tmp_path / "outside")
    os.symlink(tmp_path / "outside", nlvr2 / "images" / "train" / "7")
    with pytest.raises(DataError, match=r"train\.json:1: field 'identifier'.*leaves that folder"):
        read("nlvr2", nlvr2, "train")


def test_the_picture_folder_itself_may_be_a_link(snli_ve: Path, tmp_path: Path) -> None:
    (snli_ve / "flickr30k_images").rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", snli_ve / "flickr30k_images")
    assert len(read("snli_ve", snli_ve, "dev").examples) == 3


@pytest.mark.parametrize("what", ["file", "relative", "folder", "annotations"])
def test_links_stay_in_the_data_or_the_user_says_so(snli_ve: Path, nlvr2: Path, tmp_path: Path, what: str) -> None:
    """One link from the task to elsewhere: refused, accepted with `links`, and accepted where it stays in the data."""
    task, place = {
        "file": ("snli_ve", snli_ve / "flickr30k_images" / "11.jpg"),
        "relative": ("snli_ve", snli_ve / "flickr30k_images" / "22.jpg"),
        "folder": ("nlvr2", nlvr2 / "images" / "train" / "7"),
        "annotations": ("snli_ve", snli_ve / "snli_ve_train.jsonl"),
    }[what]
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / task).rename(data / task)
    place = data / place.relative_to(tmp_path)
    outside, inside = tmp_path / "outside", data / "inside"
    place.rename(outside)
    place.symlink_to(outside)
    before = len(read(task, data, "train", links=True).examples)
    assert before == {"snli_ve": 3, "nlvr2": 2}[task]
    with pytest.raises(DataError, match=r"leaves that folder.*links=true"):
        read(task, data, "train")
    outside.rename(inside)
    place.unlink()
    place.symlink_to(os.path.relpath(inside, place.parent) if what == "relative" else inside)
    assert len(read(task, data, "train").examples) == before
    with pytest.raises(DataError, match="leaves that folder"):
        read(task, data / task, "train")  # here the data are the task's folder alone


def test_a_link_that_moves_within_one_process_is_seen(snli_ve: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (snli_ve / "flickr30k_images").rename(tmp_path / "one" / "pictures")
    link = snli_ve / "flickr30k_images"
    link.symlink_to(tmp_path / "one" / "pictures")
    assert len(read("snli_ve", snli_ve, "dev").examples) == 3
    link.unlink()
    link.symlink_to(tmp_path / "two")
    with pytest.raises(DataError, match="missing"):
        read("snli_ve", snli_ve, "dev")


@pytest.mark.parametrize("name", [".33", ".hidden/33", "a/.b/33"])
def test_hidden_pictures_are_no_data(snli_ve: Path, name: str) -> None:
    """They are not in the fingerprint, so they must not be read."""
    picture(snli_ve / "flickr30k_images" / f"{name}.jpg")
    first_line(snli_ve, Flickr30K_ID=name)
    with pytest.raises(DataError, match="which is hidden"):
        read("snli_ve", snli_ve, "dev")


def test_the_identifier_must_be_that_of_the_split(nlvr2: Path) -> None:
    for name in ("train-5-2-0", "dev-5-2", "dev-5-../../x-0", "dev-5-2-٣"):
        lines(nlvr2 / "dev.json", [{"identifier": name, "sentence": "x", "label": "True"}])
        with pytest.raises(DataError, match=r"dev\.json:1: field 'identifier' must read 'dev-"):
            read("nlvr2", nlvr2, "dev")
    lines(nlvr2 / "dev.json", [{"identifier": "dev-5-2-0", "sentence": "x", "label": True}])
    with pytest.raises(DataError, match="field 'label' must be a string; got True"):
        read("nlvr2", nlvr2, "dev")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image.update(split="traln"), ["'split'", "did you mean 'train'"]),
        (lambda image: image.update(filepath="../vqa"), ["'filepath'", "leaves that folder"]),
        (lambda image: image.update(filename="../../x.jpg"), ["'filename'", "leaves that folder"]),
        (lambda image: image.update(sentences=[]), ["'sentences'", "at least one caption"]),
        (lambda image: image["sentences"][2].update(raw=5), ["images[0].sentences[2]", "'raw'", "a string"]),
        (lambda image: image.update(cocoid="1"), ["'cocoid'", "a whole number", "'1'"]),
    ],
)
def test_a_bad_picture_record_is_refused_by_place(coco: Path, change, words: list[str]) -> None:
    edit(coco / "dataset_coco.json", lambda content: change(content["images"][0]))
    with pytest.raises(DataError) as caught:
        read("coco", coco, "train")
    assert all(word in str(caught.value) for word in ["dataset_coco.json: images[0]", *words])
    records = read("coco", coco, "train", strict=False)
    assert len(records.examples) == 1 and len(records.skipped) == 1


def test_questions_and_annotations_must_pair_up(vqa: Path) -> None:
    path = vqa / "v2_mscoco_val2014_annotations.json"
    edit(path, lambda content: content["annotations"][0].update(question_id=77))
    with pytest.raises(DataError, match=r"val2014_questions.json: questions\[0\].*annotation of its own; got 1000"):
        read("vqa", vqa, "test")
    records = read("vqa", vqa, "test", strict=False)
    assert len(records.examples) == 1 and len(records.skipped) == 2
    assert "annotations[0]" in records.skipped[1]


def test_ten_answers_are_asked_for(vqa: Path) -> None:
    edit(vqa / "v2_mscoco_val2014_annotations.json", lambda content: content["annotations"][1]["answers"].pop())
    with pytest.raises(DataError, match=r"annotations\[1\]: field 'answers' must hold ten answers; got '9 of them'"):
        read("vqa", vqa, "test")


def test_a_missing_or_broken_file_is_named(vqa: Path) -> None:
    path = vqa / "v2_OpenEnded_mscoco_val2014_questions.json"
    path.write_text('{"questions": 5}')
    with pytest.raises(DataError, match="a list under 'questions'"):
        read("vqa", vqa, "test", strict=False)
    path.unlink()
    with pytest.raises(DataError, match=r"val2014_questions\.json is missing: the test split of VQA v2"):
        read("vqa", vqa, "test", strict=False)


def test_a_wrong_folder_task_or_split_is_told(tmp_path: Path, snli_ve: Path) -> None:
    with pytest.raises(DataError, match=r"data folder must exist; got '.*nowhere'"):
        read("vqa", tmp_path / "nowhere", "train")
    with pytest.raises(DataError, match="must hold a folder 'vqa'"):
        read("vqa", snli_ve, "train")
    with pytest.raises(ConfigError, match="did you mean 'snli_ve'"):
        read("snli-ve", tmp_path, "train")
    with pytest.raises(ConfigError, match="split must be one of train, dev, test"):
        read("snli_ve", snli_ve, "val")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = """
    Flickr30K_ID Flikr30kID gold_label pairID sentence2 image_id question_id question answers question_type identifier
    sentence label directory split filepath filename sentences cocoid
"""
fields = st.sampled_from(NAMES.split())
records = st.dictionaries(fields, json_values, max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(records | json_values, max_size=4), st.binary(max_size=40))
def test_hostile_records_raise_nothing_but_data_errors(tmp_path: Path, content: list, noise: bytes) -> None:
    text = [json.dumps(record).encode() for record in content]
    for task, names, key in (
        ("snli_ve", ["snli_ve_dev.jsonl"], None),
        ("nlvr2", ["dev.json"], None),
        ("coco", ["dataset_coco.json"], "images"),
        ("vqa", ["v2_OpenEnded_mscoco_train2014_questions.json", "v2_mscoco_train2014_annotations.json"], ""),
    ):
        root = tmp_path / task
        root.mkdir(exist_ok=True)
        for name in names:
            list_name = key if key else "questions" if "questions" in name else "annotations"
            whole = b'{"%s": [%s]}' % (list_name.encode(), b",".join(text))
            (root / name).write_bytes(b"\n".join([*text, noise]) if key is None else whole)
        assert read(task, tmp_path, "dev", strict=False).examples == ()


# --- what people made -------------------------------------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("task", "counts"),
    [("vqa", (8986, 990, 2492)), ("snli_ve", (770, 151, 882)), ("nlvr2", (1757, 217, 990)), ("coco", (753, 113, 125))],
)
def test_real_data_is_read_whole(realdata: Path, task: str, counts: tuple[int, int, int]) -> None:
    for split, count in zip(("train", "dev", "test"), counts, strict=True):
        records = read(task, realdata, split)
        assert len(records.examples) == count and records.skipped == ()


@pytest.mark.realdata
def test_official_records_are_read_verbatim(realdata: Path) -> None:
    root = realdata / "official_fixtures"
    vqa = read("vqa", root, "train").examples
    assert len(vqa) == 3 and len(vqa[0].answers) == 10 and vqa[0].answers[:2] == ("net", "net")
    snli_ve = read("snli_ve", root, "dev").examples
    assert len(snli_ve) == 16 and snli_ve[0].text == "A toddler sleeps outside."
    nlvr2 = read("nlvr2", root, "dev").examples
    assert len(nlvr2) == 8 and [path.name for path in nlvr2[0].images] == ["dev-850-0-img0.png", "dev-850-0-img1.png"]
    with pytest.raises(DataError, match=r"train\.json is missing"):
        read("nlvr2", root, "train")
