"""Verdicts of whole claims: a planted effect holds, its opposite does not, and noise cannot be told."""

from dataclasses import replace

import numpy as np
import pandas as pd
import planted
import pytest

from optima_lab.bandits.arms import KEYS
from optima_lab.report.claims import claims, evidence, evidence_bandit
from optima_lab.report.claims import verdicts as ledger
from optima_lab.report.claims.claims import CLAIMS
from optima_lab.report.claims.evidence import Recorded
from optima_lab.report.claims.pooling import TASK_STREAMS
from optima_lab.report.claims.significance import FAILS, HOLDS, NEEDS, UNKNOWN, in_words

FULL = "img+txt+multi"
LWD_ONLY = [claim for claim in CLAIMS if claim.name == "beats_lwd"]


def judged(name: str, recorded: Recorded) -> pd.Series:
    """The ledger's row of one claim."""
    chosen = [claim for claim in CLAIMS if claim.name == name]
    return ledger.ledger(recorded, chosen).iloc[0]


def verdict(name: str, recorded: Recorded) -> str:
    """The verdict on one claim."""
    return str(judged(name, recorded)["verdict"])


@pytest.mark.parametrize(
    ("claim", "helps"),
    [
        ("beats_lwd", ["optima"]),
        ("beats_random", ["optima"]),
        ("beats_arms", ["optima"]),
        ("beats_baselines", ["optima"]),
        ("combined_reward", ["optima"]),
        ("moving_average", ["optima"]),
        ("inner_halflife", ["optima", "decay=0.8", "decay=0.9", "decay=0.95"]),
        ("calibrated_beats_lwd", ["optima_calibrated"]),
        ("calibrated_beats_optima", ["optima_calibrated"]),
        ("calibrated_beats_random", ["optima_calibrated"]),
    ],
)
def test_what_is_planted_in_the_scores_is_found(claim: str, helps: list[str]) -> None:
    assert verdict(claim, planted.recorded(dict.fromkeys(helps, 5.0))) == HOLDS
    assert verdict(claim, planted.recorded(dict.fromkeys(helps, -5.0))) == FAILS
    assert verdict(claim, planted.recorded({})) == UNKNOWN


def test_one_arm_that_is_better_refutes_that_optima_beats_every_arm() -> None:
    assert verdict("beats_arms", planted.recorded({"optima": 5.0, "multi": 10.0})) == FAILS
    row = judged("beats_arms", planted.recorded({"optima": 5.0, "multi": 10.0}))
    assert row["comparison"] == "OPTIMA − Multi" and row["effect"] < 0
    assert "5 of 6 comparisons hold, 1 the other way" in row["note"]


def test_modules_differ_where_some_pair_does_on_every_task() -> None:
    assert verdict("modules_differ", planted.recorded({"multi": 30.0})) == HOLDS
    assert verdict("modules_differ", planted.recorded({})) == NEEDS
    assert verdict("modules_differ", planted.recorded({}, seeds=7)) == UNKNOWN
    on_one = planted.runs({"multi": 30.0}, tasks=("vqa",))
    rest = planted.runs({}, tasks=("snli_ve", "nlvr2"))
    mixed = Recorded(pd.concat([on_one, rest]), planted.rounds(), planted.evals({}))
    assert verdict("modules_differ", mixed) == NEEDS, "two tasks are open, and three seeds cannot close them"


def test_fewer_modules_can_be_better_on_one_task() -> None:
    assert verdict("fewer_can_be_better", planted.recorded({"txt": 40.0})) == HOLDS
    assert verdict("fewer_can_be_better", planted.recorded({})) == NEEDS
    assert verdict("fewer_can_be_better", planted.recorded({FULL: 60.0})) == FAILS


def test_arms_that_are_not_recorded_could_still_be_better() -> None:
    def of_two(effects: dict[str, float]) -> Recorded:
        runs = planted.runs(effects)
        return Recorded(runs[runs["strategy"].isin(["multi", FULL])], planted.rounds(), planted.evals({}))

    assert verdict("fewer_can_be_better", of_two({FULL: 60.0})) == UNKNOWN
    assert verdict("fewer_can_be_better", of_two({"multi": 60.0})) == HOLDS
    assert "1 of 6 comparisons recorded" in judged("fewer_can_be_better", of_two({FULL: 60.0}))["note"]


