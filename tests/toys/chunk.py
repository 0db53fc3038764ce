"""A toy backend that makes 12 frames at once in a tokenizer with 4x time compression, and its single-action wrapper."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cosmos_sdk.protocols import Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, Tensors, WorldState
from toys.conditioners import Fusion
from toys.tokenizers import TOKENS, TimePatches

WIDTH = 8


@dataclass(frozen=True)
class Sampling:
    """Run-time options."""

    temperature: float = 1.0


class Chunk(nn.Module):
    """Conditions on the newest frame, which it encodes anew as Cosmos does; returns the whole window."""

    context, window, chunk, feature_width, stochastic = 13, 4, 12, WIDTH, True
    differentiable = False  # the next condition passes through uint8 frames

    def __init__(self, tokenizer: TimePatches, conditioners: dict[str, Any]) -> None:
        super().__init__()
        self.sampling = Sampling()
        self._tokenizer = (tokenizer,)  # in a tuple: registered by the world, not twice
        channels = tokenizer.latent_shape[1]
        self.channels = channels
        self.fusion = Fusion(conditioners, WIDTH)
        self.into = nn.Linear(TOKENS * channels + self.chunk * WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, (self.window - 1) * TOKENS * channels)
        self.frames = nn.Linear(WIDTH, self.chunk * WIDTH)

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        return self.out.weight.new_zeros(len(latents), self.chunk, WIDTH), {}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        tokenizer = self._tokenizer[0]
        condition = tokenizer.encode(tokenizer.decode(state.latents, 1))  # (B, 1, N, C)
        made, features = self._make(condition, self.fusion(dict(control.cond), self.chunk, 1))
        noise = rng.normal(*made.shape[1:]).to(made)
        return Prediction(
            torch.cat((condition, made + 0.1 * self.sampling.temperature * noise), 1), features, {}
        )

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        """Every three latents from the one before them; the frames of one latent are valid together."""
        rows, num_frames = valid.shape
        step, num_chunks = self.window - 1, (num_frames - 1) // self.chunk
        cond = self.fusion(dict(control.cond), num_frames, 1)[:, 1:]
        total, told = latents.new_zeros(rows), [self.out.weight.new_zeros(rows, 1, WIDTH)]
        for c in range(num_chunks):
            made, features = self._make(
                latents[:, c * step, None], cond[:, c * self.chunk : (c + 1) * self.chunk]
            )
            error = (
                (made - latents[:, c * step + 1 : (c + 1) * step + 1]).square().flatten(1).mean(1)
            )
            total = total + torch.where(valid[:, (c + 1) * self.chunk], error, 0)
            told.append(features)
        return {"squared": total}, torch.cat(told, 1)

    def _make(self, condition: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.tanh(self.into(torch.cat((condition.flatten(1), cond.flatten(1)), 1)))
        made = self.out(hidden).view(-1, self.window - 1, TOKENS, self.channels)
        return made, self.frames(hidden).unflatten(1, (self.chunk, WIDTH))


class SingleAction(nn.Module):
    """One action a step from a backend of chunks: hold it, keep the first frame, encode the newest frames again."""

    chunk, differentiable = 1, False

    def __init__(self, inner: Chunk, tokenizer: TimePatches) -> None:
        super().__init__()
        self.inner, self._tokenizer = inner, (tokenizer,)
        self.context, self.window, self.stochastic = inner.context, inner.window, inner.stochastic
        self.feature_width = inner.feature_width

    @property
    def sampling(self) -> Sampling:
        return self.inner.sampling

    @sampling.setter
    def sampling(self, options: Sampling) -> None:
        inner = copy.copy(
            self.inner
        )  # a copy of this wrapper shares the inner backend, and the dict that holds it
        inner.sampling = options
        self._modules = {**self._modules, "inner": inner}

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        features, memory = self.inner.start(latents, control, rng)
        return features[:, -1:], memory

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        new = self.inner.predict(state, _held(control, self.inner.chunk), rng)
        tokenizer = self._tokenizer[0]
        past = tokenizer.decode(state.latents, self.context - 1)
        frame = tokenizer.decode(new.latents, self.inner.chunk)[:, :1]
        latents = tokenizer.encode(torch.cat((past, frame), 1))
        return replace(new, latents=latents, features=new.features[:, :1])


def _held(control: Control, length: int) -> Control:
    def hold(part: Mapping[str, Masked]) -> dict[str, Masked]:
        return {
            n: Masked(
                m.values.expand(-1, length, *m.values.shape[2:]),
                m.mask.expand(-1, length, *m.mask.shape[2:]),
            )
            for n, m in part.items()
        }

    return Control(hold(control.signals), hold(control.cond))
