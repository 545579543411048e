"""Verdicts of the ledger worked out a second time, in lines that share nothing with it, for random differences."""

from itertools import product
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtr, stdtrit

from optima_lab.report.claims import verdicts as ledger
from optima_lab.report.claims.claims import Claim
from optima_lab.report.claims.evidence import Recorded
from optima_lab.report.claims.pooling import TASK_STREAMS

TASKS = ("vqa", "nlvr2")
Number = tuple[float, float, float, float]  # effect, low, high, p


def student(values: list[float]) -> tuple[float, float, float, float]:
    """Mean, interval and p by Student's t."""
    n, mean = len(values), sum(values) / len(values)
    error = sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    half = stdtrit(n - 1, 0.975) * error
    return mean, mean - half, mean + half, 2 * stdtr(n - 1, -abs(mean / error))


def flipped(values: list[float]) -> float:
    """The share of all patterns of signs whose sum is as far from zero."""
    sums = [
        abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in product((1, -1), repeat=len(values))
    ]
    return sum(one >= abs(sum(values)) * (1 - 1e-12) for one in sums) / len(sums)


def in_units(rows: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Values by scale, and by the root mean square of their task."""
    root = {task: sqrt((rows[rows.task == task].value ** 2).mean()) for task in TASKS}
    return list(rows.value / rows.scale), [v / root[t] for v, t in zip(rows.value, rows.task, strict=True)]


def pooled(rows: pd.DataFrame, independent: bool) -> Number:
    """One comparison over two tasks of the same seeds."""
    values, tested = in_units(rows)
    if independent:
        return *student(values)[:3], flipped(tested)
    half = len(values) // 2  # one task's rows stand before the other's
    by_seed, compared = ([(a + b) / 2 for a, b in zip(v[:half], v[half:], strict=True)] for v in (values, tested))
    return *student(by_seed)[:3], student(compared)[3]


def expected(numbers: list[Number], either: bool, needs: str) -> str:
    """The claim's verdict: Holm's steps one after another, then the rule, then all or any."""
    verdicts, open_, largest = ["cannot tell"] * len(numbers), list(range(len(numbers))), 0.0
    while open_:
        best = min(open_, key=lambda i: numbers[i][3])
        largest = max(largest, numbers[best][3] * len(open_))
        _, low, high, _ = numbers[best]
        if largest <= 0.05 and (low > 0 or (either and high < 0)):
            verdicts[best] = "holds"
        elif largest <= 0.05 and high < 0:
            verdicts[best] = "does not hold"
        open_.remove(best)
    enough, against = (all, any) if needs == "all" else (any, all)
    if enough(v == "holds" for v in verdicts):
        return "holds"
    return "does not hold" if against(v == "does not hold" for v in verdicts) else "open"


def evidence(seed: int) -> pd.DataFrame:
    """Two comparisons on two tasks of six seeds: effects from far below to far above their scatter."""
    generator = np.random.default_rng(seed)
    rows = []
    for comparison in "ab":
        effect = generator.choice([-3.0, 0.0, 1.0, 3.0])
        for task in TASKS:
            scale = generator.uniform(0.5, 4)
            for number in range(6):
                value = scale * (effect + generator.normal())
                rows.append((comparison, task, number, value, scale))
    return pd.DataFrame(rows, columns=["comparison", "task", "seed", "value", "scale"])


@pytest.mark.parametrize("way", ["pairs", "seeds", "by task"])
@pytest.mark.parametrize("needs", ["all", "any"])
def test_verdicts_are_those_of_a_second_calculation(way: str, needs: str) -> None:
    runs = pd.DataFrame({"record_version": [TASK_STREAMS if way == "pairs" else 3]})
    empty = pd.DataFrame()
    seen = set()
    for seed in range(25):
        rows = evidence(seed)
        claim = Claim(
            "c", "s", "t", lambda _, rows=rows: rows, 2, needs=needs, by_task=way == "by task", either=seed % 3 == 0
        )
        found = ledger.details(Recorded(runs, empty, empty), [claim])
        found = found[found["decides"]].set_index(["comparison", "task"])
        where = [(name, task) for name in "ab" for task in (TASKS if way == "by task" else ("all",))]
        numbers = [
            student(list(rows[(rows.comparison == name) & (rows.task == task)].value))
            if way == "by task"
            else pooled(rows[rows.comparison == name], way == "pairs")
            for name, task in where
        ]
        for place, number in zip(where, numbers, strict=True):
            assert found.loc[place, ["effect", "low", "high", "p"]].tolist() == pytest.approx(number, abs=1e-9)
        verdict = ledger.summary(found.reset_index(), [claim])["verdict"].iloc[0]
        wanted = expected(numbers, claim.either, needs)
        assert ("open" if verdict in ("cannot tell", "needs seeds") else verdict) == wanted
        seen.add(wanted)
    assert seen == {"holds", "does not hold", "open"}
