"""The rows of a table of goals: planning in the world, planning in the true simulator, and not planning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.config import typed
from cosmos_sdk.errors import ConfigError, did_you_mean
from cosmos_sdk.protocols import Objective, Planner
from cosmos_sdk.reaching import Reaching
from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import simulator_world
from cosmos_sdk.state import WorldState
from cosmos_sdk.world import WorldModel
from cosmos_sdk_evaluation.episodes import check_counts
from cosmos_sdk_evaluation.goal_tasks import SETS, Acts, Scene, Task, open_scene
from cosmos_sdk_evaluation.modes import option_defaults

# What makes planners hurry: a price of each frame, in units of the distance, and a little of the mean distance. Without
# it a planner puts the goal off; with much of the mean it never leaves the goal to push once more from elsewhere.
FRAME_COST = {"goal-state": 0.02, "goal-image": 0.0006, "goal-latent": 0.0006}
MEAN_WEIGHT = 0.02
PROPOSAL = "proposal"  # the readout whose actions a planner refines, where the world has it
HOLD = 5  # steps for which the oracle executes a plan and a random action is held

# Chosen on tasks of seed 1; docs/log.md says what else was tried. What is slow to step gets less.
BLOCKS = {"num_samples": 300, "num_elites": 30, "num_iterations": 10, "sigma": 0.4}
FRAMES = {"num_samples": 160, "num_elites": 12, "num_iterations": 4, "sigma": 0.4}
ORACLE = {**FRAMES, "num_samples": 64, "num_elites": 8}

ROWS = ("world", "oracle", "random", "still")
GOALS = tuple(FRAME_COST)  # the first reads a state, the others none


@dataclass
class GoalsConfig:
    """Which tasks, how many, and how the planner is used; options are fields of the planner, over the defaults."""

    tasks: str = "field"  # of goal_tasks.SETS
    n: int = 50
    rows: tuple[str, ...] = ROWS
    # how the world sees the goal picture: through its readout of the state, or as a latent
    objective: str = "goal-state"
    objective_options: dict[str, Any] = field(default_factory=dict[str, Any])
    # Where a transition spans a block of actions mixture CEM or, in a world without proposals, CEM; else iCEM.
    planner: str | None = None
    planner_options: dict[str, Any] = field(default_factory=dict[str, Any])
    oracle: str = "icem"
    oracle_options: dict[str, Any] = field(default_factory=dict[str, Any])
    replan_every: int = 0  # steps; 0: 2 where a transition spans a block of actions, else 5
    seed: int = 0
    processes: int = (
        1  # tasks that are driven at the same time; decisions are timed honestly with one only
    )
    folder: str | None = None  # keeps finished attempts: the same command goes on, and larger n too

    def __post_init__(self) -> None:
        """Refuses counts below 1, and names that are none."""
        check_counts(self, "n", "processes")
        if self.replan_every < 0:
            raise ValueError(f"replan_every is {self.replan_every}; expected 1 or more, or 0")
        choices = {"tasks": tuple(SETS), "objective": GOALS, "rows": ROWS}
        given = [("tasks", self.tasks), ("objective", self.objective)]
        given += [("rows", row) for row in self.rows]
        wrong = [
            f"{key}: {name!r} is none of {', '.join(choices[key])}.{did_you_mean(name, choices[key])}"
            for key, name in given
            if name not in choices[key]
        ]
        if wrong:
            raise ConfigError(wrong)


@final
class Still:
    """Does nothing: the relative action of zero."""

    def act(self, observation: Any) -> NDArray[np.float32]:
        """The action (2,)."""
        return np.zeros(2, np.float32)


@final
class HeldNoise:
    """The row to beat: a uniform action, drawn anew every `hold` steps."""

    def __init__(self, hold: int, seed: list[int]) -> None:
        """Takes the steps for which an action is held, and the seed."""
        self._rng, self._hold, self._count = np.random.default_rng(seed), hold, 0

    def act(self, observation: Any) -> NDArray[np.float32]:
        """The action (2,)."""
        if self._count % self._hold == 0:
            self._action = self._rng.uniform(-1, 1, 2).astype(np.float32)
        self._count += 1
        return self._action


def policies(
    world: WorldModel, simulator: Scene, config: GoalsConfig, size: tuple[int, int]
) -> dict[str, Callable[[Task, int], Acts]]:
    """For each row, what makes the policy of one task from (task, its number)."""
    mpc = registry().load("policy", "mpc")
    planner, own = world_planner(world, config), oracle_planner(config)
    oracle = simulator_world(SETS[config.tasks].env, *size, judged=False)
    if "inner_frames" in option_defaults(world):  # goals look at the ends of blocks
        world = world.using(inner_frames=False)

    def learned(task: Task, number: int) -> Acts:
        objective = goal_of(world, config, task, simulator.reaching)
        guided = with_prior(planner, world, task)
        return mpc(guided, world, objective, replan_every(world, config), seed=number)

    def true(task: Task, number: int) -> Acts:
        def enter() -> WorldState:
            state = torch.from_numpy(simulator.get_state())
            return oracle.start(state[None, None], {}, torch.tensor([number]))

        goal = towards(task.goal[None], simulator.reaching)
        return mpc(own, oracle, goal, HOLD, seed=number, enter=enter)

    def random(task: Task, number: int) -> Acts:
        return HeldNoise(HOLD, [config.seed, number])

    def still(task: Task, number: int) -> Acts:
        return Still()

    return {"world": learned, "oracle": true, "random": random, "still": still}


def with_prior(planner: Any, world: WorldModel, task: Task) -> Planner:
    """The planner, told what recordings did on the way to the goal picture, where it listens and the world knows."""
    listens = "prior" in {item.name for item in fields(planner)}
    if not listens or PROPOSAL not in world.readouts:
        return planner
    towards = registry().load("prior", "goal").towards
    return replace(planner, prior=towards(world, task.picture[None]))


def goal_of(world: WorldModel, config: GoalsConfig, task: Task, rules: Reaching) -> Objective:
    """The cost of being far from a goal that the world sees as a picture only."""
    if config.objective == "goal-state":
        seen = world.reset(task.picture[None, None], {}, torch.tensor([config.seed]))
        goal = world.readouts["state"].read(seen)
        objective: Any = towards(goal, rules, world.backend.chunk)
    else:
        make = registry().load("objective", config.objective)
        late = FRAME_COST[config.objective] * world.backend.chunk
        objective = make.encode(world, task.picture[None], MEAN_WEIGHT, late)
    return replace(objective, **config.objective_options)


def towards(goal: Tensor, rules: Reaching, chunk: int = 1) -> Objective:
    """The cost of being far from goals (B, P), seen every `chunk` frames: a tolerance off costs 1."""
    scale = (*[rules.position_tolerance] * 4, rules.angle_tolerance)
    make = registry().load("objective", "goal-state")
    late = FRAME_COST["goal-state"] * chunk
    shape = {"angles": (4,), "free": (0, 1)}  # the agent moves at will
    return make(goal, scale, **shape, mean_weight=MEAN_WEIGHT, step_cost=late)


def replan_every(world: WorldModel, config: GoalsConfig) -> int:
    """Steps of a plan that are executed: the fewer, the less a wrong world harms."""
    return config.replan_every or (2 if world.backend.chunk > 1 else 5)


def check_world(world: WorldModel, config: GoalsConfig) -> None:
    """Says what a world lacks before anything is driven.

    Raises:
        ConfigError: it does not take Push-T's action, has no state to read, or its plans are too short.
    """
    scene = open_scene(config.tasks)
    problems: list[str] = []
    got = {name: conditioner.space for name, conditioner in world.conditioners.items()}
    if getattr(got.get("action"), "shape", None) != scene.action_spec.space.shape:
        problems.append(f"world: Push-T takes {scene.action_spec.space} as `action`; it has {got}")
    if config.objective == "goal-state" and "state" not in world.readouts:
        names = ", ".join(world.readouts) or "none"
        remedy = "Take objective=goal-latent, which reads no state."
        problems.append(
            f"objective=goal-state needs the readout `state`; it has: {names}. {remedy}"
        )
    known = [f.name for f in fields(registry().load("objective", config.objective))]
    known.remove("goal")
    problems += [
        f"objective_options.{key}: unknown key.{did_you_mean(key, known)} Known keys: {', '.join(known)}."
        for key in config.objective_options
        if key not in known
    ]
    planners = (
        ("", world_planner(world, config), replan_every(world, config)),
        ("oracle_", oracle_planner(config), HOLD),
    )
    problems += _unsuited(world, planners[0][1]) if "world" in config.rows else []
    for whose, planner, executed in planners:
        frames = getattr(planner, "horizon", 1) * getattr(planner, "action_block", 1)
        if frames < executed:
            problem = f"{executed} steps of a plan are executed, and plans have {frames} frames"
            problems.append(f"{problem}: raise {whose}planner_options.horizon")
    if problems:
        raise ConfigError(problems)


def _unsuited(world: WorldModel, planner: Planner) -> list[str]:
    """Why a planner cannot plan in a world."""
    try:
        registry().load("policy", "mpc").check(planner, world)
    except ConfigError as error:
        return error.problems
    return []


def world_planner(world: WorldModel, config: GoalsConfig) -> Planner:
    """The planner that a configuration asks for, or the usual one for a world of this kind."""
    blocks = world.backend.chunk > 1
    usual = "mixture-cem" if PROPOSAL in world.readouts else "cem"
    name = config.planner or (usual if blocks else "icem")
    return make_planner(name, BLOCKS if blocks else FRAMES, config.planner_options)


def oracle_planner(config: GoalsConfig) -> Planner:
    """The planner of the true simulator, with a budget of its own."""
    return make_planner(config.oracle, ORACLE, config.oracle_options)


def make_planner(name: str, defaults: dict[str, Any], options: dict[str, Any]) -> Any:
    """A registered planner; of the defaults it takes those that it knows, of the options all or none (ConfigError)."""
    make = registry().load("planner", name)
    known = {item.name for item in fields(make)}
    return typed(make, {**{k: v for k, v in defaults.items() if k in known}, **options})
