from __future__ import annotations

import math
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
from cosmos_sdk_heads.state import StateCode, StateReadout, StateReadoutConfig

SPACE = spaces.Box(np.array([0, 0, -8], np.float32), np.array([512, 2 * math.pi, 8], np.float32))
LATENT = (2, 4)
NOTHING = Control({}, {})


def readout(space: spaces.Space | None = SPACE, **config: Any) -> StateReadout:
    torch.manual_seed(0)
    spec = Spec((1, 8, 8), 10.0, {}, {"state": space} if space else {})
    tokenizer: Any = SimpleNamespace(latent_shape=LATENT)
    parts = Parts(spec, "state", tokenizer)
    return StateReadout(StateReadoutConfig(**config), parts)


def state(latents: Tensor) -> WorldState:
    zeros = torch.zeros(len(latents), dtype=torch.int64)
    return WorldState(latents, torch.zeros(len(latents), 1, 0), {}, zeros, zeros)


def scene(frames: int) -> tuple[Tensor, Tensor]:
    """Latents (1, frames, 2, 4) that show a state (1, frames, 3)."""
    unit = torch.rand(1, frames, 3, generator=torch.Generator().manual_seed(0))
    values = unit * (torch.tensor(SPACE.high) - torch.tensor(SPACE.low)) + torch.tensor(SPACE.low)
    angle = values[..., 1]
    latents = torch.stack(
        (unit[..., 0] * 2 - 1, angle.cos(), angle.sin(), unit[..., 2] * 2 - 1), -1
    )
    return torch.stack((latents, -latents), 2), values


def test_a_code_gives_back_every_state():
    code, values = (
        StateCode(SPACE).double(),
        torch.tensor(np.array([SPACE.sample() for _ in range(100)])).double(),
    )
    assert code.width == 4
    torch.testing.assert_close(code.decode(code(values)), values, rtol=0, atol=1e-4)


def test_the_code_has_no_jump_where_an_angle_wraps():
    code = StateCode(SPACE)
    before, after = (code(torch.tensor([1.0, angle, 2.0])) for angle in (2 * math.pi - 1e-3, 1e-3))
    assert (before - after).abs().max() < 3e-3


def test_whatever_the_network_says_the_state_is_within_its_bounds():
    values = StateCode(SPACE).decode(100 * torch.randn(500, 4))
    assert all(SPACE.contains(row.numpy()) for row in values)
    full_turn = StateCode(SPACE).decode(torch.tensor([[0.0, 0.0, 1.0, -1e-12]]))
    assert 0 <= full_turn[0, 1] < 2 * math.pi


def test_a_readout_learns_position_and_angle():
    head = readout(hidden=64, noise=0.02)
    latents, values = scene(128)
    optimiser = torch.optim.Adam(head.parameters(), 6e-3)
    for _ in range(200):
        optimiser.zero_grad()
        target = Masked(values, torch.ones(1, 128, dtype=torch.bool))
        head.loss(latents, latents.new_zeros(1, 128, 0), NOTHING, target)[
            "smooth_l1"
        ].mean().backward()
        optimiser.step()
    read = head.read(state(latents.transpose(0, 1)))
    error = (read - values[0]).abs()
    turn = torch.minimum(error[:, 1], 2 * math.pi - error[:, 1])
    assert error[:, 0].mean() < 10
    assert turn.mean() < math.radians(3)
    assert error[:, 2].mean() < 0.4


def test_only_the_newest_latent_is_read():
    head, latents = readout(), torch.randn(3, 5, *LATENT)
    torch.testing.assert_close(head.read(state(latents)), head.read(state(latents[:, -1:])))


def test_losses_are_per_row_and_ignore_what_is_masked():
    head = readout().double()
    latents, values = torch.randn(3, 4, *LATENT).double(), scene(4)[1].expand(3, -1, -1).clone()
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    features = latents.new_zeros(3, 4, 0)
    together = head.loss(latents, features, NOTHING, Masked(values, mask))["smooth_l1"]
    values[~mask] = float("nan")
    changed = torch.where(mask[..., None, None], latents, 1e3)
    assert torch.equal(
        head.loss(changed, features, NOTHING, Masked(values, mask))["smooth_l1"], together
    )
    assert together.shape == (3,)
    assert together[1] == 0
    alone = head.loss(latents[2:], features[2:], NOTHING, Masked(values[2:], mask[2:]))["smooth_l1"]
    torch.testing.assert_close(alone, together[2:])


def test_training_noise_leaves_the_global_generator_alone_and_repeats():
    head, (latents, values) = readout(noise=0.5), scene(8)
    target = Masked(values, torch.ones(1, 8, dtype=torch.bool))
    before = torch.random.get_rng_state()
    first, again = (
        head.loss(latents, latents.new_zeros(1, 8, 0), NOTHING, target)["smooth_l1"]
        for _ in range(2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first, again)
    still = readout(noise=0.0).loss(latents, latents.new_zeros(1, 8, 0), NOTHING, target)[
        "smooth_l1"
    ]
    assert not torch.equal(first, still)


def test_the_tokenizer_gets_no_gradient():
    head, (latents, values) = readout(), scene(4)
    latents.requires_grad_()
    target = Masked(values, torch.ones(1, 4, dtype=torch.bool))
    head.loss(latents, latents.new_zeros(1, 4, 0), NOTHING, target)["smooth_l1"].sum().backward()
    assert latents.grad is None
    head.read(state(latents)).sum().backward()  # a planner's gradient does flow
    assert latents.grad is not None


@pytest.mark.parametrize("space", [None, spaces.Box(-np.inf, np.inf, (3,)), spaces.Discrete(3)])
def test_a_target_without_bounds_is_refused(space):
    with pytest.raises(ConfigError, match="bounded Box"):
        readout(space)


def test_a_tokenizer_that_compresses_time_is_refused():
    target = Masked(torch.zeros(1, 9, 3), torch.ones(1, 9, dtype=torch.bool))
    with pytest.raises(ShapeError, match="one a frame"):
        readout().loss(torch.zeros(1, 3, *LATENT), torch.zeros(1, 9, 0), NOTHING, target)
