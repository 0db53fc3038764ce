"""A disc pushes a disc into a goal: a scene in numpy for tests and for the first five minutes, restorable bit for bit.

The arena is the unit square (m), y down. The agent is a point mass on a PD controller, as in Push-T; the block has no
inertia: it gives way to the agent, and the agent gives way to a block against a wall.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec

AGENT_RADIUS, BLOCK_RADIUS, GOAL_RADIUS = 0.05, 0.09, 0.12  # m
TOUCH = AGENT_RADIUS + BLOCK_RADIUS
REACH = 0.2  # m: a relative action of 1 puts the target this far from the agent
GOAL = np.array([0.5, 0.5])
CLOSE = 0.03  # m: nearer than this to the goal ends the episode
STIFFNESS, DAMPING, DT, SUBSTEPS = 100.0, 20.0, 0.01, 10  # 1/s^2, 1/s, s
WHITE, GREEN, GREY, BLUE = (255, 255, 255), (144, 238, 144), (119, 136, 153), (65, 105, 225)


class DiscPusher:
    """Simulator `CosmosSDK/DiscPusher-v0` with the relative action: target = agent + 0.2 a, a in [-1, 1]^2.

    State (6,) float64: agent x, y and their velocities, block x, y.
    """

    rate = 10.0
    action_spec = ActionSpec(
        names=("target_x", "target_y"),
        low=(-1.0, -1.0),
        high=(1.0, 1.0),
        units=("0.2 m", "0.2 m"),
        frame="agent",
        relative=True,
        rate=10.0,
    )
    state_names = ("agent_x", "agent_y", "agent_vx", "agent_vy", "block_x", "block_y")
    observation_names = ("agent_x", "agent_y", "block_x", "block_y")
    observation_units = ("m", "m", "m", "m")
    observation_low = np.zeros(4, np.float32)
    observation_high = np.ones(4, np.float32)

    def __init__(self) -> None:
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Places both discs at random, apart from one another and the block outside its goal."""
        rng = np.random.default_rng(seed)
        while True:
            agent, block = rng.uniform(0.1, 0.9, 2), rng.uniform(0.2, 0.8, 2)
            if np.linalg.norm(agent - block) > TOUCH and np.linalg.norm(block - GOAL) > 2 * CLOSE:
                self._state = np.concatenate([agent, [0, 0], block])
                return

    def get_state(self) -> NDArray[np.float64]:
        return self._state.copy()

    def set_state(self, state: NDArray[Any]) -> None:
        self._state = np.array(state, np.float64)

    def observe(self) -> NDArray[np.float32]:
        return self._state[[0, 1, 4, 5]].astype(np.float32)

    def step(self, action: NDArray[Any]) -> tuple[float, bool, dict[str, Any]]:
        """One tenth of a second: reward in [0, 1] by closeness, terminated at the goal, info with the raw `action`."""
        target = self._state[:2] + REACH * np.clip(np.asarray(action, np.float64), -1, 1)
        return self.step_to(np.clip(target, AGENT_RADIUS, 1 - AGENT_RADIUS).astype(np.float32))

    def step_to(self, target: NDArray[np.float32]) -> tuple[float, bool, dict[str, Any]]:
        """The same for the environment's own action, an absolute target (2,) m."""
        agent, velocity, block = self._state[:2], self._state[2:4], self._state[4:]
        for _ in range(SUBSTEPS):
            velocity = velocity + DT * (STIFFNESS * (target - agent) - DAMPING * velocity)
            agent, block = _separate(agent + DT * velocity, block)
        self._state = np.concatenate([agent, velocity, block])
        distance = float(np.linalg.norm(block - GOAL))
        success = distance < CLOSE
        return float(np.exp(-distance / 0.2)), success, {"is_success": success, "action": target}

    def render_clean(self, height: int, width: int) -> NDArray[np.uint8]:
        """Picture (h, w, 3) with antialiased edges: a pixel is covered as far as its centre is inside."""
        y, x = np.mgrid[:height, :width]
        x, y = (x + 0.5) / width, (y + 0.5) / height
        picture = np.full((height, width, 3), WHITE, np.float64)
        discs = (
            (GOAL, GOAL_RADIUS, GREEN),
            (self._state[4:], BLOCK_RADIUS, GREY),
            (self._state[:2], AGENT_RADIUS, BLUE),
        )
        for centre, radius, colour in discs:
            inside = (radius - np.hypot(x - centre[0], y - centre[1])) * min(height, width) + 0.5
            cover = np.clip(inside, 0, 1)[..., None]
            picture += cover * (np.array(colour) - picture)
        return np.round(picture).astype(np.uint8)


class DiscPusherEnv(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """`CosmosSDK/DiscPusher-v0`: observation (4,) positions in m, action (2,) the absolute target in m."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(self, render_mode: str | None = None, size: int = 96) -> None:
        self.render_mode = render_mode
        self.size = size
        self.observation_space = spaces.Box(DiscPusher.observation_low, DiscPusher.observation_high)
        self.action_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.simulator = DiscPusher()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.simulator.reset(int(self.np_random.integers(2**31)))
        return self.simulator.observe(), {"is_success": False}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        target = np.clip(action, AGENT_RADIUS, 1 - AGENT_RADIUS).astype(np.float32)
        reward, terminated, info = self.simulator.step_to(target)
        return self.simulator.observe(), reward, terminated, False, info

    def render(self) -> NDArray[np.uint8] | None:
        return (
            self.simulator.render_clean(self.size, self.size)
            if self.render_mode == "rgb_array"
            else None
        )


def _separate(
    agent: NDArray[np.float64], block: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pushes overlapping discs apart: the block first, and the agent where a wall holds the block."""
    agent = np.clip(agent, AGENT_RADIUS, 1 - AGENT_RADIUS)
    gap = block - agent
    distance = float(np.linalg.norm(gap))
    if distance >= TOUCH:
        return agent, block
    normal = gap / distance if distance > 0 else np.array([1.0, 0.0])
    block = np.clip(agent + TOUCH * normal, BLOCK_RADIUS, 1 - BLOCK_RADIUS)
    gap = block - agent
    distance = float(np.linalg.norm(gap))
    if distance < TOUCH and distance > 0:
        agent = np.clip(block - TOUCH * gap / distance, AGENT_RADIUS, 1 - AGENT_RADIUS)
    return agent, block
