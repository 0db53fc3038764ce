"""Random clips and what a tokenizer's tests need beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.protocols import Spec
from cosmos_sdk.rng import TRAINING, Rng

M = TypeVar("M", bound=nn.Module)
STATE = spaces.Box(np.array([0, -5, 0], "f"), np.array([1, 5, 2 * np.pi], "f"))


def spec(views: int, height: int, width: int) -> Spec:
    """Frames of a size, and a state as target."""
    return Spec((views, height, width), 10.0, {}, {"state": STATE})


def clips(rows: int, frames: int, views: int, height: int, width: int) -> Tensor:
    """Frames (rows, frames, views, 3, height, width) uint8 of noise."""
    shape = (rows, frames, views, 3, height, width)
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def greys(levels: Sequence[Sequence[int]], height: int, width: int) -> Tensor:
    """Frames (B, F, 1, 3, height, width) uint8, each of one grey of levels (B, F): easy to code, not to guess."""
    grey = torch.tensor(levels, dtype=torch.uint8)[:, :, None, None, None, None]
    return grey.expand(-1, -1, 1, 3, height, width).clone()


def rng(rows: int) -> Rng:
    """The randomness of a training step."""
    return Rng(torch.arange(rows), torch.zeros(rows, dtype=torch.int64), TRAINING)


def shaken(module: M) -> M:
    """The module in double precision, with noise on its weights: layers that start at zero hide what they get."""
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module
