"""Encoder, signals, transition and decoder: multilayer perceptrons on vectors. B rows, D width, c frames of a block."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice, pairwise
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.protocols import Conditioner
from cosmos_sdk.state import Masked

CHANGE = 3.0  # latents of neighbouring frames are close: their difference is scaled up to be seen


def perceptron(num_inputs: int, hidden: int, num_outputs: int, layers: int) -> nn.Sequential:
    """Normalised hidden layers with SiLU; without any, a linear map."""
    body: list[nn.Module] = []
    widths = [num_inputs, *[hidden] * layers]
    for width, wider in pairwise(widths):
        body += [nn.Linear(width, wider), nn.LayerNorm(wider), nn.SiLU()]
    return nn.Sequential(*body, nn.Linear(widths[-1], num_outputs))


def with_change(numbers: Tensor) -> Tensor:
    """Frames (B, F, P) beside what changed since the one before, (B, F, 2 P); velocity shows in no single picture.

    The first frame stands still.
    """
    change = F.pad(numbers[:, 1:] - numbers[:, :-1], (0, 0, 1, 0))
    return torch.cat((numbers, CHANGE * change), -1)


@final
class SignalFusion(nn.Module):
    """The tokens of all signals of a frame as one vector; a learned null stands where one is absent."""

    def __init__(self, conditioners: Mapping[str, Conditioner], width: int) -> None:
        super().__init__()
        self.width = width
        self.into = nn.ModuleDict(
            {name: nn.Linear(c.width, width) for name, c in conditioners.items()}
        )
        self.null = nn.ParameterDict(
            {name: nn.Parameter(0.02 * torch.randn(width)) for name in conditioners}
        )

    def forward(self, cond: Mapping[str, Masked], like: Tensor, num_frames: int) -> Tensor:
        """Vectors (B, num_frames, width); `like` (B, ...) gives rows, dtype and device."""
        total = like.new_zeros(1, 1, self.width)
        for name, project in self.into.items():
            tokens = cond[name]
            vectors = project(tokens.values)
            if torch.is_grad_enabled() or not tokens.is_whole():
                vectors = torch.where(tokens.mask[..., None], vectors, self.null[name])
            alone = vectors.shape[2] * vectors.shape[3] == 1
            total = total + (vectors[:, :, 0, 0] if alone else vectors.mean((2, 3)))
        return total.expand(len(like), num_frames, self.width)


class Residual(nn.Module):
    """z + W2 silu(W1 norm(z))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, z: Tensor) -> Tensor:
        free = not torch.is_grad_enabled()  # to overwrite what nobody differentiates
        change = self.out(F.silu(self.into(self.norm(z)), inplace=free))
        return change.add_(z) if free and change.dtype == z.dtype else z + change


@final
class Transition(nn.Module):
    """The vectors of the c frames after a vector, all from one pass over a block of c signals.

    The state that an action leads to is also what the actions after it start from, yet one pass serves the whole
    block: nothing is promised inside a block, and a rollout of K frames costs K / c passes.
    """

    def __init__(self, width: int, block: int, signal_width: int, hidden: int, layers: int) -> None:
        """Takes D, c, the numbers of a block's signals, and the size of the hidden part; no layers: linear."""
        super().__init__()
        self.width = width
        inputs = width + signal_width
        self.trunk = nn.Sequential(
            *([nn.Linear(inputs, hidden)] if layers else []),
            *(Residual(hidden) for _ in range(layers)),
            *([nn.LayerNorm(hidden), nn.SiLU()] if layers else []),
        )
        self.out = nn.Linear(hidden if layers else inputs, block * width)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)

    def read(self, vector: Tensor, signals: Tensor) -> Tensor:
        """What the outputs are made of, from vectors (B, D) and the signals (B, c * C) of a block."""
        return self.trunk(torch.cat((vector, signals), -1).to(self.out.weight.dtype))

    def share(self, signals: Tensor) -> Tensor:
        """What blocks of signals (..., c * C) add to the first layer, (..., hidden): no vector is needed for it."""
        signals = signals.to(self.out.weight.dtype)
        if not len(self.trunk):
            return signals
        weight, bias = self._first
        return F.linear(signals, weight[:, self.width :], bias)

    def read_on(self, vector: Tensor, share: Tensor) -> Tensor:
        """`read`, of vectors (B, D) and a block's share (B, hidden)."""
        vector = vector.to(self.out.weight.dtype)
        if not len(self.trunk):
            return torch.cat((vector, share), -1)
        weight, _ = self._first
        numbers = torch.addmm(share, vector, weight[:, : self.width].t())
        for layer in islice(self.trunk, 1, None):
            numbers = layer(numbers)
        return numbers

    @property
    def _first(self) -> tuple[Tensor, Tensor]:
        first = self.trunk[0]
        assert isinstance(first, nn.Linear)
        return first.weight, first.bias

    def forward(self, vector: Tensor, read: Tensor, last: bool = False) -> Tensor:
        """The vectors of a block's frames (B, c, D), or of its last (B, 1, D)."""
        weight, bias = self.out.weight, self.out.bias
        if last:
            weight, bias = weight[-self.width :], bias[-self.width :]
        change = F.linear(read, weight, bias).to(vector.dtype)
        return vector[:, None] + change.unflatten(-1, (-1, self.width))
