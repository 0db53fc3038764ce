"""Arms to pull: step k pays `table[k % T, d, arm_d]` for each component d, so the best plan can be read off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cosmos_sdk.protocols import Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk.world import WorldModel


@dataclass(frozen=True)
class NoOptions:
    """Arms have no run-time options."""


class Arms:
    """Latents (B, 1, 1): what the last pull paid."""

    context = window = chunk = 1
    feature_width, differentiable = 0, False

    def __init__(self, table: Tensor, space: Any) -> None:
        """`table` (T, D, n)."""
        self.table, self.sampling = table, NoOptions()
        self.first = torch.as_tensor(space.start).flatten()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return latents.new_zeros(len(latents), 1, 0), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        arms = control.signals["action"].values[:, 0].view(len(state), -1) - self.first  # (B, D)
        step = self.table[state.time % len(self.table)]  # (B, D, n)
        pay = step.gather(2, arms[..., None])[..., 0].sum(1)
        return Prediction(pay[:, None, None], state.features, {})


class Pull:
    """The number of the arm, no tokens."""

    start_space, num_tokens, width = None, 0, 1

    def __init__(self, space: Any) -> None:
        self.space = space

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        mask = signal.mask[:, :, None, None].expand(-1, -1, -1, 0)
        return Masked(mask[..., None].float(), mask), memory


class Grey:
    """A picture of nothing."""

    latent_shape = (1,)

    def encode(self, frames: Tensor) -> Tensor:
        return frames.float().mean((2, 3, 4, 5))[..., None]

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        return torch.zeros(len(latents), num_frames, 1, 3, 4, 4, dtype=torch.uint8)


class Paid:
    """The reward (B, 1)."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        return after.latents[:, -1], memory


def bandit_world(table: Tensor, space: Any) -> WorldModel:
    """A world of arms; Discrete has D = 1."""
    return WorldModel(Grey(), Arms(table, space), {"action": Pull(space)}, {"reward": Paid()}, {})


def bandit_state(world: WorldModel, rows: int = 1) -> WorldState:
    """Before the first pull."""
    return world.start(torch.zeros(rows, 1, 1), {}, torch.arange(rows))
