"""What the claims need is asked for in words that the library knows, at every preset and within the budget."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from optima_lab.config import TASKS
from optima_lab.distill.strategies import parse_strategies
from optima_lab.errors import ConfigError
from optima_lab.experiment import configurations
from optima_lab.notebooks import parameters
from optima_lab.populations import gather, populations
from optima_lab.views import statistics

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
@pytest.mark.parametrize("task", TASKS)
def test_every_strategy_of_every_population_is_one(preset: str, task: str) -> None:
    for population in populations(preset):
        (config,) = configurations(task, preset, 1, **population.changes)
        chosen = parse_strategies(population.strategies, config)
        assert len(chosen) == population.size
        assert all(each.configure(config).steps % each.configure(config).round_steps == 0 for each in chosen)


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