@pytest.mark.parametrize(("optima", "found"), [(0.5, HOLDS), (1.5, FAILS), (1.0, UNKNOWN)])
def test_losses_on_dev(optima: float, found: str) -> None:
    evals = planted.evals({"optima": optima, FULL: 1.0})
    assert verdict("lower_losses", planted.recorded({}, evals=evals)) == found


@pytest.mark.parametrize(
    ("favourite", "leads", "played", "trails"),
    [(FULL, HOLDS, HOLDS, HOLDS), ("txt", FAILS, FAILS, HOLDS), ("multi", FAILS, FAILS, FAILS)],
)
def test_which_arm_leads(favourite: str, leads: str, played: str, trails: str) -> None:
    recorded = planted.recorded({}, rounds=planted.rounds(favourite))
    assert verdict("all_modules_lead", recorded) == leads
    assert verdict("most_played", recorded) == played
    if favourite == "multi":
        assert verdict("decoder_trails", recorded) == trails


def test_means_that_tell_which_arm_is_good() -> None:
    """The arm of all modules has the largest mean; it is best, or another one is."""
    right, wrong = (planted.recorded({}, evals=planted.evals({}, better=better)) for better in (FULL, "txt"))
    assert [verdict(name, right) for name in ("means_tell", "means_rank")] == [HOLDS, HOLDS]
    assert verdict("means_tell", wrong) == FAILS
    assert verdict("means_rank", wrong) != HOLDS


def test_the_smallest_student() -> None:
    low, high = planted.runs({}), planted.runs({"optima": 6.0, FULL: 6.0})
    assert verdict("two_stages", planted.recorded({}, tiny6=low, two_stage=high)) == HOLDS
    assert verdict("two_stages", planted.recorded({}, tiny6=high, two_stage=low)) == FAILS
    assert verdict("two_stages", planted.recorded({}, tiny6=high)) == UNKNOWN
    ahead = planted.runs({"optima": 6.0})
    assert verdict("beats_lwd_tiny6", planted.recorded({}, two_stage=ahead)) == HOLDS


@pytest.mark.parametrize(("tiny6", "found"), [(0.16, HOLDS), (0.3, FAILS)])
def test_speedups_are_judged_by_nine_tenths_of_the_papers(tiny6: float, found: str) -> None:
    """1 s by 0.16 s is 6.25, by 0.3 s is 3.3; nine tenths of 6.2 are 5.58."""
    jitter = np.linspace(0.99, 1.01, 20)
    models = {"Large": jitter.tolist(), "Tiny12": (0.28 * jitter[::-1]).tolist(), "Tiny6": (tiny6 * jitter).tolist()}
    recorded = Recorded(planted.runs({}), planted.rounds(), planted.evals({}), speed={"models": models})
    assert verdict("speedups", recorded) == found


def test_nothing_recorded_cannot_be_told_and_one_seed_needs_others() -> None:
    empty = Recorded(planted.runs({})[:0], planted.rounds()[:0], planted.evals({})[:0])
    table = ledger.ledger(empty)
    assert list(table["claim"]) == [claim.name for claim in CLAIMS]
    assert set(table["verdict"]) == {UNKNOWN} and table["note"].str.startswith("not recorded").all()
    one = ledger.ledger(planted.recorded({"optima": 50.0}, seeds=1)).set_index("claim")
    assert set(one["verdict"]) == {UNKNOWN, NEEDS}
    assert one.loc["beats_lwd", "verdict"] == NEEDS and "VQA (one seed has no scatter)" in one.loc["beats_lwd", "note"]


def test_a_claim_does_not_hold_by_what_is_left_out() -> None:
    """DIDE is not recorded: that OPTIMA beats KL is not that it beats both."""
    runs = planted.runs({"optima": 5.0})
    recorded = Recorded(runs[runs["strategy"] != "dide"], planted.rounds(), planted.evals({}))
    row = judged("beats_baselines", recorded)
    assert row["verdict"] == UNKNOWN and "1 of 2 comparisons recorded" in row["note"]


