"""Sinusoidal embedding of time, height and width, added to tokens: an option beside the rotary one.

Cosmos (arXiv:2501.03575, section 5.2) adds it before every layer, each axis on its share of the width. Time is the
number of earlier frames that a frame sees. It stops at the size of the memory, so that step 10,000 looks like step 10.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from cosmos_sdk_autoregressive.rotary import axis_split, frame_positions


def sinusoid(positions: Tensor, width: int, theta: float = 10_000.0) -> Tensor:
    """Embedding (n, width) in float64 of positions (n, 3); sines first, then cosines, axis by axis."""
    parts: list[Tensor] = []
    for axis, channels in enumerate(axis_split(width)):
        exponent = torch.arange(0, channels, 2, dtype=torch.float64, device=positions.device)
        angles = positions[:, axis, None] * theta ** (-exponent / channels)
        parts += [angles.sin(), angles.cos()]
    return torch.cat(parts, 1)


@lru_cache(maxsize=128)
def frame_embedding(
    width: int, frames: int, grid: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """That of whole frames (frames, 1 + N, width); a slot has none, as the first token of Cosmos has none."""
    with torch.inference_mode(False), torch.device("cpu"):
        positions = frame_positions(torch.arange(frames), grid)
        table = sinusoid(positions, width).unflatten(0, (frames, -1))
        table[:, 0] = 0
        return table.to(dtype).to(device)  # a device may know no float64
