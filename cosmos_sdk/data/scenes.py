"""What can be recorded: a registered `Simulator`, or any Gymnasium environment that renders `rgb_array`."""

from __future__ import annotations

from typing import Any, Protocol, cast, final

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.data.video import resize_area
from cosmos_sdk.errors import DataNotRestorableError, DatasetError
from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import Simulator


class CollectionPolicy(Protocol):
    """Chooses the actions of a recording. Scripted ones may read the scene's state, and set it in `reset`.

    A policy that acts on observations takes one line: `def act(self, scene): return policy.act(scene.observe())`.
    """

    def reset(
        self, rng: Generator, scene: Simulator
    ) -> None: ...  # a new episode begins; all randomness is rng's
    def act(self, scene: Simulator) -> NDArray[Any]: ...  # within scene.action_spec


@final
class UniformPolicy:
    """Policy `random`: uniform actions, each held for one step."""

    def reset(self, rng: Generator, scene: Simulator) -> None:
        self._rng = rng

    def act(self, scene: Simulator) -> NDArray[Any]:
        spec = scene.action_spec
        if spec.num_actions is not None:
            return np.asarray(self._rng.integers(spec.num_actions))
        return self._rng.uniform(spec.low, spec.high).astype(np.float32)


@final
class EnvScene:
    """A Gymnasium environment in the role of a `Simulator`, without its state: recorded as not restorable.

    Vector observations (P,) are kept; others are left to the camera. `step` also ends where the environment truncates,
    and says so in `info["truncated"]`.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.env = env
        self.rate = float(env.metadata.get("render_fps") or 10)
        self.action_spec = ActionSpec.from_space(env.action_space, self.rate)
        space = env.observation_space
        vector = isinstance(space, spaces.Box) and len(space.shape) == 1
        box = cast("spaces.Box[Any]", space if vector else spaces.Box(0, 0, (0,)))
        self.observation_low = np.asarray(box.low, np.float32)
        self.observation_high = np.asarray(box.high, np.float32)
        self.observation_names = tuple(f"observation_{i}" for i in range(len(self.observation_low)))

    def reset(self, seed: int) -> None:
        self._see(self.env.reset(seed=seed)[0])

    def observe(self) -> NDArray[np.float32]:
        return self._observation

    def step(self, action: NDArray[Any]) -> tuple[float, bool, dict[str, Any]]:
        discrete = self.action_spec.num_actions is not None
        given = int(action) if discrete else action.astype(cast("Any", self.env.action_space.dtype))
        observation, reward, terminated, truncated, info = self.env.step(given)
        self._see(observation)
        return (
            float(reward),
            bool(terminated),
            {"is_success": False, **info, "truncated": truncated, "action": action},
        )

    def render_clean(self, height: int, width: int) -> NDArray[np.uint8]:
        frame: NDArray[Any] = np.asarray(cast("Any", self.env.render()))
        if frame.dtype != np.uint8 or frame.ndim != 3:
            got = f"{frame.shape} {frame.dtype}"
            raise DatasetError(f"{self.env} renders {got}; expected a picture (h, w, 3) uint8.")
        return resize_area(frame[..., :3], height, width)

    def get_state(self) -> NDArray[np.float64]:
        return np.zeros(0)

    def set_state(self, state: NDArray[Any]) -> None:
        remedy = "Register a Simulator under its id: get_state, set_state, render_clean."
        raise DataNotRestorableError(f"{self.env} cannot be put into a given state. {remedy}")

    def _see(self, observation: Any) -> None:
        self._observation = np.asarray(observation if self.observation_names else (), np.float32)


def open_scene(env: str) -> Simulator:
    """The simulator registered under a Gymnasium id, else the environment itself (`module:Id-v0` imports first).

    Raises:
        DatasetError: nobody knows the id.
        MissingPackageError: the simulator's package is not installed; names the command.
    """
    simulators = registry().names("simulator")
    if env in simulators:
        return registry().load("simulator", env)()
    try:
        return EnvScene(gymnasium.make(env, render_mode="rgb_array"))
    except (gymnasium.error.Error, ImportError) as error:
        known = f"Simulators: {', '.join(simulators)}; otherwise an id of gymnasium.make, such as module:Id-v0."
        raise DatasetError(
            f"Cannot make the environment {env!r} with rgb_array rendering: {error} {known}"
        ) from error


def open_policy(name: str) -> CollectionPolicy:
    """`random`, or a registered policy that satisfies `CollectionPolicy`."""
    return UniformPolicy() if name == "random" else registry().load("policy", name)()
