"""The ledger: every claim with its verdict, at this size and on this data.

Differences of all tasks and seeds are pooled (`pooling` says what of them is independent), except
where the paper's sentence is about single tasks. A pooled verdict is about the mean over tasks: it may hold while one
task goes the other way, so the verdict of each task stands beside it. p values are corrected by Holm within a claim,
for as many comparisons as it makes; not over claims, which are read one by one.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import pandas as pd

from optima_lab.config import TASKS
from optima_lab.report.claims.claims import CLAIMS, SCORE, Claim
from optima_lab.report.claims.evidence import Recorded
from optima_lab.report.claims.pooling import FLIPPED, SINGLE, Pool, pool, titles
from optima_lab.report.claims.significance import (
    FAILS,
    HOLDS,
    NEEDS,
    UNKNOWN,
    Estimate,
    decide,
    holm,
    in_words,
    single,
    smallest_effect,
    together,
    units_needed,
)
from optima_lab.report.statistics import Frame

ROW = ["effect", "low", "high", "p", "n"]
COLUMNS = [
    *("claim", "source", "text", "comparison", "task", "decides", "statistic", "unit", *ROW, "seeds"),
    *("p_holm", "verdict", "needs", "replicate", "remark"),
]
Row = dict[str, Any]


def details(recorded: Recorded, claims: Sequence[Claim] = CLAIMS) -> Frame:
    """One row for every comparison that decides a claim, and one for each of its tasks, which stands beside it.

    Columns: claim, source, text, comparison, task ('all' where pooled), decides, statistic, unit, effect, low, high, p,
    n (independent numbers), seeds (0 where repetitions are counted), p_holm, verdict, needs (how many seeds a verdict
    takes, where it is 'needs seeds'), replicate ('seed' or 'repetition'), remark (what was left out, in words). Rows
    that do not decide are in the task's own unit and corrected for all comparisons and tasks.
    """
    rows = [row for claim in claims for row in _rows(claim, claim.evidence(recorded), recorded.independent)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(claim: Claim, evidence: Frame, independent: bool) -> list[Row]:
    tasks = [task for task in (*TASKS, "inference") if task in set(evidence["task"])]
    by_comparison = evidence.groupby("comparison", sort=False)
    task_rows = [
        _task_row(claim, comparison, task, rows[rows["task"] == task])
        for comparison, rows in by_comparison
        for task in tasks
    ]
    many = claim.comparisons * len(tasks)
    if claim.by_task:
        return _judged(claim, task_rows, many, decides=True)
    pools = {name: pool(rows, independent) for name, rows in by_comparison}
    over = [_pooled_row(claim, name, one) for name, one in pools.items() if one.tasks or not one.alone]
    apart = {(name, task) for name, one in pools.items() for task in one.alone}
    lone = [row for row in task_rows if (row["comparison"], row["task"]) in apart]
    beside = [row for row in task_rows if (row["comparison"], row["task"]) not in apart]
    deciding = [*over, *lone]
    made = len(deciding) + claim.comparisons - len(pools)  # those that are not recorded count
    return [*_judged(claim, deciding, made, decides=True), *_judged(claim, beside, many, decides=False)]


def _task_row(claim: Claim, comparison: Any, task: str, rows: Frame) -> Row:
    """The estimate of one comparison in one task, in its own unit."""
    unit = claim.raw_unit if claim.unit == SCORE else claim.unit
    scope = {"task": task, "statistic": SINGLE, "unit": unit, "seeds": int(rows["seed"].nunique()), "remark": ""}
    return _row(claim, comparison, single(rows["value"].astype(float)), scope)


def _pooled_row(claim: Claim, comparison: Any, one: Pool) -> Row:
    """The estimate of one comparison over tasks, in units of their scatter."""
    left = [f"left out: {', '.join(one.left_out)}"] if one.left_out else []
    apart = [f"judged alone, as no score scatters there: {titles(one.alone)}"] if one.alone else []
    scope = {"task": "all", "statistic": one.statistic, "unit": claim.unit, "seeds": one.seeds}
    return _row(claim, comparison, one.estimate, {**scope, "remark": "; ".join([*left, *apart])})


def _row(claim: Claim, comparison: Any, estimate: Estimate, scope: Mapping[str, Any]) -> Row:
    numbers = {name: getattr(estimate, name) for name in ROW}
    facts = {"claim": claim.name, "source": claim.source, "text": claim.text, "comparison": str(comparison)}
    seeds = scope["seeds"] if claim.replicate == "seed" else 0
    return {**facts, **scope, "seeds": seeds, **numbers, "replicate": claim.replicate}


def _judged(claim: Claim, rows: list[Row], comparisons: int, decides: bool) -> list[Row]:
    """The rows with corrected p values and verdicts; comparisons that are not recorded count in the correction."""
    absent = [float("nan")] * (comparisons - len(rows))
    corrected = holm([*(row["p"] for row in rows), *absent])
    return [
        row | {"p_holm": p, "decides": decides, **_verdict(claim, row, p, comparisons)}
        for row, p in zip(rows, corrected, strict=False)
    ]


def _verdict(claim: Claim, row: Row, p: float, comparisons: int) -> Row:
    """The verdict of a row; where it is open since no numbers of so many seeds could decide it, how many could."""
    verdict = decide(_estimate(row), p, claim.either)
    least = units_needed(comparisons, _flips(row))
    if verdict != UNKNOWN or row["n"] >= least:
        return {"verdict": verdict, "needs": float("nan")}
    tasks = row["n"] / row["seeds"] if row["statistic"] == FLIPPED and row["seeds"] else 1
    return {"verdict": NEEDS, "needs": ceil(least / max(1, tasks))}


def _flips(row: Row) -> bool:
    """Whether p comes from flipping signs: as said, or since nothing scatters."""
    return row["statistic"] == FLIPPED or bool(row["n"] > 1 and row["low"] == row["high"])


def _estimate(row: Mapping[str, Any]) -> Estimate:
    return Estimate(**{name: row[name] for name in ROW})


def ledger(recorded: Recorded, claims: Sequence[Claim] = CLAIMS) -> Frame:
    """One row a claim: its verdict, and the comparison that it hangs on with effect, 95 % interval and corrected p.

    Where all comparisons must hold this is the weakest one, where one is enough the strongest, where one in each task
    is enough the strongest of the weakest task.
    """
    return summary(details(recorded, claims), claims)


def summary(rows: Frame, claims: Sequence[Claim] = CLAIMS) -> Frame:
    """The ledger of `details` that are there already."""
    columns = [
        *("claim", "source", "text", "verdict", "needs", "replicate", "comparison", "task", "statistic", "unit", *ROW),
        *("seeds", "comparisons", "p_holm", "by_task", "note"),
    ]
    return pd.DataFrame([_summary(claim, rows) for claim in claims], columns=columns)


def _summary(claim: Claim, rows: Frame) -> Row:
    facts = {"claim": claim.name, "source": claim.source, "text": claim.text, "unit": claim.unit, "by_task": ""}
    facts |= {"replicate": claim.replicate}
    records = rows[rows["claim"] == claim.name].to_dict("records") if len(rows) else []
    every = [{str(key): value for key, value in row.items()} for row in records]
    ours = [row for row in every if row["decides"]]
    if not ours:
        return {**facts, "n": 0, "verdict": UNKNOWN, "note": "; ".join(["not recorded", *filter(None, [claim.note])])}
    verdict, row = _hangs_on(claim, ours)
    numbers = {name: row[name] for name in ("comparison", "task", "statistic", *ROW, "seeds", "p_holm")}
    made = len({row["comparison"] for row in ours})
    short = f"{made} of {claim.comparisons} comparisons recorded" if made < claim.comparisons else ""
    if short and verdict == (HOLDS if claim.needs == "all" else FAILS):  # what is not recorded could turn it
        verdict = UNKNOWN
    tasks = _by_task(claim, every)
    split = "tasks disagree" if {HOLDS, FAILS} <= {verdict for verdict, _ in tasks.values()} else ""
    note = "; ".join(text for text in (short, _counts(ours), split, row["remark"], _few(row, ours), claim.note) if text)
    beside = ", ".join(f"{titles([task])} {in_words(*decided, claim.replicate)}" for task, decided in tasks.items())
    needs = _most(ours) if verdict == NEEDS else float("nan")
    return {**facts, **numbers, "comparisons": len(ours)} | {
        "verdict": verdict,
        "needs": needs,
        "by_task": beside if len(tasks) > 1 else "",
        "note": note,
    }


def _by_task(claim: Claim, rows: Sequence[Row]) -> dict[str, tuple[str, float]]:
    """The verdict of each task, and the seeds that it needs: {'vqa': ('holds', nan)}."""
    verdicts = {}
    for task in [task for task in TASKS if any(row["task"] == task for row in rows)]:
        ours = [row for row in rows if row["task"] == task]
        verdict = together([row["verdict"] for row in ours], "all" if claim.needs == "all" else "any")
        verdicts[task] = verdict, _most(ours)
    return verdicts


def _most(rows: Sequence[Row]) -> float:
    """The most seeds that one of the rows needs; NaN where none does."""
    return max((row["needs"] for row in rows if row["verdict"] == NEEDS), default=float("nan"))


def _hangs_on(claim: Claim, rows: Sequence[Row]) -> tuple[str, Row]:
    """The verdict on a claim and the comparison that it hangs on."""

    def evidence(row: Row) -> float:
        strength = _estimate(row).evidence
        return abs(strength) if claim.either else strength

    if claim.needs == "any in each task":
        by_task = [[row for row in rows if row["task"] == task] for task in dict.fromkeys(row["task"] for row in rows)]
        best = [max(group, key=evidence) for group in by_task]
        verdicts = [together([row["verdict"] for row in group], "any") for group in by_task]
        return together(verdicts), min(best, key=evidence)
    verdict = together([row["verdict"] for row in rows], claim.needs)
    return verdict, (min if claim.needs == "all" else max)(rows, key=evidence)


def _counts(rows: Sequence[Row]) -> str:
    """'3 of 6 comparisons hold, 1 does not', where there are several."""
    if len(rows) < 2:
        return ""
    held, failed = (sum(row["verdict"] == verdict for row in rows) for verdict in (HOLDS, FAILS))
    return f"{held} of {len(rows)} comparisons hold" + (f", {failed} the other way" if failed else "")


def _few(row: Row, ours: Sequence[Row]) -> str:
    """Why few numbers cannot decide: no p is small enough by flipping signs, or only a huge effect would do."""
    n, numbers = int(row["n"]), f"{row['replicate']}s"
    if n < 2:
        return f"one {row['replicate']} has no scatter"
    if row["verdict"] != NEEDS:
        return ""
    if _flips(row):
        return f"{n} pairs: no p below {2.0 ** (1 - n):.3g} is possible"
    return f"{n} {numbers} decide nothing below {smallest_effect(n, len(ours)):.1f} standard deviations of differences"
