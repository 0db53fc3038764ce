"""AdamW and its schedule. What decays and what does not, how the rate rises, holds and falls."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cosmos_sdk.training.recipe import StageConfig

Parameters = Mapping[str, nn.Parameter]


def adamw(parameters: Parameters, stage: StageConfig) -> torch.optim.AdamW:
    """AdamW (arXiv:1711.05101) that decays matrices and kernels; biases, norms and other vectors do not decay."""
    decays = [p for p in parameters.values() if p.ndim > 1]
    others = [p for p in parameters.values() if p.ndim <= 1]
    groups = [
        {"params": decays, "weight_decay": stage.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=stage.learning_rate, betas=stage.betas, eps=1e-8, fused=True
    )


def learning_rate(stage: StageConfig, step: int) -> float:
    """The rate of update `step`, counted from 0: linear warm-up, constant, then a fall over the last `decay` steps.

    `decay` absent is the usual cosine schedule; a short one is warm-up, stable, decay (WSD).
    """
    rise = min(1.0, (step + 1) / stage.warmup) if stage.warmup else 1.0
    decay = max(stage.steps - stage.warmup, 0) if stage.decay is None else stage.decay
    begun = step - (stage.steps - decay)
    progress = min(max(begun / decay, 0.0), 1.0) if decay else 0.0
    shapes = {
        "cosine": (1 + math.cos(math.pi * progress)) / 2,
        "linear": 1 - progress,
        "sqrt": 1 - math.sqrt(progress),
    }
    fall = stage.decay_to + (1 - stage.decay_to) * shapes[stage.decay_shape]
    return stage.learning_rate * rise * fall


def moments(optimiser: torch.optim.AdamW, parameters: Parameters) -> dict[str, Tensor]:
    """Adam's state by the names of the parameters: "backend.x/exp_avg"."""
    held = {name: optimiser.state[p] for name, p in parameters.items() if p in optimiser.state}
    return {
        f"{name}/{key}": tensor for name, state in held.items() for key, tensor in state.items()
    }


def restore(
    optimiser: torch.optim.AdamW, parameters: Parameters, held: Mapping[str, Tensor]
) -> None:
    """Gives an optimiser the moments of the parameters it shares with an earlier one; others start from nothing."""
    for flat, tensor in held.items():
        name, _, key = flat.rpartition("/")
        if name in parameters:
            optimiser.state[parameters[name]][key] = laid_out_as(parameters[name], tensor)


def laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """A copy with the device and strides of a parameter: the fused kernel pairs elements by their place in memory."""
    if tensor.shape != parameter.shape:
        return tensor.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
