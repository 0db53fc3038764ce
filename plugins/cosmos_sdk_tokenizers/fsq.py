"""Finite scalar quantisation (Mentzer et al. 2023, arXiv:2309.15505): a codebook that is a grid, with nothing to learn.

Every number of a code is bounded and rounded to one of a few levels. The codebook is the product of the levels, which
needs no loss of its own; an index is the code read as digits of a mixed base, the first component the last digit.
The details are those of the Cosmos tokenizer: levels (8, 8, 8, 5, 5, 5) have the basis 1, 8, 64, 512, 2560, 12800.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError, NotFiniteError, ShapeError, VocabularyError

MARGIN = 1e-3  # by which the bound passes the outermost level, so that this level is reached


@final
class FSQ(nn.Module):
    """Codes (..., L) on a grid in [-1, 1] <-> indices (...) int64, with the gradient of the identity."""

    sizes: Tensor
    widths: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        """Takes the number of levels of each component: (8, 8, 8, 5, 5, 5) has 64,000 codes.

        Raises:
            ConfigError: no levels, or a component of fewer than two.
        """
        super().__init__()
        if not levels or min(levels) < 2:
            legal = "one number or more, each at least 2, such as (8, 5, 5, 5)"
            raise ConfigError([f"levels: {tuple(levels)}; expected {legal}."])
        self.levels = tuple(levels)
        self.vocabulary_size = math.prod(levels)
        powers = [math.prod(levels[:n]) for n in range(len(levels))]
        sizes = torch.tensor(self.levels)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("widths", sizes // 2, persistent=False)  # code 1 is so many levels up
        self.register_buffer("basis", torch.tensor(powers), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """Codes (..., L) of unbounded numbers z (..., L), in single precision at least.

        The gradient passes the rounding as if it were not there (Bengio et al. 2013, arXiv:1308.3432).
        """
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        bounded = self.bound(z)
        levels = bounded.round().clamp(-self.widths, self.sizes - 1 - self.widths).detach()
        return (levels + (bounded - bounded.detach())) / self.widths

    def bound(self, z: Tensor) -> Tensor:
        """Numbers (..., L), of which rounding makes exactly the levels; zero stays zero.

        An even number of levels has one more below zero than above it, hence the offset of a half.
        """
        half = (self.sizes.to(z) - 1) * (1 + MARGIN) / 2
        offset = (self.sizes % 2 == 0).to(z) / 2
        return torch.tanh(z + torch.atanh(offset / half)) * half - offset

    def indices(self, codes: Tensor) -> Tensor:
        """Indices (...) int64 of codes (..., L) that `forward` made; half precision tells up to 255 levels apart.

        Raises:
            NotFiniteError: a code is NaN, which as a whole number would be some token like any other.
        """
        if not codes.is_meta and not bool(codes.isfinite().all()):
            remedy = "The encoder's weights, or the activations in low precision, are not finite."
            raise NotFiniteError("The codes of the tokenizer", remedy)
        digits = (codes * self.widths).round().long() + self.widths
        return (digits * self.basis).sum(-1)

    def codes(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Codes (..., L) of indices (...) of any integer dtype.

        Raises:
            ShapeError: the indices are not whole numbers.
            VocabularyError: an index outside 0 .. vocabulary_size - 1.
        """
        self.check(indices)
        digits = indices.long()[..., None] // self.basis % self.sizes
        return (digits - self.widths).to(dtype) / self.widths

    def check(self, indices: Tensor) -> None:
        """Raises what `codes` raises; indices on the meta device have no values to check."""
        if indices.is_floating_point() or indices.dtype == torch.bool:
            raise ShapeError("indices", indices.dtype, "whole numbers: torch.int64")
        if indices.is_meta or not indices.numel():
            return
        for extreme in torch.stack(torch.aminmax(indices)).tolist():
            if not 0 <= extreme < self.vocabulary_size:
                raise VocabularyError(extreme, self.vocabulary_size)
