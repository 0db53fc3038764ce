"""A world that predicts chunks steps in chunks: no stale frames, and the end may lie inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv

CHUNK = 4
RIGHT = np.tile(np.array([1, 0], np.float32), (CHUNK, 1))


def at(place: float):
    def starts(world, seed):
        return world.start(torch.tensor([place, 0.5]).expand(len(seed), 1, 2), {}, seed)

    return starts


@pytest.fixture
def still_world(dot_world):
    return dot_world(chunk=CHUNK).using(noise=0.0)


def test_an_action_is_a_chunk_of_actions(still_world):
    env = WorldEnv(still_world, starts=at(0.2))
    assert env.action_space.shape == (CHUNK, 2)
    assert env.metadata["render_fps"] == 10.0 / CHUNK
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(RIGHT)
    assert reward == pytest.approx(0.3 + 0.4 + 0.5 + 0.6, abs=1e-5)
    assert not terminated
    assert info["state"][0] == pytest.approx(0.6, abs=1e-5)


def test_numbers_come_in_chunks_too(dot_world):
    env = WorldEnv(dot_world(chunk=CHUNK, discrete=True).using(noise=0.0), starts=at(0.2))
    env.reset(seed=0)
    assert env.action_space == spaces.MultiDiscrete([4] * CHUNK)
    *_, info = env.step(np.array([0, 0, 1, 2]))
    assert info["state"] == pytest.approx([0.3, 0.6], abs=1e-5)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_an_end_inside_a_chunk_ends_the_sum_and_shows_its_own_frame(still_world, mode):
    def starts(world, seed):  # slot 0 begins where two steps lead over 0.8, slot 1 farther left
        place = torch.where(seed == 0, 0.65, 0.1)
        return world.start(torch.stack((place, torch.full_like(place, 0.5)), -1)[:, None], {}, seed)

    envs = WorldVectorEnv(still_world, 2, starts=starts, autoreset_mode=mode)
    envs.reset(seed=[0, 1])
    seen, reward, terminated, _, infos = envs.step(np.stack((RIGHT, RIGHT)))
    assert terminated.tolist() == [True, False]
    assert reward == pytest.approx([0.75 + 0.85, 0.2 + 0.3 + 0.4 + 0.5], abs=1e-5)
    shown = infos["final_obs"][0] if mode == "SameStep" else seen[0]
    frame = still_world.tokenizer.decode(torch.tensor([[[0.85, 0.5]]]), 1)[0, 0, 0]
    assert np.abs(shown.astype(int) - frame.permute(1, 2, 0).numpy()).max() <= 1


def test_the_limit_counts_env_steps(still_world):
    env = WorldEnv(still_world, starts=at(0.1), max_episode_steps=2)
    env.reset(seed=0)
    ends = [env.step(0 * RIGHT)[3] for _ in range(2)]
    assert ends == [False, True]


def test_a_snapshot_knows_which_frame_of_the_chunk_was_shown(still_world):
    env = WorldEnv(still_world, starts=at(0.65))
    env.reset(seed=0)
    seen, *_ = env.step(RIGHT)
    restored, _ = env.restore(env.snapshot())
    assert np.array_equal(seen, restored)
