"""Averaged weights: a slow copy that is smoother than the last step's, and the one that is validated and saved."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Parameters = Mapping[str, nn.Parameter]


class AveragedWeights:
    """An exponential moving average of named parameters, begun at their first sight."""

    def __init__(self, shadow: Mapping[str, Tensor] | None = None, num_updates: int = 0) -> None:
        """Continues from tensors that `tensors` returned."""
        self.shadow, self.num_updates = dict(shadow or {}), num_updates

    @torch.no_grad()
    def update(self, parameters: Parameters, decay: float) -> None:
        """One step towards the weights. Early on the decay is (1 + n) / (10 + n), so that the start is forgotten."""
        new = {
            name: p.detach().clone() for name, p in parameters.items() if name not in self.shadow
        }
        self.shadow |= new
        decay = min(decay, (1 + self.num_updates) / (10 + self.num_updates))
        shadow = [self.shadow[name] for name in parameters]
        torch._foreach_lerp_(shadow, [p.detach() for p in parameters.values()], 1 - decay)  # pyright: ignore
        self.num_updates += 1

    @torch.no_grad()
    def commit(self, parameters: Parameters) -> None:
        """Writes the average into the parameters and forgets it: what it covers has finished training."""
        for name, parameter in parameters.items():
            if name in self.shadow:
                parameter.copy_(self.shadow.pop(name))
        if not self.shadow:
            self.num_updates = 0

    @contextmanager
    def applied(self, parameters: Parameters) -> Generator[None]:
        """The parameters hold the average inside the block, and their own values after it."""
        names = [name for name in parameters if name in self.shadow]
        own = {name: parameters[name].detach().clone() for name in names}
        with torch.no_grad():
            for name in names:
                parameters[name].copy_(self.shadow[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name in names:
                    parameters[name].copy_(own[name])
