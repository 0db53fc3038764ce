"""A simulator as backend: a pendulum in numpy. Latents are its true state, decoding is rendering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.errors import CosmosError
from cosmos_sdk.protocols import Prediction
from cosmos_sdk.rng import START, Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk.world import WorldModel

DT, GRAVITY, TORQUE = 0.05, 10.0, 2.0  # s, 1/s^2 for a rod of unit length, 1/s^2 at action 1
SIZE = 8


@dataclass(frozen=True)
class Sampling:
    """A simulator has no run-time options."""


class Pendulum:
    """Latents (B, 1, 2) float64: angle (0 = up) and angular velocity."""

    context = window = chunk = 1
    feature_width, differentiable, stochastic = 0, False, False

    def __init__(self) -> None:
        self.sampling = Sampling()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return latents.new_zeros(len(latents), 1, 0), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        torque = control.signals["action"].values[:, 0, 0].double().numpy()
        angle, velocity = state.latents[:, -1].numpy().T
        velocity = velocity + DT * (GRAVITY * np.sin(angle) + TORQUE * torque)
        angle = angle + DT * velocity  # semi-implicit Euler keeps the energy bounded
        after = torch.from_numpy(np.stack((angle, velocity), -1))
        return Prediction(after[:, None], state.features, {})


class Renderer:
    """Draws the bob; pictures do not tell the velocity, so there is no way back."""

    latent_shape = (2,)

    def encode(self, frames: Tensor) -> Tensor:
        raise CosmosError(
            "A pendulum's velocity is not in its picture: start from states, world.start(latents, ...)."
        )

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        angle = latents[:, -num_frames:, 0].numpy()
        axis = np.linspace(-1.2, 1.2, SIZE)
        x, y = np.sin(angle)[..., None, None], -np.cos(angle)[..., None, None]
        squared = (axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2
        bob = (255 * np.exp(-4 * squared)).astype(np.uint8)  # (B, F, h, w)
        return torch.from_numpy(bob)[:, :, None, None].expand(-1, -1, 1, 3, -1, -1)


class Upright:
    """Reward cos(angle), (B, 1)."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        return after.latents[:, -1:, 0].cos(), memory


def starts(world: WorldModel, seed: Tensor) -> WorldState:
    """Hanging still, but for a little that the seed decides."""
    noise = Rng(seed, torch.zeros_like(seed), START).normal(2).double()
    return world.start((torch.tensor([np.pi, 0.0]) + 0.1 * noise)[:, None], {}, seed)
