"""The proposal readout learns from recordings without goals what leads to one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked, WorldState
from cosmos_sdk_heads.proposal import ProposalReadout, ProposalReadoutConfig

NOTHING = Control({}, {})
FRAMES = 9


class Line:
    """A backend as a readout sees it: its feature is the place on a line."""

    feature_width = 1


def readout(**config: Any) -> ProposalReadout:
    spec = Spec((1, 8, 8), 10.0, {}, {"proposal": spaces.Box(-2, 2, (1,))})
    sizes: dict[str, Any] = {"hidden": 64, "num_components": 4, "hold": 2, "longest": 8} | config
    parts = Parts(spec, "proposal", backend=Line())  # pyright: ignore[reportArgumentType]
    torch.manual_seed(0)
    return ProposalReadout(ProposalReadoutConfig(**sizes), parts)


def clips(velocity):
    """Clips (B, F) of a constant velocity (B,) from 0 on; the action of frame 0 is unknown."""
    places = velocity[:, None] * torch.arange(FRAMES)
    action = velocity[:, None, None].expand(-1, FRAMES, 1)
    mask = torch.ones(len(velocity), FRAMES, dtype=torch.bool)
    mask[:, 0] = False
    return places[..., None], Masked(action, mask)


def at(places):
    rows = len(places)
    zero = torch.zeros(rows, dtype=torch.int64)
    return WorldState(torch.zeros(rows, 1, 1), places[:, None], {}, zero, zero)


def trained(net, draw, steps=300):
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(steps):
        features, target = draw(step)
        loss = net.loss(torch.zeros(len(features), FRAMES, 1), features, NOTHING, target)
        optimiser.zero_grad()
        loss["likelihood"].mean().backward()
        optimiser.step()
    return net


def rows(count):
    return Rng(torch.arange(count), torch.zeros(count, dtype=torch.int64))


def test_a_goal_is_approached_as_fast_as_the_frames_left_demand():
    def draw(step):
        generator = torch.Generator().manual_seed(step)
        return clips(4 * torch.rand(64, generator=generator) - 2)

    net = trained(readout(), draw)
    left = torch.tensor([4.0]).expand(200)
    for goal in (-4.0, 2.0):
        told = net.propose(at(torch.zeros(200, 1)), torch.tensor([[goal]]), left, rows(200))
        assert told.mean().item() == pytest.approx(goal / 4, abs=0.2)
        assert told.abs().max() <= 2


def test_two_ways_are_both_proposed_and_their_mean_is_not():
    def draw(step):
        generator = torch.Generator().manual_seed(step)
        features, target = clips(1.0 - 2.0 * torch.randint(2, (64,), generator=generator))
        return torch.zeros_like(features), target  # no place tells which way was taken

    net = trained(readout(goalless=1.0), draw)
    drawn = net.propose(at(torch.zeros(400, 1)), torch.zeros(1, 1), torch.ones(400), rows(400))
    assert 0.3 < (drawn > 0).float().mean() < 0.7
    assert (drawn.abs() - 1).abs().mean() < 0.25
    assert net.read(at(torch.zeros(1, 1))).abs().item() == pytest.approx(1, abs=0.25)


def test_a_row_teaches_the_same_in_any_batch():
    net = readout()
    features, target = clips(torch.tensor([0.5, -1.0, 1.5]))
    whole = net.loss(torch.zeros(3, FRAMES, 1), features, NOTHING, target)["likelihood"]
    alone = net.loss(
        torch.zeros(1, FRAMES, 1),
        features[1:2],
        NOTHING,
        Masked(target.values[1:2], target.mask[1:2]),
    )["likelihood"]
    torch.testing.assert_close(whole[1:2], alone)


def test_padding_teaches_nothing():
    net = readout(num_pairs=16)
    features, target = clips(torch.tensor([0.5, 0.5]))
    mask = target.mask.clone()
    mask[:, 5:] = False
    wild = features.clone()
    wild[1, 5:] = 100.0
    values = target.values.clone()
    values[1, 5:] = 100.0
    latents = torch.zeros(2, FRAMES, 1)
    loss = net.loss(latents, wild, NOTHING, Masked(values, mask))["likelihood"]
    torch.testing.assert_close(loss[0], loss[1])
    nothing = Masked(target.values, torch.zeros_like(mask))
    assert net.loss(latents, features, NOTHING, nothing)["likelihood"].tolist() == [0.0, 0.0]


def test_the_vector_is_not_bent_towards_actions():
    net = readout()
    features, target = clips(torch.tensor([0.5]))
    features.requires_grad_()
    net.loss(torch.zeros(1, FRAMES, 1), features, NOTHING, target)["likelihood"].sum().backward()
    assert features.grad is None


def test_an_action_without_bounds_is_refused():
    spec = Spec((1, 8, 8), 10.0, {}, {})
    with pytest.raises(ConfigError, match="bounded Box"):
        ProposalReadout(ProposalReadoutConfig(), Parts(spec, "proposal", backend=Line()))  # pyright: ignore


@pytest.mark.parametrize("wrong", [{"hold": 0}, {"goalless": 1.5}])
def test_values_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ProposalReadoutConfig(**wrong)
