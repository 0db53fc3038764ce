"""When a goal is reached."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cosmos_sdk.reaching import Reaching, turn
from cosmos_sdk.registry import registry

TASK = Reaching(25, 50, 20.0, np.pi / 9, 20.0, 0.35, (40.0, 472.0), (2, 3))
GOAL = np.array([100, 100, 300, 300, 0.1])


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ((0, 0, 0, 0, 0), True),
        ((0, 14, 0, 14, 0.3), True),
        ((0, 15, 0, 15, 0), False),
        ((0, 0, 0, 0, 0.36), False),
        ((0, 0, 0, 0, -0.3 + 2 * np.pi), True),
    ],
)
def test_a_goal_is_reached_within_both_tolerances(offset, expected):
    reached, error = TASK.reached(GOAL + np.array(offset), GOAL)
    assert reached is expected
    assert error == pytest.approx(np.linalg.norm(offset[:4]))


def test_the_block_moves_by_its_place_or_its_angle_and_not_by_the_agent():
    assert not TASK.moves(GOAL, GOAL + np.array([99, 99, 13, 13, 0.3]))
    assert TASK.moves(GOAL, GOAL + np.array([0, 0, 15, 15, 0]))
    assert TASK.moves(GOAL, GOAL - np.array([0, 0, 0, 0, 0.4]))


def test_the_turn_is_the_short_way_round():
    assert turn(GOAL, GOAL + np.array([0, 0, 0, 0, 6.2])) == pytest.approx(6.2 - 2 * np.pi)


def test_walls_and_velocities():
    assert TASK.inside([GOAL, GOAL])
    assert not TASK.inside([GOAL, GOAL - np.array([61, 0, 0, 0, 0])])
    np.testing.assert_array_equal(TASK.at_rest(np.arange(5.0)), [0, 1, 0, 0, 4])


def test_push_t_has_the_numbers_of_the_field():
    pytest.importorskip("gym_pusht", reason="Push-T is an optional package: make pusht")
    scene: Any = registry().load("simulator", "gym_pusht/PushT-v0")()
    task = scene.reaching
    assert (task.distance, task.budget, task.position_tolerance) == (25, 50, 20)
    assert task.angle_tolerance == pytest.approx(np.pi / 9)
    hidden = [scene.state_names[k] for k in task.velocities]
    assert hidden == ["agent_vx", "agent_vy", "block_vx", "block_vy", "block_spin"]
