"""Verdicts of whole claims: a planted effect holds, its opposite does not, and noise cannot be told."""

import numpy as np
import pandas as pd
import pytest

from optima_lab.bandits.arms import LABELS
from optima_lab.views import claims, evidence, evidence_bandit, ledger
from optima_lab.views.claims import CLAIMS
from optima_lab.views.evidence import Recorded
from optima_lab.views.inference import FAILS, HOLDS, UNKNOWN

from . import planted

FULL = "Img+Txt+Multi"


def verdict(name: str, recorded: Recorded) -> str:
    """The verdict on one claim."""
    chosen = [claim for claim in CLAIMS if claim.name == name]
    return str(ledger.ledger(recorded, chosen)["verdict"].iloc[0])


@pytest.mark.parametrize(
    ("claim", "helps"),
    [
        ("beats_lwd", ["OPTIMA"]),
        ("beats_random", ["OPTIMA"]),
        ("beats_arms", ["OPTIMA"]),
        ("beats_baselines", ["OPTIMA"]),
        ("combined_reward", ["OPTIMA"]),
        ("moving_average", ["OPTIMA"]),
        ("inner_halflife", ["OPTIMA", "decay=0.8", "decay=0.9", "decay=0.95"]),
        ("calibrated_beats_lwd", ["OPTIMA calibrated"]),
        ("calibrated_beats_optima", ["OPTIMA calibrated"]),
        ("calibrated_beats_random", ["OPTIMA calibrated"]),
    ],
)
def test_what_is_planted_in_the_scores_is_found(claim: str, helps: list[str]) -> None:
    assert verdict(claim, planted.recorded(dict.fromkeys(helps, 5.0))) == HOLDS
    assert verdict(claim, planted.recorded(dict.fromkeys(helps, -5.0))) == FAILS
    assert verdict(claim, planted.recorded({})) == UNKNOWN


def test_one_arm_that_is_better_refutes_that_optima_beats_every_arm() -> None:
    assert verdict("beats_arms", planted.recorded({"OPTIMA": 5.0, "Multi": 10.0})) == FAILS
    row = ledger.ledger(planted.recorded({"OPTIMA": 5.0, "Multi": 10.0})).set_index("claim").loc["beats_arms"]
    assert row["comparison"] == "OPTIMA − Multi" and row["effect"] < 0
    assert "5 of 6 comparisons hold, 1 the other way" in row["note"]


def test_modules_differ_where_some_pair_does_on_every_task() -> None:
    assert verdict("modules_differ", planted.recorded({"Multi": 30.0})) == HOLDS
    assert verdict("modules_differ", planted.recorded({})) == UNKNOWN
    on_one = planted.runs({"Multi": 30.0}, tasks=("vqa",))
    rest = planted.runs({}, tasks=("snli_ve", "nlvr2"))
    assert (
        verdict("modules_differ", Recorded(pd.concat([on_one, rest]), planted.rounds(), planted.evals({}))) == UNKNOWN
    )


def test_fewer_modules_can_be_better_on_one_task() -> None:
    assert verdict("fewer_can_be_better", planted.recorded({"Txt": 40.0})) == HOLDS
    assert verdict("fewer_can_be_better", planted.recorded({})) == UNKNOWN
    assert verdict("fewer_can_be_better", planted.recorded({FULL: 60.0})) == FAILS


@pytest.mark.parametrize(("optima", "found"), [(0.5, HOLDS), (1.5, FAILS), (1.0, UNKNOWN)])
def test_losses_on_dev(optima: float, found: str) -> None:
    evals = planted.evals({"OPTIMA": optima, FULL: 1.0})
    assert verdict("lower_losses", planted.recorded({}, evals=evals)) == found


@pytest.mark.parametrize(
    ("favourite", "leads", "played", "trails"),
    [(FULL, HOLDS, HOLDS, HOLDS), ("Txt", FAILS, FAILS, HOLDS), ("Multi", FAILS, FAILS, FAILS)],
)
def test_which_arm_leads(favourite: str, leads: str, played: str, trails: str) -> None:
    recorded = planted.recorded({}, rounds=planted.rounds(favourite))
    assert verdict("all_modules_lead", recorded) == leads
    assert verdict("most_played", recorded) == played
    if favourite == "Multi":
        assert verdict("decoder_trails", recorded) == trails


def test_means_that_tell_which_arm_is_good() -> None:
    """The arm of all modules has the largest mean; it is best, or another one is."""
    right, wrong = (planted.recorded({}, evals=planted.evals({}, better=better)) for better in (FULL, "Txt"))
    assert [verdict(name, right) for name in ("means_tell", "means_rank")] == [HOLDS, HOLDS]
    assert verdict("means_tell", wrong) == FAILS
    assert verdict("means_rank", wrong) != HOLDS


def test_the_smallest_student() -> None:
    low, high = planted.runs({}), planted.runs({"OPTIMA": 6.0, FULL: 6.0})
    assert verdict("two_stages", planted.recorded({}, tiny6=low, two_stage=high)) == HOLDS
    assert verdict("two_stages", planted.recorded({}, tiny6=high, two_stage=low)) == FAILS
    assert verdict("two_stages", planted.recorded({}, tiny6=high)) == UNKNOWN
    ahead = planted.runs({"OPTIMA": 6.0})
    assert verdict("beats_lwd_tiny6", planted.recorded({}, two_stage=ahead)) == HOLDS


