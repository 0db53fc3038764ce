"""Auxiliary targets: what a latent must also tell, such as the simulator's state, beside the picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.state import Masked, Tensors


class TargetCode(nn.Module):
    """Maps a target of a bounded Box to network units and back: numbers to [-1, 1], angles to cosine and sine.

    A component that spans a full turn (2 pi, to 1e-3) is an angle.
    """

    low: Tensor
    span: Tensor
    angle: Tensor

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        turns = np.abs(space.high - space.low - 2 * math.pi) < 1e-3
        # a number, so that a build on the meta device has it too
        self._num_angles = int(turns.sum())
        low = torch.as_tensor(space.low, dtype=torch.float32).flatten()
        span = torch.as_tensor(space.high, dtype=torch.float32).flatten() - low
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("span", span, persistent=False)
        self.register_buffer("angle", torch.as_tensor(turns).flatten(), persistent=False)

    @property
    def width(self) -> int:
        """Length of a code: one number per component, two per angle."""
        return len(self.low) + self._num_angles

    def forward(self, values: Tensor) -> Tensor:
        """Codes (..., width) of values (..., n): first the plain numbers, then cosines, then sines."""
        plain = 2 * (values - self.low)[..., ~self.angle] / self.span[~self.angle] - 1
        turn = values[..., self.angle]
        return torch.cat((plain, turn.cos(), turn.sin()), -1)

    def decode(self, code: Tensor) -> Tensor:
        """Values (..., n) of codes (..., width); angles come back in [low, low + 2 pi)."""
        n, turns = len(self.low), self._num_angles
        plain, cosine, sine = code.split((n - turns, turns, turns), -1)
        low = self.low[self.angle]
        values = code.new_empty(*code.shape[:-1], n)
        values[..., ~self.angle] = (plain + 1) / 2 * self.span[~self.angle] + self.low[~self.angle]
        values[..., self.angle] = (torch.atan2(sine, cosine) - low) % (2 * math.pi) + low
        return values


class AuxiliaryHead(nn.Module):
    """Reads one target from the flat latents of a frame: an MLP of two hidden layers."""

    def __init__(self, num_inputs: int, space: spaces.Box, width: int) -> None:
        super().__init__()
        self.code = TargetCode(space)
        layers = (nn.Linear(num_inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.layers = nn.Sequential(*layers, nn.Linear(width, self.code.width))

    def forward(self, latents: Tensor) -> Tensor:
        """Codes (..., width) of latents (..., N, C)."""
        return self.layers(latents.flatten(-2))

    def loss(self, code: Tensor, target: Masked, beta: float = 0.02) -> Tensor:
        """Smooth L1 of codes (n, width) per frame (n,), zero where the target (n, ...) is absent.

        `beta` is the error, in code units, below which the loss is quadratic.
        """
        wanted = self.code(target.zeroed().values.flatten(1).to(code.dtype))
        error = F.smooth_l1_loss(code, wanted, beta=beta, reduction="none").mean(-1)
        return torch.where(target.mask, error, torch.zeros_like(error))


class AuxiliaryHeads(nn.ModuleDict):
    """One reader for each target that the spec has as a Box."""

    def __init__(
        self,
        names: Iterable[str],
        targets: Mapping[str, spaces.Space[Any]],
        num_inputs: int,
        width: int,
    ) -> None:
        boxes = {name: targets[name] for name in names if name in targets}
        super().__init__(
            {
                name: AuxiliaryHead(num_inputs, space, width)
                for name, space in boxes.items()
                if isinstance(space, spaces.Box)
            }
        )

    def losses(
        self, latents: Tensor, targets: Mapping[str, Masked], where: tuple[Tensor, ...]
    ) -> Tensors:
        """Terms (n,) of the frames at `where` in (B, F), whose latents (n, N, C) are given; absent targets add none."""
        terms: dict[str, Tensor] = {}
        for name, head in self.items():
            if name in targets and isinstance(head, AuxiliaryHead):
                target = Masked(targets[name].values[where], targets[name].mask[where])
                terms[name] = head.loss(head(latents), target)
        return terms
