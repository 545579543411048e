"""What the claims need is asked for in words that the library knows, at every preset and within the budget."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from optima_lab.bandits.arms import LABELS
from optima_lab.config import TASKS
from optima_lab.distill.strategies import parse_strategies
from optima_lab.errors import ConfigError
from optima_lab.experiments.plans import PopulationSpec, gather, main_strategies, populations, some_populations
from optima_lab.experiments.run import Experiment, configurations
from optima_lab.presets import preset
from optima_lab.report import statistics
from optima_lab.report.notebooks import parameters

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("preset", ["smoke", "laptop", "study", "paper"])
@pytest.mark.parametrize("task", TASKS)
def test_every_strategy_of_every_population_is_one(preset: str, task: str) -> None:
    for population in populations(preset):
        (config,) = configurations(task, preset, 1, **population.changes)
        chosen = parse_strategies(population.strategies, config)
        assert len(chosen) == population.size
        assert all(config.training.steps % each.configure(config).distillation.round_steps == 0 for each in chosen)


@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_the_main_population_has_six_half_lives_and_fits_the_budget(preset: str) -> None:
    main = populations(preset)[0]
    (config,) = configurations("vqa", preset, 1)
    chosen = parse_strategies(main.strategies, config)
    decays = {each.parameters["decay"] for each in chosen if each.policy == "optima"}
    halflives = sorted(statistics.half_life(decay) for decay in decays)
    assert len(halflives) >= 6
    assert max(b / a for a, b in pairwise(halflives)) < 4, "spread on a log axis"
    assert main.size <= 27


def test_the_papers_smallest_student_is_taught_in_two_stages() -> None:
    _, one, two = populations("paper")
    assert one.changes == {"student_layers": "3/1/2"}
    assert two.changes == {"student_layers": "3/1/2", "assistant_layers": "6/3/3"}


@pytest.mark.parametrize("name", ["04_reward_design", "05_halflife"])
def test_notebooks_ask_by_themselves_for_what_the_claims_train(name: str) -> None:
    """By hand they find again what `make claims` has trained at the laptop's size."""
    asked = str(parameters(NOTEBOOKS / f"{name}.ipynb")["strategies"][1])
    assert set(re.split(r",\s*", asked)) <= set(re.split(r",\s*", populations("laptop")[0].strategies))


def test_what_does_not_exist_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tiny6'"):
        gather("vqa", "smoke", 1, names="main, tiny")
    with pytest.raises(ConfigError, match="preset must be one of"):
        populations("desk")


def test_study_gives_many_seeds_to_what_is_compared_and_few_to_the_rest() -> None:
    known = {population.name: population for population in populations("study")}
    assert {"img+txt+multi", "multi", "random", "optima", "optima_calibrated"} == names(known["main"])
    assert "none" in names(known["arms"])
    assert known["main"].seeds(8) == 8
    assert [known[name].seeds(8) for name in ("arms", "ablations", "tiny6")] == [3, 2, 2]
    assert known["arms"].seeds(1) == 1
    assert not names(known["main"]) & names(known["arms"]) and not names(known["main"]) & names(known["ablations"])
    whole = names(known["main"]) | names(known["arms"]) | names(known["ablations"])
    assert whole == set(main_strategies("study"))


def names(population: PopulationSpec) -> set[str]:
    return set(population.strategies.split(", "))


def test_strategies_of_one_configuration_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(
        task: str, name: str, seeds: int, data: str, runs: str, strategies: str, **changes: str
    ) -> list[Experiment]:
        config = preset(task, name, **changes)
        where, only = Path(str(sorted(changes.items()))), tuple(strategies.split(", "))
        return [Experiment(where / str(n), only, n, config, {}) for n in range(seeds)]

    monkeypatch.setattr("optima_lab.experiments.plans.run", run)
    found = gather("vqa", "study", 4)
    main = found["main"]
    assert [len(e.only) for e in main] == [len(main_strategies("study"))] * 2 + [len(LABELS) + 4] + [5]
    assert [len(e.only) for e in found["tiny6"]] == [3, 3]
    assert {len(e.only) for e in gather("vqa", "study", 4, names="main")["main"]} == {5}


def test_some_populations_are_asked_for_by_name() -> None:
    assert [each.name for each in some_populations("study", "arms, main")] == ["arms", "main"]
    assert some_populations("smoke") == populations("smoke")
    with pytest.raises(ConfigError, match="did you mean 'main'"):
        some_populations("study", "mian")
