"""What rewards are still to come (DreamerV3, Hafner et al. 2023, arXiv:2301.04104)."""

from __future__ import annotations

import torch
from torch import Tensor


def lambda_returns(
    rewards: Tensor,
    values: Tensor,
    continues: Tensor | None,
    discount: float,
    trace: float,
    known: Tensor | None = None,
) -> Tensor:
    """R_t = r_t + discount c_t ((1 - trace) V_{t+1} + trace R_{t+1}), and R_H = V_H.

    Args:
        rewards: (B, H), of the steps.
        values: (B, H + 1), of the states before, between and after them.
        continues: (B, H), the probability that the episode goes on after each step; None: it does.
        discount: per step.
        trace: lambda: 0 trusts the value of the next state, 1 the rewards alone.
        known: (B, H) bool; before a step that is not, R_t = V_t, as if the steps ended there.

    Returns:
        (B, H).
    """
    after = values[:, -1]
    returns: list[Tensor] = []
    for t in reversed(range(rewards.shape[1])):
        weight = discount if continues is None else discount * continues[:, t]
        ahead = (1 - trace) * values[:, t + 1] + trace * after
        after = rewards[:, t] + weight * ahead
        if known is not None:
            after = torch.where(known[:, t], after, values[:, t])
        returns.append(after)
    return torch.stack(returns[::-1], 1) if returns else rewards  # no steps, no returns
