"""Whether planner, world, objective and scene suit one another: what the first plan would find out, said before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from gymnasium import spaces

from cosmos_sdk.data.scenes import open_scene
from cosmos_sdk.errors import ConfigError, SignalError, did_you_mean
from cosmos_sdk.protocols import Objective, Planner
from cosmos_sdk.world import WorldModel
from cosmos_sdk_policies.goal_state import GoalState
from cosmos_sdk_policies.matching import same_actions
from cosmos_sdk_policies.objectives import UncertaintyPenalty, WeightedSum
from cosmos_sdk_policies.reward_objective import RewardObjective


def check_plan(planner: Planner, world: WorldModel, objective: Objective | None = None) -> None:
    """Holds a planner to a world, and an objective where it is known.

    Raises:
        ConfigError: the world does not take the planned signal, or takes one that this planner does not search; it
            passes no gradients, and the planner needs them; it lacks what the objective reads, or reads another number
            of components than the goal has.
    """
    problems = _of_planner(planner, world)
    for term in _terms(objective):
        problems += _of_objective(term, world)
    if problems:
        raise ConfigError(problems)


def check_scene(world: WorldModel, env: str, signal: str = "action") -> None:
    """Holds a world to a scene that is driven by its actions.

    Raises:
        ConfigError: the scene takes other actions.
    """
    takes = open_scene(env).action_spec.space
    space = world.conditioners[signal].space if signal in world.conditioners else None
    if space is None or not same_actions(space, takes):
        given = ", ".join(f"{name}: {part.space}" for name, part in world.conditioners.items())
        problem = f"world: it takes {given or 'no action'}; {env} takes {takes}"
        raise ConfigError([f"{problem}. Take a world that learned from this environment."])


def samplers(space: spaces.Space[Any] | None) -> str:
    """The planners that search a space by sampling."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return "'categorical-cem' or 'random-shooting'"
    return "'cem', 'icem', 'mppi' or 'random-shooting'"


def _of_planner(planner: Any, world: WorldModel) -> list[str]:
    """Planners of strangers, which do not say what they search, are taken as they are."""
    signal = getattr(planner, "signal", None)
    if signal is None:
        return []
    if signal not in world.conditioners:
        known = ", ".join(world.conditioners) or "none"
        near = did_you_mean(signal, world.conditioners)
        return [f"planner.signal: the world takes no signal {signal!r}.{near} Signals: {known}."]
    space, name = world.conditioners[signal].space, type(planner).__name__
    problems: list[str] = []
    if (searches := getattr(planner, "searches", None)) is not None:
        try:
            searches(space, signal, torch.device("cpu"), torch.float32)
        except SignalError as error:
            problems.append(f"planner: {name} does not fit this world. {error}")
    if getattr(planner, "needs_gradients", False) and not world.backend.differentiable:
        kind = type(world.backend).__name__
        remedy = f"Plan with {samplers(space)}, which only sample."
        problems.append(f"planner: {name} needs gradients, and {kind} passes none. {remedy}")
    return problems


def _terms(objective: Any) -> Iterator[Any]:
    """An objective, or those that it is a sum of."""
    if isinstance(objective, WeightedSum):
        for _, term in objective.terms:
            yield from _terms(term)
    elif objective is not None:
        yield objective


def _of_objective(objective: Any, world: WorldModel) -> list[str]:
    if isinstance(objective, GoalState):
        return _of_goal(objective, world)
    head = ""
    if isinstance(objective, RewardObjective):
        head = objective.reward
    elif isinstance(objective, UncertaintyPenalty):
        head = objective.head
    if not head or head in world.heads:
        return []
    known = ", ".join(world.heads) or "none"
    near = did_you_mean(head, world.heads)
    return [f"objective: the world has no head {head!r} to read.{near} Heads: {known}."]


def _of_goal(objective: GoalState, world: WorldModel) -> list[str]:
    """Why a goal cannot be compared with what a readout says."""
    name = objective.readout
    if name not in world.readouts:
        known, near = ", ".join(world.readouts) or "none", did_you_mean(name, world.readouts)
        return [f"objective: the world has no readout {name!r}.{near} Readouts: {known}."]
    space = world.spec.targets.get(name) if world.spec else None
    if space is None or space.shape is None or objective.goal.shape[-1] == math.prod(space.shape):
        return []
    box = world.config.spec.targets.get(name) if world.config else None
    columns = f": {', '.join(box.names)}" if box is not None and box.names else ""
    got, size = objective.goal.shape[-1], math.prod(space.shape)
    return [f"objective: the goal has {got} numbers; the readout {name!r} has {size}{columns}."]
