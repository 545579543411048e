"""What a forward shows beside its prediction: hidden states and attention, module by module."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from torch import Tensor

Collect = Mapping[str, Collection[int]]  # module → its layers to note, counted from 1
NOTHING: Collect = {}


@dataclass(frozen=True)
class AttentionSpec:
    """What of the attention is returned: which quantity, and of which attention of the decoder."""

    attention: str = "scores"  # before the softmax; 'weights': after it
    decoder_attention: str = "self"  # or 'cross' (DIDE's)


@dataclass
class Features:
    """What a forward saw. Lists hold one tensor a layer, in order; masks are True where a position counts.

    `hidden[m]`: (sequence, token, width); `attention[m]`: (sequence, query, key), mean over heads;
    `token_mask[m]`: (sequence, token); `pair_mask[m]`: (sequence or 1, query, key). A sequence is what a module reads
    at once: NLVR2 has two for every example, only its text encoder runs once.
    """

    hidden: dict[str, list[Tensor]] = field(default_factory=dict)
    attention: dict[str, list[Tensor]] = field(default_factory=dict)
    token_mask: dict[str, Tensor | None] = field(default_factory=dict)
    pair_mask: dict[str, Tensor | None] = field(default_factory=dict)
