"""What can be recorded, a registered `Simulator` or any Gymnasium environment that renders `rgb_array`, and by whom."""

from __future__ import annotations

from contextlib import suppress
from inspect import Parameter, signature
from typing import Any, Protocol, cast, final

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec, numbered
from cosmos_sdk.data.video import resize_area
from cosmos_sdk.errors import ConfigError, CosmosError, DataNotRestorableError, DatasetError
from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import Simulator

CALLS = {"reset": ("rng", "scene"), "act": ("scene",)}  # what a recording asks of a policy
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


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
    observation_units: tuple[str, ...] = ()

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self.env = env
        self.rate = float(env.metadata.get("render_fps") or 10)
        self.action_spec = ActionSpec.from_space(env.action_space, self.rate)
        space = env.observation_space
        vector = isinstance(space, spaces.Box) and len(space.shape) == 1
        box = cast("spaces.Box[Any]", space if vector else spaces.Box(0, 0, (0,)))
        self.observation_low = np.asarray(box.low, np.float32)
        self.observation_high = np.asarray(box.high, np.float32)
        self.observation_names = numbered("observation", len(self.observation_low))

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
    """`random`, or a registered policy that satisfies `CollectionPolicy`.

    Raises:
        UnknownNameError: nobody registered the name.
        ConfigError: the policy cannot record; names those that can.
    """
    if name == "random":
        return UniformPolicy()
    factory = registry().load("policy", name)
    built = _takes(factory)
    policy = factory() if built else factory
    if problems := _unplayable(policy) if built else _foreseen(factory):
        expected = "one that is built without arguments and has reset(rng, scene) and act(scene)"
        remedy = "Choose one of them, or register a class that builds this policy and offers both."
        raise ConfigError(
            [
                f"policy: {name!r} cannot record by itself: it {'; it '.join(problems)}. Expected {expected}. "
                f"Policies that can record: {', '.join(recorders())}. {remedy}"
            ]
        )
    return policy


def recorders() -> list[str]:
    """The policies that can record, as far as this shows without building them."""
    names = {"random"}
    for name in registry().names("policy"):
        with suppress(CosmosError):  # what cannot be imported here cannot record here
            factory = registry().load("policy", name)
            if not _foreseen(factory):
                names.add(name)
    return sorted(names)


def _foreseen(factory: Any) -> list[str]:
    """What a registered class or function lacks of a recorder; what a function builds is not seen."""
    problems: list[str] = []
    if not _takes(factory):
        parameters = signature(factory).parameters.values() if callable(factory) else ()
        needed = [p.name for p in parameters if p.default is p.empty and p.kind not in VARIADIC]
        problems.append(f"takes {', '.join(needed)}" if needed else "is no class and no function")
    return problems + (_unplayable(factory, None) if isinstance(factory, type) else [])


def _unplayable(policy: Any, *own: None) -> list[str]:
    """The calls of a recording that a policy does not take; a class is asked with something for `self`."""
    return [
        f"has no {method}({', '.join(arguments)})"
        for method, arguments in CALLS.items()
        if not _takes(getattr(policy, method, None), *own, *arguments)
    ]


def _takes(function: Any, *arguments: Any) -> bool:
    """Whether this is a function, and can be called so."""
    try:
        signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:
        return True  # code in C does not tell
    return True
