"""Whether torchrun started this process, as one of several that train together: its whole set of variables, or none.

Leftovers of other launchers (`SLURM_…`, `OMPI_…`, `LOCAL_WORLD_SIZE`, …) say nothing and are not looked at.
"""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from optima_lab.errors import ConfigError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# What else torchrun leaves to its processes; a process of one's own that one of them starts must see none of it.
_MORE = ["LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_NAME", "ROLE_WORLD_SIZE"]


class Launch(NamedTuple):
    """This process among those that train together; by default it is alone."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def helps(self) -> bool:
        """Whether it is any but the first: that one alone writes records and reports."""
        return self.rank > 0


def launch(environment: Mapping[str, str] | None = None) -> Launch:
    """What torchrun says in `environment` (by default the process's own); alone where it says nothing.

    Raises ConfigError for a set that is not whole (a variable left over from elsewhere) or contradicts itself.
    """
    variables = os.environ if environment is None else environment
    values = {name: variables[name].strip() for name in VARIABLES if variables.get(name, "").strip()}
    if not values:
        return Launch()
    missing = [name for name in VARIABLES if name not in values]
    if missing:
        raise _refusal(values, f"{_names(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    rank, size, local, port = (_number(values, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"))
    if not rank < size:
        raise _refusal(values, f"RANK={rank} must be below WORLD_SIZE={size}")
    if not local <= rank:
        raise _refusal(values, f"LOCAL_RANK={local} must be at most RANK={rank}")
    if not 0 < port < 65536:
        raise _refusal(values, f"MASTER_PORT={port} must be between 1 and 65535")
    if not re.fullmatch(r"[\w.:%-]+", values["MASTER_ADDR"], re.ASCII):
        raise _refusal(values, f"MASTER_ADDR={values['MASTER_ADDR']!r} must be a host's name or address")
    return Launch(rank, size, local)


def without_launch(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without torchrun's variables: for a process that trains nothing together with others."""
    theirs = {*VARIABLES, *_MORE}
    return {k: v for k, v in environment.items() if k not in theirs and not k.startswith("TORCHELASTIC_")}


def _number(values: Mapping[str, str], name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", values[name]):
        raise _refusal(values, f"{name}={values[name]!r} must be a whole number")
    return int(values[name])


def _refusal(values: Mapping[str, str], why: str) -> ConfigError:
    needed = f"the environment must hold all of torchrun's {', '.join(VARIABLES)}, or none"
    return ConfigError(f"{needed}; {why}: start with torchrun, or unset {' '.join(values)}")


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
