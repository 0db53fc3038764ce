"""Policies of ours and of others behind one `act`."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import ActionError, CosmosError
from cosmos_sdk.registry import registry
from cosmos_sdk_policies.mpc import MPCPolicy
from cosmos_sdk_policies.policy import (
    FunctionPolicy,
    LeRobotPolicy,
    Policy,
    RandomPolicy,
    SB3Policy,
    as_policy,
)

BOX = spaces.Box(np.array([0, -5], np.float32), np.array([1, 5], np.float32))
IMAGE = np.full((4, 6, 3), 255, np.uint8)


def test_policies_are_registered():
    assert registry().load("policy", "random") is RandomPolicy
    assert registry().load("policy", "mpc") is MPCPolicy


@pytest.mark.parametrize(
    "space", [BOX, spaces.Discrete(3), spaces.Box(-np.inf, np.inf, (2,)), spaces.MultiBinary(4)]
)
def test_random_actions_lie_in_the_space_and_repeat_with_the_seed(space):
    policy = RandomPolicy()
    env = SimpleNamespace(action_space=space)
    runs = []
    for _ in range(2):
        policy.reset(3, env)
        runs.append([policy.act(None) for _ in range(20)])
    assert all(space.contains(action) for action in runs[0])
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[0][1]) or not np.array_equal(
        runs[0][1:], runs[0][:-1]
    )


def test_a_simulator_gives_the_space_by_its_action_spec():
    policy = RandomPolicy()
    policy.reset(np.random.default_rng(0), SimpleNamespace(action_spec=SimpleNamespace(space=BOX)))
    assert BOX.contains(policy.act(None))
    with pytest.raises(ActionError, match=r"reset\(rng, env\)"):
        RandomPolicy().act(None)


def test_a_gymnasium_environment_runs_under_the_random_policy():
    env = gymnasium.make("MountainCarContinuous-v0")
    policy = as_policy(RandomPolicy(env.action_space))
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        observation, *_ = env.step(policy.act(observation))


class Recurrent:
    """Speaks as stable-baselines3's recurrent models do."""

    def predict(self, observation, state, episode_start, deterministic):
        count = 0 if episode_start[0] else state + 1
        return np.array([count, float(deterministic)]), count


class Queue:
    """Speaks as LeRobot's policies do."""

    def reset(self):
        self.batches = []

    def select_action(self, batch):
        self.batches.append(batch)
        return torch.full((1, 2), 0.5)


def test_the_state_of_a_recurrent_model_is_kept_until_reset():
    policy = as_policy(Recurrent())
    assert isinstance(policy, SB3Policy)
    assert [policy.act(IMAGE)[0] for _ in range(3)] == [0, 1, 2]
    policy.reset()
    assert policy.act(IMAGE).tolist() == [0, 1]


def test_a_trained_sb3_model_acts():
    sb3 = pytest.importorskip(
        "stable_baselines3", reason="optional: pip install cosmos-world-sdk[sb3]"
    )
    env = gymnasium.make("Pendulum-v1")
    model = sb3.PPO("MlpPolicy", env, n_steps=8, batch_size=8, device="cpu")
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(as_policy(model).act(observation))


def test_lerobot_gets_float_images_and_a_batch_axis():
    policy = as_policy(Queue())
    assert isinstance(policy, LeRobotPolicy)
    policy.reset()
    assert policy.act(IMAGE).tolist() == [0.5, 0.5]
    policy.act({"observation.images.top": IMAGE, "observation.state": np.zeros(3, np.float32)})
    first, second = policy.policy.batches
    assert first["observation.images.camera"].shape == (1, 3, 4, 6)
    assert first["observation.images.camera"].max() == 1
    assert second["observation.state"].shape == (1, 3)


def test_anything_that_acts_becomes_a_policy_and_the_rest_is_refused():
    assert as_policy(lambda observation: observation + 1).act(1) == 2
    mine = FunctionPolicy(len)
    assert as_policy(mine) is mine
    assert isinstance(mine, Policy)
    with pytest.raises(CosmosError, match="int is no policy"):
        as_policy(3)
