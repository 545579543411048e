"""Two questions side by side: which parameters differ, and by how much the scores do, seed by seed."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from optima_lab.config.parameters import flat
from optima_lab.display import base, called, in_order, name_of, task_title
from optima_lab.errors import ConfigError
from optima_lab.experiments import records
from optima_lab.experiments.experiment import Experiment
from optima_lab.report.pages import Cell, table
from optima_lab.report.statistics import Frame, half_width

PAIR = ["task", "seed"]
COLUMNS = ["task", "strategy", "n", "a", "b", "difference", "low", "high"]
Experiments = Experiment | Sequence[Experiment]


@dataclass(frozen=True, repr=False)
class Comparison:
    """`parameters`: name, a, b, a row for what differs. `scores`: a row for each task and strategy of both sides.

    difference is the mean over seeds of b − a, in points; low and high are its 95 % interval (NaN for one seed);
    `unpaired` names what has no partner of its task, seed and strategy, and is left out.
    """

    parameters: Frame
    scores: Frame
    unpaired: tuple[str, ...] = ()

    def __repr__(self) -> str:
        changes = [f"{row.name}: {row.a} → {row.b}" for row in self.parameters.itertuples(index=False)]
        return "\n".join(
            [*(changes or ["no parameter differs"]), *map(_line, self.scores.to_dict("records")), *self._left()]
        )

    def _repr_html_(self) -> str:
        head = [Cell(name) for name in ("parameter", "a", "b")]
        rows = [[Cell(str(value)) for value in row] for row in self.parameters.itertuples(index=False)]
        scores = [[Cell(_line(row))] for row in self.scores.to_dict("records")]
        left = [[Cell(line)] for line in self._left()]
        return table(head, rows, "results") + table([Cell("b − a, paired by seed")], [*scores, *left], "results")

    def _left(self) -> list[str]:
        return [f"without a partner: {', '.join(self.unpaired)}"] if self.unpaired else []


def compare(a: Experiments, b: Experiments, strategies: tuple[str, str] | None = None) -> Comparison:
    """What differs between two questions, and what it does: scores on the test split, paired by task, seed, strategy.

    `strategies` compares one strategy of `a` with one of `b`, ("img+txt+multi", "optima"), else each with itself.
    Raises ConfigError where a side has two runs of one strategy and seed: such a side is no one question.
    """
    sides = [[a] if isinstance(a, Experiment) else list(a), [b] if isinstance(b, Experiment) else list(b)]
    chosen = [name and name for name in strategies] if strategies else [None, None]
    runs = [_scores(side, name, which) for side, name, which in zip(sides, chosen, "ab", strict=True)]
    if strategies:
        pair = " → ".join(called(name) for name in strategies)
        runs = [side.assign(strategy=pair) for side in runs]
    keys = [*PAIR, "strategy"]
    joined = runs[0].merge(runs[1], on=keys, how="outer", suffixes=("_a", "_b"))
    whole = joined[joined[["score_test_a", "score_test_b"]].notna().all(axis=1)]
    left = joined.drop(whole.index)
    unpaired = [f"{name_of(str(row.strategy))} ({row.task}, seed {row.seed})" for row in left.itertuples(index=False)]
    return Comparison(_parameters(*runs), _paired(whole), tuple(unpaired))


def _scores(side: Sequence[Experiment], strategy: str | None, which: str) -> Frame:
    """task, seed, strategy, test score and settings of every run of one side."""
    runs = records.read_runs(side)
    runs["strategy"] = runs["strategy"].map(base)
    if strategy is not None:
        if strategy not in set(runs["strategy"]):
            names = ", ".join(in_order(runs["strategy"]))
            raise ConfigError(f"{which} must have a run of {strategy!r}; it has {names}")
        runs = runs[runs["strategy"] == strategy]
    twice = runs[runs.duplicated([*PAIR, "strategy"])]
    if len(twice):
        row = twice.iloc[0]
        raise ConfigError(
            f"{which} must be one question, got two runs of {row['strategy']} ({row['task']}, seed {row['seed']}): "
            "give compare fewer experiments"
        )
    configs = {experiment.id: flat(experiment.config) for experiment in side}
    settings = [_settings(row, configs[row["experiment"]]) for row in runs.to_dict("records")]
    return runs[[*PAIR, "strategy", "score_test"]].assign(settings=pd.Series(settings, index=runs.index, dtype=object))


def _settings(row: Mapping[Hashable, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """All that a run was asked: its experiment's parameters, its own in their place, its policy's."""
    usual = {name: value for name, value in config.items() if name not in {"seed", "data", *row["parameters"]}}
    usual = {name: value for name, value in usual.items() if name not in ("decay", "initial_plays")}  # of policies
    return usual | row["own"] | row["parameters"] | {"reward": row["reward"]}


def _parameters(first: Frame, second: Frame) -> Frame:
    """Every parameter that is not the same on both sides, with its values."""
    sides = [list(first["settings"]), list(second["settings"])]
    names = dict.fromkeys(name for side in sides for settings in side for name in settings)
    values = {name: [_values(side, name) for side in sides] for name in names}
    rows = [(name, *pair) for name, pair in values.items() if pair[0] != pair[1]]
    return pd.DataFrame(rows, columns=["name", "a", "b"])


def _values(side: Sequence[Mapping[str, Any]], name: str) -> str:
    return ", ".join(dict.fromkeys(str(settings.get(name, "–")) for settings in side))


def _paired(whole: Frame) -> Frame:
    rows = []
    for (task, strategy), pairs in whole.groupby(["task", "strategy"]):
        difference = (pairs["score_test_b"] - pairs["score_test_a"]).to_numpy(float)
        mean, n = float(difference.mean()), len(difference)
        half = half_width(float(difference.std(ddof=1)), n) if n > 1 else float("nan")
        sides = pairs["score_test_a"].mean(), pairs["score_test_b"].mean()
        rows.append((task, strategy, n, *sides, mean, mean - half, mean + half))
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = {name: place for place, name in enumerate(in_order(table["strategy"]))}
    return table.assign(at=table["strategy"].map(order)).sort_values(["task", "at"], ignore_index=True)[COLUMNS]


def _line(row: Mapping[Hashable, Any]) -> str:
    interval = f"95 % interval {row['low']:+.1f} to {row['high']:+.1f}, {row['n']} seeds".replace("-", "−")
    who = f"{task_title(str(row['task']))}, {called(str(row['strategy']))}"
    difference = f"{row['difference']:+.1f}".replace("-", "−")
    certainty = interval if row["n"] > 1 else "one seed: no interval"
    return f"{who}: {row['a']:.1f} → {row['b']:.1f}, difference {difference} ({certainty})"
