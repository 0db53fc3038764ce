"""The batched env does what Gymnasium's own vector env does with single ones, in every autoreset mode."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv

OPTIONS = {"max_episode_steps": 6, "terminates_on_success": True}


def play(envs, num_steps: int, resets: bool = False) -> list:
    """Everything an env says to a drift to the right, so that some slots end by success and some by the limit."""
    told = [envs.reset(seed=11)]
    pushes = np.random.default_rng(0)
    for _ in range(num_steps):
        push = pushes.uniform((0.0, -1.0), 1.0, (envs.num_envs, 2)).astype(np.float32)
        told.append(envs.step(push))
        done = told[-1][2] | told[-1][3]
        if resets and done.any():
            told.append(envs.reset(options={"reset_mask": done}))
    return told


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("observation", ["pixels", "dict"])
@pytest.mark.parametrize("talkative", [False, True], ids=["plain", "talkative"])
def test_it_says_what_gymnasiums_own_vector_env_says(
    dot_world, starts, mode, observation, talkative
):
    options = {**OPTIONS, "observation": observation, "starts": starts}
    world = dot_world(talkative=talkative)
    ours = WorldVectorEnv(world, 4, autoreset_mode=mode, **options)
    singles = [lambda: WorldEnv(world, **options)] * 4
    theirs = SyncVectorEnv(singles, autoreset_mode=mode)
    resets = mode is AutoresetMode.DISABLED
    mine, others = play(ours, 25, resets), play(theirs, 25, resets)
    steps = [told for told in mine if len(told) == 5]
    assert any(step[2].any() for step in steps), "no episode ended by success"
    assert any(step[3].any() for step in steps), "no episode ended by the limit"
    for told, expected in zip(mine, others, strict=True):
        assert data_equivalence(told, expected)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_slot_lives_the_same_in_any_batch(dot_world, starts, mode):
    options = {**OPTIONS, "starts": starts, "autoreset_mode": mode}
    alone, batch = (WorldVectorEnv(dot_world(), n, **options) for n in (1, 3))
    seen = [envs.reset(seed=[5, 6, 7][: envs.num_envs])[0][0] for envs in (alone, batch)]
    assert np.array_equal(*seen)
    pushes = np.random.default_rng(1)
    for _ in range(20):
        push = pushes.uniform(-1, 1, (3, 2)).astype(np.float32)
        one, three = alone.step(push[:1]), batch.step(push)
        assert np.array_equal(one[0][0], three[0][0])
        assert one[1][0] == pytest.approx(three[1][0], abs=1e-6)
        assert (one[2][0], one[3][0]) == (three[2][0], three[3][0])


def test_the_final_observation_is_the_frame_at_the_end(dot_world, starts):
    options = {"max_episode_steps": 3, "starts": starts}
    same = WorldVectorEnv(dot_world(), 2, autoreset_mode="SameStep", **options)
    then = WorldVectorEnv(dot_world(), 2, autoreset_mode="NextStep", **options)
    ends = []
    for envs in (same, then):
        envs.reset(seed=0)
        ends.append([envs.step(np.zeros((2, 2), np.float32)) for _ in range(3)][-1])
    (begun, *_, final), (shown, *_, infos) = ends
    assert final["_final_obs"].all()
    assert np.array_equal(np.stack(final["final_obs"]), shown)
    assert np.array_equal(final["final_info"]["state"], infos["state"])
    fresh, reward, terminated, truncated, _ = then.step(np.zeros((2, 2), np.float32))
    assert np.array_equal(begun, fresh), "both modes begin the next episode alike"
    assert not reward.any()
    assert not (terminated | truncated).any()


def test_with_autoreset_disabled_a_finished_slot_does_not_step(dot_world, starts):
    envs = WorldVectorEnv(
        dot_world(), 2, starts=starts, autoreset_mode=AutoresetMode.DISABLED, max_episode_steps=1
    )
    with pytest.raises(ResetNeeded, match="first"):
        envs.step(np.zeros((2, 2), np.float32))
    with pytest.raises(ResetNeeded, match="first reset"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=0)
    envs.step(np.zeros((2, 2), np.float32))
    with pytest.raises(ResetNeeded, match=r"slots \[0, 1\]"):
        envs.step(np.zeros((2, 2), np.float32))
    envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match=r"slots \[1\]"):
        envs.step(np.zeros((2, 2), np.float32))


def test_a_slot_that_waits_for_its_reset_may_say_anything(dot_world, starts):
    envs = WorldVectorEnv(dot_world(), 2, starts=starts, max_episode_steps=1)
    envs.reset(seed=0)
    envs.step(np.zeros((2, 2), np.float32))
    observation, *_ = envs.step(np.full((2, 2), np.nan, np.float32))
    assert observation in envs.observation_space
