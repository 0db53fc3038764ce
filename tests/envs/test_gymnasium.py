"""Worlds are environments to those who know only Gymnasium, or stable-baselines3."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from cosmos_sdk.errors import UnknownNameError
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv

WORLD_ID = "cosmos_sdk_envs:CosmosSDK/World-v0"


@pytest.mark.parametrize(
    "kind", [{}, {"views": 2}, {"discrete": True}], ids=["box", "two cameras", "discrete"]
)
def test_the_checkers_of_gymnasium_and_stable_baselines_pass(dot_world, starts, kind, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(WORLD_ID, world=dot_world(**kind), starts=starts, render_mode="rgb_array")
    check_env(env.unwrapped)
    check_env_sb3(env, skip_render_check=False)


@pytest.mark.parametrize("observation", ["dict", "state"])
def test_the_checkers_pass_for_every_kind_of_observation(
    dot_world, starts, observation, monkeypatch
):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(WORLD_ID, world=dot_world(), starts=starts, observation=observation)
    check_env(env.unwrapped)
    check_env_sb3(env)


def test_make_and_make_vec_find_the_same_env_by_its_id(dot_world, starts):
    single = gymnasium.make(WORLD_ID, world=dot_world(), starts=starts, max_episode_steps=5)
    many = gymnasium.make_vec(WORLD_ID, 3, world=dot_world(), starts=starts, max_episode_steps=5)
    assert isinstance(single.unwrapped, WorldEnv)
    assert isinstance(many, WorldVectorEnv)
    assert many.num_envs == 3
    assert many.spec is not None
    assert many.spec.id == "CosmosSDK/World-v0"
    assert many.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.NEXT_STEP
    assert single.metadata["render_fps"] == many.metadata["render_fps"] == 10.0
    seen, _ = single.reset(seed=7)
    assert np.array_equal(seen, many.reset(seed=7)[0][0])
    many.action_space.seed(0)
    ends = [many.step(0.1 * many.action_space.sample())[3] for _ in range(5)]
    assert ends[-1].all()


def test_push_t_is_registered_with_both_entry_points_and_its_limit():
    spec = gymnasium.spec("CosmosSDK/PushT-v0")
    assert spec.max_episode_steps == 300
    assert spec.entry_point == "cosmos_sdk_envs.env:WorldEnv"
    assert spec.vector_entry_point == "cosmos_sdk_envs.vector_env:WorldVectorEnv"


def test_registering_the_ids_imports_no_torch():
    code = "import cosmos_sdk_envs, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_a_world_that_nobody_registered_is_named_with_the_choices():
    with pytest.raises(UnknownNameError, match="pusht-difusion"):
        WorldEnv("pusht-difusion")
