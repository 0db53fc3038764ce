"""Clips of unequal length: what lies beyond a clip's end adds nothing to its loss."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_per_row(values: Tensor, row: Tensor, valid: Tensor) -> Tensor:
    """Mean (B,) of values (n,) that belong to rows `row` (n,); zero for a row without any. valid (B, F)."""
    total = values.new_zeros(len(valid)).index_add(0, row, values)
    count = torch.bincount(row, minlength=len(valid)).clamp(min=1)
    return total / count


def hold_last(frames: Tensor, valid: Tensor) -> Tensor:
    """Frames (B, F, ...) whose padding, on the right, repeats the last valid frame. valid (B, F)."""
    last = (valid.sum(1) - 1).clamp(min=0)
    index = torch.arange(valid.shape[1], device=valid.device).minimum(last[:, None])
    return frames[torch.arange(len(valid), device=valid.device)[:, None], index]
