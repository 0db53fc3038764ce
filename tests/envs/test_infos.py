"""What heads say beside reward and end is told of every step, and of nothing but steps."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from torch import Tensor, nn

from cosmos_sdk.errors import PluginError
from cosmos_sdk.world import WorldModel
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv
from toys.tokens import first_states, small_world

DOWN = np.array([0, 1], np.float32)
RIGHT = np.array([1, 0], np.float32)


def at(x: float, y: float = 0.5):
    def starts(world, seed):
        place = seed.new_tensor([x, y], dtype=world.dtype)
        return world.start(place.expand(len(seed), 1, 2), {}, seed)

    return starts


def test_a_step_tells_the_uncertainty_as_one_number_and_a_reset_tells_none(dot_world):
    env = WorldEnv(dot_world(talkative=True).using(noise=0.0), starts=at(0.2))
    _, info = env.reset(seed=0)
    assert set(info) == {"state"}
    *_, info = env.step(DOWN)
    assert set(info) == {"state", "uncertainty", "way"}
    assert type(info["uncertainty"]) is float
    assert info["uncertainty"] == pytest.approx(0.6, abs=1e-5)
    assert info["way"] == pytest.approx([0.0, 0.1], abs=1e-5)


def test_a_world_whose_heads_only_judge_tells_no_more_than_before(dot_world):
    env = WorldEnv(dot_world(), starts=at(0.2))
    env.reset(seed=0)
    assert set(env.step(DOWN)[-1]) == {"state"}


def test_slots_and_a_single_env_tell_the_same(dot_world, starts):
    world = dot_world(talkative=True)
    envs = WorldVectorEnv(world, 3, starts=starts, max_episode_steps=4)
    single = WorldEnv(world, starts=starts, max_episode_steps=4)
    envs.reset(seed=5)
    single.reset(seed=5)
    for _ in range(4):
        *_, infos = envs.step(np.stack((RIGHT, DOWN, DOWN)))
        *_, info = single.step(RIGHT)
        assert infos["uncertainty"].shape == (3,)
        assert infos["_uncertainty"].all()
        assert infos["uncertainty"][0] == pytest.approx(info["uncertainty"], abs=1e-6)
        assert infos["way"][0] == pytest.approx(info["way"], abs=1e-6)


def test_a_step_that_is_a_reset_tells_nothing_of_the_episode_before(dot_world):
    def starts(world, seed):  # slot 0 begins where one step to the right ends its episode
        place = seed.new_full((len(seed), 1, 2), 0.2, dtype=world.dtype)
        place[seed == 0, :, 0] = 0.75
        return world.start(place, {}, seed)

    world = dot_world(talkative=True).using(noise=0.0)
    envs = WorldVectorEnv(world, 2, starts=starts)
    envs.reset(seed=[0, 1])
    _, _, terminated, _, infos = envs.step(np.stack((RIGHT, RIGHT)))
    assert terminated.tolist() == [True, False]
    assert infos["_uncertainty"].tolist() == [True, True]  # the last step of the episode was one
    *_, infos = envs.step(np.stack((DOWN, DOWN)))
    assert infos["_uncertainty"].tolist() == [False, True]
    assert infos["uncertainty"] == pytest.approx([0.0, 0.3], abs=1e-5)
    assert infos["way"][0].tolist() == [0.0, 0.0]


def test_a_same_step_reset_tells_of_the_last_step_in_its_final_info(dot_world):
    world = dot_world(talkative=True).using(noise=0.0)
    envs = WorldVectorEnv(world, 2, starts=at(0.2), max_episode_steps=1, autoreset_mode="SameStep")
    envs.reset(seed=0)
    *_, infos = envs.step(np.stack((DOWN, RIGHT)))
    assert "uncertainty" not in infos
    assert infos["final_info"]["uncertainty"] == pytest.approx([0.6, 0.5], abs=1e-5)
    assert infos["final_info"]["_uncertainty"].all()


def test_a_chunk_tells_the_mean_over_its_frames_up_to_the_end(dot_world):
    world = dot_world(chunk=4, talkative=True).using(noise=0.0)
    way = np.array([[1, 0], [1, 1], [0, 1], [0, 1]], np.float32)
    for x, last in ((0.1, 4), (0.65, 2)):  # from 0.65 the second step leads over 0.8
        env = WorldEnv(world, starts=at(x, 0.3))
        env.reset(seed=0)
        *_, terminated, _, info = env.step(way)
        assert terminated == (last == 2)
        assert info["uncertainty"] == pytest.approx(np.mean([0.3, 0.4, 0.5, 0.6][:last]), abs=1e-5)
        steps = np.cumsum(0.1 * way, 0)[:last]
        assert info["way"] == pytest.approx(steps.mean(0), abs=1e-5)


def test_the_checker_of_gymnasium_passes(dot_world, starts):
    world = dot_world(talkative=True)
    env = gymnasium.make("cosmos_sdk_envs:CosmosSDK/World-v0", world=world, starts=starts)
    check_env(env.unwrapped, skip_render_check=True)


def test_an_autoregressive_world_tells_the_entropy_of_its_tokens():
    def starts(world: WorldModel, seed: Tensor):
        return first_states(world, len(seed)).reseed(seed)

    envs = WorldVectorEnv(small_world(vocabulary=8), 2, starts=starts)
    envs.reset(seed=0)
    *_, infos = envs.step(np.zeros((2, 2), np.float32))
    assert np.all((infos["uncertainty"] > 0) & (infos["uncertainty"] < np.log(8)))


def test_a_head_that_speaks_once_a_chunk_is_named(dot_world):
    class Once(nn.Module):
        def start(self, state):
            return {}

        def read(self, before, control, after, memory):
            return after.latents[:, -1:, 0], {}

    plain = dot_world(chunk=4)
    parts = (plain.tokenizer, plain.backend, dict(plain.conditioners.items()))
    world = WorldModel(*parts, {"once": Once()}, {"state": plain.readouts["state"]}, plain.spec)
    env = WorldEnv(world, starts=at(0.2))
    env.reset(seed=0)
    with pytest.raises(PluginError, match=r"once.*\(1, 1\).*\(1, 4, '\*'\)"):
        env.step(np.zeros((4, 2), np.float32))
