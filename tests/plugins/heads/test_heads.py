from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.state import Control, Masked, WorldState
from cosmos_sdk.two_hot import symexp_bins
from cosmos_sdk_heads.reward import RewardHead, RewardHeadConfig
from cosmos_sdk_heads.termination import TerminationHead, TerminationHeadConfig

WIDTH, LATENT = 6, (2, 3)
NOTHING = Control({}, {})


def parts(name: str, space: spaces.Space | None = None, width: int = WIDTH) -> Parts:
    torch.manual_seed(0)
    spec = Spec((1, 8, 8), 10.0, {}, {name: space} if space else {})
    tokenizer: Any = SimpleNamespace(latent_shape=LATENT)
    backend: Any = SimpleNamespace(feature_width=width)
    return Parts(spec, name, tokenizer, {}, backend)


def state(features: Tensor) -> WorldState:
    rows = len(features)
    zeros = torch.zeros(rows, dtype=torch.int64)
    return WorldState(
        torch.zeros(rows, 4, *LATENT, dtype=features.dtype), features, {}, zeros, zeros
    )


def read(head, features: Tensor) -> Tensor:
    values, memory = head.read(
        state(features), NOTHING, state(features), head.start(state(features))
    )
    assert memory == {}
    return values.detach()


def fit(head, features: Tensor, target: Masked, steps: int = 150, rate: float = 2e-2) -> None:
    latents = torch.zeros(*features.shape[:2], *LATENT)
    optimiser = torch.optim.Adam(head.parameters(), rate)
    for _ in range(steps):
        optimiser.zero_grad()
        head.loss(latents, features, NOTHING, target)["cross_entropy"].mean().backward()
        optimiser.step()


def here(values: Tensor) -> Masked:
    return Masked(values, torch.ones(values.shape[:2], dtype=torch.bool))


HEADS = {
    "reward": lambda **c: RewardHead(
        RewardHeadConfig(**c), parts("reward", spaces.Box(0, 1, (1,)))
    ),
    "terminated": lambda **c: TerminationHead(TerminationHeadConfig(**c), parts("terminated")),
}


def test_rewards_without_bounds_take_bins_of_every_size():
    head = RewardHead(RewardHeadConfig(num_bins=31), parts("reward"))
    assert head.bins.equal(symexp_bins(31))


def test_the_reward_head_learns_the_mean_of_a_noisy_reward():
    head = HEADS["reward"](num_bins=11, hidden=16)
    features = torch.zeros(8, 25, WIDTH)
    features[4:] = 1
    chance = torch.where(features[..., 0] > 0, 0.7, 0.2)
    reward = torch.bernoulli(chance, generator=torch.Generator().manual_seed(1))
    fit(head, features, here(reward[..., None]))
    values = read(head, features[:, :1])
    torch.testing.assert_close(values[0, 0], reward[:4].mean(), atol=0.02, rtol=0)
    torch.testing.assert_close(values[4, 0], reward[4:].mean(), atol=0.02, rtol=0)


@pytest.mark.parametrize("weight", [1.0, 20.0])
def test_a_weighted_termination_head_stays_calibrated(weight):
    head = HEADS["terminated"](positive_weight=weight, hidden=16)
    features = torch.zeros(4, 250, WIDTH)
    ended = torch.zeros(4, 250)
    ended[:, ::25] = 1  # 4 %
    fit(head, features, here(ended))
    torch.testing.assert_close(
        read(head, features[:, :1]), torch.full((4, 1), 0.04), atol=0.005, rtol=0
    )


def test_an_untrained_termination_head_says_its_prior():
    head = HEADS["terminated"](prior=0.05, positive_weight=7.0)
    torch.testing.assert_close(read(head, torch.randn(3, 2, WIDTH)), torch.full((3, 2), 0.05))


@pytest.mark.parametrize("name", HEADS)
def test_losses_are_per_row_and_ignore_what_is_masked(name):
    head = HEADS[name]().double()
    features, latents = torch.randn(3, 5, WIDTH, dtype=torch.float64), torch.randn(3, 5, *LATENT)
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    target = torch.rand(3, 5).round()
    together = head.loss(latents, features, NOTHING, Masked(target, mask))["cross_entropy"]
    other = Masked(torch.where(mask, target, 1 - target), mask)
    assert torch.equal(head.loss(latents, features, NOTHING, other)["cross_entropy"], together)
    assert together.shape == (3,)
    assert together[1] == 0
    alone = head.loss(latents[2:], features[2:], NOTHING, Masked(target[2:], mask[2:]))[
        "cross_entropy"
    ]
    torch.testing.assert_close(alone, together[2:])


@pytest.mark.parametrize("name", HEADS)
def test_a_head_of_latents_needs_no_features(name):
    head = {"reward": RewardHead, "terminated": TerminationHead}[name]
    config = {"reward": RewardHeadConfig, "terminated": TerminationHeadConfig}[name]
    with pytest.raises(ConfigError, match="latents: true"):
        head(config(), parts(name, width=0))
    values = read(head(config(latents=True), parts(name, width=0)), torch.zeros(2, 3, 0))
    assert values.shape == (2, 3)


def test_a_head_of_latents_refuses_latents_that_compress_time():
    head = HEADS["reward"](latents=True)
    with pytest.raises(ShapeError, match="compresses time"):
        head.loss(
            torch.zeros(1, 2, *LATENT), torch.zeros(1, 5, WIDTH), NOTHING, here(torch.zeros(1, 5))
        )


def test_a_reward_of_two_numbers_is_refused():
    with pytest.raises(ConfigError, match="one number"):
        RewardHead(RewardHeadConfig(), parts("reward", spaces.Box(0, 1, (2,))))


def test_bounds_of_the_target_are_the_range_of_the_reward():
    head = RewardHead(
        RewardHeadConfig(), parts("reward", spaces.Box(np.float32(-5), np.float32(2), (1,)))
    )
    assert head.bins[0] == -5
    assert head.bins[-1] == 2
