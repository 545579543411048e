"""Released weights: what open_clip writes is what we walk; what is broken, foreign or code is refused in one line."""

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import factory
from released_files import MEAN, STD, TINY, changed, model, write
from safetensors.torch import save_file
from small import task_data
from torch.nn import functional as F

import optima_lab
from optima_lab.bandits.arms import MODULES
from optima_lab.coca.forward import every_layer, features, token_logits, walk
from optima_lab.coca.model import blocks, build, coca_config, for_task, load_released, student_config
from optima_lab.coca.weights import release
from optima_lab.distill.layers import Projections
from optima_lab.errors import ConfigError
from optima_lab.presets import preset
from optima_lab.tasks.recipes import new_student

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ROWS = 49408


def smoke(weights: Path | str = "", base: Path | str = "", **changes):
    return preset("snli_ve", "smoke", teacher_weights=str(weights), base_weights=str(base), **changes)


def bytes_and_tokens(side: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures as bytes, and texts of different lengths padded to the model's 20 tokens, two of them to spare."""
    images, tokens = torch.randint(0, 256, (3, 3, side, side)).float(), torch.randint(1, ROWS, (3, 20))
    tokens[0, 18:] = tokens[1, 5:] = tokens[2, 11:] = 0
    return images, tokens


def require_same(theirs, ours, side: int = 24) -> None:
    """open_clip's forward with its own normalisation, and our walk over pixels from -1 to 1, padding cut or not."""
    images, tokens = bytes_and_tokens(side)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with torch.no_grad():
        expected = theirs.eval()((images / 255 - mean) / std, tokens, output_labels=False)
        for length in (20, 19):
            trace = walk(ours, (images / 127.5 - 1)[:, None], tokens[:, :length], collect=every_layer(ours))
            torch.testing.assert_close(token_logits(ours, trace), expected["logits"][:, :length], **CLOSE)
            image = expected["image_features"].view(3, -1)
            seen = [F.normalize(feature, dim=-1) for feature in features(ours, trace)]
            torch.testing.assert_close(seen, [image, expected["text_features"]], **CLOSE)


@pytest.mark.parametrize(
    "pool",
    [{}, {"attentional_pool": None, "width": 32}, {"attentional_pool": "cascade", "width": 32}],
    ids=["one", "none", "cascade"],
)
def test_what_open_clip_writes_is_walked_as_open_clip_runs_it(pool: dict[str, Any], tmp_path: Path):
    written = write(tmp_path, changed(vision_cfg=pool))
    opened, _ = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    for theirs in (written, opened):
        require_same(theirs, load_released(smoke(tmp_path), "teacher", ROWS))


@pytest.mark.parametrize("form", ["bin", "pt", "trained"])
def test_pickled_tensors_are_read_too(form: str, tmp_path: Path):
    """open_clip's .bin; a .pt of its training loop: more than weights, names with 'module.', masks of old versions."""
    written = write(tmp_path)
    path = tmp_path / "open_clip_pytorch_model.bin"
    (tmp_path / "open_clip_model.safetensors").unlink()
    if form != "bin":
        path.unlink()
        path = tmp_path / "epoch_3.pt"
        state = written.state_dict()
        old = {f"module.{k}": v for k, v in state.items()} | {"module.text.attn_mask": torch.zeros(2, 2)}
        trained = {"epoch": 3, "name": "x", "state_dict": old, "optimizer": {"state": {}, "param_groups": []}}
        torch.save(state if form == "pt" else trained, path)
    for weights in (path, tmp_path):
        require_same(written, load_released(smoke(weights), "teacher", ROWS))


def test_another_picture_size_resamples_the_positions_as_open_clip_does(tmp_path: Path):
    write(tmp_path)
    theirs = open_clip.create_model(f"local-dir:{tmp_path}", force_image_size=40)
    require_same(theirs, load_released(smoke(tmp_path, image_size=40), "teacher", ROWS), 40)


def test_without_a_configuration_the_shapes_tell_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = write(tmp_path)
    (tmp_path / "open_clip_config.json").unlink()
    path = tmp_path / "open_clip_model.safetensors"
    with pytest.raises(
        ConfigError, match=r"must fit one of open_clip's CoCa models.*coca_ViT-B-32: \d+ tensors are missing"
    ):
        release(str(path), "teacher_weights")
    monkeypatch.setitem(factory._MODEL_CONFIGS, "coca_tiny", TINY)
    os.utime(path, ns=(1, 1))  # what was said of a file holds for that very file
    found = release(str(path), "teacher_weights")
    assert json.loads(found.architecture) == TINY
    assert found.mean == open_clip.OPENAI_DATASET_MEAN
    assert sorted(load_released(smoke(path), "teacher", ROWS).state_dict()) == sorted(written.state_dict())


def test_every_coca_that_open_clip_has_weights_of_can_be_walked():
    from optima_lab.coca.weights import _differs

    for name in ("coca_ViT-B-32", "coca_ViT-L-14", "coca_base"):
        architecture = open_clip.get_model_config(name)
        with torch.device("meta"):
            state = open_clip.CoCa(**{k: v for k, v in architecture.items() if k != "custom_text"}).state_dict()
        assert _differs(json.dumps(architecture), {key: tuple(value.shape) for key, value in state.items()}) == ""


# ---- teacher and student of unlike shapes ---------------------------------------------------------------------------


def test_a_released_size_has_widths_of_its_own(tmp_path: Path):
    write(tmp_path)
    settings = smoke(tmp_path, tmp_path, student_layers="1/2/1")
    large, small = coca_config(settings, "teacher", ROWS), student_config(settings, ROWS)
    assert (large.layers, small.layers) == ((2, 3, 2), (1, 2, 1))
    assert (large.width, large.head_width, large.patch_size, large.image_queries) == (32, 16, 8, 6)
    teacher = for_task(build(large, 0), large, 1, 3, 0)
    assert [teacher.width(module) for module in MODULES] == [48, 32, 32]
    own = student_config(smoke(tmp_path, student_width=16), ROWS)
    projections = Projections(for_task(build(own, 0), own, 1, 3, 0).shapes(), teacher.shapes(), 0)
    assert [tuple(getattr(projections, module)[0].shape) for module in MODULES] == [(16, 48), (16, 32), (16, 32)]


def test_a_student_is_made_of_a_released_bases_layers(tmp_path: Path):
    write(tmp_path)
    settings = smoke("", tmp_path)
    base = load_released(settings, "base", ROWS)
    data = task_data("snli_ve")

    class Tokens:
        vocab_size, pad = ROWS, 0

    object.__setattr__(data, "tokenizer", Tokens())
    student = new_student(settings, base, data, 0)
    assert [student.depth(module) for module in MODULES] == [1, 1, 1]
    last = blocks(base, "text")[2].state_dict()
    assert all(torch.equal(value, last[name]) for name, value in blocks(student.coca, "text")[0].state_dict().items())
    assert not student.coca.text.correct_cls_mask  # released weights were trained with the shifted mask


def test_an_experiment_with_a_released_teacher_and_base(tmp_path: Path):
    write(tmp_path / "weights")
    few = {"steps": 4, "finetune_steps": 2, "base_steps": 1, "evaluations": 1, "limit": 64}
    arguments = {"runs": str(tmp_path / "runs"), "strategies": "img,optima", "preset": "smoke", **few}
    weights = str(tmp_path / "weights")
    (both,) = optima_lab.run("snli_ve", teacher_weights=weights, base_weights=weights, **arguments)
    losses = [json.loads(line) for line in (both.folder / "img" / "steps.jsonl").read_text().splitlines()]
    assert len(losses) == 4 and all(line["hidden"] > 0 for line in losses)
    assert (both.folder / "img" / "done.json").exists()
    copy = tmp_path / "elsewhere"
    (tmp_path / "weights").rename(copy)
    (again,) = optima_lab.run("snli_ve", teacher_weights=str(copy), base_weights=str(copy), **arguments)
    assert again.id == both.id  # weights are known by what they are, not by where they lie


# ---- refused --------------------------------------------------------------------------------------------------------


def refused(settings, which: str = "teacher", vocabulary: int = ROWS) -> str:
    with pytest.raises(ConfigError) as said:
        load_released(settings, which, vocabulary)
    (line,) = str(said.value).splitlines()
    return line


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_truncated_files(name: str, share: float, tmp_path: Path):
    write(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    line = refused(smoke(path))
    told = "must be a whole checkpoint; it is broken" if share else "must be a checkpoint, got an empty file"
    assert line.startswith(f"teacher_weights: {path} {told}"), line


class Malice:
    """Unpickled, it would run a command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("inside", [False, True], ids=["plain pickle", "among tensors"])
@pytest.mark.parametrize("suffix", [".pt", ".bin", ".pth"])
def test_code_in_a_pickle_is_not_executed(inside: bool, suffix: str, tmp_path: Path):
    path, planted = tmp_path / f"model{suffix}", tmp_path / "planted"
    if inside:
        torch.save({"state_dict": {**model().state_dict(), "more": Malice(planted)}}, path)
    else:
        path.write_bytes(pickle.dumps(Malice(planted)))
    line = refused(smoke(path))
    assert line.startswith(f"teacher_weights: {path} must hold tensors alone; refused, nothing executed"), line
    assert not planted.exists()
    torch.load(path, weights_only=False) if inside else pickle.loads(path.read_bytes())
    assert planted.exists()  # the trap is one


def test_what_is_no_model(tmp_path: Path):
    path = tmp_path / "model.pt"
    for content in ([1, 2], {"state_dict": {"a": 1}}, {}):
        torch.save(content, path)
        assert "must hold a model's tensors by name (a state_dict)" in refused(smoke(path))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (
            {"vision_cfg": {"layers": 3}},
            "12 tensors are missing, first visual.transformer.resblocks.2.attn.in_proj_bias",
        ),
        ({"text_cfg": {"layers": 2}}, "12 are unknown, first text.transformer.resblocks.2.attn.in_proj_bias"),
        (
            {"vision_cfg": {"patch_size": 6}},
            "of another shape, first visual.positional_embedding (10, 48) for (17, 48)",
        ),
        ({"vision_cfg": {"nonsense": 1}}, "unexpected keyword argument 'nonsense'"),
        ({"text_cfg": {"hf_model_name": "roberta-base"}}, "its hf_model_name is another library's tower"),
        ({"vision_cfg": {"timm_model_name": "vit"}}, "its timm_model_name is another library's tower"),
        ({"text_cfg": {"embed_cls": False}}, "its text tower has no class token"),
        ({"text_cfg": {"no_causal_mask": True}}, "its text tower is not causal"),
        ({"vision_cfg": {"qk_norm": True}}, "its blocks are not open_clip's plain ones"),
        ({"vision_cfg": {"image_size": [24, 16]}}, "its pictures or patches are not square"),
    ],
)
def test_a_wrong_architecture(parts: dict[str, Any], reason: str, tmp_path: Path):
    write(tmp_path)
    about = tmp_path / "open_clip_config.json"
    about.write_text(json.dumps({"model_cfg": changed(**parts)}))
    line = refused(smoke(tmp_path))
    assert line.startswith(f"teacher_weights: {tmp_path / 'open_clip_model.safetensors'} must fit {about}; "), line
    assert reason in line


@pytest.mark.parametrize("content", ["{", "[]", '{"embed_dim": 3}', '"text"', '{"model_cfg": {"text_cfg": 3}}'])
def test_a_broken_configuration(content: str, tmp_path: Path):
    write(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(content)
    assert str(tmp_path / "open_clip_config.json") in refused(smoke(tmp_path))


@pytest.mark.parametrize(
    ("changes", "vocabulary", "message"),
    [
        (
            {"image_size": 36, "patch_size": 6},
            ROWS,
            "image_size must be a multiple of the patch size of base_weights, 8; got 36",
        ),
        ({"text_tokens": 21}, ROWS, "text_tokens must be at most the 20 of base_weights; got 21"),
        ({}, 99, "the vocabulary of base_weights must be open_clip's tokenizer's, 99; got 49408"),
    ],
)
def test_inputs_that_released_weights_cannot_take(changes: dict, vocabulary: int, message: str, tmp_path: Path):
    write(tmp_path)
    assert refused(smoke("", tmp_path, **changes), "base", vocabulary) == message


def test_a_student_deeper_than_its_released_base(tmp_path: Path):
    write(tmp_path)
    with pytest.raises(
        ConfigError, match=re.escape("student_layers must not exceed the 2/3/2 of base_weights, got 3/3/2")
    ):
        student_config(smoke(tmp_path, tmp_path, student_layers="3/3/2"), ROWS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
@pytest.mark.parametrize("half", [False, True])
def test_weights_that_are_no_numbers(value: float, name: str, half: bool, tmp_path: Path):
    coca = write(tmp_path)
    state = {key: tensor.half() if half else tensor for key, tensor in coca.state_dict().items()}
    state["text.token_embedding.weight"].view(-1)[7] = value
    path = tmp_path / name
    save_file(state, path) if name.endswith(".safetensors") else torch.save(state, path)
    line = refused(smoke(path))
    assert line.startswith(f"teacher_weights: {path} must hold finite numbers; text.token_embedding.weight holds 1 ")
    assert line.endswith(f"not finite ({'nan' if value != value else 'inf'})")
