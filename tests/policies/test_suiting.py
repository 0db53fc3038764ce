"""What cannot be planned is refused before anything is driven."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.simulators import simulator_world
from cosmos_sdk.testing.small_worlds import point_world
from cosmos_sdk_policies.categorical_cem import CategoricalCEM
from cosmos_sdk_policies.cem import CEM
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.gradient import Gradient
from cosmos_sdk_policies.mpc import MPCPolicy
from cosmos_sdk_policies.objectives import UncertaintyPenalty, WeightedSum
from cosmos_sdk_policies.random_shooting import RandomShooting
from cosmos_sdk_policies.reward_objective import RewardObjective

KEYS = point_world(differentiable=False, keys=True)
BOX = point_world(differentiable=False)


@pytest.mark.parametrize(
    ("planner", "world", "words"),
    [
        (CategoricalCEM(), BOX, "CategoricalCEM does not fit this world.*'cem', 'icem' or 'mppi'"),
        (CEM(), KEYS, "CEM does not fit this world.*'categorical-cem' or 'random-shooting'"),
        (Gradient(), BOX, "Gradient needs gradients, and Points passes none. Plan with 'cem'"),
        (Gradient(), KEYS, "Plan with 'categorical-cem' or 'random-shooting', which only sample"),
        (CEM(signal="actoin"), BOX, "no signal 'actoin'. Did you mean 'action'"),
    ],
)
def test_a_planner_that_cannot_search_a_world_is_refused(
    planner: Any, world: Any, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        MPCPolicy.check(planner, world)
    MPCPolicy.check(RandomShooting(), world)
    MPCPolicy.check(object(), world)  # pyright: ignore[reportArgumentType] # a stranger's


def test_a_goal_of_another_length_is_told_the_columns_of_the_readout() -> None:
    world = simulator_world("CosmosSDK/DiscPusher-v0", judged=False)
    short = GoalState(torch.zeros(3))
    columns = "goal has 3 numbers; the readout 'state' has 4: agent_x, agent_y, block_x, block_y"
    with pytest.raises(ConfigError, match=columns):
        MPCPolicy(CEM(), world, short)
    elsewhere = replace(short, readout="stat")
    terms = [(1.0, short), (1.0, WeightedSum([(1.0, elsewhere), (1.0, UncertaintyPenalty())]))]
    with pytest.raises(ConfigError) as caught:
        MPCPolicy.check(CEM(), world, WeightedSum([*terms, (1.0, RewardObjective())]))
    problems = caught.value.problems
    assert len(problems) == 4
    assert "Did you mean 'state'" in problems[1]
    assert "no head 'uncertainty'" in problems[2]
    assert "no head 'reward'" in problems[3]
    MPCPolicy.check(CEM(), world, GoalState(torch.zeros(2, 4)))
