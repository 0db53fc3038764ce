"""Discrete latents: a tokenizer whose codes lie on the grid of an FSQ, told by their indices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol, final, runtime_checkable

from torch import Tensor, nn

from cosmos_sdk.protocols import Parts, TrainableTokenizer
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Masked, Tensors
from cosmos_sdk.vocabulary import CodeUsage, code_usage
from cosmos_sdk_tokenizers.conv import ConvTokenizer, ConvTokenizerConfig, PictureConfig
from cosmos_sdk_tokenizers.fsq import FSQ


class Coder(TrainableTokenizer, Protocol):
    """A tokenizer with latents (B, T, N, L) in [-1, 1], which its bottleneck, an FSQ, put on the grid."""

    @property
    def decode_context(self) -> int: ...  # latents that decoding needs before those asked for
    @property
    def num_context_tokens(self) -> int: ...  # the first, which all latents of a clip share
    @property
    def frames_per_latent(self) -> int: ...  # after the first, which has its own


@runtime_checkable
class Prepares(Protocol):
    """A coder that looks at some images before it learns."""

    def prepare(self, images: Tensor) -> None: ...


@final
class DiscreteTokenizer(nn.Module):
    """Frames (B, F, V, 3, h, w) uint8 <-> latents (B, T, N) int64, indices into the vocabulary of an FSQ.

    The first `num_context_tokens` of the N are the same in every latent of a clip: who predicts a latent copies them.
    """

    def __init__(self, coder: Coder, fsq: FSQ) -> None:
        """Takes the tokenizer whose latents are codes of `fsq`."""
        super().__init__()
        self.coder, self.fsq = coder, fsq
        self.latent_shape = coder.latent_shape[:1]
        self.vocabulary_size = fsq.vocabulary_size
        self.decode_context = coder.decode_context
        self.num_context_tokens = coder.num_context_tokens
        self.frames_per_latent = coder.frames_per_latent

    def encode(self, frames: Tensor) -> Tensor:
        """Indices (B, T, N) int64 of frames (B, F, V, 3, h, w) uint8."""
        return self.fsq.indices(self.coder.encode(frames))

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        """The last `num_frames` frames (B, num_frames, V, 3, h, w) uint8 of indices (B, T, N).

        Raises:
            VocabularyError: an index outside the vocabulary.
        """
        return self.coder.decode(self.codes(latents), num_frames)

    def codes(self, indices: Tensor) -> Tensor:
        """What the indices (..., N) stand for: codes (..., N, L) in [-1, 1], in the dtype of the weights."""
        return self.fsq.codes(indices, next(self.parameters()).dtype)

    def usage(self, indices: Tensor) -> CodeUsage:
        """How much of the vocabulary latents (B, T, N) use."""
        return code_usage(indices, self.vocabulary_size)

    def loss(
        self, frames: Tensor, valid: Tensor, targets: Mapping[str, Masked], rng: Rng
    ) -> Tensors:
        """The terms (B,) of the coder, whose gradient passes straight through the rounding."""
        return self.coder.loss(frames, valid, targets, rng)

    def prepare(self, images: Tensor) -> None:
        """Shows images (n, V, 3, h, w) uint8 to a coder that looks at some before it learns."""
        if isinstance(self.coder, Prepares):
            self.coder.prepare(images)


@dataclass
class DiscreteTokenizerConfig(PictureConfig):
    """Sizes and loss weights of the convolutional tokenizer with discrete latents."""

    levels: tuple[int, ...] = (8, 5, 5, 5)  # 1,000 codes; their number is the width of a code


def discrete_conv(config: DiscreteTokenizerConfig, parts: Parts) -> DiscreteTokenizer:
    """The convolutional tokenizer around an FSQ: 16 tokens for a 64 x 64 frame."""
    fsq = FSQ(config.levels)
    sizes = {field.name: getattr(config, field.name) for field in fields(PictureConfig)}
    inner = ConvTokenizerConfig(**sizes, channels=len(config.levels), noise=0.0)
    return DiscreteTokenizer(ConvTokenizer(inner, parts, fsq), fsq)
