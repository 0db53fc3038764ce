"""A real observation enters a world by `reset`: frames, and the actions between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosmos_sdk.errors import ActionError, ConfigError, ShapeError
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv


@pytest.fixture
def frames(dot_world):
    """(2 clips, 2 frames, h, w, 3) of dots."""
    places = torch.tensor([[[0.2, 0.3], [0.3, 0.3]], [[0.6, 0.6], [0.7, 0.6]]])
    images = dot_world().tokenizer.decode(places, 2)[:, :, 0]  # (2, 2, 3, h, w)
    return images.permute(0, 1, 3, 4, 2).numpy()


def test_an_episode_goes_on_from_real_frames(dot_world, frames):
    env = WorldEnv(dot_world())
    observation, info = env.reset(seed=0, options={"frames": frames[0]})
    assert info["state"] == pytest.approx([0.3, 0.3], abs=0.02)
    assert np.abs(observation.astype(int) - frames[0, -1]).max() < 40
    env.step(np.zeros(2, np.float32))


def test_every_slot_takes_its_own_frames_or_all_the_same(dot_world, frames):
    envs = WorldVectorEnv(dot_world(), 2)
    own = envs.reset(seed=0, options={"frames": frames})[1]["state"]
    assert own == pytest.approx(np.array([[0.3, 0.3], [0.7, 0.6]]), abs=0.02)
    same = envs.reset(seed=0, options={"frames": frames[0]})[1]["state"]
    assert np.array_equal(same[0], same[1])


def test_actions_between_the_frames_belong_to_the_frames_they_led_to(dot_world, frames):
    envs = WorldVectorEnv(dot_world(), 2)  # the dot world counts the actions it was told of
    between, every = np.zeros((1, 2), np.float32), np.zeros((2, 2, 2), np.float32)
    for actions, told in ((None, 0), (between, 1), (every, 2)):
        options = {"frames": frames} | ({} if actions is None else {"actions": actions})
        envs.reset(seed=0, options=options)
        assert envs.state.memory["backend"]["led"].tolist() == [told, told]


def test_cameras_are_given_by_name_or_along_an_axis(dot_world, frames):
    envs = WorldVectorEnv(dot_world(views=2), 2, cameras=["top", "low"])
    flipped = frames[:, :, ::-1]
    named, _ = envs.reset(seed=0, options={"frames": {"low": flipped, "top": frames}})
    stacked, _ = envs.reset(seed=0, options={"frames": np.stack((frames, flipped), 2)})
    for camera in ("top", "low"):
        assert np.array_equal(named[camera], stacked[camera])
    with pytest.raises(ShapeError, match="cameras"):
        envs.reset(options={"frames": {"top": frames}})


def test_single_slots_are_reset_on_frames(dot_world, frames, starts):
    envs = WorldVectorEnv(dot_world(), 2, starts=starts)
    before, _ = envs.reset(seed=0)
    mask = np.array([False, True])
    after, infos = envs.reset(options={"frames": frames, "reset_mask": mask})
    assert np.array_equal(before[0], after[0])
    assert infos["state"][1] == pytest.approx([0.7, 0.6], abs=0.02)
    assert infos["_state"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"frame": 0}, ConfigError, "Did you mean 'frames'"),
        ({"actions": np.zeros((1, 2), np.float32)}, ConfigError, "together with"),
        ({"frames": np.zeros((2, 40, 40, 3))}, ShapeError, "uint8"),
        ({"frames": np.zeros((40, 40, 3), np.uint8)}, ShapeError, "F, h, w, 3"),
        ({"frames": np.zeros((3, 2, 40, 40, 3), np.uint8)}, ShapeError, r"\[2,\] F"),
        ({"frames": np.zeros((2, 32, 32, 3), np.uint8)}, ShapeError, "40"),
        ({"frames": np.zeros((0, 40, 40, 3), np.uint8)}, ShapeError, "frames"),
        ({"reset_mask": [1, 0]}, ShapeError, "bool"),
        ({"reset_mask": np.zeros(2, bool)}, ShapeError, "one slot at least"),
    ],
)
def test_bad_options_are_errors_and_change_nothing(dot_world, starts, options, error, message):
    envs = WorldVectorEnv(dot_world(), 2, starts=starts)
    envs.reset(seed=0)
    before = envs.state
    with pytest.raises(error, match=message):
        envs.reset(seed=5, options=options)
    assert envs.state is before


def test_bad_actions_of_the_past_are_errors(dot_world, frames):
    env = WorldEnv(dot_world())
    for actions in (np.zeros((5, 2), np.float32), np.full((1, 2), np.nan, np.float32), np.zeros(2)):
        with pytest.raises(ActionError):
            env.reset(options={"frames": frames[0], "actions": actions})


def test_without_starts_an_episode_needs_frames(dot_world, frames):
    with pytest.raises(ConfigError, match="starts"):
        WorldEnv(dot_world()).reset()
    envs = WorldVectorEnv(dot_world(), 2, max_episode_steps=1)
    envs.reset(seed=0, options={"frames": frames})
    envs.step(np.zeros((2, 2), np.float32))
    before = envs.state
    with pytest.raises(ConfigError, match="autoresets"):
        envs.step(np.zeros((2, 2), np.float32))
    assert envs.state is before
