"""Statistics apart from drawing, with numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from optima_lab.bandits.arms import KEYS
from optima_lab.errors import ConfigError
from optima_lab.report import statistics
from optima_lab.report.correlation import mean_against_score
from optima_lab.report.statistics import frequency, paper_score


def evals(rows: list[tuple]) -> pd.DataFrame:
    """Rows of (strategy, seed, step, value) as test scores."""
    frame = pd.DataFrame(rows, columns=["strategy", "seed", "step", "value"])
    return frame.assign(
        task="vqa", experiment="e" + frame["seed"].astype(str), split="test", metric="score", round=frame["step"]
    )


def test_final_scores_take_the_last_step_of_finished_runs() -> None:
    frame = evals([("img", 0, 5, 1.0), ("img", 0, 10, 2.0), ("txt", 0, 5, 9.0), ("multi", 0, 10, np.nan)])
    scores = statistics.final_scores(frame)
    assert scores[["strategy", "step", "value"]].values.tolist() == [["img", 10, 2.0]]
    assert statistics.missing(frame, scores, ["img", "txt", "multi", "optima"]) == [
        "not recorded: OPTIMA",
        "not finished, not drawn: Multi (seed 0, step 10), Txt (seed 0, step 5)",
    ]


def test_a_finished_run_without_a_score_is_told_from_one_that_did_not_finish() -> None:
    """COCO with one test picture: CIDEr is not defined, the losses are."""
    frame = evals([("img", 0, 10, 2.0), ("txt", 0, 10, 1.5), ("multi", 0, 5, 1.0), ("optima", 0, 10, 7.0)])
    frame.loc[frame["strategy"] != "optima", "metric"] = "kl"
    frame.loc[frame["strategy"] == "multi", "split"] = "dev"
    assert statistics.unscored(frame) == {("img", "e0"), ("txt", "e0")}
    assert statistics.missing(frame, statistics.final_scores(frame), ["img", "txt", "multi", "optima"]) == [
        "not finished, not drawn: Multi (seed 0, step 5)",
        "finished, but its test split has no score (CIDEr needs two pictures), not drawn: Img (seed 0), Txt (seed 0)",
    ]
    assert statistics.unscored(frame[:0]) == statistics.unscored(frame.drop(columns="split")) == set()


def test_over_seeds_by_hand() -> None:
    frame = evals([("img", 0, 9, 1.0), ("img", 1, 9, 3.0), ("img", 2, 9, 5.0), ("none", 0, 9, 4.0)])
    table = statistics.over_seeds(statistics.final_scores(frame))
    assert list(table.index) == ["none", "img"]
    assert table.loc["img"].tolist() == [3.0, 2.0, 3.0]
    assert np.isnan(table.loc["none", "sd"])


def test_differences_pair_seeds() -> None:
    full = "img+txt+multi"
    frame = evals([(full, 0, 9, 10.0), (full, 1, 9, 20.0), ("img", 0, 9, 9.0), ("img", 1, 9, 22.0), ("img", 2, 9, 5.0)])
    paired = statistics.differences(statistics.final_scores(frame))
    assert paired[["seed", "value"]].values.tolist() == [[0, -1.0], [1, 2.0]]


def test_a_frame_of_two_tasks_is_refused() -> None:
    frame = pd.concat([evals([("img", 0, 1, 1.0)]), evals([("img", 0, 1, 1.0)]).assign(task="coco")])
    with pytest.raises(ConfigError, match="coco, vqa"):
        statistics.task_of(frame)


def test_frequency_by_hand() -> None:
    arms = ["img"] * 7 + ["txt"] * 7 + ["img", "txt"] * 3 + ["multi"]
    frame = pd.DataFrame({"strategy": "optima", "round": range(1, 22), "arm": arms})
    share, edges = frequency(frame, "optima", windows=20)
    assert edges.tolist() == [0.5, 7.5, 14.5, 21.5]  # no window is shorter than K = 7 rounds
    assert share[0].tolist() == [1, 0, 3 / 7]
    assert share[1].tolist() == [0, 1, 3 / 7]
    assert np.allclose(share.sum(axis=0), 1)
    assert frequency(frame[:1], "optima")[0].tolist() == [[1], [0], [0], [0], [0], [0], [0]]
    assert frequency(frame[:0], "optima")[0].shape == (7, 0)


def test_means_are_nan_before_the_first_play(one) -> None:
    table = statistics.means(one.rounds, "optima")
    first = table[table["round"] == 1].set_index("arm")["mean"]
    assert first.notna().sum() == 1
    assert table[~table["initial"]]["mean"].notna().all()
    assert statistics.initial_rounds(one.rounds, "optima") == 14
    assert statistics.initial_rounds(one.rounds, "random") == 0


def correlated(slope: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rounds 1..4 of OPTIMA, whose means are 0.01·k + 0.1·round, and scores of arm k: slope·mean + noise of ±1."""
    rounds, scores = [], []
    for number in range(1, 5):
        mean = 0.01 * np.arange(7) + 0.1 * number
        rounds.append(
            {"task": "vqa", "experiment": "e0", "seed": 0, "strategy": "optima", "round": number, "step": 10 * number}
            | {"initial": number == 1, "arm": "img", "mean_after": mean, "plays_after": np.ones(7)}
        )
        noise = np.array([1, -1, 0, 1, -1, 0, 0])
        scores += [(arm, 0, 10 * number, slope * m + e) for arm, m, e in zip(KEYS, mean, noise, strict=True)]
    return pd.DataFrame(rounds), evals(scores)


