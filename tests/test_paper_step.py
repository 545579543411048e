"""One optimizer step at the paper's preset: the same code at a size for tests, and (slow) the preset itself."""

import multiprocessing

import pytest

from benchmarks.paper_step import LIMIT_GIB, NEEDED_GIB, available_gib, measured, one_step, paper, random_data
from optima_lab.config import TASKS, preset

SMALL = {"decoder": "paper", "image_queries": 4, "optimizer": "adafactor", "vocabulary": 200}
ONE_STEP = {"batch_size": 2, "probe_size": 2, "steps": 1, "round_steps": 1}


@pytest.mark.parametrize("task", TASKS)
def test_one_step_moves_the_student_and_is_rewarded(task: str) -> None:
    found = one_step(preset(task, "smoke", **ONE_STEP, **SMALL))
    moved, of = (int(part) for part in found["tensors moved"].split(" of "))
    assert 0.7 * of < moved < of  # what no loss of the task reaches (contrastive pooler, temperature) stays
    assert found["arm"] == "Img+Txt+Multi"  # at seed 0: every module takes part
    assert all(found[name] > 0 for name in ("train", "hidden", "attention", "probe_kl"))


@pytest.mark.parametrize("task", TASKS)
def test_the_papers_preset_is_left_as_it_is(task: str) -> None:
    changed = {name for name, value in vars(paper(task, 2)).items() if value != getattr(preset(task, "paper"), name)}
    assert changed == set(ONE_STEP)
    data = random_data(preset(task, "smoke", **SMALL), 3)
    assert data.train.images.shape == (3 * TASKS[task].pictures, 24, 24, 3)
    assert len(data.classes) == {"vqa": 3129, "snli_ve": 3, "nlvr2": 2, "coco": 0}[task]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_papers_shapes_fit_into_24_gib(task: str) -> None:
    if available_gib() < NEEDED_GIB:
        pytest.skip(f"needs {NEEDED_GIB} GiB of free memory")
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process of its own: peaks are of processes
        _, _, _, peak = pool.apply(measured, (task, 2))
    assert peak < LIMIT_GIB
