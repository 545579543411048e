"""The playground's policies, and chance that Python and the browser share."""

from functools import cache

import numpy as np
from scipy.special import ndtri

from optima_lab.bandits.policies.base import require

POLICIES = ("optima", "optima_calibrated", "gaussian_dts", "discounted_ucb", "epsilon_greedy", "random")
STREAMS = {name: number for number, name in enumerate(("world", *POLICIES))}  # each has luck of its own
HALF = 2**15  # numbers in the table of normal quantiles above the median


class HashRng:
    """Chance that Python and the browser share: the few methods of a numpy generator that these policies call.

    Every number is a hash of (seed, stream, call, replication, arm), so none depends on who else draws; normal ones are
    65,536 equally likely quantiles, found in a table by the hash's first 16 bits.
    """

    def __init__(self, seed: int, stream: str) -> None:
        self.base = mix(mix(np.array([seed])) + np.uint32(STREAMS[stream]))
        self.calls = 0

    def hashes(self, shape: int | tuple[int, ...]) -> np.ndarray:
        """uint32 of this shape, (R,) or (R, K); every call has new ones."""
        rows, columns = (*np.atleast_1d(shape), 1)[:2]
        row = mix(mix(self.base + np.uint32(self.calls)) + np.arange(rows, dtype=np.uint32))
        self.calls += 1
        return mix(row[:, None] + np.arange(columns, dtype=np.uint32)).reshape(shape)

    def random(self, shape: int | tuple[int, ...]) -> np.ndarray:
        """Uniform in [0, 1)."""
        return self.hashes(shape) / 2**32

    def standard_normal(self, shape: int | tuple[int, ...]) -> np.ndarray:
        """N(0, 1)."""
        table = quantiles().astype(np.float64)
        return np.concatenate([-table[::-1], table])[self.hashes(shape) >> np.uint32(16)]

    def integers(self, high: int, size: int) -> np.ndarray:
        """0 … high − 1, equally likely."""
        return np.floor(self.random(size) * high).astype(np.int64)

    def permuted(self, rows: np.ndarray, axis: int) -> np.ndarray:
        """Every row in an order of its own."""
        require(axis == 1, f"axis must be 1, got {axis}")
        return np.take_along_axis(rows, self.hashes(rows.shape).argsort(axis=1, kind="stable"), axis=1)


def mix(number: np.ndarray) -> np.ndarray:
    """uint32 → uint32, every bit of the result hanging on every bit (C. Wellons' lowbias32)."""
    x = number.astype(np.uint32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


@cache
def quantiles() -> np.ndarray:
    """float32 (32768,): the upper half of 65,536 equally likely normal quantiles."""
    return ndtri((np.arange(HALF, 2 * HALF) + 0.5) / (2 * HALF)).astype(np.float32)
