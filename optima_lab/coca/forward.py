"""One forward through a CoCa that also returns hidden states and attention scores, module by module.

Same parameters as open_clip's own forward and the same result; but every block's output and its head-averaged
attention scores come out on the way, and only the modules asked for are run. Teacher and student use it alike.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any  # what open_clip's modules hold: PyTorch types every part as Tensor or Module

import torch
from jaxtyping import Bool, Float, Int
from open_clip import CoCa
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from optima_lab.bandits.arms import MODULES
from optima_lab.distill.trace import NOTHING, AttentionSpec, Collect, Features

Layers = Collection[int]  # of one module, counted from 1
SCORES = AttentionSpec()


@dataclass
class CoCaFeatures(Features):
    """What a walk saw, with what each tower hands on.

    A sequence is a (picture, text) pair; only the text encoder of NLVR2's two runs once.
    """

    image_tokens: Tensor | None = None
    image_pooled: Tensor | None = None  # (picture, width)
    text_tokens: Tensor | None = None
    text_cls: Tensor | None = None  # (text, width)
    decoded: Tensor | None = None


def walk(
    coca: CoCa,
    images: Float[Tensor, "batch pictures 3 height width"] | Float[Tensor, "batch pictures patch values"],
    tokens: Int[Tensor, "batch token"],
    *,
    run: frozenset[str] = frozenset(MODULES),
    collect: Collect = NOTHING,
    spec: AttentionSpec = SCORES,
) -> CoCaFeatures:
    """Run the modules in `run` and note hidden states and attention of the layers (from 1) in `collect`.

    The decoder needs both encoders, which are then run too. `images` may come as `patches`, cut once for many models;
    `tokens` without the padding at the end that all texts share. Equals open_clip's forward.
    """
    trace = CoCaFeatures()
    if run & {"image", "decoder"}:
        _walk_image(coca, images.flatten(0, 1), trace, collect.get("image", ()), spec)
    if run & {"text", "decoder"}:
        _walk_text(coca, tokens, trace, collect.get("text", ()), spec)
    if "decoder" in run:
        walk_decoder(coca, tokens, images.shape[1], trace, collect.get("decoder", ()), spec)
    return trace


def every_layer(coca: CoCa) -> dict[str, range]:
    """`collect` for all layers of all modules."""
    towers: tuple[Any, ...] = (coca.visual.transformer, coca.text.transformer, coca.text_decoder)
    return {module: range(1, len(tower.resblocks) + 1) for module, tower in zip(MODULES, towers, strict=True)}


def attend(
    attn: nn.MultiheadAttention,
    queries: Float[Tensor, "batch query width"],
    context: Float[Tensor, "batch key width"] | None,
    mask: Bool[Tensor, "#batch query key"] | None,
    wanted: str = "",
) -> tuple[Float[Tensor, "batch query width"], Float[Tensor, "batch query key"] | None]:
    """Multi-head attention with `attn`'s parameters, and its head-averaged 'scores' or 'weights' where wanted.

    The mean of the scores over H heads is one full-width product, Q Kᵀ / (H √d_h): no head is taken apart for it.
    """
    d, h = attn.embed_dim, attn.num_heads
    weight, bias = attn.in_proj_weight, attn.in_proj_bias
    if context is None:
        q, k, v = F.linear(queries, weight, bias).split(d, -1)
    else:
        q = F.linear(queries, weight[:d], bias[:d])
        k, v = F.linear(context, weight[d:], bias[d:]).split(d, -1)
    apart = [heads(x, attn) for x in (q, k, v)]
    out = F.scaled_dot_product_attention(*apart, attn_mask=None if mask is None else mask[:, None])
    out = F.linear(out.transpose(1, 2).flatten(2), attn.out_proj.weight, attn.out_proj.bias)
    if wanted == "scores":
        return out, torch.bmm(q, k.mT).div_(h * sqrt(d / h))
    if wanted == "weights":
        scores = apart[0] @ apart[1].transpose(2, 3) / sqrt(d / h)
        scores = scores if mask is None else scores.masked_fill(~mask[:, None], float("-inf"))
        return out, scores.softmax(-1).mean(1)
    return out, None


def heads(x: Float[Tensor, "batch token width"], attn: nn.MultiheadAttention) -> Float[Tensor, "batch head token part"]:
    """A width taken apart into `attn`'s heads."""
    return x.unflatten(-1, (attn.num_heads, attn.embed_dim // attn.num_heads)).transpose(1, 2)


def _block(
    block: Any, x: Tensor, mask: Tensor | None, wanted: str, context: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """A pre-norm residual block: x + attention(x), then + MLP; the paper's decoder has none at its self-attention."""
    context = None if context is None else block.ln_1_kv(context)
    out, attention = attend(block.attn, block.ln_1(x), context, mask, wanted)
    return residual(block, x, out), attention


def residual(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    """What a block makes of its input and of what its attention gave."""
    x = x + block.ls_1(attended)
    return x if block.mlp is None else x + block.ls_2(block.mlp(block.ln_2(x)))


def _through(
    tower: Any, block: nn.Module, x: Tensor, mask: Tensor | None, wanted: str, context: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """`_block`; what is inside is computed again on the way back where open_clip's own switch says so."""
    if tower.grad_checkpointing and torch.is_grad_enabled():
        return checkpoint(_block, block, x, mask, wanted, context, use_reentrant=False, preserve_rng_state=False)
    return _block(block, x, mask, wanted, context)


def _tower(
    tower: Any, x: Tensor, mask: Tensor | None, module: str, trace: CoCaFeatures, layers: Layers, wanted: str
) -> Tensor:
    for layer, block in enumerate(tower.resblocks, 1):
        x, attention = _through(tower, block, x, mask, wanted if layer in layers else "")
        _note(trace, module, x, attention)
    return x


def _note(trace: CoCaFeatures, module: str, hidden: Tensor, attention: Tensor | None) -> None:
    if attention is not None:
        trace.hidden.setdefault(module, []).append(hidden)
        trace.attention.setdefault(module, []).append(attention)


def _walk_image(coca: CoCa, images: Tensor, trace: CoCaFeatures, layers: Layers, spec: AttentionSpec) -> None:
    visual: Any = coca.visual
    x = visual.ln_pre(_patch_embedding(visual, images))
    x = _tower(visual.transformer, x, None, "image", trace, layers, spec.attention)
    pooled, tokens = visual._pool(x)
    if tokens.ndim == 3 and pooled.ndim == 3:  # cascaded poolers: one contrastive query
        pooled = pooled[:, 0]
    trace.image_pooled, trace.image_tokens = pooled, tokens
    trace.token_mask["image"] = trace.pair_mask["image"] = None


def patches(images: Float[Tensor, "*pictures 3 height width"], side: int) -> Float[Tensor, "*pictures patch values"]:
    """Pictures cut into squares of `side` pixels, row by row; a patch's values are ordered channel, row, column."""
    return F.pixel_unshuffle(images, side).flatten(-2).transpose(-1, -2).contiguous()


def _patch_embedding(visual: Any, images: Tensor) -> Float[Tensor, "picture token width"]:
    """Class token and patches; a convolution whose stride is its kernel is one matrix product."""
    cut = images if images.ndim == 3 else patches(images, visual.patch_size[0])
    x = F.linear(cut, visual.conv1.weight.flatten(1))
    x = torch.cat([visual.class_embedding.expand(x.shape[0], 1, -1), x], 1)
    return x + visual.positional_embedding


def _walk_text(coca: CoCa, tokens: Tensor, trace: CoCaFeatures, layers: Layers, spec: AttentionSpec) -> None:
    text: Any = coca.text
    where = text.positional_embedding  # the CLS token's is the last one, however much padding was cut off
    cls = (text.cls_emb + where[-1]).expand(tokens.shape[0], 1, -1)
    x = torch.cat([text.token_embedding(tokens) + where[: tokens.shape[1]], cls], 1)
    mask, trace.token_mask["text"], trace.pair_mask["text"] = _text_masks(coca, tokens)
    x = _tower(text.transformer, x, mask, "text", trace, layers, spec.attention)
    trace.text_tokens, trace.text_cls = x[:, :-1], x[:, -1]


def _text_masks(coca: CoCa, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the text encoder may attend; its real tokens, CLS among them; its pairs of a real query and a key."""
    text: Any = coca.text
    real = tokens.ne(text.pad_id)
    cls = real.new_ones(real.shape[0], 1)
    # Released open_clip weights were trained with the CLS entry of the mask in front (correct_cls_mask=False).
    keys = torch.cat([real, cls] if text.correct_cls_mask else [cls, real], 1)
    mask = keys.new_ones(keys.shape[1], keys.shape[1]).tril() & keys[:, None]
    queries = torch.cat([real, cls], 1)
    return mask, queries, mask & queries[:, :, None]


def _decoder_masks(coca: CoCa, tokens: Tensor, pictures: int, cross: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same of the decoder, once for every picture; `cross`: image tokens as keys, 0: the text itself."""
    text: Any = coca.text
    real = tokens.ne(text.pad_id).repeat_interleave(pictures, 0)
    causal = real.new_ones(1, real.shape[1], real.shape[1]).tril()
    return causal, real, real[:, :, None] & (real.new_ones(1, 1, cross) if cross else causal)


def mask_counts(coca: CoCa, tokens: Tensor, pictures: int, spec: AttentionSpec) -> dict[str, tuple[Tensor, Tensor]]:
    """(tokens, pairs) that the means over a batch run over, for the modules that read text; known without a walk."""
    _, words, pairs = _text_masks(coca, tokens)
    cross = 1 if spec.decoder_attention == "cross" else 0  # any number: it is the same for every query
    _, decoder_words, decoder_pairs = _decoder_masks(coca, tokens, pictures, cross)
    return {"text": (words.sum(), pairs.sum()), "decoder": (decoder_words.sum(), decoder_pairs.sum())}


def walk_decoder(
    coca: CoCa,
    tokens: Tensor,
    pictures: int,
    trace: CoCaFeatures,
    layers: Layers = (),
    spec: AttentionSpec = SCORES,
) -> None:
    """The decoder over a trace that already has both encoders' tokens; its part is added to the trace."""
    decoder: Any = coca.text_decoder
    assert trace.text_tokens is not None and trace.image_tokens is not None
    x = trace.text_tokens.repeat_interleave(pictures, 0) if pictures > 1 else trace.text_tokens
    cross = spec.decoder_attention == "cross"
    keys = trace.image_tokens.shape[1] if cross else 0
    causal, trace.token_mask["decoder"], trace.pair_mask["decoder"] = _decoder_masks(coca, tokens, pictures, keys)
    for layer, (block, cross_block) in enumerate(zip(decoder.resblocks, decoder.cross_attn, strict=True), 1):
        wanted = spec.attention if layer in layers else ""
        x, own = _through(decoder, block, x, causal, "" if cross else wanted)
        x, other = _through(decoder, cross_block, x, None, wanted if cross else "", trace.image_tokens)
        _note(trace, "decoder", x, other if cross else own)
    trace.decoded = decoder.ln_final(x)


def decoded(
    coca: CoCa, tokens: Tensor, pictures: int, trace: CoCaFeatures, layers: Layers, spec: AttentionSpec
) -> CoCaFeatures:
    """Both encoders' trace and the decoder's for `spec` beside it; `trace` stays as it is, for other kinds to share."""
    noted = {name: dict(getattr(trace, name)) for name in ("hidden", "attention", "token_mask", "pair_mask")}
    whole = replace(trace, **noted)
    walk_decoder(coca, tokens, pictures, whole, layers, spec)
    return whole


def token_logits(coca: CoCa, trace: CoCaFeatures) -> Float[Tensor, "batch token vocabulary"]:
    """The decoder's prediction of the token after each position."""
    assert trace.decoded is not None
    return trace.decoded @ coca.text_decoder.text_projection


def features(coca: CoCa, trace: CoCaFeatures) -> tuple[Float[Tensor, "picture width"], Float[Tensor, "text width"]]:
    """What the contrastive loss compares, not normalised; computed where asked for, as no other loss needs it."""
    visual: Any = coca.visual
    text: Any = coca.text
    assert trace.image_pooled is not None and trace.text_cls is not None
    return trace.image_pooled @ visual.proj, text.ln_final(trace.text_cls) @ text.text_projection
