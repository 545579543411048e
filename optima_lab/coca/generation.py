"""Captions token by token: each costs one token's way through the model, not a walk over all before it."""

from typing import Any  # what open_clip's modules hold

import torch
from jaxtyping import Float, Int
from open_clip import CoCa
from torch import Tensor, nn
from torch.nn import functional as F

from optima_lab.coca.forward import heads, residual


class Continuation:
    """Captions written token by token: keys and values of what is already written are kept, not computed again.

    `next_logits` equals `token_logits` of a whole walk at its last token, as nothing looks ahead. The text encoder's
    CLS token is left out: captions do not read it.
    """

    def __init__(self, coca: CoCa, image_tokens: Float[Tensor, "batch token width"]) -> None:
        decoder: Any = coca.text_decoder
        self.coca = coca
        self.past: dict[int, tuple[Tensor, Tensor]] = {}
        self.image_kv = [_keys_values(b.attn, b.ln_1_kv(image_tokens)) for b in decoder.cross_attn]

    def next_logits(self, token: Int[Tensor, " batch"], position: int) -> Float[Tensor, "batch vocabulary"]:
        """Logits of the token after `token`, which stands at `position` (from 0)."""
        text: Any = self.coca.text
        decoder: Any = self.coca.text_decoder
        x = (text.token_embedding(token) + text.positional_embedding[position])[:, None]
        for block in text.transformer.resblocks:
            x = self._extend(block, x)
        for block, cross, kv in zip(decoder.resblocks, decoder.cross_attn, self.image_kv, strict=True):
            x = self._extend(block, x)
            x = residual(cross, x, _attend_to(cross.attn, cross.ln_1(x), *kv))
        return decoder.ln_final(x)[:, 0] @ decoder.text_projection

    def _extend(self, block: Any, x: Tensor) -> Tensor:
        queries = block.ln_1(x)
        new = _keys_values(block.attn, queries)
        old = self.past.get(id(block))
        kv = new if old is None else (torch.cat([old[0], new[0]], 2), torch.cat([old[1], new[1]], 2))
        self.past[id(block)] = kv
        return residual(block, x, _attend_to(block.attn, queries, *kv))


def _keys_values(attn: nn.MultiheadAttention, context: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of `context`: (batch, head, token, width of a head) each."""
    d = attn.embed_dim
    k, v = F.linear(context, attn.in_proj_weight[d:], attn.in_proj_bias[d:]).split(d, -1)
    return heads(k, attn), heads(v, attn)


def _attend_to(attn: nn.MultiheadAttention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    d = attn.embed_dim
    q = heads(F.linear(queries, attn.in_proj_weight[:d], attn.in_proj_bias[:d]), attn)
    out = F.scaled_dot_product_attention(q, keys, values).transpose(1, 2).flatten(2)
    return F.linear(out, attn.out_proj.weight, attn.out_proj.bias)
