"""The embedded world in the official layouts, one writer per task: the mirror image of `formats`.

A writer is an iterator that has written one more scene (pair of scenes for NLVR2) at every step.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random
from zlib import Z_HUFFMAN_ONLY

from PIL import Image

from optima_lab.data.formats import is_held_out
from optima_lab.data.synthetic.captions import caption, captions
from optima_lab.data.synthetic.grammar import Sentence
from optima_lab.data.synthetic.grammars import Grammar
from optima_lab.data.synthetic.questions import VQA
from optima_lab.data.synthetic.render import render
from optima_lab.data.synthetic.scene import Scene, draw_pair, draw_scene
from optima_lab.data.synthetic.statements import NLVR2, SNLI_VE
from optima_lab.data.synthetic.study import study
from optima_lab.data.synthetic.world import World, described_scenes
from optima_lab.errors import ConfigError, DataError
from optima_lab.files import expand, json_text, locked, replacing
from optima_lab.progress import progress

Writer = Callable[[Path, World], Iterator[None]]
_MANIFEST = "world.json"
_SYNONYMS = {"umbrella": "parasol", "horse": "knight", "note": "music note", "pink": "purple", "yellow": "gold"}


def _save(scene: Scene, world: World, path: Path) -> None:
    image = Image.fromarray(render(scene, world.picture_px, grammar_of(world).ground))
    if path.suffix == ".png":
        image.save(path, compress_level=1, compress_type=Z_HUFFMAN_ONLY)  # noise has nothing to repeat
    else:
        image.save(path, quality=95, subsampling=0)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def _write_lines(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


# --- VQA v2 -----------------------------------------------------------------------------------------------------------


def _write_vqa(root: Path, world: World) -> Iterator[None]:
    """train2014 holds the train and the dev split: picture numbers are chosen so that the reader parts them again."""
    grammar = grammar_of(world)
    for subset, splits in (("train2014", ("train", "dev")), ("val2014", ("test",))):
        (root / subset).mkdir()
        questions: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for split in splits:
            people = world.stream("vqa answers", split)
            numbers = _image_numbers(split)
            for scenes, sentences in described_scenes(world, "vqa", split, grammar.vqa, grammar.vqa_scene):
                image = next(numbers)
                _save(scenes[0], world, root / subset / f"COCO_{subset}_{image:012d}.jpg")
                for index, (kind, sentence) in enumerate(sentences):
                    key = {"image_id": image, "question_id": image * 1000 + index}
                    questions.append({**key, "question": sentence.text})
                    annotations.append({**key, **_annotation(people, kind, sentence)})
                yield
        header = {"info": {"description": "embedded world", "version": "2.0"}, "data_subtype": subset}
        name = f"{subset}_annotations.json"
        _write_json(root / f"v2_OpenEnded_mscoco_{subset}_questions.json", {**header, "questions": questions})
        _write_json(root / f"v2_mscoco_{name}", {**header, "annotations": annotations})


def _vqa_scene(random: Random) -> tuple[Scene]:
    return (draw_scene(random, random.randint(2, 4)),)


def _image_numbers(split: str) -> Iterator[int]:
    if split == "test":
        return count(1)
    return (number for number in count(1) if is_held_out(number) == (split == "dev"))


def _annotation(people: Random, kind: str, sentence: Sentence) -> dict[str, object]:
    """Ten people: in a third of the questions one or two of them say something else."""
    replies = [sentence.answer] * 10
    if people.random() < 1 / 3:
        for person in people.sample(range(10), people.randint(1, 2)):
            replies[person] = _other_answer(people, sentence)
    answers = [
        {"answer": answer, "answer_confidence": "yes", "answer_id": person} for person, answer in enumerate(replies, 1)
    ]
    number = sentence.answer.isdigit()
    sort = "number" if number else "yes/no" if sentence.answer in ("yes", "no") else "other"
    return {"question_type": kind, "answer_type": sort, "multiple_choice_answer": sentence.answer, "answers": answers}


def _other_answer(people: Random, sentence: Sentence) -> str:
    if sentence.answer in _SYNONYMS and people.random() < 0.6:
        return _SYNONYMS[sentence.answer]
    return people.choice([answer for answer in sentence.answers if answer != sentence.answer])


# --- SNLI-VE ----------------------------------------------------------------------------------------------------------


def _write_snli_ve(root: Path, world: World) -> Iterator[None]:
    grammar = grammar_of(world)
    (root / "flickr30k_images").mkdir()
    for first, split in enumerate(("train", "dev", "test"), start=1):
        lines: list[dict[str, object]] = []
        people = world.stream("snli_ve premises", split)
        numbers = count(first * 1_000_000_000)
        for scenes, sentences in described_scenes(world, "snli_ve", split, grammar.snli_ve, grammar.snli_ve_scene):
            image = next(numbers)
            _save(scenes[0], world, root / "flickr30k_images" / f"{image}.jpg")
            for index, (_, sentence) in enumerate(sentences):
                caption_id = f"{image}.jpg#{index}"
                lines.append(
                    {
                        "Flickr30K_ID": str(image),
                        "gold_label": sentence.answer,
                        "annotator_labels": [sentence.answer],
                        "pairID": f"{caption_id}r1{sentence.answer[0]}",
                        "captionID": caption_id,
                        "sentence1": grammar.caption(people, scenes[0]),
                        "sentence2": sentence.text,
                    }
                )
            yield
        _write_lines(root / f"snli_ve_{split}.jsonl", lines)


def _snli_ve_scene(random: Random) -> tuple[Scene]:
    return (draw_scene(random, random.randint(2, 3), random.choice((0, 1, 1))),)


# --- NLVR2 ------------------------------------------------------------------------------------------------------------


def _write_nlvr2(root: Path, world: World) -> Iterator[None]:
    grammar = grammar_of(world)
    for split, file in (("train", "train"), ("dev", "dev"), ("test", "test1")):
        folder = root / "images" / file
        for directory in range(100) if split == "train" else ("",):
            (folder / str(directory)).mkdir(parents=True)
        lines: list[dict[str, object]] = []
        described = described_scenes(world, "nlvr2", split, grammar.nlvr2, grammar.nlvr2_pair)
        for number, (pair, sentences) in enumerate(described):
            directory = {"directory": number % 100} if split == "train" else {}
            inside = folder / str(directory.get("directory", ""))
            for side, scene in enumerate(pair):
                _save(scene, world, inside / f"{file}-{number}-0-img{side}.png")
            for index, (_, sentence) in enumerate(sentences):
                name = f"{file}-{number}-0-{index}"
                lines.append({"identifier": name, "sentence": sentence.text, "label": sentence.answer, **directory})
            yield
        _write_lines(root / f"{file}.json", lines)


# --- COCO captions ----------------------------------------------------------------------------------------------------


def _write_coco(root: Path, world: World) -> Iterator[None]:
    grammar = grammar_of(world)
    images: list[dict[str, object]] = []
    numbers = count(1)
    for split, part, subset in (
        ("train", "train", "train2014"),
        ("dev", "val", "val2014"),
        ("test", "test", "val2014"),
    ):
        (root / subset).mkdir(exist_ok=True)
        random = world.stream("coco", split)
        for _ in range(world.scenes(split)):
            number = next(numbers)
            scene = grammar.coco_scene(random)
            file = f"COCO_{subset}_{number:012d}.jpg"
            _save(scene, world, root / subset / file)
            texts = captions(random, scene, describe=grammar.caption)
            sentences = [
                {"raw": text, "tokens": text.replace(",", "").split(), "imgid": number, "sentid": 5 * number + index}
                for index, text in enumerate(texts)
            ]
            place = {"filepath": subset, "filename": file, "split": part}
            images.append({**place, "cocoid": number, "imgid": number, "sentences": sentences})
            yield
    _write_json(root / "dataset_coco.json", {"dataset": "coco", "images": images})


def _coco_scene(random: Random) -> Scene:
    things = random.choices((1, 2, 3), (1, 3, 2))[0]
    return draw_scene(random, things, int(random.random() < 0.25))


GLYPHS = Grammar(VQA, _vqa_scene, SNLI_VE, _snli_ve_scene, NLVR2, draw_pair, _coco_scene, caption)


def grammar_of(world: World) -> Grammar:
    """What the world says about its scenes."""
    return GLYPHS if world.grammar == "glyphs" else study(world.depth)


WRITERS: dict[str, Writer] = {"vqa": _write_vqa, "snli_ve": _write_snli_ve, "nlvr2": _write_nlvr2, "coco": _write_coco}


def write_world(folder: str | Path, world: World | None = None, tasks: Sequence[str] = ()) -> Path:
    """Write the world's tasks into `folder/<task>`, each whole or not at all; what is finished is kept as it is.

    Without a name all four.

    Raises DataError where a task's folder holds another world or something else.
    """
    world, folder = world or World(), expand(folder)
    for task in tasks:
        if task not in WRITERS:
            raise ConfigError(f"tasks must be among {', '.join(WRITERS)}; got {task!r}")
    missing = [task for task in tasks or WRITERS if not _is_finished(folder / task, world)]
    for task in missing:
        with locked(folder, f"{folder.name}/{task}", f".{task}.lock"):
            if not _is_finished(folder / task, world):  # else another process was faster
                _write_task(folder / task, world, WRITERS[task])
    return folder


def _is_finished(target: Path, world: World) -> bool:
    if not target.exists():
        return False
    try:
        manifest = json.loads((target / _MANIFEST).read_text())
    except (OSError, ValueError):
        raise DataError(f"{target} must be free for the embedded world or hold it; it holds other files") from None
    if manifest != world.manifest():
        raise DataError(f"{target} must hold the world {world.manifest()}; it holds {manifest}: name another folder")
    return True


def _write_task(target: Path, world: World, writer: Writer) -> None:
    total = world.scenes_train + world.scenes_dev + world.scenes_test
    with replacing(target, DataError) as part:
        part.mkdir()
        for _ in progress(writer(part, world), f"write {target.name} scenes", total):
            pass
        (part / _MANIFEST).write_text(json_text(world.manifest(), indent=1) + "\n")
