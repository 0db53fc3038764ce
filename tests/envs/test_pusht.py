"""The bundled Push-T world by its id."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

from cosmos_sdk.errors import CosmosError
from cosmos_sdk.registry import registry
from cosmos_sdk_envs.starts import STARTS_FILE

PUSHT_ID = "cosmos_sdk_envs:CosmosSDK/PushT-v0"


def is_bundled() -> bool:
    """Whether the world has been trained: its folder holds a recipe before, weights after."""
    try:
        folder = registry().world_path("pusht-diffusion")
    except CosmosError:
        return False
    return (folder / "model.safetensors").is_file() and (folder / STARTS_FILE).is_file()


pytestmark = pytest.mark.skipif(
    not is_bundled(), reason="the world is not trained yet: cosmos-sdk train config=pusht-diffusion"
)


def test_the_single_env_passes_the_checkers(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(PUSHT_ID, render_mode="rgb_array")
    check_env(env.unwrapped)
    check_env_sb3(env, skip_render_check=False)


def test_sixty_four_slots_step_at_once():
    envs = gymnasium.make_vec(PUSHT_ID, num_envs=64)
    observation, infos = envs.reset(seed=0)
    assert observation.shape == (64, 64, 64, 3)
    assert infos["state"].shape == (64, 5)
    observation, reward, _, _, infos = envs.step(np.zeros((64, 2), np.float32))
    assert observation in envs.observation_space
    assert (np.abs(reward) <= 1.5).all(), "coverage, learned"
    assert not infos["is_success"].all()


def test_slot_0_of_three_is_one_alone():
    alone, three = (gymnasium.make_vec(PUSHT_ID, num_envs=n) for n in (1, 3))
    told = [envs.reset(seed=7) for envs in (alone, three)]
    push = np.random.default_rng(0).uniform(-1, 1, (4, 3, 2)).astype(np.float32)
    for k in range(4):
        told = [alone.step(push[k, :1]), three.step(push[k])]
        one, many = (told[i][0][0].astype(int) for i in (0, 1))
        assert np.abs(one - many).max() <= 1
