"""The paper's claims, and what each is judged by.

A claim is a sentence of arXiv 2310.04550 (or one of ours about `optima_calibrated`) and the evidence for it,
differences that are above zero where it is right. `optima_lab.report.claims.verdicts` judges them.
"""

from dataclasses import dataclass
from typing import Literal

from optima_lab.bandits.arms import KEYS
from optima_lab.display import name_of
from optima_lab.report.claims import evidence as ev
from optima_lab.report.claims import evidence_bandit as bandit
from optima_lab.report.claims.evidence import Evidence
from optima_lab.report.statistics import FULL

SCORE = "seed sd"  # points of score over the typical standard deviation over seeds of the task
OTHERS = [arm for arm in KEYS if arm != FULL]


@dataclass(frozen=True)
class Claim:
    """One sentence and what decides it.

    `comparisons` is how many are made (in each task, where `by_task`); `needs` says whether all of them must hold, any
    one, or any one in each task; `either`: the claim is that there is a difference, whatever its sign.
    """

    name: str
    source: str
    text: str
    evidence: Evidence
    comparisons: int = 1
    unit: str = SCORE
    raw_unit: str = "points"  # of one task's differences, before they are pooled
    needs: Literal["all", "any", "any in each task"] = "all"
    by_task: bool = False
    either: bool = False
    note: str = ""
    replicate: Literal["seed", "repetition"] = "seed"  # what `evidence` has several of: what is inferred is about more


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "modules_differ",
        "Fig. 1",
        "Students that are distilled in one module differ by module, on every task",
        ev.modules_differ,
        3,
        "points",
        needs="any in each task",
        by_task=True,
        either=True,
    ),
    Claim(
        "fewer_can_be_better",
        "Fig. 3",
        "More modules are not always better: on some task an arm of fewer modules beats the arm of all (LWD)",
        ev.fewer_is_better,
        6,
        "points",
        needs="any",
        by_task=True,
    ),
    Claim("beats_lwd", "Table 1, Fig. 3", "OPTIMA beats layerwise distillation (LWD)", ev.beats("optima", [FULL])),
    Claim("beats_arms", "Fig. 3", "OPTIMA beats every other fixed arm", ev.beats("optima", OTHERS), 6),
    Claim("beats_random", "Fig. 3", "OPTIMA beats random arms", ev.beats("optima", ["random"])),
    Claim(
        "beats_baselines",
        "Table 1",
        "OPTIMA beats the losses of MiniVLM (KL only) and of DIDE (cross-modal attention)",
        ev.beats("optima", ["kl", "dide"]),
        2,
        note="here all of them distil on the task; the paper quotes models that were distilled in pre-training",
    ),
    Claim("beats_lwd_tiny6", "Table 1", "OPTIMA beats LWD for the smallest student, too", ev.small_student),
    Claim(
        "lower_losses",
        "Fig. 4",
        "At the end OPTIMA's prediction loss and KL on the dev split are below LWD's",
        ev.lower_losses,
        2,
        raw_unit="nats",
    ),
    Claim(
        "means_evolve",
        "Fig. 5 left",
        "The means of all arms' reward distributions change through training",
        bandit.means_evolve,
        7,
        "of the average mean",
        either=True,
        note="from the end of the first phase to the last round",
    ),
    Claim(
        "all_modules_lead",
        "Fig. 5 left",
        f"The mean of {name_of(FULL)} is above every other arm's",
        bandit.full_leads,
        6,
        "of the average mean",
        note="averaged over the rounds after the first phase",
    ),
    Claim(
        "decoder_trails",
        "Fig. 5 left",
        "The means of Multi and of Txt+Multi stay below the other arms'",
        bandit.decoder_trails,
        2,
        "of the other arms' average",
    ),
    Claim(
        "means_tell",
        "Fig. 5 right",
        "Through training, arms' means correlate with the scores of the arms",
        bandit.means_tell,
        unit="r",
        note="rewards shrink and scores grow for every arm while training goes on, which pulls r down",
    ),
    Claim(
        "means_rank",
        "Fig. 5 right",
        "At one time, arms with larger means are arms with better scores",
        bandit.means_rank,
        unit="ρ",
        note="the same figure, free of what training does to all arms",
    ),
    Claim(
        "most_played",
        "Fig. 6",
        f"{name_of(FULL)} is played more often than every other arm",
        bandit.most_played,
        6,
        "points of share",
    ),
    Claim(
        "flatter_on_captions",
        "Fig. 6",
        "Play is spread more evenly on COCO than on SNLI-VE and NLVR2",
        bandit.flatter_on_captions,
        2,
        "probability of a repeated arm",
        note="one difference a seed: COCO is in both comparisons",
    ),
    Claim(
        "combined_reward",
        "Fig. 7",
        "Over tasks the reward of all three losses does better than KL only, and than hidden and attention only",
        ev.combined_reward,
        2,
    ),
    Claim(
        "inner_halflife",
        "Fig. 8",
        "Half-lives between do better than the shortest and than the longest",
        ev.inner_halflife,
        2,
        note="half-lives share their random draws: where they play the same arms they are one run (05_halflife)",
    ),
    Claim(
        "moving_average",
        "Section 3",
        "The moving average does better than the simple mean of all rewards",
        ev.beats("optima", ["optima_mean"]),
    ),
    Claim(
        "no_extra_cost",
        "Section 6",
        "OPTIMA matches no more modules than LWD",
        ev.modules_spared,
        unit="of LWD's modules",
        note="counted in the records, true by construction; the reward's probe (one forward a round) and seconds are "
        "not in this number",
    ),
    Claim("two_stages", "A.4", "The smallest student gains from a teacher of middle size", ev.two_stages, 2),
    Claim(
        "speedups",
        "Table 1",
        "Tiny12 and Tiny6 answer at least nine tenths of 3.4 and 6.2 times as fast as Large",
        ev.speedups,
        2,
        "log of the ratio to that",
        note="at the paper's shapes on the device named in 06_tables; repetitions are interleaved",
        replicate="repetition",
    ),
    Claim(
        "calibrated_beats_lwd",
        "ours",
        "OPTIMA calibrated beats layerwise distillation (LWD)",
        ev.beats("optima_calibrated", [FULL]),
    ),
    Claim(
        "calibrated_beats_random",
        "ours",
        "OPTIMA calibrated beats random arms",
        ev.beats("optima_calibrated", ["random"]),
    ),
    Claim(
        "calibrated_beats_optima",
        "ours",
        "OPTIMA calibrated beats the paper's OPTIMA",
        ev.beats("optima_calibrated", ["optima"]),
    ),
)
