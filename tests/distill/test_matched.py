"""Mean squares of many pairs: the one fast step against PyTorch's own functions and finite differences."""

import pytest
import torch
from torch import Tensor

from optima_lab.distill.matched import Pair, mean_squares

NAN = float("nan")


def pairs(kind: torch.dtype = torch.float32, padding: float = NAN) -> list[Pair]:
    """Widths and masks of all sorts: none, one of tokens, one of pairs, one for the whole batch."""
    torch.manual_seed(0)
    tokens = torch.arange(6) < torch.tensor([6, 4, 1])[:, None]
    causal = torch.ones(1, 6, 6, dtype=torch.bool).tril()
    found = []
    for shape, real in [
        ((3, 5, 7), None),
        ((3, 6, 7), tokens[..., None]),
        ((3, 5, 5), None),
        ((3, 6, 6), causal & tokens[..., None]),
        ((3, 6, 6), causal),
    ]:
        ours, theirs = torch.randn(2, *shape, dtype=torch.float64).to(kind)
        if real is not None:
            ours, theirs = (torch.where(real, x, padding) for x in (ours, theirs))
        found.append(Pair(ours.requires_grad_(), theirs, real))
    return found


def values_and_gradients(found: list[Pair], plain: bool) -> tuple[Tensor, list[Tensor]]:
    """Each pair's gradient comes with a weight of its own."""
    errors = mean_squares(found, plain)
    weights = torch.arange(1, len(found) + 1) / 7
    return errors.detach(), list(torch.autograd.grad((weights * errors).sum(), [pair.ours for pair in found]))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_the_fast_step_is_pytorchs_to_the_bit(kind):
    found = pairs(kind)
    (fast, slopes), (plain, gradients) = (values_and_gradients(found, plain) for plain in (False, True))
    assert fast.dtype == plain.dtype == (torch.float64 if kind == torch.float64 else torch.float32)
    assert torch.isfinite(fast).all() and fast.min() > 0
    assert torch.equal(fast, plain)
    for pair, slope, gradient in zip(found, slopes, gradients, strict=True):
        assert slope.dtype == kind
        assert torch.equal(slope, gradient)
        assert slope.abs().max() > 0
        if pair.real is not None:
            assert not slope[~pair.real.expand_as(slope)].any()


def test_gradients_are_those_of_finite_differences():
    found = pairs(torch.float64, padding=1e3)

    def errors(*ours: Tensor) -> Tensor:
        return mean_squares([pair._replace(ours=x) for pair, x in zip(found, ours, strict=True)])

    assert torch.autograd.gradcheck(errors, [pair.ours for pair in found])


def test_a_pair_by_hand():
    # Differences 1, 3 and, not real, 100: (1 + 9) / 2 = 5; gradients 2 · 1 / 2 and 2 · 3 / 2.
    ours = torch.tensor([2.0, 5.0, 101.0], requires_grad=True)
    pair = Pair(ours, torch.tensor([1.0, 2.0, 1.0]), torch.tensor([True, True, False]))
    mean_squares([pair]).sum().backward()
    assert mean_squares([pair]).item() == 5.0
    assert ours.grad is not None
    assert ours.grad.tolist() == [1.0, 3.0, 0.0]


def test_nan_where_it_counts_is_seen():
    pair = Pair(torch.tensor([NAN, 1.0], requires_grad=True), torch.zeros(2), torch.tensor([True, False]))
    errors = mean_squares([pair])
    (slope,) = torch.autograd.grad(errors.sum(), [pair.ours])
    assert errors.isnan().all() and slope[0].isnan()


@pytest.mark.parametrize("plain", [False, True])
def test_a_teachers_inference_tensors_may_be_matched(plain):
    found = pairs()
    with torch.inference_mode():
        theirs = [pair.theirs.clone() for pair in found]
    found = [pair._replace(theirs=x) for pair, x in zip(found, theirs, strict=True)]
    errors, _ = values_and_gradients(found, plain)
    assert torch.equal(errors, mean_squares(pairs()))


def test_the_way_back_can_be_gone_twice():
    found = pairs()
    errors = mean_squares(found).sum()
    first, second = (torch.autograd.grad(errors, [p.ours for p in found], retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
