"""Doors through which strangers' input comes in: valid input for each, and a call that takes it whole or refuses it."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from mutations import Mutator
from PIL import Image

from optima_lab import config as configuration
from optima_lab import records
from optima_lab.bandits.arms import LABELS
from optima_lab.config import Config, cast, override, parameters, preset
from optima_lab.data.answers import answer_vocabulary, normalize_answer
from optima_lab.data.formats import SPLITS, read
from optima_lab.data.pictures import decode_all
from optima_lab.data.scenes import World, write_world
from optima_lab.data.tokens import SentencePieceTokenizer
from optima_lab.distill.strategies import default_strategies, parse_strategies
from optima_lab.errors import OptimaError
from optima_lab.experiment import configurations, open_experiments, parse_changes
from optima_lab.views import replay, statistics, tables, widgets


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
    for name in ("a.jpg", "b.png", "c.gif", "d.bmp"):
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
    assert images.shape == (4, 16, 16, 3)


def _tokenizer(folder: Path) -> None:
    SentencePieceTokenizer.train(["a small red star", "two blue stars above"] * 5, 60, 12, folder / "words.model")


def _encode(folder: Path, mutator: Mutator) -> None:
    tokenizer = SentencePieceTokenizer.open(folder / "words.model", 12)
    rows = tokenizer.encode(["a small star", mutator.text().replace("\ud800", "?")])
    assert rows.shape == (2, 12) and rows.min() >= 0 and rows.max() < tokenizer.vocab_size
    tokenizer.decode(rows[0])


def _answers(_: Path, mutator: Mutator) -> None:
    assert isinstance(normalize_answer(mutator.text()), str)


# --- what to run ------------------------------------------------------------------------------------------------------


def _config(_: Path, mutator: Mutator) -> None:
    def changed(text: str) -> None:
        configurations("coco", "smoke", 1, "", **parse_changes(text))

    names = [*parameters(), mutator.text()]
    for change in (
        lambda: override(preset("vqa", "smoke"), {mutator.random.choice(names): mutator.hostile()}),
        lambda: preset("coco", "smoke", **{mutator.random.choice(names[1:]): mutator.text()}),  # not task, twice
        lambda: preset(mutator.text(), "smoke"),
        lambda: Config(**{mutator.random.choice(list(parameters())): mutator.hostile()}),
        lambda: cast(mutator.random.choice((int, float, str, bool)), mutator.hostile(), "name"),
        lambda: configuration.layers(preset("vqa", "smoke", student_layers=mutator.text()).student_layers),
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
    from optima_lab.__main__ import main

    random = mutator.random
    known = ["--tasks", "--preset", "--seeds", "--data", "--runs", "--decay", "--steps", "--strict", mutator.text()]
    words = [random.choice([mutator.text(), random.choice(known)]) for _ in range(random.randrange(5))]
    words = [word for word in words if word not in ("-h", "--help")]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        code = main([random.choice(["parameters", "table"]), "--runs", str(folder), *words])
    assert code in (0, 2) and len(told.getvalue().splitlines()) == (code > 0)


# --- run folders ------------------------------------------------------------------------------------------------------


def run_folder(folder: Path) -> None:
    """One experiment of three strategies with twelve rounds."""
    place = folder / "runs" / "vqa" / "smoke-s0-12345678"
    score = {"score": 40.0, "name": "majority"}
    known = {"counts": {"train": 9, "dev": 3, "test": 3}, "skipped": {"count": 0, "first": []}, "baseline": score}
    config = asdict(preset("vqa", "smoke"))
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
    statistics.missing(evals, scores, ["Img", "OPTIMA"])
    statistics.stopped(rounds)
    statistics.differences(scores)
    statistics.teacher_score([each.summary for each in experiments])
    statistics.curves(evals, "kl")
    statistics.means(rounds, "OPTIMA")
    statistics.initial_rounds(rounds, "OPTIMA")
    statistics.frequency(rounds, "OPTIMA")
    statistics.mean_against_score(rounds, evals)


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
    from optima_lab.workshop import save_model

    save_model(_model(), folder / "model.safetensors")
    records.write_json(folder / "about.json", {"teacher": {"score_test": 90.0}})


def _load(folder: Path, _: Mutator) -> None:
    from optima_lab.workshop import load_model

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
    from optima_lab.distill.resume import Keeper

    step = Keeper(folder / "resume.pt").restore(parts := _parts(), lambda step: 0 <= step < 10)
    assert type(step) is int and 0 <= step < 10
    assert [tuple(p.shape) for p in parts["model"].parameters()] == [(5, 6), (5,), (5,), (5,)]


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
    from optima_lab.notebooks import check_parameters, unchanged
    from optima_lab.views.manifest import collect

    for executed in collect(folder):
        files = [folder / name for picture in executed.pictures for name in picture.files]
        assert all(path.resolve().is_relative_to(folder.resolve()) for path in files)
    unchanged(folder / "lesson.ipynb", "")
    check_parameters(folder / "lesson.ipynb", {"seeds": mutator.hostile()})


def _pages(_: Path, mutator: Mutator) -> None:
    from optima_lab.views.pages import harmless, markdown

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
    "tokenizer": Target(_tokenizer, _encode),
    "answers": Target(nothing, _answers),
    "config": Target(nothing, _config),
    "strategies": Target(nothing, _strategies),
    "command": Target(nothing, _command),
    "run_folder": Target(run_folder, _frames),
    "replay": Target(run_folder, _replay),
    "checkpoint": Target(_save, _load),
    "resume": Target(_keep, _resume),
    "notebook": Target(_notebook, _parameters, "*.ipynb"),
    "pages": Target(nothing, _pages),
}
