"""A vector env through the adapter is what stable-baselines3's own vector env is."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.registry import registry
from toys.line import anywhere, line_world

pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan, VecMonitor

from cosmos_sdk_policies.sb3 import SB3VecEnv

registry()  # plugins register their environments
MAKERS: Any = [partial(gymnasium.make, "CartPole-v1", max_episode_steps=12) for _ in range(3)]
WORLD = {"id": "CosmosSDK/World-v0", "vectorization_mode": "vector_entry_point"}


def rightness(before: Tensor, after: Tensor) -> Tensor:
    return after


def imagined(mode: AutoresetMode = AutoresetMode.SAME_STEP, **options: Any) -> Any:
    world = line_world({"reward": rightness, "uncertainty": lambda before, after: after.abs()})
    options = {"starts": anywhere, "max_episode_steps": 5, "observation": "features"} | options
    envs = gymnasium.make_vec(**WORLD, num_envs=4, world=world, autoreset_mode=mode, **options)
    return SB3VecEnv(envs)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_every_step_is_that_of_the_vector_env_of_stable_baselines3(mode: AutoresetMode):
    ours: Any = SB3VecEnv(SyncVectorEnv(MAKERS, autoreset_mode=mode))
    theirs: Any = DummyVecEnv(MAKERS)
    for env in (ours, theirs):
        env.seed(3)
    assert np.array_equal(ours.reset(), theirs.reset())
    rng, ended = np.random.default_rng(0), 0
    for _ in range(60):
        actions = rng.integers(2, size=3)
        mine, wanted = ours.step(actions), theirs.step(actions)
        for k in range(3):
            assert np.array_equal(mine[k], wanted[k])
        for info, expected in zip(mine[3], wanted[3], strict=True):
            assert info.keys() == expected.keys()
            assert all(np.array_equal(info[name], expected[name]) for name in expected)
        ended += int(wanted[2].sum())
    assert ended > 5


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_an_imagined_episode_ends_with_its_last_observation_and_what_was_said_of_it(mode: Any):
    env = imagined(mode)
    env.seed(0)
    env.reset()
    before = [env.step(np.ones((4, 1)))[0] for _ in range(4)][-1]
    seen, rewards, dones, infos = env.step(np.ones((4, 1)))
    assert dones.all()
    last = np.stack([info["terminal_observation"] for info in infos])
    assert np.allclose(last, np.clip(before + 0.25, -1, 1), atol=1e-6)
    assert np.allclose(rewards, last[:, 0], atol=1e-6)
    assert not np.allclose(seen, last)
    assert all(info["TimeLimit.truncated"] for info in infos)
    assert [info["uncertainty"] for info in infos] == pytest.approx(np.abs(last[:, 0]).tolist())


def test_seeds_repeat_episodes():
    env = imagined()
    firsts = []
    for seed in (5, 5, 6):
        env.seed(seed)
        firsts.append(env.reset().tolist())
    assert firsts[0] == firsts[1] != firsts[2]


def test_an_env_that_resets_one_step_later_is_refused():
    with pytest.raises(ConfigError, match="SAME_STEP, or DISABLED"):
        SB3VecEnv(SyncVectorEnv(MAKERS, autoreset_mode=AutoresetMode.NEXT_STEP))


def test_stable_baselines3_accepts_worlds_and_their_wrappers():
    world = line_world({"reward": rightness})
    single = gymnasium.make(
        "CosmosSDK/World-v0",
        world=world,
        starts=anywhere,
        observation="pixels",
        max_episode_steps=5,
    )
    check_env(single.unwrapped, warn=False)
    env = VecMonitor(VecCheckNan(imagined(), raise_exception=True))
    env.reset()
    infos = [env.step(np.zeros((4, 1), np.float32))[3] for _ in range(5)][-1]
    assert infos[0]["episode"]["l"] == 5
    assert env.get_attr("num_envs") == [4] * 4
    assert env.env_is_wrapped(gymnasium.Wrapper) == [False] * 4


def test_ppo_learns_inside_a_world_what_pays():
    env = imagined(max_episode_steps=8)
    sizes = {"n_steps": 32, "batch_size": 64, "n_epochs": 4, "learning_rate": 3e-3}
    model = PPO("MlpPolicy", env, gamma=0.9, seed=0, device="cpu", **sizes)  # pyright: ignore
    model.learn(1500)
    with torch.no_grad():
        action, _ = model.predict(np.zeros((1, 1), np.float32), deterministic=True)
    assert action[0, 0] > 0.5
