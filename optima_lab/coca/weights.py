"""Released open_clip CoCa weights: read without executing anything, recognised by their shapes, loaded into our CoCa.

What our forward cannot walk is refused by name. Pictures reach every model as floats from -1 to 1; the mean and the
standard deviation that released weights were trained with are folded into their patch embedding, which is linear.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, CoCa, get_model_config, list_models
from open_clip.model import resize_pos_embed
from open_clip.transformer import ResidualAttentionBlock, TextTransformer, VisionTransformer
from torch import Tensor, nn

from optima_lab.coca.checkpoints import CONFIG_NAME, Checkpoint, find
from optima_lab.coca.weight_files import read_tensors
from optima_lab.distill.finite import first_not_finite
from optima_lab.errors import ConfigError

Shapes = Mapping[str, tuple[int, ...]]
_GRID = "visual.positional_embedding"  # its rows follow the picture's size, which may be changed


@dataclass(frozen=True)
class Release:
    """A checkpoint whose every shape was compared with its architecture (open_clip's model_cfg, as JSON)."""

    weights: Path
    architecture: str
    mean: tuple[float, float, float] = OPENAI_DATASET_MEAN
    std: tuple[float, float, float] = OPENAI_DATASET_STD

    def part(self, name: str) -> dict[str, Any]:
        """One of the architecture's parts: 'vision_cfg', 'text_cfg' or 'multimodal_cfg'."""
        return json.loads(self.architecture)[name]


def release(text: str, name: str) -> Release:
    """What the parameter `name` asks for with `text`, recognised and checked; its weights are not loaded yet.

    Raises ConfigError for what is missing, broken, no CoCa, a CoCa that we cannot walk, or code in disguise.
    """
    checkpoint = find(text, name)
    stamps = [
        (path.stat().st_size, path.stat().st_mtime_ns) for path in (checkpoint.weights, checkpoint.config) if path
    ]
    return _release(checkpoint, name, tuple(stamps))


@lru_cache(maxsize=4)
def _release(checkpoint: Checkpoint, name: str, stamps: tuple) -> Release:
    shapes = {key: tuple(tensor.shape) for key, tensor in _state(checkpoint.weights, name, "meta").items()}
    if checkpoint.config is not None:
        return _configured(checkpoint, shapes, name)
    models = [checkpoint.model] if checkpoint.model else [m for m in list_models() if m.startswith("coca")]
    reasons = {}
    for model in models:
        architecture = json.dumps(get_model_config(model))
        reasons[model] = _differs(architecture, shapes)
        if not reasons[model]:
            return Release(checkpoint.weights, architecture)
    why = "; ".join(f"{model}: {reason}" for model, reason in reasons.items())
    where = f"{name}: {checkpoint.weights}"
    raise ConfigError(f"{where} must fit one of open_clip's CoCa models, or have {CONFIG_NAME} beside it; {why}")


def _configured(checkpoint: Checkpoint, shapes: Shapes, name: str) -> Release:
    """A release by the configuration that lies beside the weights, as open_clip writes it."""
    assert checkpoint.config is not None
    try:
        content = json.loads(checkpoint.config.read_text())
        architecture = json.dumps(content.get("model_cfg", content))
        picture = content.get("preprocess_cfg", {})
        mean, std = tuple(picture.get("mean", OPENAI_DATASET_MEAN)), tuple(picture.get("std", OPENAI_DATASET_STD))
        reason = _differs(architecture, shapes)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"{name}: {checkpoint.config} must be open_clip's configuration ({error})") from None
    if reason:
        raise ConfigError(f"{name}: {checkpoint.weights} must fit {checkpoint.config}; {reason}")
    return Release(checkpoint.weights, architecture, mean, std)


