"""Objectives made of actions, and of other objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk.protocols import Objective, Rollout
from cosmos_sdk.state import Control
from cosmos_sdk_policies.search import PerRow


@final
@dataclass(frozen=True)
class ActionPenalty:
    """Cost (B,): mean square of the actions, and of their changes from frame to frame."""

    size: float = 1.0
    change: float = 0.0
    scale: Sequence[float] | float = 1.0  # per component, the action that costs 1
    signal: str = "action"

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        """Raises UnknownNameError if the world takes no such signal."""
        if self.signal not in control.signals:
            raise UnknownNameError("signal", self.signal, control.signals)
        raw = control.signals[self.signal].values
        actions = (raw / torch.as_tensor(self.scale).to(raw)).flatten(2)  # (B, K, A)
        change = torch.diff(actions, dim=1, prepend=actions[:, :1])
        return self.size * actions.square().mean((1, 2)) + self.change * change.square().mean(
            (1, 2)
        )


@final
@dataclass(frozen=True)
class WeightedSum:
    """Cost (B,): the sum of weight times cost, for terms (weight, objective)."""

    terms: Sequence[tuple[float, Objective]]

    @property
    def needs_latents(self) -> bool:
        """Whether any term does."""
        return any(getattr(objective, "needs_latents", False) for _, objective in self.terms)

    def rows(self, index: slice) -> WeightedSum:
        """The same for some of the worlds."""
        return WeightedSum(
            [
                (weight, term.rows(index) if isinstance(term, PerRow) else term)
                for weight, term in self.terms
            ]
        )

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        """See the terms."""
        costs = [weight * objective.cost(rollout, control) for weight, objective in self.terms]
        return torch.stack(costs).sum(0)
