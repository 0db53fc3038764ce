"""The goal tasks are the field's: 25 steps apart, at rest, and judged by position and angle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.ledger import Ledger
from cosmos_sdk.simulators import simulator_world
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation import pusht_goals as task
from cosmos_sdk_evaluation.goal_rows import (
    GoalsConfig,
    HeldNoise,
    make_planner,
    policies,
    world_planner,
)
from cosmos_sdk_evaluation.goal_tasks import (
    SETS,
    Attempt,
    Task,
    attempt,
    draw_tasks,
    open_scene,
    replay,
)
from cosmos_sdk_evaluation.pusht_goals import (
    drive,
    forewarning,
    outcomes,
    pusht_goals,
    summarise,
)
from toys.blocks import blocks_world

pytest.importorskip("gym_pusht", reason="the Push-T simulator is an extra: make pusht")
SIZE = (32, 32)
SMALL = {"num_samples": 8, "num_elites": 2, "num_iterations": 1}


@pytest.fixture(scope="module")
def moved() -> list[Task]:
    return draw_tasks("moved", 4, SIZE)


def oracle(tasks: str = "field") -> WorldModel:
    """The smallest world there is: the true simulator."""
    return simulator_world(SETS[tasks].env, *SIZE, judged=False)


def test_a_moved_task_moves_the_block_and_starts_at_rest(moved: list[Task]) -> None:
    simulator = open_scene("field")
    for one in moved:
        assert np.array_equal(one.start, simulator.reaching.at_rest(one.start))
        simulator.set_state(one.start)
        assert simulator.reaching.moves(simulator.observe(), one.goal.numpy())
        assert one.picture.shape == (1, 3, *SIZE)
        simulator.set_state(one.goal_state)
        assert np.array_equal(simulator.observe(), one.goal.numpy())


def test_tasks_are_a_function_of_the_seed_and_more_of_them_begin_the_same(
    moved: list[Task],
) -> None:
    again, other = draw_tasks("moved", 2, SIZE), draw_tasks("moved", 2, SIZE, seed=1)
    assert np.array_equal(again[1].start, moved[1].start)
    assert not np.array_equal(other[0].start, moved[0].start)


@pytest.mark.parametrize("tasks", ["random-policy", "colours", "sizes"])
def test_harder_sets_show_in_the_goal_what_the_start_looks_like(tasks: str) -> None:
    for one in draw_tasks(tasks, 2, SIZE):
        assert np.array_equal(one.start[10:], one.goal_state[10:])
        assert len(one.start) == (10 if tasks == "random-policy" else 21)


def test_an_attempt_that_starts_at_its_goal_needs_no_step(moved: list[Task]) -> None:
    simulator = open_scene("field")
    simulator.set_state(moved[0].start)
    there = torch.from_numpy(simulator.observe())
    easy = Task(moved[0].start, moved[0].start, there, moved[0].picture)
    done = attempt(simulator, easy, HeldNoise(5, [0]), SIZE)
    assert done.success
    assert not done.actions


def test_chance_spends_the_whole_budget_and_is_judged_by_its_best_step(moved: list[Task]) -> None:
    simulator = open_scene("field")
    done = [attempt(simulator, one, HeldNoise(5, [n]), SIZE) for n, one in enumerate(moved)]
    assert all(d.success or len(d.actions) == 50 for d in done)
    result = summarise("chance", done, 0)[0]
    assert result.unit == "%"
    assert result.n == 4


def test_an_attempt_is_replayed_from_plain_data(moved: list[Task]) -> None:
    simulator = open_scene("field")
    done = attempt(simulator, moved[0], HeldNoise(5, [0]), SIZE)
    end, last = simulator.get_state(), simulator.render_clean(*SIZE)
    read = Attempt(**json.loads(json.dumps(done.row())))
    frames = replay(simulator, moved[0], read, SIZE)
    assert np.array_equal(simulator.get_state(), end)
    assert np.array_equal(frames[-1], last)


def test_the_number_of_processes_changes_nothing(moved: list[Task]) -> None:
    world, tasks = oracle(), dict(enumerate(moved[:3]))
    alone = dict(drive(world, GoalsConfig(), "random", tasks))
    shared = dict(drive(world, GoalsConfig(processes=2), "random", tasks))
    assert alone == shared
    scene = open_scene("field")
    attempts = [shared[n] for n in range(3)]
    picture = outcomes(scene, moved[:3], attempts, SIZE)
    assert picture.shape == (3 * (2 * 32 + 24), 7 * (2 * 32 + 8), 3)


def test_attempts_of_few_steps_are_shown_beside_long_ones(moved: list[Task]) -> None:
    done = [Attempt(True, 0.0, [], []), Attempt(False, 0.0, [], [[0.0, 0.0]] * 50)]
    picture = outcomes(open_scene("field"), moved[:2], done, SIZE)
    assert picture.shape == (2 * (2 * 32 + 24), 7 * (2 * 32 + 8), 3)
    assert (picture[: 2 * 32 + 24, 2 * (2 * 32 + 8) :] == 255).all()


@pytest.mark.parametrize("tasks", ["field", "sizes"])
def test_planning_in_the_simulator_reaches_an_easy_goal(tasks: str) -> None:
    """The oracle's row: a goal that needs the agent to move only."""
    simulator = open_scene(tasks)
    start = simulator.get_state()
    start[:10] = (100, 100, 0, 0, 400, 400, 0.5, 0, 0, 0)
    simulator.set_state(start)
    goal = simulator.observe()
    goal[:2] = (190, 130)
    one = Task(start, start, torch.from_numpy(goal), torch.zeros(1, 3, *SIZE, dtype=torch.uint8))
    options = {"num_samples": 24, "num_elites": 4, "num_iterations": 3, "horizon": 2}
    config = GoalsConfig(tasks=tasks, oracle_options=options)
    drives = policies(oracle(tasks), simulator, config, SIZE)["oracle"]
    assert attempt(simulator, one, drives(one, 0), SIZE).success


