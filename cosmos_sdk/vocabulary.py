"""What a tokenizer may add to its role: latents that are tokens, whole numbers of a vocabulary.

The role `Tokenizer` does not ask for it. Latents are then (B, T, N) int64 in 0 .. vocabulary_size - 1. Autoregressive
backends need the vocabulary, and whoever reads latents as numbers needs `codes`: an index says nothing by its size.
Where all latents of a clip share their first tokens, `num_context_tokens` says how many; 0 by default.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Vocabulary(Protocol):
    """A tokenizer whose latents are tokens."""

    @property
    def vocabulary_size(self) -> int: ...
    def codes(self, indices: Tensor) -> Tensor: ...  # (..., N) -> (..., N, L) in [-1, 1]


class CodeUsage(NamedTuple):
    """How much of a vocabulary some tokens use."""

    share: float  # of the vocabulary that occurs at all
    perplexity: float  # exp of the entropy of the histogram: so many tokens would be used evenly


def code_usage(indices: Tensor, vocabulary_size: int) -> CodeUsage:
    """How much of the vocabulary indices (...) use; few indices cannot use much of a large one."""
    counts = torch.bincount(indices.flatten(), minlength=vocabulary_size).double()
    share = counts / counts.sum()
    entropy = -torch.xlogy(share, share).sum()
    return CodeUsage(float((counts > 0).double().mean()), float(entropy.exp()))
