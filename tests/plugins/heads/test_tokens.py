"""What heads and readouts see of a frame whose latent is tokens: their codes, the backend's features, or both."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import Parts
from cosmos_sdk.state import Control, Masked, WorldState
from cosmos_sdk_heads.layers import FrameInput
from cosmos_sdk_heads.reward import RewardHead, RewardHeadConfig
from cosmos_sdk_heads.state import StateReadout, StateReadoutConfig
from cosmos_sdk_heads.termination import TerminationHead, TerminationHeadConfig
from cosmos_sdk_tokenizers.discrete import DiscreteTokenizer, DiscreteTokenizerConfig, discrete_conv
from toys.clips import spec

WIDTH = 7  # of features
NOTHING = Control({}, {})


def parts() -> Parts:
    """4 tokens of 3 numbers each."""
    config = DiscreteTokenizerConfig(
        widths=(8,), mixer_width=16, mixer_blocks=1, auxiliary=(), levels=(4, 3, 5)
    )
    backend: Any = SimpleNamespace(feature_width=WIDTH)
    tokenizer = discrete_conv(config, Parts(spec(1, 16, 16)))
    return Parts(spec(1, 16, 16), "state", tokenizer, {}, backend)


def tokens(rows: int, frames: int) -> Tensor:
    return torch.randint(0, 60, (rows, frames, 4))


def state(latents: Tensor, features: Tensor) -> WorldState:
    zeros = torch.zeros(len(latents), dtype=torch.int64)
    return WorldState(latents, features, {}, zeros, zeros)


def readout(given: Parts, **config: Any) -> StateReadout:
    torch.manual_seed(0)
    return StateReadout(StateReadoutConfig(**config), given)


def target(rows: int, frames: int) -> Masked:
    return Masked(torch.rand(rows, frames, 3), torch.ones(rows, frames, dtype=torch.bool))


def tokenizer_of(given: Parts) -> DiscreteTokenizer:
    assert isinstance(given.tokenizer, DiscreteTokenizer)
    return given.tokenizer


def test_tokens_are_read_as_their_codes():
    given = parts()
    head, latents = readout(given), tokens(2, 3)
    codes = tokenizer_of(given).codes(latents[:, -1]).flatten(1)
    assert codes.shape == (2, 12)
    expected = head.code.decode(head.layers(codes))
    assert torch.equal(head.read(state(latents, torch.zeros(2, 1, WIDTH))), expected)


@pytest.mark.parametrize(
    ("head", "config"), [(RewardHead, RewardHeadConfig), (TerminationHead, TerminationHeadConfig)]
)
def test_a_head_reads_codes_beside_features(head, config):
    given = parts()
    made = head(config(latents=True), replace(given, name="reward"))
    features, latents = torch.randn(2, 5, WIDTH), tokens(2, 5)
    seen = made.input(features, latents)
    assert torch.equal(seen[..., :WIDTH], features)
    assert torch.equal(seen[..., WIDTH:], tokenizer_of(given).codes(latents).flatten(2))


def test_the_tokenizer_is_not_registered_a_second_time():
    given = parts()
    head = readout(given)
    assert all(name.startswith("layers.") for name in head.state_dict())
    assert set(head.modules()).isdisjoint(tokenizer_of(given).modules())


def test_a_copied_world_reads_through_its_own_tokenizer():
    given = parts()
    world = nn.ModuleDict({"tokenizer": tokenizer_of(given), "state": readout(given)})
    other = copy.deepcopy(world).double()
    tokenizer, head = other["tokenizer"], other["state"]
    assert isinstance(tokenizer, DiscreteTokenizer)
    assert isinstance(head, StateReadout)
    seen = head.input(torch.zeros(1, 1, WIDTH), tokens(1, 1))
    assert seen.dtype == torch.float64  # as the copy's weights, not the original's


def test_a_readout_of_features_sees_those_of_the_newest_frame_only():
    head = readout(parts(), latents=False, features=True)
    features = torch.randn(2, 3, WIDTH)
    other = features.clone()
    other[:, :-1] += 1
    before, after = (head.read(state(tokens(2, 4), x)) for x in (features, other))
    assert torch.equal(before, after)
    other[:, -1] += 1
    assert not torch.equal(before, head.read(state(tokens(2, 4), other)))


def test_a_readout_of_both_sees_both():
    head, latents = readout(parts(), features=True), tokens(1, 4)
    assert head.input.width == WIDTH + 12
    features = torch.randn(1, 1, WIDTH)
    read = head.read(state(latents, features))
    assert not torch.equal(read, head.read(state((latents + 1) % 60, features)))
    assert not torch.equal(read, head.read(state(latents, features + 1)))


def test_what_is_read_is_what_was_trained():
    head, latents = readout(parts(), features=True), tokens(2, 5)
    features = torch.randn(2, 5, WIDTH)
    trained = head.input(features, latents)[:, -1:]
    assert torch.equal(head.input(features[:, -1:], latents), trained)


def test_the_loss_reaches_features_and_noise_stays_with_codes():
    head, latents = readout(parts(), features=True, noise=0.5), tokens(1, 4)
    features = torch.randn(1, 4, WIDTH, requires_grad=True)
    head.loss(latents, features, NOTHING, target(1, 4))["smooth_l1"].sum().backward()
    assert features.grad is not None
    assert (features.grad.abs().sum(-1) > 0).all()
    noisy = head.input(features, latents, torch.ones(1, 4, 12))
    plain = head.input(features, latents)
    assert torch.equal(noisy[..., :WIDTH], plain[..., :WIDTH])
    assert torch.allclose(noisy[..., WIDTH:], plain[..., WIDTH:] + 1)


def test_a_readout_of_features_does_not_mind_compressed_time():
    wanted, features, latents = target(1, 9), torch.randn(1, 9, WIDTH), tokens(1, 3)
    loss = readout(parts(), latents=False, features=True).loss(latents, features, NOTHING, wanted)
    assert loss["smooth_l1"].shape == (1,)
    with pytest.raises(ShapeError, match="let the head read features"):
        readout(parts()).loss(latents, features, NOTHING, wanted)


def test_a_vocabulary_without_codes_is_refused():
    speechless: Any = SimpleNamespace(latent_shape=(4,), vocabulary_size=60)
    with pytest.raises(ConfigError, match=r"readouts\.state: .* no `codes\(indices\)`"):
        readout(replace(parts(), tokenizer=speechless))
    assert readout(replace(parts(), tokenizer=speechless), latents=False, features=True)


def test_nothing_to_read_is_refused():
    given = replace(parts(), backend=None)
    with pytest.raises(ConfigError, match=r"readouts\.state: .*latents: true"):
        readout(given, latents=False, features=True)
    with pytest.raises(ConfigError, match=r"readouts\.state: nothing"):
        FrameInput(given, "readouts.state", features=False, latents=False)
