"""A world to know by heart: a dial that the action turns by 1 to 4 notches a frame, and scorers of it.

The frame is as bright as the dial is far. One scorer knows the rule, one says the same of everything, one has its sign
wrong. Imagined dials slip by chance, and a head says how often they have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.protocols import Prediction, Spec
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.open_loop import Windows
from toys.conditioners import Action

NOTCHES, SIZE, SURE = 128, 8, 0.9


class Dial:
    """Latents (B, F, 1) int64: two levels of brightness a notch."""

    latent_shape, vocabulary_size = (1,), NOTCHES

    def encode(self, frames: Tensor) -> Tensor:
        return frames[:, :, 0, 0, :1, 0].long() // 2

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        bright = (2 * latents[:, -num_frames:] + 1).to(torch.uint8)[..., None, None, None]
        return bright.expand(-1, -1, 1, 3, SIZE, SIZE)


@dataclass(frozen=True)
class Sampling:
    """The chance that a turn goes one notch too far."""

    slip: float = 0.0


class Turn:
    """The next notch follows from the last one and the action."""

    context = window = 2
    feature_width, differentiable = 1, False

    def __init__(self, scorer: str, chunk: int) -> None:
        self.scorer, self.chunk, self.sampling = scorer, chunk, Sampling()

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return torch.zeros(len(latents), self.chunk, 1), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        slips = (rng.uniform(self.chunk) < self.sampling.slip).long()
        moved = (motion(control.signals["action"].values) + slips).cumsum(1)
        latents = (state.latents[:, -1] + moved)[..., None]
        so_far = state.features[:, -1:] + slips.cumsum(1)[..., None]
        return Prediction(latents, so_far, {})


class ScoringTurn(Turn):
    """The same with a likelihood."""

    def score(
        self, state: WorldState, control: Control, latents: Tensor
    ) -> tuple[Prediction, Tensor]:
        before = torch.cat((state.latents[:, -1:], latents[:, :-1]), 1)[..., 0]
        right = latents[..., 0] == before + motion(control.signals["action"].values)
        log_prob = torch.where(right, math.log(SURE), math.log((1 - SURE) / (NOTCHES - 1)))
        sign = {"oracle": 1.0, "inverted": -1.0, "constant": 0.0}[self.scorer]
        return Prediction(latents, state.features, {}), sign * log_prob.sum(1)


class Slips:
    """How often the dial has slipped, (B, chunk)."""

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        return after.features[..., 0], memory


class Notch:
    """Where the dial stands, (B, 1)."""

    def read(self, state: WorldState) -> Tensor:
        return state.latents[:, -1].float()


def motion(actions: Tensor) -> Tensor:
    """Notches (B, K), 1 to 4, that actions (B, K, 2) in [-1, 1] turn the dial by: it only goes on."""
    return (2 * actions[..., 0] + 3).long().clamp(1, 4)


def dial_world(scorer: str = "oracle", chunk: int = 1, slip: float = 0.0) -> WorldModel:
    """A world of dials; `scorer` is oracle, constant, inverted or none."""
    box = spaces.Box(-1.0, 1.0, (2,), np.float32)
    backend: Any = (Turn if scorer == "none" else ScoringTurn)(scorer, chunk)
    spec = Spec((1, SIZE, SIZE), 10.0, {"action": box})
    parts = (Dial(), backend, {"action": Action(box)}, {"uncertainty": Slips()})
    return WorldModel(*parts, {"state": Notch()}, spec).using(slip=slip)


def dials(count: int, past: int, ahead: int) -> Windows:
    """True windows of dials that turn under random actions, and what they observe: the notch."""
    generator = torch.Generator().manual_seed(1)
    actions = 2 * torch.rand(count, past + ahead, 2, generator=generator) - 1
    first = torch.randint(0, 30, (count, 1), generator=generator)
    turned = motion(actions)
    notches = (first + turned.cumsum(1) - turned[:, :1])[..., None]
    frames = Dial().decode(notches, past + ahead)
    return Windows(frames.clone(), actions, notches.float(), past)
