"""`check_tokenizer`: frames to latents and back (check 16), and its loss (13)."""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from cosmos_sdk.protocols import Tokenizer, TrainableTokenizer
from cosmos_sdk.testing.conformance import check, close, demand, identical
from cosmos_sdk.testing.learning import loss_rng, unreached
from cosmos_sdk.testing.trial import ROWS, add_noise, under_global_seed

_GREY = 1  # level of 255


def check_tokenizer(
    tokenizer: Tokenizer, frames: tuple[int, int, int], *, context: int = 8, seed: int = 0
) -> None:
    """Checks a tokenizer on random frames.

    A tokenizer is held to need `decode_context` latents (an attribute; 1 where it has none) before those that hold the
    frames it is asked for: earlier ones must not matter.

    Args:
        tokenizer: as its factory makes it.
        frames: (V, h, w).
        context: frames to encode, a number it takes: 1 + 12 of one with 4x time compression.
        seed: of the frames.

    Raises:
        ConformanceError: the first property that does not hold.
    """
    tokenizer = copy.deepcopy(tokenizer)
    if isinstance(tokenizer, nn.Module):
        with torch.no_grad():
            add_noise(tokenizer.double().eval(), seed)
    views, height, width = frames
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 256, (ROWS, context, views, 3, height, width), np.uint8)
    pixels = torch.as_tensor(drawn)
    with torch.no_grad():
        latents_and_frames_have_their_shapes(tokenizer, pixels)
        encoding_is_a_function_of_the_row(tokenizer, pixels)
        earlier_latents_do_not_matter(tokenizer, pixels)
    if callable(getattr(tokenizer, "loss", None)):
        tokenizer_losses_are_per_row(cast("TrainableTokenizer", tokenizer), pixels)


@check(
    16,
    "Usual cause: decode returns all frames instead of the last num_frames, or latent_shape lacks an axis. Latents are "
    "(B, T, *latent_shape), frames (B, num_frames, V, 3, h, w) uint8.",
)
def latents_and_frames_have_their_shapes(tokenizer: Tokenizer, frames: Tensor) -> None:
    """16: decode(encode(x), n) has n frames for n = 1..context."""
    latents = tokenizer.encode(frames)
    shape, wanted = tuple(latents.shape), (ROWS, "T", *tokenizer.latent_shape)
    demand(
        shape[0] == ROWS and shape[2:] == wanted[2:],
        f"encode gives latents {shape}; expected {wanted}.",
    )
    for n in range(1, frames.shape[1] + 1):
        images = tokenizer.decode(latents, n)
        expected = f"{(ROWS, n, *frames.shape[2:])} {torch.uint8}"
        demand(
            f"{tuple(images.shape)} {images.dtype}" == expected,
            f"decode(latents, {n}) gives {tuple(images.shape)} {images.dtype}; expected {expected}.",
        )


@check(
    16,
    "Usual cause: sampling from a posterior (return its mean), a statistic over the batch, or an in-place "
    "normalisation of the frames.",
)
def encoding_is_a_function_of_the_row(tokenizer: Tokenizer, frames: Tensor) -> None:
    """16: encode and decode are pure, deterministic, and the same for a row alone."""
    before = frames.clone()
    latents = tokenizer.encode(frames)
    identical({"frames": frames}, {"frames": before}, "were changed by encode")
    kept = latents.clone()
    with under_global_seed(1):
        identical(
            {"latents": tokenizer.encode(frames)}, {"latents": latents}, "differ when encoded again"
        )
    alone = tokenizer.encode(frames[:1])
    close({"latents": alone}, {"latents": latents[:1]}, "of a row, encoded alone")
    images = tokenizer.decode(latents, 1)
    identical({"latents": latents}, {"latents": kept}, "were changed by decode")
    _same_grey(tokenizer.decode(latents[:1], 1), images[:1], "a row decoded alone")


@check(
    16,
    "Usual cause: a decoder that is not causal in time, or that counts from the first latent (an absolute position). "
    "One that needs more latents before those of the frames asked for says so: `decode_context`.",
)
def earlier_latents_do_not_matter(tokenizer: Tokenizer, frames: Tensor) -> None:
    """16: decode with more left context than needed gives the same last frames, within 1 of 255."""
    latents = tokenizer.encode(frames)
    kept, num_frames = latents.shape[1], frames.shape[1]
    stride = -(-(num_frames - 1) // (kept - 1)) if kept > 1 else num_frames  # frames per latent
    before: int = getattr(tokenizer, "decode_context", 1)
    for n in range(1, num_frames + 1):
        needed = -(-n // stride) + before
        if needed < kept:
            short, long = tokenizer.decode(latents[:, -needed:], n), tokenizer.decode(latents, n)
            _same_grey(short, long, f"{n} frames decoded from the last {needed} of {kept} latents")


def _same_grey(got: Tensor, expected: Tensor, what: str) -> None:
    worst = int((got.int() - expected.int()).abs().max())
    demand(worst <= _GREY, f"{what}: a pixel differs by {worst} of 255; expected at most {_GREY}.")


@check(
    13,
    "Usual cause: a mean over the batch or over padding (losses are (B,); average over valid frames only), or a layer "
    "that no term uses. Freeze what is not to learn by requires_grad.",
)
def tokenizer_losses_are_per_row(tokenizer: TrainableTokenizer, frames: Tensor) -> None:
    """13: (B,) terms, blind to padding, the same for a row alone; gradients reach every parameter."""
    valid = torch.ones(frames.shape[:2], dtype=torch.bool)
    valid[1, frames.shape[1] // 2 :] = False
    losses = tokenizer.loss(frames, valid, {}, loss_rng(ROWS))
    for name, term in losses.items():
        demand(
            tuple(term.shape) == (ROWS,),
            f"{name} has shape {tuple(term.shape)}; expected ({ROWS},).",
        )
    junk = torch.where(valid[:, :, None, None, None, None], frames, 255 - frames)
    close(tokenizer.loss(junk, valid, {}, loss_rng(ROWS)), losses, "under other content of padding")
    alone = tokenizer.loss(frames[:1], valid[:1], {}, loss_rng(1))
    close(alone, {name: term[:1] for name, term in losses.items()}, "of row 0, computed alone")
    named = _wanted(tokenizer)
    missed = unreached(losses, named)
    demand(
        not missed,
        f"no gradient reaches {', '.join(missed[:5])} ({len(missed)} of {len(named)} parameters).",
    )


def _wanted(tokenizer: object) -> dict[str, nn.Parameter]:
    """All that learn, but auxiliary readers, whose targets are absent here."""
    if not isinstance(tokenizer, nn.Module):
        return {}
    named = tokenizer.named_parameters()
    return {n: p for n, p in named if p.requires_grad and "auxiliary" not in n.split(".")}
