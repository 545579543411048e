"""The ledger's page and files: every claim with its verdict, nothing asked of a network, hostile text shown as text."""

from pathlib import Path

import pandas as pd
import planted
import pytest

from optima_lab.errors import RecordError
from optima_lab.report.claims import evidence
from optima_lab.report.claims import page as ledger_page
from optima_lab.report.claims import verdicts as ledger
from optima_lab.report.claims.claims import CLAIMS


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Comparisons of a population in which OPTIMA is ahead of everything."""
    return ledger.details(planted.recorded({"optima": 4.0}))


def test_the_page_says_every_claim_its_verdict_and_how_it_was_judged(rows: pd.DataFrame, tmp_path: Path) -> None:
    table = ledger.summary(rows)
    page = ledger_page.save(table, rows, tmp_path / "claims", "asked: <b>")
    text = page.read_text()
    for claim in CLAIMS:
        assert f'</summary><div id="{claim.name}">' in text, "a link into closed details opens them"
        assert f'href="#{claim.name}"' in text
    assert "✓ holds" in text and "? cannot tell" in text and "asked: &lt;b&gt;" in text
    assert "flipping the signs" in text and "Holm" in text
    assert "default-src 'none'" in text and "<script" not in text
    assert f"{len(CLAIMS)} claims: " in text


def test_the_files_hold_statistic_n_effect_interval_and_verdict(rows: pd.DataFrame, tmp_path: Path) -> None:
    table = ledger.summary(rows)
    ledger_page.save(table, rows, tmp_path, "")
    kept = pd.read_csv(tmp_path / "ledger.csv", keep_default_na=False).set_index("claim")
    assert list(kept.index) == [claim.name for claim in CLAIMS]
    assert {"statistic", "n", "effect", "low", "high", "p_holm", "verdict"} <= set(kept.columns)
    row = kept.loc["beats_lwd"]
    assert (row["verdict"], row["n"], row["seeds"]) == ("holds", 12, "3.0")
    assert row["statistic"].startswith("mean paired difference over tasks and seeds")
    assert len(pd.read_csv(tmp_path / "ledger_details.csv")) == len(rows)
    first = (tmp_path / "ledger.html").read_bytes()
    ledger_page.save(table, rows, tmp_path, "")
    assert (tmp_path / "ledger.html").read_bytes() == first


def test_students_that_were_stopped_are_named_above_the_verdicts(rows: pd.DataFrame) -> None:
    small = planted.runs({})
    lost = (small["strategy"] == "optima") & (small["seed"] == 1) & (small["task"] == "vqa")
    small = small.assign(stopped=lost.map({True: "round 3: kl loss: <NaN>", False: ""}))
    told = evidence.all_stopped(planted.recorded({}, two_stage=small))
    assert told == ["† OPTIMA stopped in round 3: kl loss: <NaN> (VQA, seed 1)"]
    text = ledger_page.html(ledger.summary(rows), rows, "", told)
    assert "last good states: † OPTIMA stopped in round 3: kl loss: &lt;NaN&gt; (VQA, seed 1).</p>" in text
    assert "last good states" not in ledger_page.html(ledger.summary(rows), rows, "")


def test_a_folder_that_cannot_be_written_is_one_line(rows: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "claims").write_text("a file")
    with pytest.raises(RecordError, match=r"ledger\.html cannot be written: "):
        ledger_page.save(ledger.summary(rows), rows, tmp_path / "claims", "")


@pytest.mark.parametrize(
    ("effect", "low", "high", "said"),
    [
        (1.234, -0.5, 3.0, "+1.23 [−0.50, +3.00]"),
        (-12.34, -20.0, -4.0, "−12.3 [−20.0, −4.0]"),
        (0.0123, float("nan"), float("nan"), "+0.012"),
        (float("nan"), float("nan"), float("nan"), "–"),
    ],
)
def test_effects_in_words(effect: float, low: float, high: float, said: str) -> None:
    assert ledger_page.effect({"effect": effect, "low": low, "high": high}) == said


def test_the_figure_draws_each_deciding_difference_with_its_interval(rows: pd.DataFrame) -> None:
    axes = ledger_page.score_differences(rows).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert "OPTIMA − Random" in labels and "OPTIMA − Img+Txt+Multi" in labels
    row = rows[rows["decides"] & (rows["claim"] == "beats_random")].iloc[0]
    place = axes.get_yticks()[labels.index("OPTIMA − Random")]
    drawn = [c for c in axes.containers if c.lines[0].get_ydata()[0] == place]
    assert float(drawn[0].lines[0].get_xdata()[0]) == pytest.approx(row["effect"])
    ends = drawn[0].lines[2][0].get_segments()[0][:, 0]
    assert sorted(ends) == pytest.approx([row["low"], row["high"]])
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("n = 12") == len(labels)
    assert "OPTIMA beats random arms (Fig. 3)" in texts, "every group is headed by its claim"
    assert "no claim about scores" in ledger_page.score_differences(rows[:0]).axes[0].texts[0].get_text()


@pytest.mark.parametrize(("far", "scale"), [(0.0, "linear"), (60.0, "symlog")])
def test_the_axis_says_where_it_is_no_longer_linear(far: float, scale: str, rows: pd.DataFrame) -> None:
    axes = ledger_page.score_differences(rows.assign(high=rows["high"] + far)).axes[0]
    assert axes.get_xscale() == scale
    assert ("logarithmic beyond ±2" in axes.get_xlabel()) == (scale == "symlog")
