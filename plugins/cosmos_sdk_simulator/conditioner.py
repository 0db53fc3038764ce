"""The raw action: a simulator reads it from `control.signals`, so that nothing has to be embedded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Masked, Tensors


@dataclass(frozen=True)
class SimulatorActionConfig:
    """It has no options."""


@final
class SimulatorAction:
    """Declares the action's space and makes no tokens (N = 0)."""

    start_space = None
    num_tokens = 0
    width = 1

    def __init__(self, config: SimulatorActionConfig, parts: Parts) -> None:
        """Raises ConfigError when the spec has no action of this conditioner's name."""
        known = parts.spec.spaces
        if parts.name not in known:
            choices = ", ".join(known) or "none"
            hint = did_you_mean(parts.name, known)
            raise ConfigError(
                [f"conditioners.{parts.name}: not in the spec.{hint} It has: {choices}."]
            )
        self.space = known[parts.name]

    def start(self, signal: Masked) -> Tensors:
        """Nothing is given once per episode."""
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        """No tokens: (B, K, 1, 0, 1)."""
        mask = signal.mask[:, :, None, None].expand(-1, -1, -1, 0)
        return Masked(mask[..., None].float(), mask), memory
