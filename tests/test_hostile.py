"""What strangers may put into folders that we open is refused or harmless. What `test_fuzz.py` found is named here."""

import json
import os
import pickle
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fuzz_targets import run_folder
from PIL import Image

from optima_lab.config.fields import cast
from optima_lab.data.images import decode_all, thumbnail
from optima_lab.data.tokenizers import SentencePieceTokenizer
from optima_lab.data.validation import json_lines
from optima_lab.errors import ConfigError, DataError, NotebookError, OptimaError, RecordError, one_line
from optima_lab.experiments import records
from optima_lab.experiments.run import _refuse_links, open_experiments
from optima_lab.report.captions import saved_names
from optima_lab.report.figures import scores as figures
from optima_lab.report.figures import style
from optima_lab.report.gallery import build
from optima_lab.report.notebooks import parameters, unchanged

ROOT = Path(__file__).parents[1]
EVIL = '<script>alert("x")</script>'
SVG = '<svg onload="alert(1)"><image href="http://example.org/a.png"/></svg>'


# --- checkpoints ------------------------------------------------------------------------------------------------------


class Touch:
    """Unpickling it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("write", ["pickle", "torch"])
def test_a_malicious_pickle_as_checkpoint_is_refused_and_not_run(tmp_path: Path, write: str) -> None:
    import torch
    from torch import nn

    from optima_lab.experiments.teachers import load_model

    path, evil = tmp_path / "model.safetensors", Touch(tmp_path / "touched")
    path.write_bytes(pickle.dumps(evil)) if write == "pickle" else torch.save({"weight": evil}, path)
    with pytest.raises(RecordError, match=r"model\.safetensors must hold this model's weights as safetensors: "):
        load_model(nn.Linear(2, 2), path)
    assert not (tmp_path / "touched").exists()


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    from torch import nn

    from optima_lab.experiments.teachers import load_model, save_model

    save_model(nn.Linear(2, 3), tmp_path / "model.safetensors")
    with pytest.raises(RecordError, match=r"must hold this model's weights as safetensors: .*size mismatch"):
        load_model(nn.Linear(2, 2), tmp_path / "model.safetensors")


def test_an_empty_or_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.model").write_bytes(b"")
    for name in ("empty.model", "none.model"):
        with pytest.raises(DataError, match="must be a SentencePiece model; it is no file, or empty"):
            SentencePieceTokenizer.open(tmp_path / name, 8)


# --- run folders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """The folder of one experiment with the strategies s0, s1, s2."""
    run_folder(tmp_path)
    (found,) = open_experiments(tmp_path / "runs")
    assert len(records.read_runs([found])) == 3
    return found.folder


@pytest.mark.parametrize("name", ["s0/rounds.jsonl", "s0/run.json", "experiment.json"])
def test_records_are_not_read_through_links(experiment: Path, tmp_path: Path, name: str) -> None:
    (experiment / name).rename(tmp_path / "elsewhere")
    (experiment / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match=f"{name} must be a file of its own, got a link"):
        records.read_runs(open_experiments(tmp_path / "runs"))


def test_a_run_is_no_link_and_nothing_is_written_through_one(experiment: Path, tmp_path: Path) -> None:
    (experiment / "s0").rename(tmp_path / "elsewhere")
    (experiment / "s0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="s0 must be a folder of its own, got a link"):
        records.read_runs(open_experiments(tmp_path / "runs"))
    with pytest.raises(RecordError, match="s0 must be a file or folder of its own, got a link or a pipe; remove it"):
        _refuse_links(experiment)


def test_a_pipe_in_the_place_of_records_does_not_hang(experiment: Path, tmp_path: Path) -> None:
    (experiment / "s0" / "evals.jsonl").unlink()
    os.mkfifo(experiment / "s0" / "evals.jsonl")
    with pytest.raises(RecordError, match="must be a file of its own"):
        records.read_evals(open_experiments(tmp_path / "runs"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RecordError, match=r"a\.json must be JSON"):
        records.read_json(tmp_path / "a.json")
    (tmp_path / "a.jsonl").write_text(text + "\n{}\n")
    with pytest.raises(RecordError, match=r"a\.jsonl:1 must be a JSON object"):
        records.read_lines(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("rounds", {"round": "1"}, ":13 must be a JSON object: 'round' must be a whole number from 0 to 2^53, got '1'"),
        ("rounds", {"step": 2**60}, "'step' must be a whole number from 0 to 2^53, got a huge number"),
        ("rounds", {"mean_after": [[1.0]]}, "'mean_after' must be a list of numbers or null, got [[1.0]]"),
        ("rounds", {"arm": ["Img"]}, "'arm' must be a short text, got ['Img']"),
        ("rounds", {"reward": "much"}, "'reward' must be a number or null, got 'much'"),
        ("evals", {"value": {}}, "'value' must be a number or null, got {}"),
    ],
)
def test_a_line_with_a_value_of_the_wrong_kind_is_refused(
    experiment: Path, tmp_path: Path, name: str, changes: dict, told: str
) -> None:
    with (experiment / "s1" / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({"round": 1, "step": 1, **changes}) + "\n")
    with pytest.raises(RecordError, match=re.escape(told)):
        (records.read_rounds if name == "rounds" else records.read_evals)(open_experiments(tmp_path / "runs"))


def test_a_line_that_lacks_what_views_need_is_refused(experiment: Path, tmp_path: Path) -> None:
    (experiment / "s1" / "evals.jsonl").write_text('{"step": 1, "split": "dev"}\n')
    with pytest.raises(RecordError, match=r"evals\.jsonl: every line must hold 'metric', got \['split', 'step'\]"):
        records.read_runs(open_experiments(tmp_path / "runs"))


def test_a_line_does_not_say_whose_it_is(experiment: Path, tmp_path: Path) -> None:
    with (experiment / "s1" / "steps.jsonl").open("a") as file:
        file.write('{"step": 25, "seed": 7}\n')
    assert set(records.read_steps(open_experiments(tmp_path / "runs"))["seed"]) == {0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"counts": []}, "an object under 'counts', got []"),
        ({"counts": {"train": "9"}}, "whole numbers under 'counts', got ['9']"),
        ({"teacher": {"score_test": "90"}}, "a number under teacher.'score_test', got '90'"),
        ({"baseline": {"name": "majority"}}, "a score under 'baseline', got ['name']"),
        ({"baseline": {"name": [], "score": 1}}, "a short text under baseline.name, got []"),
    ],
)
def test_a_summary_of_the_wrong_shape_is_refused(experiment: Path, tmp_path: Path, changes: dict, told: str) -> None:
    known = records.read_json(experiment / "experiment.json")
    records.write_json(experiment / "experiment.json", known | changes)
    with pytest.raises(RecordError, match=re.escape(f"experiment.json must hold {told}")):
        open_experiments(tmp_path / "runs")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        *((key, rf" must hold an object under '{key}'") for key in ("config", "parameters")),
        *((key, f": {key} must be a short text") for key in ("code", "arm", "policy")),
    ],
)
def test_a_run_of_the_wrong_shape_is_refused(experiment: Path, tmp_path: Path, key: str, told: str) -> None:
    records.write_json(experiment / "s1" / "run.json", {"strategy": "Img", key: 0.5})
    with pytest.raises(RecordError, match=rf"run\.json{told}, got 0\.5"):
        records.read_runs(open_experiments(tmp_path / "runs"))


@pytest.mark.parametrize("notes", ["[]", '{"9": "x"}', "[" * 100_000, '"text"'])
def test_a_damaged_cache_of_pictures_is_made_again(tmp_path: Path, notes: str) -> None:
    Image.new("RGB", (9, 9), "white").save(tmp_path / "a.png")
    whole, _ = decode_all([tmp_path / "a.png"], 4, strict=False, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("*.json")
    kept.write_text(notes)
    assert (decode_all([tmp_path / "a.png"], 4, strict=False, cache=tmp_path / "cache")[0] == whole).all()
    assert kept.read_text() == "{}"


def test_a_cache_of_pictures_is_not_written_through_a_link(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    decode_all([tmp_path / "a.png"], 4, strict=False, cache=tmp_path / "cache")
    (tmp_path / "mine").write_text("mine")
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
        path.symlink_to(tmp_path / "mine")
    decode_all([tmp_path / "a.png"], 4, strict=False, cache=tmp_path / "cache")
    assert (tmp_path / "mine").read_text() == "mine"


# --- data, words, notebooks -------------------------------------------------------------------------------------------


def test_an_annotation_file_that_is_a_link_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text("{}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl must be a file inside .*; it is a link that leaves that folder"):
        list(json_lines(tmp_path / "data" / "a.jsonl", "a split"))


def test_a_whole_number_too_large_for_a_float_is_no_number() -> None:
    with pytest.raises(ConfigError, match="lr must be a number, got 1000"):
        cast(float, 10**400, "lr")


def test_an_error_is_one_printable_line() -> None:
    assert str(OptimaError("a\nb \x1b[31m \u202e é")) == "a\\nb \\x1b[31m \\u202e é"
    assert one_line("x" * 9999, 100) == "x" * 50 + " … " + "x" * 50


def notebook(path: Path, declared: str, **about: object) -> Path:
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": declared}
    path.write_text(json.dumps({"nbformat": 4, "cells": [cell], "metadata": {"optima_lab": about}}))
    return path


def test_notebook_parameters_are_never_evaluated(tmp_path: Path) -> None:
    evil = f"seeds: int = __import__('os').system('touch {tmp_path}/touched')"
    with pytest.raises(NotebookError, match="default of seeds must be a plain int"):
        parameters(notebook(tmp_path / "a.ipynb", evil))
    assert not (tmp_path / "touched").exists()


def test_notebooks_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    for broken in ({"source": "", "metadata": {}}, {"cell_type": 1, "source": "", "metadata": {}}, {"source": ""}):
        (tmp_path / "a.ipynb").write_text(json.dumps({"nbformat": 4, "cells": [broken], "metadata": {}}))
        with pytest.raises(NotebookError, match=r"a\.ipynb is no notebook: "):
            parameters(tmp_path / "a.ipynb")
    assert not unchanged(notebook(tmp_path / "b.ipynb", "seeds: int = 1", key=1), "")


@pytest.mark.parametrize(
    "declared", ["\ud800seeds: int = 1", "seeds: int = {[]: 1}", "seeds: int = " + "-" * 9999 + "1"]
)
def test_parameters_that_python_chokes_on_are_refused(tmp_path: Path, declared: str) -> None:
    with pytest.raises(NotebookError, match=r"a\.ipynb: (the cell 'parameters' is no Python|default of seeds must be)"):
        parameters(notebook(tmp_path / "a.ipynb", declared))


def test_a_pipe_in_the_place_of_a_notebook_does_not_hang(tmp_path: Path) -> None:
    room = tmp_path / "figures" / "vqa"
    room.mkdir(parents=True)
    os.mkfifo(room / "a.ipynb")
    with pytest.raises(NotebookError, match=r"a\.ipynb must be a file, got a folder or a pipe"):
        parameters(room / "a.ipynb")
    assert "a.ipynb is no notebook" in build(tmp_path / "figures").read_text()


def test_a_figures_name_is_no_path() -> None:
    cell = {"cell_type": "code", "source": "save(figure, folder, '../../secret')\nsave(figure, folder, 'arms')"}
    assert saved_names(cell) == ["arms"]


# --- pictures and pages -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A record to show."""

    images: tuple[Path, ...]
    text: str
    answers: tuple[str, ...]


