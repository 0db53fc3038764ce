"""A guard's gradient per row is the gradient of the batch's term; its values are those of known distributions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cosmos_sdk_statespace.guards import Guard, SigReg, VarianceCovariance


def filled(kind: type[Guard], vectors: Tensor) -> Guard:
    guard = kind(vectors.shape[1], len(vectors)).double()
    guard.remember(vectors)
    return guard


def term_of(guard: Guard, vectors: Tensor) -> Tensor:
    """The term of a whole batch, with its memory made of the batch: a function whose gradient autograd knows."""
    guard.memory = vectors
    return guard.term(vectors[:1, None])[0]


@pytest.mark.parametrize("kind", [SigReg, VarianceCovariance])
def test_the_mean_over_rows_has_the_gradient_of_the_term(kind):
    vectors = (
        torch.randn(64, 5).double() * torch.tensor([0.3, 1.0, 2.0, 0.5, 0.8])
    ).requires_grad_()
    guard = filled(kind, vectors)
    (mine,) = torch.autograd.grad(guard(vectors[:, None]).mean(), vectors)
    (whole,) = torch.autograd.grad(term_of(guard, vectors), vectors)
    # VICReg divides the covariance by n - 1, a mean over rows by n
    torch.testing.assert_close(mine, whole, rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("kind", [SigReg, VarianceCovariance])
def test_a_standard_normal_costs_little_and_a_point_much(kind):
    normal = filled(kind, torch.randn(4096, 8).double())
    point = filled(kind, torch.zeros(4096, 8).double())
    thin = torch.randn(4096, 8).double()
    thin[:, 0] = 0
    some = torch.zeros(1, 1, 8).double()
    values = [guard(some).item() for guard in (normal, filled(kind, thin), point)]
    assert values[0] < values[1] < values[2]
    assert values[0] < 0.05 * values[2]


def test_the_value_of_a_collapsed_memory_is_the_integral():
    """|1 - exp(-t^2 / 2)|^2 exp(-t^2 / 2) over [-3, 3], by a fine grid."""
    t = torch.linspace(-3, 3, 20001).double()
    normal = (-t.square() / 2).exp()
    exact = torch.trapezoid((1 - normal).square() * normal, t)
    got = filled(SigReg, torch.zeros(4, 3).double())(torch.zeros(1, 1, 3).double())
    assert got.item() == pytest.approx(exact.item(), rel=0.01)


@pytest.mark.parametrize("kind", [SigReg, VarianceCovariance])
def test_descent_makes_vectors_standard(kind):
    vectors = (0.1 * torch.randn(256, 4) @ torch.randn(4, 4)).requires_grad_()
    guard, optimiser = kind(4, 256), torch.optim.Adam([vectors], 2e-2)
    for _ in range(400):
        optimiser.zero_grad()
        guard(vectors[:, None]).mean().backward()
        guard.remember(vectors)
        optimiser.step()
    roots = torch.linalg.eigvalsh(vectors.detach().T.cov()).sqrt()
    assert roots.min() > 0.7
    assert roots.max() < (1.4 if kind is SigReg else 3.0)


def test_memory_keeps_the_newest():
    guard = SigReg(2, 4)
    guard.remember(torch.arange(6.0).view(3, 2))
    guard.remember(10 + torch.arange(4.0).view(2, 2))
    assert guard.memory.tolist() == [[2, 3], [4, 5], [10, 11], [12, 13]]
    assert guard.step.item() == 2
