"""How sure the autoregressive backend was of a frame that it imagined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Control, Tensors, WorldState


@dataclass(frozen=True)
class EntropyHeadConfig:
    """There is nothing to set."""


@final
class EntropyHead(nn.Module):
    """Mean entropy of a frame's tokens in nats, each given those before it: a feature of the backend.

    It reads what is there, and learns nothing. As the head `uncertainty` of a world it is what envs report.
    """

    def __init__(self, config: EntropyHeadConfig, parts: Parts) -> None:
        """Takes the place that `parts.name` says.

        Raises:
            ConfigError: the backend draws no tokens.
        """
        super().__init__()
        channel: int | None = getattr(parts.backend, "entropy_channel", None)
        if channel is None:
            name = type(parts.backend).__name__
            raise ConfigError(
                [
                    f"heads.{parts.name or 'uncertainty'}: the head 'entropy' reads the entropy of drawn tokens, and "
                    f"{name} draws none; expected the backend 'autoregressive'."
                ]
            )
        self.channel = channel

    def start(self, state: WorldState) -> Tensors:
        return {}

    def read(
        self, before: WorldState, control: Control, after: WorldState, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        """Entropy (B, chunk) in nats per token."""
        return after.features[..., self.channel], memory
