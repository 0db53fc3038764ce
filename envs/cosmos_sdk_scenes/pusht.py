"""Push-T, the true simulator (gym-pusht; Chi et al. 2023, arXiv:2303.04137), restorable bit for bit.

A disc (the agent, a PD-controlled point of 15 px radius) pushes a T-shaped block in a 512 x 512 px arena with y down.
Coverage of the green goal is the reward. The engine keeps two things that no getter shows: cached contact impulses and
the position-correction velocity. So a step here ends by rebuilding the space from the state vector: the next state is
a function of (state, action) by construction, and any recorded moment replays exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.errors import MissingPackageError
from cosmos_sdk.reaching import Reaching
from cosmos_sdk_scenes.pusht_look import GOAL_COLOUR, STANDARD, Look

if TYPE_CHECKING:
    from gym_pusht.envs.pusht import PushTEnv

REACH = 100.0  # px: a relative action of 1 puts the target this far from the agent
ARENA = (15.0, 497.0)  # px: targets keep the agent's disc inside the walls
GOAL_POSE = (256.0, 256.0, np.pi / 4)  # px, px, rad
BLOCK_CENTRE = (0.0, 45.0)  # px, centre of mass in the block's frame


def rotation(angle: float) -> NDArray[np.float64]:
    """Matrix (2, 2) from the block's frame to the arena's."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def block_centre(observation: NDArray[Any], size: float = 1.0) -> NDArray[np.float64]:
    """Centre of mass (2,) px of a block `size` times as large as the standard one, from an observation (5,)."""
    return observation[2:4] + rotation(float(observation[4])) @ (size * np.array(BLOCK_CENTRE))


def raw_action(action: NDArray[Any], agent: NDArray[Any]) -> NDArray[np.float32]:
    """The environment's absolute target (2,) px of a relative action in [-1, 1]^2, for an agent at `agent` (2,) px."""
    target = np.asarray(agent, np.float64) + REACH * np.clip(np.asarray(action, np.float64), -1, 1)
    return np.clip(target, *ARENA).astype(np.float32)