def test_details_hold_every_task_and_correct_only_what_decides() -> None:
    rows = ledger.details(planted.recorded({"optima": 5.0}))
    ours = rows[rows["claim"] == "beats_arms"]
    assert len(ours) == 6 * (1 + 4) and ours["decides"].sum() == 6
    deciding, each = ours[ours["decides"]], ours[~ours["decides"]]
    assert set(deciding["n"]) == {12} and set(each["n"]) == {3} and set(deciding["seeds"]) == {3}
    assert set(deciding["unit"]) == {"seed sd"} and set(each["unit"]) == {"points"}
    assert (deciding["p_holm"] >= deciding["p"]).all() and (each["p_holm"] >= each["p"]).all()
    smallest = 2 / 2**12
    assert deciding["p"].min() == pytest.approx(smallest) and deciding["p_holm"].min() == pytest.approx(6 * smallest)


def test_scores_are_named_by_settings_and_not_by_what_they_are_called() -> None:
    wide = evidence.scores(planted.runs({"decay=0.5": 100.0}, scatter=0))
    assert (wide["optima:decay=0.5"] == 170).all() and (wide["optima"] == 70).all()
    assert list(evidence.variants(planted.runs({}), "decay").columns) == list(planted.DECAYS)
    assert list(evidence.variants(planted.runs({}), "round_steps").columns) == [4, 8]


def test_differences_by_hand() -> None:
    """Scores 70 ± noise with planted gains: without noise OPTIMA − LWD is the gain, whatever the seed."""
    runs = planted.runs({"optima": 2.5, FULL: 1.0}, scatter=0)
    found = evidence.beats("optima", [FULL])(Recorded(runs, planted.rounds(), planted.evals({})))
    assert len(found) == 12 and np.allclose(found["value"].astype(float), 1.5)
    assert (found["scale"] == 0).all(), "no scatter to measure by"


def test_modules_spared_by_hand() -> None:
    """An arm of one module in every round spares two thirds of LWD's."""
    rounds = planted.rounds().assign(arm="txt")
    found = claims.CLAIMS[[c.name for c in CLAIMS].index("no_extra_cost")].evidence(planted.recorded({}, rounds=rounds))
    assert np.allclose(found["value"].astype(float), 2 / 3)
    assert verdict("no_extra_cost", planted.recorded({}, rounds=rounds)) == HOLDS
    assert set(KEYS) >= {"txt"}


def test_facts_are_means_over_the_same_seeds() -> None:
    """A second seed that has nothing but the preset's own γ, and is far better, does not make that one the best."""
    runs = planted.runs({"decay=0.5": 2.0, "txt": 1.0}, 2, ("vqa",), scatter=0)
    short = runs[(runs["seed"] == 0) | (runs["own"].map(len) == 0) & (runs["strategy"] != "txt")]
    scores = short["score_test"] + 9.0 * short["seed"]
    recorded = Recorded(short.assign(score_test=scores), planted.rounds(seeds=2, tasks=("vqa",)), planted.evals({}, 2))
    facts = evidence_bandit.facts(recorded).loc["VQA"]
    assert facts["best half-life (plays)"] == "1.0"
    assert facts["best fixed arm"] == "Txt (71.0)"


def still(where: str, gain: float, seeds: int) -> Recorded:
    """OPTIMA six deviations ahead of LWD; on the task `where` `gain` points, and there no score scatters at all."""
    others = tuple(task for task in ("vqa", "snli_ve", "nlvr2", "coco") if task != where)
    frozen = planted.runs({"optima": gain}, seeds, (where,), scatter=0)
    return planted.recorded({}, seeds, runs=pd.concat([planted.runs({"optima": 6.0}, seeds, others), frozen]))


