"""The video tokenizer in the shape of NVIDIA Cosmos (Agarwal et al. 2025, arXiv:2501.03575, section 4).

Wavelet, causal convolutions and attention, and back; pictures and video through one network. 1 + s m frames of
h x w pixels become 1 + m latents of h / r x w / r tokens: 33 frames of 640 x 1024 at 8x16x16 are 5 x 40 x 64.

As published: the wavelet and its gain, factorised causal convolutions and their padding, norms per frame, blocks and
widths per stage, where stages halve, attention in the middle, and a plain autoencoder with 16 channels or an FSQ of
64,000 codes. 8x8x8 has 105.6 M parameters, where the paper says 105 M of its video tokenizers; 4x8x8 and 8x16x16, which
halve space twice after the wavelet, have 110 M and 111 M. Otherwise than published: the loss is the mean absolute
error alone, in one stage (theirs adds a perceptual term, then one of optical flow and one of Gram matrices); queries,
keys and values have no biases; published weights are not loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError, ShapeError, UnknownNameError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk_tokenizers import haar
from cosmos_sdk_tokenizers.discrete import DiscreteTokenizer
from cosmos_sdk_tokenizers.frames import check_frames, nearest, token_grid
from cosmos_sdk_tokenizers.fsq import FSQ
from cosmos_sdk_tokenizers.padding import hold_last
from cosmos_sdk_tokenizers.video import Attention, Down, FrameNorm, ResidualBlock, Up, factorised


class Compression(NamedTuple):
    """Halvings: by the wavelet along all axes, then by the network in time and in space."""

    wavelet: int
    time: int
    space: int
    discrete: bool

    @property
    def strides(self) -> tuple[int, int]:
        """Frames per latent after the first, and pixels per token along each side."""
        return 2 ** (self.wavelet + self.time), 2 ** (self.wavelet + self.space)


PRESETS = {
    "cv4x8x8": Compression(1, 1, 2, discrete=False),
    "cv8x8x8": Compression(2, 1, 1, discrete=False),
    "cv8x16x16": Compression(2, 1, 2, discrete=False),
    "dv4x8x8": Compression(1, 1, 2, discrete=True),
    "dv8x8x8": Compression(2, 1, 1, discrete=True),
    "dv8x16x16": Compression(2, 1, 2, discrete=True),
}


@dataclass
class CosmosTokenizerConfig:
    """What is compressed by how much, by preset: continuous (c) or discrete (d), time x height x width."""

    preset: str = "cv8x8x8"
    channels: int = 16  # per token, before the FSQ of a discrete one
    levels: tuple[int, ...] = (8, 8, 8, 5, 5, 5)  # of a discrete one: 64,000 codes
    width: int = 128
    multipliers: tuple[int, ...] = (2, 4, 4)  # of the width, per stage; stages are halvings apart
    blocks: int = 2  # residual blocks per stage of the encoder; the decoder has one more
    micro_batch: int = 8  # clips per pass


class Encoder(nn.Module):
    """Bands (B, D, T, h, w) of a wavelet to codes (B, C, T', h', w'), not bounded."""

    def __init__(
        self, config: CosmosTokenizerConfig, compression: Compression, num_bands: int, codes: int
    ) -> None:
        super().__init__()
        widths = [config.width * m for m in (1, *config.multipliers)]
        layers: list[nn.Module] = [factorised(num_bands, widths[0])]
        for n, (width, wide) in enumerate(pairwise(widths)):
            layers += [ResidualBlock(wide if b else width, wide) for b in range(config.blocks)]
            space, time = n < compression.space, n < compression.time
            if space or time:
                layers.append(Down(wide, space, time))
        self.layers = nn.Sequential(*layers, *_middle(widths[-1]))
        self.out = nn.Sequential(*_last(widths[-1], config.channels), _mix(config.channels, codes))

    def forward(self, bands: Tensor) -> Tensor:
        return self.out(self.layers(bands))


class Decoder(nn.Module):
    """Codes (B, C, T', h', w') to bands (B, D, T, h, w): the encoder backwards, with a block more per stage."""

    def __init__(
        self, config: CosmosTokenizerConfig, compression: Compression, num_bands: int, codes: int
    ) -> None:
        super().__init__()
        widths = [config.width * m for m in config.multipliers]
        wide = widths[-1]
        self.into = nn.Sequential(_mix(codes, config.channels), factorised(config.channels, wide))
        layers = _middle(wide)
        for n, width in reversed(list(enumerate(widths))):
            space, time = n < compression.space, n < compression.time
            if space or time:
                layers.append(Up(wide, space, time))
            layers += [ResidualBlock(width if b else wide, width) for b in range(config.blocks + 1)]
            wide = width
        self.layers = nn.Sequential(*layers)
        self.out = nn.Sequential(*_last(wide, num_bands))

    def forward(self, codes: Tensor) -> Tensor:
        return self.out(self.layers(self.into(codes)))


@final
class CosmosTokenizer(nn.Module):
    """Frames (B, 1 + s m, V, 3, h, w) uint8 <-> latents (B, 1 + m, V * N, C); each view is coded alone."""

    decode_context = sys.maxsize  # attention in time looks back without end
    num_context_tokens = 0

    def __init__(
        self,
        config: CosmosTokenizerConfig,
        parts: Parts,
        channels: int,
        bottleneck: Callable[[Tensor], Tensor],
    ) -> None:
        """Latents have `channels` numbers per token, which `bottleneck` maps (..., C) to (..., C).

        Raises:
            UnknownNameError: no such preset.
            ConfigError: the preset's stride does not divide the frames of the spec, or there are too few stages.
        """
        super().__init__()
        self.config, self.compression = config, _compression(config)
        compression = self.compression
        views, height, width = parts.spec.frames
        self.frame_shape = (views, 3, height, width)
        remedy = "Choose another preset, or another size of the frames."
        self.grid = token_grid(parts.spec.frames, compression.strides[1], remedy)
        self.latent_shape = (views * self.grid[0] * self.grid[1], channels)
        num_bands = 3 * 8**compression.wavelet
        self.encoder = Encoder(config, compression, num_bands, channels)
        self.decoder = Decoder(config, compression, num_bands, channels)
        self.bottleneck = bottleneck

    @property
    def frames_per_latent(self) -> int:
        """Frames that share a latent; the first frame of a clip has one of its own."""
        return self.compression.strides[0]

    def encode(self, frames: Tensor) -> Tensor:
        """Latents (B, 1 + m, V * N, C) of frames (B, 1 + s m, V, 3, h, w) uint8; one frame is a picture.

        Raises:
            ShapeError: another number or size of frames.
        """
        self._check(frames)
        parts = frames.split(self.config.micro_batch)
        return torch.cat([self._encode(self._video(part)) for part in parts])

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        """The last `num_frames` frames (B, num_frames, V, 3, h, w) uint8; the first latent is a picture's.

        Raises:
            ShapeError: the latents hold fewer frames.
        """
        held = 1 + (latents.shape[1] - 1) * self.compression.strides[0]
        if not 0 < num_frames <= held:
            raise ShapeError("num_frames", num_frames, f"1 to {held}, which the latents hold")
        parts = latents.split(self.config.micro_batch)
        video = torch.cat([self._decode(part)[:, :, held - num_frames :] for part in parts])
        pixels = ((video + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return pixels.unflatten(0, (len(latents), -1)).permute(0, 3, 1, 2, 4, 5)

    def loss(
        self, frames: Tensor, valid: Tensor, targets: Mapping[str, Masked], rng: Rng
    ) -> Tensors:
        """`reconstruction` (B,): the mean absolute error, in [-1, 1], of valid frames (B, F). No auxiliary targets."""
        self._check(frames)
        video = self._video(hold_last(frames, valid))
        error = (self._decode(self._encode(video)) - video).abs().mean((1, 3, 4))  # (B * V, F)
        error = torch.where(valid, error.unflatten(0, (len(frames), -1)).mean(1), 0)
        return {"reconstruction": error.sum(1) / valid.sum(1).clamp(min=1)}

    def _check(self, frames: Tensor) -> None:
        check_frames(frames, self.frame_shape)
        stride, (_, num_frames) = self.compression.strides[0], frames.shape[:2]
        if (num_frames - 1) % stride:
            wanted = f"1 + a multiple of {stride}, such as {nearest(num_frames, stride, 1)}"
            remedy = f"The first frame has a latent of its own, and then {stride} share one."
            raise ShapeError("the number of frames", num_frames, wanted, remedy)

    def _video(self, frames: Tensor) -> Tensor:
        """Frames (B, F, V, 3, h, w) uint8 as videos (B * V, 3, F, h, w) in [-1, 1]."""
        pixels = frames.permute(0, 2, 3, 1, 4, 5).flatten(0, 1)
        return pixels.to(next(self.parameters()).dtype) / 127.5 - 1

    def _encode(self, video: Tensor) -> Tensor:
        bands = haar.analyse(video, self.compression.wavelet) / self._gain()
        grid = self.encoder(bands).flatten(3).permute(0, 2, 3, 1)  # (B * V, T, N, C)
        codes = self.bottleneck(grid).to(video.dtype)
        views = codes.unflatten(0, (-1, self.frame_shape[0]))
        return views.transpose(1, 2).flatten(2, 3)

    def _decode(self, latents: Tensor) -> Tensor:
        views = latents.unflatten(2, (self.frame_shape[0], -1)).transpose(1, 2)  # (B, V, T, N, C)
        grid = views.flatten(0, 1).permute(0, 3, 1, 2).unflatten(3, self.grid)
        return haar.synthesise(self.decoder(grid) * self._gain(), self.compression.wavelet)

    def _gain(self) -> float:
        """The lowest band of a grey video is so many times the grey."""
        return 8 ** (self.compression.wavelet / 2)


def cosmos(config: CosmosTokenizerConfig, parts: Parts) -> CosmosTokenizer | DiscreteTokenizer:
    """The continuous tokenizer, a plain autoencoder, or the discrete one around an FSQ, as the preset says."""
    if not _compression(config).discrete:
        return CosmosTokenizer(config, parts, config.channels, nn.Identity())
    fsq = FSQ(config.levels)
    return DiscreteTokenizer(CosmosTokenizer(config, parts, len(config.levels), fsq), fsq)


def _compression(config: CosmosTokenizerConfig) -> Compression:
    if config.preset not in PRESETS:
        raise UnknownNameError("preset of the cosmos tokenizer", config.preset, PRESETS)
    compression = PRESETS[config.preset]
    stages, halvings = len(config.multipliers), max(compression.space, compression.time)
    if stages < halvings:
        given = f"tokenizer: {stages} multipliers make as many stages"
        raise ConfigError([f"{given}; {config.preset} needs at least {halvings}, one per halving."])
    return compression


def _middle(width: int) -> list[nn.Module]:
    attention = Attention(width, "space"), Attention(width, "time")
    return [ResidualBlock(width, width), *attention, ResidualBlock(width, width)]


def _last(width: int, out: int) -> list[nn.Module]:
    return [FrameNorm(width), nn.SiLU(), factorised(width, out)]


def _mix(width: int, out: int) -> nn.Conv3d:
    return nn.Conv3d(width, out, 1)
