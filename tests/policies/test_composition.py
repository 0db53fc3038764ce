"""Objectives from plain data: what a command line says is what a program would build."""

from __future__ import annotations

import pytest
import torch

from cosmos_sdk.errors import ConfigError, UnknownNameError
from cosmos_sdk.protocols import Rollout
from cosmos_sdk.state import Control, Masked, WorldState
from cosmos_sdk_policies.composition import objective_of
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.objectives import ActionPenalty, WeightedSum
from cosmos_sdk_policies.reward_objective import RewardObjective

STATES = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(0))
EMPTY = torch.zeros(3, 1)
NOWHERE = WorldState(EMPTY, EMPTY, {}, EMPTY[:, 0].long(), EMPTY[:, 0].long())
ROLLOUT = Rollout(NOWHERE, {"state": STATES, "reward": STATES[..., 0]}, None)
CONTROL = Control({"action": Masked(STATES, torch.ones(3, 5, dtype=torch.bool))}, {})


def test_a_goal_is_a_list_of_numbers():
    told = objective_of("goal-state", {"goal": [0.2, 0.4], "scale": [0.1, float("inf")]})
    built = GoalState(torch.tensor([0.2, 0.4]), (0.1, float("inf")))
    assert torch.equal(told.cost(ROLLOUT, CONTROL), built.cost(ROLLOUT, CONTROL))


def test_a_sum_has_terms_with_weights():
    terms = [
        {"name": "goal-state", "goal": [0.2, 0.4]},
        {"name": "action-penalty", "weight": 0.1, "change": 1.0},
        {"name": "weighted-sum", "weight": 2, "terms": [{"name": "reward", "discount": 0.5}]},
    ]
    told = objective_of("weighted-sum", {"terms": terms})
    built = WeightedSum(
        [
            (1.0, GoalState(torch.tensor([0.2, 0.4]))),
            (0.1, ActionPenalty(change=1.0)),
            (2.0, RewardObjective(0.5)),
        ]
    )
    torch.testing.assert_close(told.cost(ROLLOUT, CONTROL), built.cost(ROLLOUT, CONTROL))


def test_every_problem_is_told_with_its_path():
    terms = [
        {"name": "goal-state", "gaol": [0.2, 0.4]},
        {"weight": 2.0},
        {"name": "reward", "discount": 0.5},
    ]
    with pytest.raises(ConfigError) as error:
        objective_of("weighted-sum", {"terms": terms})
    text = str(error.value)
    assert "objective_options.terms[0].gaol: unknown key. Did you mean 'goal'?" in text
    assert "objective_options.terms[0].goal: a value is required." in text
    assert "objective_options.terms[1]: expected a mapping with the `name`" in text
    with pytest.raises(ConfigError, match="expected `terms`, a list of mappings"):
        objective_of("weighted-sum", {"term": terms})
    with pytest.raises(ConfigError, match="objective_options: "):
        objective_of("goal-state", {"goal": ["far", "away"]})
    with pytest.raises(UnknownNameError, match="Did you mean 'reward'"):
        objective_of("rewrad", {})
