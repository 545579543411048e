"""Sentences under figures: planted effects are seen, their opposites are not, and no sentence is of other records."""

import json
from pathlib import Path

import pandas as pd
import planted
import pytest
from recorded_runs import Records

from optima_lab.report import findings
from optima_lab.report.claims.evidence import Recorded
from optima_lab.report.tables import results as tables

STRONG, WEAK = {"optima": 9.0}, {"optima": -9.0}


def of_vqa(gain: dict[str, float], seeds: int) -> dict[str, str]:
    """The sentences of one task, with scores planted by `gain`."""
    known = planted.recorded(gain, seeds)
    runs, rounds, evals = (frame[frame["task"] == "vqa"] for frame in (known.runs, known.rounds, known.evals))
    return findings.sentences(Recorded(runs, rounds, evals))


def test_a_planted_effect_is_seen_and_its_opposite_is_not() -> None:
    strong, weak = (of_vqa(gain, 5)["arms_compared"] for gain in (STRONG, WEAK))
    assert "“OPTIMA beats layerwise distillation (LWD)” is seen (OPTIMA − Img+Txt+Multi: +" in strong
    assert "“OPTIMA beats layerwise distillation (LWD)” is not seen (OPTIMA − Img+Txt+Multi: −" in weak
    assert "points)" in strong and "seed sd" not in strong, "in the task's own unit"
    assert strong.endswith("5 seeds tell this from luck.") and weak.endswith("5 seeds tell this from luck.")


def test_one_arm_that_is_better_is_counted_and_named() -> None:
    text = of_vqa({"optima": 5.0, "multi": 10.0}, 3)["arms_compared"]
    assert (
        "“OPTIMA beats every other fixed arm” is seen in part, in 5 of 6 comparisons (least: OPTIMA − Multi: −" in text
    )


def test_one_seed_cannot_tell_and_nothing_recorded_says_so() -> None:
    assert of_vqa(STRONG, 1)["arms_compared"].endswith("one seed cannot tell this from luck.")
    nothing = findings.sentences(Recorded(pd.DataFrame(), pd.DataFrame(), pd.DataFrame()))
    assert set(nothing) == set(findings.STATEMENTS)
    assert all(text.startswith("In these numbers nothing is recorded of “") for text in nothing.values())


def test_each_statement_is_a_claim_and_each_figure_is_drawn() -> None:
    notebooks = "".join(path.read_text() for path in (Path(__file__).parents[2] / "notebooks").glob("0*.ipynb"))
    assert all(f'\\"{figure}\\"' in notebooks for figure in findings.STATEMENTS)
    assert all(name in findings.NAMES for names in findings.STATEMENTS.values() for name in names)


def test_sentences_are_kept_with_what_they_are_of(one: Records, tmp_path: Path) -> None:
    findings.write(tmp_path, one.experiments)
    config = json.loads((tmp_path / findings.FILE).read_text())["config"]
    assert findings.read(tmp_path, config)["arm_frequency"].startswith("In these numbers “Img+Txt+Multi is played")
    assert findings.read(tmp_path, "another") == {} == findings.read(tmp_path / "nothing", config)
    (tmp_path / findings.FILE).write_text('{"config": 1, "figures": []}')
    assert findings.read(tmp_path, config) == {}


def test_what_students_reached_in_one_sentence(one: Records) -> None:
    table = tables.results(one.runs, one.experiments)
    scores = one.runs.set_index("strategy")["score_test"]
    text = findings.score_sentence(table, "vqa")
    assert text.startswith("VQA, accuracy (%): ") and text.endswith("(one seed).")
    assert f"students reach {scores.min():.1f} (no distillation) to {scores.max():.1f} (Img+Txt+Multi (LWD))" in text
    assert f"Random {scores['random']:.1f}, OPTIMA {scores['optima']:.1f}" in text
    assert findings.score_sentence(table.iloc[:0], "vqa") == ""


@pytest.mark.parametrize(("value", "unit", "said"), [(-1.5, "points", "−1.50 points"), (0.312, "r", "+0.31")])
def test_effects_are_said_with_their_sign(value: float, unit: str, said: str) -> None:
    assert findings._signed(value, unit) == said
