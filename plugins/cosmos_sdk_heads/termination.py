"""Probability that the episode ends with a transition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk_heads.layers import FrameInput, mean_where, mlp


@dataclass(frozen=True)
class TerminationHeadConfig:
    """Sizes, and how the rare positive class is handled."""

    hidden: int = 128
    positive_weight: float = 1.0  # of frames that end, in the loss; what is read stays calibrated
    prior: float = 0.01  # probability before training
    latents: bool = False  # read the frame's latent beside the backend's features

    def __post_init__(self) -> None:
        if self.positive_weight <= 0 or not 0 < self.prior < 1:
            got = f"{self.positive_weight} and {self.prior}"
            raise ValueError(f"positive_weight must be positive and prior in (0, 1); got {got}")


@final
class TerminationHead(nn.Module):
    """Binary cross-entropy on one logit a frame."""

    def __init__(self, config: TerminationHeadConfig, parts: Parts) -> None:
        super().__init__()
        where = f"heads.{parts.name or 'terminated'}"
        self.input = FrameInput(parts, where, features=True, latents=config.latents)
        self.layers = mlp(self.input.width, config.hidden, 1)
        # A weight w moves the optimal logit by log w: w p / (w p + 1 - p) has the logit of p plus log w.
        self.shift = math.log(config.positive_weight)
        self.positive_weight = config.positive_weight
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, math.log(config.prior / (1 - config.prior)) + self.shift)

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        """Probability (B, chunk) that the episode ends on arriving in each frame of `after`."""
        logit = self.layers(self.input.see(after))[..., 0]
        return torch.sigmoid(logit - self.shift), memory

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        """Weighted cross-entropy (B,); target k says whether the episode ended on arriving in frame k."""
        logit = self.layers(self.input(features, latents))[..., 0]  # (B, F)
        ended = target.values.reshape(target.mask.shape).to(logit)
        weight = logit.new_tensor(self.positive_weight)
        error = F.binary_cross_entropy_with_logits(
            logit, ended, pos_weight=weight, reduction="none"
        )
        return {"cross_entropy": mean_where(error, target.mask)}
