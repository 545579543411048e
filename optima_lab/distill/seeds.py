"""Random streams by name: every use of randomness has a seed of its own, so that a new one changes no other."""

from zlib import crc32

import numpy as np

from optima_lab.config import Config

STREAMS = ("head", "projections", "policy", "batches", "probe", "dropout")


def stream_seed(config: Config, name: str) -> int:
    """The seed of one of a run's STREAMS: independent of the other streams, of other seeds, and of other tasks.

    With the task in it, runs of one seed on several tasks share no luck, so that a pooled claim may count them all.
    """
    return derive_seed(config.seed, crc32(config.task.encode()), STREAMS.index(name))


def derive_seed(*numbers: int) -> int:
    """One 63-bit seed of several numbers, by numpy's SeedSequence."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
