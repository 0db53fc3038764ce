"""From logits to tokens: temperature, top-k, top-p (Holtzman et al. 2020, arXiv:1904.09751), and counter-based noise.

Everything is a distribution: greedy choice is the one of temperature 0, with all its mass in one place. A token is
drawn by inverting the distribution at one uniform number, so a row's token is a function of its logits and its noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from cosmos_sdk.errors import SamplingError

MOST_STEPS = 8


@dataclass(frozen=True)
class AutoregressiveSampling:
    """Run-time options; a value that makes no sense is refused when it is set."""

    num_steps: int = 0  # passes that fill a frame in parallel, 1 to 8; 0: token after token
    medusa: int = 0  # heads that draft tokens ahead of strict decoding
    temperature: float = 1.0  # 0: the likeliest token
    top_k: int = 0  # only the k likeliest; 0: all
    top_p: float = 1.0  # only the likeliest that hold this mass together
    shuffle: float = 4.5  # of parallel decoding: noise on the order in which tokens are fixed
    unroll: int = 0  # in training: how deep the context of a clip is imagined
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        """Raises SamplingError for values outside what is legal."""
        legal = {
            "num_steps": (0 <= self.num_steps <= MOST_STEPS, "0 (strict) to 8"),
            "medusa": (self.medusa >= 0, "0 or more"),
            "temperature": (0 <= self.temperature < float("inf"), "0 (greedy) or more"),
            "top_k": (self.top_k >= 0, "0 (all) or more"),
            "top_p": (0 < self.top_p <= 1, "more than 0, at most 1; 1 keeps every token"),
            "unroll": (self.unroll >= 0, "0 (the true context) or more"),
            "shuffle": (0 <= self.shuffle < float("inf"), "0 or more"),
            "precision": (self.precision in ("float32", "bfloat16"), "'float32' or 'bfloat16'"),
        }
        for name, (holds, range_) in legal.items():
            if not holds:
                raise SamplingError(f"{name} is {getattr(self, name)!r}; expected {range_}.")
        if self.num_steps and self.medusa:
            raise SamplingError(
                f"num_steps={self.num_steps} decodes in parallel, where medusa={self.medusa} heads have nothing to "
                "draft; expected num_steps=0 or medusa=0."
            )


def check_finite(logits: Tensor) -> Tensor:
    """The logits (..., V), which are finite.

    Raises:
        SamplingError: a logit is NaN or infinite.
    """
    if not logits.is_meta and not bool(logits.isfinite().all()):
        raise SamplingError(
            "The logits hold NaN or infinity; expected finite numbers. Weights that are not finite make them, or "
            "latents and signals far outside what the world was trained on."
        )
    return logits


def distribution(logits: Tensor, options: AutoregressiveSampling) -> Tensor:
    """Probabilities (..., V) of finite logits (..., V) under the options."""
    logits, size = precise(logits), logits.shape[-1]
    if options.temperature == 0:
        return F.one_hot(logits.argmax(-1), size).to(logits)
    probabilities = torch.softmax(logits / options.temperature, -1)
    if options.top_k in range(1, size) or options.top_p < 1:
        probabilities = _truncated(probabilities, options)
    return probabilities


def _truncated(probabilities: Tensor, options: AutoregressiveSampling) -> Tensor:
    """Only the likeliest tokens, renormalised; the likeliest of all always stays."""
    ordered, index = probabilities.sort(dim=-1, descending=True, stable=True)
    keep = torch.ones_like(ordered, dtype=torch.bool)
    if options.top_k:
        keep[..., options.top_k :] = False
    if options.top_p < 1:
        keep &= ordered.cumsum(-1) - ordered < options.top_p
    kept = torch.where(keep, ordered, torch.zeros_like(ordered))
    kept = kept / kept.sum(-1, keepdim=True)
    return torch.zeros_like(kept).scatter(-1, index, kept)


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Tokens (...) int64 where the distribution function of (..., V) passes uniform (...) in (0, 1).

    Probabilities need not sum to 1. A token without mass is never drawn.
    """
    mass = probabilities.cumsum(-1).contiguous()
    total = mass[..., -1:]
    level = uniform[..., None].to(mass) * total
    # a uniform number may round to 1, and what lies beyond the last token with mass is no token
    level = torch.minimum(level, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(mass, level.contiguous(), right=True)[..., 0]


def choose(logits: Tensor, options: AutoregressiveSampling, uniform: Tensor) -> Tensor:
    """Tokens (...) drawn from finite logits (..., V) with the numbers (...); the likeliest ones need no draw."""
    if options.temperature == 0:
        return logits.argmax(-1)
    return draw(distribution(logits, options), uniform)


def entropy(logits: Tensor) -> Tensor:
    """Entropy (...) in nats of the model's own distribution, at temperature 1 and whole, of logits (..., V)."""
    logits = precise(logits)
    expected = (torch.softmax(logits, -1) * logits).sum(-1)
    return logits.logsumexp(-1) - expected


def cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    """Of logits (..., V) for tokens (...), in nats (...)."""
    flat = F.cross_entropy(logits.flatten(0, -2), tokens.flatten(), reduction="none")
    return flat.view(tokens.shape)


def log_prob(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-likelihood (...) in nats of frames (..., N) under logits (..., N, V)."""
    return -cross_entropy(precise(logits), tokens).sum(-1)


def precise(logits: Tensor) -> Tensor:
    """The same in float32, or in what is wider: probabilities of bfloat16 would not add up."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
