"""Toy control signals: an action, a text given once per episode and view, a camera relative to its first pose."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from cosmos_sdk.state import Masked, Tensors

WIDTH = 6


class Action(nn.Module):
    """Continuous, discrete or a block of controls per frame: one token."""

    start_space, num_tokens, width = None, 1, WIDTH

    def __init__(self, space: spaces.Space[Any]) -> None:
        super().__init__()
        self.space = space
        size = (
            int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or ()))
        )
        self.project = nn.Linear(size, WIDTH)

    def start(self, signal: Masked) -> Tensors:
        return {}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        values = signal.values
        if isinstance(self.space, spaces.Discrete):
            values = nn.functional.one_hot(values, int(self.space.n)).to(self.project.weight)
        tokens = self.project(values.flatten(2))  # (B, K, D)
        return Masked(tokens[:, :, None, None], signal.mask[:, :, None, None]), memory


class Text(nn.Module):
    """Token ids (V, N) given at the start, 0 is padding; each view has its own sentence, which memory keeps."""

    space, width = None, WIDTH

    def __init__(self, views: int, num_tokens: int = 3, vocabulary: int = 8) -> None:
        super().__init__()
        self.start_space = spaces.Box(0, vocabulary - 1, (views, num_tokens), np.int64)
        self.num_tokens = num_tokens
        self.words = nn.Embedding(vocabulary, WIDTH)

    def start(self, signal: Masked) -> Tensors:
        return {"ids": signal.values}  # zeros, which is padding, where no text was given

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        ids = memory["ids"][:, None]  # (B, 1, V, N)
        return Masked(self.words(ids), ids > 0), memory


class Camera(nn.Module):
    """`world_from_camera` (3, 4) relative to the first pose of the episode, which memory keeps."""

    start_space, num_tokens, width = None, 1, WIDTH
    space = spaces.Box(-2.0, 2.0, (3, 4), np.float64)

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(12, WIDTH)

    def start(self, signal: Masked) -> Tensors:
        rows = len(signal.mask)
        known = torch.zeros(rows, dtype=torch.bool, device=signal.mask.device)
        return {"reference": self.project.weight.new_zeros(rows, 3, 4), "known": known}

    def embed(self, signal: Masked, time: Tensor, memory: Tensors) -> tuple[Masked, Tensors]:
        known, reference = memory["known"], memory["reference"]
        relative: list[Tensor] = []
        for pose, here in zip(signal.values.unbind(1), signal.mask.unbind(1), strict=True):
            first = here & ~known
            reference = torch.where(first[:, None, None], pose, reference)
            known = known | here
            rotation = reference[:, :, :3].mT @ pose[:, :, :3]
            offset = reference[:, :, :3].mT @ (pose[:, :, 3:] - reference[:, :, 3:])
            relative.append(torch.cat((rotation, offset), -1).flatten(1))
        tokens = self.project(torch.stack(relative, 1))
        cond = Masked(tokens[:, :, None, None], signal.mask[:, :, None, None])
        return cond, {"reference": reference, "known": known}


class Fusion(nn.Module):
    """Backends' side: all tokens of a frame and view as one vector; a learned null stands where one is absent."""

    def __init__(self, conditioners: dict[str, Any], width: int) -> None:
        super().__init__()
        self.into = nn.ModuleDict(
            {name: nn.Linear(c.width, width) for name, c in conditioners.items()}
        )
        self.null = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(width)) for name in conditioners}
        )

    def forward(
        self, cond: dict[str, Masked], num_frames: int, views: int
    ) -> Tensor:  # (B, K, V, width)
        total: Tensor | float = 0.0
        for name, project in self.into.items():
            tokens = cond[name]
            vectors = torch.where(
                tokens.mask[..., None], project(tokens.values), self.null[name]
            ).mean(3)
            total = total + vectors.expand(-1, num_frames, views, -1)
        assert isinstance(total, Tensor)
        return total
