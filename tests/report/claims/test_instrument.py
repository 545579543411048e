"""The instrument's five properties on hand-made records."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from optima_lab.bandits.arms import KEYS
from optima_lab.config.parameters import override
from optima_lab.presets import preset
from optima_lab.report.claims.instrument import Facts, Finding, _same, findings, half_width, seeds_needed, settled

VQA = Facts(teacher=90.0, text_only=36.0, majority=33.0)
COCO = Facts(teacher=320.0, second_reference=400.0)
SCORES = {"none": 80.0, "img+txt+multi": 85.0, "optima": 85.5, "img": 81.0, "txt": 80.5, "multi": 84.0}
SCORES |= {"img+txt": 82.0, "img+multi": 84.5, "txt+multi": 84.0}


def runs(task: str = "vqa", seeds: int = 3, spread: float = 0.1, lwd: float = 85.0, none: float = 80.0) -> pd.DataFrame:
    """Scores of `SCORES`; OPTIMA's differ by -spread, 0, +spread, … over the seeds."""
    rows = [
        {"task": task, "seed": seed, "strategy": name, "done": True}
        | {"score_test": score + (spread * (seed - (seeds - 1) / 2) if name == "optima" else 0.0)}
        for seed in range(seeds)
        for name, score in {**SCORES, "img+txt+multi": lwd, "none": none}.items()
    ]
    return pd.DataFrame(rows)


def evals(task: str = "vqa", last: float = 85.2, before: float = 85.0, count: int = 20) -> pd.DataFrame:
    """Dev scores every 100 steps: the last tenth at `last`, all before at `before`."""
    steps = 100 * np.arange(1, count + 1)
    values = np.where(steps > 0.9 * steps[-1], last, before)
    known = {"task": task, "split": "dev", "metric": "score"}
    return pd.concat(
        pd.DataFrame({"step": steps, "value": values, "strategy": name, **known}) for name in ("none", "img+txt+multi")
    )


def find(letter: str, found: list[Finding], task: str = "vqa") -> Finding:
    return next(f for f in found if f.letter == letter and f.task == task)


def test_a_teacher_must_be_good_and_far_above_what_needs_no_picture() -> None:
    def holds(facts: Facts) -> bool | None:
        return find("a", findings(runs(), evals(), {"vqa": facts})).holds

    assert holds(VQA)
    assert not holds(replace(VQA, teacher=84.9))
    assert not holds(replace(VQA, text_only=70.1))
    assert not holds(replace(VQA, majority=70.1))


def test_captions_are_compared_with_a_second_reference() -> None:
    assert find("a", findings(runs("coco"), evals("coco"), {"coco": COCO}), "coco").holds  # 320 / 400 = 0.8
    worse = replace(COCO, teacher=319.0)
    assert not find("a", findings(runs("coco"), evals("coco"), {"coco": worse}), "coco").holds


@pytest.mark.parametrize(("last", "holds"), [(85.4, True), (84.6, True), (85.6, False), (84.4, False)])
def test_b_the_last_tenth_may_move_by_less_than_half_a_point(last: float, holds: bool) -> None:
    assert find("b", findings(runs(), evals(last=last), {"vqa": VQA})).holds is holds


def test_tenths_are_of_the_steps() -> None:
    steps, values = range(1, 21), [0.0] * 16 + [1.0, 2.0, 4.0, 6.0]
    assert settled(steps, values) == (4 + 6) / 2 - (1 + 2) / 2
    assert np.isnan(settled(steps[::2], values[::2]))  # ten evaluations: one a tenth


def test_too_few_evaluations_are_no_convergence() -> None:
    assert find("b", findings(runs(), evals(count=10), {"vqa": VQA})).holds is False


@pytest.mark.parametrize(
    ("lwd", "none", "holds"), [(85, 80, True), (88.1, 80, False), (79.9, 70, False), (85, 83.1, False), (80, 78, True)]
)
def test_c_the_gap_stays_and_teaching_matters(lwd: float, none: float, holds: bool) -> None:
    found = findings(runs(lwd=lwd, none=none), evals(), {"vqa": VQA})
    assert find("c", found).holds is holds


def test_half_widths_by_hand() -> None:
    # deviation of 1, 2, 3 is 1; t(0.975, 2) = 4.302653
    assert half_width([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert np.isnan(half_width([1.0]))
    # with deviation 1: t(0.975, 10) / √11 = 0.6718, t(0.975, 9) / √10 = 0.7154
    assert seeds_needed([1.0, 2.0, 3.0], 0.7) == 11


def test_d_is_of_paired_differences() -> None:
    found = findings(runs(seeds=3, spread=0.1), evals(), {"vqa": VQA})
    assert find("d", found).holds  # ± 0.248
    assert "± 0.25 from 3 seeds" in find("d", found).text
    assert find("d", findings(runs(seeds=3, spread=0.3), evals(), {"vqa": VQA})).holds is False  # ± 0.745
    assert find("d", findings(runs(seeds=1), evals(), {"vqa": VQA})).holds is None


def test_captions_count_in_per_cent_of_the_teacher() -> None:
    three = runs("coco", spread=1.0)
    three["score_test"] *= 4.0  # None 320, LWD 340 of a teacher of 400; OPTIMA's spread 4
    found = findings(three, evals("coco"), {"coco": Facts(teacher=400.0, second_reference=420.0)})
    assert "15.0 below the teacher" in find("c", found, "coco").text
    assert "± 2.48 from 3 seeds" in find("d", found, "coco").text  # 4.3027 / √3 of 4 / 400


def test_e_wants_room_on_two_tasks() -> None:
    both = pd.concat([runs("vqa"), runs("nlvr2")])  # arms from 80.5 to 85: 4.5 points, 18 half-widths of 0.248
    marks = pd.concat([evals("vqa"), evals("nlvr2")])
    assert find("e", findings(both, marks, {"vqa": VQA, "nlvr2": VQA}), "all").holds
    narrow = pd.concat([runs("vqa"), runs("nlvr2", spread=0.7)])  # ± 1.739: 2.6 half-widths
    assert find("e", findings(narrow, marks, {"vqa": VQA, "nlvr2": VQA}), "nlvr2").holds is False
    assert find("e", findings(narrow, marks, {"vqa": VQA, "nlvr2": VQA}), "all").holds is False
    alone = find("e", findings(both[both["task"] == "vqa"], marks, {"vqa": VQA}), "all")
    assert alone.holds is None and "on 1 of 1 tasks" in alone.text, "another task was not asked"


def test_what_is_missing_is_said() -> None:
    few = runs().query("strategy in ['none', 'img']")
    found = findings(few, evals(), {"vqa": VQA})
    assert [find(letter, found).holds for letter in "cde"] == [None, None, None]
    assert "Img+Txt+Multi" in find("c", found).text
    assert "Txt, Multi" in find("e", found).text
    unfinished = runs().assign(done=False)
    assert find("c", findings(unfinished, evals(), {"vqa": VQA})).holds is None
    assert set(KEYS) <= set(SCORES)


def test_runs_of_one_configuration_count_however_they_were_computed() -> None:
    wanted = preset("vqa", "smoke")
    for same in ({"seed": 3}, {"device": "cpu"}, {"eval_batch": 7, "accumulate": 2}, {"grad_checkpointing": True}):
        assert _same(override(wanted, same), wanted), same
    for other in ({"lr": 0.5}, {"preset": "laptop"}, {"data": "elsewhere"}, {"noise_module": "image"}):
        assert not _same(override(wanted, other), wanted), other
