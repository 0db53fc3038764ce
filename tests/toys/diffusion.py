"""A toy diffusion backend: KV ring in memory, the commit of frame t fused into the first pass of frame t + 1."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from cosmos_sdk.protocols import Prediction
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Tensors, WorldState
from toys.conditioners import Fusion

WIDTH, LAYERS = 8, 2


@dataclass(frozen=True)
class Sampling:
    """Run-time options."""

    num_steps: int = 2


class Layer(nn.Module):
    """Attention of the tokens of one frame over the frames shown, then an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.mlp = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH)
        )

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """X (B, N, D) attends to frames (B, n, N, D) under a bias (B, n), which is -inf for hidden ones."""
        scores = (
            torch.einsum("bqd,bnkd->bqnk", self.query(x), keys) / WIDTH**0.5
            + bias[:, None, :, None]
        )
        weights = scores.flatten(2).softmax(-1).view_as(scores)
        x = x + torch.einsum("bqnk,bnkd->bqd", weights, values)
        return x + self.mlp(x)


class Diffusion(nn.Module):
    """Predicts the clean frame from a noisy one; sees `window` committed frames, each by its age."""

    chunk, feature_width, differentiable, stochastic = 1, WIDTH, True, True

    def __init__(
        self,
        latent_shape: tuple[int, int],
        conditioners: dict[str, Any],
        window: int = 3,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.context = self.window = window
        self.views, self.latent_shape = views, latent_shape
        self.sampling = Sampling()
        self.fusion = Fusion(conditioners, WIDTH)
        self.into, self.out = nn.Linear(latent_shape[1], WIDTH), nn.Linear(WIDTH, latent_shape[1])
        self.noise_level = nn.Linear(1, WIDTH)
        self.place = nn.Parameter(0.1 * torch.randn(latent_shape[0], WIDTH))
        self.age = nn.Parameter(0.1 * torch.randn(window + 1))  # 0 = the frame itself
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def start(self, latents: Tensor, control: Control, rng: Rng) -> tuple[Tensor, Tensors]:
        """Commits all context frames but the newest, whose commit is fused into the first predict."""
        rows, tokens = latents.shape[0], self.latent_shape[0]
        empty = latents.new_zeros(rows, LAYERS, self.window, tokens, WIDTH)
        count = torch.zeros_like(rng.time)
        ring = {"k": empty, "v": empty, "count": count}
        cond = self._cond(control, latents.shape[1])
        last = latents.shape[1] - 1
        for f in range(last):
            _, ring = self._commit(latents[:, f], {**ring, "cond": cond[:, f]})
        hidden, _ = self._pass(latents[:, last], cond[:, last], 0.0, ring)
        return hidden.mean(1)[:, None], {**ring, "cond": cond[:, last]}

    def predict(self, state: WorldState, control: Control, rng: Rng) -> Prediction:
        _, ring = self._commit(state.latents[:, -1], state.memory["backend"])
        cond = self._cond(control, 1)[:, 0]
        noise = rng.normal(*self.latent_shape).to(state.latents)
        x, hidden = self._sample(noise, lambda x, level: self._pass(x, cond, level, ring)[0])
        return Prediction(x[:, None], hidden.mean(1)[:, None], {**ring, "cond": cond})

    def full(self, latents: Tensor, control: Control, seed: Tensor) -> Tensor:
        """Without a cache: every frame from banded keys of all frames before it, layer by layer."""
        cond = self._cond(control, latents.shape[1])
        keys, values = self._banded(latents, cond)
        made = [latents[:, 0]]
        for f in range(1, latents.shape[1]):
            band = slice(max(0, f - self.window), f)
            bias = self.age[torch.arange(f - band.start, 0, -1)].expand(len(seed), -1)
            noise = (
                Rng(seed, torch.full_like(seed, f - self.context))
                .normal(*self.latent_shape)
                .to(latents)
            )

            def denoise(
                x: Tensor, level: float, f: int = f, band: slice = band, bias: Tensor = bias
            ) -> Tensor:
                h = self._tokens(x, cond[:, f], level)
                for layer, k, v in zip(self._layers(), keys, values, strict=True):
                    h = self._attend(layer, h, k[:, band], v[:, band], bias)
                return h

            made.append(self._sample(noise, denoise)[0])
        return torch.stack(made, 1)

    def loss(
        self, latents: Tensor, control: Control, valid: Tensor, rng: Rng
    ) -> tuple[Tensors, Tensor]:
        """Noisy targets under a clean context, one noise level per frame."""
        rows, num_frames = valid.shape
        cond = self._cond(control, num_frames)
        keys, values = self._banded(latents, cond)
        noise, level = (
            rng.normal(num_frames, *self.latent_shape).to(latents),
            rng.uniform(num_frames).to(latents),
        )
        features: list[Tensor] = []
        errors: list[Tensor] = []
        for f in range(num_frames):
            band = slice(max(0, f - self.window), f)
            bias = self.age[torch.arange(f - band.start, 0, -1)].expand(rows, -1)
            amount = level[:, f, None, None]
            h = self._tokens(
                (1 - amount) * latents[:, f] + amount * noise[:, f], cond[:, f], amount
            )
            for layer, k, v in zip(self._layers(), keys, values, strict=True):
                h = self._attend(layer, h, k[:, band], v[:, band], bias)
            features.append(h.mean(1))
            errors.append((self.out(h) - latents[:, f]).square().flatten(1).mean(1))
        error = torch.where(valid, torch.stack(errors, 1), 0).sum(1) / valid.sum(1)
        return {"denoising": error}, torch.stack(features, 1)

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def _cond(self, control: Control, num_frames: int) -> Tensor:  # (B, K, V * N, D)
        views = self.fusion(dict(control.cond), num_frames, self.views)
        return views.repeat_interleave(self.latent_shape[0] // self.views, 2)

    def _tokens(self, x: Tensor, cond: Tensor, level: Tensor | float) -> Tensor:
        level = torch.as_tensor(level, dtype=x.dtype).expand(len(x), 1, 1)
        return self.into(x) + cond + self.place + self.noise_level(level)

    def _sample(self, x: Tensor, denoise: Any) -> tuple[Tensor, Tensor]:
        """Euler steps of a straight flow from noise (level 1) to the frame (level 0)."""
        levels = torch.linspace(1, 0, self.sampling.num_steps + 1).tolist()
        hidden = x
        for level, after in pairwise(levels):
            hidden = denoise(x, level)
            x = x + (after - level) / level * (x - self.out(hidden))
        return x, hidden

    def _pass(
        self, x: Tensor, cond: Tensor, level: float, ring: Tensors
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """One frame (B, N, C) over the ring: its hidden tokens, and its own keys and values per layer."""
        count, slots = ring["count"][:, None], torch.arange(self.window)
        age = (count - 1 - slots) % self.window + 1  # frames between the one in a slot and this one
        bias = torch.where(age <= count, self.age[age], -torch.inf)  # (B, W)
        h, own = self._tokens(x, cond, level), []
        for i, layer in enumerate(self._layers()):
            own.append((layer.key(h), layer.value(h)))
            h = self._attend(layer, h, ring["k"][:, i], ring["v"][:, i], bias)
        return h, own

    def _attend(
        self, layer: Layer, h: Tensor, keys: Tensor, values: Tensor, bias: Tensor
    ) -> Tensor:
        """Frames shown, and the frame itself."""
        keys = torch.cat((keys, layer.key(h)[:, None]), 1)
        values = torch.cat((values, layer.value(h)[:, None]), 1)
        return layer(h, keys, values, torch.cat((bias, self.age[:1].expand(len(h), 1)), 1))

    def _commit(self, x: Tensor, memory: Tensors) -> tuple[Tensor, dict[str, Tensor]]:
        """Writes a clean frame into the ring, over the oldest; the position is each row's own."""
        hidden, own = self._pass(x, memory["cond"], 0.0, memory)
        here = (memory["count"][:, None] % self.window == torch.arange(self.window))[
            :, None, :, None, None
        ]
        k, v = (
            torch.stack(part, 1)[:, :, None] for part in zip(*own, strict=True)
        )  # (B, L, 1, N, D)
        ring = {"k": torch.where(here, k, memory["k"]), "v": torch.where(here, v, memory["v"])}
        return hidden, {**ring, "count": memory["count"] + 1}

    def _banded(self, latents: Tensor, cond: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Keys and values of every clean frame in every layer, (B, F, N, D)."""
        frames = [
            self._tokens(x, c, 0.0) for x, c in zip(latents.unbind(1), cond.unbind(1), strict=True)
        ]
        keys, values = [], []
        for layer in self._layers():
            k, v = (
                torch.stack([project(h) for h in frames], 1) for project in (layer.key, layer.value)
            )
            keys, values = [*keys, k], [*values, v]
            bands = [slice(max(0, f - self.window), f) for f in range(len(frames))]
            biases = [
                self.age[torch.arange(b.stop - b.start, 0, -1)].expand(len(latents), -1)
                for b in bands
            ]
            frames = [
                self._attend(layer, h, k[:, b], v[:, b], bias)
                for h, b, bias in zip(frames, bands, biases, strict=True)
            ]
        return keys, values
