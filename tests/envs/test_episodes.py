"""Seeds, ends and rewards of episodes, and what bad input does: nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.errors import ActionError, ConfigError, PluginError, SamplingError, ShapeError
from cosmos_sdk_envs.env import WorldEnv
from cosmos_sdk_envs.vector_env import WorldVectorEnv


@pytest.mark.parametrize(
    "actions",
    [
        np.zeros((2, 3), np.float32),
        np.zeros((3, 2), np.float32),
        np.zeros(2, np.float32),
        np.full((2, 2), np.nan, np.float32),
        np.zeros((2, 2), np.int64),
        np.array([["left", "up"]] * 2),
        [[0.0, 0.0], [0.0]],
        None,
    ],
    ids=["size", "slots", "axes", "nan", "integers", "text", "ragged", "none"],
)
def test_a_bad_action_is_an_error_and_changes_nothing(dot_world, starts, actions):
    envs = WorldVectorEnv(dot_world(), 2, starts=starts)
    envs.reset(seed=0)
    before = envs.snapshot()
    with pytest.raises(ActionError):
        envs.step(actions)
    after = envs.snapshot().tensors()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.tensors().items())


def test_an_action_out_of_bounds_is_clipped_or_refused_as_its_spec_says(dot_world, starts):
    bounds = {"names": ("x", "y"), "low": (-1.0, -1.0), "high": (1.0, 1.0)}
    far, edge = np.full((1, 2), 9.0, np.float32), np.ones((1, 2), np.float32)
    clips = WorldVectorEnv(dot_world(), starts=starts, action_spec=ActionSpec(**bounds))
    clips.reset(seed=0)
    begun = clips.snapshot()
    clipped = clips.step(far)[4]["state"]
    clips.restore(begun)
    assert np.array_equal(clipped, clips.step(edge)[4]["state"])
    refuses = ActionSpec(**bounds, out_of_bounds="refuse")
    strict = WorldVectorEnv(dot_world(), starts=starts, action_spec=refuses)
    strict.reset(seed=0)
    with pytest.raises(ActionError, match="out of bounds"):
        strict.step(far)
    with pytest.raises(ConfigError, match="does not describe"):
        WorldVectorEnv(dot_world(), starts=starts, action_spec=ActionSpec(num_actions=3))


def test_discrete_actions_are_numbers(dot_world, starts):
    env = WorldEnv(dot_world(discrete=True), starts=starts)
    _, info = env.reset(seed=0)
    _, _, _, _, after = env.step(0)
    assert after["state"][0] > info["state"][0]
    with pytest.raises(ActionError, match=r"0\.\.3"):
        env.step(4)
    with pytest.raises(ActionError, match="whole number"):
        env.step(1.0)


def test_actions_may_be_tensors(dot_world, starts):
    envs = WorldVectorEnv(dot_world(), 2, starts=starts)
    first = envs.reset(seed=0)[1]["state"]
    push = torch.tensor([[1.0, 0.0]] * 2, requires_grad=True)
    assert (envs.step(push)[4]["state"][:, 0] > first[:, 0]).all()


def test_each_slot_has_its_own_seed(dot_world, starts):
    envs = WorldVectorEnv(dot_world(), 3, starts=starts)
    counted, _ = envs.reset(seed=4)
    assert envs.np_random_seed == 4
    listed, _ = envs.reset(seed=[4, 5, 6])
    turned, _ = envs.reset(seed=[6, 5, 4])
    assert np.array_equal(counted, listed)
    assert np.array_equal(counted, turned[::-1])
    assert not np.array_equal(counted[0], counted[1])
    mixed, _ = envs.reset(seed=[4, None, None])
    assert np.array_equal(mixed[0], counted[0])
    with pytest.raises(ShapeError, match="one seed per slot"):
        envs.reset(seed=[1, 2])
    with pytest.raises(ConfigError, match="whole number"):
        envs.reset(seed=[1, 2, -3])


def test_episodes_without_a_seed_differ_but_follow_from_the_first(dot_world, starts):
    runs = []
    for _ in range(2):
        env = WorldEnv(dot_world(), starts=starts)
        runs.append([env.reset(seed=3)[0], env.reset()[0], env.reset()[0]])
    for one, other in zip(*runs, strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(runs[0][0], runs[0][1])
    assert not np.array_equal(runs[0][1], runs[0][2])
    unseeded = [WorldEnv(dot_world(), starts=starts).reset()[0] for _ in range(2)]
    assert not np.array_equal(*unseeded)


def test_an_end_is_a_success_where_the_task_says_so(dot_world, starts):
    env = WorldEnv(dot_world(), starts=starts, terminates_on_success=True)
    _, info = env.reset(seed=0)
    assert info["is_success"] is False
    terminated, truncated, steps = False, False, 0
    while not terminated and steps < 20:
        _, reward, terminated, truncated, info = env.step(np.array([1, 0], np.float32))
        steps += 1
        assert info["is_success"] is terminated
        assert reward == pytest.approx(info["state"][0])
    assert terminated
    assert not truncated
    plain = WorldEnv(dot_world(), starts=starts)
    assert "is_success" not in plain.reset(seed=0)[1]


def test_a_sampled_end_follows_the_probability(dot_world, starts):
    world = dot_world().using(noise=0.0)
    world.backend.scale.data.zero_()  # the dot stays where the probability is 0.12 (sigmoid of -2)

    def halfway(world, seed):
        return world.start(torch.full((len(seed), 1, 2), 0.78), {}, seed)

    options = {"starts": halfway, "autoreset_mode": "SameStep"}
    envs = WorldVectorEnv(world, 1000, termination="sample", observation="state", **options)
    envs.reset(seed=0)
    ended = np.concatenate([envs.step(np.zeros((1000, 2), np.float32))[2] for _ in range(4)])
    assert ended.mean() == pytest.approx(1 / (1 + np.exp(2)), abs=0.02)
    threshold = WorldVectorEnv(world, 10, **options)
    threshold.reset(seed=0)
    assert not threshold.step(np.zeros((10, 2), np.float32))[2].any()


def test_a_world_without_heads_gives_nothing_and_never_ends(dot_world, starts):
    world = dot_world()
    world.heads = type(world.heads)({})
    env = WorldEnv(world, starts=starts)
    env.reset(seed=0)
    for _ in range(10):
        _, reward, terminated, _, _ = env.step(np.array([1, 0], np.float32))
        assert (reward, terminated) == (0.0, False)


def test_options_that_do_not_fit_are_all_named(dot_world, starts):
    wrong: dict[str, Any] = {"termination": "maybe", "render_mode": "ansi"}
    with pytest.raises(ConfigError) as caught:
        WorldVectorEnv(dot_world(), 0, starts=starts, max_episode_steps=0, **wrong)
    assert len(caught.value.problems) == 4
    with pytest.raises(ConfigError, match=r"actoin.*Did you mean 'action'"):
        WorldVectorEnv(dot_world(), starts=starts, signal="actoin")
    with pytest.raises(SamplingError, match="num_steps"):
        WorldVectorEnv(dot_world(), starts=starts, num_steps=2)


def test_starts_that_return_another_number_of_rows_are_named(dot_world, starts):
    envs = WorldVectorEnv(dot_world(), 2, starts=lambda world, seed: starts(world, seed[:1]))
    with pytest.raises(PluginError, match="1 rows for 2 seeds"):
        envs.reset(seed=0)


def test_stepping_keeps_no_graph_and_poisons_no_state(dot_world, starts):
    envs = WorldVectorEnv(dot_world(), 2, starts=starts)
    envs.reset(seed=0)
    envs.step(np.zeros((2, 2), np.float32))
    assert not envs.state.latents.requires_grad
    push = torch.zeros(2, 1, 2, requires_grad=True)
    after, _ = envs.world.step(envs.state, {"action": push})
    (gradient,) = torch.autograd.grad(after.latents.sum(), push)
    assert (gradient != 0).all(), "a planner takes gradients through states that an env made"
