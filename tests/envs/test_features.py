"""Observations that are features: what the backend knows of the frame that is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from cosmos_sdk.errors import ConfigError
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv
from toys import pendulum
from toys.line import anywhere, line_world
from toys.worlds import make


def test_features_are_seen_without_decoding(monkeypatch: pytest.MonkeyPatch):
    world = line_world({})
    monkeypatch.setattr(world.tokenizer, "decode", None)
    envs = WorldVectorEnv(world, 3, starts=anywhere, observation="features")
    observation, _ = envs.reset(seed=0)
    assert observation in envs.observation_space
    assert np.array_equal(observation, envs.state.features[:, -1].numpy())
    after = envs.step(np.ones((3, 1), np.float32))[0]
    assert after == pytest.approx(np.clip(observation + 0.25, -1, 1))


def test_the_last_features_of_an_episode_are_kept_when_its_slot_resets():
    options: dict[str, Any] = {
        "starts": anywhere,
        "observation": "features",
        "max_episode_steps": 1,
    }
    same = WorldVectorEnv(line_world({}), 2, autoreset_mode=AutoresetMode.SAME_STEP, **options)
    first, _ = same.reset(seed=3)
    _, _, _, truncated, infos = same.step(np.ones((2, 1), np.float32))
    assert truncated.all()
    assert np.stack(infos["final_obs"]) == pytest.approx(np.clip(first + 0.25, -1, 1))


def test_an_episode_that_ends_inside_a_chunk_shows_the_features_of_its_end():
    world = make("chunk")

    def starts(world: Any, seed: torch.Tensor) -> Any:
        return world.reset(torch.zeros(len(seed), 1, 1, 3, 8, 8, dtype=torch.uint8), {}, seed)

    envs = WorldVectorEnv(world, 2, starts=starts, observation="features")
    envs.reset(seed=0)
    envs._judge = lambda values, before: (  # pyright: ignore
        np.zeros(2),
        np.array([True, False]),
        np.array([5, 0]),
    )
    envs._judge.remarks = lambda values, back: {}  # pyright: ignore
    observation = envs.step(np.zeros((2, 12, 2), np.float32))[0]
    features = envs.state.features.numpy()
    assert np.array_equal(observation, [features[0, -6], features[1, -1]])


def test_a_backend_without_features_shows_none():
    with pytest.raises(ConfigError, match="the backend of this world has none"):
        WorldEnv(make("pendulum"), starts=pendulum.starts, observation="features")
