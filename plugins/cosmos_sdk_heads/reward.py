"""Expected reward of a transition, learned as a distribution over bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from cosmos_sdk.two_hot import cross_entropy, symexp_bins
from cosmos_sdk_heads.layers import FrameInput, mean_where, mlp


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
        logits = self.layers(self.input.see(after))
        return logits.softmax(-1) @ self.bins, memory

    def loss(self, latents: Tensor, features: Tensor, control: Control, target: Masked) -> Tensors:
        """Cross-entropy (B,) to the two-hot target; target k is the reward received on arriving in frame k."""
        logits = self.layers(self.input(features, latents))  # (B, F, bins)
        rewards = target.values.reshape(target.mask.shape).to(self.bins)
        return {"cross_entropy": mean_where(cross_entropy(logits, rewards, self.bins), target.mask)}


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
    return symexp_bins(count)
