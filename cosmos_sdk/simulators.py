"""True simulators: what a recording needs to be restored, and a planner to be compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec
from cosmos_sdk.registry import registry
from cosmos_sdk.screen import draw_in_memory

if TYPE_CHECKING:
    from cosmos_sdk.config import WorldConfig
    from cosmos_sdk.world import WorldModel

OTHERS = "gymnasium/*"  # what is registered under this name takes any id, and opens it if it can


class Simulator(Protocol):
    """A scene whose whole state is one vector. S numbers of state, P of observation, A of action.

    Registered under the Gymnasium id of its environment and built without arguments. After `set_state(s)`, everything
    that follows is a function of `s` and the actions, bit for bit.
    """

    @property
    def action_spec(self) -> ActionSpec: ...  # what worlds take
    @property
    def rate(self) -> float: ...  # steps per second
    @property
    def state_names(self) -> tuple[str, ...]: ...  # (S,) hidden velocities included
    @property
    def observation_names(self) -> tuple[str, ...]: ...  # (P,)
    @property
    def observation_units(self) -> tuple[str, ...]: ...  # (P,), or none where nobody knows them
    @property
    def observation_low(self) -> NDArray[np.float32]: ...  # (P,)
    @property
    def observation_high(self) -> NDArray[np.float32]: ...  # (P,)
    def reset(self, seed: int) -> None: ...
    def get_state(self) -> NDArray[np.float64]: ...  # (S,)
    def set_state(self, state: NDArray[Any]) -> None: ...
    def observe(self) -> NDArray[np.float32]: ...  # (P,)
    # reward, terminated, info with "is_success" and "action", the raw one (for the Gymnasium environment)
    def step(self, action: NDArray[Any]) -> tuple[float, bool, dict[str, Any]]: ...
    def render_clean(
        self, height: int, width: int
    ) -> NDArray[np.uint8]: ...  # (h, w, 3) RGB, no drawn actions


@runtime_checkable
class Advances(Protocol):
    """A simulator that can also step without judging, bit-equal to `step`: planners with goals need no reward."""

    def advance(self, action: NDArray[Any]) -> Any: ...


def open_simulator(env_id: str) -> Simulator:
    """A simulator of its own: what is registered under a Gymnasium id, else what can read the state of any such id.

    Raises:
        UnknownNameError: nobody knows the id.
        ConfigError: Gymnasium knows it, but nobody knows what its state is.
        MissingPackageError: its packages are not installed.
    """
    draw_in_memory()
    names = registry().names("simulator")
    if env_id in names or OTHERS not in names:
        return registry().load("simulator", env_id)()
    return registry().load("simulator", OTHERS)(env_id)


def simulator_config(
    env_id: str, height: int = 64, width: int = 64, *, judged: bool = True
) -> WorldConfig:
    """The world whose future is the true one, for YAML: signal `action`, readout `state`.

    Args:
        env_id: as `open_simulator` takes it.
        height: of its pictures.
        width: of its pictures.
        judged: with heads `reward` and `terminated`. Without them some simulators step faster.
    """
    from cosmos_sdk.config import BoxConfig, SpecConfig, WorldConfig

    scene = open_simulator(env_id)
    low, high = scene.observation_low.tolist(), scene.observation_high.tolist()
    names, units = list(scene.observation_names), list(scene.observation_units)
    actions = {"action": scene.action_spec.to_dict()}
    targets = {"state": BoxConfig(low, high, names, units)}
    heads = {"reward": "simulator-reward", "terminated": "simulator-termination"}
    return WorldConfig(
        SpecConfig((1, height, width), scene.rate, actions, targets=targets),
        tokenizer={"name": "simulator", "env_id": env_id},
        backend={"name": "simulator", "env_id": env_id, "judged": judged},
        conditioners={"action": {"name": "simulator"}},
        heads={key: {"name": name} for key, name in heads.items() if judged},
        readouts={"state": {"name": "simulator-state"}},
    )


def simulator_world(
    env_id: str, height: int = 64, width: int = 64, *, judged: bool = True
) -> WorldModel:
    """The world of `simulator_config`, which the plugin `simulator` builds."""
    from cosmos_sdk.build import build

    return build(simulator_config(env_id, height, width, judged=judged))
