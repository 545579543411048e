"""What recorded numbers say of the paper's statements: a sentence under each figure, and one of every task's scores.

The sentences are computed from the records when figures are drawn and lie beside them (`findings.json`), with the
configuration that they are of: under a figure of another configuration they are not shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

from optima_lab.display import base, called, task_metric, task_title
from optima_lab.errors import RecordError
from optima_lab.experiments import records
from optima_lab.experiments.experiment import Experiment
from optima_lab.report.claims.claims import CLAIMS, SCORE, Claim
from optima_lab.report.claims.evidence import Recorded
from optima_lab.report.claims.significance import FAILS, HOLDS, together
from optima_lab.report.claims.verdicts import details
from optima_lab.report.figures.style import provenance
from optima_lab.report.statistics import FULL, Frame

FILE = "findings.json"
NAMES = {claim.name: claim for claim in CLAIMS}
STATEMENTS: Mapping[str, tuple[str, ...]] = {  # of a figure, by what judges them
    "module_contribution": ("modules_differ",),
    "arms_compared": ("beats_lwd", "beats_arms", "beats_random"),
    "generalization": ("lower_losses",),
    "reward_means": ("means_evolve", "all_modules_lead", "decoder_trails"),
    "mean_accuracy_correlation": ("means_tell", "means_rank"),
    "arm_frequency": ("most_played",),
    "reward_design": ("combined_reward",),
    "halflife": ("inner_halflife",),
}
MEANINGLESS = "This is a smoke run: its numbers mean nothing"


def write(folder: Path, experiments: Sequence[Experiment]) -> None:
    """Keep the sentences of the experiments of one task beside their figures."""
    runs, rounds, evals = (frame(experiments) for frame in (records.read_runs, records.read_rounds, records.read_evals))
    texts = sentences(Recorded(runs, rounds, evals))
    records.write_json(folder / FILE, {"config": provenance(experiments)["config"], "figures": texts})


def read(folder: Path, config: str) -> Mapping[str, str]:
    """The sentences that were kept in a folder, by figure; none where they are of another configuration."""
    try:
        record = records.read_json(folder / FILE)
    except RecordError:
        return {}
    ours = isinstance(record, dict) and record.get("config") == config and isinstance(record.get("figures"), dict)
    return {str(name): str(text) for name, text in record["figures"].items()} if ours else {}


def sentences(recorded: Recorded) -> dict[str, str]:
    """For every figure with a statement of the paper: whether it is seen in these records of one task."""
    judged = {figure: [_judged(NAMES[name], recorded) for name in names] for figure, names in STATEMENTS.items()}
    return {figure: _sentence(parts) for figure, parts in judged.items()}


def _sentence(parts: Sequence[tuple[str, str]]) -> str:
    """'In these numbers …, …; one seed cannot tell luck.' of (what is seen, how sure that is)."""
    sure = list(dict.fromkeys(chance for _, chance in parts if chance))
    if len(sure) > 1:
        return f"In these numbers {'; '.join(f'{seen}, {chance}' if chance else seen for seen, chance in parts)}."
    return f"In these numbers {'; '.join([*(seen for seen, _ in parts), *sure])}."


def _judged(claim: Claim, recorded: Recorded) -> tuple[str, str]:
    unit = claim.raw_unit if claim.unit == SCORE else claim.unit
    rows = details(recorded, [replace(claim, by_task=True, unit=unit)]).to_dict("records")
    comparisons = [{str(name): value for name, value in row.items()} for row in rows if isfinite(row["effect"])]
    if not comparisons:
        return f"nothing is recorded of “{claim.text}”", ""
    verdict = together([row["verdict"] for row in comparisons], "all" if claim.needs == "all" else "any")
    shown, which = _shown(claim, comparisons)
    size = f"{which if len(comparisons) > 1 else ''}{shown['comparison']}: {_signed(shown['effect'], unit)}"
    return f"“{claim.text}” is {_seen(claim, comparisons, verdict)} ({size})", _chance(verdict, int(shown["n"]))


def _shown(claim: Claim, rows: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], str]:
    """The comparison that the statement hangs on, and what it is among several."""
    if claim.either:
        return max(rows, key=lambda row: abs(row["effect"])), "largest: "
    if claim.needs == "all":
        return min(rows, key=lambda row: row["effect"]), "least: "
    return max(rows, key=lambda row: row["effect"]), "most: "


def _seen(claim: Claim, rows: Sequence[Mapping[str, Any]], verdict: str) -> str:
    """'seen', 'not seen', or in how many comparisons."""
    if claim.either:
        return "seen" if verdict == HOLDS else "not decided"
    above = sum(row["effect"] > 0 for row in rows)
    if above in (0, claim.comparisons):
        return "seen" if above else "not seen"
    return f"{'seen in part, ' if claim.needs == 'all' else 'seen '}in {above} of {claim.comparisons} comparisons"


def _chance(verdict: str, seeds: int) -> str:
    if verdict in (HOLDS, FAILS):
        return f"{seeds} seeds tell this from luck"
    return f"{'one seed' if seeds < 2 else f'{seeds} seeds'} cannot tell this from luck"


def _signed(value: float, unit: str) -> str:
    number = f"{value:+.2f}" if unit.startswith("points") else f"{value:+.2g}"
    return f"{number} {'' if unit in ('r', 'ρ') else unit}".strip().replace("-", "−")


def score_sentence(table: Frame, task: str) -> str:
    """What the students of a task reached, in one sentence; `table` as `tables.results` makes it. '' without scores."""
    scored = table[(table["task"] == task) & table["mean"].astype(float).map(isfinite)]
    scores = {row["name"]: float(row["mean"]) for row in scored[scored["kind"] == "strategy"].to_dict("records")}
    if not scores:
        return ""
    seeds = int(scored.loc[scored["kind"] == "strategy", "n"].max())
    worst, best = min(scores, key=lambda name: scores[name]), max(scores, key=lambda name: scores[name])
    teacher = scored.loc[scored["kind"] == "teacher", "mean"]
    parts = [f"the teacher reaches {teacher.iloc[0]:.1f}"] if len(teacher) else []
    parts += [f"students reach {scores[worst]:.1f} ({called(worst)}) to {scores[best]:.1f} ({called(best)})"]
    compared = [name for name in scores if base(name) in ("optima", "random", FULL) and name not in (worst, best)]
    parts += [", ".join(f"{called(name)} {scores[name]:.1f}" for name in compared)] if compared else []
    of = "one seed" if seeds == 1 else f"means of {seeds} seeds"
    return f"{task_title(task)}, {task_metric(task)}: {'; '.join(parts)} ({of})."
