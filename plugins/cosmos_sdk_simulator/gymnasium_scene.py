"""Any Gymnasium environment whose whole state can be read and set, in the role of a `Simulator`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec, numbered
from cosmos_sdk.data.video import resize_area
from cosmos_sdk.errors import ConfigError, MissingPackageError, ShapeError, UnknownNameError
from cosmos_sdk.registry import registry
from cosmos_sdk_simulator.mujoco_warnings import warnings_logged

EXTRAS = {"mujoco": "mujoco", "pygame": "classic"}  # of cosmos-world-sdk, by the package they bring
REMEDY = "Register a Simulator under its id (hook register_simulators)."


class GymnasiumScene(ABC):
    """What all of them share. State (S,) float64: the steps since reset, and then what a subclass reads.

    The first number is why no state is hidden: with it `info["truncated"]`, the end by the environment's own limit of
    steps, follows from the state as well. Rewards, ends and observations are the environment's own. Not for
    environments that draw random numbers while they step: their generator is no part of the state.
    """

    observation_units: tuple[str, ...] = ()
    inner_names: tuple[str, ...] = ()  # of the state without the steps

    def __init__(self, env_id: str, env: gymnasium.Env[Any, Any]) -> None:
        """Takes the bare environment of an id.

        Raises:
            ActionError: its actions are neither a bounded vector nor numbers from 0.
            ConfigError: it does not observe a vector, or remembers more than its state.
        """
        self.env_id, self.env = env_id, env
        self.max_episode_steps = gymnasium.spec(env_id).max_episode_steps
        self.rate = self._rate()
        self.action_spec = ActionSpec.from_space(self.env.action_space, self.rate)
        space = self.env.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise ConfigError(
                [f"{env_id} observes {space}; expected a vector, a Box of shape (P,)"]
            )
        box = cast("spaces.Box[Any]", space)
        self.observation_low = np.asarray(box.low, np.float32)
        self.observation_high = np.asarray(box.high, np.float32)
        self.observation_names = numbered("observation", len(self.observation_low))
        self._prove()

    @property
    def state_names(self) -> tuple[str, ...]:
        """(S,)."""
        return ("steps", *self.inner_names)

    @abstractmethod
    def _read(self) -> NDArray[np.float64]:
        """The state of the environment (S - 1,)."""

    @abstractmethod
    def _write(self, inner: NDArray[np.float64]) -> None:
        """Puts the environment there; what follows is a function of `inner` and the actions."""

    @abstractmethod
    def _see(self) -> NDArray[Any]:
        """The environment's observation (P,) of where it is."""

    def _rate(self) -> float:
        """Steps per second: from the physics where it tells, since `render_fps` is at times another number."""
        for name in ("dt", "tau"):
            if (seconds := getattr(self.env, name, None)) is not None:
                return 1.0 / float(seconds)
        return float(self.env.metadata.get("render_fps") or 10)

    def _prove(self) -> None:
        """Raises ConfigError where the same state and actions tell two futures, as a goal drawn by `reset` would."""
        space = self.action_spec.space
        space.seed(0)
        actions = [np.asarray(space.sample()) for _ in range(4)]
        self.reset(0)
        state, futures = self.get_state(), []
        for seed in (0, 1):
            self.reset(seed)
            self.set_state(state)
            futures.append([(self.step(a)[:2], self.observe().tolist()) for a in actions])
        if futures[0] != futures[1]:
            problem = f"{self.env_id} remembers more than {', '.join(self.state_names[:3])}, ..."
            raise ConfigError([f"{problem}: from one state it went on in two ways. {REMEDY}"])

    def reset(self, seed: int) -> None:
        self.env.reset(seed=seed)
        self.set_state(np.concatenate([[0.0], self._read()]))

    def get_state(self) -> NDArray[np.float64]:
        return self._state.copy()

    def set_state(self, state: NDArray[Any]) -> None:
        """Puts the environment into a state (S,).

        Raises:
            ShapeError: it has another length.
        """
        given = np.array(state, np.float64)
        if given.shape != (len(self.state_names),):
            raise ShapeError(f"state of {self.env_id}", given.shape, (len(self.state_names),))
        self._state = given
        self._write(given[1:])

    def observe(self) -> NDArray[np.float32]:
        return np.asarray(self._see(), np.float32)

    def step(self, action: NDArray[Any]) -> tuple[float, bool, dict[str, Any]]:
        """One step of the environment; `info["truncated"]` says whether its limit of steps is reached."""
        discrete = self.action_spec.num_actions is not None
        dtype = cast("Any", self.env.action_space.dtype)
        raw = int(action) if discrete else np.asarray(action, dtype)
        _, reward, terminated, truncated, info = self.env.step(raw)
        steps = self._state[0] + 1
        self.set_state(np.concatenate([[steps], self._read()]))
        late = self.max_episode_steps is not None and steps >= self.max_episode_steps
        told = {"is_success": False, **info, "truncated": bool(truncated or late), "action": action}
        return float(reward), bool(terminated), told

    def render_clean(self, height: int, width: int) -> NDArray[np.uint8]:
        """Picture (h, w, 3), area-downsampled from the environment's own.

        Raises:
            MissingPackageError: what draws is not installed.
        """
        try:
            frame = np.asarray(cast("Any", self.env.render()), np.uint8)
        except gymnasium.error.DependencyNotInstalled as error:
            raise missing_package(self.env_id, error) from error
        return np.ascontiguousarray(resize_area(frame[..., :3], height, width))


