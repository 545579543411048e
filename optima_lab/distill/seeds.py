"""Random streams by name: every use of randomness has a seed of its own, so that a new one changes no other."""

import numpy as np


def derive_seed(*numbers: int) -> int:
    """One 63-bit seed of several numbers, by numpy's SeedSequence."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