def towers(architecture: str, **vision: Any) -> dict[str, Any]:
    """open_clip.CoCa's arguments for a model_cfg, with parts of its vision_cfg replaced.

    Raises ConfigError for a configuration of another kind of model.
    """
    valid = {"embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "quick_gelu", "init_logit_bias"}
    config = {key: value for key, value in json.loads(architecture).items() if key != "custom_text"}
    if not {"embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg"} <= set(config) <= valid:
        raise ConfigError(f"a CoCa's configuration must have {', '.join(sorted(valid))}; got {', '.join(config)}")
    return {**config, "vision_cfg": {**config["vision_cfg"], **vision}}


def _differs(architecture: str, shapes: Shapes) -> str:
    """Why weights of these shapes are not of this architecture, or the architecture not one that we walk; else ''."""
    parts = json.loads(architecture)
    foreign = {"hf_model_name", "timm_model_name"} & {*parts.get("text_cfg", ()), *parts.get("vision_cfg", ())}
    if foreign:  # before anything is built: such a tower would be downloaded
        return f"its {foreign.pop()} is another library's tower, which cannot be walked"
    try:
        with torch.device("meta"):
            coca = CoCa(**towers(architecture))
    except (ConfigError, TypeError, KeyError) as error:
        return str(error)
    return _unwalkable(coca) or _unlike(shapes, {key: tuple(value.shape) for key, value in coca.state_dict().items()})


def _unwalkable(coca: CoCa) -> str:
    """The first part of a CoCa that `walk` does not know, or ''."""
    visual, text, decoder = coca.visual, coca.text, coca.text_decoder
    if not isinstance(visual, VisionTransformer) or not isinstance(text, TextTransformer):
        return f"its towers are {type(visual).__name__} and {type(text).__name__}, not open_clip's transformers"
    layers = [*visual.transformer.resblocks, *text.transformer.resblocks, *decoder.resblocks]
    rules = {
        "its blocks are not open_clip's plain ones": all(isinstance(x, ResidualAttentionBlock) for x in layers),
        "its text tower has no class token (embed_cls)": text.cls_emb is not None,
        "its text tower is not causal": text.attn_mask is not None,
        "its text projection is not a matrix": isinstance(text.text_projection, nn.Parameter),
        "its towers do not give their tokens (output_tokens)": visual.output_tokens and text.output_tokens,
        "its pictures or patches are not square": len({*visual.grid_size}) == len({*visual.patch_size}) == 1,
        "text tower and decoder differ in width": text.width == decoder.text_projection.shape[0],
    }
    return next((reason for reason, holds in rules.items() if not holds), "")


def _unlike(shapes: Shapes, wanted: Shapes) -> str:
    missing, unknown = sorted(set(wanted) - set(shapes)), sorted(set(shapes) - set(wanted))
    other = [key for key in wanted if key in shapes and shapes[key] != wanted[key]]
    parts = [
        f"{len(keys)} {what}, first {keys[0]}"
        for what, keys in (("tensors are missing", missing), ("are unknown", unknown))
        if keys
    ]
    if other:
        parts.append(f"{len(other)} of another shape, first {other[0]} {shapes[other[0]]} for {wanted[other[0]]}")
    return "; ".join(parts)


def fill(coca: CoCa, source: Release, name: str) -> CoCa:
    """`coca` with the released weights: positions resampled to its grid (bicubic), as open_clip does; pixels folded."""
    state = {key: tensor.float() for key, tensor in _state(source.weights, name, "cpu").items()}
    if problem := first_not_finite(state):
        raise ConfigError(f"{name}: {source.weights} must hold finite numbers; {problem}")
    state["logit_scale"] = state["logit_scale"].reshape(coca.logit_scale.shape)
    resize_pos_embed(state, coca)
    _fold_pixels(state, source)
    coca.load_state_dict(state)
    return coca


def _fold_pixels(state: dict[str, Tensor], source: Release) -> None:
    """Let the patch embedding take pixels from -1 to 1: (x/2 + 1/2 - mean) / std is linear, and so is the embedding.

    Its slope goes into the kernel, its constant (the same for every patch) into the patches' positions.
    """
    mean, std = torch.tensor(source.mean), torch.tensor(source.std)
    kernel = state["visual.conv1.weight"]
    constant = torch.einsum("dchw,c->d", kernel, (0.5 - mean) / std)
    state["visual.conv1.weight"] = kernel * (0.5 / std)[:, None, None]
    state[_GRID] = torch.cat([state[_GRID][:1], state[_GRID][1:] + constant])


def _state(path: Path, name: str, device: str) -> dict[str, Tensor]:
    """A checkpoint's tensors by name, on `device` ('meta': shapes alone), without a constant of old versions."""
    return {key: value for key, value in read_tensors(path, name, device).items() if not key.endswith(".attn_mask")}
