"""One optimizer step at the paper's preset: the same code at a size for tests, and (slow) the preset itself."""

import sys

import numpy as np
import pytest

from benchmarks import paper_step
from benchmarks.paper_step import LIMIT_GIB, NEEDED_GIB, SEED, available_gib, in_a_process, one_step, paper, random_data
from optima_lab.bandits.arms import ARMS, label
from optima_lab.bandits.policies import make_policy
from optima_lab.config import TASKS
from optima_lab.config.parameters import flat
from optima_lab.distill.seeds import stream_seed
from optima_lab.distill.strategies import parse_strategy
from optima_lab.presets import preset

SMALL = {"decoder": "paper", "image_queries": 4, "optimizer": "adafactor", "vocabulary": 200}
ONE_STEP = {"seed": SEED, "batch_size": 2, "probe_size": 2, "steps": 1, "round_steps": 1}


@pytest.mark.parametrize("task", TASKS)
def test_one_step_moves_the_student_and_is_rewarded(task: str) -> None:
    found = one_step(preset(task, "smoke", initial_plays=10, **ONE_STEP, **SMALL))
    moved, of = (int(part) for part in found["tensors moved"].split(" of "))
    assert 0.7 * of < moved < of  # what no loss of the task reaches (contrastive pooler, temperature) stays
    assert found["arm"] == "Img+Txt+Multi"  # every module takes part
    assert all(found[name] > 0 for name in ("train", "hidden", "attention", "probe KL"))
    assert 0 <= found["reward"] < 1


def test_what_is_not_finite_is_named() -> None:
    with pytest.raises(RuntimeError, match=r"not finite: probe_train, .*the losses on the probe"):
        one_step(
            preset("snli_ve", "smoke", initial_plays=10, **ONE_STEP, **SMALL, lr=0.999999, clip=0.0, weight_decay=1e39)
        )


@pytest.mark.parametrize("task", TASKS)
def test_the_papers_preset_is_left_as_it_is(task: str) -> None:
    before = flat(preset(task, "paper"))
    changed = {name for name, value in flat(paper(task, 2)).items() if value != before[name]}
    assert changed == {*ONE_STEP}
    data = random_data(preset(task, "smoke", **SMALL), 3)
    assert data.train.images.shape == (3 * TASKS[task].pictures, 24, 24, 3)
    assert len(data.classes) == {"vqa": 3129, "snli_ve": 3, "nlvr2": 2, "coco": 0}[task]


def test_the_first_arm_of_the_papers_step_is_of_all_modules() -> None:
    config = paper("vqa", 2)
    strategy, generator = parse_strategy("optima", config), np.random.default_rng(stream_seed(config, "policy"))
    policy = make_policy(strategy.policy, **strategy.parameters)
    chosen = policy.select(policy.init(len(ARMS), 1, generator), generator)
    assert label(ARMS[int(chosen.arm[0])]) == "Img+Txt+Multi"


def test_nothing_is_built_where_memory_lacks(monkeypatch, capsys) -> None:
    monkeypatch.setattr(paper_step, "available_gib", lambda: 1.0)
    monkeypatch.setattr(sys, "argv", ["paper_step", "--tasks", "vqa"])
    assert paper_step.main() == 1
    assert capsys.readouterr().out == f"paper_step needs {NEEDED_GIB} GiB of free memory, got 1.0: vqa was not run\n"


def test_the_table_and_the_worst_peak_are_printed(monkeypatch, capsys) -> None:
    peaks = iter((8.0, 25.0))
    monkeypatch.setattr(paper_step, "available_gib", lambda: 99.0)
    monkeypatch.setattr(paper_step, "in_a_process", lambda *_: {"arm": "Img", "peak GiB": next(peaks)})
    monkeypatch.setattr(sys, "argv", ["paper_step", "--tasks", "vqa,coco"])
    assert paper_step.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["task", "arm", "peak", "GiB"],
        ["vqa", "Img", "8"],
        ["coco", "Img", "25"],
    ]
    assert lines[3] == "all finite; peak 25.0 GiB, NOT WITHIN 24"


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_papers_shapes_fit_into_24_gib(task: str) -> None:
    if available_gib() < NEEDED_GIB:
        pytest.skip(f"needs {NEEDED_GIB} GiB of free memory")
    assert in_a_process(task, 2)["peak GiB"] < LIMIT_GIB
