"""The table: our numbers with their n, the paper's apart from them, in 80 columns."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from recorded_runs import Records, score_at

from optima_lab.errors import RecordError
from optima_lab.report.tables import results as tables


def test_results_hold_counts_baseline_teacher_and_strategies(three: Records) -> None:
    table = tables.results(three.runs, three.experiments).set_index("name")
    assert table.loc[["train", "dev", "test"], "mean"].tolist() == [1000, 100, 200]
    assert table.loc["majority baseline", "mean"] == 40
    assert table.loc["teacher", ["mean", "sd", "n"]].tolist() == [91, 1, 3]
    assert table.loc["optima", "mean"] == pytest.approx(np.mean([score_at("optima", 200, seed) for seed in range(3)]))
    assert table.loc["optima", ["sd", "n"]].tolist() == pytest.approx([0.5, 3])


def test_text_fits_80_columns_and_keeps_the_paper_apart(one: Records, three: Records) -> None:
    runs = pd.concat([one.runs, three.runs[~((three.runs["strategy"] == "optima") & (three.runs["seed"] == 2))]])
    text = tables.text(tables.results(runs, [*one.experiments, *three.experiments]))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    ours, paper = text.split("Reported in the paper, not measured here")
    assert "80.4 ± 0.15" in paper and "80.4" not in ours
    line = next(line for line in ours.splitlines() if line.startswith("OPTIMA "))
    assert line.split() == ["OPTIMA", f"{score_at('optima', 200, 0):.1f}", "76.0±0.4", "(2)"]
    assert lines[0].split() == ["VQA", "NLVR2"]


def test_a_stopped_student_is_marked_in_its_cell_and_told_below(one: Records, three: Records) -> None:
    runs = pd.concat([one.runs, three.runs])
    runs["stopped"] = np.where(
        (runs["strategy"] == "optima") & (runs["task"] == "nlvr2") & (runs["seed"] > 0),
        "round 12: gradient of head.classifier.weight: overflow of bfloat16",
        "",
    )
    table = tables.results(runs, [*one.experiments, *three.experiments])
    text, html = tables.text(table), tables.html(table)
    line = next(line for line in text.splitlines() if line.startswith("OPTIMA "))
    assert [cell.endswith("†") for cell in line.split()[1:]] == [False, False, False, True]
    told = (
        "NLVR2: † OPTIMA stopped in round 12: gradient of head.classifier.weight: overflow of bfloat16 (seed 1); round"
    )
    assert told in " ".join(text.split()) and told in html
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(("pictures", "told"), [(1, "1 test picture: it"), (2, "2 test pictures of the same captions")])
def test_captions_of_one_picture_have_a_dash_and_the_reason(pictures: int, told: str) -> None:
    summary = {"counts": {"train": 9, "dev": 3, "test": pictures}, "teacher": {"score_test": None}}
    summary |= {"baseline": {"name": "retrieval", "score": None}, "human": {"score": None}}
    runs = pd.DataFrame([{"task": "coco", "strategy": "img", "seed": 0, "score_test": np.nan, "stopped": ""}])
    table = tables.results(runs, [SimpleNamespace(task="coco", summary=summary)])
    text, html = tables.text(table), tables.html(table)
    ours = text.split("Reported in the paper")[0]
    assert " 0.0" not in ours and [line.split()[-1] for line in ours.splitlines() if "teacher" in line] == ["–"]
    for shown in (" ".join(ours.split()), html):
        assert f"COCO Caption: no score, since CIDEr is not defined for {told}" in shown
    assert "not defined" not in tables.text(table.assign(mean=7.0))
    assert "not defined" not in tables.text(table[table["kind"] != "baseline"])  # not judged yet


def test_what_is_not_finite_counts_as_missing(one: Records) -> None:
    runs = one.runs.assign(score_test=np.nan)
    table = tables.results(runs, one.experiments)
    assert (table.loc[table["kind"] == "strategy", "n"] == 0).all()
    assert "OPTIMA                               –" in tables.text(table)
    assert tables.text(tables.results(runs[:0], []))


def test_text_only_and_skipped_records_are_shown_when_known(one: Records) -> None:
    known = [
        type(each)(**{**vars(each), "summary": each.summary | {"text_only": {"score": 41.5}, "skipped": {"count": 3}}})
        for each in one.experiments
    ]
    table = tables.results(one.runs, known)
    assert table.set_index("name").loc[["text only", "skipped"], "mean"].tolist() == [41.5, 3]


def test_html_escapes_names(one: Records) -> None:
    runs = one.runs.assign(strategy="<script>alert(1)</script>")
    html = tables.html(tables.results(runs, one.experiments))
    assert "<script" not in html and "&lt;script&gt;" in html
    assert html.count("<table") == 2 and 'class="results reported"' in html


@pytest.mark.parametrize("name", ["teacher", "train", "text only", "majority baseline"])
def test_a_strategy_that_is_called_like_another_row_has_a_row_of_its_own(one: Records, name: str) -> None:
    """Rows are told apart by what they are, not by what they are called."""
    summary = one.experiments[0].summary | {"text_only": {"score": 41.5}}
    known = [type(one.experiments[0])(**{**vars(one.experiments[0]), "summary": summary})]
    runs = one.runs[one.runs["strategy"] == "optima"].assign(strategy=name)
    text = tables.text(tables.results(runs, known))
    before = tables.text(tables.results(runs[:0], known)).split("\n\n")[0].splitlines()
    ours = text.split("\n\n")[0].splitlines()
    assert ours[:-1] == before
    assert ours[-1].split() == [*name.split(), f"{score_at('optima', 200, 0):.1f}"]


def test_a_table_is_kept_and_read_back(one: Records, tmp_path: Path) -> None:
    table = tables.results(one.runs, one.experiments)
    tables.save(table, tmp_path / "vqa")
    assert tables.text(tables.load(tmp_path / "vqa")) == tables.text(table)
    first = (tmp_path / "vqa" / "results.csv").read_bytes()
    tables.save(table, tmp_path / "vqa")
    assert (tmp_path / "vqa" / "results.csv").read_bytes() == first
    assert tables.load(tmp_path / "nothing").empty
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    assert tables.load(tmp_path).empty
    with pytest.raises(RecordError, match=r"results\.csv cannot be written: "):
        tables.save(table, tmp_path / "results.csv")
