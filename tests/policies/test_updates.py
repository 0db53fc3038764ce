"""One iteration of each planner against its formula, read off the candidates that the objective is shown."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from cosmos_sdk_policies.best_of_n import BestOfN
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.icem import ICEM
from cosmos_sdk_policies.mppi import MPPI
from cosmos_sdk_policies.objectives import ActionPenalty, WeightedSum
from cosmos_sdk_policies.predictive_sampling import PredictiveSampling
from cosmos_sdk_policies.proposals import ImaginedPolicy


class Watched:
    """Remembers plans (N, K, 2) and costs (N,) of each iteration. The box is [-1, 1]: units are actions."""

    def __init__(self):
        self.plans, self.costs = [], []

    def cost(self, rollout, control):
        actions = control.signals["action"].values
        cost = (actions - torch.tensor([0.25, -0.5])).square().sum((1, 2))
        self.plans.append(actions.clone())
        self.costs.append(cost)
        return cost


def watch(toy, planner):
    world, seen = toy.world(), Watched()
    planner.plan(world, toy.state(world), seen, toy.rng())
    return seen


def elites(seen, count, iteration=0):
    best = seen.costs[iteration].topk(count, largest=False)
    return seen.plans[iteration][best.indices], best.values


SIZE: dict[str, Any] = {
    "horizon": 3,
    "action_block": 1,
    "num_samples": 64,
    "num_elites": 8,
    "num_iterations": 2,
}


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_cem_moves_to_the_mean_and_spread_of_its_elites(toy, alpha):
    many = {**SIZE, "num_samples": 3000, "num_elites": 300, "batch_size": 3000}
    seen = watch(
        toy, CEM(**many, sigma=0.15, alpha=alpha)
    )  # so narrow that the box cuts nothing off
    best, _ = elites(seen, 300)
    mean, std = (1 - alpha) * best.mean(0), (1 - alpha) * best.std(0, correction=0) + alpha * 0.15
    torch.testing.assert_close(seen.plans[1][0], mean)  # the mean is the first candidate
    torch.testing.assert_close(seen.plans[1][1:].std(0), std, rtol=0.08, atol=0)


def test_mppi_weighs_its_elites_by_the_softmax_of_their_costs(toy):
    seen = watch(toy, MPPI(**SIZE, temperature=0.7))
    best, costs = elites(seen, 8)
    weights = torch.exp(-costs / 0.7) / torch.exp(-costs / 0.7).sum()
    torch.testing.assert_close(seen.plans[1][0], (weights[:, None, None] * best).sum(0))


def test_mppi_at_a_high_temperature_is_cem_and_at_a_low_one_the_best(toy):
    best, _ = elites(watch(toy, MPPI(**SIZE, temperature=1e9)), 8)
    hot = watch(toy, MPPI(**SIZE, temperature=1e9)).plans[1][0]
    torch.testing.assert_close(hot, best.mean(0))
    cold = watch(toy, MPPI(**SIZE, temperature=1e-9)).plans[1][0]
    torch.testing.assert_close(cold, best[0])


def test_icem_shrinks_its_population_and_keeps_elites(toy):
    planner = ICEM(**{**SIZE, "num_iterations": 4}, num_kept_elites=3, population_decay=2.0)
    seen = watch(toy, planner)
    assert [len(plans) for plans in seen.plans] == [64, 32 + 3, 16 + 3, 16 + 3]  # 2 per elite
    for k in range(3):
        kept, _ = elites(seen, 3, k)
        torch.testing.assert_close(seen.plans[k + 1][-3:], kept)
        assert seen.costs[k + 1].min() <= seen.costs[k].min()


def test_icem_draws_movements_that_reach_farther_than_those_of_cem(toy):
    """Power goes to low frequencies, so that the sum of a plan's actions spreads more."""
    size = {
        "horizon": 16,
        "action_block": 1,
        "num_samples": 2000,
        "num_iterations": 1,
        "sigma": 0.2,
    }
    white, slow = (
        watch(toy, kind(**size, batch_size=2000)).plans[0].sum(1).std() for kind in (CEM, ICEM)
    )
    assert abs(white / (0.2 * math.sqrt(16)) - 1) < 0.05
    assert slow > 1.7 * white


def test_predictive_sampling_copies_the_cheapest_plan(toy):
    planner = PredictiveSampling(3, 1, num_samples=500, num_iterations=3, sigma=0.2, batch_size=500)
    seen = watch(toy, planner)
    for k in range(2):
        best, _ = elites(seen, 1, k)
        torch.testing.assert_close(seen.plans[k + 1][0], best[0])
    spread = (seen.plans[0][1:] - seen.plans[0][0]).std()
    assert abs(spread / 0.2 - 1) < 0.05


@pytest.mark.parametrize("kind", [CEM, ICEM, MPPI])
def test_goal_and_action_penalty_compose_to_the_closed_form(toy, kind):
    """Minimise |0.1 K a - g|^2 + w |a|^2 / 2 over the action a of K = 6 frames: a = 0.6 g / (0.36 + w / 2)."""
    world = toy.world()
    goal = GoalState(toy.goal, mean_weight=0.0, every=6)
    objective = WeightedSum([(1.0, goal), (0.5, ActionPenalty())])
    options = {"min_sigma": 0.002, "num_iterations": 30}
    if kind is MPPI:
        options["temperature"] = 0.1
    plan = kind(3, 2, **options).plan(world, toy.state(world), objective, toy.rng())
    optimum = 0.6 * toy.goal / (0.36 + 0.25)
    assert (plan.actions - optimum).abs().max() < 0.02
    cost = (0.6 * optimum - toy.goal).square().sum() + 0.25 * optimum.square().sum()
    assert plan.cost.item() == pytest.approx(cost.item(), abs=1e-4)


def test_best_of_n_takes_the_cheapest_proposal_and_nothing_else(toy):
    class Three:
        def propose(self, world, state, rng, num_samples, num_frames):
            values = torch.tensor([0.9, 0.2, -0.3])
            return values[:, None, None].expand(num_samples, num_frames, 2)

    world = toy.world()
    planner = BestOfN(Three(), horizon=4, num_samples=3)
    plan = planner.plan(world, toy.state(world), Watched(), toy.rng())
    assert (plan.actions == torch.tensor(-0.3)).all()  # from (0.25, -0.5): (0.55, 0.2) is nearest


def test_a_policy_of_single_actions_proposes_by_acting_in_imagination(toy):
    """It walks to the goal from wherever it imagines itself to be, a little astray."""

    def act(state, rng):
        here = state.latents[:, -1]
        return (5 * (toy.goal - here) + 0.3 * rng.normal(2)).clamp(-1, 1)

    world = toy.world(noise=0.01)
    planner = BestOfN(ImaginedPolicy(act), horizon=14, num_samples=16)
    state = toy.state(world, (0.0, 0.0), (0.6, 0.3))
    plan = planner.plan(world, state, GoalState(toy.goal), toy.rng(2))
    reached = world.rollout(state, {"action": plan.actions}).values["state"]
    assert (reached[:, -1] - toy.goal).norm(dim=1).max() < 0.25
    alone = planner.plan(world, state.rows(slice(1, 2)), GoalState(toy.goal), toy.rng(1, seed=1))
    assert torch.equal(alone.actions, plan.actions[1:])
