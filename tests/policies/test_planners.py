"""Every planner: known optima, bounds, batches, endings, deadlines, warm starts."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_sdk.errors import (
    ConfigError,
    CosmosError,
    PluginError,
    ShapeError,
    SignalError,
    UnknownNameError,
)
from cosmos_sdk.registry import registry
from cosmos_sdk.rng import Rng
from cosmos_sdk.state import Control, Masked
from cosmos_sdk.testing import check_planner
from cosmos_sdk_policies.best_of_n import BestOfN
from cosmos_sdk_policies.categorical_cem import CategoricalCEM
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.gradient import Gradient
from cosmos_sdk_policies.icem import ICEM, coloured
from cosmos_sdk_policies.mixture_cem import MixtureCEM
from cosmos_sdk_policies.mppi import MPPI
from cosmos_sdk_policies.predictive_sampling import PredictiveSampling
from cosmos_sdk_policies.random_shooting import RandomShooting
from cosmos_sdk_policies.reward_objective import RewardObjective
from cosmos_sdk_policies.search import Search

SIZE: dict[str, Any] = {"horizon": 3, "action_block": 2, "num_samples": 40, "num_iterations": 6}


class UniformPolicy:
    """A prior: uniform actions, each held for two frames."""

    def propose(self, world, state, rng, num_samples, num_frames):
        actions = 2 * rng.uniform(num_samples, -(-num_frames // 2), 2)[0] - 1
        low, high = (
            torch.as_tensor(bound).flatten()[:2]
            for bound in (
                world.conditioners["action"].space.low,
                world.conditioners["action"].space.high,
            )
        )
        actions = low + (high - low) * (actions + 1) / 2
        shape = world.conditioners["action"].space.shape
        held = actions.repeat_interleave(2, 1)[:, :num_frames]
        return held.repeat(1, 1, int(np.prod(shape)) // 2).view(*held.shape[:2], *shape)


PLANNERS = {
    "random-shooting": RandomShooting(**SIZE),
    "cem": CEM(**SIZE, num_elites=5),
    "icem": ICEM(**SIZE, num_elites=5),
    "mppi": MPPI(**SIZE, num_elites=5, temperature=0.05),
    "predictive-sampling": PredictiveSampling(**SIZE),
    "mixture-cem": MixtureCEM(**SIZE, num_elites=6),
    "mixture-cem with a prior": MixtureCEM(**SIZE, num_elites=6, prior=UniformPolicy()),
    "best-of-n": BestOfN(UniformPolicy(), **SIZE),
    "gradient": Gradient(**{**SIZE, "num_samples": 4}),
}
IDLE = Control({}, {})  # what an objective that reads no action needs
every_planner = pytest.mark.parametrize("planner", PLANNERS.values(), ids=PLANNERS.keys())


class Quadratic:
    """Sum of squared differences of the actions of each frame from (0.25, -0.5): one optimum, known."""

    def cost(self, rollout, control):
        optimum = torch.tensor([0.25, -0.5])
        return (control.signals["action"].values - optimum).square().sum((1, 2))


def test_every_registered_planner_is_tested_here():
    kinds = {name.split()[0] for name in PLANNERS}
    assert set(registry().names("planner")) == {*kinds, "categorical-cem"}
    assert registry().load("planner", "categorical-cem") is CategoricalCEM  # in test_choices.py
    for name, planner in PLANNERS.items():
        assert registry().load("planner", name.split()[0]) is type(planner)


@every_planner
def test_a_planner_satisfies_the_contract(planner):
    check_planner(replace(planner, horizon=2, num_samples=12, num_iterations=2))


@pytest.mark.parametrize(
    ("planner", "tolerance"),
    [
        (CEM(3, 2, num_iterations=20), 0.02),
        (ICEM(3, 2, num_iterations=20), 0.02),
        (MPPI(3, 2, num_iterations=20, min_sigma=0.01), 0.02),
        (MixtureCEM(3, 2, num_iterations=20), 0.02),
        (Gradient(3, 2, num_iterations=200), 0.005),
        (PredictiveSampling(3, 2, num_iterations=40, sigma=0.1), 0.06),
        (RandomShooting(3, 2, num_iterations=20), 0.6),
    ],
    ids=[
        "cem",
        "icem",
        "mppi",
        "mixture-cem",
        "gradient",
        "predictive-sampling",
        "random-shooting",
    ],
)
def test_a_planner_finds_the_optimum_of_a_quadratic(toy, planner, tolerance):
    world = toy.world()
    plan = planner.plan(world, toy.state(world), Quadratic(), toy.rng())
    assert plan.actions.shape == (1, 6, 2)
    assert (plan.actions - torch.tensor([0.25, -0.5])).abs().max() < tolerance


@every_planner
def test_a_planner_reaches_a_goal_through_the_world(toy, planner):
    world = toy.world()
    state = toy.state(world)
    plan = planner.plan(world, state, GoalState(toy.goal), toy.rng())
    reached = world.rollout(state, {"action": plan.actions}).values["state"]
    assert (reached - toy.goal).norm(dim=-1).min() < 0.15


@every_planner
def test_the_plan_of_a_batch_is_the_plan_of_each_row(toy, planner):
    world = toy.world(noise=0.05)
    state = toy.state(world, (0.0, 0.0), (0.5, 0.1), (-0.2, -0.9))
    goals = GoalState(torch.tensor([[0.3, 0.1], [0.0, 0.0], [-0.4, -0.4]]))
    together = planner.plan(world, state, goals, toy.rng(3))
    for row in range(3):
        slot = slice(row, row + 1)
        alone = planner.plan(world, state.rows(slot), goals.rows(slot), toy.rng(1, seed=row))
        torch.testing.assert_close(alone.actions, together.actions[slot], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone.trace, together.trace[slot], rtol=0, atol=1e-6)


class Pull:
    """The cheapest action is infinitely far in one direction."""

    def __init__(self, direction):
        self.direction = direction

    def cost(self, rollout, control):
        return -self.direction * control.signals["action"].values.sum((1, 2))


@every_planner
@settings(max_examples=10, deadline=None)
@given(
    low=st.floats(-100, 99, width=32),
    span=st.floats(0, 1000, width=32),
    direction=st.sampled_from([-1e3, 1e3]),
)
def test_actions_stay_inside_the_bounds(toy, planner, low, span, direction):
    low = np.array([low, -1], np.float32)
    space = spaces.Box(low, low + np.array([span, 0.3], np.float32), dtype=np.float32)
    world = toy.world(space)
    plan = planner.plan(world, toy.state(world), Pull(direction), toy.rng())
    for action in plan.actions[0].numpy():
        assert space.contains(action)


@pytest.mark.parametrize("kind", [CEM, ICEM, MPPI])
def test_one_elite_stays_finite(toy, kind):
    world = toy.world()
    planner = kind(3, 2, num_samples=10, num_elites=1, num_iterations=30)
    plan = planner.plan(world, toy.state(world), GoalState(toy.goal), toy.rng())
    assert plan.actions.isfinite().all()
    assert plan.cost.isfinite().all()
    only = kind(1, 1, num_samples=1, num_elites=1).plan(
        world, toy.state(world), GoalState(toy.goal), toy.rng()
    )
    assert only.actions.isfinite().all()


@every_planner
def test_the_trace_never_rises_and_ends_at_the_cost_of_the_plan(toy, planner):
    world = toy.world()
    plan = planner.plan(world, toy.state(world), GoalState(toy.goal), toy.rng())
    assert plan.trace.shape == (1, planner.num_iterations)
    assert (plan.trace.diff(dim=1) <= 0).all()
    assert plan.seconds > 0
    rollout = world.rollout(toy.state(world), {"action": plan.actions})
    torch.testing.assert_close(plan.cost, GoalState(toy.goal).cost(rollout, IDLE))
    torch.testing.assert_close(plan.cost, plan.trace[:, -1])


@every_planner
def test_nothing_is_hoped_for_after_the_predicted_end(toy, planner):
    """Going right ends the episode at x > 0.2, before a treasure; going left pays a little at once."""

    def reward(position):
        return torch.where(position[:, 0] > 0.4, 100.0, -position[:, 0])

    def ends(position):
        return (position[:, 0] > 0.2).to(position)

    long = replace(planner, horizon=8)
    greedy = toy.world(reward=reward)
    fooled = long.plan(greedy, toy.state(greedy, (0.1, 0.0)), RewardObjective(), toy.rng())
    honest = toy.world(reward=reward, terminated=ends)
    plan = long.plan(honest, toy.state(honest, (0.1, 0.0)), RewardObjective(), toy.rng())
    reached = honest.rollout(toy.state(honest, (0.1, 0.0)), {"action": plan.actions}).values[
        "state"
    ]
    if planner is not PLANNERS["gradient"]:  # the treasure has no slope
        assert fooled.cost < -100
    assert -2.5 * 16 < plan.cost < 0
    assert reached[0, -1, 0] < 0.1


@every_planner
def test_a_candidate_without_a_finite_cost_never_wins(toy, planner):
    """Half of the plane is broken and would be the best place."""
    world = toy.world(broken=lambda position: position[:, 0] > 0.05)
    plan = planner.plan(world, toy.state(world), GoalState(torch.tensor([0.5, 0.0])), toy.rng())
    assert plan.cost < 1
    assert (
        world.rollout(toy.state(world), {"action": plan.actions}).values["state"].isfinite().all()
    )


@every_planner
def test_a_world_in_which_no_candidate_has_a_finite_cost_is_named(toy, planner):
    world = toy.world(broken=lambda position: position[:, 0] > 5)
    state = toy.state(world, (0.0, 0.0), (9.0, 0.0), (0.1, 0.0))
    with pytest.raises(CosmosError, match=r"No candidate has a finite cost in row \[1\] of 3.*NaN"):
        planner.plan(world, state, GoalState(toy.goal), toy.rng(3))


@every_planner
def test_a_deadline_ends_the_search_with_the_best_so_far(toy, planner, monkeypatch):
    """By a clock on which every iteration takes 10 ms."""
    clock = count(step=0.01)
    monkeypatch.setattr("cosmos_sdk_policies.search.perf_counter", lambda: next(clock))
    world = toy.world()
    patient = replace(planner, num_iterations=100_000)
    plan = patient.plan(world, toy.state(world), GoalState(toy.goal), toy.rng(), deadline=0.1)
    assert 0.08 <= plan.seconds <= 0.12
    assert plan.trace.shape == (1, 5)
    hurried = planner.plan(world, toy.state(world), GoalState(toy.goal), toy.rng(), deadline=0.0)
    assert hurried.trace.shape == (1, 1)


@every_planner
def test_a_warm_start_is_never_worse_than_the_plan_it_starts_from(toy, planner):
    world = toy.world()
    objective = GoalState(toy.goal)
    state = toy.state(world)
    good = CEM(3, 2).plan(world, state, objective, toy.rng())
    hurried = replace(planner, num_iterations=1)
    cold = hurried.plan(world, state, objective, toy.rng(seed=5))
    warm = hurried.plan(world, state, objective, toy.rng(seed=5), previous=good)
    assert warm.cost <= good.cost + 1e-6
    assert warm.cost < cold.cost


def test_a_row_of_nan_in_the_last_plan_starts_cold(toy):
    world = toy.world()
    state = toy.state(world, (0.0, 0.0), (0.0, 0.0))
    previous = PLANNERS["cem"].plan(world, state, GoalState(toy.goal), toy.rng(2))
    cleared = replace(
        previous, actions=previous.actions.index_fill(0, torch.tensor([1]), torch.nan)
    )
    search = Search(
        PLANNERS["cem"], world, state, GoalState(toy.goal), toy.rng(2), previous=cleared
    )
    torch.testing.assert_close(search.actions(search.guess)[0], previous.actions[0])
    assert (search.guess[1] == 0).all()
    assert search.warm.tolist() == [True, False]


@every_planner
def test_planning_noise_is_not_the_noise_of_the_environment(toy, planner):
    world = toy.world(noise=0.2)
    state = toy.state(world)
    plan = planner.plan(world, state, GoalState(toy.goal), toy.rng())
    real = world.rollout(state, {"action": plan.actions})
    assert (GoalState(toy.goal).cost(real, IDLE) - plan.cost).abs() > 1e-4


@every_planner
def test_a_plan_may_be_differentiated(toy, planner):
    """Whatever mode it was found in."""
    world = toy.world()
    plan = planner.plan(world, toy.state(world), GoalState(toy.goal), toy.rng())
    weight = torch.ones((), requires_grad=True)
    for values in (plan.actions, plan.cost, plan.trace):
        (weight * values).sum().backward()
        assert weight.grad is not None


@every_planner
def test_planning_leaves_the_state_and_the_global_generator_alone(toy, planner):
    world = toy.world(noise=0.1)
    state = toy.state(world)
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    generator = torch.get_rng_state()
    first = planner.plan(world, state, GoalState(toy.goal), toy.rng())
    again = planner.plan(world, state, GoalState(toy.goal), toy.rng())
    assert torch.equal(first.actions, again.actions)
    assert torch.equal(torch.get_rng_state(), generator)
    for name, tensor in state.tensors().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("chunk", [1, 4, 12])
@every_planner
def test_plans_fit_the_chunks_of_any_backend(toy, planner, chunk):
    world = toy.world(chunk=chunk)
    plan = planner.plan(world, toy.state(world), GoalState(toy.goal), toy.rng())
    assert plan.actions.shape[1] == {1: 6, 4: 8, 12: 12}[chunk]
    assert torch.equal(plan.actions[:, 4], plan.actions[:, 5])


@every_planner
def test_an_action_of_several_controls_is_planned_as_a_whole(toy, planner):
    world = toy.world(spaces.Box(-1, 1, (5, 2), np.float32))
    plan = planner.plan(world, toy.state(world), GoalState(toy.goal), toy.rng())
    assert plan.actions.shape == (1, 6, 5, 2)


@every_planner
def test_micro_batches_do_not_change_the_plan(toy, planner):
    world = toy.world(noise=0.1)
    whole = planner.plan(world, toy.state(world), GoalState(toy.goal), toy.rng())
    parts = replace(planner, batch_size=7).plan(
        world, toy.state(world), GoalState(toy.goal), toy.rng()
    )
    torch.testing.assert_close(whole.actions, parts.actions)


@every_planner
def test_given_signals_are_part_of_the_imagined_future(toy, planner):
    """One world has wind to the right, the other none: only the first plan must lean against it."""
    world = toy.world(wind=True)
    state = toy.state(world, (0.0, 0.0), (0.0, 0.0))
    values = torch.zeros(2, 9, 2)  # longer than the plan: the rest is not used
    values[:, :, 0] = 0.8
    wind = Masked(values, torch.tensor([[True], [False]]).expand(2, 9))
    stay = GoalState(torch.zeros(2), mean_weight=1.0)
    plan = planner.plan(world, state, stay, toy.rng(2), given={"wind": wind})
    windy, calm = plan.actions[:, :, 0].mean(1)
    assert windy < calm - 0.3
    with pytest.raises(ShapeError, match="'wind' is 4 frames; expected at least 6"):
        planner.plan(world, state, stay, toy.rng(2), given={"wind": values[:, :4]})


def test_candidates_differ_by_their_actions_alone(toy):
    """Common random numbers: the same plan twice costs the same, in a noisy world too."""
    world = toy.world(noise=0.5)
    search = Search(CEM(3, 2), world, toy.state(world), GoalState(toy.goal), toy.rng())
    costs = search.costs(torch.zeros(1, 4, 3, 2))
    assert torch.equal(costs, costs[:, :1].expand(-1, 4))


def test_a_gradient_leaves_the_world_alone_and_needs_a_differentiable_one(toy):
    world = toy.world(differentiable=False)
    with pytest.raises(PluginError, match=r"Point.*differentiable.*'cem'"):
        Gradient().plan(world, toy.state(world), GoalState(toy.goal), toy.rng())
    with torch.no_grad():  # as environments step
        plan = Gradient(3, 2).plan(
            toy.world(), toy.state(toy.world()), GoalState(toy.goal), toy.rng()
        )
    assert not plan.actions.requires_grad
    assert not plan.cost.requires_grad


def test_what_cannot_be_planned_is_said(toy):
    world, goal = toy.world(), GoalState(toy.goal)
    state = toy.state(world)
    with pytest.raises(UnknownNameError, match=r"'acton'.*Did you mean 'action'"):
        CEM(signal="acton").plan(world, state, goal, toy.rng())
    with pytest.raises(SignalError, match="the one to plan"):
        CEM().plan(world, state, goal, toy.rng(), given={"action": torch.zeros(1, 25, 2)})
    with pytest.raises(ShapeError, match="2 rows"):
        CEM().plan(world, state, goal, toy.rng(2))
    previous = replace(CEM().plan(world, state, goal, toy.rng()), actions=torch.zeros(1, 4, 3))
    with pytest.raises(ShapeError, match=r"previous\.actions"):
        CEM().plan(world, state, goal, toy.rng(), previous=previous)
    unbounded = toy.world(spaces.Box(-np.inf, np.inf, (2,), np.float32))
    with pytest.raises(SignalError, match="finite bounds"):
        CEM().plan(unbounded, toy.state(world), goal, toy.rng())
    keys = toy.world(spaces.Discrete(4))
    with pytest.raises(SignalError, match="Box of real numbers"):
        CEM().plan(keys, toy.state(world), goal, toy.rng())


def test_all_wrong_settings_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        CEM(horizon=0, num_samples=5, num_elites=9)
    assert error.value.problems == [
        "CEM: horizon is 0; expected at least 1",
        "CEM: num_elites is 9; expected at most num_samples = 5",
    ]


def test_what_the_objective_wants_and_the_world_lacks_is_said(toy):
    world = toy.world()
    state = toy.state(world)
    with pytest.raises(ShapeError, match=r"goal is \(3,\); expected \(P,\) or \(B, P\) with P = 2"):
        CEM().plan(world, state, GoalState(torch.zeros(3)), toy.rng())
    with pytest.raises(UnknownNameError, match=r"value of this world 'rewards'.*'reward'"):
        CEM().plan(world, state, RewardObjective(reward="rewards"), toy.rng())


def test_an_objective_gives_a_number_for_each_future(toy):
    class Whole:
        def cost(self, rollout, control):
            return rollout.values["state"].square().sum()

    with pytest.raises(ShapeError, match=r"the cost of Whole is \(\); expected \(300,\)"):
        CEM().plan(toy.world(), toy.state(toy.world()), Whole(), toy.rng())


def test_coloured_noise_has_unit_variance_and_the_spectrum_asked_for():
    rng = Rng(torch.arange(4000), torch.zeros(4000, dtype=torch.int64))
    white = rng.normal(1, 16, 1)
    for beta in (0.0, 1.0, 2.0):
        noise = coloured(white, beta)
        assert abs(noise.std() - 1) < 0.02
        power = torch.fft.rfft(noise, dim=-2).abs().square().mean((0, 1, 3))
        assert abs(power[1] / power[4] / 4**beta - 1) < 0.1
    torch.testing.assert_close(coloured(white, 0.0), white, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(coloured(white[:, :, :1], 2.0), white[:, :, :1])
