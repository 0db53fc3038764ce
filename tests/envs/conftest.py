"""A world small enough to know by heart: a dot that the action moves, with noise, and a reward where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.protocols import Head, Prediction, Spec
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk.world import WorldModel

SIZE = 40  # pixels; stable-baselines3 warns below 36


class DotTokenizer(nn.Module):
    """Latents are the place (x, y) of the dot in [0, 1]^2; a second camera sees the picture upside down."""

    latent_shape = (2,)

    def __init__(self, views: int) -> None:
        super().__init__()
        self.views = views

    def encode(self, frames: Tensor) -> Tensor:
        light = frames[:, :, 0, 0].double()  # (B, F, h, w)
        total = light.sum((-1, -2)).clamp(min=1.0)
        grid = (torch.arange(SIZE, dtype=torch.float64) + 0.5) / SIZE
        x = (light.sum(-2) * grid).sum(-1) / total
        y = (light.sum(-1) * grid).sum(-1) / total
        return torch.stack((x, y), -1).float()

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        grid = (torch.arange(SIZE) + 0.5) / SIZE
        place = latents[:, -num_frames:]
        x, y = place[..., 0, None, None], place[..., 1, None, None]
        distance = (grid[None, :] - x) ** 2 + (grid[:, None] - y) ** 2  # (B, F, h, w)
        image = (255 * torch.exp(-distance / 0.02)).to(torch.uint8)
        views = [image, image.flip(-2)][: self.views]
        return torch.stack(views, 2)[:, :, :, None].expand(-1, -1, -1, 3, -1, -1)


class Push(nn.Module):
    """The action (2,), or a number of 0..3, as its own token."""

    start_space = None
    num_tokens = 1
    width = 2

    def __init__(self, space: spaces.Space) -> None:
        super().__init__()
        self.space = space
        ways = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        self.ways = nn.Buffer(ways)

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        values = signal.values
        if isinstance(self.space, spaces.Discrete):
            values = self.ways[values]
        return Masked(values[:, :, None, None], signal.mask[:, :, None, None]), {}


@dataclass(frozen=True)
class DotSampling:
    """The size of the noise, a run-time option."""

    noise: float = 0.02


class DotBackend(nn.Module):
    """place + 0.1 * action + noise, `chunk` frames at a time."""

    context = 2
    feature_width = 0
    differentiable = True

    def __init__(self, chunk: int) -> None:
        super().__init__()
        self.chunk, self.window = chunk, max(2, chunk)
        self.sampling = DotSampling()
        self.scale = nn.Parameter(torch.tensor(0.1))

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        led = control.signals["action"].mask.sum(1)  # how many actions of the context were told
        return latents.new_zeros(len(latents), self.chunk, 0), {"led": led}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        push = self.scale * control.cond["action"].values[:, :, 0, 0]  # (B, chunk, 2)
        noise = self.sampling.noise * rng.normal(self.chunk, 2)
        place = (state.latents[:, -1:] + torch.cumsum(push + noise, 1)).clamp(0.0, 1.0)
        return Prediction(place, push.new_zeros(len(push), self.chunk, 0), state.memory["backend"])


class DotReward(nn.Module):
    """How far right the dot is, per frame."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        chunk = after.features.shape[1]
        return after.latents[:, -chunk:, :1], {}  # (B, chunk, 1)


class DotTerminated(nn.Module):
    """The probability that the dot has arrived right of 0.8, per frame."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        chunk = after.features.shape[1]
        return torch.sigmoid(100.0 * (after.latents[:, -chunk:, 0] - 0.8)), {}


class DotDoubt(nn.Module):
    """How far down the dot is, per frame: a head that judges nothing."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        chunk = after.features.shape[1]
        return after.latents[:, -chunk:, 1], {}  # (B, chunk)


class DotWay(nn.Module):
    """The step (dx, dy) to each frame's place from where the dot was, a head that says two numbers."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        chunk = after.features.shape[1]
        return after.latents[:, -chunk:] - before.latents[:, -1:], {}  # (B, chunk, 2)


class DotPlace(nn.Module):
    """The place of the dot, (B, 2)."""

    def read(self, state: WorldState) -> Tensor:
        return state.latents[:, -1]


def make_world(
    chunk: int = 1,
    views: int = 1,
    discrete: bool = False,
    targets: bool = True,
    talkative: bool = False,
) -> WorldModel:
    """Builds the dot world; a talkative one has the heads `uncertainty` and `way` beside those that judge."""
    bounds = np.ones(2, np.float32)
    space = spaces.Discrete(4) if discrete else spaces.Box(-bounds, bounds)
    known = {"state": spaces.Box(0 * bounds, bounds)} if targets else {}
    spec = Spec((views, SIZE, SIZE), 10.0, {"action": space}, known)
    heads: dict[str, Head] = {"reward": DotReward(), "terminated": DotTerminated()}
    if talkative:
        heads |= {"uncertainty": DotDoubt(), "way": DotWay()}
    parts = (DotTokenizer(views), DotBackend(chunk), {"action": Push(space)}, heads)
    return WorldModel(*parts, {"state": DotPlace()}, spec)


def dot_starts(world: WorldModel, seed: Tensor) -> WorldState:
    """A place in the left half, drawn from the seed."""
    place = 0.1 + 0.4 * Rng(seed, torch.zeros_like(seed), 9).uniform(1, 2)
    return world.start(place, {}, seed)


@pytest.fixture
def dot_world() -> Callable[..., WorldModel]:
    """The builder of dot worlds."""
    return make_world


@pytest.fixture
def starts() -> Callable[[WorldModel, Tensor], WorldState]:
    """Starts of a dot world."""
    return dot_starts
