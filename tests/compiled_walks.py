"""`compiled_walks.py TASK STEPS BACKEND` fails unless compiled walks give the same losses as plain ones, arm by arm."""

import sys
from functools import partial

import numpy as np
import torch
from small import config, distilled, pupil, shaken, task_data, task_model

from optima_lab.bandits.arms import LABELS
from optima_lab.config.parameters import override
from optima_lab.distill.strategies import parse_strategies

NAMES = ["none", "kl", "dide", *(label.lower() for label in LABELS), "optima"]

task, steps, backend = sys.argv[1:]
torch.compile = partial(torch.compile, backend=backend)  # type: ignore[assignment]
settings, data = config(task, steps=int(steps)), task_data(task)
teacher = shaken(task_model("teacher", settings, 1, data), 0.1)
totals = {}
for on in (False, True):
    asked = override(settings, {"compiled": on})
    students = [
        pupil(asked, strategy, task_model("student", asked, 0, data), teacher)
        for strategy in parse_strategies(",".join(NAMES), asked)
    ]
    rounds = [taken for _, taken in distilled(asked, teacher, students, data)]
    totals[on] = [[step["total"] for _, steps in taken for step in steps] for taken in rounds]
np.testing.assert_allclose(totals[True], totals[False], rtol=0, atol=1e-4)
