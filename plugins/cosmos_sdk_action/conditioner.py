"""Actions as tokens: one token a frame, from which a backend also takes its per-frame adaLN.

IRASim (Zhu et al. 2024, arXiv:2406.14540) finds frame-level conditioning far better than one embedding
for the whole video. An absent action is a masked token. What stands in its place, and the dropout in
training that guidance needs, belong to the backend: it owns the learned null, and it holds the random
numbers of training, which `embed` does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Masked, Tensors


@dataclass(frozen=True)
class ActionConditionerConfig:
    """Sizes of the encoder."""

    width: int = 128  # D of the token; the backend projects it
    hidden: int = 128  # of the MLP for continuous actions

    def __post_init__(self) -> None:
        if min(self.width, self.hidden) < 1:
            raise ValueError(
                f"width and hidden must be positive; got {self.width} and {self.hidden}"
            )


@final
class ActionConditioner(nn.Module):
    """One embodiment's action, `Box` or `Discrete`, as one token. A block of k controls is `Box(k, A)`.

    A world of several embodiments has one conditioner for each, under its own name, masked where it does not apply.
    """

    start_space = None
    num_tokens = 1

    def __init__(self, config: ActionConditionerConfig, parts: Parts) -> None:
        """The space of `parts.spec.spaces` that bears the conditioner's name.

        Raises:
            ConfigError: the spec has no such space, or one that is neither a Box nor Discrete.
        """
        super().__init__()
        self.space = _space_of(parts)
        self.width = config.width
        if isinstance(self.space, spaces.Discrete):
            self.encoder: nn.Module = DiscreteEncoder(self.space, config.width)
        else:
            self.encoder = ContinuousEncoder(self.space, config.hidden, config.width)

    def start(self, signal: Masked) -> Tensors:
        """Nothing is given once per episode."""
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        """Tokens (B, K, 1, 1, D) of actions (B, K, *space.shape), where actions exist."""
        tokens = self.encoder(signal.zeroed().values)
        return Masked(tokens[:, :, None, None], signal.mask[:, :, None, None]), memory


class ContinuousEncoder(nn.Module):
    """An MLP on actions scaled by their bounds to [-1, 1]; components without bounds pass through symlog."""

    low: Tensor
    span: Tensor
    bounded: Tensor

    def __init__(self, space: spaces.Box, hidden: int, width: int) -> None:
        super().__init__()
        bounded = space.bounded_below & space.bounded_above
        # placeholders keep the branch that is not taken finite, and with it the gradient
        low, high = np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0)
        span = np.where(high > low, high - low, 1.0)  # a component that never moves
        self.register_buffer("low", torch.tensor(low, dtype=torch.float32), False)
        self.register_buffer("span", torch.tensor(span, dtype=torch.float32), False)
        self.register_buffer("bounded", torch.tensor(bounded), False)
        self.all_bounded = bool(bounded.all())
        layers = (nn.Linear(math.prod(space.shape), hidden), nn.SiLU(), nn.Linear(hidden, width))
        self.layers = nn.Sequential(*layers)

    def forward(self, actions: Tensor) -> Tensor:
        """Tokens (B, K, D) of actions (B, K, *space.shape)."""
        scaled = 2 * (actions - self.low) / self.span - 1
        if not self.all_bounded:
            scaled = torch.where(self.bounded, scaled, symlog(actions))
        return self.layers(scaled.flatten(2))


class DiscreteEncoder(nn.Module):
    """An embedding table."""

    def __init__(self, space: spaces.Discrete, width: int) -> None:
        super().__init__()
        self.first, self.count = int(space.start), int(space.n)
        self.table = nn.Embedding(self.count, width)

    def forward(self, actions: Tensor) -> Tensor:
        """Tokens (B, K, D) of actions (B, K) int64; an absent action, 0, may lie outside and reads any row."""
        return self.table((actions - self.first).clamp(0, self.count - 1))


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|) (DreamerV3, arXiv:2301.04104), written so that its derivative at 0 is 1, not 0."""
    return torch.where(x >= 0, x.clamp(min=0).log1p(), -(-x).clamp(min=0).log1p())


def _space_of(parts: Parts) -> spaces.Box | spaces.Discrete:
    name, known = parts.name or "action", parts.spec.spaces
    if name not in known:
        choices = ", ".join(known) or "none"
        problem = (
            f"conditioners.{name}: the spec has no action {name!r}.{did_you_mean(name, known)}"
        )
        raise ConfigError([f"{problem} It has: {choices}."])
    space = known[name]
    if not isinstance(space, spaces.Box | spaces.Discrete):
        raise ConfigError(
            [f"conditioners.{name}: an action is a Box or Discrete; the spec says {space}."]
        )
    return space
