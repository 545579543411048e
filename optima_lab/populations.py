"""The populations that the paper's claims need: which students are trained beside one another, and at which sizes.

Strategies of one population share a teacher and its batches, so all ablations of a task and seed cost one teacher.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from optima_lab.config import TASKS, Config, preset
from optima_lab.distill.strategies import default_strategies
from optima_lab.errors import ConfigError, nearest
from optima_lab.experiment import Experiment, parse_changes, run

DECAYS = (0.5, 0.8, 0.9, 0.95, 0.99)  # half-lives of 1, 3, 7, 14, 69 plays; the preset's own 0.98 (34) is `optima`
BASELINES = ("kl", "dide")  # Table 1 beside LWD: MiniVLM's and DIDE's losses
REWARDS = ("optima:reward=kl", "optima:reward=layers")  # Fig. 7
ATTENTION = ("optima:attention=weights", "img+txt+multi:attention=weights")
SMALL = ("none", "img+txt+multi", "optima")  # what is asked of the smallest student (Table 1)
# Other values of T0 and P than the preset's own, around it; P must divide the preset's steps.
INITIAL_PLAYS: Mapping[str, tuple[int, ...]] = {"smoke": (0,), "laptop": (1, 4), "paper": (5, 20)}
ROUND_STEPS: Mapping[str, tuple[int, ...]] = {"smoke": (1,), "laptop": (2, 8), "paper": (50, 200)}
# Layers of the paper's Tiny6 and of the Tiny12 between it and the teacher (A.4), and their counterparts.
TINY6: Mapping[str, str] = {"smoke": "1/1/1", "laptop": "1/1/1", "paper": "3/1/2"}
ASSISTANT: Mapping[str, str] = {"smoke": "2/1/1", "laptop": "2/1/1", "paper": "6/3/3"}


@dataclass(frozen=True)
class Population:
    """Students that are trained together: their strategies, and what differs from the preset's configuration."""

    name: str
    strategies: str
    changes: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Students a task and seed."""
        return len(self.strategies.split(","))


def populations(name: str) -> tuple[Population, ...]:
    """What all claims need at a preset: every strategy at its own size, then Tiny6 in one stage and in two (A.4).

    Raises ConfigError for an unknown preset.
    """
    if name not in TINY6:
        raise ConfigError(f"preset must be one of {', '.join(TINY6)}, got {name!r}{nearest(name, list(TINY6))}")
    one = {"student_layers": TINY6[name]}
    small = ", ".join(SMALL)
    return (
        Population("main", ", ".join(main_strategies(name))),
        Population("tiny6", small, one),
        Population("two_stage", small, one | {"assistant_layers": ASSISTANT[name]}),
    )


def gather(
    tasks: str, name: str, seeds: int, data: str = "", runs: str = "runs", names: str = "", changes: str = ""
) -> dict[str, list[Experiment]]:
    """The experiments of each population (of `names` between commas, '': all) for these tasks; trains what is missing.

    Raises ConfigError for an unknown population, task or change.
    """
    known = {population.name: population for population in populations(name)}
    wanted = [part.strip() for part in names.split(",")] if names.strip() else list(known)
    for one in wanted:
        if one not in known:
            raise ConfigError(f"populations must be of {', '.join(known)}, got {one!r}{nearest(one, list(known))}")
    chosen = list(TASKS) if tasks.strip() == "all" else [part.strip() for part in tasks.split(",")]
    given = parse_changes(changes)
    return {
        one: [
            experiment
            for task in chosen
            for experiment in run(
                task, name, seeds, data, runs, known[one].strategies, **{**given, **known[one].changes}
            )
        ]
        for one in wanted
    }


def main_strategies(name: str) -> tuple[str, ...]:
    """All strategies of the main population: the main figures', Table 1's baselines, and every ablation."""
    own: Config = preset(next(iter(TASKS)), name)
    halflives = tuple(f"optima:decay={decay}" for decay in DECAYS if decay != own.decay)
    plays = tuple(f"optima:initial_plays={n}" for n in INITIAL_PLAYS[name] if n != own.initial_plays)
    rounds = tuple(f"optima:round_steps={n}" for n in ROUND_STEPS[name] if n != own.round_steps)
    return (
        *default_strategies(),
        *BASELINES,
        *REWARDS,
        *halflives,
        "optima_mean",
        *plays,
        *rounds,
        *ATTENTION,
    )
