"""Hand-made folders in the official layouts, a handful of records each."""

from pathlib import Path

import pytest
from folders import lines, picture

REALDATA = Path(__file__).parents[3] / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    if not REALDATA.is_dir():
        pytest.skip(f"no real data at {REALDATA}")
    return REALDATA


@pytest.fixture
def snli_ve(tmp_path: Path) -> Path:
    """Two pictures; train has one record in each of the three spellings of the picture's key."""
    root = tmp_path / "snli_ve"
    picture(root / "flickr30k_images" / "11.jpg")
    picture(root / "flickr30k_images" / "22.jpg", 200)
    records = [
        {"Flickr30K_ID": "11", "gold_label": "entailment", "pairID": "11.jpg#0r1e", "sentence2": "A dog."},
        {"Flikr30kID": "22.jpg", "gold_label": "neutral", "pairID": "22.jpg#0r1n", "sentence2": " A cat. "},
        {"Flickr30kID": "22", "gold_label": "contradiction", "pairID": "22.jpg#0r1c", "sentence2": "No."},
    ]
    for split in ("train", "dev", "test"):
        lines(root / f"snli_ve_{split}.jsonl", records)
    return root


@pytest.fixture
def nlvr2(tmp_path: Path) -> Path:
    """One pair of pictures a split, with two sentences in train."""
    root = tmp_path / "nlvr2"
    for file, inner in (("train", "7/"), ("dev", ""), ("test1", "")):
        for side in (0, 1):
            picture(root / "images" / file / f"{inner}{file}-5-2-img{side}.png", 50 + 100 * side)
        directory = {"directory": 7} if file == "train" else {}
        records = [
            {"identifier": f"{file}-5-2-{n}", "sentence": f"Sentence {n}.", "label": label, **directory}
            for n, label in enumerate(("True", "False"))
        ]
        lines(root / f"{file}.json", records if file == "train" else records[:1])
    return root


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Three pictures: train, restval (train too) and val; the first has three captions, the others one."""
    root = tmp_path / "coco"
    images = []
    for number, (split, folder, captions) in enumerate(
        [("train", "train2014", 3), ("restval", "val2014", 1), ("val", "val2014", 1)], start=1
    ):
        file = f"COCO_{folder}_{number:012d}.jpg"
        picture(root / folder / file, 40 * number)
        sentences = [{"raw": f"caption {n} of {number} .", "tokens": []} for n in range(captions)]
        images.append({"filepath": folder, "filename": file, "cocoid": number, "split": split, "sentences": sentences})
    lines(root / "dataset_coco.json", [{"images": images, "dataset": "coco"}])
    return root


@pytest.fixture
def vqa(tmp_path: Path) -> Path:
    """Pictures 1 to 40 of train2014 with a question each, picture 1 of val2014 with two."""
    root = tmp_path / "vqa"
    for subset, images in (("train2014", range(1, 41)), ("val2014", (1, 1))):
        keys = [{"image_id": image, "question_id": 1000 * image + n} for n, image in enumerate(images)]
        for image in images:
            picture(root / subset / f"COCO_{subset}_{image:012d}.jpg", image)
        answers = [{"answer": "two" if n < 7 else "2.", "answer_id": n + 1} for n in range(10)]
        questions = [{**key, "question": f"How many are {n}?"} for n, key in enumerate(keys)]
        annotations = [{**key, "question_type": "how many", "answers": answers} for key in keys]
        lines(root / f"v2_OpenEnded_mscoco_{subset}_questions.json", [{"questions": questions}])
        lines(root / f"v2_mscoco_{subset}_annotations.json", [{"annotations": annotations}])
    return root
