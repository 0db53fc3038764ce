"""The smallest backend that learns: the next latent is the last one, moved by an MLP of it and the control."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from cosmos_sdk.protocols import Parts, Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState


@dataclass(frozen=True)
class ResidualConfig:
    """What `backend: {name: residual, ...}` may say."""

    width: int = 64  # of the hidden layer, which is also what heads read

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width {self.width} has to be positive")


@dataclass(frozen=True)
class ResidualSampling:
    """What `world.using(...)` may change at run time."""

    gain: float = 1.0  # on the predicted motion


@final
class Residual(nn.Module):
    """Deterministic and Markov: one latent of context, no memory, no noise."""

    context = window = chunk = 1
    differentiable, stochastic = True, False

    def __init__(self, config: ResidualConfig, parts: Parts) -> None:
        """Reads the latent's shape from the tokenizer, and one width for each conditioner."""
        super().__init__()
        if parts.tokenizer is None:
            raise ValueError("a backend is built after its tokenizer")
        size, width = math.prod(parts.tokenizer.latent_shape), config.width
        self.feature_width, self.sampling = width, ResidualSampling()
        self.project = nn.ModuleDict(
            {n: nn.Linear(c.width, width) for n, c in parts.conditioners.items()}
        )
        # Absence is a mask, never a value: what stands for a missing signal is learned.
        self.absent = nn.ParameterDict({name: torch.randn(width) for name in parts.conditioners})
        self.enter = nn.Linear(size, width)
        self.hidden = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.move = nn.Linear(width, size)

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        """Features (B, 1, W) of the context frame, and no memory."""
        return self._features(latents[:, -1:], control), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        """One more latent (B, 1, *latent)."""
        last = state.latents[:, -1:]
        features = self._features(last, control)  # (B, 1, W)
        motion = self.sampling.gain * self.move(features)
        return Prediction(last + motion.view_as(last), features, {})

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        """Squared error of every frame that has one before it, per row; latents (B, F, *latent), valid (B, F)."""
        before = torch.cat([latents[:, :1], latents[:, :-1]], 1)
        features = self._features(before, control)  # (B, F, W)
        error = (
            (before.flatten(2) + self.move(features) - latents.flatten(2)).square().mean(-1)
        )  # (B, F)
        counted = valid.clone()
        counted[:, 0] = False
        total = torch.where(counted, error, 0.0).sum(1)
        return {"squared_error": total / counted.sum(1).clamp(min=1)}, features

    def _features(self, latents: Tensor, control: Control) -> Tensor:
        """Latents (B, K, *latent) and the control that leads on from them -> (B, K, W)."""
        total = self.enter(latents.flatten(2))
        for name, tokens in control.cond.items():
            total = total + self._summary(name, tokens)
        return self.hidden(total)

    def _summary(self, name: str, tokens: Masked) -> Tensor:
        """Tokens (B, K|1, V|1, N, D) -> their mean (B, K|1, W)."""
        values = torch.where(
            tokens.mask[..., None], self.project[name](tokens.values), self.absent[name]
        )
        return values.mean((2, 3))
