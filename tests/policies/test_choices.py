"""Discrete actions: categorical CEM and random shooting on tables whose best plan can be read off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from cosmos_sdk.errors import SignalError
from cosmos_sdk.protocols import PlanResult
from cosmos_sdk.testing import check_planner
from cosmos_sdk.testing.small_worlds import point_starts, point_world
from cosmos_sdk_policies.categorical_cem import CategoricalCEM
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.mpc import MPCPolicy
from cosmos_sdk_policies.random_shooting import RandomShooting
from cosmos_sdk_policies.reward_objective import RewardObjective
from toys.bandit import bandit_state, bandit_world

RETURN = RewardObjective(1.0)
TABLE = torch.tensor([[3.0, 1, 2, 0, 0], [0, 4, 1, 2, 3], [1, 1, 1, 1, 2], [5, 0, 0, 0, 4]])[
    :, None
]
BEST = TABLE[:, 0].argmax(1)  # (4,) of arms 0..4
ARMS = spaces.Discrete(5)
FEW = {CategoricalCEM: {"num_elites": 3}}
PLANNER = CategoricalCEM(4, 1, num_samples=100, num_elites=10, num_iterations=8)


class Watched:
    """An objective that remembers the plans it was shown, (N, K), an entry each iteration."""

    def __init__(self):
        self.plans, self.costs = [], []

    def cost(self, rollout, control):
        cost = RETURN.cost(rollout, control)
        self.plans.append(control.signals["action"].values.clone())
        self.costs.append(cost)
        return cost


def test_the_best_arm_of_every_step_is_found(toy):
    world = bandit_world(TABLE, ARMS)
    plan = PLANNER.plan(world, bandit_state(world), RETURN, toy.rng())
    assert plan.actions.dtype == torch.int64
    assert torch.equal(plan.actions[0], BEST)
    assert plan.cost.item() == -TABLE.amax(2).sum()


def test_arms_are_counted_from_where_the_space_starts(toy):
    space = spaces.Discrete(5, start=7)
    world = bandit_world(TABLE, space)
    plan = PLANNER.plan(world, bandit_state(world), RETURN, toy.rng())
    assert torch.equal(plan.actions[0], BEST + 7)


def test_each_component_has_choices_of_its_own_number(toy):
    table = torch.zeros(1, 2, 5)
    table[0, 0, 1], table[0, 1, 4] = 1, 1
    space = spaces.MultiDiscrete([2, 5])
    world, seen = bandit_world(table, space), Watched()
    plan = PLANNER.plan(world, bandit_state(world), seen, toy.rng())
    assert plan.actions.shape == (1, 4, 2)
    assert (plan.actions == torch.tensor([1, 4])).all()
    assert torch.cat(seen.plans).amax((0, 1)).tolist() == [1, 4]


def test_an_action_is_held_for_a_block(toy):
    """Two steps share an arm: the best sum of both columns, not the best of either."""
    world = bandit_world(TABLE, ARMS)
    plan = replace(PLANNER, horizon=2, action_block=2).plan(
        world, bandit_state(world), RETURN, toy.rng()
    )
    sums = TABLE[:, 0].view(2, 2, 5).sum(1)
    assert plan.cost.item() == -sums.amax(1).sum()
    assert torch.equal(plan.actions[0, ::2], plan.actions[0, 1::2])


def test_the_odds_move_to_the_shares_of_the_elites(toy):
    world, seen = bandit_world(TABLE, ARMS), Watched()
    planner = replace(PLANNER, num_samples=4000, num_elites=200, num_iterations=2, batch_size=4000)
    planner.plan(world, bandit_state(world), seen, toy.rng())
    first, second = (torch.nn.functional.one_hot(plans, 5).double() for plans in seen.plans)
    torch.testing.assert_close(first.mean(0), torch.full((4, 5), 0.2).double(), atol=0.03, rtol=0)
    elites = first[seen.costs[0].topk(200, largest=False).indices].mean(0)
    odds = 0.9 * elites + 0.1 * 0.2
    torch.testing.assert_close(second.mean(0), odds, atol=0.03, rtol=0)


def test_a_warm_start_is_kept_and_a_cold_row_is_uniform(toy):
    world = bandit_world(TABLE, ARMS)
    state = bandit_state(world, 2)
    actions = torch.stack((BEST.double(), torch.full((4,), torch.nan).double()))
    previous = PlanResult(actions, torch.zeros(2), torch.zeros(2, 1), 0.0)
    hurried = replace(PLANNER, num_samples=1, num_elites=1, num_iterations=1)
    plan = hurried.plan(world, state, RETURN, toy.rng(2), previous=previous)
    assert torch.equal(plan.actions[0], BEST)
    assert plan.actions[1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("planner", [PLANNER, RandomShooting(4, 1, 50)])
def test_the_plan_of_a_batch_is_the_plan_of_each_row(toy, planner):
    world = bandit_world(torch.rand(4, 1, 5, generator=torch.Generator().manual_seed(1)), ARMS)
    state = bandit_state(world, 3)
    together = planner.plan(world, state, RETURN, toy.rng(3))
    for row in range(3):
        slot = slice(row, row + 1)
        alone = planner.plan(world, state.rows(slot), RETURN, toy.rng(1, seed=row))
        assert torch.equal(alone.actions, together.actions[slot])
        assert torch.equal(alone.trace, together.trace[slot])


def test_random_shooting_draws_every_arm_alike(toy):
    world, seen = bandit_world(TABLE, ARMS), Watched()
    RandomShooting(4, 1, 5000, batch_size=5000).plan(world, bandit_state(world), seen, toy.rng())
    counts = torch.bincount(seen.plans[0].flatten(), minlength=5) / seen.plans[0].numel()
    torch.testing.assert_close(counts, torch.full((5,), 0.2), atol=0.01, rtol=0)


def test_a_planner_of_one_kind_names_those_of_the_other(toy):
    world = bandit_world(TABLE, ARMS)
    with pytest.raises(SignalError, match=r"Box of real numbers.*'categorical-cem'"):
        CEM().plan(world, bandit_state(world), RETURN, toy.rng())
    box = toy.world()
    with pytest.raises(SignalError, match=r"Discrete or MultiDiscrete.*'cem'"):
        PLANNER.plan(box, toy.state(box), RETURN, toy.rng())


@pytest.mark.parametrize("kind", [CategoricalCEM, RandomShooting])
def test_a_planner_of_choices_satisfies_the_contract(kind):
    planner = kind(horizon=2, num_samples=12, num_iterations=2, **FEW.get(kind, {}))
    check_planner(planner)
    check_planner(planner, point_world(keys=True), starts=point_starts)


def test_a_closed_loop_gives_whole_numbers():
    world = bandit_world(TABLE, ARMS)
    steps = iter(range(100))

    def enter():
        start = bandit_state(world)
        return replace(start, time=start.time + next(steps))

    policy = MPCPolicy(PLANNER, world, RETURN, replan_every=1, enter=enter)
    actions = [policy.act(None) for _ in range(6)]
    assert all(action.dtype == np.int64 and action.shape == () for action in actions)
    assert [int(action) for action in actions] == [*BEST.tolist(), *BEST[:2].tolist()]
    seen = MPCPolicy(PLANNER, world, RETURN, replan_every=2)
    picture = np.zeros((4, 4, 3), np.uint8)
    assert all(ARMS.contains(seen.act(picture)) for _ in range(5))
