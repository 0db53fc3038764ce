"""True simulators: what a recording needs to be restored, and a planner to be compared with."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.actions import ActionSpec


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
