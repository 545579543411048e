"""Queries and keys where they reach the kernel: after rotary positions and norms, as they are multiplied.

While `patched_attention` holds, PyTorch's `scaled_dot_product_attention` and the attention functions of Hugging Face
transformers tell what they are called with; elsewhere nothing is changed. Attention written out by hand is not seen.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.backends import mha
from torch.nn import functional as F

KERNEL = "scaled_dot_product_attention"


@dataclass(frozen=True)
class AttentionCall:
    """What one kernel was given; `mask` is what it adds or lets through, `causal` where it makes one itself.

    Keys may have fewer heads than queries (grouped queries): each then serves as many neighbouring query heads.
    """

    query: Float[Tensor, "sequence head query part"]
    key: Float[Tensor, "sequence key_head key part"]
    scale: float
    mask: Shaped[Tensor, "#sequence #head #query #key"] | None = None
    causal: bool = False

    def scores(self) -> Float[Tensor, "sequence query key"]:
        """q kᵀ as the kernel scales it, before the softmax and without its mask, the mean over query heads.

        Query heads of one key head are added first; the sum over heads is then one full-width product.
        """
        heads, groups = self.query.shape[1], self.key.shape[1]
        query = self.query if heads == groups else self.query.unflatten(1, (groups, heads // groups)).sum(2)
        wide = query.transpose(1, 2).flatten(2) * (self.scale / heads)
        return torch.bmm(wide, self.key.transpose(1, 2).flatten(2).mT)

    def allowed(self) -> Bool[Tensor, "#sequence query key"] | None:
        """Which keys a query may look at, in every head; None where it may look at all."""
        queries, keys = self.query.shape[2], self.key.shape[2]
        if self.causal:
            return torch.ones(1, queries, keys, dtype=torch.bool, device=self.query.device).tril()
        if self.mask is None:
            return None
        mask = self.mask.detach()
        if mask.is_floating_point():  # added to the scores: −∞, or the lowest number of the format
            mask = mask > torch.finfo(mask.dtype).min / 2
        return mask.bool().all(1).expand(-1, queries, keys)


class Kernels:
    """The kernels of a forward, as `tell` hears of each call; made once, so that a compiled forward stays compiled."""

    def __init__(self, tell: Callable[[AttentionCall], None]) -> None:
        self.tell, self._inside, self._wrapped = tell, False, dict[Any, Any]()
        self._torch = F.scaled_dot_product_attention

    def scaled_dot_product(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """PyTorch's kernel, which says what it is given."""
        if not self._inside:
            self._report(query, key, scale, attn_mask, is_causal)
        return self._torch(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)

    def interface(self, get: Callable[..., Any]) -> Callable[..., Any]:
        """`AttentionInterface.get_interface` of transformers, with functions that say what they are given."""

        def get_interface(registry: Any, implementation: str, default: Callable[..., Any]) -> Callable[..., Any]:
            return self._function(get(registry, implementation, default))

        return get_interface

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if function not in self._wrapped:

            def attend(
                module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any = None, *rest: Any, **how: Any
            ):
                is_causal = how.get("is_causal")
                causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
                causal = causal and mask is None and query.shape[2] > 1
                full_mask = mask
                if isinstance(mask, Tensor) and mask.ndim == 2:  # (sequence, key), of real tokens: the flash kernels'
                    full_mask = mask[:, None, None].bool()
                self._report(query, key, how.get("scaling"), full_mask, causal)
                self._inside = True  # its own kernel is the same attention once more
                try:
                    return function(module, query, key, value, mask, *rest, **how)
                finally:
                    self._inside = False

            self._wrapped[function] = attend
        return self._wrapped[function]

    def _report(self, query: Tensor, key: Tensor, scale: float | None, mask: Any, causal: bool) -> None:
        """Tell of attention between sequences of two lists of tokens; what is shared or sparse is not that."""
        plain = query.ndim == key.ndim == 4 and len(query) == len(key) and query.shape[1] % key.shape[1] == 0
        if plain and (mask is None or isinstance(mask, Tensor)):
            mask = mask if mask is None or mask.ndim == 4 else mask[(None,) * (4 - mask.ndim)]
            self.tell(AttentionCall(query, key, query.shape[-1] ** -0.5 if scale is None else scale, mask, causal))


@contextmanager
def patched_attention(kernels: Kernels) -> Iterator[None]:
    """Let these kernels stand for PyTorch's and transformers'; encoder layers leave their fast path, which has none."""
    interface = getattr(sys.modules.get("transformers.modeling_utils"), "AttentionInterface", None)
    kernel, fast, get = F.scaled_dot_product_attention, mha.get_fastpath_enabled(), None
    setattr(F, KERNEL, kernels.scaled_dot_product)
    mha.set_fastpath_enabled(False)
    if interface is not None:
        get = interface.get_interface
        interface.get_interface = kernels.interface(get)
    try:
        yield
    finally:
        setattr(F, KERNEL, kernel)
        mha.set_fastpath_enabled(fast)
        if interface is not None:
            interface.get_interface = get
