"""The convolutional tokenizer meets the contract, learns a picture and what it is told about it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.rng import TRAINING, Rng
from cosmos_sdk.state import Masked
from cosmos_sdk.testing import check_tokenizer
from cosmos_sdk_tokenizers.auxiliary import TargetCode
from cosmos_sdk_tokenizers.conv import ConvTokenizer, ConvTokenizerConfig
from cosmos_sdk_tokenizers.layers import fold, unfold

STATE = spaces.Box(np.array([0, -5, 0], "f"), np.array([1, 5, 2 * np.pi], "f"))


def small(views: int = 1, height: int = 16, width: int = 24, **config) -> ConvTokenizer:
    torch.manual_seed(0)
    spec = Spec((views, height, width), 10.0, {}, {"state": STATE})
    sizes = {
        "widths": (8,),
        "mixer_width": 16,
        "mixer_blocks": 1,
        "auxiliary_width": 16,
        "channels": 4,
    }
    return ConvTokenizer(ConvTokenizerConfig(**{**sizes, **config}), Parts(spec))


def video(
    rows: int = 2, frames: int = 3, views: int = 1, height: int = 16, width: int = 24
) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(
        0, 256, (rows, frames, views, 3, height, width), np.uint8
    )
    return torch.from_numpy(pixels)


def rng(rows: int = 2) -> Rng:
    return Rng(torch.arange(rows), torch.zeros(rows, dtype=torch.int64), TRAINING)


def test_the_tokenizer_meets_the_contract():
    check_tokenizer(small(2), (2, 16, 24))


@pytest.mark.parametrize(("views", "height", "width"), [(1, 8, 8), (3, 16, 32), (2, 64, 40)])
def test_any_size_that_the_stride_divides_comes_back(views, height, width):
    tokenizer = small(views, height, width).eval()
    frames = video(2, 2, views, height, width)
    latents = tokenizer.encode(frames)
    assert (
        latents.shape == (2, 2, *tokenizer.latent_shape) == (2, 2, views * height * width // 64, 4)
    )
    assert tokenizer.decode(latents, 1).shape == (2, 1, views, 3, height, width)


def test_a_size_that_the_stride_does_not_divide_is_refused_with_the_stride():
    with pytest.raises(ConfigError, match="stride 8"):
        small(height=20)


def test_frames_of_another_size_are_refused_with_both_shapes():
    with pytest.raises(ShapeError, match="16, 24"):
        small().encode(video(width=32))


def test_the_default_configuration_has_16_tokens_at_64_pixels():
    spec = Spec((1, 64, 64), 10.0, {}, {})
    assert ConvTokenizer(ConvTokenizerConfig(), Parts(spec)).latent_shape == (16, 16)


def test_folding_is_undone_by_unfolding():
    grid = torch.randn(2, 8, 12, 3)
    assert torch.equal(unfold(fold(grid, 4), 4), grid)


def test_latents_are_bounded():
    assert small().encode(video()).abs().max() < 1


def test_a_few_steps_learn_a_picture_and_its_state():
    tokenizer = small(noise=0.0).train()
    frames = video(8, 1)
    tokenizer.prepare(frames[:, 0])
    valid = torch.ones(8, 1, dtype=torch.bool)
    state = torch.rand(8, 1, 3)
    optimiser = torch.optim.Adam(tokenizer.parameters(), 3e-3)
    seen: list[float] = []
    for _ in range(60):
        terms = tokenizer.loss(frames, valid, {"state": Masked(state, valid)}, rng(8))
        loss = torch.stack([term.mean() for term in terms.values()]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < 0.6 * seen[0]


def test_padding_and_absent_targets_add_nothing():
    tokenizer = small().eval()
    frames, valid = video(), torch.tensor([[True, True, True], [True, False, False]])
    target = Masked(torch.rand(2, 3, 3), valid)
    terms = tokenizer.loss(frames, valid, {"state": target}, rng())
    frames, values = frames.clone(), target.values.clone()
    frames[1, 1:], values[1, 1:] = 0, float("nan")
    again = tokenizer.loss(frames, valid, {"state": Masked(values, valid)}, rng())
    assert all(torch.equal(terms[name], again[name]) for name in ("reconstruction", "state"))
    absent = tokenizer.loss(
        frames, valid, {"state": Masked(values, torch.zeros_like(valid))}, rng()
    )
    assert torch.equal(absent["state"], torch.zeros(2))


def test_bfloat16_decoding_differs_by_rounding_only():
    tokenizer = small().eval()
    latents = tokenizer.encode(video())
    exact = tokenizer.decode(latents, 3).int()
    tokenizer.config.precision = "bfloat16"
    assert (tokenizer.decode(latents, 3).int() - exact).abs().max() <= 2


def test_target_codes_round_trip_and_know_angles():
    code = TargetCode(STATE)
    values = torch.tensor([[0.25, -4.0, 6.0], [0.5, 3.0, 0.1]])
    assert code.width == 4
    assert torch.allclose(code.decode(code(values)), values, atol=1e-5)
    assert torch.allclose(code(values), code(values + torch.tensor([0, 0, 2 * np.pi])), atol=1e-5)
