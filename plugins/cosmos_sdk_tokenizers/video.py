"""Blocks of the video tokenizer on (B, D, T, h, w): factorised in space and time, and causal in time.

The layout is that of the Cosmos tokenizer (Agarwal et al. 2025, arXiv:2501.03575, section 4). The past of the first
frame is that frame; no block looks ahead. So a picture is a video of one frame, and the code of a beginning is the
beginning of the code.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def hold_first(video: Tensor, num_frames: int) -> Tensor:
    """`num_frames` more frames at the beginning, equal to the first."""
    past = video[:, :, :1].expand(-1, -1, num_frames, -1, -1)
    return torch.cat((past, video), 2)


class TimeConv(nn.Module):
    """A convolution over a frame and the two before it."""

    def __init__(self, width: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, out, (3, 1, 1), (stride, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(hold_first(x, 2))


def factorised(width: int, out: int) -> nn.Sequential:
    """A 3 x 3 convolution in space, then one of length 3 in time."""
    return nn.Sequential(nn.Conv3d(width, out, (1, 3, 3), padding=(0, 1, 1)), TimeConv(out, out))


class FrameNorm(nn.Module):
    """Normalises each frame by itself, over channels and positions: statistics over time would look ahead."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.norm(x.transpose(1, 2).flatten(0, 1))
        return frames.unflatten(0, (len(x), -1)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), each convolution factorised."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.first = nn.Sequential(FrameNorm(width), nn.SiLU(), factorised(width, out))
        self.second = nn.Sequential(FrameNorm(out), nn.SiLU(), factorised(out, out))
        self.skip = nn.Identity() if width == out else nn.Conv3d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.second(self.first(x))


class Attention(nn.Module):
    """One head, among the positions of a frame, or among a position's frame and those before it."""

    def __init__(self, width: int, over: Literal["space", "time"]) -> None:
        super().__init__()
        self.over = over
        self.norm = FrameNorm(width)
        self.into = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x).flatten(3).permute(0, 2, 3, 1)  # (B, T, N, D)
        if self.over == "time":
            tokens = tokens.transpose(1, 2)  # (B, N, T, D)
        q, k, v = self.into(tokens).chunk(3, -1)
        seen = self.out(F.scaled_dot_product_attention(q, k, v, is_causal=self.over == "time"))
        if self.over == "time":
            seen = seen.transpose(1, 2)
        return x + seen.permute(0, 3, 1, 2).view_as(x)


class Down(nn.Module):
    """Halves space, then time, as asked: a strided convolution plus a mean. 1 + 2 m frames become 1 + m."""

    def __init__(self, width: int, space: bool, time: bool) -> None:
        super().__init__()
        self.space = nn.Conv3d(width, width, (1, 3, 3), (1, 2, 2)) if space else None
        self.time = TimeConv(width, width, 2) if time else None
        self.out = nn.Conv3d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.space is not None:
            x = self.space(F.pad(x, (0, 1, 0, 1))) + F.avg_pool3d(x, (1, 2, 2))
        if self.time is not None:
            x = self.time(x) + F.avg_pool3d(hold_first(x, 1), (2, 1, 1))
        return self.out(x)


class Up(nn.Module):
    """Doubles time, then space, as asked: copies, and a convolution that corrects them. 1 + m frames become 1 + 2 m."""

    def __init__(self, width: int, space: bool, time: bool) -> None:
        super().__init__()
        self.time = TimeConv(width, width) if time else None
        self.space = nn.Conv3d(width, width, (1, 3, 3), padding=(0, 1, 1)) if space else None
        self.out = nn.Conv3d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.time is not None:
            x = x.repeat_interleave(2, 2)[:, :, 1:]
            x = x + self.time(x)
        if self.space is not None:
            x = x.repeat_interleave(2, 3).repeat_interleave(2, 4)
            x = x + self.space(x)
        return self.out(x)
