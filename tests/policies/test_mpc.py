"""The closed loop: a real point, seen through pictures, driven by plans made in imagination."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from cosmos_sdk.errors import ConfigError, ShapeError
from cosmos_sdk.protocols import PlanResult
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.mpc import MPCPolicy, shifted, views_of

SMALL = CEM(horizon=3, action_block=2, num_samples=40, num_elites=5, num_iterations=4)


def look(toy, position):
    """(h, w, 3) uint8."""
    return (
        toy.paint(torch.tensor(position, dtype=torch.float32)[None, None])[0, 0, 0]
        .permute(1, 2, 0)
        .numpy()
    )


@dataclass
class Spy:
    """Plans 1, 2, 3, ... and remembers what it was given."""

    num_frames: int = 4
    calls: list = field(default_factory=list)

    def plan(self, world, state, objective, rng, given=None, previous=None, deadline=None):
        self.calls.append({"state": state, "rng": rng, "previous": previous, "deadline": deadline})
        actions = torch.arange(1, self.num_frames + 1)[None, :, None].expand(1, -1, 2) / 10
        return PlanResult(actions, torch.zeros(1), torch.zeros(1, 1), 0.0)


def test_the_closed_loop_reaches_the_goal_in_a_real_world_that_drifts(toy):
    """The wind is not in the model: only looking again corrects for it."""
    world = toy.world()
    policy = MPCPolicy(SMALL, world, GoalState(toy.goal), replan_every=2)
    position, wind = np.array([-0.5, 0.5]), np.array([0.02, 0.01])
    for _ in range(30):
        action = policy.act(look(toy, position))
        position = position + 0.1 * action + wind
    assert np.linalg.norm(position - toy.goal.numpy()) < 0.1
    assert len(policy.seconds) == 15


def test_it_plans_every_so_often_and_starts_from_the_rest_of_the_last_plan(toy):
    spy = Spy()
    policy = MPCPolicy(spy, toy.world(), GoalState(toy.goal), replan_every=3, deadline=0.5)
    actions = [policy.act(look(toy, (0.0, 0.0)))[0] for _ in range(7)]
    assert actions == pytest.approx([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1])
    assert len(spy.calls) == 3
    assert spy.calls[0]["previous"] is None
    assert spy.calls[1]["previous"].actions[0, :, 0].tolist() == pytest.approx([0.4])
    assert spy.calls[1]["deadline"] == 0.5


def test_the_world_is_entered_by_what_was_really_seen_and_done(toy):
    world = toy.world()
    histories = []
    reset = world.reset

    def record(frames, start, seed, history):
        histories.append((frames.shape[1], history["action"]))
        return reset(frames, start, seed, history)

    object.__setattr__(world, "reset", record)
    spy = Spy()
    policy = MPCPolicy(spy, world, GoalState(toy.goal), replan_every=1)
    for place in (0.0, 0.2, 0.4):
        policy.act(look(toy, (place, 0.0)))
    num_frames, action = histories[-1]
    assert num_frames == world.backend.context == 2
    assert action.mask.tolist() == [[True, True]]
    assert action.values[0, :, 0].tolist() == pytest.approx([0.1, 0.1])
    assert histories[0][1].mask.tolist() == [[False, False]]
    seen = spy.calls[-1]["state"].latents[0, -1]
    torch.testing.assert_close(seen, torch.tensor([0.4, 0.0]), atol=0.005, rtol=0)


def test_a_reset_forgets_everything(toy):
    policy = MPCPolicy(SMALL, toy.world(noise=0.1), GoalState(toy.goal), replan_every=2, seed=3)
    first = [policy.act(look(toy, (0.0, 0.0))) for _ in range(5)]
    policy.reset()
    assert np.array_equal(first, [policy.act(look(toy, (0.0, 0.0))) for _ in range(5)])
    policy.reset(4)
    assert not np.array_equal(first, [policy.act(look(toy, (0.0, 0.0))) for _ in range(5)])


def test_each_decision_has_its_own_noise(toy):
    spy = Spy()
    policy = MPCPolicy(spy, toy.world(), GoalState(toy.goal), replan_every=2)
    for _ in range(4):
        policy.act(look(toy, (0.0, 0.0)))
    first, second = (call["rng"].integers() for call in spy.calls)
    assert first != second


def test_a_plan_that_is_used_up_is_no_warm_start():
    plan = PlanResult(torch.zeros(1, 4, 2), torch.zeros(1), torch.zeros(1, 1), 0.0)
    assert shifted(plan, 4) is None
    rest = shifted(plan, 1)
    assert rest is not None
    assert rest.actions.shape == (1, 3, 2)


def test_a_plan_shorter_than_the_interval_is_refused(toy):
    with pytest.raises(ConfigError, match="replan_every is 0"):
        MPCPolicy(Spy(), toy.world(), GoalState(toy.goal), replan_every=0)
    policy = MPCPolicy(Spy(), toy.world(), GoalState(toy.goal), replan_every=5)
    with pytest.raises(ConfigError, match="plans have 4 frames"):
        policy.act(look(toy, (0.0, 0.0)))


def test_views_are_found_in_any_observation():
    image = np.zeros((4, 6, 3), np.uint8)
    assert views_of(image).shape == (1, 4, 6, 3)
    assert views_of(np.stack([image, image])).shape == (2, 4, 6, 3)
    assert views_of({"top": image, "state": np.zeros(3), "wrist": image}).shape == (2, 4, 6, 3)
    with pytest.raises(ShapeError, match="float64"):
        views_of(np.zeros((4, 6, 3)))


def test_a_world_without_eyes_is_entered_by_its_own_state(toy):
    """A true simulator as the world: what is observed does not matter, its state does."""
    world, place = toy.world(), np.array([0.7, -0.2])
    policy = MPCPolicy(
        SMALL,
        world,
        GoalState(toy.goal),
        replan_every=2,
        enter=lambda: toy.state(world, (place[0], place[1])),
    )
    for _ in range(20):
        place += 0.1 * policy.act("anything")
    assert np.linalg.norm(place - toy.goal.numpy()) < 0.1
