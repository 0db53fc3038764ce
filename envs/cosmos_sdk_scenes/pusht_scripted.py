"""Scripted data collection for Push-T: pushes of every kind, aimless motion, and pushes that finish the task.

What a world model needs is contact. Drawing a contact point on the block's outline first, and then going there, moves
the block in twice as many transitions as heading for a random place near it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk_scenes.pusht import ARENA, GOAL_POSE, PushTSimulator, block_centre, rotation

AGENT_RADIUS = 15.0  # px
DETOUR_RADIUS = 100.0  # px: going round the block at this distance from its centre never touches it
# Points of the T's outline and their inward normals, in the block's frame (bar 120 x 30 px, stem 30 x 90 px).
CONTACTS = np.array(
    [(x, 0, 0, 1) for x in (-50, -25, 0, 25, 50)]
    + [(-60, 15, 1, 0), (60, 15, -1, 0), (-40, 30, 0, -1), (40, 30, 0, -1), (0, 120, 0, -1)]
    + [(side * 15, y, -side, 0) for side in (-1, 1) for y in (55, 80, 105)],
    np.float64,
)
LOOKAHEAD = (
    (0.16, 11),
    (0.05, 9),
)  # speed, and one more than the steps tried, of a push that finishes
CORNERS = np.array([(-60, 0), (60, 0), (60, 30), (-60, 30), (-15, 120), (15, 120)], np.float64)


@dataclass(frozen=True)
class Push:
    """Go to `approach` (2,) px, then move along `direction` (2,), a unit vector, at `speed` for `num_steps` steps."""

    approach: NDArray[np.float64]
    direction: NDArray[np.float64]
    speed: float  # relative action: 1 is 50 px a step when steady
    num_steps: int


class PushTScripted:
    """Policy `pusht-scripted`. An episode is one of three kinds: aimless, random pushes, or pushes towards the goal."""

    def __init__(self, aimless: float = 0.15, finishing: float = 0.1) -> None:
        self.aimless = aimless
        self.finishing = finishing

    def reset(self, rng: Generator, simulator: PushTSimulator) -> None:
        """Draws the kind of this episode; one that finishes starts with the block near its goal."""
        self._rng = rng
        self._kind = rng.choice(
            3, p=[self.aimless, self.finishing, 1 - self.aimless - self.finishing]
        )
        self._noise = np.zeros(2)
        self._noise_scale = 0.01 if self._kind == 1 else rng.uniform(0.02, 0.12)
        self._push: Push | None = None
        if self._kind == 1:
            simulator.set_state(_start_near_goal(rng))
            self._lookahead = PushTSimulator()

    def act(self, simulator: PushTSimulator) -> NDArray[np.float32]:
        """The next relative action (2,) in [-1, 1]."""
        self._noise = 0.8 * self._noise + self._noise_scale * self._rng.normal(
            size=2
        )  # coloured: pushes drift
        intent = self._wander(simulator) if self._kind == 0 else self._work(simulator)
        return np.clip(intent + self._noise, -1, 1).astype(np.float32)

    def _wander(self, simulator: PushTSimulator) -> NDArray[np.float64]:
        agent = simulator.observe()[:2]
        if (
            self._push is None
            or np.linalg.norm(self._push.approach - agent) < 30
            or self._rng.random() < 0.05
        ):
            self._push = Push(
                self._rng.uniform(*ARENA, 2), np.zeros(2), self._rng.uniform(0.1, 1.0), 0
            )
        return _towards(self._push.approach - agent, self._push.speed)

    def _work(self, simulator: PushTSimulator) -> NDArray[np.float64]:
        observation = simulator.observe().astype(np.float64)
        finishing = self._kind == 1
        if self._push is None:
            self._push = self._plan(simulator) if finishing else self._draw_push(observation)
            self._patience, self._pushing = 22, 0
        if not self._pushing:
            self._patience -= 1
            near = 4 if finishing else 8  # px
            if np.linalg.norm(self._push.approach - observation[:2]) > near and self._patience > 0:
                return _go_round(observation, self._push.approach)
            if finishing:
                self._push = self._best([self._push], simulator.get_state(), teleport=False)
        self._pushing += 1
        push = self._push
        if self._pushing >= push.num_steps:
            self._push = None
        return push.speed * push.direction

    def _draw_push(self, observation: NDArray[np.float64]) -> Push:
        """A push that carries the block towards a random place of the arena, sooner than into a wall."""
        rng = self._rng
        wish = rng.uniform(80, 432, 2) - block_centre(observation)
        points, normals = _outline(observation)
        weight = np.exp(2 * normals @ (wish / np.linalg.norm(wish))) * _reachable(
            points - 24 * normals
        )
        weight = weight if weight.sum() else np.ones(len(CONTACTS))
        k = rng.choice(len(CONTACTS), p=weight / weight.sum())
        direction = rotation(rng.normal(0, 0.2)) @ normals[k]
        along = np.array([-normals[k][1], normals[k][0]])
        approach = points[k] - 24 * direction + rng.normal(0, 6) * along
        return Push(
            np.clip(approach, *ARENA), direction, rng.uniform(0.08, 0.5), int(rng.integers(10, 27))
        )

    def _plan(self, simulator: PushTSimulator) -> Push:
        """The push that brings the block nearest to its goal pose, found by trying every contact within reach."""
        observation = simulator.observe().astype(np.float64)
        points, normals = _outline(observation)
        approaches = points - (AGENT_RADIUS + 6) * normals
        pushes = [
            Push(a, n, 0.0, 1)
            for a, n in zip(approaches, normals, strict=True)
            if _reachable(a[None])[0]
        ]
        return self._best(
            pushes or [self._draw_push(observation)], simulator.get_state(), teleport=True
        )

    def _best(self, pushes: list[Push], state: NDArray[np.float64], teleport: bool) -> Push:
        """The best of these pushes at its best speed and length, from its approach or from where the agent is."""
        best, best_cost = pushes[0], np.inf
        worse = (
            _distance_to_goal(state[[0, 1, 4, 5, 6]]) + 8
        )  # px: a push that has led here will not come back
        for push, (speed, longest) in product(pushes, LOOKAHEAD):
            start = np.concatenate([push.approach, [0, 0], state[4:]]) if teleport else state
            self._lookahead.set_state(start)
            for num_steps in range(1, longest):
                self._lookahead.advance(speed * push.direction)
                cost = _distance_to_goal(self._lookahead.observe()) + 0.3 * num_steps
                if cost > worse:
                    break
                if cost < best_cost:
                    best, best_cost = replace(push, speed=speed, num_steps=num_steps), cost
        return best


class PushTScatter:
    """Policy `pusht-scatter`, for `steps=0`: every place and angle equally often, which pushing alone never gives.

    Pictures of distinct poses are what a readout learns from; frames of one episode are nearly the same picture.
    """

    def reset(self, rng: Generator, simulator: PushTSimulator) -> None:
        """Places the whole block inside the arena, and the agent where it does not touch it."""
        while True:
            state = np.zeros(10)
            state[:2], state[4:6], state[6] = (
                rng.uniform(*ARENA, 2),
                rng.uniform(0, 512, 2),
                rng.uniform(-np.pi, np.pi),
            )
            corners = state[4:6] + CORNERS @ rotation(state[6]).T
            inside = corners.min() > 6 and corners.max() < 506
            if (
                inside
                and _clearance(rotation(state[6]).T @ (state[:2] - state[4:6])) > AGENT_RADIUS
            ):
                simulator.set_state(state)
                return

    def act(self, simulator: PushTSimulator) -> NDArray[np.float32]:
        """Stands still."""
        return np.zeros(2, np.float32)


def _clearance(point: NDArray[np.float64]) -> float:
    """Distance (px) from a point in the block's frame to the T: the nearer of bar and stem."""
    x, y = abs(point[0]), point[1]
    bar = np.hypot(max(x - 60, 0), max(-y, y - 30, 0))
    stem = np.hypot(max(x - 15, 0), max(30 - y, y - 120, 0))
    return float(min(bar, stem))


