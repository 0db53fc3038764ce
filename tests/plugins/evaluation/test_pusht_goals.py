"""The goal tasks are the field's: 25 steps apart, at rest, and judged by position and angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.registry import registry
from cosmos_sdk_evaluation.pusht_goals import (
    ENV,
    Attempt,
    GoalsConfig,
    HeldNoise,
    Task,
    attempt,
    draw_tasks,
    drive,
    make_planner,
    oracle_world,
    outcomes,
    policies,
    reached,
    summarise,
)

pytest.importorskip("gym_pusht", reason="the Push-T simulator is an extra: make pusht")
SIZE = (64, 64)


@pytest.fixture(scope="module")
def moved() -> list[Task]:
    return draw_tasks(GoalsConfig(tasks="moved", n=4), SIZE)


def test_a_moved_task_moves_the_block_and_starts_at_rest(moved: list[Task]) -> None:
    simulator = registry().load("simulator", ENV)()
    for task in moved:
        assert not task.start[[2, 3, 7, 8, 9]].any()
        simulator.set_state(task.start)
        start, goal = simulator.observe(), task.goal.numpy()
        turn = abs((goal[4] - start[4] + math.pi) % (2 * math.pi) - math.pi)
        assert np.linalg.norm(goal[2:4] - start[2:4]) >= 20 or turn >= math.radians(20)
        assert task.picture.shape == (1, 3, *SIZE)


def test_tasks_are_a_function_of_the_seed(moved: list[Task]) -> None:
    again = draw_tasks(GoalsConfig(tasks="moved", n=2), SIZE)
    other = draw_tasks(GoalsConfig(tasks="moved", n=2, seed=1), SIZE)
    assert np.array_equal(again[1].start, moved[1].start)
    assert not np.array_equal(other[0].start, moved[0].start)


@pytest.mark.parametrize(
    ("difference", "success"),
    [
        ([0, 0, 0, 0, 0], True),
        ([9, 9, 9, 9, 0], True),
        ([11, 11, 11, 11, 0], False),
        ([0, 0, 0, 0, 0.34], True),
        ([0, 0, 0, 0, 0.36], False),
        ([0, 0, 0, 0, 2 * math.pi - 0.1], True),
    ],
)
def test_success_needs_position_and_angle_the_short_way_round(
    difference: list[float], success: bool
) -> None:
    goal = np.array([100, 100, 200, 200, 1.0], np.float32)
    assert reached(goal + np.array(difference, np.float32), goal)[0] is success


def test_an_attempt_that_starts_at_its_goal_needs_no_step(moved: list[Task]) -> None:
    simulator = registry().load("simulator", ENV)()
    simulator.set_state(moved[0].start)
    there = Task(
        moved[0].start, moved[0].start, torch.from_numpy(simulator.observe()), moved[0].picture
    )
    done = attempt(simulator, there, HeldNoise(5, [0]), SIZE)
    assert done.success
    assert len(done.frames) == 1


def test_chance_spends_the_whole_budget_and_is_judged_by_its_best_step(moved: list[Task]) -> None:
    simulator = registry().load("simulator", ENV)()
    done = [attempt(simulator, task, HeldNoise(5, [n]), SIZE) for n, task in enumerate(moved)]
    assert all(d.success or len(d.frames) == 51 for d in done)
    result = summarise("chance", done, GoalsConfig())[0]
    assert result.unit == "%"
    assert result.n == 4


def test_the_number_of_processes_changes_nothing(moved: list[Task]) -> None:
    world, tasks = oracle_world(SIZE), moved[:3]
    alone = list(drive(world, GoalsConfig(), "random", tasks))
    shared = list(drive(world, GoalsConfig(processes=2), "random", tasks))
    assert [d.position_error for d in alone] == [d.position_error for d in shared]
    assert np.array_equal(alone[2].frames[-1], shared[2].frames[-1])
    picture = outcomes(tasks, shared)
    assert picture.shape == (3 * (2 * 64 + 24), 7 * (2 * 64 + 8), 3)


def test_attempts_of_few_steps_are_shown_beside_long_ones(moved: list[Task]) -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    done = [Attempt(True, 0.0, [], [frame]), Attempt(False, 0.0, [], [frame] * 51)]
    picture = outcomes(moved[:2], done)
    assert picture.shape == (2 * (2 * 64 + 24), 7 * (2 * 64 + 8), 3)
    assert (picture[: 2 * 64 + 24, 2 * (2 * 64 + 8) :] == 255).all()


def test_planning_in_the_simulator_reaches_an_easy_goal() -> None:
    """The oracle's row: a goal that needs the agent to move only."""
    simulator = registry().load("simulator", ENV)()
    start = np.array([100, 100, 0, 0, 400, 400, 0.5, 0, 0, 0], np.float64)
    simulator.set_state(start)
    goal = simulator.observe()
    goal[:2] = (190, 130)
    task = Task(start, start, torch.from_numpy(goal), torch.zeros(1, 3, *SIZE, dtype=torch.uint8))
    config = GoalsConfig(
        oracle_options={"num_samples": 24, "num_elites": 4, "num_iterations": 3, "horizon": 2}
    )
    oracle = policies(oracle_world(SIZE), simulator, config, SIZE)["oracle"]
    assert attempt(simulator, task, oracle(task, 0), SIZE).success


@pytest.mark.parametrize("name", ["random-shooting", "cem", "icem", "mppi", "gradient"])
def test_every_planner_takes_the_defaults_that_it_knows(name: str) -> None:
    planner = make_planner(name, {"num_samples": 40, "num_elites": 6}, {"horizon": 2})
    assert planner.num_samples == 40
    assert planner.horizon == 2


def test_an_option_that_the_planner_does_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'num_samples'"):
        make_planner("cem", {}, {"num_sampels": 3})
