from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.build import build
from cosmos_sdk.config import WorldConfig
from cosmos_sdk.errors import ActionError, ConfigError, CosmosError, SignalError
from cosmos_sdk.state import Masked
from cosmos_sdk.testing import check_backend
from cosmos_sdk_simulator.instance import simulator
from cosmos_sdk_simulator.world import simulator_config, simulator_world, starts

DISC = "CosmosSDK/DiscPusher-v0"
PUSHT = "gym_pusht/PushT-v0"
SEEDS = torch.tensor([3, 1, 2])


@pytest.fixture(params=[DISC, PUSHT])
def env_id(request):
    if request.param == PUSHT:
        pytest.importorskip("gym_pusht", reason="Push-T is an optional package: make pusht")
    return request.param


def actions(env_id: str, *lead: int) -> torch.Tensor:
    space = simulator(env_id).action_spec.space
    assert isinstance(space, spaces.Box)
    unit = torch.rand(*lead, *space.shape, generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(space.low) + unit * torch.from_numpy(space.high - space.low)


def test_a_simulator_meets_the_contract():
    check_backend(simulator_world(DISC, 32, 32), starts=starts)


def test_the_world_does_what_the_simulator_does(env_id):
    world, scene = simulator_world(env_id, 32, 32), simulator(env_id)
    state, plan = starts(world, SEEDS), actions(env_id, 3, 4)
    future = world.rollout(state, {"action": plan})
    frames = world.decode(future.state)
    for row, seed in enumerate(SEEDS.tolist()):
        scene.reset(seed)
        said = [(*scene.step(plan[row, k].numpy())[:2], scene.observe()) for k in range(4)]
        rewards, ends, seen = (np.array(column, np.float32) for column in zip(*said, strict=True))
        np.testing.assert_array_equal(future.state.latents[row, 0], scene.get_state())
        np.testing.assert_array_equal(future.values["reward"][row], rewards)
        np.testing.assert_array_equal(future.values["terminated"][row], ends)
        np.testing.assert_array_equal(future.values["state"][row], seen)
        np.testing.assert_array_equal(
            frames[row, 0, 0].permute(1, 2, 0), scene.render_clean(32, 32)
        )


def test_the_first_state_can_be_observed(env_id):
    world, scene = simulator_world(env_id, 32, 32), simulator(env_id)
    observed = world.observe(starts(world, SEEDS))["state"]
    scene.reset(int(SEEDS[1]))
    np.testing.assert_array_equal(observed[1], scene.observe())


def test_an_absent_action_is_a_zero_action(env_id):
    world = simulator_world(env_id, 32, 32)
    state, zero = starts(world, SEEDS), torch.zeros_like(actions(env_id, 3, 1))
    absent = Masked(zero + 0.7, torch.zeros(3, 1, dtype=torch.bool))
    still = world.step(state, {"action": zero})[0].latents
    assert torch.equal(world.step(state, {"action": absent})[0].latents, still)
    assert torch.equal(world.step(state, {})[0].latents, still)


def test_actions_beyond_the_bounds_are_clipped_as_the_spec_says():
    world = simulator_world(DISC, 32, 32)
    state, wild = starts(world, SEEDS), 5 * torch.ones_like(actions(DISC, 3, 1))
    clipped = torch.from_numpy(simulator(DISC).action_spec.check(wild.numpy()))
    assert torch.equal(
        world.step(state, {"action": wild})[0].latents,
        world.step(state, {"action": clipped})[0].latents,
    )


def test_a_picture_is_no_start():
    world = simulator_world(DISC, 32, 32)
    with pytest.raises(CosmosError, match=r"world\.start\(latents"):
        world.reset(torch.zeros(1, 1, 1, 3, 32, 32, dtype=torch.uint8), {}, torch.tensor([0]))


def test_the_configuration_is_plain_data():
    config = simulator_config(DISC, 32, 32)
    world = build(WorldConfig.from_mapping(config.to_mapping()))
    assert world.spec is not None
    assert world.spec.frames == (1, 32, 32)
    assert world.spec.rate == simulator(DISC).rate
    assert not world.backend.differentiable
    assert config.spec.targets["state"].units == ["m"] * 4


def test_another_action_than_the_simulator_takes_is_refused():
    config = simulator_config(DISC, 32, 32)
    spec = simulator(DISC).action_spec
    wider = type(spec)(("a", "b", "c"), (-1.0,) * 3, (1.0,) * 3).to_dict()
    with pytest.raises(ConfigError, match="own action_spec"):
        build(replace(config, spec=replace(config.spec, actions={"action": wider})))


def test_an_action_that_is_no_number_is_refused():
    world = simulator_world(DISC, 32, 32)
    with pytest.raises((ActionError, SignalError), match="NaN"):
        world.step(starts(world, SEEDS), {"action": float("nan") * actions(DISC, 3, 1)})


def test_a_world_that_is_not_judged_moves_to_the_bit_as_one_that_is(env_id):
    config = simulator_config(env_id, 8, 8)
    unjudged = build(replace(config, backend={**config.backend, "judged": False}))
    judged = simulator_world(env_id, 8, 8)
    state = starts(judged, torch.arange(2))
    signals = {"action": actions(env_id, 2, 4)}
    one, other = judged.rollout(state, signals), unjudged.rollout(state, signals)
    assert torch.equal(one.state.latents, other.state.latents)
    assert torch.equal(one.values["state"], other.values["state"])
