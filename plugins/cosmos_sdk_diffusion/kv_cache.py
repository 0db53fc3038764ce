"""The temporal memory of a world: keys and values of its last frames (B, N, H, S, d), oldest first.

The newest frame is appended and the oldest leaves, in one concatenation: a step may not write in place, so a ring
with a write position would copy as much, and would need a position per row. The age of an entry is its place.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cosmos_sdk.state import Tensors
from cosmos_sdk_diffusion.network import Entries


def fill(entries: Entries, size: int) -> Entries:
    """The memory of `size` frames after frames with entries (B, N, H, F, d); what is missing is zero."""
    keys, values = (x[..., max(0, x.shape[-2] - size) :, :] for x in entries)
    missing = (0, 0, size - keys.shape[-2], 0)
    return F.pad(keys, missing), F.pad(values, missing)


def shift(entries: Entries, before: Entries) -> Entries:
    """What to remember after attending to entries (B, N, H, S + 1, d): views of the last S, in the dtype of before."""
    keys, values = (new[..., 1:, :].to(old.dtype) for new, old in zip(entries, before, strict=True))
    return keys, values


def pack(entries: list[Entries]) -> dict[str, Tensor]:
    """Named tensors of a WorldState's memory."""
    named: dict[str, Tensor] = {}
    for i, (keys, values) in enumerate(entries):
        named |= {f"keys{i}": keys, f"values{i}": values}
    return named


def unpack(memory: Tensors) -> list[Entries]:
    """The inverse of `pack`; other names are passed over."""
    count = sum(name.startswith("keys") for name in memory)
    return [(memory[f"keys{i}"], memory[f"values{i}"]) for i in range(count)]


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
