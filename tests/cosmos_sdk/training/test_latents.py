"""Which tokenizers code frames alone, and how their latents are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cosmos_sdk.training.latents import codes_frames_alone, encode
from toys.tokenizers import TimePatches
from toys.trainable import DotTokenizer, dot_footage

CPU = torch.device("cpu")


class Greys:
    """One token a frame: its mean grey, in as many steps as the vocabulary has, brightest last."""

    latent_shape = (1,)

    def __init__(self, vocabulary_size: int, context: int = 0) -> None:
        self.vocabulary_size, self.num_context_tokens = vocabulary_size, context

    def encode(self, frames: Tensor) -> Tensor:
        grey = frames.double().mean((2, 3, 4, 5)) / 255  # (B, F)
        return ((self.vocabulary_size - 1) * grey).round().long()[..., None]

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        raise NotImplementedError


class Difference(Greys):
    """The planted defect: a frame is told by what has changed since the frame before."""

    def encode(self, frames: Tensor) -> Tensor:
        grey = super().encode(frames)
        return grey - torch.cat((torch.zeros_like(grey[:, :1]), grey[:, :-1]), 1)


@pytest.mark.parametrize("tokenizer", [DotTokenizer(), Greys(1000)])
def test_frames_coded_alone_are_known(tokenizer):
    assert codes_frames_alone(tokenizer, dot_footage(), 5, CPU)


@pytest.mark.parametrize("tokenizer", [TimePatches(), Difference(1000), Greys(1000, context=1)])
def test_frames_coded_together_are_known(tokenizer):
    assert not codes_frames_alone(tokenizer, dot_footage(), 5, CPU)


def test_frames_that_stand_still_for_long_deceive_nobody():
    still = dot_footage(length=40)
    frames = still.frames.clone()
    frames[:200] = frames[0]
    tokenizer = Difference(1000)
    assert not codes_frames_alone(tokenizer, replace(still, frames=frames), 5, CPU)


def test_a_clip_of_one_frame_is_a_frame_alone():
    assert codes_frames_alone(TimePatches(), dot_footage(), 1, CPU)


@pytest.mark.parametrize(
    ("vocabulary_size", "stored"),
    [(256, np.uint8), (257, np.int16), (32_768, np.int16), (64_000, np.int32)],
)
def test_tokens_are_kept_in_few_bits_and_come_back_as_int64(
    vocabulary_size, stored, tmp_path: Path
):
    footage, tokenizer = dot_footage(), Greys(vocabulary_size)
    footage = replace(footage, frames=footage.frames.clone())
    footage.frames[1] = 255  # the largest token
    kept = encode(tokenizer, footage, tmp_path, "dots", CPU)
    (path,) = tmp_path.glob("dots-*.npy")
    assert np.load(path).dtype == stored
    batch = footage.with_latents(kept).clips(torch.tensor([0, 12]), 4)
    assert batch.latents is not None
    assert batch.latents.dtype == torch.int64
    assert torch.equal(
        batch.latents, tokenizer.encode(footage.clips(torch.tensor([0, 12]), 4).frames)
    )
    assert int(batch.latents.max()) == vocabulary_size - 1


def test_whole_numbers_without_a_known_vocabulary_are_all_kept(tmp_path: Path):
    tokenizer = Greys(2**40)
    del tokenizer.vocabulary_size
    tokenizer.encode = lambda frames: frames.long().sum((2, 3, 4, 5))[..., None] + 2**40
    kept = encode(tokenizer, dot_footage(), tmp_path, "dots", CPU)
    assert int(kept.min()) >= 2**40


def test_numbers_are_kept_in_16_bits_and_come_back_in_32(tmp_path: Path):
    footage = dot_footage()
    kept = encode(DotTokenizer(), footage, tmp_path, "dots", CPU)
    assert kept.dtype == torch.float16
    latents = footage.with_latents(kept).clips(torch.tensor([0]), 3).latents
    assert latents is not None
    assert latents.dtype == torch.float32
