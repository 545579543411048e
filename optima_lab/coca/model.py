"""CoCa from open_clip at our sizes, the paper's task heads, and students made of a base model's layers.

open_clip holds the parameters; `walk.py` owns the forward. Only these two files know open_clip's insides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from open_clip import CoCa
from open_clip.transformer import AttentionalPooler
from torch import Tensor, nn

from optima_lab.bandits.arms import MODULES
from optima_lab.coca.weights import fill, release, towers
from optima_lab.config import Data, PretrainingStage, TrainingStage
from optima_lab.config.fields import layers
from optima_lab.distill.layers import ModuleShape, matched_layer
from optima_lab.errors import ConfigError


@dataclass(frozen=True)
class CoCaConfig:
    """Shape of a CoCa: layers of image encoder, text encoder and decoder, widths, and input sizes.

    Of released weights `architecture` has the rest (open_clip's model_cfg as JSON), and `width` is the decoder's.
    """

    layers: tuple[int, int, int]
    width: int
    head_width: int
    image_size: int
    patch_size: int
    text_tokens: int
    vocabulary: int
    decoder: str = "paper"
    image_queries: int = 256
    architecture: str = ""
    position_scale: float = 1.0


def coca_config(stage: PretrainingStage, which: str, vocabulary: int) -> CoCaConfig:
    """The shape of 'teacher' or 'base'.

    `vocabulary` is the tokenizer's: a small corpus may have fewer pieces than the configuration allows. Raises
    ConfigError where released weights cannot take the configured pictures or texts.
    """
    before = stage.pretraining
    weights, depth, width = (
        (before.teacher_weights, before.teacher_layers, before.teacher_width)
        if which == "teacher"
        else (before.base_weights, before.base_layers, before.student_width)
    )
    if weights:
        return _released_config(stage, weights, f"{which}_weights", vocabulary)
    return CoCaConfig(
        layers(depth),
        width,
        stage.model.head_width,
        stage.data.image_size,
        stage.model.patch_size,
        stage.data.text_tokens,
        vocabulary,
        stage.model.decoder,
        stage.model.image_queries,
        position_scale=stage.model.position_scale,
    )


def student_config(stage: TrainingStage, vocabulary: int) -> CoCaConfig:
    """The shape of a student: a base of fewer layers. Raises ConfigError where the base has not so many."""
    base, own = coca_config(stage, "base", vocabulary), layers(stage.training.student_layers)
    if any(few > many for few, many in zip(own, base.layers, strict=True)):
        most, named = "/".join(map(str, base.layers)), "base_weights" if stage.pretraining.base_weights else "the base"
        raise ConfigError(f"student_layers must not exceed the {most} of {named}, got {stage.training.student_layers}")
    return replace(base, layers=own)


def _released_config(stage: PretrainingStage, weights: str, name: str, vocabulary: int) -> CoCaConfig:
    """The shape of released weights, at the configured picture size."""
    source = release(weights, name)
    image, text, decoder = (source.part(part) for part in ("vision_cfg", "text_cfg", "multimodal_cfg"))
    queries = image.get("attn_pooler_queries", 256) if image.get("attentional_pool") else 0
    sizes = {
        "patch_size": image["patch_size"],
        "context_length": text["context_length"],
        "vocabulary": text["vocab_size"],
    }
    _require_fit(stage.data, name, vocabulary, sizes)
    return CoCaConfig(
        (image["layers"], text["layers"], decoder["layers"]),
        decoder["width"],
        decoder["width"] // decoder["heads"],
        stage.data.image_size,
        sizes["patch_size"],
        stage.data.text_tokens,
        vocabulary,
        "open_clip",
        queries - (image.get("attentional_pool") is True),  # open_clip takes the first query for its class token
        source.architecture,
    )


def _require_fit(data: Data, name: str, vocabulary: int, sizes: Mapping[str, int]) -> None:
    patch, length, rows = sizes["patch_size"], sizes["context_length"], sizes["vocabulary"]
    if data.image_size % patch:
        raise ConfigError(f"image_size must be a multiple of the patch size of {name}, {patch}; got {data.image_size}")
    if data.text_tokens > length:
        raise ConfigError(f"text_tokens must be at most the {length} of {name}; got {data.text_tokens}")
    if rows != vocabulary:
        raise ConfigError(f"the vocabulary of {name} must be open_clip's tokenizer's, {vocabulary}; got {rows}")


def build(size: CoCaConfig, seed: int) -> CoCa:
    """A CoCa of this size, initialised from `seed` alone.

    `decoder='paper'` drops the MLP of the decoder's self-attention blocks: self → cross → MLP.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CoCa(**_towers(size))
        # open_clip leaves this one uninitialised (torch.empty): NaN when trained from scratch.
        nn.init.normal_(model.text_decoder.text_projection, std=size.width**-0.5)
    text: Any = model.text
    text.correct_cls_mask = not size.architecture  # the mask of released weights is shifted by one; ours need not be
    if size.position_scale != 1.0:
        with torch.no_grad():  # width^-0.5 is small beside a patch's embedding: places are learnt later, if at all
            visual: Any = model.visual
            visual.positional_embedding.mul_(size.position_scale)
    if size.decoder == "paper":
        for block in blocks(model, "decoder"):
            block.ln_2, block.mlp, block.ls_2 = None, None, None
    return model


def load_released(stage: PretrainingStage, which: str, vocabulary: int) -> CoCa:
    """The 'teacher' or 'base' with the released weights that the configuration names, at its picture size."""
    weights = stage.pretraining.teacher_weights if which == "teacher" else stage.pretraining.base_weights
    name = f"{which}_weights"
    return fill(build(coca_config(stage, which, vocabulary), 0), release(weights, name), name)


def _towers(size: CoCaConfig) -> dict[str, Any]:
    """open_clip's configuration of its three towers."""
    image, text, decoder = size.layers
    if size.architecture:
        config = towers(size.architecture, image_size=size.image_size, layers=image)
        deep = {"text_cfg": text, "multimodal_cfg": decoder}
        return {**config, **{part: {**config[part], "layers": depth} for part, depth in deep.items()}}
    heads = size.width // size.head_width
    words = {"context_length": size.text_tokens, "vocab_size": size.vocabulary, "width": size.width, "heads": heads}
    pool = {"attentional_pool": "cascade", "attn_pooler_queries": size.image_queries, "attn_pooler_heads": heads}
    picture = {"image_size": size.image_size, "patch_size": size.patch_size, "layers": image, "output_tokens": True}
    return {
        "embed_dim": size.width,
        "multimodal_cfg": {**words, "layers": decoder, "attn_pooler_heads": heads},
        "text_cfg": {**words, "layers": text, "embed_cls": True, "output_tokens": True},
        "vision_cfg": {
            **picture,
            "width": size.width,
            "head_width": size.head_width,
            **(pool if size.image_queries else {}),
        },
    }


class Head(nn.Module):
    """An attentional pooler with one query over the decoder's output, then a linear classifier (A.3)."""

    def __init__(self, width: int, heads: int, pictures: int, classes: int) -> None:
        super().__init__()
        self.pooler = AttentionalPooler(width, width, n_head=heads, n_queries=1)
        self.classifier = nn.Linear(pictures * width, classes)
        self.pictures = pictures

    def forward(
        self,
        decoded: Float[Tensor, "sequence token width"],
        mask: Bool[Tensor, "sequence token"],
        keep: Float[Tensor, "batch features"] | None = None,
    ) -> Float[Tensor, "batch classes"]:
        """Class logits; NLVR2's two pooled vectors are concatenated. `keep` is the dropout mask, already scaled."""
        keys = self.pooler.ln_k(decoded)
        query = self.pooler.ln_q(self.pooler.query).expand(decoded.shape[0], 1, -1)
        pooled, _ = self.pooler.attn(query, keys, keys, key_padding_mask=~mask, need_weights=False)
        features = pooled.reshape(decoded.shape[0] // self.pictures, -1)
        return self.classifier(features if keep is None else features * keep)


class TaskModel(nn.Module):
    """A CoCa with the head of its task; captions need none (the decoder predicts tokens)."""

    def __init__(self, coca: CoCa, head: Head | None, patch_size: int) -> None:
        super().__init__()
        self.coca, self.head, self.patch_size = coca, head, patch_size

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return self.coca.logit_scale.device

    def width(self, module: str) -> int:
        """Hidden size of 'image', 'text' or 'decoder'; released weights have an image encoder of its own width."""
        return blocks(self.coca, module)[0].attn.embed_dim

    def depth(self, module: str) -> int:
        """Layers of 'image', 'text' or 'decoder'."""
        return len(blocks(self.coca, module))

    def shapes(self) -> dict[str, ModuleShape]:
        """Layers and widths of all modules."""
        return {module: ModuleShape(self.depth(module), self.width(module)) for module in MODULES}


def blocks(coca: CoCa, module: str) -> Any:
    """The layers of a module; the decoder's self-attention blocks stand for its layers."""
    towers = {"image": coca.visual.transformer, "text": coca.text.transformer, "decoder": coca.text_decoder}
    return towers[module].resblocks


def grid(coca: CoCa) -> int:
    """Patches a side of its pictures."""
    visual: Any = coca.visual
    return visual.grid_size[0]


def parameter_counts(coca: CoCa) -> dict[str, int]:
    """Parameters in the layers of each module (a decoder layer: self- and cross-attention block) and in the poolers."""
    parts: dict[str, list[Any]] = {module: [blocks(coca, module)] for module in ("image", "text", "decoder")}
    parts["decoder"].append(coca.text_decoder.cross_attn)
    parts["poolers"] = [part for part in coca.visual.modules() if isinstance(part, AttentionalPooler)]
    return {name: sum(p.numel() for part in group for p in part.parameters()) for name, group in parts.items()}


def for_task(coca: CoCa, size: CoCaConfig, pictures: int, classes: int, seed: int) -> TaskModel:
    """`coca` with a new head drawn from `seed`; no head where there are no classes (captions)."""
    if classes == 0:
        return TaskModel(coca, None, size.patch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(size.width, size.width // size.head_width, pictures, classes)
        nn.init.normal_(head.pooler.query, std=size.width**-0.5)
    return TaskModel(coca, head, size.patch_size)


def student_from(base: CoCa, base_size: CoCaConfig, student_size: CoCaConfig, seed: int) -> CoCa:
    """A student whose layers are uniformly sampled from the base's (Section 4.2); the rest is copied as it is."""
    student = build(student_size, seed)
    source = base.state_dict()
    target = student.state_dict()
    towers = ("visual.transformer.resblocks", "text.transformer.resblocks", "text_decoder.resblocks")
    depth: dict[str, tuple[int, int]] = dict(
        zip(towers, zip(student_size.layers, base_size.layers, strict=True), strict=True)
    )
    depth["text_decoder.cross_attn"] = depth["text_decoder.resblocks"]
    for name in target:
        tower = next((t for t in depth if name.startswith(t + ".")), None)
        origin = name
        if tower is not None:
            index, rest = name[len(tower) + 1 :].split(".", 1)
            origin = f"{tower}.{matched_layer(int(index) + 1, *depth[tower]) - 1}.{rest}"
        target[name] = source[origin]
    student.load_state_dict(target)
    return student


def pixels(images: Tensor) -> Float[Tensor, "batch pictures 3 height width"]:
    """uint8 pictures (batch, pictures, height, width, 3) as floats from -1 to 1, channels first."""
    return images.permute(0, 1, 4, 2, 3).to(torch.float32).div_(127.5).sub_(1.0)


def dropout_mask(seed: int, rows: int, features: int, rate: float) -> Float[Tensor, "rows features"] | None:
    """The task layer's scaled dropout mask, a function of its arguments alone: the same for every student."""
    if rate == 0.0:
        return None
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(rows, features, generator=generator) >= rate
    return keep.to(torch.float32) / (1.0 - rate)
