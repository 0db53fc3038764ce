"""The 3-D Haar wavelet (Haar 1910), causal in time: a video as a smaller one of many bands, and back exactly.

Each level halves time, height and width, and turns every channel into eight bands: a low and a high one along each
axis. The first frame stands for a whole group of frames that equal it, so that a picture is a video of one frame and
no band depends on a later group (Agarwal et al. 2025, arXiv:2501.03575, section 4).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cosmos_sdk.errors import ShapeError

AXES = (2, 3, 4)  # time, height, width of (B, C, T, h, w)


def analyse(video: Tensor, levels: int = 2) -> Tensor:
    """Bands (B, 8^levels C, 1 + (T - 1) / s, h / s, w / s) of a video (B, C, T, h, w), where s = 2^levels.

    Orthonormal, the first frame counting s times: it keeps sums of squares.

    Raises:
        ShapeError: s does not divide T - 1, h and w.
    """
    stride = 2**levels
    num_frames, height, width = video.shape[2:]
    if (num_frames - 1) % stride or height % stride or width % stride or not num_frames:
        got = f"{num_frames} frames of {height} x {width}"
        wanted = f"1 + a multiple of {stride} frames, height and width multiples of {stride}"
        raise ShapeError("the video", got, wanted)
    first = video[:, :, :1].expand(-1, -1, stride - 1, -1, -1)
    video = torch.cat((first, video), 2)
    for _ in range(levels):
        for axis in AXES:
            pairs = video.unflatten(axis, (-1, 2))
            a, b = pairs.select(axis + 1, 0), pairs.select(axis + 1, 1)
            video = torch.cat((a + b, a - b), 1) * math.sqrt(0.5)
    return video


def synthesise(bands: Tensor, levels: int = 2) -> Tensor:
    """The video (B, C, T, h, w) of its bands: the inverse of `analyse`."""
    for _ in range(levels):
        for axis in reversed(AXES):
            low, high = bands.chunk(2, 1)
            pairs = torch.stack((low + high, low - high), axis + 1)
            bands = pairs.flatten(axis, axis + 1) * math.sqrt(0.5)
    return bands[:, :, 2**levels - 1 :]
