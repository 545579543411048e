"""The table of results: as numbers, as 80 columns of text, as HTML. The paper's numbers stand beside, never mixed in.

Rows are examples, baselines, teacher and strategies; a column is a task.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, Protocol

import numpy as np
import pandas as pd

from optima_lab.config import TASKS
from optima_lab.display import DAGGER, base, called, in_order, task_title
from optima_lab.experiments import variants
from optima_lab.files import expand, write_text
from optima_lab.report import pages, statistics
from optima_lab.report.pages import Cell
from optima_lab.report.statistics import Frame

COLUMNS = ["task", "kind", "name", "mean", "sd", "n", "stopped"]
FILE = "results.csv"
EXAMPLES = {"train": "n train", "dev": "n dev", "test": "n test", "skipped": "bad records skipped"}
_NAME, _CELL = 24, 14  # characters: 24 + 4 tasks × 14 = 80
REPORTED = "Reported in the paper, not measured here: CoCa-Large → CoCa-Tiny12 on the full data; median ± sd of 5 seeds"


class Summary(Protocol):
    """What the table needs to know of an experiment."""

    @property
    def task(self) -> str: ...
    @property
    def summary(self) -> Mapping[str, Any]: ...


def results(runs: Frame, experiments: Sequence[Summary]) -> Frame:
    """One row for each number: task, kind (examples, baseline, teacher, strategy), name, mean, sd (over seeds), n, and
    which of its runs were stopped since their numbers went wrong ('' for none).

    Runs without a finite test score count as missing; scores are in per cent, CIDEr × 100. Runs that differ in more
    than the seed have rows of their own, named by what differs (`experiments.variants`).
    """
    rows: list[dict[str, Any]] = []
    for task in [name for name in TASKS if name in {e.task for e in experiments}]:
        for kind, name, values in _of_questions([e.summary for e in experiments if e.task == task], task):
            rows.append({"task": task, "kind": kind, "name": name, "stopped": ""} | _spread(values))
        ours = runs[runs["task"] == task]
        marks = statistics.stopped(ours)
        for name in in_order(ours["strategy"]):
            values = ours.loc[ours["strategy"] == name, "score_test"].astype(float).tolist()
            facts = {"task": task, "kind": "strategy", "name": name, "stopped": marks.get(name, "")}
            rows.append(facts | _spread(values))
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_questions(summaries: Sequence[Mapping[str, Any]], task: str) -> list[tuple[str, str, list[float]]]:
    """`_facts` of experiments that differ in the seed alone; what the others do not share is named by what differs."""
    experiments = [variants.of_summary(task, summary, str(place)) for place, summary in enumerate(summaries)]
    differing = [{k: v for k, v in facts.items() if k != "id"} for facts in variants.of_experiments(experiments)]
    by_question: dict[str, list[Mapping[str, Any]]] = {}
    for facts, summary in zip(differing, summaries, strict=True):
        by_question.setdefault(variants.written("", facts), []).append(summary)
    numbers = [(question, *fact) for question, those in sorted(by_question.items()) for fact in _facts(those)]
    means = {(kind, name): set() for _, kind, name, _ in numbers}
    for _, kind, name, values in numbers:
        means[kind, name].add(repr(_spread(values)["mean"]))
    shared = {key for key, values in means.items() if len(values) == 1}
    rows = {(kind, name + ("" if (kind, name) in shared else q)): values for q, kind, name, values in numbers}
    order = list(dict.fromkeys(kind for kind, _ in rows))
    return [(*key, rows[key]) for key in sorted(rows, key=lambda key: order.index(key[0]))]


def _facts(summaries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[float]]]:
    """(kind, name, value of each seed) of what is known before any student is trained."""
    facts = [
        ("examples", split, [s.get("counts", {}).get(split, np.nan) for s in summaries])
        for split in ("train", "dev", "test")
    ]
    skipped = [s.get("skipped", {}).get("count", 0) for s in summaries]
    facts += [("examples", "skipped", skipped)] if any(skipped) else []
    named = sorted({s["baseline"]["name"] for s in summaries if s.get("baseline")})
    for name in named:
        scores = [s["baseline"]["score"] for s in summaries if s["baseline"]["name"] == name]
        facts.append(("baseline", f"{name} baseline", scores))
    for key, name in (("text_only", "text only"), ("human", "one human reference")):
        values = [s[key]["score"] for s in summaries if s.get(key)]
        facts += [("baseline", name, values)] if values else []
    facts.append(("teacher", "teacher", [s.get("teacher", {}).get("score_test", np.nan) for s in summaries]))
    return facts


def _spread(values: Sequence[float]) -> dict[str, Any]:
    finite = np.asarray([value for value in values if value is not None and np.isfinite(value)], float)
    sd = float(finite.std(ddof=1)) if len(finite) > 1 else np.nan
    return {"mean": float(finite.mean()) if len(finite) else np.nan, "sd": sd, "n": len(finite)}


def reported(tasks: Sequence[str] = tuple(TASKS), model: str = "CoCa-Tiny12") -> Frame:
    """The paper's own rows of Tables 1 and 4 in the form of `results`; kind is 'reported (paper)'."""
    rows = []
    for task in tasks:
        for name in ("teacher", statistics.FULL, "optima"):
            mean = statistics.paper_score(task, name, model)
            sd = np.nan if name == "teacher" else statistics.paper_score(task, name, model, "sd")
            rows.append(
                {"task": task, "kind": "reported (paper)", "name": name, "mean": mean, "sd": sd, "n": 5, "stopped": ""}
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def text(table: Frame) -> str:
    """`results` in at most 80 columns, a column for each task, with the paper's numbers in a block of their own."""
    tasks = _tasks(table)
    head = _line("", [task_title(task) for task in tasks])
    unit = _line("test score", [_short_unit(task) for task in tasks])
    rule = "-" * (_NAME + _CELL * len(tasks))
    ours = [_line(name, cells) for name, cells in _grid(table, tasks)]
    paper = [_line(name, cells) for name, cells in _grid(reported(tasks), tasks)]
    heading = [
        "Reported in the paper, not measured here (CoCa-Large → CoCa-Tiny12, full",
        "data, median ± sd of 5 seeds):",
    ]
    return "\n".join(
        [
            head,
            unit,
            rule,
            *ours,
            "",
            *(part for line in _explain(table) for part in wrap(line, 80)),
            "",
            *heading,
            *paper,
        ]
    )


def _explain(table: Frame) -> list[str]:
    seeds = int(table.loc[table["kind"] == "teacher", "n"].max()) if len(table) else 0
    many = f"Mean ± standard deviation over {seeds} seeds, or over (n) where fewer finished."
    stopped = table[table["stopped"] != ""]
    notes = [f"{task_title(task)}: {line}." for task, line in zip(stopped["task"], stopped["stopped"], strict=True)]
    return ["One seed: no spread. A dash: not recorded." if seeds < 2 else many, *notes, *_undefined(table)]


def _undefined(table: Frame) -> list[str]:
    """Why a task has no score at all though it was judged: CIDEr needs two test pictures of different captions."""
    notes = []
    for task in [name for name in _tasks(table) if TASKS[name].captions]:
        ours = table[table["task"] == task]
        test = ours.loc[(ours["kind"] == "examples") & (ours["name"] == "test"), "mean"]
        judged = ours[ours["kind"].isin(["baseline", "teacher"])]
        if set(judged["kind"]) == {"baseline", "teacher"} and test.notna().all() and judged["mean"].isna().all():
            notes.append(
                f"{task_title(task)}: no score, since CIDEr is not defined for {test.max():.0f} test picture"
                f"{'' if test.max() == 1 else 's of the same captions'}: it weighs words by how few pictures have them."
            )
    return notes


def html(table: Frame) -> str:
    """`results` as an HTML table and the paper's numbers as a second one; every text escaped."""
    tasks = _tasks(table)
    caption = f"Measured here. {' '.join(_explain(table))}"
    return _html(table, tasks, caption, "results") + _html(reported(tasks), tasks, REPORTED, "results reported")


def _html(table: Frame, tasks: Sequence[str], caption: str, css: str) -> str:
    head = [Cell(""), *(Cell(_head(task), "col") for task in tasks)]
    rows = [[Cell(name, "row"), *map(Cell, cells)] for name, cells in _grid(table, tasks)]
    return pages.table(head, rows, css, caption)


def _tasks(table: Frame) -> list[str]:
    return [task for task in TASKS if task in set(table["task"])]


def _grid(table: Frame, tasks: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(row name, a cell for each task) in the order of first appearance, strategies in figure order."""
    strategy = table["kind"] == "strategy"
    others = table.loc[~strategy, ["kind", "name"]].itertuples(index=False, name=None)
    rows = [*dict.fromkeys(others), *(("strategy", name) for name in in_order(table.loc[strategy, "name"]))]
    seeds = table[table["kind"] == "teacher"].groupby("task")["n"].max().to_dict()
    indexed = {(row["task"], row["kind"], row["name"]): row for _, row in table.iterrows()}
    return [
        (_row_name(kind, name), [_cell(indexed.get((task, kind, name)), seeds.get(task, 0)) for task in tasks])
        for kind, name in rows
    ]


def _row_name(kind: str, name: str) -> str:
    if kind != "examples":
        return called(name)
    return EXAMPLES.get(base(name), base(name)) + name[len(base(name)) :]


def _cell(row: Any, seeds: int) -> str:
    if row is None or not np.isfinite(row["mean"]):
        return "–"
    if row["kind"] == "examples":
        return f"{row['mean']:,.0f}"
    digits = 2 if row["kind"].startswith("reported") and np.isfinite(row["sd"]) else 1
    spread = f" ± {row['sd']:.{digits}f}" if np.isfinite(row["sd"]) else ""
    fewer = f" ({row['n']:.0f})" if row["kind"] == "strategy" and row["n"] < seeds else ""
    mark = DAGGER if row["stopped"] else ""
    return f"{row['mean']:.1f}{spread.replace(' ', '') if fewer else spread}{fewer}{mark}"


def _head(task: str) -> str:
    spec = TASKS[task]
    return spec.metric if spec.metric.startswith(spec.title) else f"{spec.title}, {spec.metric}"


def _short_unit(task: str) -> str:
    return "CIDEr × 100" if TASKS[task].captions else "accuracy (%)"


def _line(name: str, cells: Sequence[str]) -> str:
    name = f"{name:<{_NAME}}" if len(name) < _NAME else f"{name}\n{'':{_NAME}}"  # a long one has a line of its own
    return (name + "".join(f"{cell:>{_CELL}}" for cell in cells)).rstrip()


def save(table: Frame, folder: Path | str) -> Path:
    """Keep `results` as `folder/results.csv`, where the gallery finds it. Raises RecordError where it cannot."""
    return write_text(expand(folder) / FILE, table.to_csv(index=False))


def load(folder: Path | str) -> Frame:
    """The table that `save` kept; empty where there is none or it is no such table."""
    try:
        table = pd.read_csv(expand(folder) / FILE, keep_default_na=False, na_values={"mean": "", "sd": ""})
    except (OSError, ValueError):
        return pd.DataFrame(columns=COLUMNS)
    return table[COLUMNS] if set(COLUMNS) <= set(table.columns) else pd.DataFrame(columns=COLUMNS)
