"""Gymnasium's classic control, whose state is the attribute `state`: Pendulum, CartPole, Acrobot, MountainCar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.envs import classic_control
from numpy.typing import NDArray

from cosmos_sdk_simulator.gymnasium_scene import GymnasiumScene


@dataclass(frozen=True)
class Names:
    """What the numbers of an environment mean."""

    state: tuple[str, ...]
    observation: tuple[str, ...]
    units: tuple[str, ...]


_CART = ("cart_position", "cart_velocity", "pole_angle", "pole_velocity")
_CAR = ("position", "velocity")
_LINKS = ("angle_1", "angle_2", "velocity_1", "velocity_2")
CLASSIC = {
    classic_control.PendulumEnv: Names(
        ("angle", "velocity"), ("cos_angle", "sin_angle", "velocity"), ("", "", "rad/s")
    ),
    classic_control.CartPoleEnv: Names(_CART, _CART, ("m", "m/s", "rad", "rad/s")),
    classic_control.MountainCarEnv: Names(_CAR, _CAR, ("", "")),
    classic_control.Continuous_MountainCarEnv: Names(_CAR, _CAR, ("", "")),
    classic_control.AcrobotEnv: Names(
        _LINKS,
        ("cos_1", "sin_1", "cos_2", "sin_2", "velocity_1", "velocity_2"),
        ("", "", "", "", "rad/s", "rad/s"),
    ),
}


@final
class ClassicScene(GymnasiumScene):
    """One of them, such as "Pendulum-v1", also under another id.

    A step starts from float64, also where the environment keeps float32 (both mountain cars and the first step of
    Acrobot): what follows is a function of the state vector, and within rounding what Gymnasium's own env does.
    """

    def __init__(self, env_id: str, env: gymnasium.Env[Any, Any]) -> None:
        """As `GymnasiumScene`."""
        names = next(names for kind, names in CLASSIC.items() if isinstance(env, kind))
        self.inner_names = names.state
        super().__init__(env_id, env)
        self.observation_names, self.observation_units = names.observation, names.units

    def _read(self) -> NDArray[np.float64]:
        return np.array(self.env.state, np.float64).ravel()  # pyright: ignore[reportAttributeAccessIssue]

    def _write(self, inner: NDArray[np.float64]) -> None:
        env: Any = self.env
        env.state = inner.copy()
        for name in ("last_u", "steps_beyond_terminated"):  # an arrow drawn, and a warning counted
            if hasattr(env, name):
                setattr(env, name, None)

    def _see(self) -> NDArray[Any]:
        env: Any = self.env
        see = getattr(env, "_get_obs", None) or getattr(env, "_get_ob", None)
        return np.asarray(env.state if see is None else see())
