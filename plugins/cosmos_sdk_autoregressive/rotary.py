"""Rotary embedding of time, height and width (Su et al. 2021, arXiv:2104.09864), each on its share of a head's width.

As in Cosmos (arXiv:2501.03575, sections 5.1.2 and 5.2): a head of 128 gives 44 channels to time, 42 to height and 42 to
width, time runs in seconds rather than in frames, and YaRN (Peng et al. 2023, arXiv:2309.00071) stretches trained axes.
Only differences of positions count in the attention, so keys are turned once, by the time of their frame since reset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from cosmos_sdk.errors import ConfigError, did_you_mean

AXES = ("t", "h", "w")


class Rotation(NamedTuple):
    """Tables (..., n, d) that turn n vectors of width d: the cosine, and the sine with the sign of its half."""

    cos: Tensor
    sin: Tensor

    def at(self, index: slice) -> Rotation:
        """That of some positions."""
        return Rotation(self.cos[..., index, :], self.sin[..., index, :])


@dataclass(frozen=True)
class Yarn:
    """Positions beyond those of training: slow channels are stretched by `scale`, fast ones stay."""

    scale: float = 1.0
    original: tuple[int, int, int] = (3, 40, 64)  # extent in training along time, height, width
    axes: tuple[str, ...] = ("t",)  # released Cosmos checkpoints stretch all three
    beta_fast: float = 4.0  # turns over the original extent from which a channel stays as it is
    beta_slow: float = 1.0  # turns up to which it is stretched in full
    # sharper attention, by (0.1 ln scale + 1)^2; released Cosmos code leaves it out
    tempered: bool = True

    def __post_init__(self) -> None:
        """Raises ConfigError for an axis that does not exist, or numbers that stretch nothing or backwards."""
        problems = [
            f"yarn.axes: {axis!r} is no axis.{did_you_mean(axis, AXES)} Axes: t, h, w."
            for axis in self.axes
            if axis not in AXES
        ]
        if self.scale < 1:
            problems.append(f"yarn.scale: {self.scale}; expected at least 1, which changes nothing")
        if min(self.original) < 1:
            problems.append(f"yarn.original: {tuple(self.original)}; expected at least 1 each")
        if not 0 <= self.beta_slow < self.beta_fast:
            given = f"beta_slow={self.beta_slow}, beta_fast={self.beta_fast}"
            problems.append(f"yarn: {given}; expected 0 <= beta_slow < beta_fast")
        if problems:
            raise ConfigError(problems)

    @property
    def attention_scale(self) -> float:
        """Factor on attention logits (section 3.4)."""
        return (0.1 * math.log(self.scale) + 1) ** 2 if self.tempered else 1.0

    def stretched(self, frequencies: Tensor, extent: float) -> Tensor:
        """The NTK-by-parts interpolation (section 3.2) of angular frequencies (n,) over an extent of training."""
        turns = extent * frequencies / (2 * math.pi)
        keep = ((turns - self.beta_slow) / (self.beta_fast - self.beta_slow)).clamp(0, 1)
        return frequencies * (1 - (1 - keep) * (1 - 1 / self.scale))


@dataclass(frozen=True)
class Rotary:
    """How positions turn the channels of a head."""

    head_width: int
    theta: float = 10_000.0
    pace: float = 1.0  # a frame's step in time: the base rate over the frames per second
    yarn: Yarn = field(default_factory=Yarn)

    def table(self, positions: Tensor, dtype: torch.dtype = torch.float64) -> Rotation:
        """Tables (..., d) of positions (..., 3) in float64: frame, row, column."""
        angles = positions @ frequencies(self, positions.device)
        cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
        return Rotation(torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1))


@lru_cache(maxsize=128)
def frequencies(rotary: Rotary, device: torch.device) -> Tensor:
    """Angles (3, d / 2) in float64 of a step along each axis: constants, not kept among the weights."""
    rows: list[Tensor] = []
    with torch.inference_mode(False), torch.device("cpu"):
        for axis, width in enumerate(axis_split(rotary.head_width)):
            pace = rotary.pace if axis == 0 else 1.0
            exponent = torch.arange(0, width, 2, dtype=torch.float64)
            own = rotary.theta ** (-exponent / width)
            if AXES[axis] in rotary.yarn.axes:
                own = rotary.yarn.stretched(own, rotary.yarn.original[axis] * pace)
            rows.append(pace * own)
        return torch.block_diag(*rows).to(device)


def axis_split(width: int) -> tuple[int, int, int]:
    """Channels for time, height and width: 128 gives 44, 42, 42.

    Raises:
        ConfigError: a width that cannot be split into pairs for three axes.
    """
    if width % 2 or width < 6:
        raise ConfigError([f"a width of {width} has no pairs for three axes; expected 6, 8, ..."])
    side = width // 6 * 2
    return width - 2 * side, side, side


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turns x (..., n, d): channel i pairs with channel i + d / 2."""
    return torch.addcmul(x * rotation.cos, x.roll(x.shape[-1] // 2, -1), rotation.sin)


def frame_positions(times: Tensor, grid: tuple[int, int]) -> Tensor:
    """Positions (..., F * (1 + N), 3) in float64 of frames at `times` (..., F), counted in frames.

    Of a frame first its slot, off the grid, then its tokens row by row.
    """
    places = frame_places(grid, times.device)
    frame = times.double()[..., None, None].expand(*times.shape, len(places), 1)
    rest = places.expand(*times.shape, -1, -1)
    return torch.cat((frame, rest), -1).flatten(-3, -2)


@lru_cache(maxsize=128)
def frame_places(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Rows and columns (1 + N, 2) in float64 of a frame's slot and tokens."""
    with torch.inference_mode(False), torch.device("cpu"):
        cells = torch.cartesian_prod(*(torch.arange(n) for n in grid)).view(-1, 2)
        return torch.cat((torch.full((1, 2), -1), cells)).double().to(device)


def has_doubles(device: torch.device) -> bool:
    """Whether a device knows float64, in which positions are turned into angles."""
    return device.type != "mps"
