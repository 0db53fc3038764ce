"""Two small built-in worlds: one to carry a conditioner under test, one to plan in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.errors import CosmosError
from cosmos_sdk.protocols import Conditioner, Prediction, Spec
from cosmos_sdk.rng import START, Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk.world import WorldModel

DRAG, FORCE, NOISE = 0.9, 0.3, 0.05
DIRECTIONS = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1))  # of keys


@dataclass(frozen=True)
class NoOptions:
    """A backend without run-time options."""


class MeanColour:
    """Latents (B, F, 3): the mean colour of a frame."""

    latent_shape = (3,)

    def encode(self, frames: Tensor) -> Tensor:
        return frames.double().mean((2, 4, 5)) / 255

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        colours = (
            (latents[:, -num_frames:, None, :, None, None] * 255).clamp(0, 255).to(torch.uint8)
        )
        return colours.expand(-1, -1, 1, 3, 4, 4)


class Echo:
    """Says through its features what the tokens of one conditioner are: their mean where they exist."""

    context, window, differentiable = 2, 1, False

    def __init__(self, name: str, conditioner: Conditioner, chunk: int) -> None:
        self.name, self.chunk, self.feature_width = name, chunk, conditioner.width
        self.sampling = NoOptions()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        heard = self._hear(control, self.context)[:, -1:]
        return heard.expand(-1, self.chunk, -1), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        return Prediction(state.latents, self._hear(control, self.chunk), {})

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        """Sum of squares, so that every parameter behind a token has a gradient."""
        heard = self._hear(control, valid.shape[1])
        return {"squared": torch.where(valid, heard.square().sum(2), 0).sum(1)}, heard

    def _hear(self, control: Control, num_frames: int) -> Tensor:  # (B, K, D)
        tokens = control.cond[self.name]
        weight = torch.arange(1, tokens.values.shape[3] + 1).to(
            tokens.values
        )  # tokens are told apart
        mean = (tokens.values * weight[:, None]).mean((2, 3))
        return mean.expand(-1, num_frames, -1)


def echo_world(name: str, conditioner: Conditioner, chunk: int) -> WorldModel:
    """A world whose features are the tokens of one conditioner."""
    known = {name: conditioner.space} if conditioner.space is not None else {}
    return WorldModel(
        MeanColour(),
        Echo(name, conditioner, chunk),
        {name: conditioner},
        {},
        {},
        Spec((1, 4, 4), 1.0, known),
    )


class Points:
    """Points in a plane under drag, pushed by the action: latents (B, 1, 4), position and velocity.

    v' = DRAG v + FORCE a + noise, x' = x + v'.
    """

    context = window = 1
    feature_width, stochastic = 0, True

    def __init__(self, chunk: int = 1, differentiable: bool = True, keys: bool = False) -> None:
        """With `keys` the action is the number of one of `DIRECTIONS`."""
        self.chunk, self.differentiable, self.keys = chunk, differentiable, keys
        self.sampling = NoOptions()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return latents.new_zeros(len(latents), self.chunk, 0), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        position, velocity = state.latents[:, -1, :2], state.latents[:, -1, 2:]
        noise = NOISE * rng.normal(self.chunk, 2).to(position)
        actions = control.signals["action"].values
        actions = position.new_tensor(DIRECTIONS)[actions] if self.keys else actions
        for k, action in enumerate(actions.unbind(1)):
            velocity = DRAG * velocity + FORCE * action.to(velocity) + noise[:, k]
            position = position + velocity
        latents = torch.cat((position, velocity), 1)
        if not self.differentiable:
            latents = latents.detach()
        return Prediction(latents[:, None], state.features, {})


class NoFrames:
    """Points have no pictures."""

    latent_shape = (4,)

    def encode(self, frames: Tensor) -> Tensor:
        raise CosmosError(
            "Points start from positions and velocities: world.start(latents, {}, seed)."
        )

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        raise CosmosError(
            "Points have no pictures: plan on their reward, or on the readout `state`."
        )


class RawAction:
    """The action as it is, one token."""

    start_space, num_tokens, width = None, 1, 2
    space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        return Masked(signal.values[:, :, None, None], signal.mask[:, :, None, None]), memory


class Key(RawAction):
    """The number of a direction; its token says nothing."""

    space = spaces.Discrete(len(DIRECTIONS))

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        values = signal.values[:, :, None, None, None].expand(-1, -1, 1, 1, self.width)
        return Masked(values.double(), signal.mask[:, :, None, None]), memory


class NearOrigin:
    """Reward (B, chunk): minus the squared distance to the origin, after the chunk."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        distance = after.latents[:, -1, :2].square().sum(1, keepdim=True)
        return -distance.expand(-1, control.signals["action"].mask.shape[1]), memory


class Newest:
    """The state itself, (B, 4)."""

    def read(self, state: WorldState) -> Tensor:
        return state.latents[:, -1]


def point_world(chunk: int = 1, differentiable: bool = True, keys: bool = False) -> WorldModel:
    """A world without weights that any planner can steer: bring the points to the origin.

    Signal `action`, Box(-1, 1, (2,)), with `keys` Discrete(5); head `reward`; readout `state`, position and velocity.
    """
    backend, action = Points(chunk, differentiable, keys), Key() if keys else RawAction()
    heads, readouts = {"reward": NearOrigin()}, {"state": Newest()}
    return WorldModel(NoFrames(), backend, {"action": action}, heads, readouts)


def point_starts(world: WorldModel, seed: Tensor) -> WorldState:
    """Points at rest, about one unit from the origin."""
    position = Rng(seed, torch.zeros_like(seed), START).normal(2).double()
    return world.start(torch.cat((position, torch.zeros_like(position)), 1)[:, None], {}, seed)
