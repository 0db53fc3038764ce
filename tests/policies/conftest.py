"""A point in the plane as a world: its optima are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.protocols import Prediction
from cosmos_sdk.rng import PLANNER, Rng
from cosmos_sdk.state import Masked
from cosmos_sdk.world import WorldModel

GOAL = torch.tensor([0.3, -0.4])


class Actions:
    """Actions as they are."""

    start_space, num_tokens = None, 1

    def __init__(self, space):
        self.space, self.width = space, int(np.prod(space.shape))

    def start(self, signal):
        return {}

    def embed(self, signal, time, memory):
        return Masked(
            signal.values.flatten(2)[:, :, None, None], signal.mask[..., None, None]
        ), memory


@dataclass(frozen=True)
class Options:
    noise: float = 0.0


class Point:
    """position += 0.1 * (action + wind) in each of `chunk` frames, plus noise. Broken positions are NaN."""

    context, window, feature_width = 2, 1, 0

    def __init__(self, chunk=1, noise=0.0, differentiable=True, broken=None):
        self.chunk, self.differentiable, self.sampling = chunk, differentiable, Options(noise)
        self.broken = broken

    def start(self, latents, control, rng):
        return latents.new_zeros(len(latents), self.chunk, 0), {}

    def predict(self, state, control, rng):
        action = control.signals["action"].values.flatten(2)[..., :2].sum(1)
        position = state.latents[:, -1] + 0.1 * action
        if "wind" in control.signals:
            position = position + 0.1 * control.signals["wind"].values.sum(1)
        position = position + self.sampling.noise * rng.normal(2).to(position)
        if self.broken is not None:
            position = torch.where(self.broken(position)[:, None], torch.nan, position)
        features = position.new_zeros(len(position), self.chunk, 0)
        return Prediction(position[:, None], features, {})


class Picture:
    """A frame shows the position: red at one pixel is x, green is y, from -1 to 1."""

    latent_shape = (2,)

    def encode(self, frames):
        return frames[:, :, 0, :2, 0, 0].float() / 127.5 - 1

    def decode(self, latents, num_frames):
        return paint(latents[:, -1:].expand(-1, num_frames, -1))


def paint(position):
    """(B, F, 1, 3, 4, 4) uint8 of positions (B, F, 2)."""
    red_green = ((position + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    frames = torch.zeros(*position.shape[:2], 1, 3, 4, 4, dtype=torch.uint8)
    frames[:, :, 0, :2] = red_green[..., None, None]
    return frames


class OfFrame:
    """A head: a function of the position after each predict."""

    def __init__(self, function):
        self.function = function

    def start(self, state):
        return {}

    def read(self, before, control, after, memory):
        value = self.function(after.latents[:, -1])
        return value[:, None].expand(-1, after.features.shape[1]), memory


class Position:
    """A readout."""

    def read(self, state):
        return state.latents[:, -1]


def nearness(position):
    """Minus the squared distance to the goal."""
    return -(position - GOAL.to(position)).square().sum(1)


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """`toy.world(...)`, `toy.state(world, positions)`, `toy.rng(rows)`, `toy.goal`."""

    def world(
        space: spaces.Space[Any] | None = None,
        reward: Callable[[Any], Any] = nearness,
        terminated: Callable[[Any], Any] | None = None,
        wind: bool = False,
        **options: Any,
    ) -> WorldModel:
        heads: dict[str, Any] = {"reward": OfFrame(reward)}
        if terminated is not None:
            heads["terminated"] = OfFrame(terminated)
        conditioners = {"action": Actions(space or spaces.Box(-1, 1, (2,), np.float32))}
        if wind:
            conditioners["wind"] = Actions(spaces.Box(-np.inf, np.inf, (2,), np.float32))
        return WorldModel(Picture(), Point(**options), conditioners, heads, {"state": Position()})

    def state(world: WorldModel, *positions: tuple[float, float]) -> Any:
        latents = torch.tensor(positions or [(0.0, 0.0)])[:, None]
        return world.start(latents, {}, torch.arange(len(latents)) + 7)

    def rng(rows: int = 1, seed: int = 0) -> Rng:
        return Rng(torch.arange(rows) + seed, torch.zeros(rows, dtype=torch.int64), PLANNER)

    return SimpleNamespace(world=world, state=state, rng=rng, goal=GOAL, paint=paint)
