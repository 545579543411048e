"""Arms: the non-empty sets of modules that a round may distil (Section 3 of arXiv 2310.04550).

Which modules there are is data of a run: `Arms(("image", "text", "audio"))`. The constants at the end are those of
`COCA`, the paper's three.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from math import comb

import numpy as np

from optima_lab.errors import ConfigError, nearest

Arm = frozenset[str]

LISTED_MODULES = 16  # above, 2^c − 1 arms are numbers (`masks_of`, `index_of`) and never a list


@dataclass(frozen=True)
class Arms:
    """The K = 2^c − 1 arms of c modules, small sets first, as the paper's figures list them.

    modules: names, in the order that arms list them.  shorts: what labels call the modules; their names by default.
    Raises ConfigError for names that are empty, hold a '+' or occur twice, whatever their case.
    """

    modules: tuple[str, ...]
    shorts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "modules", tuple(self.modules))
        object.__setattr__(self, "shorts", tuple(self.shorts) or self.modules)
        if not self.modules or len(self.shorts) != len(self.modules):
            raise ConfigError(
                f"arms need at least one module and one short name each, got {self.modules} and {self.shorts}"
            )
        for names in (self.modules, self.shorts):
            distinct = {name.strip().lower() for name in names}
            if len(distinct) < len(names) or "" in distinct or any("+" in name for name in names):
                raise ConfigError(f"modules must have different names without '+', got {', '.join(names)}")

    @property
    def count(self) -> int:
        """K."""
        return 2 ** len(self.modules) - 1

    @cached_property
    def sets(self) -> tuple[Arm, ...]:
        """All K arms in order. Raises ConfigError where they are too many to list."""
        if len(self.modules) > LISTED_MODULES:
            raise ConfigError(f"arms are listed for at most {LISTED_MODULES} modules, got {len(self.modules)}")
        sizes = range(1, len(self.modules) + 1)
        return tuple(frozenset(subset) for size in sizes for subset in combinations(self.modules, size))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The label of every arm in order."""
        return tuple(self.label(arm) for arm in self.sets)

    @cached_property
    def masks(self) -> np.ndarray:
        """bool (K, c): which modules are in which arm; read-only."""
        masks = np.array([[module in arm for module in self.modules] for arm in self.sets])
        masks.flags.writeable = False
        return masks

    def label(self, arm: Arm) -> str:
        """An arm's modules by their short names, in order: 'Img', 'Img+Txt', …; '' for the empty set, which is no arm.

        Raises ConfigError for a module that is not of these.
        """
        for module in sorted(arm - set(self.modules)):
            names = ", ".join(self.modules)
            raise ConfigError(f"an arm's modules must be of {names}, got {module!r}{nearest(module, self.modules)}")
        return "+".join(short for module, short in zip(self.modules, self.shorts, strict=True) if module in arm)

    def parse(self, text: str) -> Arm:
        """The arm with this label; the order of its modules and their case do not matter.

        Raises ConfigError for a label that names no arm.
        """
        lower = {short.strip().lower(): module for module, short in zip(self.modules, self.shorts, strict=True)}
        parts = [part.strip().lower() for part in text.split("+")]
        if not all(part in lower for part in parts):
            valid = self.labels if self.count <= 64 else self.shorts
            what = ", ".join(valid) if self.count <= 64 else f"{', '.join(self.shorts)} with + between them"
            raise ConfigError(f"arm must be one of {what}, got {text!r}{nearest(text, valid)}")
        return frozenset(lower[part] for part in parts)


def module_count(arms: int) -> int:
    """c of K = 2^c − 1 arms. Raises ConfigError for other numbers, and beyond 62 modules."""
    modules = (arms + 1).bit_length() - 1
    if arms != 2**modules - 1 or not 1 <= modules <= 62:
        raise ConfigError(f"arms must be all 2^c - 1 sets of c modules (1, 3, 7, 15, …), got {arms}")
    return modules


def masks_of(index: np.ndarray, modules: int) -> np.ndarray:
    """bool (R, c): the modules of arms (R,), numbered from 0 in the order of `Arms.sets`, without listing all arms."""
    smaller = smaller_arms(modules)
    left = np.searchsorted(smaller, index, side="right")  # members that are still to come; at first the arm's size
    rank = index - smaller[left - 1]
    choose, masks = pascal(modules), np.zeros((len(index), modules), bool)
    for module in range(modules):
        here = choose[modules - 1 - module, left - 1]  # arms that take it; 0 where none is left, for c of fewer than c
        masks[:, module] = took = rank < here
        rank, left = rank - np.where(took, 0, here), left - took
    return masks


def index_of(masks: np.ndarray) -> np.ndarray:
    """int64 (R,): the numbers of the arms with these modules (R, c), none of them empty: the inverse of `masks_of`."""
    modules = masks.shape[1]
    left = masks[:, ::-1].cumsum(axis=1)[:, ::-1]  # members from this module on
    later = np.where(masks, pascal(modules)[np.arange(modules)[::-1], left], 0).sum(axis=1)  # of the same size
    return smaller_arms(modules)[left[:, 0]] - 1 - later


@lru_cache(maxsize=8)
def pascal(modules: int) -> np.ndarray:
    """int64 (c + 1, c + 1): binomial coefficients, n by k; read-only."""
    table = np.array([[comb(n, k) for k in range(modules + 1)] for n in range(modules + 1)], dtype=np.int64)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=8)
def smaller_arms(modules: int) -> np.ndarray:
    """int64 (c + 1,): how many arms have at most 0, 1, … c modules; read-only."""
    table = pascal(modules)[modules].cumsum() - 1
    table.flags.writeable = False
    return table


COCA = Arms(("image", "text", "decoder"), ("Img", "Txt", "Multi"))  # the paper's modules: the only place they stand
MODULES, ARMS, LABELS, label, parse_arm = COCA.modules, COCA.sets, COCA.labels, COCA.label, COCA.parse
KEYS = tuple(name.lower() for name in LABELS)  # arms as strategies and frames write them; labels are for readers
SHORT = dict(zip(COCA.modules, COCA.shorts, strict=True))
LWD = ARMS[-1]  # layerwise distillation: the arm of all modules
