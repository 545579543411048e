"""Doors through which strangers' input comes in: valid input for each, and a call that takes it whole or refuses it."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import numpy as np
from fuzz_data import linked_folders, picture_of_any_mode, read_tables, write_tables
from mutations import Mutator
from PIL import Image
from sentencepiece import SentencePieceNormalizer

from optima_lab.bandits.arms import LABELS
from optima_lab.config import Config
from optima_lab.config.fields import cast, layers
from optima_lab.config.parameters import flat, override, parameters
from optima_lab.data.answers import answer_vocabulary, normalize_answer
from optima_lab.data.caption_tokenizer import tokenize_caption
from optima_lab.data.formats import SPLITS, read
from optima_lab.data.images import decode_all
from optima_lab.data.synthetic.world import World
from optima_lab.data.synthetic.write import write_world
from optima_lab.data.tokenizers import SentencePieceTokenizer
from optima_lab.distill.strategies import default_strategies, parse_strategies
from optima_lab.errors import OptimaError
from optima_lab.experiments import records
from optima_lab.experiments.run import configurations, open_experiments, parse_changes
from optima_lab.presets import preset
from optima_lab.report import correlation, statistics
from optima_lab.report.tables import results as tables
from optima_lab.tasks.metrics import cider, vqa_accuracy
from optima_lab.widgets import assets as widgets
from optima_lab.widgets import replay


@dataclass(frozen=True)
class Target:
    """Valid input below a folder, the files of it that are spoiled, and what then reads it.

    `call` ends in an OptimaError or returns; it asserts what must hold of what it returns.
    """

    prepare: Callable[[Path], object]
    call: Callable[[Path, Mutator], object]
    files: str = "**/*"


def nothing(_: Path) -> None:
    """For input that is no file."""


# --- readers ----------------------------------------------------------------------------------------------------------


def reader(task: str, files: str) -> Target:
    """The reader of a task's official layout."""

    def prepare(folder: Path) -> None:
        write_world(folder, World(4, 3, 3, texts=2, picture_px=24), (task,))

    def call(folder: Path, _: Mutator) -> None:
        for split in SPLITS:
            found = read(task, folder, split, strict=False)
            assert all(path.resolve().is_relative_to(folder.resolve()) for e in found.examples for path in e.images)
            assert all(isinstance(reason, str) and "\n" not in reason for reason in found.skipped)
            answer_vocabulary(found.examples, 1) if task == "vqa" else None
            with contextlib.suppress(OptimaError):
                assert read(task, folder, split, strict=True).examples == found.examples

    return Target(prepare, call, files)


