"""What is seen: spaces, cameras, readouts, and arrays that are nobody else's."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from cosmos_sdk.errors import ConfigError
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv


def spaces_of(envs: WorldVectorEnv) -> spaces.Dict:
    assert isinstance(envs.single_observation_space, spaces.Dict)
    return envs.single_observation_space


def test_one_camera_is_a_box_of_pixels(dot_world, starts):
    envs = WorldVectorEnv(dot_world(), 2, starts=starts)
    assert envs.single_observation_space == spaces.Box(0, 255, (40, 40, 3), np.uint8)
    observation, infos = envs.reset(seed=0)
    x, y = infos["state"][0]
    row, column = np.unravel_index(observation[0, :, :, 0].argmax(), (40, 40))
    assert ((column + 0.5) / 40, (row + 0.5) / 40) == pytest.approx((x, y), abs=0.03)


def test_several_cameras_are_a_dict_of_images(dot_world, starts):
    envs = WorldVectorEnv(dot_world(views=2), 3, starts=starts, cameras=["top", "wrist"])
    assert set(spaces_of(envs)) == {"top", "wrist"}
    observation, _ = envs.reset(seed=0)
    assert observation in envs.observation_space
    assert np.array_equal(observation["top"], observation["wrist"][:, ::-1])
    named = WorldVectorEnv(dot_world(views=2), starts=starts)
    assert set(spaces_of(named)) == {"camera_0", "camera_1"}


def test_a_dict_holds_cameras_and_readouts(dot_world, starts):
    env = WorldEnv(dot_world(), starts=starts, observation="dict", cameras=["top"])
    observation, info = env.reset(seed=0)
    assert observation in env.observation_space
    assert np.array_equal(observation["state"], info["state"])
    assert observation["state"] is not info["state"]


def test_the_state_alone_is_seen_without_decoding(dot_world, starts, monkeypatch):
    env = WorldEnv(dot_world(), starts=starts, observation="state", render_mode="rgb_array")
    decoded = []
    decode = env.world.tokenizer.decode
    monkeypatch.setattr(
        env.world.tokenizer, "decode", lambda *given: decoded.append(1) or decode(*given)
    )
    observation, info = env.reset(seed=0)
    assert np.array_equal(observation, info["state"])
    env.step(np.zeros(2, np.float32))
    assert not decoded
    picture = env.render()
    assert picture is not None
    assert picture.shape == (40, 40, 3)
    env.render()
    assert len(decoded) == 1, "a frame is decoded once, however often it is shown"


def test_observations_are_fresh_arrays(dot_world, starts):
    env = WorldEnv(dot_world(), starts=starts, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    before = env.render()
    assert before is not None
    assert np.array_equal(observation, before)
    observation[:] = 0
    after = env.render()
    assert after is not None
    assert np.array_equal(after, before)


def test_sizes_that_the_spec_does_not_tell_are_measured(dot_world, starts):
    unknown = dot_world(targets=False)
    env = WorldEnv(unknown, starts=starts, observation="dict")
    assert env.observation_space.sample()["state"].shape == (2,)
    with pytest.raises(ConfigError, match=r"\['state'\]; give starts="):
        WorldEnv(unknown, observation="dict")
    unknown.spec = None
    assert WorldEnv(unknown, starts=starts).observation_space.shape == (40, 40, 3)


def test_names_that_do_not_fit_are_refused(dot_world, starts):
    with pytest.raises(ConfigError, match="choose from pixels, dict, state"):
        WorldEnv(dot_world(), starts=starts, observation="rgb")
    with pytest.raises(ConfigError, match="2 distinct names"):
        WorldEnv(dot_world(views=2), starts=starts, cameras=["top"])
    with pytest.raises(ConfigError, match="that no readout has"):
        WorldEnv(dot_world(), starts=starts, observation="dict", cameras=["state"])
