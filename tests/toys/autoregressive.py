"""A toy strict autoregressive backend: ids of a frame, one after the other, by the Gumbel-max trick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cosmos_sdk.protocols import Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from toys.conditioners import Fusion
from toys.tokenizers import TOKENS, Ids

WIDTH = 8


@dataclass(frozen=True)
class Sampling:
    """Run-time options."""

    temperature: float = 1.0


class Autoregressive(nn.Module):
    """Token n of a frame from the frames before, the tokens before it, and a slot that holds the control."""

    context = window = 2
    chunk, feature_width, differentiable, stochastic = 1, WIDTH, False, True

    def __init__(self, conditioners: dict[str, Any]) -> None:
        super().__init__()
        self.sampling = Sampling()
        self.fusion = Fusion(conditioners, WIDTH)
        self.words = nn.Embedding(Ids.levels, WIDTH)
        self.past = nn.Linear(self.window * TOKENS * WIDTH, WIDTH)
        self.cell = nn.GRUCell(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, Ids.levels)

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return self.out.weight.new_zeros(len(latents), 1, WIDTH), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        hidden = self._slot(state.latents, self.fusion(dict(control.cond), 1, 1)[:, 0, 0])
        uniform = rng.uniform(TOKENS, Ids.levels).to(hidden)
        features, ids = [hidden], []
        for n in range(TOKENS):
            logits = self.out(hidden) / self.sampling.temperature
            ids.append((logits - (-uniform[:, n].log()).log()).argmax(-1))
            hidden = self.cell(self.words(ids[-1]), hidden)
            features.append(hidden)
        return Prediction(torch.stack(ids, 1)[:, None], torch.stack(features).mean(0)[:, None], {})

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        rows, num_frames = valid.shape
        cond = self.fusion(dict(control.cond), num_frames, 1)[:, :, 0]
        before = torch.cat((latents[:, :1].expand(-1, self.window, -1), latents), 1)
        hidden = torch.stack(
            [self._slot(before[:, f : f + self.window], cond[:, f]) for f in range(num_frames)], 1
        )
        hidden, ids = hidden.flatten(0, 1), latents.flatten(0, 1)
        features, errors = [hidden], []
        for n in range(TOKENS):
            errors.append(
                nn.functional.cross_entropy(self.out(hidden), ids[:, n], reduction="none")
            )
            hidden = self.cell(self.words(ids[:, n]), hidden)
            features.append(hidden)
        error = torch.where(valid, torch.stack(errors).mean(0).view(rows, -1), 0).sum(
            1
        ) / valid.sum(1)
        return {"cross_entropy": error}, torch.stack(features).mean(0).unflatten(0, (rows, -1))

    def _slot(self, past: Tensor, cond: Tensor) -> Tensor:
        return torch.tanh(self.past(self.words(past).flatten(1)) + cond)
