"""The value readout learns discounted sums of rewards."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.protocols import Parts, Spec
from cosmos_sdk.state import Control, Masked
from cosmos_sdk_heads.value import ValueReadout, ValueReadoutConfig


class Blind:
    """A backend as a head sees it while it is built."""

    feature_width = 4


@pytest.mark.parametrize("trace", [0.0, 0.9])
def test_a_constant_reward_is_worth_its_geometric_sum(trace):
    reward = spaces.Box(0, 1, (1,))
    spec = Spec((1, 8, 8), 10.0, {}, {"value": reward})
    parts = Parts(spec, "value", backend=Blind())  # pyright: ignore[reportArgumentType]
    value = ValueReadout(ValueReadoutConfig(16, 21, discount=0.8, trace=trace), parts)
    features = torch.ones(4, 6, 4)
    target = Masked(torch.full((4, 6, 1), 0.5), torch.ones(4, 6, dtype=torch.bool))
    optimiser = torch.optim.Adam(list(value.parameters()), 2e-2)
    for _ in range(150):
        loss = value.loss(torch.zeros(4, 6, 1), features, Control({}, {}), target)
        optimiser.zero_grad()
        loss["cross_entropy"].mean().backward()
        optimiser.step()
    told = value.layers(features[:, -1]).softmax(-1) @ value.bins
    assert told[0].item() == pytest.approx(0.5 / (1 - 0.8), rel=0.1)


def test_a_frame_learns_the_reward_of_the_step_that_leads_from_it():
    spec = Spec((1, 8, 8), 10.0, {}, {"value": spaces.Box(0, 1, (1,))})
    parts = Parts(spec, "value", backend=Blind())  # pyright: ignore[reportArgumentType]
    value = ValueReadout(ValueReadoutConfig(16, 21, discount=0.0), parts)
    features = torch.eye(4)[None]
    rewards = torch.tensor(
        [[9.0, 0.2, 9.0, 0.7]]
    )  # nothing leads to the first; the third is absent
    target = Masked(rewards[..., None], torch.tensor([[True, True, False, True]]))
    optimiser = torch.optim.Adam(list(value.parameters()), 2e-2)
    for _ in range(100):
        loss = value.loss(torch.zeros(1, 4, 1), features, Control({}, {}), target)
        optimiser.zero_grad()
        loss["cross_entropy"].sum().backward()
        optimiser.step()
    told = value.layers(features[0, [0, 2]]).softmax(-1) @ value.bins
    assert told.tolist() == pytest.approx([0.2, 0.7], abs=0.02)


def test_a_clip_of_one_frame_teaches_nothing():
    parts = Parts(Spec((1, 8, 8), 10.0, {}, {}), "value", backend=Blind())  # pyright: ignore
    target = Masked(torch.ones(2, 1, 1), torch.ones(2, 1, dtype=torch.bool))
    loss = ValueReadout(ValueReadoutConfig(), parts).loss(
        torch.zeros(2, 1, 1), torch.ones(2, 1, 4), Control({}, {}), target
    )
    assert loss["cross_entropy"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("wrong", [{"discount": 1.0}, {"trace": 1.5}])
def test_a_discount_of_one_has_no_finite_value(wrong):
    with pytest.raises(ValueError, match="discount"):
        ValueReadoutConfig(**wrong)
