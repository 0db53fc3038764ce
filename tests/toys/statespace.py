"""A toy state-space backend: a recurrent vector, blocks of five controls a frame, an ensemble of three by rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cosmos_sdk.protocols import Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from toys.conditioners import Fusion

WIDTH, MEMBERS = 8, 3


@dataclass(frozen=True)
class Sampling:
    """Run-time options."""

    temperature: float = 1.0


class StateSpace(nn.Module):
    """h' = GRU(x, u, h); x' = h' W_m + noise. The member m is a function of the row's seed, so `reseed` samples it."""

    context = window = chunk = 1
    feature_width, differentiable, stochastic = WIDTH, True, True

    def __init__(self, width: int, conditioners: dict[str, Any]) -> None:
        super().__init__()
        self.sampling = Sampling()
        self.fusion = Fusion(conditioners, WIDTH)
        self.cell = nn.GRUCell(width + WIDTH, WIDTH)
        self.members = nn.Parameter(0.3 * torch.randn(MEMBERS, WIDTH, width))

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        hidden = self.members.new_zeros(len(latents), WIDTH)
        return hidden[:, None], {"hidden": hidden}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        cond = self.fusion(dict(control.cond), 1, 1)[:, 0, 0]
        hidden = self.cell(
            torch.cat((state.latents[:, 0], cond), 1), state.memory["backend"]["hidden"]
        )
        mean = torch.einsum("bh,bhd->bd", hidden, self.members[state.seed % MEMBERS])
        noise = rng.normal(mean.shape[1]).to(mean)
        latents = mean + 0.05 * self.sampling.temperature * noise
        return Prediction(latents[:, None], hidden[:, None], {"hidden": hidden})

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        """Every member learns every sequence, as the toy is small."""
        rows, num_frames = valid.shape
        cond = self.fusion(dict(control.cond), num_frames, 1)[:, :, 0]
        hidden = self.members.new_zeros(rows, WIDTH)
        features, errors = [hidden], [latents.new_zeros(rows)]
        for f in range(1, num_frames):
            hidden = self.cell(torch.cat((latents[:, f - 1], cond[:, f]), 1), hidden)
            mean = torch.einsum("bh,mhd->bmd", hidden, self.members)
            features.append(hidden)
            errors.append((mean - latents[:, f, None]).square().flatten(1).mean(1))
        error = torch.where(valid, torch.stack(errors, 1), 0).sum(1) / valid.sum(1)
        return {"squared": error}, torch.stack(features, 1)
