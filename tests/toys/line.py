"""A world to learn in within a second: a point on a line from -1 to 1, as bright as it is far; an action moves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.protocols import Head, Prediction, Spec
from cosmos_sdk.rng import START, Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk.world import WorldModel
from toys.conditioners import Action

SIZE, REACH = 8, 0.25  # px; what the largest action moves


@dataclass(frozen=True)
class Sampling:
    """Run-time options."""

    noise: float = 0.0  # standard deviation of what is added to a move


class Brightness:
    """Latents (B, T, 1) in [-1, 1]."""

    latent_shape = (1,)

    def encode(self, frames: Tensor) -> Tensor:
        return frames[:, :, 0, 0, :1, 0].float() / 127.5 - 1

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        bright = (127.5 * (latents[:, -num_frames:] + 1)).round().clamp(0, 255).to(torch.uint8)
        return bright[..., None, None, None].expand(-1, -1, 1, 3, SIZE, SIZE)


class Walk:
    """x' = x + 0.25 a, between the ends of the line. The feature is the place."""

    context = window = chunk = 1
    feature_width, differentiable, stochastic = 1, True, False

    def __init__(self) -> None:
        self.sampling = Sampling()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return latents[:, -1:], {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        given = control.signals["action"].values.flatten(1)[:, :1]
        action = given if given.is_floating_point() else given - 1
        place = moved(state.latents[:, -1], action)
        if self.sampling.noise:
            place = place + self.sampling.noise * rng.normal(1).to(place)
        return Prediction(place[:, None], place[:, None], {})


class Judged:
    """What a function says of the places (B, 1) before and after, (B, 1)."""

    def __init__(self, says: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.says = says

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        return self.says(before.latents[:, -1], after.latents[:, -1]), memory


def moved(place: Tensor, action: Tensor) -> Tensor:
    """Where an action (B, 1) leads from places (B, 1)."""
    return (place + REACH * action).clamp(-1, 1)


def line_world(
    heads: Mapping[str, Callable[[Tensor, Tensor], Tensor] | Head], discrete: bool = False
) -> WorldModel:
    """A world with these heads; its action is a number in [-1, 1], or one of three: back, stay, on."""
    space: Any = spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (1,), np.float32)
    made: dict[str, Any] = {
        name: head if hasattr(head, "read") else Judged(head)  # pyright: ignore
        for name, head in heads.items()
    }
    spec = Spec((1, SIZE, SIZE), 10.0, {"action": space})
    return WorldModel(Brightness(), Walk(), {"action": Action(space)}, made, {}, spec)


def anywhere(world: WorldModel, seed: Tensor) -> WorldState:
    """Evenly on the line."""
    place = 2 * Rng(seed, torch.zeros_like(seed), START).uniform(1) - 1
    return world.start(place[:, None], {}, seed)