def _pictures(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    for name in ("a.jpg", "b.png", "c.gif", "d.bmp", "e.webp", "f.tif"):
        Image.fromarray(noise).save(folder / name)


def _decode(folder: Path, _: Mutator) -> None:
    paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    images, problems = decode_all(paths, 16, strict=False, cache=folder / "cache")
    assert images.shape == (len(paths), 16, 16, 3) and all("\n" not in reason for reason in problems.values())


def _picture_cache(folder: Path) -> None:
    _pictures(folder)
    decode_all(sorted(folder.glob("*.*")), 16, strict=False, cache=folder / "cache")


def _decode_again(folder: Path, _: Mutator) -> None:
    images, _ = decode_all(sorted(folder.glob("*.*")), 16, strict=False, cache=folder / "cache")
    assert images.shape == (6, 16, 16, 3)


def _tokenizer(folder: Path) -> None:
    SentencePieceTokenizer.train(["a small red star", "two blue stars above"] * 5, 60, 12, folder / "words.model")


def _encode(folder: Path, mutator: Mutator) -> None:
    tokenizer = SentencePieceTokenizer.open(folder / "words.model", 12)
    rows = tokenizer.encode(["a small star", mutator.text().replace("\ud800", "?")])
    assert rows.shape == (2, 12) and rows.min() >= 0 and rows.max() < tokenizer.vocab_size
    tokenizer.decode(rows[0])


def _answers(_: Path, mutator: Mutator) -> None:
    assert isinstance(normalize_answer(mutator.text()), str)


def _caption_words(_: Path, mutator: Mutator) -> None:
    """Words of any text: none is empty or has a space, and whoever normalises the text first changes none of them."""
    letters = (chr(mutator.random.choice(_LETTERS)) for _ in range(mutator.random.randrange(30)))
    pieces = [mutator.text().replace("\ud800", "?"), "".join(letters), mutator.random.choice(_CAPTIONS)]
    text = mutator.random.choice(("", " ", "-")).join(mutator.random.sample(pieces, mutator.random.randrange(1, 4)))
    words = tokenize_caption(text)
    assert all(word and not any(map(str.isspace, word)) for word in words)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert tokenize_caption(normalize(form, text)) == words, text
    # SentencePiece may know a newer Unicode; and it folds U+0345, a mark, to a letter before marks are put in order.
    if not any(category(letter) in ("Cn", "Cs", "Co") or letter == "\u0345" for letter in text):
        folds = SentencePieceNormalizer(rule_name="nmt_nfkc_cf")
        assert tokenize_caption(folds.Normalize(text).replace("▁", " ")) == words, text
    score = cider([" ".join(words), "a dog"], [[" ".join(words)], ["a dog runs"]])
    assert np.isnan(score) or score >= 0.0
    answers = [mutator.random.choice(pieces) for _ in range(10)]
    assert 0.0 <= vqa_accuracy(mutator.random.choice(pieces), answers) <= 1.0


_RANGES = ((0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x900, 0x980), (0x2000, 0x2200), (0xFF00, 0xFFF0))
_LETTERS = [number for low, high in (*_RANGES, (0x1F300, 0x1F650)) for number in range(low, high)]
_CAPTIONS = ("a 'stop' sign - ½ cup", "it’s “two” dogs' toys, isn't it?", "rock 'n' roll (U.S.) at 10:30 a.m.", "हिन्दी")


# --- what to run ------------------------------------------------------------------------------------------------------


def _config(_: Path, mutator: Mutator) -> None:
    def changed(text: str) -> None:
        configurations("coco", "smoke", 1, "", **parse_changes(text))

    names = [*parameters(), mutator.text()]
    for change in (
        lambda: override(preset("vqa", "smoke"), {mutator.random.choice(names): mutator.hostile()}),
        lambda: preset("coco", "smoke", **{mutator.random.choice(names[1:]): mutator.text()}),  # not task, twice
        lambda: preset(mutator.text(), "smoke"),
        lambda: override(Config(), {mutator.random.choice(list(parameters())): mutator.hostile()}),
        lambda: cast(mutator.random.choice((int, float, str, bool)), mutator.hostile(), "name"),
        lambda: layers(preset("vqa", "smoke", student_layers=mutator.text()).training.student_layers),
        lambda: changed(mutator.text()),
        lambda: changed(f"{mutator.random.choice([*names, 'seeds'])}={mutator.text()}"),
    ):
        with contextlib.suppress(OptimaError):
            change()


def _strategies(_: Path, mutator: Mutator) -> None:
    from optima_lab.bandits.policies import POLICIES

    random = mutator.random
    name = random.choice([*default_strategies(), *POLICIES])
    keys = ["decay", "reward", "initial_plays", "window", "scale", "attention", "round_steps", mutator.text()]
    text = ":".join([name, *(f"{random.choice(keys)}={mutator.text()}" for _ in range(random.randrange(3)))])
    parse_strategies(random.choice([text, f"{text},{mutator.text()}", mutator.text()]), preset("vqa", "smoke"))


def _command(folder: Path, mutator: Mutator) -> None:
    from optima_lab.cli import main

    random = mutator.random
    known = ["--tasks", "--preset", "--seeds", "--data", "--runs", "--decay", "--steps", "--strict", mutator.text()]
    words = [random.choice([mutator.text(), random.choice(known)]) for _ in range(random.randrange(5))]
    words = [word for word in words if word not in ("-h", "--help")]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        code = main([random.choice(["parameters", "table"]), "--runs", str(folder), *words])
    assert code in (0, 2) and len(told.getvalue().splitlines()) == (code > 0)


def _torchrun(_: Path, mutator: Mutator) -> None:
    """Leftovers of a launcher in any mixture: none is alone, a whole and consistent set is believed, others refused."""
    from optima_lab.distill.torchrun import VARIABLES, Launch, launch

    random = mutator.random
    valid = {"RANK": str(random.randrange(4)), "WORLD_SIZE": str(random.randrange(5)), "LOCAL_RANK": "0"}
    valid |= {"MASTER_ADDR": random.choice(("127.0.0.1", "node-1", "::1")), "MASTER_PORT": str(random.randrange(70000))}
    known = {name: valid[name] for name in VARIABLES if random.random() < 0.85}
    if random.random() < 0.4:
        known[random.choice(VARIABLES)] = mutator.text()
    others = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID", "HOME")
    known |= {name: mutator.text() for name in others if random.random() < 0.5}
    found = launch(known)
    given = [known.get(name, "").strip() for name in VARIABLES]
    if not any(given):
        assert found == Launch(0, 1, 0)
        return
    rank, size, local, _host, port = given
    assert found == (int(rank), int(size), int(local)) and 0 <= int(local) <= int(rank) < int(size)
    assert all(each.isascii() for each in given) and 0 < int(port) < 65536


class _Stream(io.BytesIO):
    """A standard output that takes `room` bytes, and then ends like a pipe or a disk."""

    def __init__(self, room: int, error: OSError) -> None:
        super().__init__()
        self.room, self.error = room, error

    def write(self, data: Any) -> int:
        """Raises `error` once it is full."""
        if self.tell() + len(data) > self.room:
            raise self.error
        return super().write(data)


def _terminal(folder: Path, mutator: Mutator) -> None:
    """Odd names of folders, encodings of the terminal, readers that go: an exit code of ours and at most one line."""
    from optima_lab.cli import main

    random = mutator.random
    name = random.choice(
        (mutator.text().replace("..", "-"), "x" * random.randrange(1, 600), "ü/" * random.randrange(1, 3000))
    )
    words = random.choice((["status", "--runs"], ["table", "--runs"], ["parameters", "--data"]))
    command = [
        *words,
        str(folder / "runs") if words[0] != "parameters" and random.random() < 0.5 else f"{folder}/{name}",
    ]
    room = random.choice((0, 10, 500, 1 << 30, 1 << 30))
    stream = _Stream(room, random.choice((BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device"))))
    encoding = random.choice(("ascii", "latin-1", "cp437", "utf-8", "koi8-r"))
    out = io.TextIOWrapper(stream, encoding=encoding, errors=random.choice(("strict", "ignore")))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as told:
        code = main(command)
    assert code in (0, 1, 2, 141), told.getvalue()
    lines = [line for line in told.getvalue().splitlines() if not line.startswith("note: ")]
    assert len(lines) == (code in (1, 2)), (command, code, told.getvalue())
    assert bool(code) or stream.getvalue().decode(encoding)
    stream.room = 1 << 30  # so that it can be closed


# --- run folders ------------------------------------------------------------------------------------------------------


def run_folder(folder: Path) -> None:
    """One experiment of three strategies with twelve rounds."""
    place = folder / "runs" / "vqa" / "smoke-s0-12345678"
    score = {"score": 40.0, "name": "majority"}
    known = {"counts": {"train": 9, "dev": 3, "test": 3}, "skipped": {"count": 0, "first": []}, "baseline": score}
    config = flat(preset("vqa", "smoke"))
    for number, name in enumerate(("Img", "OPTIMA", "Img+Txt+Multi")):
        about = {"strategy": name, "arm": name if "I" in name[:2] else "", "config": config}
        about |= {"policy": "optima" if name == "OPTIMA" else "", "parameters": {}, "reward": "all"}
        with records.Writer(place / f"s{number}", about) as writer:
            writer.append("rounds", [_round(n, n % 7) for n in range(1, 13)])
            writer.append("steps", [{"step": n, "train": 1 / n, "kl": None, "lr": 1e-3} for n in range(1, 25)])
            for metric in ("score", "prediction_loss", "kl"):
                line = {"metric": metric, "value": 1.5, "round": 4}
                writer.append("evals", [{"step": n, "split": s, **line} for n in (8, 24) for s in ("dev", "test")])
            writer.flush()
        stopped = {"round": 3, "where": "train loss: not a number (float32)"} if number == 1 else {}
        records.write_json(place / f"s{number}" / "done.json", {"steps": 24, "stopped": stopped})
    records.write_json(place / "experiment.json", {"config": config, "teacher": {"score_test": 90.0}, **known})


def _round(number: int, arm: int) -> dict[str, Any]:
    vectors = {key: [number / 100 + k for k in range(7)] for key in records.VECTORS}
    ratios = dict.fromkeys(("ratio_kl", "ratio_hidden", "ratio_attention"), 0.1)
    losses = {f"probe_{name}": 1 / number for name in ("train", "kl", "hidden", "attention")}
    line = {"round": number, "step": 2 * number, "arm": LABELS[arm], "initial": number < 8, "reward": 0.1}
    return line | vectors | ratios | losses


def _frames(folder: Path, _: Mutator) -> None:
    experiments = open_experiments(folder / "runs")
    rounds, evals = records.read_rounds(experiments), records.read_evals(experiments)
    records.read_steps(experiments)
    runs = records.read_runs(experiments)
    text = tables.text(tables.results(runs, experiments))
    assert not any(letter in text for letter in "\x00\x1b")
    assert "<script" not in tables.html(tables.results(runs, experiments))
    rounds, evals = statistics.recorded(rounds), statistics.recorded(evals)
    scores = statistics.final_scores(evals)
    statistics.over_seeds(scores)
    statistics.missing(evals, scores, ["img", "optima"])
    statistics.stopped(rounds)
    statistics.differences(scores)
    statistics.teacher_score([each.summary for each in experiments])
    statistics.points(evals, "kl")
    statistics.means(rounds, "optima")
    statistics.initial_rounds(rounds, "optima")
    statistics.frequency(rounds, "optima")
    correlation.mean_against_score(rounds, evals)


def _replay(folder: Path, _: Mutator) -> None:
    about = replay.replay(folder / "runs").about  # raises nothing: what is wrong is said in the widget's place
    told = [about.get("message", ""), *about.get("problems", ()), *(n for t in about["tracks"] for n in t["notes"])]
    assert all(isinstance(text, str) for text in told) and bool(about["tracks"]) != bool(told[0])
    widgets.plain(about).encode()
    with contextlib.suppress(OptimaError):
        assert "<!--" not in replay.write_page(folder / "runs", folder / "replay.html").read_text()


# --- checkpoints ------------------------------------------------------------------------------------------------------


def _model() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5))


def _save(folder: Path) -> None:
    from optima_lab.experiments.teachers import save_model

    save_model(_model(), folder / "model.safetensors")
    records.write_json(folder / "about.json", {"teacher": {"score_test": 90.0}})


def _load(folder: Path, _: Mutator) -> None:
    from optima_lab.experiments.teachers import load_model

    load_model(model := _model(), folder / "model.safetensors")
    records.read_json(folder / "about.json")
    assert [tuple(p.shape) for p in model.parameters()] == [(5, 6), (5,), (5,), (5,)]


def _parts() -> dict[str, Any]:
    import torch

    model = _model()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 6)).sum().backward()
    optimizer.step()
    return {"model": model, "optimizer": optimizer}


