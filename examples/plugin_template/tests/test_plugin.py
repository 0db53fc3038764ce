"""A plugin's own tests: it is found, its world can be built, and its components keep the contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.build import build
from cosmos_sdk.errors import ConfigError
from cosmos_sdk.registry import registry
from cosmos_sdk.testing import check_backend, check_conditioner
from cosmos_sdk.training.recipe import load
from cosmos_sdk.world import WorldModel


@pytest.fixture(scope="module")
def world() -> WorldModel:
    torch.manual_seed(0)
    small = ["world.spec.frames=[1,32,32]", "world.backend.width=16"]
    return build(load("two-joint-arm", small).world)


def test_the_installed_plugin_is_found_by_its_entry_point() -> None:
    for kind, name in (
        ("backend", "residual"),
        ("conditioner", "change"),
        ("world", "two-joint-arm"),
    ):
        assert registry().entry(kind, name).plugin == "template"
        assert registry().entry(kind, name).version == "0.1.0"


def test_the_backend_keeps_the_contract(world: WorldModel) -> None:
    check_backend(world)


def test_the_conditioner_keeps_the_contract(world: WorldModel) -> None:
    check_conditioner(world.conditioners["action"])


def test_the_actions_of_the_arm_survive_a_round_trip() -> None:
    arm = ActionSpec.from_dict(load("two-joint-arm").world.spec.actions["action"])
    action = np.array([0.3, -1.7], np.float32)

    assert arm.units == ("rad/s", "rad/s")
    assert np.array_equal(arm.denormalise(arm.normalise(action)).astype(np.float32), action)
    assert np.array_equal(arm.check(np.array([9.0, -9.0])), [2.0, -3.0])


def test_the_gain_is_a_run_time_option(world: WorldModel) -> None:
    state = world.reset(
        torch.zeros(1, 1, 1, 3, 32, 32, dtype=torch.uint8), {}, torch.zeros(1, dtype=torch.int64)
    )
    action = {"action": torch.ones(1, 1, 2)}

    still, _ = world.using(gain=0.0).step(state, action)
    moved, _ = world.step(state, action)

    assert torch.equal(still.latents, state.latents)
    assert not torch.equal(moved.latents, state.latents)


@pytest.mark.parametrize("change", ["world.backend.width=0", "world.conditioners.action.widht=3"])
def test_a_wrong_config_is_refused(change: str) -> None:
    with pytest.raises(ConfigError, match=r"backend: width 0|Did you mean 'width'"):
        build(load("two-joint-arm", [change]).world)