@pytest.mark.parametrize(("tiny6", "found"), [(0.16, HOLDS), (0.3, FAILS)])
def test_speedups_are_judged_by_nine_tenths_of_the_papers(tiny6: float, found: str) -> None:
    """1 s by 0.16 s is 6.25, by 0.3 s is 3.3; nine tenths of 6.2 are 5.58."""
    jitter = np.linspace(0.99, 1.01, 20)
    models = {"Large": jitter.tolist(), "Tiny12": (0.28 * jitter[::-1]).tolist(), "Tiny6": (tiny6 * jitter).tolist()}
    recorded = Recorded(planted.runs({}), planted.rounds(), planted.evals({}), speed={"models": models})
    assert verdict("speedups", recorded) == found


def test_one_seed_and_nothing_recorded_cannot_be_told() -> None:
    empty = Recorded(planted.runs({})[:0], planted.rounds()[:0], planted.evals({})[:0])
    for recorded in (empty, planted.recorded({"OPTIMA": 50.0}, seeds=1)):
        table = ledger.ledger(recorded)
        assert list(table["claim"]) == [claim.name for claim in CLAIMS]
        assert set(table["verdict"]) == {UNKNOWN}


def test_a_claim_does_not_hold_by_what_is_left_out() -> None:
    """DIDE is not recorded: that OPTIMA beats KL is not that it beats both."""
    runs = planted.runs({"OPTIMA": 5.0})
    recorded = Recorded(runs[runs["strategy"] != "DIDE"], planted.rounds(), planted.evals({}))
    row = ledger.ledger(recorded).set_index("claim").loc["beats_baselines"]
    assert row["verdict"] == UNKNOWN and "1 of 2 comparisons recorded" in row["note"]


def test_details_hold_every_task_and_correct_only_what_decides() -> None:
    rows = ledger.details(planted.recorded({"OPTIMA": 5.0}))
    ours = rows[rows["claim"] == "beats_arms"]
    assert len(ours) == 6 * (1 + 4) and ours["decides"].sum() == 6
    deciding, each = ours[ours["decides"]], ours[~ours["decides"]]
    assert set(deciding["n"]) == {12} and set(each["n"]) == {3} and set(deciding["seeds"]) == {3}
    assert set(deciding["unit"]) == {"seed sd"} and set(each["unit"]) == {"points"}
    assert (deciding["p_holm"] >= deciding["p"]).all() and each["p_holm"].isna().all()
    smallest = 2 / 2**12
    assert deciding["p"].min() == pytest.approx(smallest) and deciding["p_holm"].min() == pytest.approx(6 * smallest)


def test_scores_are_named_by_settings_and_not_by_what_they_are_called() -> None:
    wide = evidence.scores(planted.runs({"decay=0.5": 100.0}, scatter=0))
    assert (wide["optima decay=0.5"] == 170).all() and (wide["OPTIMA"] == 70).all()
    assert list(evidence.variants(planted.runs({}), "decay").columns) == list(planted.DECAYS)
    assert list(evidence.variants(planted.runs({}), "round_steps").columns) == [4, 8]


def test_differences_by_hand() -> None:
    """Scores 70 ± noise with planted gains: without noise OPTIMA − LWD is the gain, whatever the seed."""
    runs = planted.runs({"OPTIMA": 2.5, FULL: 1.0}, scatter=0)
    found = evidence.beats("OPTIMA", [FULL])(Recorded(runs, planted.rounds(), planted.evals({})))
    assert len(found) == 12 and np.allclose(found["value"].astype(float), 1.5)
    assert (found["scale"] == 0).all(), "no scatter to measure by"
    scale = evidence.scatter(evidence.scores(planted.runs({})))
    assert scale.between(0.3, 1.7).all()


def test_modules_spared_by_hand() -> None:
    """An arm of one module in every round spares two thirds of LWD's."""
    rounds = planted.rounds().assign(arm="Txt")
    found = claims.CLAIMS[[c.name for c in CLAIMS].index("no_extra_cost")].evidence(planted.recorded({}, rounds=rounds))
    assert np.allclose(found["value"].astype(float), 2 / 3)
    assert verdict("no_extra_cost", planted.recorded({}, rounds=rounds)) == HOLDS
    assert set(LABELS) >= {"Txt"}


def test_facts_are_means_over_the_same_seeds() -> None:
    """A second seed that has nothing but the preset's own γ, and is far better, does not make that one the best."""
    runs = planted.runs({"decay=0.5": 2.0, "Txt": 1.0}, 2, ("vqa",), scatter=0)
    short = runs[(runs["seed"] == 0) | (runs["own"].map(len) == 0) & (runs["strategy"] != "Txt")]
    scores = short["score_test"] + 9.0 * short["seed"]
    recorded = Recorded(short.assign(score_test=scores), planted.rounds(seeds=2, tasks=("vqa",)), planted.evals({}, 2))
    facts = evidence_bandit.facts(recorded).loc["VQA"]
    assert facts["best half-life (plays)"] == "1.0"
    assert facts["best fixed arm"] == "Txt (71.0)"
