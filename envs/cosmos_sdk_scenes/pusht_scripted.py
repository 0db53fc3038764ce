"""Scripted data collection for Push-T: pushes of every kind, aimless motion, and pushes that finish the task.

What a world model needs is contact. Drawing a contact point on the block's outline first, and then going there, moves
the block in twice as many transitions as heading for a random place near it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk.errors import ConfigError
from cosmos_sdk_scenes.pusht import ARENA, GOAL_POSE, PushTSimulator, block_centre, rotation
from cosmos_sdk_scenes.pusht_look import Draw, Look, draw_look
from cosmos_sdk_scenes.pusht_varied import VariedPushT

VARIED = "CosmosSDK/VariedPushT-v0"
NUM_BODIES = len(PushTSimulator.state_names)  # numbers of a state that say where bodies are
DETOUR = 85.0  # px: the agent's disc goes round the centre of a block of size 1 at this distance, and never touches it
# Points of the outline of a T of size 1, and their inward normals, in its frame (bar 120 x 30 px, stem 30 x 90 px).
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


Scene = PushTSimulator | VariedPushT


@dataclass(frozen=True)
class LookConfig:
    """In which look `CosmosSDK/VariedPushT-v0` is recorded; without a word, in the one that its reset drew."""

    colours: Draw | None = None
    sizes: Draw | None = None

    def check(self, policy: str, env: str) -> None:
        """Raises ConfigError where a look is asked for in a scene that has one only."""
        asked = [name for name in ("colours", "sizes") if getattr(self, name) is not None]
        if asked and env != VARIED:
            problem = f"{' and '.join(asked)} of policy={policy}: {env} has one look"
            raise ConfigError([f"{problem}. Record env={VARIED}."])

    def dress(self, rng: Generator, scene: Scene) -> None:
        """Draws what is asked for, and leaves bodies where they are."""
        if self.colours is None and self.sizes is None:
            return
        drawn, old = (
            draw_look(rng, self.colours or "standard", self.sizes or "standard"),
            scene.look,
        )
        coloured = old if self.colours is None else drawn
        sized = old if self.sizes is None else drawn
        look = replace(coloured, agent_radius=sized.agent_radius, block_scale=sized.block_scale)
        scene.set_state(np.concatenate([scene.get_state()[:NUM_BODIES], look.vector()]))


@dataclass(frozen=True)
class ScriptedConfig(LookConfig):
    """What is pushed, and from where."""

    aimless: float = 0.15  # share of the episodes
    finishing: float = 0.1  # share of them that push the block into its goal
    # anywhere: block and agent lie as `pusht-scatter` puts them, which gym-pusht's reset does in the middle only
    starts: Literal["standard", "anywhere"] = "standard"

    def __post_init__(self) -> None:
        if min(self.aimless, self.finishing, 1 - self.aimless - self.finishing) < 0:
            got = f"aimless is {self.aimless} and finishing {self.finishing}"
            raise ValueError(f"{got}; expected shares of at least 0, and at most 1 together")


class PushTScripted:
    """Recorder `pusht-scripted`. An episode is aimless, or pushes at random, or pushes towards the goal."""

    def __init__(self, config: ScriptedConfig, env: str) -> None:
        """Raises ConfigError for a look that the scene does not have."""
        config.check("pusht-scripted", env)
        self.config = config
        self._kinds = [config.aimless, config.finishing, 1 - config.aimless - config.finishing]

    def reset(self, rng: Generator, simulator: Scene) -> None:
        """Draws look and kind of this episode; one that finishes starts with the block near its goal."""
        self._rng = rng
        self.config.dress(rng, simulator)
        self._look = simulator.look
        self._kind = rng.choice(3, p=self._kinds)
        self._noise = np.zeros(2)
        self._noise_scale = 0.01 if self._kind == 1 else rng.uniform(0.02, 0.12)
        self._push: Push | None = None
        if self._kind == 1:
            place(simulator, _start_near_goal(rng, self._look))
            self._lookahead = type(simulator)()
        elif self.config.starts == "anywhere":
            place(simulator, scattered(rng, self._look))

    def act(self, simulator: Scene) -> NDArray[np.float32]:
        """The next relative action (2,) in [-1, 1]."""
        self._noise = 0.8 * self._noise + self._noise_scale * self._rng.normal(
            size=2
        )  # coloured: pushes drift
        intent = self._wander(simulator) if self._kind == 0 else self._work(simulator)
        return np.clip(intent + self._noise, -1, 1).astype(np.float32)

    def _wander(self, simulator: Scene) -> NDArray[np.float64]:
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

    def _work(self, simulator: Scene) -> NDArray[np.float64]:
        observation = simulator.observe().astype(np.float64)
        finishing = self._kind == 1
        if self._push is None:
            self._push = self._plan(simulator) if finishing else self._draw_push(observation)
            self._patience, self._pushing = 22, 0
        if not self._pushing:
            self._patience -= 1
            near = 4 if finishing else 8  # px
            if np.linalg.norm(self._push.approach - observation[:2]) > near and self._patience > 0:
                return _go_round(observation, self._push.approach, self._look)
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
        away = self._look.agent_radius + 9
        wish = rng.uniform(80, 432, 2) - block_centre(observation, self._look.size)
        points, normals = outline(observation, self._look.size)
        weight = np.exp(2 * normals @ (wish / np.linalg.norm(wish))) * _reachable(
            points - away * normals
        )
        weight = weight if weight.sum() else np.ones(len(CONTACTS))
        k = rng.choice(len(CONTACTS), p=weight / weight.sum())
        direction = rotation(rng.normal(0, 0.2)) @ normals[k]
        along = np.array([-normals[k][1], normals[k][0]])
        approach = points[k] - away * direction + rng.normal(0, 6) * along
        return Push(
            np.clip(approach, *ARENA), direction, rng.uniform(0.08, 0.5), int(rng.integers(10, 27))
        )

    def _plan(self, simulator: Scene) -> Push:
        """The push that brings the block nearest to its goal pose, found by trying every contact within reach."""
        observation = simulator.observe().astype(np.float64)
        points, normals = outline(observation, self._look.size)
        approaches = points - (self._look.agent_radius + 6) * normals
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
        size = self._look.size
        # px: a push that has led here will not come back
        worse = _distance_to_goal(state[[0, 1, 4, 5, 6]], size) + 8
        for push, (speed, longest) in product(pushes, LOOKAHEAD):
            start = np.concatenate([push.approach, [0, 0], state[4:]]) if teleport else state
            self._lookahead.set_state(start)
            for num_steps in range(1, longest):
                self._lookahead.advance(speed * push.direction)
                cost = _distance_to_goal(self._lookahead.observe(), size) + 0.3 * num_steps
                if cost > worse:
                    break
                if cost < best_cost:
                    best, best_cost = replace(push, speed=speed, num_steps=num_steps), cost
        return best


class PushTScatter:
    """Recorder `pusht-scatter`, for `steps=0`: every place and angle equally often, which pushing alone never gives.

    Pictures of distinct poses are what a readout learns from; frames of one episode are nearly the same picture.
    """

    def __init__(self, config: LookConfig, env: str) -> None:
        """Raises ConfigError for a look that the scene does not have."""
        config.check("pusht-scatter", env)
        self.config = config

    def reset(self, rng: Generator, simulator: Scene) -> None:
        """Places the whole block inside the arena, and the agent where it does not touch it."""
        self.config.dress(rng, simulator)
        place(simulator, scattered(rng, simulator.look))

    def act(self, simulator: Scene) -> NDArray[np.float32]:
        """Stands still."""
        return np.zeros(2, np.float32)


def place(scene: Scene, bodies: NDArray[np.float64]) -> None:
    """Puts the bodies where `bodies` (10,) says, in the look that they have."""
    scene.set_state(np.concatenate([bodies, scene.get_state()[NUM_BODIES:]]))


def scattered(rng: Generator, look: Look) -> NDArray[np.float64]:
    """Bodies (10,) at rest: the whole block inside the arena, and the agent where it does not touch it."""
    while True:
        state = np.zeros(NUM_BODIES)
        state[:2], state[4:6], state[6] = (
            rng.uniform(*ARENA, 2),
            rng.uniform(0, 512, 2),
            rng.uniform(-np.pi, np.pi),
        )
        turn = rotation(state[6])
        corners = state[4:6] + look.size * CORNERS @ turn.T
        inside = corners.min() > 6 and corners.max() < 506
        if inside and _clearance(turn.T @ (state[:2] - state[4:6]), look.size) > look.agent_radius:
            return state


def _clearance(point: NDArray[np.float64], size: float) -> float:
    """Distance (px) from a point in the block's frame to the T: the nearer of bar and stem."""
    x, y = abs(point[0]), point[1]
    bar = np.hypot(max(x - 60 * size, 0), max(-y, y - 30 * size, 0))
    stem = np.hypot(max(x - 15 * size, 0), max(30 * size - y, y - 120 * size, 0))
    return float(min(bar, stem))


