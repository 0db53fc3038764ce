"""The temporal memory of a world: keys and values of its last frames (B, N, H, S, d), oldest first.

The newest frame is appended and the oldest leaves, in one concatenation: a step may not write in place, so a ring
with a write position would copy as much, and would need a position per row. The age of an entry is its place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cosmos_sdk_diffusion.network import Entries


def shift(entries: Entries, before: Entries) -> Entries:
    """What to remember after attending to entries (B, N, H, S + 1, d): views of the last S, in the dtype of before."""
    keys, values = (new[..., 1:, :].to(old.dtype) for new, old in zip(entries, before, strict=True))
    return keys, values


def recent(size: int, device: torch.device) -> Tensor:
    """Distance (1, size + 1) of a frame to the frames in its memory and to itself."""
    return torch.arange(size, -1, -1, device=device)[None]


def visible(filled: Tensor, size: int) -> Tensor:
    """Which of `size` remembered frames and the frame itself exist (B, 1, size + 1), given how many are filled (B,)."""
    return (recent(size, filled.device) <= filled[:, None])[:, None]


def band(num_frames: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Distances (F, F), clipped to 0 .. size, and mask (1, F, F): frame f sees frames f - size .. f."""
    frame = torch.arange(num_frames, device=device)
    distance = frame[:, None] - frame[None, :]
    return distance.clamp(0, size), ((distance >= 0) & (distance <= size))[None]
