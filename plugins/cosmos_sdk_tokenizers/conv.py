"""A continuous, causal convolutional tokenizer with few latents: 16 tokens of 16 channels for a 64 x 64 frame.

Every frame is coded alone, so it is causal (an image is a video of one frame) and `decode` needs no context. Space is
folded into channels first, and the decoder works at low resolution with pixel shuffles (reference figures: 0.1 GFLOP a
frame). The target of the loss is the difference to a learned background, and moving things weigh more than it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosmos_sdk.precision import HalfCopy, has_bfloat16
from cosmos_sdk.protocols import Parts
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk_tokenizers.auxiliary import AuxiliaryHeads
from cosmos_sdk_tokenizers.frames import check_frames, newest, token_grid
from cosmos_sdk_tokenizers.layers import MixerBlock, ResidualConv, fold, unfold, zero
from cosmos_sdk_tokenizers.padding import mean_per_row

PATCH = 4  # pixels folded into channels before the first convolution
PIXELS = 3 * PATCH**2
STAGES = "Each of `widths` halves the grid once; change them, or the size of the frames."
Bottleneck = Callable[[Tensor], Tensor]


@dataclass(kw_only=True)
class PictureConfig:
    """Sizes and loss weights of whatever codes pictures by convolutions."""

    # channels at strides 4, 8, ...; the token stride is one halving more
    widths: tuple[int, ...] = (64, 128)
    blocks: int = 1  # residual blocks per stride
    mixer_width: int = 192
    mixer_blocks: int = 2
    # targets that are read from latents while training; those that the spec lacks add nothing
    auxiliary: tuple[str, ...] = ("state",)
    auxiliary_weight: float = 0.02
    auxiliary_width: int = 256
    foreground_weight: float = 4.0  # extra weight of pixels that differ from the background
    foreground_threshold: float = 0.1  # of full intensity
    # of the convolutions that decode, where the device has it
    precision: Literal["float32", "bfloat16"] = "float32"
    micro_batch: int = 64  # images per pass, so that activations stay in the cache

    @property
    def stride(self) -> int:
        """Pixels per token along each side."""
        return PATCH * 2 ** len(self.widths)


@dataclass
class ConvTokenizerConfig(PictureConfig):
    """Sizes and loss weights of a ConvTokenizer."""

    channels: int = 16  # per latent token
    noise: float = 0.1  # latents are perturbed by up to this standard deviation before decoding


class Encoder(nn.Module):
    """Patches (n, h / 4, w / 4, 48) of some pictures to latents (n, N, C), which `bottleneck` bounds."""

    def __init__(
        self,
        config: PictureConfig,
        num_tokens: int,
        channels: int,
        bottleneck: Bottleneck,
        num_pictures: int = 1,
    ) -> None:
        super().__init__()
        widths = (*config.widths, config.mixer_width)
        self.into = nn.Linear(num_pictures * PIXELS, widths[0])
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
        self.out = nn.Linear(config.mixer_width, channels)
        self.bottleneck = bottleneck

    def forward(self, patches: Tensor) -> Tensor:
        grid = self.into(patches)
        for stage, down in zip(self.stages, self.down, strict=True):
            grid = down(fold(F.relu(stage(grid)), 2))
        return self.bottleneck(self.out(self.mixer(grid.flatten(1, 2))))


class Decoder(nn.Module):
    """Latents (n, N, C) to patches (n, h / 4, w / 4, 48)."""

    def __init__(self, config: PictureConfig, grid: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.grid = grid
        num_tokens = grid[0] * grid[1]
        self.into = nn.Linear(channels, config.mixer_width)
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
        grid = self.spread(latents)
        for up, stage in zip(self.up, self.stages, strict=True):
            grid = stage(unfold(up(grid), 2))
        return self.paint(grid)

    def spread(self, latents: Tensor) -> Tensor:
        """Features on the grid of tokens, each of which has seen all latents."""
        return self.mixer(self.into(latents) + self.place).unflatten(1, self.grid)

    def paint(self, grid: Tensor) -> Tensor:
        """Patches of the features (n, h / 4, w / 4, D) of the last stage."""
        y = F.relu(grid).to(self.out.weight.dtype).permute(0, 3, 1, 2)
        return self.out(y).permute(0, 2, 3, 1)


@final
class ConvTokenizer(nn.Module):
    """Frames (B, F, V, 3, h, w) uint8 <-> latents (B, F, V * N, C) in [-1, 1]; each view is coded alone."""

    decode_context = 0  # latents before those of the frames asked for that decoding needs
    num_context_tokens = 0
    frames_per_latent = 1
    prepared: Tensor

    def __init__(
        self, config: ConvTokenizerConfig, parts: Parts, bottleneck: Bottleneck = torch.tanh
    ) -> None:
        """Any height and width that the stride divides; `bottleneck` maps numbers (..., C) into [-1, 1].

        Raises:
            ConfigError: the stride does not divide the frames of the spec.
        """
        super().__init__()
        views, height, width = parts.spec.frames
        grid = token_grid(parts.spec.frames, config.stride, STAGES)
        num_tokens, channels = grid[0] * grid[1], config.channels
        self.config, self.frame_shape = config, (views, 3, height, width)
        self.latent_shape = (views * num_tokens, channels)
        self.encoder = Encoder(config, num_tokens, channels, bottleneck)
        self.decoder = Decoder(config, grid, channels)
        self.background = nn.Parameter(torch.zeros(views, 3, height, width))
        self.register_buffer("prepared", torch.tensor(False))
        self.auxiliary = AuxiliaryHeads(
            config.auxiliary,
            parts.spec.targets,
            math.prod(self.latent_shape),
            config.auxiliary_width,
        )
        self._half = HalfCopy(nn.Conv2d)  # at these sizes nothing else gains
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @property
    def dtype(self) -> torch.dtype:
        return self.background.dtype

    def encode(self, frames: Tensor) -> Tensor:
        """Latents (B, F, V * N, C) of frames (B, F, V, 3, h, w) uint8."""
        check_frames(frames, self.frame_shape)
        flat = [
            self._encode(self.patches(part))
            for part in frames.flatten(0, 1).split(self.config.micro_batch)
        ]
        return torch.cat(flat).unflatten(0, frames.shape[:2])

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        """The last `num_frames` frames (B, num_frames, V, 3, h, w) uint8.

        Raises:
            ShapeError: there are fewer latents.
        """
        latents = newest(latents, num_frames)
        half = wants_bfloat16(self.config, self.background)
        decoder = self._half.of(self.decoder) if half else self.decoder
        parts = latents.flatten(0, 1).split(self.config.micro_batch)
        patches = torch.cat([self._decode(part, decoder) for part in parts])
        return self.images(patches).unflatten(0, latents.shape[:2])

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
        check_frames(frames, self.frame_shape)
        where = valid.nonzero(as_tuple=True)
        images = frames[where]  # (n, V, 3, h, w)
        if self.training and not bool(self.prepared):
            self.prepare(images)
        level = self.config.noise * rng.uniform(frames.shape[1])[where]
        noise = rng.normal(frames.shape[1], *self.latent_shape)[where]
        pixels = self.patches(images)
        latents = self._encode(pixels)
        noisy = latents + level[:, None, None].to(latents) * noise.to(latents)
        terms = {"reconstruction": self.distance(self._decode(noisy, self.decoder), pixels)}
        heard = self.auxiliary.losses(noisy, targets, where)
        terms |= {name: self.config.auxiliary_weight * term for name, term in heard.items()}
        return {name: mean_per_row(term, where[0], valid) for name, term in terms.items()}

    def prepare(self, images: Tensor) -> None:
        """Sets the background to the median of images (n, V, 3, h, w) uint8."""
        with torch.no_grad():
            self.background.copy_(images.to(self.dtype).median(0).values / 255)
            self.prepared.fill_(True)

    def distance(self, decoded: Tensor, pixels: Tensor) -> Tensor:
        """Squared error (n,) of patches, heavier where a colour differs from the background."""
        moved = (pixels - self.backdrop().detach()).abs() > self.config.foreground_threshold
        weight = 1 + self.config.foreground_weight * moved.to(pixels.dtype)
        return (weight * (decoded - pixels).square()).flatten(1).mean(1)

    def patches(self, images: Tensor) -> Tensor:
        """Images (n, V, 3, h, w) uint8 as patches (n, V, h / 4, w / 4, 48) in [0, 1]."""
        grid = fold(images.flatten(0, 1).permute(0, 2, 3, 1).contiguous(), PATCH)
        return (grid.to(self.dtype) / 255).unflatten(0, images.shape[:2])

    def images(self, patches: Tensor) -> Tensor:
        """Patches (n, V, h / 4, w / 4, 48) as images (n, V, 3, h, w) uint8, clipped: the inverse of `patches`."""
        grid = (patches * 255).round().clamp(0, 255).to(torch.uint8).flatten(0, 1)
        return unfold(grid, PATCH).permute(0, 3, 1, 2).reshape(-1, *self.frame_shape)

    def backdrop(self) -> Tensor:
        """The background as patches (V, h / 4, w / 4, 48)."""
        return fold(self.background.permute(0, 2, 3, 1).contiguous(), PATCH)

    def _encode(self, patches: Tensor) -> Tensor:  # (n, V, h / 4, w / 4, 48) -> (n, V * N, C)
        difference = patches - self.backdrop().detach()
        return (
            self.encoder(difference.flatten(0, 1))
            .to(self.dtype)
            .view(len(patches), *self.latent_shape)
        )

    def _decode(self, latents: Tensor, decoder: nn.Module) -> Tensor:
        """Latents (n, V * N, C) to patches (n, V, h / 4, w / 4, 48), not clipped."""
        views = self.frame_shape[0]
        tokens = latents.unflatten(1, (views, -1)).flatten(0, 1)
        return decoder(tokens).to(self.dtype).unflatten(0, (-1, views)) + self.backdrop()


def wants_bfloat16(config: PictureConfig, weights: Tensor) -> bool:
    """Whether these weights are to decode in bfloat16: the config says so, and it would gain."""
    asked = config.precision == "bfloat16" and weights.dtype == torch.float32
    return asked and has_bfloat16(weights.device)