def _keep(folder: Path) -> None:
    import torch

    parts = {name: part.state_dict() for name, part in _parts().items()}
    torch.save({"step": 4, "parts": parts}, folder / "resume.pt")


def _resume(folder: Path, _: Mutator) -> None:
    from optima_lab.distill.checkpoint import Checkpointer

    step = Checkpointer(folder / "resume.pt").restore(parts := _parts(), lambda step: 0 <= step < 10)
    assert type(step) is int and 0 <= step < 10
    assert [tuple(p.shape) for p in parts["model"].parameters()] == [(5, 6), (5,), (5,), (5,)]


def _weights(folder: Path) -> None:
    """The same tensors as safetensors and as torch writes them, now and before, with scalars and names of wrappers."""
    import torch
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in _model().state_dict().items()}
    save_file(state, folder / "a.safetensors")
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in state.items()}
    scalars = {"epoch": np.int64(3), "loss": np.float32(0.5), "best": np.float64(1.5), "done": np.bool_(True)}
    torch.save({"state_dict": wrapped, **scalars}, folder / "b.pt")
    torch.save(wrapped, folder / "c.bin", _use_new_zipfile_serialization=False)


def _read_weights(folder: Path, mutator: Mutator) -> None:
    """Each file under its own name and another ending, now and then below what people download instead of it."""
    from optima_lab.coca.weight_files import read_tensors

    for path in sorted(path for path in folder.glob("*.*") if path.is_file() and not path.is_symlink()):
        if mutator.random.random() < 0.3:
            heads = (b"version https://git-lfs.github.com/spec/v1\n", b"<!DOCTYPE html>\n", b"PK\x03\x04", b"\x1f\x8b")
            path.write_bytes(mutator.random.choice((*heads, b"", b"{", bytes(9000))) + path.read_bytes()[:300])
        if mutator.random.random() < 0.3:
            path = path.rename(path.with_suffix(mutator.random.choice((".pt", ".bin", ".safetensors", ".pth"))))
        for device in ("meta", "cpu"):
            with contextlib.suppress(OptimaError):
                state = read_tensors(path, "teacher_weights", device)
                assert all(not key.startswith("module.") and "_orig_mod" not in key for key in state)