@pytest.mark.parametrize("slope", [50.0, -50.0])
def test_correlation_of_means_and_scores(slope: float) -> None:
    result = mean_against_score(*correlated(slope))
    assert result.n == 3 * 7  # the initial round is left out
    assert result.split == "test"
    r = np.corrcoef(result.pairs["mean"], result.pairs["score"])[0, 1]
    half = 1.959964 / np.sqrt(21 - 3)  # Fisher's transformation
    assert result.pearson.value == pytest.approx(r)
    assert result.pearson.low == pytest.approx(np.tanh(np.arctanh(r) - half), abs=1e-6)
    assert result.pearson.high == pytest.approx(np.tanh(np.arctanh(r) + half), abs=1e-6)
    assert np.sign(result.spearman.value) == np.sign(slope)
    assert result.spearman.low < result.spearman.value < result.spearman.high


def one_checkpoint(scores: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A round after the initial plays with means of 0.01, 0.02 … 0.07, and the scores of the arms at its step."""
    row = {"task": "vqa", "experiment": "e0", "seed": 0, "strategy": "optima", "round": 9, "step": 90, "initial": False}
    rounds = pd.DataFrame([row | {"arm": "img", "mean_after": 0.01 * np.arange(1, 8), "plays_after": np.ones(7)}])
    rows = [(arm, 0, step, score) for step in (80, 90) for arm, score in zip(KEYS, scores, strict=True)]
    return rounds, evals(rows)


def test_spearmans_interval_by_hand() -> None:
    """Two pairs of neighbours swapped among 7: Σd² = 4, ρ = 1 − 6·4/(7·48) = 13/14, artanh ρ = ln(27)/2 = 1.647918.

    Bonett and Wright: variance (1 + ρ²/2)/(7 − 3) = 0.357781, half width 1.959964 · 0.598148 = 1.172348: the interval
    reaches from tanh(0.475570) to tanh(2.820266). Pearson's 1/(n − 3) would give 0.5836 below.
    """
    result = mean_against_score(*one_checkpoint([2.0, 1.0, 4.0, 3.0, 5.0, 6.0, 7.0]))
    assert result.spearman.value == pytest.approx(13 / 14) == result.within
    assert (result.spearman.low, result.spearman.high) == pytest.approx((0.442689, 0.992923), abs=2e-6)


def test_correlation_is_not_defined_for_constants() -> None:
    rounds, scores = correlated(0.0)
    result = mean_against_score(rounds, scores.assign(value=50.0))
    assert np.isnan([result.pearson.value, result.spearman.value, result.within]).all()


@pytest.mark.parametrize(
    ("task", "strategy", "model", "quantity", "value"),
    [
        ("nlvr2", "img+txt+multi", "CoCa-Tiny12", "score", 80.4),
        ("nlvr2", "img+multi", "CoCa-Tiny12", "score", 81.1),
        ("coco", "optima", "CoCa-Tiny12", "score", 121.2),
        ("coco", "optima", "CoCa-Tiny6", "sd", 0.15),
        ("vqa", "teacher", "CoCa-Tiny12", "score", 75.3),
        ("vqa", "txt", "CoCa-Tiny12", "score", np.nan),
    ],
)
def test_reported_numbers(task: str, strategy: str, model: str, quantity: str, value: float) -> None:
    assert paper_score(task, strategy, model, quantity) == pytest.approx(value, nan_ok=True)


def test_reported_table_agrees_with_the_text() -> None:
    """Section 4.5 gives OPTIMA's gains over layerwise distillation that Table 1 implies."""
    table = statistics.reported()
    appendix = {"Section A.3", "Section A.4"}  # the parameters with embeddings
    assert set(table["source"]) == {"Table 1", "Table 4", "Section 5.1 on Fig. 3", "Section 4.5", *appendix}
    for _, row in table[table["quantity"] == "gain_over_lwd"].iterrows():
        gain = paper_score(row["task"], "optima") - paper_score(row["task"], "img+txt+multi")
        assert gain == pytest.approx(row["value"], abs=0.051)