@pytest.mark.parametrize("where", ["vqa", "nlvr2", "coco"])
def test_a_task_without_scatter_is_not_dropped_in_silence(where: str) -> None:
    """Ten points behind in every seed of one task: two comparisons, the pooled one and that task's, p = 2/2^n each.

    Five seeds allow 0.0625, seven 0.0156 · 2 = 0.031: then the claim does not hold.
    """
    row = judged("beats_lwd", still(where, -10.0, 5))
    assert (row["verdict"], row["needs"], row["task"]) == (NEEDS, 7, where)
    assert "judged alone, as no score scatters there" in " ".join(
        ledger.details(still(where, -10.0, 5), LWD_ONLY)["remark"]
    )
    assert verdict("beats_lwd", still(where, -10.0, 7)) == FAILS
    assert verdict("beats_lwd", still(where, 10.0, 7)) == HOLDS


def test_a_task_in_which_all_do_equally_well_counts_as_no_difference() -> None:
    rows = ledger.details(still("nlvr2", 0.0, 3), LWD_ONLY).set_index(["claim", "task"]).loc["beats_lwd"]
    assert rows.loc["all", "n"] == 12 and rows.loc["nlvr2", "effect"] == 0 == rows.loc["nlvr2", "low"]
    assert verdict("beats_lwd", still("nlvr2", 0.0, 3)) == HOLDS


def old(recorded: Recorded) -> Recorded:
    """The same as a version recorded it whose random streams did not depend on the task."""
    return replace(recorded, runs=recorded.runs.drop(columns="record_version"))


def test_records_that_share_streams_across_tasks_are_pooled_by_seeds() -> None:
    new, before = planted.recorded({"optima": 5.0}, 5), old(planted.recorded({"optima": 5.0}, 5))
    assert new.independent and not before.independent
    assert not replace(new, runs=new.runs.assign(record_version=TASK_STREAMS - 1)).independent
    by_pairs, by_seeds = (judged("most_played", each) for each in (new, before))
    assert (by_pairs["n"], by_seeds["n"], by_seeds["seeds"]) == (20, 5, 5)
    assert "signs flipped" in by_pairs["statistic"] and "each seed's average" in by_seeds["statistic"]
    assert verdict("beats_lwd", before) == HOLDS == verdict("beats_lwd", new)


def test_claims_that_so_few_seeds_cannot_decide_say_how_many_can() -> None:
    """24 comparisons by t at 5 seeds take |t| ≥ 7.1, 3.2 deviations of the differences; two deviations take 7 seeds."""
    row = judged("fewer_can_be_better", planted.recorded({}, 5))
    assert (row["verdict"], row["needs"]) == (NEEDS, 7)
    assert "5 seeds decide nothing below 3.2 standard deviations" in row["note"]
    assert verdict("fewer_can_be_better", planted.recorded({}, 7)) == UNKNOWN
    one_task = planted.recorded({}, 3, runs=planted.runs({}, 3, ("vqa",)))
    assert judged("beats_lwd", one_task)["needs"] == 4


def test_repetitions_of_a_timing_are_no_seeds() -> None:
    jitter = [0.99, 1.01, 1.0]
    models = {"Large": [1.0, 1.0, 1.0], "Tiny12": [0.3 * j for j in jitter], "Tiny6": [0.18 * j for j in jitter]}
    row = judged("speedups", planted.recorded({}, speed={"models": models}))
    assert (row["n"], row["seeds"], row["replicate"]) == (3, 0, "repetition")
    assert in_words(row["verdict"], row["needs"], row["replicate"]) in (HOLDS, FAILS, "needs 5 repetitions")


def test_tasks_that_disagree_are_named_beside_the_pooled_verdict() -> None:
    parts = [planted.runs({"optima": 20.0 if task != "coco" else -20.0}, 6, (task,)) for task in planted.TASKS]
    row = judged("beats_lwd", planted.recorded({}, 6, runs=pd.concat(parts)))
    assert row["by_task"] == "VQA holds, SNLI-VE holds, NLVR2 holds, COCO Caption does not hold"
    assert "tasks disagree" in row["note"] and row["verdict"] == HOLDS, "the mean over tasks is above zero"
    same = judged("beats_lwd", planted.recorded({"optima": 20.0}, 6))
    assert "tasks disagree" not in same["note"]
