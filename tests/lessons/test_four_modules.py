"""Notebook 22's world asks for every module, and its models show all four."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from optima_lab.distill.optima import Optima
from optima_lab.lessons.four_modules import HEAR, NO, SAME, SEE, THINGS, YES, FourModules, examples

NAMES = ("image", "text", "audio", "decoder")


def test_answers_are_what_is_seen_heard_and_named() -> None:
    given = examples(400, 3, noise=0.0)
    first, same, named = given["answer"].unbind(1)
    asked = given["words"][:, 1]
    look, sound = (_prototypes(given[name]) for name in ("patches", "frames"))
    assert torch.equal(given["words"][:, 2], named) and set(asked.tolist()) == {SEE, HEAR, SAME}
    assert all(_one_of_each(look[asked == SEE], first[asked == SEE]))
    assert all(_one_of_each(sound[asked == HEAR], first[asked == HEAR]))
    assert torch.equal(first[asked == SAME], same[asked == SAME])
    assert 0.4 < (same == YES).float().mean() < 0.75 and set(same.tolist()) == {YES, NO}
    torch.testing.assert_close(examples(5, 3), examples(5, 3))
    assert not torch.equal(examples(5, 3)["patches"], examples(5, 4)["patches"])


def _prototypes(tokens: Tensor) -> Tensor:
    """Without noise one thing is one set of numbers: their sum."""
    return tokens.sum((1, 2)).mul(1000).round()


def _one_of_each(sums: Tensor, things: Tensor) -> list[bool]:
    return [len(sums[things == thing].unique()) == 1 for thing in range(THINGS)]


def test_all_four_modules_are_seen_and_the_answer_is_not_given_away() -> None:
    torch.manual_seed(0)
    student, teacher, probe = FourModules(1, 8), FourModules(2, 12), examples(4, 0)
    modules = {name: f"{name}.layers.*" for name in NAMES}
    optima = Optima(student, teacher, probe=probe, modules=modules, logits="logits", attention="scores")
    assert optima.pair.attended == set(NAMES) and optima.arms.count == 15
    other = probe | {"answer": torch.cat([probe["answer"][:, :2], (probe["answer"][:, 2:] + 1) % THINGS], 1)}
    with torch.no_grad():
        logits, changed = (teacher.eval()(**given)["logits"] for given in (probe, other))
    torch.testing.assert_close(logits, changed)  # the last token is asked for and never read
    weights = {name: part for name, part in teacher.named_parameters() if name.endswith("layers.0.linear1.weight")}
    weights |= {name: part for name, part in teacher.named_parameters() if name.endswith("layers.1.linear1.weight")}
    assert not any(
        torch.equal(weights[f"{m}.layers.0.linear1.weight"], weights[f"{m}.layers.1.linear1.weight"]) for m in NAMES
    )


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    from optima_lab.report.notebooks import execute

    path = Path(__file__).parents[2] / "notebooks" / "22_four_modules.ipynb"
    given = {"seeds": 2, "rounds": 3, "round_steps": 1, "teacher_steps": 3, "figures": tmp_path}
    assert "told apart" in execute(path, tmp_path / path.name, given).read_text()
    assert all((tmp_path / "four_modules" / f"{name}.svg").exists() for name in ("lattice", "contributions"))
