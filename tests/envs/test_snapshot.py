"""An env is one WorldState: what follows a snapshot is what followed."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from cosmos_sdk.errors import ShapeError
from cosmos_sdk.state import WorldState
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv


def envs_of(dot_world, starts, mode: str) -> WorldVectorEnv:
    return WorldVectorEnv(dot_world(), 3, starts=starts, autoreset_mode=mode, max_episode_steps=5)


def play(envs, pushes) -> list:
    return [envs.step(push) for push in pushes]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("num_before", [0, 3, 5], ids=["at reset", "mid-episode", "at the end"])
def test_a_restored_env_goes_on_bit_by_bit_through_resets(
    dot_world, starts, mode, num_before, tmp_path
):
    pushes = np.random.default_rng(0).uniform(-1, 1, (num_before + 12, 3, 2)).astype(np.float32)
    envs = envs_of(dot_world, starts, mode)
    envs.reset(seed=1)
    play(envs, pushes[:num_before])
    saved = envs.snapshot()
    saved.save(tmp_path / "env.safetensors")
    expected = play(envs, pushes[num_before:])
    envs.restore(saved)
    assert data_equivalence(play(envs, pushes[num_before:]), expected, exact=True)
    tomorrow = envs_of(dot_world, starts, mode)
    tomorrow.restore(WorldState.load(tmp_path / "env.safetensors"))
    assert data_equivalence(play(tomorrow, pushes[num_before:]), expected, exact=True)


def test_restoring_returns_the_observation_of_that_moment(dot_world, starts):
    env = WorldEnv(dot_world(), starts=starts)
    env.reset(seed=0)
    seen, _, _, _, info = env.step(np.zeros(2, np.float32))
    saved = env.snapshot()
    env.step(np.ones(2, np.float32))
    assert data_equivalence(env.restore(saved), (seen, info), exact=True)


def test_a_state_of_the_world_itself_can_be_entered(dot_world, starts):
    env = WorldEnv(dot_world(), starts=starts)
    env.reset(seed=0)
    imagined = env.state.branch(2).reseed(env.state.seed.repeat(2) + 1)
    envs = WorldVectorEnv(dot_world(), 2, starts=starts)
    observation, _ = envs.restore(imagined)
    assert observation in envs.observation_space
    with pytest.raises(ShapeError, match="2 rows"):
        env.restore(imagined)
