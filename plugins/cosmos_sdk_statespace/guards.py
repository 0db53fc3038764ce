"""What keeps learned vectors apart. Without it an encoder of constants and a transition that stands still are optimal.

Such a term speaks of a distribution, and so of a batch; the loss of a row, which must not know its batch, cannot. A
guard therefore remembers vectors of the step before: against that memory, the gradient of the distribution's term
with respect to one row is a function of the row alone, and its mean over rows is the gradient of the term itself. Every
row is told the same value, that of the memory.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from cosmos_sdk.rng import FIRST_PRIVATE_STREAM, Rng

DIRECTIONS_STREAM = FIRST_PRIVATE_STREAM + 2
NUM_DIRECTIONS, NUM_KNOTS, LAST_KNOT = 64, 9, 3.0


class Guard(nn.Module):
    """A memory of Q vectors, and a term against it."""

    memory: Tensor
    step: Tensor

    def __init__(self, width: int, size: int) -> None:
        """Takes the width D and Q. The memory begins collapsed, at zero."""
        super().__init__()
        self.register_buffer("memory", torch.zeros(size, width))
        self.register_buffer("step", torch.zeros(1, dtype=torch.int64))

    def forward(self, vectors: Tensor) -> Tensor:
        """The term (B,), whose gradient spreads the vectors (B, n, D)."""
        with torch.autocast(vectors.device.type, enabled=False):
            value, pull = self.term(vectors.to(self.memory.dtype))
        return value + pull - pull.detach()

    def term(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The value () at the memory, and its linear part (B,) in the vectors."""
        raise NotImplementedError

    @torch.no_grad()
    def remember(self, vectors: Tensor) -> None:
        """Vectors (n, D) take the place of the oldest."""
        new = vectors.detach().to(self.memory)
        self.memory.copy_(torch.cat((self.memory, new))[-len(self.memory) :])
        self.step.add_(1)


@final
class SigReg(Guard):
    """Sketched isotropic Gaussian regularisation (LeJEPA, Balestriero and LeCun 2025, arXiv:2511.08544).

    Along random directions, the distance of the characteristic function of the vectors to that of a standard normal
    (Epps and Pulley 1983): integral of |mean exp(i t x) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt over [-3, 3].
    """

    knots: Tensor
    weights: Tensor

    def __init__(self, width: int, size: int) -> None:
        super().__init__(width, size)
        knots = torch.linspace(0, LAST_KNOT, NUM_KNOTS)
        weights = torch.full_like(knots, 2 * LAST_KNOT / (NUM_KNOTS - 1))  # both signs of t
        weights[[0, -1]] /= 2
        self.register_buffer("knots", knots, persistent=False)
        self.register_buffer("weights", weights * (-knots.square() / 2).exp(), persistent=False)

    def directions(self) -> Tensor:
        """Unit vectors (D, M), others at every step."""
        rng = Rng(torch.zeros_like(self.step), self.step, DIRECTIONS_STREAM)
        drawn = rng.normal(self.memory.shape[1], NUM_DIRECTIONS)[0].to(self.memory)
        return drawn / drawn.norm(dim=0)

    def term(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        directions, normal = self.directions(), (-self.knots.square() / 2).exp()
        seen = (self.memory @ directions)[..., None] * self.knots  # (Q, M, T)
        real, imaginary = seen.cos().mean(0) - normal, seen.sin().mean(0)  # (M, T)
        value = (self.weights * (real.square() + imaginary.square())).sum(1).mean()
        own = (vectors @ directions)[..., None] * self.knots  # (B, n, M, T)
        pull = 2 * self.weights * (real * own.cos() + imaginary * own.sin())
        return value, pull.sum(-1).mean((1, 2))


@final
class VarianceCovariance(Guard):
    """Variance and covariance terms of VICReg (Bardes et al. 2022, arXiv:2105.04906, equations 1 to 4).

    mean_d max(0, 1 - std_d) + sum_{i != j} C_ij^2 / (25 D): the paper's weights, 25 and 1, over 25.
    """

    def term(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        width = vectors.shape[-1]
        mean = self.memory.mean(0)
        away = self.memory - mean
        covariance = away.T @ away / (len(away) - 1)
        std = (covariance.diagonal() + 1e-4).sqrt()
        off = covariance - covariance.diagonal().diag()
        value = (1 - std).clamp(min=0).mean() + off.square().sum() / (25 * width)
        weights = 2 * off / (25 * width) - ((std < 1) / (2 * std * width)).diag()
        own = vectors - mean
        return value, ((own @ weights) * own).sum(-1).mean(1)