# --- notebooks and pages ----------------------------------------------------------------------------------------------

_CELLS = (
    ("markdown", "# A title\n\nsome *text* & <b>more</b>", []),
    ("code", '"""What may be changed."""\n\nseeds: int = 1\nrate: float = 0.5\nname: str = "a"', ["parameters"]),
    ("code", 'save(figure, folder, "arms", runs)', []),
    ("markdown", "## Reading this figure\n\nwhat is [seen](https://example.org) | a | b |", []),
)


def _notebook(folder: Path) -> None:
    cells = [{"cell_type": kind, "metadata": {"tags": tags}, "source": text} for kind, text, tags in _CELLS]
    about = {"optima_lab": {"key": "", "figures": ["arms"], "parameters": {"seeds": 1}}}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": cells}
    (folder / "lesson.ipynb").write_text(json.dumps(content))
    Image.new("RGB", (4, 4)).save(folder / "arms.png")


def _parameters(folder: Path, mutator: Mutator) -> None:
    from optima_lab.report.manifest import collect
    from optima_lab.report.notebooks import check_parameters, unchanged

    for executed in collect(folder):
        files = [folder / name for picture in executed.pictures for name in picture.files]
        assert all(path.resolve().is_relative_to(folder.resolve()) for path in files)
    unchanged(folder / "lesson.ipynb", "")
    check_parameters(folder / "lesson.ipynb", {"seeds": mutator.hostile()})


