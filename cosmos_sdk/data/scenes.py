"""What can be recorded, a registered `Simulator` or any Gymnasium environment that renders `rgb_array`, and by whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, Protocol, cast, final, get_type_hints

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.random import Generator
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec, numbered
from cosmos_sdk.config import typed
from cosmos_sdk.data.video import resize_area
from cosmos_sdk.errors import (
    ConfigError,
    DataNotRestorableError,
    DatasetError,
    UnknownNameError,
    did_you_mean,
)
from cosmos_sdk.registry import registry
from cosmos_sdk.simulators import Simulator, open_simulator

RANDOM = "random"  # the recorder that needs no plugin
CALLS = {"reset": ("rng", "scene"), "act": ("scene",)}  # what a recording asks of a recorder
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Recorder(Protocol):
    """Chooses the actions of a recording. Scripted ones may read the scene's state, and set it in `reset`.

    A policy that acts on observations takes one line: `def act(self, scene): return policy.act(scene.observe())`.
    """

    def reset(
        self, rng: Generator, scene: Simulator
    ) -> None: ...  # a new episode begins; all randomness is rng's
    def act(self, scene: Simulator) -> NDArray[Any]: ...  # within scene.action_spec


@final
class Uniform:
    """Recorder `random`: uniform actions, each held for one step."""

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
    """The simulator of a Gymnasium id, else the environment itself (`module:Id-v0` imports first).

    Raises:
        DatasetError: nobody knows the id.
        MissingPackageError: the simulator's package is not installed; names the command.
    """
    simulators = registry().names("simulator")
    with suppress(UnknownNameError, ConfigError, gymnasium.error.Error):  # not restorable then
        return open_simulator(env)
    try:
        return EnvScene(gymnasium.make(env, render_mode="rgb_array"))
    except (gymnasium.error.Error, ImportError) as error:
        known = f"Simulators: {', '.join(simulators)}; otherwise an id of gymnasium.make, such as module:Id-v0."
        raise DatasetError(
            f"Cannot make the environment {env!r} with rgb_array rendering: {error} {known}"
        ) from error


def open_recorder(
    name: str, options: Mapping[str, Any], env: str, beside: Sequence[str] = ()
) -> Recorder:
    """`random`, or a registered recorder, built without arguments or as `(config, env)`.

    Args:
        name: of the recorder.
        options: fields of its config, which is the annotation of its first parameter.
        env: the id of the scene.
        beside: other keys that the caller knows, for the error.

    Raises:
        UnknownNameError: nobody registered the name.
        ConfigError: an option that it does not have, or it does not do what a recording asks.
    """
    factory, config = _factory(name), options_of(name)
    known = [item.name for item in fields(config)] if config is not None else []
    if strange := [key for key in options if key not in known]:
        choices = (
            f"Known keys: {', '.join(beside)}; of policy={name}: {', '.join(known) or 'none'}."
        )
        hints = {key: did_you_mean(key, [*beside, *known]) for key in strange}
        raise ConfigError([f"{key}: unknown key.{hint} {choices}" for key, hint in hints.items()])
    recorder = factory() if config is None else factory(typed(config, options), env)
    if problems := _unplayable(recorder):
        expected = "a recorder with reset(rng, scene) and act(scene)"
        raise ConfigError([f"policy: {name!r} {'; it '.join(problems)}. Expected {expected}."])
    return recorder


def options_of(name: str) -> Any:
    """The config class of a recorder that is built as `(config, env)`; None for one built without arguments.

    Raises:
        UnknownNameError: nobody registered the name.
        ConfigError: it is built from something else.
    """
    factory = _factory(name)
    required = [p for p in signature(factory).parameters.values() if p.default is p.empty]
    if not [p for p in required if p.kind not in VARIADIC]:
        return None
    function = factory.__init__ if isinstance(factory, type) else factory
    hints = [hint for key, hint in get_type_hints(function).items() if key != "return"]
    if len(required) != 2 or not hints or not is_dataclass(hints[0]):
        needed = ", ".join(p.name for p in required)
        problem = f"the recorder {getattr(factory, '__name__', factory)!r} takes {needed}"
        raise ConfigError(
            [f"{problem}; expected no arguments, or (config: a dataclass, env: str)."]
        )
    return hints[0]


def _factory(name: str) -> Any:
    if name == RANDOM:
        return Uniform
    if name not in (known := registry().names("recorder")):
        raise UnknownNameError("recorder", name, [RANDOM, *known])
    return registry().load("recorder", name)


def _unplayable(recorder: Any) -> list[str]:
    """The calls of a recording that a recorder does not take."""
    return [
        f"has no {method}({', '.join(arguments)})"
        for method, arguments in CALLS.items()
        if not _takes(getattr(recorder, method, None), *arguments)
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
