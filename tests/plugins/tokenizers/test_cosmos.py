"""The Cosmos-shaped tokenizer: causal in time, one network for pictures and video, continuous and discrete."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cosmos_sdk.errors import ConfigError, ShapeError, UnknownNameError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.testing import check_tokenizer
from cosmos_sdk_tokenizers import video
from cosmos_sdk_tokenizers.cosmos import PRESETS, CosmosTokenizer, CosmosTokenizerConfig, cosmos
from cosmos_sdk_tokenizers.discrete import DiscreteTokenizer
from toys.clips import clips, greys, rng, shaken, spec

STRIDES = {
    "cv4x8x8": (4, 8),
    "cv8x8x8": (8, 8),
    "cv8x16x16": (8, 16),
    "dv4x8x8": (4, 8),
    "dv8x8x8": (8, 8),
    "dv8x16x16": (8, 16),
}


def small(
    preset: str, views: int = 1, height: int = 16, width: int = 32, **config
) -> CosmosTokenizer | DiscreteTokenizer:
    sizes = {"channels": 3, "levels": (4, 3, 5), "width": 4, "multipliers": (1, 2), "blocks": 1}
    parts = Parts(spec(views, height, width))
    return cosmos(CosmosTokenizerConfig(preset, **{**sizes, **config}), parts)


def coder_of(tokenizer: CosmosTokenizer | DiscreteTokenizer) -> CosmosTokenizer:
    coder = tokenizer.coder if isinstance(tokenizer, DiscreteTokenizer) else tokenizer
    assert isinstance(coder, CosmosTokenizer)
    return coder


@pytest.mark.parametrize("preset", ["cv4x8x8", "dv8x16x16"])
def test_the_tokenizer_meets_the_contract(preset):
    fine = small(preset, 2, levels=(32, 31, 32))  # coarse codes of so small a network may all be 0
    check_tokenizer(shaken(fine), (2, 16, 32), context=1 + STRIDES[preset][0])


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_compresses_as_its_name_says(preset):
    stride, size = STRIDES[preset]
    tokenizer = shaken(small(preset, 2)).eval()
    latents = tokenizer.encode(clips(1, 1 + 2 * stride, 2, 16, 32))
    num_tokens = 2 * (16 // size) * (32 // size)
    code = () if preset.startswith("d") else (3,)
    assert latents.shape == (1, 3, num_tokens, *code)
    assert latents.shape[2:] == tokenizer.latent_shape
    assert latents.dtype == (torch.int64 if preset.startswith("d") else torch.float64)
    assert tokenizer.decode(latents, 1 + 2 * stride).shape == (1, 1 + 2 * stride, 2, 3, 16, 32)


def test_33_frames_of_640_by_1024_are_12800_tokens():
    with torch.device("meta"):
        frames = torch.zeros(1, 33, 1, 3, 640, 1024, dtype=torch.uint8)
        tokenizer = cosmos(CosmosTokenizerConfig("dv8x16x16"), Parts(spec(1, 640, 1024)))
    latents = tokenizer.encode(frames)
    assert coder_of(tokenizer).grid == (40, 64)
    assert latents.shape == (1, 5, 40 * 64)
    assert latents.numel() == 12_800
    assert tokenizer.vocabulary_size == 64_000
    assert tokenizer.decode(latents, 33).shape == frames.shape


@pytest.mark.parametrize(
    ("preset", "count"),
    [("cv8x8x8", 105_647_552), ("dv4x8x8", 110_202_342), ("dv8x16x16", 110_892_150)],
)
def test_the_full_size_has_about_the_parameters_of_the_paper(preset, count):
    with torch.device("meta"):
        tokenizer = cosmos(CosmosTokenizerConfig(preset), Parts(spec(1, 64, 64)))
    assert sum(p.numel() for p in coder_of(tokenizer).parameters()) == count
    assert count == pytest.approx(105e6, rel=0.06)


def assert_causal(tokenizer: CosmosTokenizer, num_frames: int) -> None:
    """The code of a beginning is the beginning of the code, and so on the way back."""
    stride = tokenizer.compression.strides[0]
    frames = clips(2, num_frames, 1, 16, 32)
    latents = tokenizer.encode(frames)
    made = tokenizer._decode(latents)
    for kept in range(1, num_frames, stride):
        beginning = tokenizer.encode(frames[:, :kept])
        expected = latents[:, : beginning.shape[1]]
        assert torch.allclose(beginning, expected, rtol=0, atol=1e-10), kept
        again = tokenizer._decode(expected)
        assert torch.allclose(again, made[:, :, :kept], rtol=0, atol=1e-10), kept


@pytest.mark.parametrize("preset", ["cv4x8x8", "cv8x8x8", "cv8x16x16"])
@torch.no_grad()
def test_neither_codes_nor_frames_depend_on_what_comes_later(preset):
    tokenizer = coder_of(shaken(small(preset)))
    assert_causal(tokenizer, 1 + 2 * STRIDES[preset][0])


@torch.no_grad()
def test_indices_do_not_depend_on_what_comes_later():
    tokenizer, frames = shaken(small("dv4x8x8")), clips(2, 9, 1, 16, 32)
    latents = tokenizer.encode(frames)
    assert torch.equal(tokenizer.encode(frames[:, :5]), latents[:, :2])


@torch.no_grad()
def test_a_picture_is_a_video_of_one_frame():
    tokenizer = coder_of(shaken(small("cv8x8x8")))
    frames = clips(2, 9, 1, 16, 32)
    alone = tokenizer.encode(frames[:, :1])
    assert alone.shape[1] == 1
    assert torch.allclose(alone, tokenizer.encode(frames)[:, :1], rtol=0, atol=1e-10)
    assert tokenizer.decode(alone, 1).shape == (2, 1, 1, 3, 16, 32)


@torch.no_grad()
def test_a_latent_begins_to_matter_at_the_first_frame_of_its_group():
    tokenizer = coder_of(shaken(small("cv8x8x8")))
    latents = tokenizer.encode(clips(1, 25, 1, 16, 32))
    for n in range(4):
        other = latents.clone()
        other[:, n] += 1
        moved = (tokenizer._decode(other) - tokenizer._decode(latents)).abs().amax((0, 1, 3, 4))
        first = 1 + 8 * (n - 1) if n else 0
        assert (moved > 1e-6).nonzero().min() == first


@torch.no_grad()
def test_views_are_coded_alone():
    tokenizer, frames = shaken(small("cv4x8x8", 2)), clips(1, 5, 2, 16, 32)
    other = frames.clone()
    other[:, :, 1] = 255 - other[:, :, 1]
    made = [tokenizer.decode(tokenizer.encode(x), 5) for x in (frames, other)]
    assert torch.equal(made[0][:, :, 0], made[1][:, :, 0])
    assert not torch.equal(made[0][:, :, 1], made[1][:, :, 1])


@torch.no_grad()
def test_earlier_frames_do_matter_to_later_latents():
    tokenizer, frames = coder_of(shaken(small("cv4x8x8"))), clips(1, 9, 1, 16, 32)
    other = frames.clone()
    other[:, 0] = 255 - other[:, 0]
    moved = (tokenizer.encode(other) - tokenizer.encode(frames)).abs().amax((0, 2, 3))
    assert (moved > 1e-6).all()


def hold_both(clip: torch.Tensor, num_frames: int) -> torch.Tensor:
    """The planted defect: the last frame is repeated too, so that a convolution is centred in time."""
    left = num_frames // 2
    past, future = clip[:, :, :1], clip[:, :, -1:]
    right = num_frames - left
    expanded = [past.expand(-1, -1, left, -1, -1), clip, future.expand(-1, -1, right, -1, -1)]
    return torch.cat(expanded, 2)


@torch.no_grad()
def test_a_convolution_centred_in_time_is_caught(monkeypatch):
    tokenizer = coder_of(shaken(small("cv4x8x8")))
    assert_causal(tokenizer, 9)
    monkeypatch.setattr(video, "hold_first", hold_both)
    with pytest.raises(AssertionError):
        assert_causal(tokenizer, 9)


@torch.no_grad()
def test_statistics_over_time_are_caught(monkeypatch):
    tokenizer = coder_of(shaken(small("cv4x8x8")))
    monkeypatch.setattr(video.FrameNorm, "forward", lambda self, x: self.norm(x))
    with pytest.raises(AssertionError):
        assert_causal(tokenizer, 9)


@torch.no_grad()
def test_the_newest_frames_are_the_end_of_all_frames():
    tokenizer = shaken(small("dv4x8x8", 2))
    latents = tokenizer.encode(clips(2, 9, 2, 16, 32))
    whole = tokenizer.decode(latents, 9)
    for n in (1, 4, 5, 8):
        assert torch.equal(tokenizer.decode(latents, n), whole[:, -n:])


def test_padding_does_not_reach_the_valid_frames_of_its_group():
    tokenizer = shaken(small("cv4x8x8"))
    frames, valid = clips(2, 9, 1, 16, 32), torch.ones(2, 9, dtype=torch.bool)
    valid[1, 3:] = False
    before = tokenizer.loss(frames, valid, {}, rng(2))["reconstruction"]
    frames[1, 3:] = 255 - frames[1, 3:]
    assert torch.equal(tokenizer.loss(frames, valid, {}, rng(2))["reconstruction"], before)


GUESSED = 175 / 255  # the error of whatever is the same for both clips of `learn`


def learn(tokenizer: CosmosTokenizer | DiscreteTokenizer) -> float:
    """The last loss of training on two clips, bright on the left or on the right."""
    frames, valid = greys([[40] * 5] * 2, 16, 32), torch.ones(2, 5, dtype=torch.bool)
    frames[0, ..., :16] = frames[1, ..., 16:] = 215
    optimiser = torch.optim.Adam(tokenizer.parameters(), 1e-2)
    loss = torch.zeros(())
    for _ in range(40):
        loss = tokenizer.loss(frames, valid, {}, rng(2))["reconstruction"].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


@pytest.mark.parametrize("preset", ["cv4x8x8", "dv4x8x8"])
def test_a_few_steps_learn_to_tell_clips_apart(preset):
    assert learn(small(preset)) < 0.5 * GUESSED


class Mute(nn.Module):
    """The planted defect: codes that are the same whatever was seen."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return 0 * z