READOUTS = {
    "state": {"name": "state", "latents": False, "features": True},
    "proposal": {"name": "proposal", "hidden": 8},
}


def thoughtful_world() -> Any:
    """One that also proposes actions."""
    return blocks_world(readouts=READOUTS, targets=("proposal",))


@pytest.mark.parametrize("objective", ["goal-state", "goal-latent", "goal-image"])
def test_a_world_of_blocks_is_planned_in_and_measured(objective: str) -> None:
    world = blocks_world()
    config = GoalsConfig(
        n=1,
        rows=("world", "still"),
        objective=objective,
        objective_options={"mean_weight": 0.0},
        planner_options=SMALL,
    )
    measured = pusht_goals(world, config)
    success, seconds, still = measured.results
    assert success.name == "pusht-goals field, world: success"
    assert seconds.n <= 25  # one decision for two of fifty steps
    assert still.n == 1
    assert len(measured.pictures) == 2


def test_a_world_of_blocks_gets_more_samples_than_one_of_single_frames() -> None:
    blocks, frames = (
        world_planner(blocks_world(), GoalsConfig()),
        world_planner(oracle(), GoalsConfig()),
    )
    assert type(blocks).__name__ == "CEM"
    given: dict[str, Any] = asdict(blocks)  # pyright: ignore[reportArgumentType]
    assert (given["num_samples"], given["horizon"], given["num_iterations"]) == (300, 5, 10)
    assert type(frames).__name__ == "ICEM"


def test_a_world_that_proposes_is_asked_on_the_way_to_each_goal() -> None:
    world, simulator = thoughtful_world(), open_scene("field")
    config = GoalsConfig(n=1, planner_options=SMALL)
    assert type(world_planner(world, config)).__name__ == "MixtureCEM"
    (task,) = draw_tasks("field", 1, SIZE, 0)
    policy: Any = policies(world, simulator, config, SIZE)["world"](task, 0)
    seen = world.reset(task.picture[None, None], {}, torch.tensor([0]))
    proposal: Any = world.readouts["proposal"]
    torch.testing.assert_close(policy.planner.prior.goal, proposal.goal(seen))


def test_an_interrupted_evaluation_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = oracle()
    config = GoalsConfig(n=3, rows=("random", "still"), folder=str(tmp_path))
    whole = pusht_goals(world, GoalsConfig(n=3, rows=("random", "still")))
    begun: list[tuple[str, int]] = []
    once = task.Driver.__call__

    def failing(driver: Any, item: tuple[int, Task]) -> Attempt:
        begun.append((driver.row, item[0]))
        if len(begun) == 3:
            raise KeyboardInterrupt
        return once(driver, item)

    monkeypatch.setattr(task.Driver, "__call__", failing)
    with pytest.raises(KeyboardInterrupt):
        pusht_goals(world, config)
    again = pusht_goals(world, config)
    assert again.results == whole.results
    assert begun == [("random", k) for k in (0, 1, 2, 2)] + [("still", k) for k in (0, 1, 2)]
    with pytest.raises(ConfigError, match="seed was 0 and is 1"):
        pusht_goals(world, GoalsConfig(n=3, seed=1, folder=str(tmp_path)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tasks": "colors"}, "Did you mean 'colours'"),
        ({"rows": ("world", "oracl")}, "Did you mean 'oracle'"),
        ({"objective": "goal-picture"}, "goal-state, goal-image, goal-latent"),
        ({"n": 0}, "n is 0"),
    ],
)
def test_a_mistake_of_names_is_told_with_the_choices(given: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=words):
        GoalsConfig(**given)


def test_what_a_world_lacks_is_told_before_anything_is_driven() -> None:
    with pytest.raises(ConfigError, match=r"readout `state`.*objective=goal-latent"):
        pusht_goals(blocks_world(readouts={}), GoalsConfig())
    with pytest.raises(ConfigError, match="Did you mean 'mean_weight'"):
        pusht_goals(blocks_world(), GoalsConfig(objective_options={"mean_wait": 0.1}))
    with pytest.raises(ConfigError, match=r"10 frames: raise planner_options\.horizon"):
        pusht_goals(blocks_world(), GoalsConfig(replan_every=12, planner_options={"horizon": 2}))


@pytest.mark.parametrize("name", ["random-shooting", "cem", "icem", "mppi", "gradient"])
def test_every_planner_takes_the_defaults_that_it_knows(name: str) -> None:
    planner = make_planner(name, {"num_samples": 40, "num_elites": 6}, {"horizon": 2})
    assert planner.num_samples == 40
    assert planner.horizon == 2


def test_an_option_that_the_planner_does_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'num_samples'"):
        make_planner("cem", {}, {"num_sampels": 3})


def test_who_waits_for_the_oracle_is_told_beforehand() -> None:
    config, ledger = GoalsConfig(n=40, rows=("world", "oracle")), Ledger(None, {}, ("row", "task"))
    assert "about 10 min for its 40 tasks" in forewarning(config, ledger)
    assert "rows=[world] leaves it out" in forewarning(config, ledger)
    for number in range(38):
        ledger.add(("oracle", number), {})
    assert forewarning(config, ledger) == ""
    assert forewarning(GoalsConfig(rows=("world",)), Ledger(None, {}, ("row", "task"))) == ""
