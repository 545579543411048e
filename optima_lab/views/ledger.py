"""The ledger: every claim with its verdict, at this size and on this data.

Differences of all tasks and seeds are pooled, except where the paper's sentence is about single tasks. p values are
corrected by Holm within a claim, for as many comparisons as it makes; not over claims, which are read one by one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optima_lab.config import TASKS
from optima_lab.views.claims import CLAIMS, SCORE, Claim
from optima_lab.views.evidence import Recorded
from optima_lab.views.inference import FAILS, HOLDS, UNKNOWN, Estimate, decide, holm, pooled, single, together
from optima_lab.views.statistics import Frame

ROW = ["effect", "low", "high", "p", "n"]
POOLED = "mean paired difference over tasks and seeds; signs flipped"
SINGLE = "mean paired difference over the task's seeds; Student's t"
COLUMNS = [
    *("claim", "source", "text", "comparison", "task", "decides", "statistic", "unit", *ROW, "seeds"),
    *("p_holm", "verdict"),
]


def details(recorded: Recorded, claims: Sequence[Claim] = CLAIMS) -> Frame:
    """One row for every comparison that decides a claim, and one for each of its tasks to look at.

    Columns: claim, source, text, comparison, task ('all' where pooled), decides, statistic, unit, effect, low, high, p,
    n, seeds, p_holm, verdict. Rows that do not decide are in the task's own unit, uncorrected, and without a verdict.
    """
    rows = [row for claim in claims for row in _rows(claim, claim.evidence(recorded))]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(claim: Claim, found: Frame) -> list[dict[str, Any]]:
    tasks = [task for task in (*TASKS, "inference") if task in set(found["task"])]
    each = [
        _row(claim, comparison, task, found[(found["comparison"] == comparison) & (found["task"] == task)])
        for comparison in dict.fromkeys(found["comparison"])
        for task in tasks
    ]
    if claim.by_task:
        return _decided(claim, each, claim.comparisons * len(tasks))
    over = [_row(claim, name, "all", rows) for name, rows in found.groupby("comparison", sort=False)]
    return [*_decided(claim, over, claim.comparisons), *each]


def _row(claim: Claim, comparison: Any, task: str, rows: Frame) -> dict[str, Any]:
    """The estimate of one comparison: pooled over tasks in units of their scatter, or of one task in its own unit."""
    values = rows["value"].astype(float)
    estimate = pooled(values / rows["scale"].astype(float)) if task == "all" else single(values)
    facts = {"source": claim.source, "text": claim.text, "comparison": str(comparison), "task": task, "decides": False}
    unit = claim.raw_unit if claim.unit == SCORE and task != "all" else claim.unit
    how = {"statistic": POOLED if task == "all" else SINGLE, "unit": unit, "seeds": int(rows["seed"].nunique())}
    numbers = {name: getattr(estimate, name) for name in ROW}
    return {"claim": claim.name, **facts, **how, **numbers, "p_holm": float("nan"), "verdict": ""}


def _decided(claim: Claim, rows: list[dict[str, Any]], comparisons: int) -> list[dict[str, Any]]:
    """The rows with corrected p values and verdicts; comparisons that are not recorded count in the correction."""
    absent = [float("nan")] * (comparisons - len(rows))
    corrected = holm([*(row["p"] for row in rows), *absent])
    verdicts = [decide(_estimate(row), p, claim.either) for row, p in zip(rows, corrected, strict=False)]
    return [
        row | {"p_holm": p, "verdict": verdict, "decides": True}
        for row, p, verdict in zip(rows, corrected, verdicts, strict=False)
    ]


def _estimate(row: Mapping[str, Any]) -> Estimate:
    return Estimate(**{name: row[name] for name in ROW})


def ledger(recorded: Recorded, claims: Sequence[Claim] = CLAIMS) -> Frame:
    """One row a claim: its verdict, and the comparison that it hangs on with effect, 95 % interval and corrected p.

    Where all comparisons must hold this is the weakest one, where one is enough the strongest, where one in each task
    is enough the strongest of the weakest task.
    """
    rows = details(recorded, claims)
    return summary(rows, claims)


def summary(rows: Frame, claims: Sequence[Claim] = CLAIMS) -> Frame:
    """The ledger of `details` that are there already."""
    columns = ["claim", "source", "text", "verdict", "comparison", "task", "statistic", "unit", *ROW, "seeds"]
    found = [_summary(claim, rows) for claim in claims]
    return pd.DataFrame(found, columns=[*columns, "comparisons", "p_holm", "note"])


def _summary(claim: Claim, rows: Frame) -> dict[str, Any]:
    known = {"claim": claim.name, "source": claim.source, "text": claim.text, "unit": claim.unit}
    ours = rows[(rows["claim"] == claim.name) & rows["decides"]].to_dict("records") if len(rows) else []
    if not ours:
        return {**known, "n": 0, "verdict": UNKNOWN, "note": "; ".join(["not recorded", *filter(None, [claim.note])])}
    verdict, row = _hangs_on(claim, ours)
    numbers = {name: row[name] for name in ("comparison", "task", "statistic", *ROW, "seeds", "p_holm")}
    made = len({each["comparison"] for each in ours})
    short = f"{made} of {claim.comparisons} comparisons recorded" if made < claim.comparisons else ""
    verdict = UNKNOWN if short and verdict == HOLDS and claim.needs == "all" else verdict
    note = "; ".join(text for text in (short, _counts(ours), _few(row), claim.note) if text)
    return {**known, **numbers, "comparisons": len(ours), "verdict": verdict, "note": note}


def _hangs_on(claim: Claim, rows: Sequence[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The verdict on a claim and the comparison that it hangs on."""

    def evidence(row: dict[str, Any]) -> float:
        strength = _estimate(row).evidence
        return abs(strength) if claim.either else strength

    if claim.needs == "any in each task":
        by_task = [[row for row in rows if row["task"] == task] for task in dict.fromkeys(row["task"] for row in rows)]
        best = [max(group, key=evidence) for group in by_task]
        each = [together([row["verdict"] for row in group], "any") for group in by_task]
        return together(each), min(best, key=evidence)
    verdict = together([row["verdict"] for row in rows], claim.needs)
    return verdict, (min if claim.needs == "all" else max)(rows, key=evidence)


def _counts(rows: Sequence[dict[str, Any]]) -> str:
    """'3 of 6 comparisons hold, 1 does not', where there are several."""
    if len(rows) < 2:
        return ""
    held, failed = (sum(row["verdict"] == verdict for row in rows) for verdict in (HOLDS, FAILS))
    return f"{held} of {len(rows)} comparisons hold" + (f", {failed} the other way" if failed else "")


def _few(row: Mapping[str, Any]) -> str:
    """Why few pairs cannot decide by flipping signs."""
    n = int(row["n"])
    if n < 2:
        return "one seed has no scatter"
    few = row["task"] == "all" and n <= 5  # 2/2^5 is 0.06
    return f"{n} pairs: no p below {2.0 ** (1 - n):.3g} is possible" if few else ""