def _start_near_goal(rng: Generator) -> NDArray[np.float64]:
    pose = np.array(GOAL_POSE)
    turn = rng.uniform(0, 2 * np.pi)
    pose[:2] += rng.uniform(3, 70) * np.array([np.cos(turn), np.sin(turn)])
    pose[2] += rng.uniform(-0.4, 0.4)
    centre = block_centre(np.concatenate([[0, 0], pose]))
    turn = rng.uniform(0, 2 * np.pi)
    agent = centre + rng.uniform(105, 150) * np.array([np.cos(turn), np.sin(turn)])
    return np.concatenate([np.clip(agent, *ARENA), [0, 0], pose, [0, 0, 0]])


def _outline(observation: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Contact points and inward normals of the block where it lies, each (16, 2)."""
    turn = rotation(observation[4])
    return observation[2:4] + CONTACTS[:, :2] @ turn.T, CONTACTS[:, 2:] @ turn.T


def _reachable(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.all((points > ARENA[0]) & (points < ARENA[1]), axis=1)


def _towards(delta: NDArray[Any], speed: float) -> NDArray[np.float64]:
    """An action along `delta` px: `speed`, slower on arrival."""
    distance = float(np.linalg.norm(delta)) + 1e-9
    return delta / distance * min(speed, distance / 60)


def _go_round(
    observation: NDArray[np.float64], approach: NDArray[np.float64]
) -> NDArray[np.float64]:
    """An action towards `approach` along a circle around the block, straight when it lies on this side."""
    centre = block_centre(observation)
    here, there = observation[:2] - centre, approach - centre
    angle = float(np.arctan2(here[0] * there[1] - here[1] * there[0], here @ there))
    if abs(angle) < 0.6:
        return _towards(approach - observation[:2], 0.9)
    ahead = rotation(np.sign(angle) * min(abs(angle), 0.6)) @ here / np.linalg.norm(here)
    return _towards(np.clip(centre + DETOUR_RADIUS * ahead, *ARENA) - observation[:2], 0.9)


def _distance_to_goal(observation: NDArray[Any]) -> float:
    """Pixels between poses: centres of mass, and the angle at the 60 px lever of the block."""
    observation = observation.astype(np.float64)
    centre = block_centre(np.array([0, 0, *GOAL_POSE]))
    turn = (observation[4] - GOAL_POSE[2] + np.pi) % (2 * np.pi) - np.pi
    return float(np.linalg.norm(block_centre(observation) - centre) + 60 * abs(turn))