def test_codes_that_tell_nothing_leave_a_guess():
    tokenizer = small("cv4x8x8")
    coder_of(tokenizer).bottleneck = Mute()
    assert learn(tokenizer) > 0.999 * GUESSED


def test_a_number_of_frames_that_the_stride_does_not_divide_is_refused():
    tokenizer, frames = small("cv4x8x8"), clips(1, 7, 1, 16, 32)
    with pytest.raises(
        ShapeError, match=r"frames is 7; expected 1 \+ a multiple of 4, such as 5 and 9"
    ):
        tokenizer.encode(frames)
    with pytest.raises(
        ShapeError, match=r"frames is 7; expected 1 \+ a multiple of 4, such as 5 and 9"
    ):
        tokenizer.loss(frames, torch.ones(1, 7, dtype=torch.bool), {}, rng(1))


def test_more_frames_than_the_latents_hold_are_refused():
    tokenizer = small("cv4x8x8")
    with pytest.raises(ShapeError, match="num_frames is 6; expected 1 to 5"):
        tokenizer.decode(torch.zeros(1, 2, *tokenizer.latent_shape), 6)


def test_a_size_that_the_stride_does_not_divide_is_refused_with_the_stride():
    with pytest.raises(
        ConfigError, match="stride 16; the nearest heights are 16 and 32, widths 32"
    ):
        small("dv8x16x16", height=24)


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'dv8x16x16'"):
        small("dv8x16")


def test_fewer_stages_than_halvings_are_refused():
    with pytest.raises(ConfigError, match="needs at least 2, one per halving"):
        small("dv8x16x16", multipliers=(1,))
