"""A conditioner with a memory: it embeds a signal together with how the signal changed since the frame before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Masked, Tensors


@dataclass(frozen=True)
class ChangeConfig:
    """What `conditioners: {action: {name: change, ...}}` may say."""

    width: int = 32

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width {self.width} has to be positive")


@final
class Change(nn.Module):
    """One token a frame. The signal is the one whose name the conditioner bears in the configuration."""

    start_space = None
    num_tokens = 1

    def __init__(self, config: ChangeConfig, parts: Parts) -> None:
        """Reads the signal's size from the spec."""
        super().__init__()
        space = parts.spec.spaces.get(parts.name)
        if space is None or space.shape is None or len(space.shape) != 1:
            raise ConfigError(
                [f"conditioners.{parts.name}: the spec declares no vector signal {parts.name!r}"]
            )
        self.space, self.width = space, config.width
        self.embedding = nn.Linear(2 * space.shape[0], config.width)

    def start(self, signal: Masked) -> Tensors:
        """Before the first frame the signal was zero. `signal` has no content: nothing is given once per episode."""
        size = self.embedding.in_features // 2
        return {"previous": self.embedding.weight.new_zeros(len(signal.mask), size)}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        """Signal (B, K, A) -> tokens (B, K, 1, 1, D), and the last signal (B, A) as memory."""
        before = torch.cat([memory["previous"][:, None], signal.values[:, :-1]], 1)
        tokens = self.embedding(torch.cat([signal.values, signal.values - before], -1))
        cond = Masked(tokens[:, :, None, None], signal.mask[:, :, None, None])
        return cond, {"previous": signal.values[:, -1]}
