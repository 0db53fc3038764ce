"""Goals on Push-T: the sets of tasks, and how one is driven.

The protocol of the field (Zhou et al. 2024, arXiv:2411.04983), whose numbers the simulator tells (`Reaching`): start
and goal lie 25 steps apart on a trajectory, and 50 steps are given. A task starts at rest: no hidden velocities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosmos_sdk.errors import ConfigError
from cosmos_sdk.reaching import Reaching
from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import Simulator
from cosmos_sdk_evaluation.episodes import held_out


@dataclass(frozen=True)
class TaskSet:
    """Where trajectories come from: a simulator, a recorder and its options; and which stretches of them are taken."""

    env: str = "gym_pusht/PushT-v0"
    recorder: str = "pusht-scripted"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    moved: bool = False  # only those in which the block moves


VARIED = "CosmosSDK/VariedPushT-v0"
SETS = {
    "field": TaskSet(),
    "moved": TaskSet(moved=True),
    "random-policy": TaskSet(recorder="random"),
    "colours": TaskSet(VARIED, options={"colours": "shifted", "sizes": "standard"}),
    "sizes": TaskSet(VARIED, options={"colours": "standard", "sizes": "shifted"}),
}


@dataclass(frozen=True, eq=False)
class Task:
    """A start at rest and a goal; `picture` shows the goal, (1, 3, h, w)."""

    start: NDArray[np.float64]  # exact state of the simulator
    goal_state: NDArray[np.float64]
    goal: Tensor  # (P,) observation
    picture: Tensor


@dataclass(frozen=True)
class Attempt:
    """How one task went. The simulator makes the same frames again of start and actions."""

    success: bool
    position_error: float  # px, the least over the attempt's steps
    seconds: list[float]  # per decision
    actions: list[list[float]]  # (steps, 2)

    def row(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class Scene(Simulator, Protocol):
    """A simulator that says when a goal is reached."""

    @property
    def reaching(self) -> Reaching: ...


class Acts(Protocol):
    """A policy that sees pictures (h, w, 3)."""

    def act(self, observation: Any) -> NDArray[np.float32]: ...


def open_scene(tasks: str) -> Scene:
    """A simulator of its own, of the tasks of a set."""
    return registry().load("simulator", SETS[tasks].env)()


def draw_tasks(tasks: str, n: int, size: tuple[int, int], seed: int = 0) -> list[Task]:
    """The first `n` tasks of a set, at most one from each held-out trajectory.

    Raises:
        ConfigError: too few of the trajectories hold a task of the set.
    """
    chosen, found = SETS[tasks], list[Task]()
    scene = open_scene(tasks)
    rules = scene.reaching
    rng = np.random.default_rng([seed, rules.distance])
    count = 20 * n + 50
    for episode in held_out(
        chosen.env, chosen.recorder, count, rules.budget, (0, 0), seed, chosen.options
    ):
        if len(episode) < rules.distance:
            continue
        first = int(rng.integers(len(episode) - rules.distance + 1))
        last = first + rules.distance
        ends = episode.observations[[first, last]].numpy()
        if rules.inside(ends) and (not chosen.moved or rules.moves(*ends)):
            start, goal = rules.at_rest(episode.states[first]), episode.states[last]
            scene.set_state(goal)
            picture = torch.from_numpy(scene.render_clean(*size)).permute(2, 0, 1)[None]
            found.append(Task(start, goal, episode.observations[last], picture.contiguous()))
        if len(found) == n:
            return found
    raise ConfigError([f"n is {n}, and {count} trajectories hold {len(found)} {tasks} tasks"])


def attempt(simulator: Scene, task: Task, policy: Acts, size: tuple[int, int]) -> Attempt:
    """Drives the true simulator until the goal is reached or the budget is spent."""
    simulator.set_state(task.start)
    goal, rules = task.goal.numpy(), simulator.reaching
    actions: list[list[float]] = []
    success, least = rules.reached(simulator.observe(), goal)
    while not success and len(actions) < rules.budget:
        action = np.asarray(policy.act(simulator.render_clean(*size)), np.float32)
        simulator.step(action)
        actions.append(action.tolist())
        success, error = rules.reached(simulator.observe(), goal)
        least = min(least, error)
    return Attempt(success, least, list(getattr(policy, "seconds", [])), actions)


def replay(
    simulator: Simulator, task: Task, done: Attempt, size: tuple[int, int]
) -> list[NDArray[np.uint8]]:
    """The frames (h, w, 3) of an attempt, the start included."""
    simulator.set_state(task.start)
    frames = [simulator.render_clean(*size)]
    for action in done.actions:
        simulator.step(np.array(action, np.float32))
        frames.append(simulator.render_clean(*size))
    return frames
