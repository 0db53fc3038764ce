"""Expected reward of a transition, learned as a distribution over bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk_heads.layers import FrameInput, mean_where, mlp

SYMLOG_LIMIT = 20.0  # symexp(20) = 4.9e8


@dataclass(frozen=True)
class RewardHeadConfig:
    """Sizes, and what the head reads."""

    hidden: int = 128
    num_bins: int = 65
    latents: bool = False  # read the frame's latent beside the backend's features

    def __post_init__(self) -> None:
        if self.num_bins < 2 or self.hidden < 1:
            raise ValueError(
                f"num_bins must be 2 or more and hidden positive; got {self.num_bins}, {self.hidden}"
            )


@final
class RewardHead(nn.Module):
    """Two-hot regression (DreamerV3, Hafner et al. 2023, arXiv:2301.04104): outliers cannot make its gradient explode.

    Bins are even over the bounds of the target of this head's name; without bounds they are symexp-spaced.
    """

    bins: Tensor

    def __init__(self, config: RewardHeadConfig, parts: Parts) -> None:
        super().__init__()
        name = parts.name or "reward"
        self.input = FrameInput(parts, f"heads.{name}", features=True, latents=config.latents)
        self.layers = mlp(self.input.width, config.hidden, config.num_bins)
        self.register_buffer(
            "bins", make_bins(parts.spec.targets.get(name), config.num_bins, name), False
        )

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        """Expected reward (B, chunk) on arriving in each frame of `after`."""
        logits = self.layers(self.input(after.features, after.latents))
        return logits.softmax(-1) @ self.bins, memory

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        """Cross-entropy (B,) to the two-hot target; target k is the reward received on arriving in frame k."""
        log_probability = self.layers(self.input(features, latents)).log_softmax(-1)  # (B, F, bins)
        wanted = two_hot(target.values.reshape(target.mask.shape).to(self.bins), self.bins)
        return {"cross_entropy": mean_where(-(wanted * log_probability).sum(-1), target.mask)}


def make_bins(space: spaces.Space[object] | None, count: int, name: str) -> Tensor:
    """Bin values (count,), increasing, over a one-component Box or, without bounds, over the symlog range."""
    if space is None:
        space = spaces.Box(-np.inf, np.inf, (1,))
    if not isinstance(space, spaces.Box) or space.low.size != 1:
        raise ConfigError(
            [f"heads.{name}: a reward is one number; the spec's target {name!r} is {space}."]
        )
    if space.is_bounded():
        return torch.linspace(space.low.item(), space.high.item(), count)
    log = torch.linspace(-SYMLOG_LIMIT, SYMLOG_LIMIT, count)
    return log.sign() * log.abs().expm1()


def two_hot(values: Tensor, bins: Tensor) -> Tensor:
    """Weights (*, n) on the two bins (n,) around each value (*,); their mean over bins is the value, clipped."""
    values = values.clamp(bins[0], bins[-1]).contiguous()
    right = torch.searchsorted(bins, values, right=True).clamp(1, len(bins) - 1)
    left = right - 1
    share = (values - bins[left]) / (bins[right] - bins[left])
    size = len(bins)
    lower, upper = F.one_hot(left, size), F.one_hot(right, size)
    return lower * (1 - share)[..., None] + upper * share[..., None]
