"""The state of the scene, read off the newest frame: simulator state or proprioception."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.rng import FIRST_PRIVATE_STREAM, Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk_heads.layers import NEWEST, FrameInput, mean_where, mlp, seeds_of

NOISE_STREAM = FIRST_PRIVATE_STREAM + 1


@dataclass(frozen=True)
class StateReadoutConfig:
    """Sizes, what the readout reads, and how it is made ready for imagined latents."""

    hidden: int = 256
    noise: float = 0.1  # latents get noise of a standard deviation up to this, so that imagined ones are read well
    beta: float = 0.02  # error below which the loss is quadratic; [-1, 1] spans the target
    latents: bool = True  # read the newest latent: its numbers, or the codes of its tokens
    features: bool = False  # read the features of the pass that made the newest frame, alone or beside its latent


@final
class StateReadout(nn.Module):
    """An MLP on the newest latent, on features, or on both, trained by smooth L1 on every frame.

    The target of this readout's name must be a bounded Box (P,). A component that spans a full turn
    (2 pi, to 1e-3) is an angle: it is predicted as cosine and sine, so that nothing jumps where it wraps.

    Latents tell what the frame shows, as far as its numbers or tokens go. Features also know what led to it; they are
    the backend's, which the loss of the readout reaches.
    """

    def __init__(self, config: StateReadoutConfig, parts: Parts) -> None:
        """Raises ConfigError without a bounded target or without anything to read."""
        super().__init__()
        name = parts.name or "state"
        space = parts.spec.targets.get(name)
        if not isinstance(space, spaces.Box) or not space.is_bounded():
            given = "none" if space is None else str(space)
            wanted = "needs a bounded Box under spec.targets"
            raise ConfigError([f"readouts.{name}: {wanted}; got {given}."])
        self.config = config
        self.code = StateCode(space)
        where = f"readouts.{name}"
        self.input = FrameInput(parts, where, features=config.features, latents=config.latents)
        self.layers = mlp(self.input.width, config.hidden, self.code.width)

    def read(self, state: WorldState) -> Tensor:
        """The state (B, P) in the units of the target and within its bounds; an angle from low up to low + 2 pi."""
        seen = self.input.see(state, NEWEST)
        return self.code.decode(self._predict(seen)[:, -1])

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        """Smooth L1 (B,) in code units, over all frames whose target (B, F, P) exists."""
        values = target.zeroed().values.flatten(2).to(self.code.low)
        noise: Tensor | float = 0.0
        if self.config.noise and self.input.latent_width:
            noise = self.config.noise * _noise(values, self.input.latent_width)
        seen = self.input(features, latents.detach(), noise)
        error = F.smooth_l1_loss(
            self._predict(seen), self.code(values), beta=self.config.beta, reduction="none"
        )
        return {"smooth_l1": mean_where(error.mean(-1), target.mask)}

    def _predict(self, seen: Tensor) -> Tensor:
        return self.layers(seen.to(self.code.low))


class StateCode(nn.Module):
    """Numbers of a bounded Box to [-1, 1], angles to cosine and sine; and back."""

    low: Tensor
    span: Tensor

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        low, high = np.float64(space.low.ravel()), np.float64(space.high.ravel())
        turns = np.abs(high - low - 2 * math.pi) < 1e-3
        self.angles, self.plain = np.flatnonzero(turns).tolist(), np.flatnonzero(~turns).tolist()
        # where each component stands after [plain, angles]
        self.order = np.argsort(np.r_[np.flatnonzero(~turns), np.flatnonzero(turns)]).tolist()
        self.width = len(self.plain) + 2 * len(self.angles)
        self.register_buffer("low", torch.tensor(low, dtype=torch.float32), persistent=False)
        span = np.where(high > low, high - low, 1.0)  # a component that never moves
        self.register_buffer("span", torch.tensor(span, dtype=torch.float32), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """Codes (..., width) of values (..., P): plain numbers, cosines, sines."""
        scaled = 2 * (values - self.low) / self.span - 1
        turn = values[..., self.angles]
        return torch.cat((scaled[..., self.plain], turn.cos(), turn.sin()), -1)

    def decode(self, code: Tensor) -> Tensor:
        """Values (..., P) of codes (..., width), clipped to the bounds."""
        n = len(self.angles)
        plain, cosine, sine = code.split((len(self.plain), n, n), -1)
        number = (plain.clamp(-1, 1) + 1) / 2 * self.span[self.plain] + self.low[self.plain]
        low = self.low[self.angles]
        turn = torch.remainder(torch.atan2(sine, cosine) - low, 2 * math.pi)
        turn = torch.where(
            turn < 2 * math.pi, turn, torch.zeros_like(turn)
        )  # remainder can round up to a full turn
        return torch.cat((number, turn + low), -1)[..., self.order]


def _noise(values: Tensor, width: int) -> Tensor:
    """Noise (B, F, width) as a function of values (B, F, P) and the frame's place; level uniform in (0, 1).

    A frame that comes again at another place of its clip comes with other noise.
    """
    seed = seeds_of(values)
    place = torch.arange(values.shape[1], device=values.device).expand_as(seed)
    rng = Rng(seed.flatten(), place.flatten(), NOISE_STREAM)
    return (rng.uniform(1) * rng.normal(width)).unflatten(0, seed.shape)
