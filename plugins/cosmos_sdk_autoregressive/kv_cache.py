"""Keys and values of the last frames (B, H, S, d), oldest first: S = memory frames of P = 1 + N positions.

Keys are turned once, by the time of their frame: only differences of time count, so nothing is turned again. Rows that
have seen fewer frames know how many (`filled`). While a frame is made, its entries go to fresh memory behind those of
the past; only there is anything written.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from cosmos_sdk.key_values import Entries


class Memory(Protocol):
    """What a layer's attention sees beside its own positions."""

    def put(self, keys: Tensor, values: Tensor) -> Entries:
        """Takes the entries of a pass, and returns all that the pass attends to."""
        ...


class Recorded:
    """A pass over whole clips, which sees only itself; its entries are kept."""

    def __init__(self) -> None:
        self.entries: Entries | None = None

    def put(self, keys: Tensor, values: Tensor) -> Entries:
        self.entries = keys, values
        return keys, values


class Appended:
    """A pass that sees the entries of another one, and then itself."""

    def __init__(self, before: Entries) -> None:
        self.before = before

    def put(self, keys: Tensor, values: Tensor) -> Entries:
        return torch.cat((self.before[0], keys), 2), torch.cat((self.before[1], values), 2)


class Scratch:
    """The entries of a frame while it is made, behind those of the past.

    `place` says where the next pass stands in the frame: a number, or one (B, n) for each row and position.
    """

    def __init__(self, past: Entries, room: int) -> None:
        self.past = past[0].shape[2]
        self.keys, self.values = (_with_room(x, room) for x in past)
        self.place: int | Tensor = 0

    def put(self, keys: Tensor, values: Tensor) -> Entries:
        if isinstance(self.place, int):
            start = self.past + self.place
            end = start + keys.shape[2]
            self.keys[:, :, start:end] = keys
            self.values[:, :, start:end] = values
            return self.keys[:, :, :end], self.values[:, :, :end]
        index = (self.past + self.place)[:, None, :, None].expand_as(keys)
        self.keys.scatter_(2, index, keys)
        self.values.scatter_(2, index, values)
        return self.keys, self.values


def _with_room(x: Tensor, room: int) -> Tensor:
    """Vectors (B, H, S, d) with zeros behind them; `F.pad` would write the zeros everywhere first."""
    batch, heads, size, width = x.shape
    longer = x.new_empty(batch, heads, size + room, width)
    longer[:, :, :size] = x
    longer[:, :, size:] = 0
    return longer


def windows(entries: Entries, length: int, size: int) -> Entries:
    """Entries (B, H, F * length, d) of clips, as the memory of each frame: (B * F, H, size * length, d)."""

    def slide(x: Tensor) -> Tensor:
        framed = F.pad(x, (0, 0, size * length, 0)).unflatten(2, (-1, length))
        framed = framed[:, :, :-1].unfold(2, size, 1)  # (B, H, F, length, d, size)
        return framed.permute(0, 2, 1, 5, 3, 4).flatten(0, 1).flatten(2, 3)

    return slide(entries[0]), slide(entries[1])


def band(frames: int, length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Two masks (F * length, F * length): earlier frames within the memory; the own frame up to the position itself."""
    position = torch.arange(frames * length, device=device)
    frame = position // length
    distance = frame[:, None] - frame[None, :]
    own = (distance == 0) & (position[:, None] >= position[None, :])
    return (distance > 0) & (distance <= size), own
