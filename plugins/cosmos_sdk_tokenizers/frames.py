"""What a tokenizer takes: frames of one size, which its strides divide; and which sizes would do instead."""

from __future__ import annotations

import torch
from torch import Tensor

from cosmos_sdk.errors import ConfigError, ShapeError


def token_grid(frames: tuple[int, int, int], stride: int, remedy: str) -> tuple[int, int]:
    """Rows and columns of tokens of frames (V, h, w), one token per stride x stride pixels.

    Raises:
        ConfigError: the stride does not divide height and width; says which sizes are nearest, and the `remedy`.
    """
    _, height, width = frames
    if height % stride or width % stride:
        given = f"tokenizer: frames of {height} x {width} are not divisible by its stride {stride}"
        near = f"the nearest heights are {nearest(height, stride)}, widths {nearest(width, stride)}"
        raise ConfigError([f"{given}; {near}. {remedy}"])
    return height // stride, width // stride


def nearest(size: int, stride: int, first: int = 0) -> str:
    """The sizes `first` + a multiple of `stride` around a size, to be read: "16 and 32"; a size that is one, alone."""
    below = first + (size - first) // stride * stride
    near = {below, below if below == size else below + stride}
    return " and ".join(str(legal) for legal in sorted(near) if legal > 0)


def check_frames(frames: Tensor, frame_shape: tuple[int, ...]) -> None:
    """Raises ShapeError unless frames are (B, F, *frame_shape) uint8."""
    if frames.dtype != torch.uint8 or frames.shape[2:] != frame_shape:
        got = f"{tuple(frames.shape)} {frames.dtype}"
        raise ShapeError("frames", got, f"(B, F, {', '.join(map(str, frame_shape))}) torch.uint8")


def newest(latents: Tensor, num_frames: int) -> Tensor:
    """The last `num_frames` of latents (B, F, ...), one per frame; raises ShapeError if there are fewer."""
    held = latents.shape[1]
    if not 0 <= num_frames <= held:
        raise ShapeError("num_frames", num_frames, f"0 to {held}, which the latents hold")
    return latents[:, held - num_frames :]
