"""Toy heads: a reward, an ending that remembers, and a readout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosmos_sdk.state import Control, Masked, Tensors, WorldState


class Reward(nn.Module):
    """Linear in the features of the generating pass, (B, chunk)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 1)

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        return self.project(after.features)[..., 0], memory

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        error = (self.project(features)[..., 0] - target.values).square()
        return {
            "squared": torch.where(target.mask, error, 0).sum(1) / target.mask.sum(1).clamp(min=1)
        }


class Termination(nn.Module):
    """A probability (B, chunk) from a hidden state that is carried from frame to frame, as DIAMOND's is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(width, 3)
        self.project = nn.Linear(3, 1)

    def start(self, state: WorldState) -> Tensors:
        return {"hidden": self.project.weight.new_zeros(len(state), 3)}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        logits, hidden = self._run(after.features, memory["hidden"])
        return logits.sigmoid(), {"hidden": hidden}

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        logits, _ = self._run(features, features.new_zeros(len(features), 3))
        error = nn.functional.binary_cross_entropy_with_logits(
            logits, target.values, reduction="none"
        )
        return {
            "cross_entropy": torch.where(target.mask, error, 0).sum(1)
            / target.mask.sum(1).clamp(min=1)
        }

    def _run(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits: list[Tensor] = []
        for frame in features.unbind(1):
            hidden = self.cell(frame, hidden)
            logits.append(self.project(hidden)[:, 0])
        return torch.stack(logits, 1), hidden


class State(nn.Module):
    """Two numbers read off the newest latent, (B, 2); it exists at reset too."""

    def __init__(self, latent_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.project = nn.Linear(latent_shape[-1], 2)

    def read(self, state: WorldState) -> Tensor:
        newest = state.latents[:, -1].to(self.project.weight)
        return self.project(newest.flatten(1, -2).mean(1) if newest.ndim > 2 else newest)
