"""More than one way: what a mixture and a prior find, and one Gaussian does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.mixture_cem import MixtureCEM, different

SIZE: dict[str, Any] = {"horizon": 2, "action_block": 1, "num_samples": 120, "num_elites": 12}


@dataclass
class Wells:
    """Cost of the nearest of some wells; each is (place, depth), all as narrow as `width`."""

    wells: tuple[tuple[float, float], ...]
    width: float

    def cost(self, rollout, control):
        actions = control.signals["action"].values.flatten(1)
        costs = [
            -depth * (-((actions - place) / self.width).square().mean(1)).exp()
            for place, depth in self.wells
        ]
        return torch.stack(costs).amin(0)


class Tells:
    """A prior that knows one place, and not exactly."""

    def __init__(self, place):
        self.place = place

    def propose(self, world, state, rng, num_samples, num_frames):
        return self.place + 0.1 * rng.normal(num_samples, num_frames, 2)[0]


def test_of_two_ways_that_look_alike_the_better_is_taken(toy):
    world = toy.world()
    wells = Wells(((-0.5, 1.0), (0.5, 1.2)), 0.25)
    plan = MixtureCEM(**SIZE, sigma=0.5).plan(world, toy.state(world), wells, toy.rng())
    assert (plan.actions - 0.5).abs().max() < 0.05


def test_a_prior_leads_to_what_noise_does_not_find(toy):
    world, wells = toy.world(), Wells(((0.0, 0.5), (0.9, 1.0)), 0.1)
    alone = MixtureCEM(**SIZE, sigma=0.1)
    guided = MixtureCEM(**SIZE, sigma=0.1, prior=Tells(0.8))
    for planner, place in ((CEM(**SIZE, sigma=0.1), 0.0), (alone, 0.0), (guided, 0.9)):
        plan = planner.plan(world, toy.state(world), wells, toy.rng())
        assert (plan.actions - place).abs().max() < 0.05


def test_a_prior_that_leads_astray_costs_samples_only(toy):
    world, wells = toy.world(), Wells(((0.0, 1.0),), 0.4)
    astray = MixtureCEM(**SIZE, prior=Tells(-0.9))
    plan = astray.plan(world, toy.state(world), wells, toy.rng())
    assert plan.actions.abs().max() < 0.05


def test_the_first_of_those_that_differ_are_chosen():
    plans = torch.tensor([[0.0, 0.01, 0.5, 0.02, 0.52], [0.0, 0.01, 0.02, 0.03, 0.04]])[
        ..., None, None
    ]
    chosen = different(plans, 3, 0.2)[..., 0, 0]
    expected = torch.tensor([[0.0, 0.5, 0.01], [0.0, 0.01, 0.02]])  # too few differ: the next best
    torch.testing.assert_close(chosen, expected)


@pytest.mark.parametrize("wrong", [{"prior_share": 1.5}, {"num_modes": 301}, {"num_modes": 0}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MixtureCEM(**wrong)
