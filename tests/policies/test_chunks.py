"""Policies that decide k actions at once, in environments that take m at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from hypothesis import given
from hypothesis import strategies as st

from cosmos_sdk.errors import ActionError, ConfigError
from cosmos_sdk_policies.chunks import ActionChunks, frames_per_step
from cosmos_sdk_policies.policy import LeRobotPolicy, begin

ONE = spaces.Box(-1, 1, (2,), np.float32)


class Counter:
    """Answers with k actions: the frame that it saw, and the place in the answer."""

    def __init__(self, k):
        self.k, self.looks, self.aimed = k, [], None

    def reset(self, seed=None):
        self.looks, self.seed = [], seed

    def aim(self, goal):
        self.aimed = goal

    def act(self, frame):
        self.looks.append(frame)
        answer = np.array([[frame, place] for place in range(self.k or 1)], np.float32)
        return answer if self.k else answer[0]


def drive(policy, takes, num_frames):
    """The actions (frames, 2) of an episode whose observation is the number of the frame."""
    policy.reset(0)
    done = []
    while len(done) < num_frames:
        action = policy.act(len(done))
        done += [action] if takes is None else list(action)
    return np.array(done[:num_frames])


def test_a_chunk_is_executed_before_the_policy_looks_again():
    policy = Counter(3)
    done = drive(ActionChunks(policy, (2,)), None, 6)
    assert done.tolist() == [[0, 0], [0, 1], [0, 2], [3, 0], [3, 1], [3, 2]]
    assert policy.looks == [0, 3]


def test_receding_horizon_uses_the_beginning_of_each_answer():
    policy = Counter(8)
    done = drive(ActionChunks(policy, (2,), execute=2), None, 4)
    assert done.tolist() == [[0, 0], [0, 1], [2, 0], [2, 1]]


def test_a_single_action_is_held_where_the_environment_takes_several():
    done = drive(ActionChunks(Counter(None), (2,), 4), 4, 8)
    assert done.tolist() == [[0, 0]] * 4 + [[4, 0]] * 4


def test_a_short_answer_is_filled_up_with_its_last_action_or_with_rest():
    held = drive(ActionChunks(Counter(2), (2,), 4), 4, 4)
    rested = drive(ActionChunks(Counter(2), (2,), 4, fill="rest"), 4, 4)
    assert held.tolist() == [[0, 0], [0, 1], [0, 1], [0, 1]]
    assert rested[2:].tolist() == [[0, 0], [0, 0]]


def test_what_does_not_fill_a_step_is_left_away():
    policy = Counter(8)
    done = drive(ActionChunks(policy, (2,), 3), 3, 12)
    assert policy.looks == [0, 6]
    assert done[5].tolist() == [0, 5]
    assert done[6].tolist() == [6, 0]


@given(k=st.one_of(st.none(), st.integers(1, 9)), m=st.integers(1, 6), times=st.integers(1, 3))
def test_with_one_block_a_policy_does_the_same_in_both_environments(k, m, times):
    """For a k that differs from m in any way: one action at a time in reality, m in the world."""
    block = m * times
    real = drive(ActionChunks(Counter(k), (2,), None, block=block), None, 24)
    world = drive(ActionChunks(Counter(k), (2,), m, block=block), m, 24)
    np.testing.assert_array_equal(real, world)


def test_discrete_actions_come_in_chunks_too():
    policy = ActionChunks(lambda frame: np.arange(4), (), 2)
    assert policy.act(0).tolist() == [0, 1]
    assert policy.act(1).tolist() == [2, 3]
    assert frames_per_step(batch_space(spaces.Discrete(4), 2), spaces.Discrete(4)) == 2


def test_a_reset_forgets_the_rest_of_an_answer_and_a_goal_is_passed_on():
    inner = Counter(5)
    policy = ActionChunks(inner, (2,))
    policy.act(0)
    policy.reset(7)
    policy.aim("there")
    assert policy.act(9).tolist() == [9, 0]
    assert (inner.seed, inner.aimed) == (7, "there")


def test_the_chunk_of_an_environment_is_read_off_its_space():
    assert frames_per_step(ONE, ONE) is None
    assert frames_per_step(batch_space(ONE, 5), ONE) == 5
    with pytest.raises(ConfigError, match="neither one action"):
        frames_per_step(spaces.Box(-1, 1, (3,)), ONE)


def test_wrong_answers_and_wrong_counts_are_refused():
    with pytest.raises(ActionError, match=r"shape \(3,\); expected \(2,\)"):
        ActionChunks(lambda frame: np.zeros(3), (2,)).act(0)
    with pytest.raises(ActionError, match=r"shape \(0, 2\)"):
        ActionChunks(lambda frame: np.zeros((0, 2)), (2,)).act(0)
    with pytest.raises(ConfigError, match="execute is 0"):
        ActionChunks(len, (2,), execute=0)
    with pytest.raises(ConfigError, match="multiple of takes = 3"):
        ActionChunks(len, (2,), 3, block=4)


class Robot:
    """Speaks as LeRobot's policies do."""

    def reset(self):
        self.batches = []

    def select_action(self, batch):
        self.batches.append(batch)
        return torch.zeros(1, 2)

    def predict_action_chunk(self, batch):
        self.batches.append(batch)
        return torch.arange(6.0).reshape(1, 3, 2)


def test_a_lerobot_policy_gives_its_chunks_and_reads_our_observations():
    robot = Robot()
    policy = ActionChunks(
        LeRobotPolicy(
            robot,
            chunks=True,
            task="push",
            before=lambda b: {**b, "seen": 1},
            after=lambda a: a + 1,
        ),
        (2,),
    )
    policy.reset()
    observation = {"top": np.zeros((4, 6, 3), np.uint8), "state": np.zeros(5, np.float32)}
    assert [policy.act(observation).tolist() for _ in range(3)] == [[1, 2], [3, 4], [5, 6]]
    batch = robot.batches[0]
    assert set(batch) == {"observation.images.top", "observation.state", "task", "seen"}
    assert batch["observation.images.top"].shape == (1, 3, 4, 6)
    assert len(robot.batches) == 1


def test_a_policy_is_told_of_an_episode_as_it_can_hear_it():
    class Plain:
        def reset(self):
            self.told = True

        def act(self, observation):
            return 0

    plain, counter = Plain(), Counter(1)
    begin(plain, 3)
    begin(counter, 3)
    begin(len, 3)
    assert plain.told
    assert counter.seed == 3
