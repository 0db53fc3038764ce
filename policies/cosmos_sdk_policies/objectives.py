"""Objectives made of actions, of what the world doubts, and of other objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk.protocols import Objective, Rollout
from cosmos_sdk.state import Control
from cosmos_sdk_policies.reward_objective import discounted
from cosmos_sdk_policies.search import rows_of


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
class UncertaintyPenalty:
    """Cost (B,): the discounted sum of a head's values, such as the disagreement of an ensemble.

    Beside `RewardObjective` with the same discount, weight w makes it MOPO's penalised reward r - w u
    (Yu et al. 2020, arXiv:2005.13239): a plan is worth less where the world does not know.
    """

    discount: float = 0.99  # per frame
    head: str = "uncertainty"
    terminated: str = "terminated"  # nothing counts after a predicted end

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        """Raises UnknownNameError if the world has no such head."""
        return discounted(rollout, self.head, self.discount, self.terminated)


@final
@dataclass(frozen=True)
class WeightedSum:
    """Cost (B,): the sum of weight times cost, for terms (weight, objective)."""

    terms: Sequence[tuple[float, Objective]]

    @property
    def needs_latents(self) -> bool:
        """Whether any term does."""
        return any(getattr(objective, "needs_latents", False) for _, objective in self.terms)

    def rows(self, index: slice | Tensor) -> WeightedSum:
        """The same for some of the worlds."""
        return WeightedSum([(weight, rows_of(term, index)) for weight, term in self.terms])

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        """See the terms."""
        costs = [weight * objective.cost(rollout, control) for weight, objective in self.terms]
        return torch.stack(costs).sum(0)
