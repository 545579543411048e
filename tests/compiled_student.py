"""`compiled_student.py [BACKEND]` fails unless a compiled student is as a plain one, in two graphs whatever the arm.

The backend is dynamo's 'eager' unless another is named: 'inductor' makes code of the graphs.
"""

import sys

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from optima_lab import Optima


def losses(compiled: CompileCounterWithBackend | None) -> list[float]:
    """Of four rounds of one step, on the same pictures."""
    torch.manual_seed(0)
    sizes = ((8, 2), (12, 4))
    student, teacher = (VisionTransformer(8, 4, embed_dim=w, depth=n, num_heads=2, num_classes=3) for w, n in sizes)
    asked = student if compiled is None else torch.compile(student, backend=compiled)
    assert isinstance(asked, nn.Module)
    pictures = torch.randn(5, 4, 3, 8, 8)
    globs = {"image": "blocks.*"}
    optima = Optima(asked, teacher, probe=pictures[0], modules=globs, groups=2, policy="random", round_steps=1)
    optimizer, found = torch.optim.SGD([*student.parameters(), *optima.parameters()], lr=0.1), []
    for given in pictures[1:]:
        loss = optima.loss(given)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        optima.step()
        found.append(loss.item())
    assert optima.exists["attention"] and len({record["arm"] for record in optima.rounds.records}) > 1
    return found


counter = CompileCounterWithBackend(*sys.argv[1:] or ["eager"])
np.testing.assert_allclose(losses(counter), losses(None), rtol=1e-5)
assert counter.frame_count == 2, counter.frame_count  # a step, and the probe, which leaves no gradients
