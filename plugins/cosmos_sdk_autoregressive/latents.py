"""What the backend asks of a tokenizer and of its latents, and what it says where they do not fit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cosmos_sdk.errors import ConfigError, ShapeError, VocabularyError
from cosmos_sdk.protocols import Parts


def vocabulary(parts: Parts) -> tuple[int, int]:
    """Size of the tokenizer's vocabulary, and tokens per latent.

    Raises:
        ConfigError: there is no tokenizer, or its latents are no tokens of a vocabulary.
    """
    if parts.tokenizer is None:
        raise ConfigError(["backend autoregressive: needs a tokenizer; the world has none."])
    size: int | None = getattr(parts.tokenizer, "vocabulary_size", None)
    shape = parts.tokenizer.latent_shape
    if size is None or len(shape) != 1:
        name = type(parts.tokenizer).__name__
        raise ConfigError(
            [
                f"backend autoregressive: needs a discrete tokenizer, with a `vocabulary_size` and latents (N,); "
                f"{name} has latents {tuple(shape)} and vocabulary_size={size}."
            ]
        )
    return size, shape[0]


def codes(parts: Parts) -> Callable[[Tensor], Tensor]:
    """The tokenizer's codes (..., L) of tokens (...).

    Raises:
        ConfigError: it has none.
    """
    found = getattr(parts.tokenizer, "codes", None)
    if found is None:
        name = type(parts.tokenizer).__name__
        raise ConfigError(
            [f"backend.codes: {name} has no `codes(indices)`; set backend.codes=false."]
        )
    return found


def check_tokens(latents: Tensor, count: int, vocabulary_size: int) -> None:
    """Latents are `count` tokens each, (B, F, N) int64, of the vocabulary.

    Raises:
        ShapeError: they are not.
        VocabularyError: a token outside the vocabulary.
    """
    if latents.ndim != 3 or latents.shape[2] != count or latents.dtype != torch.int64:
        got = f"{tuple(latents.shape)} {latents.dtype}"
        raise ShapeError("latents", got, f"tokens (B, F, {count}) torch.int64")
    if latents.is_meta or not latents.numel():
        return
    for extreme in torch.aminmax(latents):
        if not 0 <= int(extreme) < vocabulary_size:
            raise VocabularyError(int(extreme), vocabulary_size)


def check_observed(latents: Tensor, shared: Tensor) -> None:
    """Latents (B, 1, C + N) are one, and begin with the tokens (B, C) that their clips share.

    Raises:
        ShapeError: they are more, or those of another clip.
    """
    if latents.shape[1] != 1:
        raise ShapeError("latents", tuple(latents.shape), "one frame of tokens (B, 1, N)")
    if shared.is_meta or torch.equal(latents[:, 0, : shared.shape[1]], shared):
        return
    raise ShapeError(
        "latents",
        "latents that begin with other tokens than the state's",
        f"the same first {shared.shape[1]} tokens, which all latents of a clip share",
        "Encode the observed frames in one clip with those of the reset.",
    )


def lengthen(latents: Tensor, count: int) -> Tensor:
    """The last `count` latents; a short history repeats its first."""
    missing = max(0, count - latents.shape[1])
    return torch.cat((latents[:, :1].expand(-1, missing, -1), latents[:, -count:]), 1)


def distinct(latents: Tensor) -> Tensor:
    """How many latents of (B, F, N) a history has (B,), its repeated first one counted once."""
    same = (latents[:, 1:] == latents[:, :-1]).all(2)
    return latents.shape[1] - same.long().cumprod(1).sum(1)
