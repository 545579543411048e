"""Tables 1 and 4: medians and deviations by hand, and the paper's numbers in a table of their own."""

import numpy as np
import planted
import pytest

from optima_lab.config import TASKS
from optima_lab.report import statistics
from optima_lab.report.claims.evidence import Recorded
from optima_lab.report.tables import paper as paper_tables

SPEED = {
    "device": "an invented <device>",
    "pixels": 576,
    "text_tokens": 64,
    "batch": 1,
    "models": {"Large": [6.0, 6.2, 6.4], "Tiny12": [2.0, 2.0, 1.6], "Tiny6": [1.0, 1.0, 1.0]},
}


def recorded() -> Recorded:
    return planted.recorded({"optima": 2.0}, two_stage=planted.runs({"optima": 1.0}), tiny6=planted.runs({}))


def test_medians_and_deviations_over_seeds() -> None:
    known = recorded()
    scores = known.runs[(known.runs["task"] == "vqa") & (known.runs["strategy"] == "optima")]["score_test"]
    for quantity, expected in (("score", np.median(scores)), ("sd", np.std(scores, ddof=1))):
        table = paper_tables.measured(known, quantity)
        row = table[(table["student"] == "own size (Tiny12)") & (table["strategy"] == "OPTIMA")].iloc[0]
        assert row["vqa"] == pytest.approx(expected) and row["seeds"] == 3
    assert {"own size (Tiny12)", "smallest (Tiny6), two stages", "smallest (Tiny6), one stage"} == set(table["student"])


def test_every_row_of_the_papers_tables_is_there() -> None:
    table = paper_tables.reported()
    assert len(table) == 15 and list(table.columns[4:]) == list(TASKS)
    row = table.set_index("method").loc["CoCa-Tiny12 (OPTIMA)"]
    assert row[list(TASKS)].tolist() == [71.6, 84.3, 81.3, 121.2]
    assert (row["teacher"], row["parameters"], row["speed-up"]) == ("CoCa-Large", 101.8, 3.4)
    deviations = paper_tables.reported("sd").set_index("method")
    assert deviations.loc["CoCa-Tiny12", "coco"] == 0.88 and len(deviations) == 4


def test_every_reported_number_names_its_source() -> None:
    table = statistics.reported()
    assert table["source"].str.match(r"(Table [14]|Section )").all()
    assert not table.duplicated(["source", "method", "strategy", "task", "quantity"]).any()


def test_reported_numbers_never_stand_in_our_table() -> None:
    html = paper_tables.html(recorded())
    ours, theirs = html.split('<table class="results reported">')
    assert "Reported in the paper" in theirs and "Reported" not in ours
    assert "121.2" in theirs and "121.2" not in ours
    assert "3.4×" in theirs and "×</td>" not in ours


def test_nothing_recorded_is_said() -> None:
    known = planted.recorded({})
    html = paper_tables.html(Recorded(known.runs[:0], known.rounds[:0], known.evals[:0]))
    assert "nothing recorded" in html


def test_speedups_by_hand() -> None:
    """6/2 = 3, 6.2/2 = 3.1, 6.4/1.6 = 4: median 3.1, quartiles 3.05 and 3.55."""
    table = paper_tables.speedups(SPEED).set_index("model")
    assert table.loc["Tiny12", ["speed-up", "low", "high", "reported"]].tolist() == pytest.approx(
        [3.1, 3.05, 3.55, 3.4]
    )
    assert table.loc["Tiny12", "seconds"] == 2.0 and table.loc["Tiny12", "spread"] == pytest.approx(0.2)
    assert table.loc["Large", "speed-up"] == 1


def test_speed_says_where_it_was_measured_or_how_to_measure_it() -> None:
    assert "an invented &lt;device&gt;: 576 pixels a side, 64 text tokens, 1 a batch" in paper_tables.about_speed(SPEED)
    assert "python -m optima_lab speed" in paper_tables.about_speed({})
    assert paper_tables.speedups({}).empty
    assert paper_tables.inference_speed({}).axes[0].texts[0].get_text().startswith("no speed was measured")


def test_measured_and_reported_speed_are_told_apart() -> None:
    axes = paper_tables.inference_speed(SPEED).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([1, 1, 3.1, 3.4, 6.2, 6.2])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["measured here", "reported in the paper"]
