"""The populations that the paper's claims need: which students are trained beside one another, and at which sizes.

Strategies of one population share a teacher and its batches, so all ablations of a task and seed cost one teacher.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optima_lab.config import TASKS, Config
from optima_lab.distill.strategies import default_strategies
from optima_lab.errors import ConfigError, nearest
from optima_lab.experiments.run import Experiment, parse_changes, run
from optima_lab.presets import preset

DECAYS = (0.5, 0.8, 0.9, 0.95, 0.99)  # half-lives of 1, 3, 7, 14, 69 plays; the preset's own 0.98 (34) is `optima`
BASELINES = ("kl", "dide")  # Table 1 beside LWD: MiniVLM's and DIDE's losses
REWARDS = ("optima:reward=kl", "optima:reward=layers")  # Fig. 7
ATTENTION = ("optima:attention=weights", "img+txt+multi:attention=weights")
SMALL = ("none", "img+txt+multi", "optima")  # what is asked of the smallest student (Table 1)
# Other values of T0 and P than the preset's own, around it; P must divide the preset's steps.
INITIAL_PLAYS: Mapping[str, tuple[int, ...]] = {"smoke": (0,), "laptop": (1, 4), "study": (5, 20), "paper": (5, 20)}
ROUND_STEPS: Mapping[str, tuple[int, ...]] = {"smoke": (1,), "laptop": (2, 8), "study": (2, 8), "paper": (50, 200)}
# Layers of the paper's Tiny6 and of the Tiny12 between it and the teacher (A.4), and their counterparts.
TINY6: Mapping[str, str] = {"smoke": "1/1/1", "laptop": "1/1/1", "study": "1/1/1", "paper": "3/1/2"}
ASSISTANT: Mapping[str, str] = {"smoke": "2/1/1", "laptop": "2/1/1", "study": "2/1/1", "paper": "6/3/3"}
# At `study` a seed of a strategy takes minutes: what is compared closely gets as many as asked for, the rest a few.
COMPARED = ("img+txt+multi", "multi", "random", "optima", "optima_calibrated")
ARM_SEEDS, ABLATION_SEEDS = 3, 2


@dataclass(frozen=True)
class PopulationSpec:
    """Students that are trained together: their strategies, and what differs from the preset's configuration.

    `most_seeds` (0: any number) is for what needs few; such students are trained after all others.
    """

    name: str
    strategies: str
    changes: Mapping[str, str] = field(default_factory=dict)
    most_seeds: int = 0

    def seeds(self, count: int) -> int:
        """Of so many seeds, how many this population gets."""
        return min(count, self.most_seeds) if self.most_seeds else count

    @property
    def size(self) -> int:
        """Students a task and seed."""
        return len(self.strategies.split(","))


def populations(name: str) -> tuple[PopulationSpec, ...]:
    """What all claims need at a preset: every strategy at its own size, then Tiny6 in one stage and in two (A.4).

    Raises ConfigError for an unknown preset.
    """
    if name not in TINY6:
        raise ConfigError(f"preset must be one of {', '.join(TINY6)}, got {name!r}{nearest(name, list(TINY6))}")
    one = {"student_layers": TINY6[name]}
    small = ", ".join(SMALL)
    if name == "study":
        return _by_need(one, small)
    return (
        PopulationSpec("main", ", ".join(main_strategies(name))),
        PopulationSpec("tiny6", small, one),
        PopulationSpec("two_stage", small, one | {"assistant_layers": ASSISTANT[name]}),
    )


def some_populations(name: str, names: str = "") -> tuple[PopulationSpec, ...]:
    """Those of `names` between commas, in their order; '': all. Raises ConfigError for an unknown one."""
    specs = {population.name: population for population in populations(name)}
    wanted = [part.strip() for part in names.split(",")] if names.strip() else list(specs)
    for one in wanted:
        if one not in specs:
            raise ConfigError(f"populations must be of {', '.join(specs)}, got {one!r}{nearest(one, list(specs))}")
    return tuple(specs[one] for one in wanted)


def _by_need(one: Mapping[str, str], small: str) -> tuple[PopulationSpec, ...]:
    """The same of `study`, with seeds where they are needed: `arms` and `ablations` join `main` when read."""
    arms = [name for name in default_strategies() if name not in COMPARED]
    rest = [name for name in main_strategies("study") if name not in (*COMPARED, *arms)]
    return (
        PopulationSpec("main", ", ".join(COMPARED)),
        PopulationSpec("arms", ", ".join(arms), most_seeds=ARM_SEEDS),
        PopulationSpec("tiny6", small, one, ABLATION_SEEDS),
        PopulationSpec("two_stage", small, {**one, "assistant_layers": ASSISTANT["study"]}, ABLATION_SEEDS),
        PopulationSpec("ablations", ", ".join(rest), most_seeds=ABLATION_SEEDS),
    )


def _joined(gathered: dict[str, list[Experiment]], specs: Mapping[str, PopulationSpec]) -> dict[str, list[Experiment]]:
    """The main population with the strategies of all others of its configuration: they lie in the same folders."""
    more: dict[Path, list[str]] = {}
    for name, experiments in gathered.items():
        for experiment in experiments if not specs[name].changes else ():
            names = more.setdefault(experiment.folder, [])
            names += [strategy for strategy in experiment.only if strategy not in names]
    main = [replace(e, only=tuple(more[e.folder])) for e in gathered.get("main", ())]
    return {**gathered, "main": main} if main else gathered


def gather(
    tasks: str, name: str, seeds: int, data: str = "", runs: str = "runs", names: str = "", changes: str = ""
) -> dict[str, list[Experiment]]:
    """The experiments of each population (of `names` between commas, '': all) for these tasks; trains what is missing.

    Raises ConfigError for an unknown population, task or change.
    """
    specs = {population.name: population for population in some_populations(name, names)}
    chosen = list(TASKS) if tasks.strip() == "all" else [part.strip() for part in tasks.split(",")]
    overrides: dict[str, Any] = {**parse_changes(changes)}
    gathered = {
        one: [
            experiment
            for task in chosen
            for experiment in run(
                task,
                name,
                specs[one].seeds(seeds),
                data,
                runs,
                specs[one].strategies,
                **{**overrides, **specs[one].changes},
            )
        ]
        for one in specs
    }
    return _joined(gathered, specs)


def main_strategies(name: str) -> tuple[str, ...]:
    """All strategies of the main population: the main figures', Table 1's baselines, and every ablation."""
    own: Config = preset(next(iter(TASKS)), name)
    halflives = tuple(f"optima:decay={decay}" for decay in DECAYS if decay != own.distillation.decay)
    plays = tuple(f"optima:initial_plays={n}" for n in INITIAL_PLAYS[name] if n != own.distillation.initial_plays)
    rounds = tuple(f"optima:round_steps={n}" for n in ROUND_STEPS[name] if n != own.distillation.round_steps)
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
