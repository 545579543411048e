"""Numbers that no model may hold: found where weights are loaded and where they are made."""

from collections.abc import Mapping

from torch import Tensor


def first_not_finite(state: Mapping[str, Tensor]) -> str:
    """'visual.conv1.weight holds 3 numbers of 768 that are not finite (nan)' for the first such tensor, or ''."""
    for name, tensor in state.items():
        if tensor.is_meta or not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        bad = ~tensor.isfinite()
        count = int(bad.sum())
        if count:
            kind = "nan" if tensor.isnan().any() else "inf"
            return f"{name} holds {count} numbers of {tensor.numel()} that are not finite ({kind})"
    return ""
