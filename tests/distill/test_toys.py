"""Small models of Hugging Face learn from larger ones: in 300 steps the probe's hidden loss falls at least fivefold."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optima_lab.distill.optima import Optima

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    hf: Any = pytest.importorskip("transformers", reason="needs the extra hf")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
STEPS, PIXELS = 300, {"image_size": 8, "patch_size": 4}
TEXT = {"vocab_size": 40, "max_position_embeddings": 32, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
Batch = dict[str, Tensor]


def size(layers: int, width: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
    }


def words(count: int = 6) -> Batch:
    return {"input_ids": torch.randint(3, 38, (8, count)), "attention_mask": torch.ones(8, count, dtype=torch.long)}


def pixels() -> Batch:
    return {"pixel_values": torch.randn(8, 3, 8, 8)}


def clip(layers: int, width: int) -> nn.Module:
    shape = size(layers, width)
    return hf.CLIPModel(hf.CLIPConfig(text_config=shape | TEXT, vision_config=shape | PIXELS, projection_dim=16))


def llava(layers: int, width: int) -> nn.Module:
    vision = hf.CLIPVisionConfig(**size(layers, width), **PIXELS)
    text = hf.LlamaConfig(**size(layers, width), **TEXT)
    config = hf.LlavaConfig(vision_config=vision, text_config=text, image_token_id=39, vision_feature_layer=-1)
    return hf.LlavaForConditionalGeneration(config)


def pictured_words() -> Batch:
    """Four tokens of a picture, then words."""
    given = words(10)
    given["input_ids"][:, :4] = 39
    return given | pixels()


def blip(layers: int, width: int) -> nn.Module:
    text = size(layers, width) | TEXT | {"encoder_hidden_size": width, "projection_dim": 16, "sep_token_id": 2}
    return hf.BlipForConditionalGeneration(
        hf.BlipConfig(text_config=text, vision_config=size(layers, width) | PIXELS, projection_dim=16)
    )


def whisper(layers: int, width: int) -> nn.Module:
    config = hf.WhisperConfig(
        vocab_size=40, d_model=width, num_mel_bins=8, max_source_positions=6, max_target_positions=9,
        encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=2 * width, decoder_ffn_dim=2 * width, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    return hf.WhisperForConditionalGeneration(config)


def sounds() -> Batch:
    return {"input_features": torch.randn(8, 8, 12), "decoder_input_ids": torch.randint(3, 38, (8, 5))}


TOYS: dict[str, tuple[Callable[[int, int], nn.Module], Callable[[], Batch], dict[str, str]]] = {
    "CLIP": (
        clip,
        lambda: words() | pixels(),
        {"image": "vision_model.encoder.layers.*", "text": "text_model.encoder.layers.*"},
    ),
    "LLaVA": (
        llava,
        pictured_words,
        {"image": "model.vision_tower.encoder.layers.*", "text": "model.language_model.layers.*"},
    ),
    "BLIP": (
        blip,
        lambda: words() | pixels(),
        {"image": "vision_model.encoder.layers.*", "decoder": "text_decoder.bert.encoder.layer.*"},
    ),
    "Whisper": (whisper, sounds, {"audio": "model.encoder.layers.*", "decoder": "model.decoder.layers.*"}),
}


@pytest.mark.parametrize("name", TOYS)
def test_the_probes_hidden_loss_falls_fivefold(name: str, one_thread: None) -> None:
    make, batch, modules = TOYS[name]
    torch.manual_seed(0)
    student, teacher, probe = make(2, 16), make(4, 24), batch()
    optima = Optima(student, teacher, probe=probe, modules=modules, round_steps=10)
    first = optima.before.hidden
    optimizer = torch.optim.AdamW([*student.parameters(), *optima.parameters()], lr=1e-2)
    for _ in range(STEPS):
        optima.loss(batch()).backward()
        optimizer.step()
        optimizer.zero_grad()
        optima.step()
    assert first is not None and optima.before.hidden is not None
    assert optima.before.hidden < first / 5
