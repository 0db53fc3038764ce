"""Keys and values that attention remembers between steps, as the named tensors of a state's memory.

Shared by backends that keep a cache. What an entry stands for, and when it leaves, is their business.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from cosmos_sdk.state import Tensors

Entries = tuple[Tensor, Tensor]  # keys and values (..., S, d) of one layer, oldest first


def newest(entries: Entries, size: int) -> Entries:
    """The last `size` entries (..., size, d); what is missing is zero, at the front."""
    keys, values = (x[..., max(0, x.shape[-2] - size) :, :] for x in entries)
    missing = (0, 0, size - keys.shape[-2], 0)
    return F.pad(keys, missing), F.pad(values, missing)


def pack(entries: list[Entries]) -> dict[str, Tensor]:
    """Named tensors of a WorldState's memory, two for each layer."""
    named: dict[str, Tensor] = {}
    for i, (keys, values) in enumerate(entries):
        named |= {f"keys{i}": keys, f"values{i}": values}
    return named


def unpack(memory: Tensors) -> list[Entries]:
    """The inverse of `pack`; other names are passed over."""
    count = sum(name.startswith("keys") for name in memory)
    return [(memory[f"keys{i}"], memory[f"values{i}"]) for i in range(count)]
