"""What trains the passes above noise level 0: diffusion forcing with shortcut steps.

Every frame of a clip has a level of its own (Chen et al. 2024, arXiv:2407.01392) and sees the frames before it through
their first pass, as when it is imagined. The finest step learns the clean frame; longer ones learn the change that two
half steps of the network make (Frans et al. 2024, arXiv:2410.12557; for clean frames, Dreamer 4, arXiv:2509.24527).
"""

from __future__ import annotations

import torch
from torch import Tensor

from cosmos_sdk.rng import Rng
from cosmos_sdk_diffusion.denoiser import (
    data_from_velocity,
    interpolate,
    ramp_weight,
    velocity_from_data,
)
from cosmos_sdk_diffusion.predictor import FramePredictor, Levels, Situation, View

FINEST = 8  # the shortest step is 1 / FINEST


def noisy_levels(latents: Tensor, bootstrap: float, rng: Rng) -> Levels:
    """Samples (B, F, N, C), tau (B, F) in (0, 1) and step sizes (B, F); `bootstrap` is the share of long steps.

    A step of size d starts at a multiple of d, never at 0: that is the first pass, which is not shown the sample.
    """
    frames = latents.shape[1]
    longest = FINEST.bit_length() - 2  # a half, as a power of 2 / FINEST
    exponent = (rng.uniform(frames) * longest).floor() + 1
    exponent = exponent * (rng.uniform(frames) < bootstrap)
    size = 2**exponent / FINEST
    count = 1 / size
    tau = (1 + (rng.uniform(frames) * (count - 1)).floor()) / count
    noise = rng.normal(*latents.shape[1:]).to(latents)
    tau, size = tau.to(latents), size.to(latents)
    return interpolate(latents, noise, _wide(tau)), tau, size


def diffusion_error(
    predictor: FramePredictor, clean: Tensor, situation: Situation, view: View, levels: Levels
) -> Tensor:
    """Weighted squared error (B, F) of the passes at these levels."""
    _, tau, size = levels
    predicted = predictor(situation, view, levels)[0]
    is_long = size > 1 / FINEST
    target = clean
    if bool(is_long.any()):
        shortcut = two_half_steps(predictor, situation, view, levels)
        target = torch.where(_wide(is_long), shortcut, clean)
    return ramp_weight(tau) * (predicted - target).square().mean((2, 3))


@torch.no_grad()
def two_half_steps(
    predictor: FramePredictor, situation: Situation, view: View, levels: Levels
) -> Tensor:
    """The clean frame to which the mean velocity of two half steps leads (B, F, N, C)."""
    sample, tau, size = levels
    half = size / 2
    clean = predictor(situation, view, (sample, tau, half))[0]
    first = velocity_from_data(sample, clean, _wide(tau))
    middle = sample + _wide(half) * first
    clean = predictor(situation, view, (middle, tau + half, half))[0]
    second = velocity_from_data(middle, clean, _wide(tau + half))
    return data_from_velocity(sample, (first + second) / 2, _wide(tau))


def _wide(x: Tensor) -> Tensor:  # (B, F) -> (B, F, 1, 1)
    return x[..., None, None]
