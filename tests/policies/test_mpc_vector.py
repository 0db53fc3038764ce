"""One closed loop around many environments: every slot lives as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import PlanResult
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.mpc import MPCPolicy

SMALL = CEM(horizon=3, action_block=2, num_samples=30, num_elites=5, num_iterations=3)
GOALS = torch.tensor([[0.3, -0.4], [-0.5, 0.0], [0.1, 0.6]])


def look(toy, positions):
    """(B, h, w, 3) uint8."""
    pictures = toy.paint(torch.as_tensor(positions, dtype=torch.float32)[:, None])
    return pictures[:, 0, 0].movedim(1, -1).numpy()


class Points:
    """B real points under wind, reset in the same step: an episode has 7 steps, in slot 1 it has 4."""

    lengths = (7, 4, 7)

    def __init__(self, toy):
        self.toy = toy
        self.place, self.age = np.zeros((3, 2)), np.zeros(3, int)

    def step(self, actions):
        self.place = self.place + 0.1 * actions + 0.01
        self.age += 1
        done = self.age >= self.lengths
        self.place[done], self.age[done] = 0.0, 0
        return look(self.toy, self.place), done


class Spy:
    """Plans nothing, and remembers for how many rows it was asked and from what."""

    def __init__(self):
        self.calls = []

    def plan(self, world, state, objective, rng, given=None, previous=None, deadline=None):
        self.calls.append((state, objective, rng, given, previous))
        actions = torch.zeros(len(state), 6, 2)
        return PlanResult(actions, torch.zeros(len(state)), torch.zeros(len(state), 1), 0.0)


def test_every_slot_acts_as_a_policy_of_its_own_would(toy):
    """Resets of one slot included, which leave the slots planning at different times."""
    world = toy.world(noise=0.02)
    together = MPCPolicy(SMALL, world, GoalState(GOALS), replan_every=3, num_envs=3, seed=5)
    alone = [
        MPCPolicy(SMALL, world, GoalState(GOALS[b : b + 1]), replan_every=3, num_envs=1, seed=5 + b)
        for b in range(3)
    ]
    envs = Points(toy)
    observations = look(toy, envs.place)
    for _ in range(16):
        actions = together.act(observations)
        for b, policy in enumerate(alone):
            own = policy.act(observations[b : b + 1])
            np.testing.assert_allclose(own[0], actions[b], atol=1e-5)
        observations, done = envs.step(actions)
        together.reset(slots=done)
        for b, policy in enumerate(alone):
            policy.reset(slots=done[b : b + 1])


def test_a_vector_of_one_is_the_single_policy(toy):
    world = toy.world()
    single = MPCPolicy(SMALL, world, GoalState(toy.goal), replan_every=2)
    vector = MPCPolicy(SMALL, world, GoalState(toy.goal), replan_every=2, num_envs=1)
    for place in (0.0, 0.1, 0.2):
        picture = look(toy, [(place, 0.0)])
        assert np.array_equal(single.act(picture[0]), vector.act(picture)[0])


def test_all_slots_reach_their_own_goals(toy):
    policy = MPCPolicy(SMALL, toy.world(), GoalState(GOALS), replan_every=2, num_envs=3)
    place = np.zeros((3, 2))
    for _ in range(20):
        place = place + 0.1 * policy.act(look(toy, place)) + 0.01
    assert np.linalg.norm(place - GOALS.numpy(), axis=1).max() < 0.25


def test_one_call_plans_all_that_are_due_and_a_reset_slot_alone(toy):
    spy = Spy()
    wind = torch.arange(3.0)[:, None, None].expand(3, 6, 2)
    policy = MPCPolicy(
        spy, toy.world(wind=True), GoalState(GOALS), 4, num_envs=3, given={"wind": wind}
    )
    pictures = look(toy, np.zeros((3, 2)))
    for step in range(5):
        if step == 2:
            policy.reset(slots=np.array([False, True, False]))
        policy.act(pictures)
    states, objectives, _, given, previous = zip(*spy.calls, strict=True)
    assert [len(state) for state in states] == [
        3,
        1,
        2,
    ]  # at steps 0, 2 (slot 1), 4 (slots 0 and 2)
    assert torch.equal(objectives[1].goal, GOALS[1:2])
    assert torch.equal(objectives[2].goal, GOALS[[0, 2]])
    assert given[2]["wind"][:, 0, 0].tolist() == [0.0, 2.0]
    assert previous[0] is None
    assert previous[1] is None
    assert previous[2].actions.shape == (2, 2, 2)
    assert len(policy.seconds) == 3


def test_a_row_that_begins_has_no_last_plan_beside_one_that_has(toy):
    spy = Spy()
    policy = MPCPolicy(spy, toy.world(), GoalState(toy.goal), 2, num_envs=2)
    pictures = look(toy, np.zeros((2, 2)))
    for _ in range(2):
        policy.act(pictures)
    policy.reset(slots=np.array([True, False]))
    policy.act(pictures)
    previous = spy.calls[-1][4]
    assert previous.actions.isnan().flatten(1).all(1).tolist() == [True, False]


def test_an_episode_sees_nothing_of_the_one_before(toy):
    world, entered = toy.world(), []
    reset = world.reset

    def record(frames, start, seed, history):
        entered.append((frames, history["action"]))
        return reset(frames, start, seed, history)

    object.__setattr__(world, "reset", record)
    policy = MPCPolicy(Spy(), world, GoalState(toy.goal), 1, num_envs=2)
    policy.act(look(toy, [(0.0, 0.0), (0.5, 0.5)]))
    policy.reset(slots=np.array([False, True]))
    policy.act(look(toy, [(0.1, 0.0), (-0.5, -0.5)]))
    frames, actions = entered[-1]
    assert not torch.equal(frames[0, 0], frames[0, 1])
    assert torch.equal(frames[1, 0], frames[1, 1])
    assert actions.mask.tolist() == [[False, True], [False, False]]


def test_seeds_are_numbered_from_one_or_given_and_go_on_after_a_reset_of_some(toy):
    spy = Spy()
    policy = MPCPolicy(spy, toy.world(), GoalState(toy.goal), 1, num_envs=2, seed=7)
    pictures = look(toy, np.zeros((2, 2)))
    policy.act(pictures)
    policy.reset(slots=np.array([True, False]))
    policy.act(pictures)
    first, second = (call[2] for call in spy.calls)
    assert first.seed.tolist() == second.seed.tolist() == [7, 8]
    assert second.time.tolist() == [1, 1]
    policy.reset([3, 9])
    policy.act(pictures)
    assert (spy.calls[-1][2].seed.tolist(), spy.calls[-1][2].time.tolist()) == ([3, 9], [0, 0])
    policy.reset(50, slots=np.array([False, True]))
    policy.act(pictures)
    assert (spy.calls[-1][2].seed.tolist(), spy.calls[-1][2].time.tolist()) == ([3, 51], [1, 0])


def test_observations_may_be_mappings_of_arrays(toy):
    world = toy.world()
    pixels = look(toy, [(0.0, 0.1), (0.5, 0.0)])
    by_name = MPCPolicy(SMALL, world, GoalState(GOALS[:2]), num_envs=2)
    plain = MPCPolicy(SMALL, world, GoalState(GOALS[:2]), num_envs=2)
    named = {"top": pixels, "state": np.zeros((2, 3))}
    assert np.array_equal(by_name.act(named), plain.act(pixels))


def test_what_does_not_fit_is_said(toy):
    with pytest.raises(ConfigError, match="num_envs is 0"):
        MPCPolicy(SMALL, toy.world(), GoalState(toy.goal), num_envs=0)
    policy = MPCPolicy(SMALL, toy.world(), GoalState(toy.goal), num_envs=2)
    with pytest.raises(ShapeError, match=r"observations.*2, as num_envs says"):
        policy.act(look(toy, np.zeros((3, 2))))
    with pytest.raises(ShapeError, match="slots"):
        policy.reset(slots=np.array([True]))
    with pytest.raises(ShapeError, match="seed"):
        policy.reset([1, 2, 3])
