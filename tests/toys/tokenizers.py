"""Toy tokenizers: patches, patches of time, ids, one vector."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Masked, Tensors

SIZE, PATCH = 8, 4
TOKENS = (SIZE // PATCH) ** 2  # per view
PIXELS = 3 * PATCH**2


def to_patches(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """Frames (B, F, V, 3, 8, 8) uint8 as tokens (B, F, V * 4, 48) in [-1, 1]."""
    grid = frames.unflatten(5, (-1, PATCH)).unflatten(4, (-1, PATCH))  # (B, F, V, 3, 2, 4, 2, 4)
    tokens = grid.permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5).flatten(2, 4)
    return tokens.to(dtype) / 127.5 - 1


def to_frames(tokens: Tensor) -> Tensor:
    """The inverse of `to_patches`."""
    side = SIZE // PATCH
    grid = tokens.unflatten(3, (3, PATCH, PATCH)).unflatten(2, (-1, side, side))
    images = grid.permute(0, 1, 2, 5, 3, 6, 4, 7).flatten(6, 7).flatten(4, 5)
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class Patches(nn.Module):
    """One latent per frame: (V * 4, width)."""

    def __init__(self, views: int = 1, width: int = 4) -> None:
        super().__init__()
        self.latent_shape = (views * TOKENS, width)
        self.encoder, self.decoder = nn.Linear(PIXELS, width), nn.Linear(width, PIXELS)

    def encode(self, frames: Tensor) -> Tensor:
        return self.encoder(to_patches(frames, self.encoder.weight.dtype))

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        return to_frames(self.decoder(latents[:, -num_frames:]))

    def loss(
        self, frames: Tensor, valid: Tensor, targets: Mapping[str, Masked], rng: Rng
    ) -> Tensors:
        pixels = to_patches(frames, self.encoder.weight.dtype)
        error = (self.decoder(self.encoder(pixels)) - pixels).square().flatten(2).mean(2)
        return {"reconstruction": torch.where(valid, error, 0).sum(1) / valid.sum(1)}


class TimePatches(nn.Module):
    """Frames 1 + 4m to latents 1 + m: four frames share a latent, which is a difference to the latent before."""

    stride = 4

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.latent_shape = (TOKENS, width)
        self.encoder, self.decoder = nn.Linear(PIXELS, width), nn.Linear(width, PIXELS)
        self.later = nn.Linear(self.stride * PIXELS, width)
        self.since = nn.Linear(2 * width, self.stride * PIXELS)

    def encode(self, frames: Tensor) -> Tensor:
        pixels = to_patches(frames, self.encoder.weight.dtype)
        groups = pixels[:, 1:].unflatten(1, (-1, self.stride)).transpose(2, 3).flatten(3)
        return torch.cat((self.encoder(pixels[:, :1]), self.later(groups)), 1)

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        first = self.decoder(latents[:, :1])
        pairs = torch.cat((latents[:, :-1], latents[:, 1:]), -1)
        later = self.since(pairs).unflatten(-1, (self.stride, PIXELS)).transpose(2, 3).flatten(1, 2)
        return to_frames(torch.cat((first, later), 1)[:, -num_frames:])


class Ids(nn.Module):
    """One whole number in 0..15 per patch: its brightness."""

    latent_shape, levels = (TOKENS,), 16

    def encode(self, frames: Tensor) -> Tensor:
        bright = (to_patches(frames, torch.float32).mean(-1) + 1) / 2
        return (bright * self.levels).long().clamp(0, self.levels - 1)

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        bright = (latents[:, -num_frames:].float() + 0.5) / self.levels * 2 - 1
        return to_frames(bright[..., None].expand(*bright.shape, PIXELS))


class Vector(nn.Module):
    """One vector per frame, all views merged."""

    def __init__(self, views: int = 1, width: int = 5) -> None:
        super().__init__()
        self.latent_shape = (width,)
        self.encoder = nn.Linear(views * TOKENS * PIXELS, width)
        self.decoder = nn.Linear(width, views * TOKENS * PIXELS)

    def encode(self, frames: Tensor) -> Tensor:
        return self.encoder(to_patches(frames, self.encoder.weight.dtype).flatten(2))

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        return to_frames(self.decoder(latents[:, -num_frames:]).unflatten(2, (-1, PIXELS)))
