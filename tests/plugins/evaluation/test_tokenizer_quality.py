"""The metric `tokenizer` on a world of tokens and on one of numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from cosmos_sdk.protocols import Parts, Tokenizer
from cosmos_sdk.results import Result
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.tokenizer_quality import TokenizerConfig, tokenizer_quality
from cosmos_sdk_tokenizers.conv import ConvTokenizer, ConvTokenizerConfig
from cosmos_sdk_tokenizers.cosmos import CosmosTokenizerConfig, cosmos
from cosmos_sdk_tokenizers.discrete import DiscreteTokenizerConfig, discrete_conv
from toys.clips import shaken, spec

SIZES: dict[str, Any] = {"widths": (8, 8), "mixer_width": 16, "mixer_blocks": 1, "auxiliary": ()}
NEVER: Any = SimpleNamespace()  # nothing is predicted
PARTS = Parts(spec(1, 64, 64))


def measured(tokenizer: Tokenizer, frames: int = 1) -> dict[str, Result]:
    world = WorldModel(tokenizer, NEVER, {}, {}, {}, PARTS.spec)
    config = TokenizerConfig("CosmosSDK/DiscPusher-v0", "disc-scripted", 2, 6, 3, frames=frames)
    return {result.name: result for result in tokenizer_quality(world, config).results}


def test_a_vocabulary_is_reported_by_share_and_perplexity():
    results = measured(
        shaken(discrete_conv(DiscreteTokenizerConfig(levels=(4, 5), **SIZES), PARTS))
    )
    used, perplexity = results["tokenizer vocabulary used"], results["tokenizer perplexity"]
    assert used.unit == "%"
    assert 0 < used.value <= 100
    assert used.value * 20 / 100 == pytest.approx(
        round(used.value * 20 / 100)
    )  # whole tokens of 20
    assert 1 <= perplexity.value <= used.value * 20 / 100 + 1e-9
    assert {"tokenizer PSNR", "tokenizer SSIM"} < set(results)


def test_numbers_have_no_vocabulary_to_report():
    results = measured(shaken(ConvTokenizer(ConvTokenizerConfig(channels=4, **SIZES), PARTS)))
    assert set(results) == {"tokenizer PSNR", "tokenizer SSIM"}


def test_a_tokenizer_that_compresses_time_is_judged_on_clips():
    config = CosmosTokenizerConfig("dv4x8x8", width=4, multipliers=(1, 2), blocks=1)
    results = measured(shaken(cosmos(config, PARTS)), frames=5)
    assert results["tokenizer PSNR"].n == 2
    assert results["tokenizer perplexity"].value >= 1


class Remembering:
    """Frames are their own latents, and whoever asks for clips of three gets them."""

    latent_shape = (1, 3, 64, 64)

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def encode(self, frames: Tensor) -> Tensor:
        self.seen.append(frames)
        return frames

    def decode(self, latents: Tensor, num_frames: int) -> Tensor:
        return latents[:, -num_frames:]


def test_clips_begin_every_so_often_and_repeat_the_last_frame_of_the_episode():
    tokenizer = Remembering()
    assert measured(tokenizer, frames=3)["tokenizer PSNR"].value > 50  # nothing is lost
    first = tokenizer.seen[0]
    assert first.shape == (3, 3, 1, 3, 64, 64)  # frames 0 1 2, 3 4 5, 6 6 6
    assert not torch.equal(first[0, 0], first[0, 2])
    assert torch.equal(first[2, 0], first[2, 2])
