"""Counter-based noise: what a row draws depends on its own seed and time, never on the batch it is in.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3) is a keyed
bijection of a 128-bit counter. The key is the row's seed; the counter holds the row's time, the stream and the number
of the draw. A generator object would make row 3's future depend on how many rows stand before it, and CPU generators
keep only 32 bits of a seed; a counter does neither.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar, cast, final

import numpy as np
import torch
from torch import Tensor

from cosmos_sdk.errors import ShapeError

STEP, START, PLANNER, TRAINING, ENV = range(5)
FEW = 8  # rows, for which plain integers are faster than arrays
FIRST_PRIVATE_STREAM = 7  # a component that needs noise of its own takes a stream from here on

BELOW_ONE = 1 - 2.0**-24  # the largest float32 under 1

T = TypeVar("T", bound=Any)
_MASK = 0xFFFFFFFF
_SEED_MASK = (1 << 62) - 1
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox4x32(counter: Tensor, key: Tensor, rounds: int = 10) -> Tensor:
    """Philox4x32: maps counters (..., 4) under keys (..., 2) to random words (..., 4).

    Words are int64 tensors holding unsigned 32-bit values; leading axes broadcast.
    """
    c0, c1, c2, c3 = counter.unbind(-1)
    k0, k1 = key.unbind(-1)
    for _ in range(rounds):
        high0, low0 = _multiply(_MULTIPLIERS[0], c0)
        high1, low1 = _multiply(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return _stacked(c0, c1, c2, c3)


def _stacked(*words: Tensor) -> Tensor:
    """Broadcasts words against one another and stacks them on a new last axis."""
    shape = torch.Size(torch.broadcast_shapes(*(word.shape for word in words)))  # pyright: ignore
    return torch.stack([word.expand(shape) for word in words], -1)


def _multiply(multiplier: int, word: Tensor) -> tuple[Tensor, Tensor]:
    """The high and low 32 bits of a 32x32-bit product, in int64 without overflow (16-bit limbs)."""
    low = multiplier * (word & 0xFFFF)  # < 2**48
    high = multiplier * (word >> 16) + (low >> 16)  # < 2**49
    return (high >> 16) & _MASK, ((high & 0xFFFF) << 16) | (low & 0xFFFF)


def philox4x32_numpy(counter: np.ndarray, key: np.ndarray, rounds: int = 10) -> np.ndarray:
    """The same bits on uint64 arrays, where a 32x32-bit product fits one word: 5 to 10 times faster on a CPU."""
    words = _rounds([counter[..., i] for i in range(4)], key[..., 0], key[..., 1], rounds)
    return np.stack(words, -1)


def _rounds(counter: list[T], k0: T, k1: T, rounds: int = 10) -> list[T]:
    """Philox on words that hold 64 bits, uint64 arrays or plain integers."""
    c0, c1, c2, c3 = counter
    for _ in range(rounds):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return [c0, c1, c2, c3]


@final
class Rng:
    """Noise of B rows: row b is a function of (seed[b], time[b], stream, number of the draw) and of nothing else."""

    def __init__(self, seed: Tensor, time: Tensor, stream: int = STEP) -> None:
        """Takes seed (B,) and time (B,) int64, and a stream number that keeps uses apart."""
        if seed.shape != time.shape or seed.ndim != 1:
            got = f"{tuple(seed.shape)} and {tuple(time.shape)}"
            raise ShapeError("Rng(seed, time)", got, "(B,) and (B,)")
        self.seed, self.time, self.stream = seed, time, stream
        self._draws = 0

    def __len__(self) -> int:
        return self.seed.shape[0]

    def _words(self, count: int) -> Tensor:
        """The next draw: (B, count) unsigned 32-bit words as int64."""
        blocks = -(-count // 4)
        block = torch.arange(blocks, device=self.seed.device)[None, :]
        time = self.time[:, None]
        lane = torch.full_like(block, self._draws | (self.stream << 16))
        self._draws += 1
        counter = _stacked(time & _MASK, (time >> 32) & _MASK, block, lane)  # (B, blocks, 4)
        key = torch.stack((self.seed & _MASK, (self.seed >> 32) & _MASK), -1)[:, None]  # (B, 1, 2)
        if counter.device.type == "cpu":
            words = philox4x32_numpy(
                counter.numpy().astype(np.uint64), key.numpy().astype(np.uint64)
            )
            return torch.as_tensor(words.astype(np.int64)).flatten(1)[:, :count]
        return philox4x32(counter, key).flatten(1)[:, :count]

    def uniform(self, *shape: int) -> Tensor:
        """Returns (B, *shape) float32 in the open interval (0, 1)."""
        words = self._words(math.prod(shape))
        values = ((words >> 8).float() + 0.5).mul_(2.0**-24)
        return values.clamp_(max=BELOW_ONE).view(len(self), *shape)  # the largest word rounds up

    def normal(self, *shape: int) -> Tensor:
        """Returns (B, *shape) float32 standard normal values (Box and Muller, 1958)."""
        count = math.prod(shape)
        half = -(-count // 2)
        uniform = self.uniform(2 * half)
        radius = torch.sqrt(-2.0 * torch.log(uniform[:, :half]))
        angle = (2.0 * math.pi) * uniform[:, half:]
        values = torch.cat((radius * torch.cos(angle), radius * torch.sin(angle)), 1)
        return values[:, :count].reshape(len(self), *shape)

    def integers(self) -> Tensor:
        """Returns (B,) int64 in [0, 2**62): new seeds."""
        if len(self) > FEW:
            words = self._words(2)
            return ((words[:, 0] << 30) ^ words[:, 1]) & _SEED_MASK
        lane, numbers = self._draws | (self.stream << 16), list[int]()
        self._draws += 1
        seeds = cast("list[int]", self.seed.tolist())  # pyright: ignore[reportUnknownMemberType]
        times = cast("list[int]", self.time.tolist())  # pyright: ignore[reportUnknownMemberType]
        for seed, time in zip(seeds, times, strict=True):
            counter = [time & _MASK, (time >> 32) & _MASK, 0, lane]
            first, second, *_ = _rounds(counter, seed & _MASK, (seed >> 32) & _MASK)
            numbers.append(((first << 30) ^ second) & _SEED_MASK)
        return torch.tensor(numbers, dtype=torch.int64, device=self.seed.device)
