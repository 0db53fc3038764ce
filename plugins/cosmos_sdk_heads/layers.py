"""What the heads share: an MLP, what they read of a frame, and the mean over what exists."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import Parts, Tokenizer
from cosmos_sdk.state import WorldState

ALL, NEWEST = slice(None), slice(-1, None)


def mlp(num_inputs: int, hidden: int, num_outputs: int, layers: int = 2) -> nn.Sequential:
    """Linear layers with SiLU between them; `layers` of them are hidden."""
    widths = [num_inputs, *[hidden] * layers]
    body: list[nn.Module] = []
    for width, wider in itertools.pairwise(widths):
        body += [nn.Linear(width, wider), nn.SiLU()]
    return nn.Sequential(*body, nn.Linear(widths[-1], num_outputs))


class LatentNumbers:
    """Latents (B, n, *latent) as numbers (B, n, width); those of a discrete tokenizer as their codes.

    An index into a vocabulary says nothing by its size. This is no Module: the world registers the tokenizer, which
    must not stand here a second time.
    """

    def __init__(self, tokenizer: Tokenizer, where: str) -> None:
        """Raises ConfigError for a vocabulary without `codes`."""
        self._codes: Callable[[Tensor], Tensor] | None = None
        if not hasattr(tokenizer, "vocabulary_size"):
            self.width = math.prod(tokenizer.latent_shape)
            return
        self._codes = getattr(tokenizer, "codes", None)
        if self._codes is None:
            given = f"{type(tokenizer).__name__} has a vocabulary, but no `codes(indices)`"
            raise ConfigError([f"{where}: {given}, and indices are not to be read as numbers."])
        self.width = self._codes(torch.zeros(tokenizer.latent_shape, dtype=torch.int64)).numel()

    def __call__(self, latents: Tensor) -> Tensor:
        return (latents if self._codes is None else self._codes(latents)).flatten(2)


class FrameInput(nn.Module):
    """What a head or readout sees of a frame: the features of the pass that made it, its latent, or both."""

    def __init__(self, parts: Parts, where: str, *, features: bool, latents: bool) -> None:
        """Raises ConfigError when there is nothing to see, or no way to see it; `where` is the path in the config."""
        super().__init__()
        self.with_features = features
        self.feature_width = parts.backend.feature_width if features and parts.backend else 0
        self.numbers = (
            LatentNumbers(parts.tokenizer, where) if latents and parts.tokenizer else None
        )
        self.latent_width = self.numbers.width if self.numbers else 0
        self.width = self.feature_width + self.latent_width
        if not self.width:
            lack = (
                "the backend offers no features (feature_width 0)"
                if features
                else "nothing to read"
            )
            raise ConfigError([f"{where}: {lack}; set `latents: true` to read latents."])

    def forward(self, features: Tensor, latents: Tensor, noise: Tensor | float = 0.0) -> Tensor:
        """What is seen, (B, F, width), of frames.

        Args:
            features: (B, F, W).
            latents: at least F, (B, n, *latent), one a frame, newest last.
            noise: added to the numbers of latents, (B, F, latent_width).
        """
        if self.numbers is None:
            return features
        num_frames = features.shape[1]
        check_one_latent_a_frame(latents, num_frames)
        numbers = self.numbers(latents[:, -num_frames:]) + noise
        return torch.cat((features, numbers.to(features)), -1) if self.with_features else numbers

    def see(self, state: WorldState, frames: slice = ALL) -> Tensor:
        """What is seen of the newest frames of a state; its latents are left alone if they are not wanted."""
        features = state.features[:, frames]
        return features if self.numbers is None else self(features, state.latents)


def check_one_latent_a_frame(latents: Tensor, num_frames: int) -> None:
    """Raises ShapeError for a tokenizer that compresses time."""
    if latents.shape[1] < num_frames:
        remedy = "The tokenizer compresses time; let the head read features."
        raise ShapeError(
            "latents", tuple(latents.shape), f"one a frame, (B, {num_frames}, ...)", remedy
        )


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean (B,) of values (B, F) where mask (B, F); zero for a row that has none."""
    present = torch.where(mask, values, torch.zeros_like(values))
    return present.sum(1) / mask.sum(1).clamp(min=1)


def seeds_of(values: Tensor) -> Tensor:
    """Seeds (B, F) as a function of values (B, F, P).

    A head is given no random numbers. Seeds taken from its target keep a row's loss its own, whatever batch it is in.
    """
    bits = values.double().view(torch.int64)
    odd = 2 * torch.arange(bits.shape[-1], device=bits.device) + 0x9E3779B97F4A7C15 % 2**62
    return ((bits ^ (bits >> 29)) * odd).sum(-1)  # wraps around
