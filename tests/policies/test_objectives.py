"""Objectives against sums done by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from cosmos_sdk.errors import ShapeError, UnknownNameError
from cosmos_sdk.protocols import Rollout
from cosmos_sdk.registry import registry
from cosmos_sdk.state import Control, Masked
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.goal_image import GoalImage
from cosmos_sdk_policies.goal_latent import GoalLatent
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.objectives import ActionPenalty, UncertaintyPenalty, WeightedSum
from cosmos_sdk_policies.reward_objective import RewardObjective
from toys.tokens import small_world

IDLE = Control({}, {})  # no signals
NOWHERE: Any = None  # objectives do not read the last state
ANY_ROLLOUT = Rollout(NOWHERE, {}, None)


def imagined(latents=None, **values):
    return Rollout(NOWHERE, {name: torch.tensor(value) for name, value in values.items()}, latents)


def acting(actions):
    values = torch.tensor(actions)
    return Control({"action": Masked(values, torch.ones(values.shape[:2], dtype=torch.bool))}, {})


def test_objectives_are_registered():
    kinds = {"reward": RewardObjective, "goal-state": GoalState, "goal-image": GoalImage}
    kinds |= {"goal-latent": GoalLatent, "action-penalty": ActionPenalty}
    kinds |= {"uncertainty-penalty": UncertaintyPenalty, "weighted-sum": WeightedSum}
    assert {name: registry().load("objective", name) for name in kinds} == kinds


def test_what_the_world_doubts_is_a_cost_in_the_unit_of_the_reward():
    rollout = imagined(
        reward=[[1.0, 2.0, 4.0]], uncertainty=[[0.0, 1.0, 2.0]], terminated=[[0.0, 0.5, 0.0]]
    )
    assert UncertaintyPenalty(0.5).cost(rollout, IDLE).tolist() == [0.5 + 0.25 * 0.5 * 2]
    both = WeightedSum([(1.0, RewardObjective(0.5)), (3.0, UncertaintyPenalty(0.5))])
    assert both.cost(rollout, IDLE).tolist() == [-2.5 + 3 * 0.75]
    with pytest.raises(UnknownNameError, match="'uncertainty'"):
        UncertaintyPenalty().cost(imagined(reward=[[1.0]]), IDLE)


def test_the_return_is_discounted_per_frame():
    rollout = imagined(reward=[[1.0, 2.0, 4.0]])
    assert RewardObjective(0.5).cost(rollout, IDLE).tolist() == [-3.0]


def test_a_reward_counts_as_far_as_the_episode_still_runs():
    rollout = imagined(
        reward=[[1.0, 2.0, 4.0]] * 3, terminated=[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.0]]
    )
    assert RewardObjective(1.0).cost(rollout, IDLE).tolist() == [-7.0, -3.0, -4.0]


def test_garbage_after_the_end_does_not_count():
    rollout = imagined(reward=[[1.0, math.nan]], terminated=[[1.0, math.nan]])
    assert RewardObjective(1.0).cost(rollout, IDLE).tolist() == [-1.0]


def test_a_world_without_the_head_is_named():
    with pytest.raises(UnknownNameError, match=r"'reward'.*reward_2"):
        RewardObjective().cost(imagined(reward_2=[[1.0]]), IDLE)
    with pytest.raises(ShapeError, match="a number per frame"):
        RewardObjective().cost(imagined(reward=[[[1.0, 2.0]]]), IDLE)
    with pytest.raises(UnknownNameError, match="readout 'state'"):
        GoalState(torch.zeros(2)).cost(imagined(reward=[[1.0]]), IDLE)


def test_the_nearest_state_counts_and_the_mean_a_little():
    rollout = imagined(state=[[[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]]])
    cost = GoalState(torch.zeros(2), mean_weight=0.1).cost(rollout, IDLE)
    torch.testing.assert_close(cost, torch.tensor([1 + 0.1 * 14 / 3]))


def test_the_scale_says_which_difference_costs_one():
    rollout = imagined(state=[[[20.0, 7.0, 3.0]]])
    goal = GoalState(torch.zeros(3), scale=(20.0, math.inf, 1.0), mean_weight=0.0)
    assert goal.cost(rollout, IDLE).tolist() == [10.0]


def test_what_moves_at_will_matters_little_from_afar_and_as_much_from_near():
    rollout = imagined(state=[[[300.0, 400.0, 2.0]]])
    goal = GoalState(torch.zeros(3), scale=(100.0, 100.0, 1.0), free=(0, 1), mean_weight=0.0)
    assert goal.cost(rollout, IDLE).item() == pytest.approx(math.log(1 + 25) + 4)
    near = imagined(state=[[[1.0, 0.0, 0.0]]])
    squared = GoalState(torch.zeros(3), scale=(100.0, 100.0, 1.0), mean_weight=0.0)
    assert goal.cost(near, IDLE).item() == pytest.approx(squared.cost(near, IDLE).item(), rel=1e-3)


def test_angles_are_compared_the_short_way_round():
    rollout = imagined(state=[[[0.1, 0.1]]])
    goal = torch.tensor([2 * math.pi - 0.1, 2 * math.pi - 0.1])
    cost = GoalState(goal, angles=(1,), mean_weight=0.0).cost(rollout, IDLE)
    torch.testing.assert_close(cost, torch.tensor([(2 * math.pi - 0.2) ** 2 + 0.2**2]))


def test_only_the_ends_of_blocks_count_when_asked():
    rollout = imagined(state=[[[0.0], [2.0], [0.0], [3.0]]])
    assert GoalState(torch.zeros(1), mean_weight=0.0, every=2).cost(rollout, IDLE).tolist() == [4.0]
    with pytest.raises(ShapeError, match="too short"):
        GoalState(torch.zeros(1), every=5).cost(rollout, IDLE)


def test_states_after_a_predicted_end_do_not_count():
    state = [[[3.0], [2.0], [1.0], [0.0]]]
    ends = {"ended": [[0.0, 1.0, 0.0, 0.0]]}
    goal = GoalState(torch.zeros(1), mean_weight=0.0, terminated="ended")
    assert goal.cost(imagined(state=state, **ends), IDLE).tolist() == [4.0]
    assert goal.cost(imagined(state=state), IDLE).tolist() == [0.0]
    chunks = {"ended": [[0.0] * 4 + [0.0, 1.0] + [0.0] * 2]}  # two frames a predict
    assert goal.cost(imagined(state=state, **chunks), IDLE).tolist() == [1.0]


def test_each_world_has_its_own_goal():
    rollout = imagined(state=[[[1.0]], [[1.0]]])
    goals = GoalState(torch.tensor([[1.0], [3.0]]), mean_weight=0.0)
    assert goals.cost(rollout, IDLE).tolist() == [0.0, 4.0]
    assert goals.rows(slice(1, 2)).goal.tolist() == [[3.0]]
    one = GoalState(torch.tensor([1.0]))
    assert one.rows(slice(1, 2)) is one
    with pytest.raises(ShapeError, match="P = 1"):
        GoalState(torch.zeros(2)).cost(rollout, IDLE)


def test_a_goal_image_draws_the_world_to_it(toy):
    world = toy.world()
    image = toy.paint(toy.goal[None, None])[:, 0]
    objective = GoalImage.encode(world, image)
    state = toy.state(world)
    plan = CEM(3, 2, num_samples=60, num_elites=8).plan(world, state, objective, toy.rng())
    reached = world.rollout(state, {"action": plan.actions}).values["state"]
    assert (reached - toy.goal).norm(dim=-1).min() < 0.03
    with pytest.raises(ShapeError, match="keep_latents=True"):
        objective.cost(world.rollout(state, {"action": plan.actions}), IDLE)
    with pytest.raises(ShapeError, match="goal"):
        GoalImage(torch.zeros(1, 5)).cost(
            world.rollout(state, {"action": plan.actions}, True), IDLE
        )


def test_goal_images_are_per_world(toy):
    goals = GoalImage(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    assert goals.rows(slice(1, 2)).goal.tolist() == [[1.0, 1.0]]
    latents = torch.ones(2, 1, 1, 2)
    assert goals.cost(imagined(latents), IDLE).tolist() == pytest.approx([1.05, 0.0])


def test_actions_and_their_changes_cost():
    control = acting([[[1.0, 0.0], [-1.0, 0.0]]])
    assert ActionPenalty().cost(ANY_ROLLOUT, control).tolist() == [0.5]
    assert ActionPenalty(scale=(2.0, 1.0)).cost(ANY_ROLLOUT, control).tolist() == [0.125]
    assert ActionPenalty(size=0.0, change=1.0).cost(ANY_ROLLOUT, control).tolist() == [1.0]
    with pytest.raises(UnknownNameError, match="Did you mean 'action'"):
        ActionPenalty(signal="actions").cost(ANY_ROLLOUT, control)


def test_a_sum_asks_for_what_its_terms_need():
    goals = GoalImage(torch.zeros(2, 3))
    both = WeightedSum([(2.0, goals), (1.0, ActionPenalty())])
    assert both.needs_latents
    assert not WeightedSum([(1.0, ActionPenalty())]).needs_latents
    (_, first), _ = both.rows(slice(0, 1)).terms
    assert isinstance(first, GoalImage)
    assert first.goal.shape == (1, 3)
    cost = both.cost(imagined(torch.ones(2, 1, 1, 3)), acting([[[1.0]], [[0.0]]]))
    assert cost.tolist() == pytest.approx([2 * 1.05 + 1, 2 * 1.05])


def test_a_goal_image_of_tokens_is_as_near_as_its_codes_are():
    """Shades 0 and 7 are far from each other, 3 and 4 near, whatever their numbers in the vocabulary."""
    world = small_world()
    white = torch.full((1, 1, 3, 8, 8), 255, dtype=torch.uint8)
    objective = GoalImage.encode(world, white, mean_weight=0.0)
    latents = torch.tensor([[0] * 4, [6] * 4, [7] * 4])[:, None, None]
    cost = objective.cost(imagined(latents), IDLE)
    assert cost[2] == 0
    assert 0 < cost[1] < cost[0] / 10