def open_env(env_id: str) -> gymnasium.Env[Any, Any]:
    """The bare environment: Gymnasium's wrappers count steps where no state shows them."""
    known = [*registry().names("simulator"), *gymnasium.registry]
    if ":" not in env_id and env_id not in gymnasium.registry:  # make() would guess a version
        raise UnknownNameError("simulator", env_id, known)
    spec = gymnasium.registry.get(env_id)
    compiles = spec is not None and "mujoco" in str(spec.entry_point) and find_spec("mujoco")
    try:
        with warnings_logged() if compiles else nullcontext():
            made = gymnasium.make(env_id, render_mode="rgb_array", disable_env_checker=True)
    except gymnasium.error.DependencyNotInstalled as error:
        raise missing_package(env_id, error) from error
    except gymnasium.error.Error as error:  # no such id, version or namespace
        raise UnknownNameError("simulator", env_id, known) from error
    return made.unwrapped


def missing_package(env_id: str, error: gymnasium.error.DependencyNotInstalled) -> Exception:
    """What to raise when an environment lacks what it needs: with our extra, where there is one."""
    for package, extra in EXTRAS.items():
        if package in str(error).lower():
            return MissingPackageError(package, env_id, f"pip install 'cosmos-world-sdk[{extra}]'")
    return error


def is_mujoco(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether this is one of Gymnasium's MuJoCo environments: it has their model and data."""
    return hasattr(env, "model") and hasattr(getattr(env, "data", None), "qpos")


def gymnasium_scene(env_id: str) -> GymnasiumScene:
    """The simulator of any environment of MuJoCo or of classic control, by its Gymnasium id.

    Raises:
        ConfigError: it is neither, so that nobody knows what its state is.
        UnknownNameError: Gymnasium does not know the id.
        MissingPackageError: what the environment needs is not installed.
    """
    from cosmos_sdk_simulator.classic_scene import CLASSIC, ClassicScene
    from cosmos_sdk_simulator.mujoco_scene import MujocoScene

    env = open_env(env_id)
    env.reset(seed=0)  # classic control has no state before
    if is_mujoco(env):
        return MujocoScene(env_id, env)
    if isinstance(env, tuple(CLASSIC)):
        return ClassicScene(env_id, env)
    problem = f"{env_id}: its state is unknown; it is neither MuJoCo nor classic control."
    raise ConfigError([f"{problem} {REMEDY}"])
