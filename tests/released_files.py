"""Checkpoints as open_clip itself writes them, of CoCa models small enough to write."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from open_clip import CoCa
from open_clip.push_to_hf_hub import save_for_hf
from small import shaken

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
# As in coca_ViT-L-14, pictures are encoded wider than texts; 48 is the patch's own number of numbers, too.
TINY: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 24,
        "layers": 2,
        "width": 48,
        "head_width": 16,
        "patch_size": 8,
        "attentional_pool": True,
        "attn_pooler_heads": 2,
        "attn_pooler_queries": 7,
        "output_tokens": True,
    },
    "text_cfg": {
        "context_length": 20,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 3,
        "embed_cls": True,
        "output_tokens": True,
    },
    "multimodal_cfg": {
        "context_length": 20,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
        "attn_pooler_heads": 2,
    },
    "custom_text": True,
}


def changed(**parts: dict[str, Any]) -> dict[str, Any]:
    """TINY with entries of its parts replaced; None takes one away."""
    config = deepcopy(TINY)
    for part, entries in parts.items():
        merged = {**config[part], **entries}
        config[part] = {key: value for key, value in merged.items() if value is not None}
    return config


def model(config: dict[str, Any] = TINY) -> CoCa:
    """An untrained CoCa of the configuration, its uninitialised matrix and its tidy first values filled."""
    torch.manual_seed(5)
    coca = CoCa(**{key: value for key, value in config.items() if key != "custom_text"})
    torch.nn.init.normal_(coca.text_decoder.text_projection, std=0.2)
    visual: Any = coca.visual
    visual.image_mean, visual.image_std = MEAN, STD
    return shaken(coca, 0.05).eval()


class _NoTokenizer:
    """open_clip's writer saves a tokenizer, too; CLIP's own has no files."""

    def save_pretrained(self, folder: Path) -> None:
        assert folder.is_dir()


def write(folder: Path, config: dict[str, Any] = TINY) -> CoCa:
    """open_clip's own files in `folder`: safetensors, .bin and its configuration."""
    coca = model(config)
    save_for_hf(coca, _NoTokenizer(), config, str(folder))
    assert (folder / "open_clip_model.safetensors").is_file()
    assert json.loads((folder / "open_clip_config.json").read_text())["preprocess_cfg"]["mean"] == list(MEAN)
    return coca
