"""The scale on which imagined returns are compared."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ReturnScale(nn.Module):
    """max(1, Per(R, 95) - Per(R, 5)), averaged over updates (DreamerV3, arXiv:2301.04104, actor learning).

    Large returns are scaled down, so that one weight of the entropy serves all rewards; small ones are not scaled up,
    because that would make noise of them where nothing can be won.
    """

    spread: Tensor
    num_updates: Tensor

    def __init__(self, decay: float = 0.99, low: float = 0.05, high: float = 0.95) -> None:
        super().__init__()
        self.decay, self.quantiles = decay, (low, high)
        self.register_buffer("spread", torch.zeros(()))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))

    def update(self, returns: Tensor) -> Tensor:
        """The scale (), after these returns have been counted."""
        low, high = torch.quantile(
            returns.detach().flatten().float(), returns.new_tensor(self.quantiles).float()
        )
        self.num_updates += 1
        self.spread.lerp_(high - low, 1 - self.decay)
        # the average begins at zero: what is missing of it is known (as in Adam)
        return (self.spread / (1 - self.decay ** float(self.num_updates))).clamp_min(1.0)