def test_captions_and_labels_are_text_in_a_figure(tmp_path: Path) -> None:
    """Neither a script nor an SVG label is an element of the drawn SVG, and dollar signs start no formula."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    drawn = figures.samples([Told((tmp_path / "a.png",), f"{EVIL} $\\frac{{", (SVG,))])
    (svg,) = [path for path in style.save(drawn, tmp_path, "samples") if path.suffix == ".svg"]
    elements = list(ElementTree.parse(svg).iter())
    assert not {"script", "foreignObject"} & {element.tag.rpartition("}")[2] for element in elements}
    assert not [name for element in elements for name in element.attrib if name.startswith("on")]
    assert sum(element.tag.endswith("}svg") for element in elements) == 1, "its own root alone"
    assert "<script" in "".join(elements[0].itertext())


def test_pictures_to_show_are_looked_at_like_pictures_to_learn_from(tmp_path: Path) -> None:
    (tmp_path / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(DataError, match=r"a\.eps: must be a whole picture"):
        thumbnail(tmp_path / "a.eps", 200)
    Image.new("RGB", (30, 10)).save(tmp_path / "a.png")
    assert (thumbnail(tmp_path / "a.png", 5).size, thumbnail(tmp_path / "a.png", 99).size) == ((15, 5), (30, 10))


# --- JupyterLab -------------------------------------------------------------------------------------------------------


def test_make_lab_is_for_this_machine_and_its_user_alone() -> None:
    """The recipe as the Makefile has it: loopback, the default token, root only where the user is root, no CORS."""
    found = re.search(r"^lab:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    recipe = found[1]
    assert "--ip=127.0.0.1" in recipe
    assert recipe.count("allow-root") == 1
    assert "$(if $(filter 0,$(shell id -u)),--allow-root)" in recipe
    assert not re.search(r"token|password|allow_origin|allow_remote|disable_check_xsrf|0\.0\.0\.0|--ip=\*", recipe)
