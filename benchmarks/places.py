"""What keeps space from being learnt: `python -m benchmarks.places [steps]`, a pure supervised problem in isolation.

Half of the questions ask for the colour of a shape, half for its row or column, 12,000 examples. Chance is 33 %; who
only sees which rows and columns are occupied reaches 48 %. What differs: the background (white paper, which every patch
then has in common, or a grey that models see as zero), and the spread of the first picture positions (open_clip's
width^-0.5, or four times that).
"""

import sys
from random import Random

import numpy as np
import torch
from torch.nn import functional as F

from optima_lab.coca.forward import walk
from optima_lab.coca.model import CoCaConfig, build, for_task, pixels
from optima_lab.data.synthetic.grammar import only
from optima_lab.data.synthetic.render import GROUND, PAPER, render
from optima_lab.data.synthetic.scene import COLOURS, SHAPES, Scene, draw_scene
from optima_lab.tasks.objectives import logits

EXAMPLES, HELD_OUT, BATCH, WIDTH = 12_000, 1_000, 128, 64
ROW, COLUMN, COLOUR = 3, 4, 0  # tokens of the question; a shape's token is 5 and more
Example = tuple[Scene, list[int], int]


def example(random: Random) -> Example:
    """A scene, the question's tokens, and the class of its answer."""
    while True:
        scene = draw_scene(random, random.randint(2, 4))
        alone = list(only(scene.things, "shape"))
        if alone:
            break
    shape, thing = random.choice(alone)
    row, column = divmod(thing.cell, 3)
    answers = {COLOUR: COLOURS.index(thing.colour), ROW: row, COLUMN: column}
    asked = COLOUR if random.random() < 0.5 else random.choice((ROW, COLUMN))
    return scene, [1, asked + 14, 5 + SHAPES.index(shape), 2, 0], answers[asked]


def accuracy(ground: int, scale: float, steps: int) -> tuple[float, float]:
    """(colour, place) accuracy on held-out examples in per cent after `steps` steps."""
    random = Random(5)
    examples = [example(random) for _ in range(EXAMPLES)]
    pictures = np.stack([render(scene, 48, ground) for scene, _, _ in examples])[:, None]
    tokens = torch.tensor([question for _, question, _ in examples])
    answers = torch.tensor([answer for _, _, answer in examples])
    size = CoCaConfig((1, 1, 1), WIDTH, 16, 48, 16, 6, 20, "open_clip", 0, position_scale=scale)
    model = for_task(build(size, 1), size, 1, len(COLOURS), 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    rows = np.random.default_rng(0)

    def predict(chosen: np.ndarray) -> torch.Tensor:
        return logits(model, walk(model.coca, pixels(torch.from_numpy(pictures[chosen])), tokens[chosen]))

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (1 - step / steps)
        batch = rows.integers(EXAMPLES - HELD_OUT, size=BATCH)
        optimizer.zero_grad()
        F.cross_entropy(predict(batch), answers[batch]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    held_out = np.arange(EXAMPLES - HELD_OUT, EXAMPLES)
    with torch.no_grad():
        right = predict(held_out).argmax(1) == answers[held_out]
    colour = tokens[held_out, 1] == COLOUR + 14
    return 100 * right[colour].float().mean().item(), 100 * right[~colour].float().mean().item()


def main() -> None:
    """A line for each of the four."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for ground, paper in ((PAPER, "white paper"), (GROUND, "grey ground")):
        for scale in (1.0, 4.0):
            colour, place = accuracy(ground, scale, steps)
            about = f"{paper}, positions x {scale:.0f}, {steps} steps"
            print(f"{about:<44}colour {colour:5.1f} %   place {place:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
