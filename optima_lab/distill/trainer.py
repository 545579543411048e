"""Algorithm 1 of arXiv 2310.04550, for a population of students that share one teacher.

Inside a round nothing waits for the device; its end is one transfer.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from optima_lab.config import Config
from optima_lab.distill import parallel
from optima_lab.distill.diagnostics import all_finite, locate_nonfinite
from optima_lab.distill.population import B, DistillationTask, Population
from optima_lab.distill.rewards import ProbeLosses
from optima_lab.distill.student import Student

Records = list[dict[str, Any]]


def distill(
    config: Config, task: DistillationTask[B], students: Sequence[Student], done: int = 0
) -> Iterator[tuple[int, list[tuple[Records, Records]]]]:
    """Algorithm 1 after `done` steps: every P steps (the step, each student's new round records and step records).

    A strategy with a P of its own has more or fewer rounds than the others, and no record in the middle of one. A
    student whose numbers go wrong stops alone (`Student.stopped`), with the last good state.
    """
    population = Population(config, task, students)
    if not done:
        for student, losses in zip(students, population.measure(students), strict=True):
            student.before = ProbeLosses(*losses.tolist()[:4])

    for step in range(done + 1, config.training.steps + 1):  # line 4, and line 10 within a round
        active = [student for student in students if not student.stopped]
        for student in active:
            if student.begins(step):
                student.choose(step)  # lines 5–8

        population.step(active, step)  # lines 9–13
        close_rounds(population, [student for student in active if student.ends(step)], step)  # lines 16–18
        if step % config.distillation.round_steps == 0:
            yield step, [student.pop_records() for student in students]


def close_rounds(population: Population[B], students: Sequence[Student], step: int) -> None:
    """Reward every student whose round ends here, from one transfer of all their losses."""
    if not students:
        return
    measured = [losses / parallel.world_size() for losses in population.measure(students)]
    tables = [torch.stack([*student.steps, probe]) for student, probe in zip(students, measured, strict=True)]
    parallel.all_reduce_sum(tables)
    numbers = iter(torch.cat([table.flatten() for table in tables]).tolist())  # the round's one wait for the device
    for student, table in zip(students, tables, strict=True):
        student.steps.clear()
        rows, columns = table.shape
        values = [[next(numbers) for _ in range(columns)] for _ in range(rows)]
        student.learn(step, values)
        if not all_finite(values):
            student.stopped = locate_nonfinite(population, student, step)
