"""The learning rate by hand, and what an update does and leaves alone."""

import pytest
import torch
from small import config
from torch import nn
from torch.optim import SGD

from optima_lab.distill.optim import build_optimizer, schedule, update


def test_the_schedule_by_hand():
    # Four steps up, then seven equal steps down: 6/7 … 1/7 at the last step, and 0 only after it.
    expected = [1 / 4, 2 / 4, 3 / 4, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7, 0]
    assert [schedule(step, 10, 4) for step in range(1, 12)] == pytest.approx(expected)
    assert schedule(50, 10, 4) == 0.0


def test_the_schedule_without_warm_up_and_with_nothing_else():
    assert [schedule(step, 3, 0) for step in range(1, 5)] == pytest.approx([3 / 4, 2 / 4, 1 / 4, 0])
    assert [schedule(step, 3, 3) for step in range(1, 5)] == pytest.approx([1 / 3, 2 / 3, 1, 0])
    assert schedule(3, 3, 9) == pytest.approx(1 / 3)  # a run shorter than its warm-up


class Two(nn.Module):
    """A matrix and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(2, 1))
        self.vector = nn.Parameter(torch.ones(2))


def test_the_norm_of_the_gradient_is_clipped():
    # Gradient (3, 4), norm 5: clipped to (0.6, 0.8); a learning rate of 1 at half of its peak.
    for clip, expected in ((1.0, [0.3, 0.4]), (0.0, [1.5, 2.0]), (10.0, [1.5, 2.0])):
        p = nn.Parameter(torch.zeros(2))
        optimizer = SGD([{"params": [p], "lr": 1.0, "peak_lr": 1.0}])
        update(optimizer, -(p * torch.tensor([3.0, 4.0])).sum(), 0.5, clip)
        torch.testing.assert_close(p.detach(), torch.tensor(expected))


def test_clipping_takes_all_groups_together():
    # Gradients 3 and 4 in two groups: one norm of 5, not each its own.
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = SGD([{"params": [p], "lr": 1.0, "peak_lr": 1.0} for p in (a, b)])
    update(optimizer, -(3 * a + 4 * b).sum(), 1.0, 1.0)
    assert (a.item(), b.item()) == pytest.approx((0.6, 0.8))


def test_gradients_do_not_add_up_over_updates():
    p = nn.Parameter(torch.zeros(1))
    optimizer = SGD([{"params": [p], "lr": 1.0, "peak_lr": 1.0}])
    for _ in range(3):
        update(optimizer, -p.sum(), 1.0, 0.0)
    assert p.item() == pytest.approx(3.0)


def test_the_first_step_of_adamw_by_hand():
    # Adam's first step is lr · sign(g): 1 − 0.1. The matrix decays before it: 1 − 0.1 · 0.5 = 0.95.
    model = Two()
    optimizer = build_optimizer(config(optimizer="adamw", weight_decay=0.5).optim, [(model, 0.1)])
    update(optimizer, 3 * model.matrix.sum() + model.vector.sum(), 1.0, 0.0)
    torch.testing.assert_close(model.matrix.detach(), torch.full((2, 1), 0.85))
    torch.testing.assert_close(model.vector.detach(), torch.full((2,), 0.9))


def test_the_first_step_of_adafactor_by_hand():
    # β2 is 0 at the first step: g / |g| = 1. Momentum starts from zero: 0.1 of it. 1 − 0.1 · 0.5 − 0.1 · 0.1 = 0.94.
    model = Two()
    optimizer = build_optimizer(config(optimizer="adafactor", weight_decay=0.5).optim, [(model, 0.1)])
    update(optimizer, 3 * model.matrix.sum() + model.vector.sum(), 1.0, 0.0)
    torch.testing.assert_close(model.matrix.detach(), torch.full((2, 1), 0.94))
    torch.testing.assert_close(model.vector.detach(), torch.full((2,), 0.99))
    momentum = optimizer.state[model.matrix]["exp_avg"]
    assert momentum.dtype == torch.float32


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_many_steps_stay_finite_and_go_down(name: str):
    """Wide enough for Adafactor to factor, with an input that is always zero."""
    torch.manual_seed(0)
    model = nn.Linear(32, 32)
    x, y = torch.randn(64, 32), torch.randn(64, 32)
    x[:, 0] = 0.0
    optimizer = build_optimizer(config(optimizer=name, weight_decay=0.1).optim, [(model, 1e-2)])
    losses = []
    for step in range(1, 31):
        loss = (model(x) - y).square().mean()
        losses.append(loss.item())
        update(optimizer, loss, schedule(step, 30, 3), 1.0)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_what_has_no_gradient_keeps_its_value_and_its_moments(name: str):
    """As W^i of modules outside the arm do: neither decay nor old momentum moves them."""
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    optimizer = build_optimizer(config(optimizer=name, weight_decay=0.5).optim, [(a, 0.1), (b, 0.1)])
    update(optimizer, sum(p.square().sum() for m in (a, b) for p in m.parameters()), 1.0, 1.0)
    kept = [p.detach().clone() for p in b.parameters()]
    moments = [{k: torch.as_tensor(v).clone() for k, v in optimizer.state[p].items()} for p in b.parameters()]
    moved = a.weight.detach().clone()
    update(optimizer, sum(p.square().sum() for p in a.parameters()), 1.0, 1.0)
    assert not torch.equal(a.weight, moved)
    for p, value, before in zip(b.parameters(), kept, moments, strict=True):
        assert p.grad is None
        assert torch.equal(p, value)
        assert before
        assert all(torch.equal(torch.as_tensor(optimizer.state[p][k]), v) for k, v in before.items())


def test_every_module_has_its_own_peak():
    model, head = Two(), Two()
    optimizer = build_optimizer(config(optimizer="adamw", weight_decay=0.5).optim, [(model, 0.1), (head, 0.01)])
    update(optimizer, sum(p.sum() for m in (model, head) for p in m.parameters()), 0.5, 0.0)
    found = {(g["params"][0].ndim, g["peak_lr"]): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups}
    assert found == {(2, 0.1): (0.05, 0.5), (1, 0.1): (0.05, 0.0), (2, 0.01): (0.005, 0.5), (1, 0.01): (0.005, 0.0)}


def test_frozen_parameters_are_left_out():
    model = Two()
    model.matrix.requires_grad_(False)
    optimizer = build_optimizer(config(optimizer="adamw", weight_decay=0.5).optim, [(model, 0.1)])
    assert [p.ndim for g in optimizer.param_groups for p in g["params"]] == [1]
