"""Queries and keys from projections that a user names, for attention that no kernel computes.

Only where what is projected is what is multiplied: not before rotary positions or a norm.
"""

import re
from collections.abc import Sequence

from torch import Tensor, nn

from optima_lab.distill.attention import AttentionCall
from optima_lab.errors import ConfigError

ROTARY = re.compile(r"rotary|rope(?![a-z])", re.IGNORECASE)
NORM = re.compile(r"^(qk?|k|query|key)_?(layer_?)?norm|^norm_?(qk?|k)$", re.IGNORECASE)


def projected(outputs: Sequence[Tensor], heads: int, where: str) -> AttentionCall:
    """The attention of a layer whose projections returned these (sequence, token, width).

    One output holds queries, keys and values, a third each. What the attention adds to the scores is not known: causal
    masks are not, padding is where the user names it. Raises ConfigError for widths that heads do not divide.
    """
    query, key = outputs if len(outputs) == 2 else outputs[0].chunk(3, -1)[:2]
    part = query.shape[-1] // heads
    for each in (query, key):
        if part == 0 or each.shape[-1] % part or query.shape[-1] % heads:
            raise ConfigError(
                f"heads must divide the widths of queries and keys, {query.shape[-1]} and {key.shape[-1]} in "
                f"{where}, got {heads}"
            )
    query, key = (each.unflatten(-1, (-1, part)).transpose(1, 2) for each in (query, key))
    return AttentionCall(query, key, part**-0.5)


def in_order(module: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Queries before keys, as their names tell. Raises ConfigError where they do not."""
    if len(paths) == 1:
        return paths
    asks = ["q" in path.rpartition(".")[2].lower() for path in paths]
    if sum(asks) != 1:
        raise ConfigError(
            f"module {module!r}: of two projections one must be called after its queries (q_proj, query, …), "
            f"got {' and '.join(paths)}"
        )
    return paths if asks[0] else paths[::-1]


def require_multiplied(model: nn.Module, module: str, path: str) -> None:
    """Raise ConfigError where rotary positions or a norm stand between this projection and the product.

    Rotary positions are looked for beside the projection and above it, norms beside it.
    """
    block = path.rpartition(".")[0]
    beside = model.get_submodule(block).named_children()
    norms = [name for name, part in beside if NORM.search(name) and not isinstance(part, nn.Identity)]
    turned = [name for name, part in model.named_modules() if _turns(part) and f"{path}.".startswith(_home(name))]
    if norms or turned:
        what = f"{block}.{norms[0]} norms" if norms else f"{turned[0]} turns"
        raise ConfigError(
            f"module {module!r}: heads must be left out here, for {what} what {path} projects before it is multiplied"
        )


def _turns(part: nn.Module) -> bool:
    return bool(ROTARY.search(type(part).__name__))


def _home(name: str) -> str:
    """'model.' of 'model.rotary_emb'."""
    return name.rpartition(".")[0] + "." if "." in name else ""
