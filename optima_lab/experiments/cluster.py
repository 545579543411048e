"""A sweep on several machines: the calls of the local pool, sent to the scheduler of a Dask cluster.

All machines see one folder of runs. Two of them never write one run: whoever comes second waits for the lock and then
finds the run finished; so a worker that is lost, or only seemed to be, costs time and counts nothing twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from optima_lab.errors import ConfigError, OptimaError

Pool = Callable[[Sequence[tuple]], Iterable]


def check_scheduler(address: str) -> None:
    """Raise ConfigError where `address` is no scheduler's, or the extra that speaks to one is not installed."""
    if not address.startswith(("tcp://", "tls://")):
        raise ConfigError(f"scheduler must be an address such as tcp://127.0.0.1:8786, got {address!r}")
    if find_spec("distributed") is None:
        raise ConfigError("scheduler needs the optional extra 'cluster': pip install 'optima-lab[cluster]'")


@contextmanager
def cluster(address: str) -> Iterator[Pool]:
    """Calls on the workers of the scheduler at `address`, results as they come; a lost worker's call is made elsewhere.

    Raises OptimaError where no scheduler answers.
    """
    check_scheduler(address)
    from distributed import Client, as_completed  # pyright: ignore[reportMissingImports]  # an optional extra

    try:
        client = Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OptimaError(f"no scheduler answers at {address}: {error}") from None

    def call_all(calls: Sequence[tuple]) -> Iterator:
        # impure: a call made twice is two calls, and the records decide what is left to do
        waiting = [client.submit(*call, pure=False, retries=2) for call in calls]
        for future in as_completed(waiting, loop=client.loop):  # not the loop of who else has a client here
            yield future.result()

    try:
        yield call_all
    finally:
        client.close()  # what is still queued for this client is cancelled
