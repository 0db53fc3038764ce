"""What a backend may add to its role: to say how likely a frame was that it did not imagine.

The role `Backend` does not ask for it. A diffusion backend has no likelihood at hand; one that draws tokens has it for
nothing. Callers go through `WorldModel.score`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from cosmos_sdk.protocols import Prediction
from cosmos_sdk.state import Control, WorldState


@runtime_checkable
class ScoringBackend(Protocol):
    """A backend whose next frames have a likelihood."""

    def score(
        self, state: WorldState, control: Control, latents: Tensor
    ) -> tuple[Prediction, Tensor]:
        """The step to observed latents (B, n, *latent), as many as `predict` appends, and their log-likelihood.

        It is the model's own, (B,) in nats given the past of the state and the control, whatever `sampling` says.
        """
        ...
