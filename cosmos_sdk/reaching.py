"""Tasks of reaching: when one observation of a pushed body is as good as another, and which pairs make a task.

The protocol of the field (Zhou et al. 2024, arXiv:2411.04983): start and goal lie some steps apart on a trajectory, a
policy has twice as many, and success is a small difference of positions and of the angle, at any step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

ANGLE = (
    4  # where an observation (5,) of x, y of the agent, then x, y and angle of the block, holds it
)


@final
@dataclass(frozen=True)
class Reaching:
    """The numbers of such tasks; positions in the simulator's unit, angles in radians."""

    distance: int  # steps between start and goal
    budget: int  # steps of an attempt
    position_tolerance: float  # norm over agent and block
    angle_tolerance: float
    moved_position: float  # of the block: from here on, or from `moved_angle`, it moves
    moved_angle: float
    arena: tuple[float, float]  # positions beyond make no task
    velocities: tuple[
        int, ...
    ]  # where a state of the simulator holds them: hidden from observations

    def reached(self, observation: ArrayLike, goal: ArrayLike) -> tuple[bool, float]:
        """Whether an observation (5,) is at a goal (5,), and the position error."""
        error = float(np.linalg.norm(np.asarray(observation)[:ANGLE] - np.asarray(goal)[:ANGLE]))
        near = error < self.position_tolerance
        return near and abs(turn(observation, goal)) < self.angle_tolerance, error

    def moves(self, start: ArrayLike, goal: ArrayLike) -> bool:
        """Whether the block is elsewhere at the goal (5,) than at the start (5,)."""
        way = float(np.linalg.norm(np.asarray(goal)[2:ANGLE] - np.asarray(start)[2:ANGLE]))
        return way >= self.moved_position or abs(turn(start, goal)) >= self.moved_angle

    def inside(self, observations: ArrayLike) -> bool:
        """Whether all positions of observations (n, 5) lie in the arena."""
        positions, (low, high) = np.asarray(observations)[:, :ANGLE], self.arena
        return bool(((positions > low) & (positions < high)).all())

    def at_rest(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """A state of the simulator without its velocities: what an observation tells of it."""
        still = state.copy()
        still[list(self.velocities)] = 0
        return still


def turn(start: ArrayLike, goal: ArrayLike) -> float:
    """The block's angle from one observation (5,) to another, the short way round, in [-pi, pi)."""
    difference: Any = np.asarray(goal)[ANGLE] - np.asarray(start)[ANGLE]
    return float((difference + np.pi) % (2 * np.pi) - np.pi)