class PushTSimulator:
    """Simulator `gym_pusht/PushT-v0` with the relative action: target = agent + 100 a, a in [-1, 1]^2.

    State (10,) float64: agent x, y and velocities, block x, y, angle (unwrapped) and velocities; px, rad, s.
    """

    rate = 10.0
    action_spec = ActionSpec(
        names=("target_x", "target_y"),
        low=(-1.0, -1.0),
        high=(1.0, 1.0),
        units=("100 px", "100 px"),
        frame="agent",
        relative=True,
        rate=10.0,
    )
    state_names = (
        "agent_x",
        "agent_y",
        "agent_vx",
        "agent_vy",
        "block_x",
        "block_y",
        "block_angle",
        "block_vx",
        "block_vy",
        "block_spin",
    )
    observation_names = ("agent_x", "agent_y", "block_x", "block_y", "block_angle")
    observation_units = ("px", "px", "px", "px", "rad")
    # The block can leave the arena when it is squeezed against a wall (seen: -55..630).
    observation_low = np.array([0, 0, -128, -128, 0], np.float32)
    observation_high = np.array([512, 512, 640, 640, 2 * np.pi], np.float32)
    reaching = Reaching(
        distance=25,
        budget=50,
        position_tolerance=20.0,
        angle_tolerance=np.pi / 9,
        moved_position=20.0,
        moved_angle=float(np.deg2rad(20)),
        arena=(40.0, 472.0),  # nearer to a wall the block may be squeezed out of it
        velocities=(2, 3, 7, 8, 9),
    )

    def __init__(self) -> None:
        self.look = STANDARD  # another one is worn from the next `set_state` on
        self._env, self._draw_options = _make_env()
        self.reset(0)

    def reset(self, seed: int) -> None:
        self._dress(self.look)  # gym-pusht's own reset makes its bodies as the last space had them
        self._env.reset(seed=seed)
        self.set_state(self._read())

    def get_state(self) -> NDArray[np.float64]:
        return self._state.copy()

    def set_state(self, state: NDArray[Any]) -> None:
        """Puts every body where `state` (10,) says, in a space that has no past."""
        self._state = np.array(state, np.float64)
        self._stale = True

    def _build(self) -> None:
        """Makes the space of the state, unless it stands: half of a step's time, so only whoever looks does."""
        if not self._stale:
            return
        ax, ay, avx, avy, bx, by, angle, bvx, bvy, spin = self._state.tolist()
        self._dress(self.look)
        agent, block = self._env.agent, self._env.block
        agent.position, agent.velocity = (ax, ay), (avx, avy)
        # before the position: turning moves the origin around the centre of mass
        block.angle = angle
        block.position, block.velocity, block.angular_velocity = (bx, by), (bvx, bvy), spin
        # drawing reads the outlines, which otherwise move with the next step only
        for body in (agent, block):
            self._env.space.reindex_shapes_for_body(body)
        self._stale = False

    def observe(self) -> NDArray[np.float32]:
        observation = self._state[[0, 1, 4, 5, 6]].astype(np.float32)
        observation[4] = self._state[6] % (2 * np.pi)
        return observation

    def step(self, action: NDArray[Any]) -> tuple[float, bool, dict[str, Any]]:
        """One tenth of a second: coverage reward in [0, 1], terminated (coverage > 95 %), info with raw `action`."""
        target = self.advance(action)
        self._build()
        coverage = float(self._env._get_coverage())
        success = coverage > self._env.success_threshold
        reward = min(coverage / self._env.success_threshold, 1.0)
        return reward, success, {"is_success": success, "coverage": coverage, "action": target}

    def advance(self, action: NDArray[Any]) -> NDArray[np.float32]:
        """`step` without looking at the goal, which takes twice as long as the physics; returns the raw action."""
        self._build()
        target = raw_action(action, self._state[:2])
        env, agent = self._env, self._env.agent
        goal_x, goal_y = target.tolist()
        for _ in range(round(1 / (env.dt * env.control_hz))):
            (x, y), (vx, vy) = agent.position, agent.velocity
            vx += (env.k_p * (goal_x - x) - env.k_v * vx) * env.dt
            vy += (env.k_p * (goal_y - y) - env.k_v * vy) * env.dt
            agent.velocity = (vx, vy)
            env.space.step(env.dt)
        self.set_state(self._read())
        return target

    def _dress(self, look: Look) -> None:
        """A new space with bodies of these sizes and colours."""
        env: Any = self._env
        env.add_tee = partial(type(env).add_tee, scale=look.block_scale, color=look.block)
        env._setup()
        disc = next(iter(env.agent.shapes))
        disc.unsafe_set_radius(look.agent_radius)
        disc.color = (*look.agent, 255)

    def _read(self) -> NDArray[np.float64]:
        agent, block = self._env.agent, self._env.block
        body = [*block.position, block.angle, *block.velocity, block.angular_velocity]
        return np.array([*agent.position, *agent.velocity, *body])

    def render_clean(self, height: int, width: int) -> NDArray[np.uint8]:
        """Picture (h, w, 3) without the drawn action, area-downsampled from the 512 px drawing."""
        import cv2
        import pygame

        self._build()
        surface = self._drawn()
        pixels = (
            pygame.surfarray.pixels2d(surface).T.view(np.uint8).reshape(512, 512, 4)
        )  # B, G, R, unused
        small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(small[..., 2::-1], np.uint8)

    def _drawn(self) -> Any:
        """The scene on a surface of 512 x 512 px: what gym-pusht draws, on a background of any colour."""
        import pygame

        surface = pygame.Surface((512, 512))
        surface.fill(self.look.background)
        goal = self._env.get_goal_pose_body(self._env.goal_pose)
        for shape in self._env.block.shapes:
            corners = [goal.local_to_world(corner) for corner in shape.get_vertices()]
            pygame.draw.polygon(surface, GOAL_COLOUR, [(round(x), round(y)) for x, y in corners])
        self._env.space.debug_draw(self._draw_options(surface))
        return surface


def _make_env() -> tuple[PushTEnv, Callable[[Any], Any]]:
    """The environment, and how it draws a space on a surface."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        from gym_pusht.envs.pusht import PushTEnv
        from gym_pusht.envs.pymunk_override import DrawOptions
    except ImportError as error:
        raise MissingPackageError("gym-pusht", "the Push-T simulator", "make pusht") from error
    return PushTEnv(obs_type="state"), DrawOptions
