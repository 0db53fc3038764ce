"""Predicted return, as the reward and termination heads see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from cosmos_sdk.errors import ShapeError, UnknownNameError
from cosmos_sdk.protocols import Rollout
from cosmos_sdk.state import Control


@final
@dataclass(frozen=True)
class RewardObjective:
    """Cost (B,): minus the discounted sum of rewards, each weighted by the probability that the episode still runs.

    The reward of the frame in which the episode ends counts; what comes after it does not. A world without the
    termination head never ends.
    """

    discount: float = 0.99  # per frame
    reward: str = "reward"
    terminated: str = "terminated"

    def cost(self, rollout: Rollout, control: Control) -> Tensor:
        """Raises UnknownNameError without the reward head."""
        return -discounted(rollout, self.reward, self.discount, self.terminated)


def discounted(rollout: Rollout, name: str, discount: float, terminated: str) -> Tensor:
    """The discounted sum (B,) of a head's values per frame, weighted by the probability that the episode still runs."""
    values = per_frame(rollout, name)  # (B, K)
    powers = torch.arange(values.shape[1], device=values.device)
    weights = discount**powers * running(rollout, terminated, values)
    # where nothing can count any more, not even a NaN of the head does
    return torch.where(weights > 0, weights * values, torch.zeros_like(values)).sum(1)


def per_frame(rollout: Rollout, name: str) -> Tensor:
    """One number per frame, (B, K), from a head that returns (B, K) or (B, K, 1)."""
    if name not in rollout.values:
        raise UnknownNameError(
            "value of this world", name, rollout.values, "Heads and readouts give them."
        )
    values = (
        rollout.values[name].flatten(2)
        if rollout.values[name].ndim > 2
        else rollout.values[name][..., None]
    )
    if values.shape[2] != 1:
        raise ShapeError(
            f"the value {name!r}", tuple(rollout.values[name].shape), "(B, K): a number per frame"
        )
    return values[..., 0]


def running(rollout: Rollout, terminated: str, like: Tensor) -> Tensor:
    """Probability (B, K) that the episode still runs when frame k is reached: it did not end in a frame before."""
    if terminated not in rollout.values:
        return torch.ones_like(like)
    survives = (1 - per_frame(rollout, terminated)).clamp(0, 1).cumprod(1)
    return torch.cat((torch.ones_like(survives[:, :1]), survives[:, :-1]), 1)