def _pages(_: Path, mutator: Mutator) -> None:
    from optima_lab.report.pages import harmless, markdown

    start = b"# T\n\n<table><tr><td onclick='x()'>a</td></tr></table> [l](javascript:x()) <img src=x onerror=y()> `c`"
    text = mutator.spoiled(start).decode(errors="replace") + mutator.text()
    for page in (markdown(text), harmless(text)):
        found = Elements()
        found.feed(page)
        assert not {"script", "iframe", "svg", "object", "style", "link", "meta"} & found.tags
        for name, value in found.attributes:
            assert not name.startswith("on")
            assert name not in ("href", "src") or not value.strip().lower().startswith("javascript:")


class Elements(HTMLParser):
    """What a browser would make of a page: its elements, and their attributes with values."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for every opening tag."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


TARGETS = {
    "vqa": reader("vqa", "vqa/*.json"),
    "snli_ve": reader("snli_ve", "snli_ve/*.jsonl"),
    "nlvr2": reader("nlvr2", "nlvr2/*.json"),
    "coco": reader("coco", "coco/*.json"),
    "pictures": Target(_pictures, _decode, "*.*"),
    "picture_cache": Target(_picture_cache, _decode_again, "cache/*.*"),
    "modes": Target(nothing, picture_of_any_mode),
    "links": Target(nothing, linked_folders),
    "tables": Target(write_tables, read_tables, "*.*"),
    "tokenizer": Target(_tokenizer, _encode),
    "answers": Target(nothing, _answers),
    "caption_words": Target(nothing, _caption_words),
    "config": Target(nothing, _config),
    "strategies": Target(nothing, _strategies),
    "command": Target(nothing, _command),
    "torchrun": Target(nothing, _torchrun),
    "terminal": Target(run_folder, _terminal, "**/rounds.jsonl"),
    "run_folder": Target(run_folder, _frames),
    "replay": Target(run_folder, _replay),
    "checkpoint": Target(_save, _load),
    "resume": Target(_keep, _resume),
    "weights": Target(_weights, _read_weights, "*.*"),
    "notebook": Target(_notebook, _parameters, "*.ipynb"),
    "pages": Target(nothing, _pages),
}
