"""Numbers as distributions over bins (DreamerV3, Hafner et al. 2023, arXiv:2301.04104).

Learned like this, large numbers cannot make a gradient explode.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def symexp_bins(count: int, limit: float = 20.0) -> Tensor:
    """Values (count,), increasing, that are even in symlog, sign(x) ln(1 + |x|), up to symexp(20) = 4.9e8.

    Opposite bins are equal but for their sign, and with an odd count the middle one is zero.

    Raises:
        ValueError: a count below 2.
    """
    if count < 2:
        raise ValueError(f"a number lies between bins; expected 2 or more, got {count}")
    odd = count % 2
    smallest = 0.0 if odd else limit / (count - 1)
    half = torch.linspace(smallest, limit, count // 2 + odd).expm1()
    return torch.cat((-half[odd:].flip(0), half))


def symmetric_mean(logits: Tensor, bins: Tensor) -> Tensor:
    """The expected value (*) under logits (*, n) of symmetric bins (n,), such as those of `symexp_bins`.

    Opposite bins are paired: a sum in their order would lose small values among terms of 1e8.
    """
    share = logits.softmax(-1)
    half = len(bins) // 2
    paired = share[..., -half:] - share[..., :half].flip(-1)
    return paired @ bins[-half:]


def cross_entropy(logits: Tensor, values: Tensor, bins: Tensor) -> Tensor:
    """How badly logits (*, n) say values (*): cross-entropy (*) to their two-hot code, in nats."""
    return -(two_hot(values, bins) * logits.log_softmax(-1)).sum(-1)


def two_hot(values: Tensor, bins: Tensor) -> Tensor:
    """Weights (*, n) on the two bins (n,) around each value (*); their mean over bins is the value, clipped."""
    values = values.clamp(bins[0], bins[-1]).contiguous()
    right = torch.searchsorted(bins, values, right=True).clamp(1, len(bins) - 1)
    left = right - 1
    share = (values - bins[left]) / (bins[right] - bins[left])
    lower, upper = F.one_hot(left, len(bins)), F.one_hot(right, len(bins))
    return lower * (1 - share)[..., None] + upper * share[..., None]
