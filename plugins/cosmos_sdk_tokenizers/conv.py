"""A continuous, causal convolutional tokenizer with few latents: 16 tokens of 16 channels for a 64 x 64 frame.

Every frame is coded alone, so it is causal (an image is a video of one frame) and `decode` needs no context. Space is
folded into channels first, and the decoder works at low resolution with pixel shuffles (reference figures: 0.1 GFLOP a
frame). The target of the loss is the difference to a learned background, and moving things weigh more than it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.precision import HalfCopy, has_bfloat16
from cosmos_sdk.protocols import Parts
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk_tokenizers.auxiliary import AuxiliaryHead
from cosmos_sdk_tokenizers.layers import MixerBlock, ResidualConv, fold, unfold, zero

PATCH = 4  # pixels folded into channels before the first convolution
PIXELS = 3 * PATCH**2


@dataclass
class ConvTokenizerConfig:
    """Sizes and loss weights of a ConvTokenizer."""

    channels: int = 16  # per latent token
    widths: tuple[int, ...] = (
        64,
        128,
    )  # channels at strides 4, 8, ...; the token stride is one halving more
    blocks: int = 1  # residual blocks per stride
    mixer_width: int = 192
    mixer_blocks: int = 2
    auxiliary: tuple[str, ...] = (
        "state",
    )  # targets read from latents while training; absent ones add nothing
    auxiliary_weight: float = 0.02
    auxiliary_width: int = 256
    foreground_weight: float = 4.0  # extra weight of pixels that differ from the background
    foreground_threshold: float = 0.1  # of full intensity
    noise: float = 0.1  # latents are perturbed by up to this standard deviation before decoding
    precision: Literal["float32", "bfloat16"] = (
        "float32"  # of the convolutions that decode, where the device has it
    )
    micro_batch: int = 64  # images per pass, so that activations stay in the cache

    @property
    def stride(self) -> int:
        """Pixels per token along each side."""
        return PATCH * 2 ** len(self.widths)


class Encoder(nn.Module):
    """Patches (n, h / 4, w / 4, 48) to latents (n, N, C) in (-1, 1)."""

    def __init__(self, config: ConvTokenizerConfig, num_tokens: int) -> None:
        super().__init__()
        widths = (*config.widths, config.mixer_width)
        self.into = nn.Linear(PIXELS, widths[0])
        stages = [
            nn.Sequential(*(ResidualConv(width) for _ in range(config.blocks)))
            for width in config.widths
        ]
        self.stages = nn.ModuleList(stages)
        self.down = nn.ModuleList(nn.Linear(4 * n, wide) for n, wide in pairwise(widths))
        mixer = [
            MixerBlock(num_tokens, config.mixer_width, 2 * config.mixer_width)
            for _ in range(config.mixer_blocks)
        ]
        self.mixer = nn.Sequential(*mixer)
        self.out = nn.Linear(config.mixer_width, config.channels)

    def forward(self, patches: Tensor) -> Tensor:
        grid = self.into(patches)
        for stage, down in zip(self.stages, self.down, strict=True):
            grid = down(fold(F.relu(stage(grid)), 2))
        return torch.tanh(self.out(self.mixer(grid.flatten(1, 2))))


class Decoder(nn.Module):
    """Latents (n, N, C) to patches (n, h / 4, w / 4, 48)."""

    def __init__(self, config: ConvTokenizerConfig, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        num_tokens = grid[0] * grid[1]
        self.into = nn.Linear(config.channels, config.mixer_width)
        self.place = nn.Parameter(0.02 * torch.randn(num_tokens, config.mixer_width))
        mixer = [
            MixerBlock(num_tokens, config.mixer_width, 2 * config.mixer_width)
            for _ in range(config.mixer_blocks)
        ]
        self.mixer = nn.Sequential(*mixer)
        widths = (*config.widths, config.mixer_width)[::-1]
        self.up = nn.ModuleList(nn.Linear(n, 4 * narrow) for n, narrow in pairwise(widths))
        stages = [
            nn.Sequential(*(ResidualConv(width) for _ in range(config.blocks)))
            for width in widths[1:]
        ]
        self.stages = nn.ModuleList(stages)
        self.out = nn.Conv2d(widths[-1], PIXELS, 3, padding=1)
        zero(self.out)

    def forward(self, latents: Tensor) -> Tensor:
        grid = self.mixer(self.into(latents) + self.place).unflatten(1, self.grid)
        for up, stage in zip(self.up, self.stages, strict=True):
            grid = stage(unfold(up(grid), 2))
        y = F.relu(grid).to(self.out.weight.dtype).permute(0, 3, 1, 2)
        return self.out(y).permute(0, 2, 3, 1)


@final
class ConvTokenizer(nn.Module):
    """Frames (B, F, V, 3, h, w) uint8 <-> latents (B, F, V * N, C); each view is coded alone."""

    prepared: Tensor

    def __init__(self, config: ConvTokenizerConfig, parts: Parts) -> None:
        """Any height and width that the stride divides.

        Raises:
            ConfigError: the stride does not divide the frames of the spec.
        """
        super().__init__()
        views, height, width = parts.spec.frames
        if height % config.stride or width % config.stride:
            problem = f"tokenizer conv: frames of {height} x {width} are not divisible by its stride {config.stride}"
            raise ConfigError(
                [f"{problem}; change `widths` (one halving each) or the size of the frames."]
            )
        self.config, self.frame_shape = config, (views, 3, height, width)
        grid = (height // config.stride, width // config.stride)
        num_tokens = grid[0] * grid[1]
        self.latent_shape = (views * num_tokens, config.channels)
        self.encoder, self.decoder = Encoder(config, num_tokens), Decoder(config, grid)
        self.background = nn.Parameter(torch.zeros(views, 3, height, width))
        self.register_buffer("prepared", torch.tensor(False))
        heads: dict[str, nn.Module] = {}
        for name in config.auxiliary:
            space = parts.spec.targets.get(name)
            if isinstance(space, spaces.Box):
                num_inputs = views * num_tokens * config.channels
                heads[name] = AuxiliaryHead(num_inputs, space, config.auxiliary_width)
        self.auxiliary = nn.ModuleDict(heads)
        self._half = HalfCopy(nn.Conv2d)  # at these sizes nothing else gains
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @property
    def dtype(self) -> torch.dtype:
        return self.background.dtype

    def encode(self, frames: Tensor) -> Tensor:
        """Latents (B, F, V * N, C) of frames (B, F, V, 3, h, w) uint8."""
        self._check(frames)
        flat = [
            self._encode(self._patches(part))
            for part in frames.flatten(0, 1).split(self.config.micro_batch)
        ]
        return torch.cat(flat).unflatten(0, frames.shape[:2])

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        """The last `num_frames` frames (B, num_frames, V, 3, h, w) uint8."""
        latents = latents[:, latents.shape[1] - num_frames :]
        half = self.config.precision == "bfloat16" and self.dtype == torch.float32
        half = half and has_bfloat16(latents.device)
        decoder = self._half.of(self.decoder) if half else self.decoder
        parts = latents.flatten(0, 1).split(self.config.micro_batch)
        pixels = torch.cat([self._decode(part, decoder) for part in parts]) * 255
        patches = pixels.round().clamp(0, 255).to(torch.uint8)  # (n, V, h / 4, w / 4, 48)
        images = unfold(patches.flatten(0, 1), PATCH).permute(0, 3, 1, 2)
        return images.reshape(*latents.shape[:1], num_frames, *self.frame_shape)

    def perceive(self, latents: Tensor) -> Tensor:
        """What the auxiliary heads read in latents (..., V * N, C): codes (..., P), in which pose outweighs paint."""
        codes = [head(latents) for head in self.auxiliary.values()]
        return torch.cat(codes, -1) if codes else latents.new_zeros(*latents.shape[:-2], 0)

    def loss(
        self, frames: Tensor, valid: Tensor, targets: Mapping[str, Masked], rng: Rng
    ) -> Tensors:
        """Terms per row (B,): `reconstruction` and one per auxiliary target.

        frames (B, F, V, 3, h, w) uint8, valid (B, F) bool; targets hold (B, F, *space.shape).
        """
        self._check(frames)
        where = valid.nonzero(as_tuple=True)
        images = frames[where]  # (n, V, 3, h, w)
        if self.training and not bool(self.prepared):
            self.prepare(images)
        level = self.config.noise * rng.uniform(frames.shape[1])[where]
        noise = rng.normal(frames.shape[1], *self.latent_shape)[where]
        pixels = self._patches(images)
        latents = self._encode(pixels)
        noisy = latents + level[:, None, None].to(latents) * noise.to(latents)
        terms = {"reconstruction": self._distance(self._decode(noisy, self.decoder), pixels)}
        for name, head in self.auxiliary.items():
            if name in targets and isinstance(head, AuxiliaryHead):
                target = Masked(targets[name].values[where], targets[name].mask[where])
                terms[name] = self.config.auxiliary_weight * head.loss(head(noisy), target)
        return {name: _mean_per_row(term, where[0], valid) for name, term in terms.items()}

    def prepare(self, images: Tensor) -> None:
        """Sets the background to the median of images (n, V, 3, h, w) uint8."""
        with torch.no_grad():
            self.background.copy_(images.to(self.dtype).median(0).values / 255)
            self.prepared.fill_(True)

    def _distance(self, decoded: Tensor, pixels: Tensor) -> Tensor:
        """Squared error (n,) of patches, heavier where a colour differs from the background."""
        moved = (pixels - self._background().detach()).abs() > self.config.foreground_threshold
        weight = 1 + self.config.foreground_weight * moved.to(pixels.dtype)
        return (weight * (decoded - pixels).square()).flatten(1).mean(1)

    def _patches(self, images: Tensor) -> Tensor:
        """Images (n, V, 3, h, w) uint8 as patches (n, V, h / 4, w / 4, 48) in [0, 1]."""
        grid = fold(images.flatten(0, 1).permute(0, 2, 3, 1).contiguous(), PATCH)
        return (grid.to(self.dtype) / 255).unflatten(0, images.shape[:2])

    def _background(self) -> Tensor:  # (V, h / 4, w / 4, 48)
        return fold(self.background.permute(0, 2, 3, 1).contiguous(), PATCH)

    def _encode(self, patches: Tensor) -> Tensor:  # (n, V, h / 4, w / 4, 48) -> (n, V * N, C)
        difference = patches - self._background().detach()
        return (
            self.encoder(difference.flatten(0, 1))
            .to(self.dtype)
            .view(len(patches), *self.latent_shape)
        )

    def _decode(self, latents: Tensor, decoder: nn.Module) -> Tensor:
        """Latents (n, V * N, C) to patches (n, V, h / 4, w / 4, 48), not clipped."""
        views = self.frame_shape[0]
        tokens = latents.unflatten(1, (views, -1)).flatten(0, 1)
        return decoder(tokens).to(self.dtype).unflatten(0, (-1, views)) + self._background()

    def _check(self, frames: Tensor) -> None:
        if frames.dtype != torch.uint8 or frames.shape[2:] != self.frame_shape:
            got = f"{tuple(frames.shape)} {frames.dtype}"
            raise ShapeError(
                "frames", got, f"(B, F, {', '.join(map(str, self.frame_shape))}) torch.uint8"
            )


def _mean_per_row(values: Tensor, row: Tensor, valid: Tensor) -> Tensor:
    """Mean (B,) of values (n,) that belong to rows `row` (n,); zero for a row without any. valid (B, F)."""
    total = values.new_zeros(len(valid)).index_add(0, row, values)
    count = torch.bincount(row, minlength=len(valid)).clamp(min=1)
    return total / count
