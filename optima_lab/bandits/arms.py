"""Arms: the non-empty sets of modules that a round may distil (Section 3 of arXiv 2310.04550)."""

from itertools import combinations

from optima_lab.errors import ConfigError, nearest

Arm = frozenset[str]

MODULES = ("image", "text", "decoder")
SHORT = {"image": "Img", "text": "Txt", "decoder": "Multi"}


def all_arms(modules: tuple[str, ...] = MODULES) -> tuple[Arm, ...]:
    """The K = 2^c - 1 non-empty subsets of c modules, small sets first, as the paper's figures list them."""
    return tuple(frozenset(subset) for size in range(1, len(modules) + 1) for subset in combinations(modules, size))


def label(arm: Arm) -> str:
    """The paper's name of an arm: 'Img', 'Img+Txt', ..., 'Img+Txt+Multi'."""
    return "+".join(SHORT[module] for module in MODULES if module in arm)


ARMS = all_arms()
LABELS = tuple(label(arm) for arm in ARMS)
LWD = ARMS[-1]  # layerwise distillation: the arm of all modules


def parse_arm(text: str) -> Arm:
    """The arm with this label; the order of its modules and their case do not matter.

    Raises ConfigError for a label that names no arm.
    """
    lower = {short.lower(): module for module, short in SHORT.items()}
    parts = [part.strip().lower() for part in text.split("+")]
    if not all(part in lower for part in parts):
        raise ConfigError(f"arm must be one of {', '.join(LABELS)}, got {text!r}{nearest(text, LABELS)}")
    return frozenset(lower[part] for part in parts)
