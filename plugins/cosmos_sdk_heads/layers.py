"""What the heads share: an MLP, what they read of a frame, and the mean over what exists."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import Parts


def mlp(num_inputs: int, hidden: int, num_outputs: int, layers: int = 2) -> nn.Sequential:
    """Linear layers with SiLU between them; `layers` of them are hidden."""
    widths = [num_inputs, *[hidden] * layers]
    body: list[nn.Module] = []
    for width, wider in itertools.pairwise(widths):
        body += [nn.Linear(width, wider), nn.SiLU()]
    return nn.Sequential(*body, nn.Linear(widths[-1], num_outputs))


class FrameInput(nn.Module):
    """What a head sees of a frame: the features of the pass that made it and, if asked, its latent."""

    def __init__(self, parts: Parts, head: str, with_latents: bool) -> None:
        """Raises ConfigError when there is nothing to see."""
        super().__init__()
        self.with_latents = with_latents
        self.width = parts.backend.feature_width if parts.backend else 0
        if with_latents and parts.tokenizer:
            self.width += math.prod(parts.tokenizer.latent_shape)
        if not self.width:
            problem = f"heads.{head}: the backend offers no features (feature_width 0)"
            raise ConfigError([f"{problem}; set `latents: true` to read latents."])

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        """(B, F, width) of features (B, F, W) and at least F latents (B, n, *latent), one a frame, newest last."""
        if not self.with_latents:
            return features
        num_frames = features.shape[1]
        check_one_latent_a_frame(latents, num_frames)
        flat = latents[:, -num_frames:].flatten(2).to(features)
        return torch.cat((features, flat), -1)


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