def _start_near_goal(rng: Generator, look: Look) -> NDArray[np.float64]:
    pose = np.array(GOAL_POSE)
    turn = rng.uniform(0, 2 * np.pi)
    pose[:2] += rng.uniform(3, 70) * np.array([np.cos(turn), np.sin(turn)])
    pose[2] += rng.uniform(-0.4, 0.4)
    centre = block_centre(np.concatenate([[0, 0], pose]), look.size)
    turn = rng.uniform(0, 2 * np.pi)
    nearest, farthest = (px * look.size + look.agent_radius for px in (90, 135))
    agent = centre + rng.uniform(nearest, farthest) * np.array([np.cos(turn), np.sin(turn)])
    return np.concatenate([np.clip(agent, *ARENA), [0, 0], pose, [0, 0, 0]])


def outline(
    observation: NDArray[np.float64], size: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Contact points and inward normals of the block where it lies, each (16, 2)."""
    turn = rotation(observation[4])
    return observation[2:4] + size * CONTACTS[:, :2] @ turn.T, CONTACTS[:, 2:] @ turn.T


def _reachable(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.all((points > ARENA[0]) & (points < ARENA[1]), axis=1)


def _towards(delta: NDArray[Any], speed: float) -> NDArray[np.float64]:
    """An action along `delta` px: `speed`, slower on arrival."""
    distance = float(np.linalg.norm(delta)) + 1e-9
    return delta / distance * min(speed, distance / 60)


def _go_round(
    observation: NDArray[np.float64], approach: NDArray[np.float64], look: Look
) -> NDArray[np.float64]:
    """An action towards `approach` along a circle around the block, straight when it lies on this side."""
    centre = block_centre(observation, look.size)
    here, there = observation[:2] - centre, approach - centre
    angle = float(np.arctan2(here[0] * there[1] - here[1] * there[0], here @ there))
    if abs(angle) < 0.6:
        return _towards(approach - observation[:2], 0.9)
    ahead = rotation(np.sign(angle) * min(abs(angle), 0.6)) @ here / np.linalg.norm(here)
    detour = DETOUR * look.size + look.agent_radius
    return _towards(np.clip(centre + detour * ahead, *ARENA) - observation[:2], 0.9)


def _distance_to_goal(observation: NDArray[Any], size: float) -> float:
    """Pixels between poses: centres of mass, and the angle at the 60 px lever of the block."""
    observation = observation.astype(np.float64)
    centre = block_centre(np.array([0, 0, *GOAL_POSE]), size)
    turn = (observation[4] - GOAL_POSE[2] + np.pi) % (2 * np.pi) - np.pi
    lever = 60 * size * abs(turn)
    return float(np.linalg.norm(block_centre(observation, size) - centre) + lever)
