"""A compressive tokenizer in the manner of iVideoGPT (Wu et al. 2024, arXiv:2405.15223, section 3.1).

Many tokens tell what the first frames of a clip look like; a few tokens a frame tell what has changed since. Both the
encoder and the decoder of the few see the many. The latent of a frame holds both, the many first, so that a window can
slide and every latent decodes by itself; who predicts a latent copies its `num_context_tokens` and makes the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import final

import torch
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.precision import HalfCopy
from cosmos_sdk.protocols import Parts
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk_tokenizers.auxiliary import AuxiliaryHeads
from cosmos_sdk_tokenizers.conv import (
    STAGES,
    ConvTokenizer,
    ConvTokenizerConfig,
    Decoder,
    Encoder,
    PictureConfig,
    wants_bfloat16,
)
from cosmos_sdk_tokenizers.discrete import DiscreteTokenizer
from cosmos_sdk_tokenizers.frames import check_frames, newest, token_grid
from cosmos_sdk_tokenizers.fsq import FSQ
from cosmos_sdk_tokenizers.layers import CrossAttention, MixerBlock, unfold
from cosmos_sdk_tokenizers.padding import hold_last, mean_per_row

CELLS = 256  # grids up to this size look at the context; finer ones would cost more than they gain


@dataclass
class CompressiveTokenizerConfig(PictureConfig):
    """Sizes and loss weights; 64 tokens for the first frame of 64 x 64, and 4 for every frame."""

    levels: tuple[int, ...] = (8, 8, 8, 6, 5)  # 15,360 codes
    widths: tuple[int, ...] = (64, 128, 128)
    context_widths: tuple[int, ...] = (64,)  # as `widths`, of the context's tokens
    context_frames: int = 1  # from which the context's tokens come


class ConditionalDecoder(nn.Module):
    """Codes of changes (n, N, L) and of the context (n, M, L) before them to patches (n, h / 4, w / 4, 48)."""

    def __init__(
        self, config: PictureConfig, grid: tuple[int, int], channels: int, num_context: int
    ) -> None:
        super().__init__()
        width = config.mixer_width
        self.pictures = Decoder(config, grid, channels)
        self.into = nn.Linear(channels, width)
        self.place = nn.Parameter(0.02 * torch.randn(num_context, width))
        self.mixer = MixerBlock(num_context, width, 2 * width)
        cells = [grid[0] * grid[1] * 4 ** (n + 1) for n in range(len(config.widths))]
        looking = [n for n, count in enumerate(cells) if n == 0 or count <= CELLS]
        self.look = nn.ModuleList(CrossAttention(config.widths[-1 - n], width) for n in looking)

    def forward(self, codes: Tensor, context: Tensor) -> Tensor:
        tokens = self.mixer(self.into(context) + self.place)
        grid = self.pictures.spread(codes)
        for n, (up, stage) in enumerate(zip(self.pictures.up, self.pictures.stages, strict=True)):
            grid = unfold(up(grid), 2)
            if n < len(self.look):
                grid = self.look[n](grid, tokens)
            grid = stage(grid)
        return self.pictures.paint(grid)


@final
class CompressiveTokenizer(nn.Module):
    """Frames (B, F, V, 3, h, w) uint8 <-> latents (B, F, M + V * N, L): M of the context, N of the frame's change."""

    decode_context = 0
    frames_per_latent = 1

    def __init__(self, config: CompressiveTokenizerConfig, parts: Parts, fsq: FSQ) -> None:
        """Latents are codes of `fsq`, which those of the context and of the change share.

        Raises:
            ConfigError: a stride does not divide the frames of the spec, no stage, or no frame of context.
        """
        super().__init__()
        if config.context_frames < 1 or not config.widths:
            got = f"context_frames {config.context_frames}, widths {tuple(config.widths)}"
            raise ConfigError([f"tokenizer: {got}; expected at least one of each."])
        views, height, width = parts.spec.frames
        grid = token_grid(parts.spec.frames, config.stride, STAGES)
        sizes = {field.name: getattr(config, field.name) for field in fields(PictureConfig)}
        channels = len(fsq.levels)
        sizes |= {"widths": config.context_widths, "auxiliary": (), "channels": channels}
        inner = ConvTokenizerConfig(**sizes, noise=0.0)
        self.context = ConvTokenizer(inner, parts, fsq)
        self.config, self.frame_shape = config, (views, 3, height, width)
        self.num_context_tokens = config.context_frames * self.context.latent_shape[0]
        num_tokens, num_pictures = grid[0] * grid[1], 1 + config.context_frames
        self.latent_shape = (self.num_context_tokens + views * num_tokens, channels)
        self.encoder = Encoder(config, num_tokens, channels, fsq, num_pictures)
        num_context = self.num_context_tokens // views
        self.decoder = ConditionalDecoder(config, grid, channels, num_context)
        self.auxiliary = AuxiliaryHeads(
            config.auxiliary,
            parts.spec.targets,
            math.prod(self.latent_shape),
            config.auxiliary_width,
        )
        self._half = HalfCopy(nn.Conv2d)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def encode(self, frames: Tensor) -> Tensor:
        """Latents (B, F, M + V * N, L) of frames (B, F, V, 3, h, w) uint8, the first of which are the context."""
        check_frames(frames, self.frame_shape)
        count, num_frames = self.config.context_frames, frames.shape[1]
        first = torch.arange(count, device=frames.device).clamp(max=num_frames - 1)
        rich = self.context.encode(frames[:, first])  # (B, count, V * M', L)
        with torch.no_grad():  # the encoder sees what the decoder can: the context after its coding
            shown = self.context.decode(rich, count)
        beside = shown[:, None].expand(-1, num_frames, *shown.shape[1:])
        pictures = torch.cat((frames[:, :, None], beside), 2).flatten(0, 1)  # (n, 1 + count, ...)
        changes = [self._encode(part) for part in pictures.split(self.config.micro_batch)]
        kept = rich.flatten(1, 2)[:, None].expand(-1, num_frames, -1, -1)
        return torch.cat((kept, torch.cat(changes).unflatten(0, frames.shape[:2])), 2)

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        """The last `num_frames` frames (B, num_frames, V, 3, h, w) uint8.

        Raises:
            ShapeError: there are fewer latents.
        """
        latents = newest(latents, num_frames)
        half = wants_bfloat16(self.config, self.context.background)
        decoder = self._half.of(self.decoder) if half else self.decoder
        parts = latents.flatten(0, 1).split(self.config.micro_batch)
        patches = torch.cat([self._decode(part, decoder) for part in parts])
        return self.context.images(patches).unflatten(0, latents.shape[:2])

    def loss(
        self, frames: Tensor, valid: Tensor, targets: Mapping[str, Masked], rng: Rng
    ) -> Tensors:
        """Terms per row (B,): `context` and `reconstruction`, of the first frames and of all, and auxiliary targets.

        frames (B, F, V, 3, h, w) uint8, valid (B, F) bool; targets hold (B, F, *space.shape).
        """
        frames, where = hold_last(frames, valid), valid.nonzero(as_tuple=True)
        given = slice(self.config.context_frames)
        rich = self.context.loss(frames[:, given], valid[:, given], {}, rng)["reconstruction"]
        latents = self.encode(frames)[where]  # (n, M + V * N, L)
        pixels = self.context.patches(frames[where])
        error = self.context.distance(self._decode(latents, self.decoder), pixels)
        terms = {"reconstruction": error}
        heard = self.auxiliary.losses(latents, targets, where)
        terms |= {name: self.config.auxiliary_weight * term for name, term in heard.items()}
        means = {name: mean_per_row(term, where[0], valid) for name, term in terms.items()}
        return {"context": rich, **means}

    def prepare(self, images: Tensor) -> None:
        """Sets the background to the median of images (n, V, 3, h, w) uint8."""
        self.context.prepare(images)

    def _encode(self, pictures: Tensor) -> Tensor:
        """Pictures (n, P, V, 3, h, w) uint8, a frame and its context, to codes of the change (n, V * N, L)."""
        patches = self.context.patches(pictures.flatten(0, 1)) - self.context.backdrop().detach()
        beside = patches.unflatten(0, pictures.shape[:2]).permute(0, 2, 3, 4, 1, 5).flatten(4)
        codes = self.encoder(beside.flatten(0, 1)).to(patches.dtype)
        return codes.unflatten(0, (len(pictures), -1)).flatten(1, 2)

    def _decode(self, latents: Tensor, decoder: nn.Module) -> Tensor:
        """Latents (n, M + V * N, L) to patches (n, V, h / 4, w / 4, 48), not clipped."""
        views, count = self.frame_shape[0], self.config.context_frames
        rich, changes = latents.tensor_split((self.num_context_tokens,), 1)
        context = rich.unflatten(1, (count, views, -1)).transpose(1, 2)  # (n, V, count, M', L)
        codes = changes.unflatten(1, (views, -1)).flatten(0, 1)
        patches = decoder(codes, context.flatten(2, 3).flatten(0, 1)).to(latents.dtype)
        return patches.unflatten(0, (-1, views)) + self.context.backdrop()


def compressive(config: CompressiveTokenizerConfig, parts: Parts) -> DiscreteTokenizer:
    """The compressive tokenizer around an FSQ."""
    fsq = FSQ(config.levels)
    return DiscreteTokenizer(CompressiveTokenizer(config, parts, fsq), fsq)
